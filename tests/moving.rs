//! Runs that go on with another version of their workflow, by its own word or by an operator's; with real processes.

use forge_wf::prelude::*;
use forge_wf::{Error, Status};
use forge_wf_tests::{eventually, on_every_backend};
use tokio::process::Command;

use crate::rolling::{Done, count, ended_as, go, preflight, start_waiting, stop, worker};

on_every_backend!(runs_that_fit_a_newer_version_go_on_with_it_and_the_others_stay, |database| {
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let runs = start_waiting(&client, 20).await;
    stop(first).await;
    let moving = worker(env!("CARGO_BIN_EXE_rolling_moving"), database).await;
    go(&client, &runs).await;
    for run in &runs {
        let (n, noted): Done = serde_json::from_value(run.result().await.unwrap()).unwrap();
        let details = client.show(run.id()).await.unwrap();
        let moves = details.entries.iter().filter(|entry| entry.kind == "move").count();
        let expected = if n % 2 == 0 { ("2", 1, "2 after") } else { ("1", 0, "1 after") };
        assert_eq!((details.version.as_deref().unwrap(), moves, &*noted[1]), expected, "{n}: {noted:?}");
        assert_eq!(noted[0], "1 before", "what was done stays done");
    }
    stop(moving).await;
    client.close().await;
});

on_every_backend!(a_run_that_begins_anew_is_looked_at_again_whether_it_fits, |database| {
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let run = client.start_by_name("holding", serde_json::json!(1)).await.unwrap();
    let waits = async || (client.show(run.id()).await.unwrap().status == Status::Waiting).then_some(());
    eventually("it waiting", waits).await;
    stop(first).await;

    // What it holds does not fit version 2, which this worker finds out when it takes it up to cancel it.
    let moving = worker(env!("CARGO_BIN_EXE_rolling_moving"), database).await;
    client.cancel(&run, "it shall hold nothing").await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(matches!(error, Error::RunFailed { status: Status::Cancelled, .. }), "{error}");
    assert_eq!(client.show(run.id()).await.unwrap().version.as_deref(), Some("1"));

    // What is kept of it does.
    client.retry(&run, "with what it noted").keep_completed().await.unwrap();
    go(&client, std::slice::from_ref(&run)).await;
    let (_, noted): Done = serde_json::from_value(run.result().await.unwrap()).unwrap();
    assert_eq!(noted, ["1 before", "2 after"]);
    assert_eq!(client.show(run.id()).await.unwrap().version.as_deref(), Some("2"));
    stop(moving).await;
    client.close().await;
});

on_every_backend!(runs_of_a_version_that_is_gone_go_on_with_what_replaces_it_if_they_fit, |database| {
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let runs = start_waiting(&client, 20).await;
    stop(first).await;

    let heir = worker(env!("CARGO_BIN_EXE_rolling_heir"), database).await;
    let (saved, output) = preflight(env!("CARGO_BIN_EXE_rolling_heir"), database, false).await;
    assert!(!saved && output.contains("rolling 1: 10 runs fit, 10 do not"), "{output}");
    go(&client, &runs).await;
    let missing = async || (count(&client, Status::BlockedMissingVersion).await == 10).then_some(());
    eventually("what does not fit says so", missing).await;
    let (fitting, others): (Vec<_>, Vec<_>) = runs.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    for (_, run) in &fitting {
        let (_, noted): Done = serde_json::from_value(run.result().await.unwrap()).unwrap();
        assert_eq!(noted, ["1 before", "2 after"]);
        let details = client.show(run.id()).await.unwrap();
        let moves: Vec<_> = details.entries.iter().filter(|entry| entry.kind == "move").collect();
        assert_eq!((details.version.as_deref(), moves.len()), (Some("2"), 1));
    }
    // They wait for a worker that has their version.
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    let others: Vec<_> = others.into_iter().map(|(_, run)| run).collect();
    ended_as(&client, &others, "1").await;
    stop(first).await;
    stop(heir).await;
    client.close().await;
});

on_every_backend!(runs_are_moved_by_hand_while_nobody_holds_them_and_the_others_stay, |database| {
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let runs = start_waiting(&client, 10).await;
    for run in &runs[..2] {
        client.pause(run, "to look at it").await.unwrap();
    }
    eventually("two of them paused", async || (count(&client, Status::Paused).await == 2).then_some(())).await;
    let program = env!("CARGO_BIN_EXE_rolling_heir");
    let move_to = async |version: &str| -> serde_json::Value {
        let output = Command::new(program).args([database.url(), "move", version]).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let output = Command::new(program).args([database.url(), "move", "3"]).output().await.unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("no workflow of this program has a version 3"), "{message}");
    for (moved, stayed) in [(5, 5), (0, 5)] {
        let found = move_to("2").await;
        assert_eq!((&found["moved"], &found["stayed"]), (&moved.into(), &stayed.into()), "{found}");
        let why = found["problems"][0]["verdict"]["diverges"].as_str().unwrap_or_else(|| panic!("{found}"));
        assert!(why.contains("step:note#1"), "{why}");
    }
    let told = client.audit(runs[2].id()).await.unwrap();
    assert_eq!((told.len(), &*told[0].who, &*told[0].action), (1, "ada", "move"));
    assert_eq!(told[0].details, "from version 1 to 2: the old one is wrong");

    let heir = worker(program, database).await;
    for run in &runs[..2] {
        assert_eq!(client.show(run.id()).await.unwrap().status, Status::Paused, "a move ends no pause");
        client.resume(run, "looked at").await.unwrap();
    }
    go(&client, &runs).await;
    for (n, run) in runs.iter().enumerate() {
        let (_, noted): Done = serde_json::from_value(run.result().await.unwrap()).unwrap();
        let version = client.show(run.id()).await.unwrap().version.clone();
        let expected = if n % 2 == 0 { ("2", "2 after") } else { ("1", "1 after") };
        assert_eq!((version.as_deref().unwrap(), &*noted[1]), expected);
    }
    stop(heir).await;
    stop(first).await;
    client.close().await;
});

on_every_backend!(runs_under_a_signature_of_an_older_algorithm_go_on_if_they_fit, |database| {
    let program = env!("CARGO_BIN_EXE_rolling_first");
    let first = worker(program, database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let runs = start_waiting(&client, 6).await;
    stop(first).await;

    // As another build would have left them: with the same code, and a signature that is computed in another way.
    let rebound = database
        .texts(
            "UPDATE forge_wf_runs SET definition = zeroblob(16), needs = zeroblob(16) RETURNING workflow",
            "UPDATE forge_wf.runs SET definition = '00000000-0000-0000-0000-000000000000',
                needs = '00000000-0000-0000-0000-000000000000' RETURNING workflow",
        )
        .await;
    assert_eq!(rebound.len(), 6);
    go(&client, &runs).await;
    let first = worker(program, database).await;
    let mismatch = async || (count(&client, Status::BlockedSignatureMismatch).await == 6).then_some(());
    eventually("a signature nobody knows is another contract", mismatch).await;
    let error = runs[0].result().or_blocked().await.unwrap_err();
    assert!(matches!(error, Error::RunBlocked { status: Status::BlockedSignatureMismatch, .. }), "{error}");
    assert!(error.to_string().contains("no live worker can run it"), "{error}");
    let known = database
        .texts(
            "INSERT INTO forge_wf_signatures (workflow, version, signature, algorithm)
             VALUES ('rolling', '1', zeroblob(16), 0) RETURNING workflow",
            "INSERT INTO forge_wf.signatures (workflow, version, signature, algorithm)
             VALUES ('rolling', '1', '00000000-0000-0000-0000-000000000000', 0) RETURNING workflow",
        )
        .await;
    assert_eq!(known, ["rolling"]);
    eventually("all of them done", async || (count(&client, Status::Completed).await == 6).then_some(())).await;
    ended_as(&client, &runs, "1").await;
    stop(first).await;
    client.close().await;
});

on_every_backend!(a_journal_that_cannot_be_read_keeps_no_other_run_from_moving, |database| {
    let first = worker(env!("CARGO_BIN_EXE_rolling_first"), database).await;
    let client = Client::connect(database.url()).await.unwrap();
    let mut runs = start_waiting(&client, 6).await;
    stop(first).await;
    let torn = database
        .texts(
            "UPDATE forge_wf_journal SET state = 99 WHERE key = 'step:note'
                AND run_id = (SELECT id FROM forge_wf_runs ORDER BY id LIMIT 1) RETURNING key",
            "UPDATE forge_wf.journal SET state = 99 WHERE key = 'step:note'
                AND run_id = (SELECT id FROM forge_wf.runs ORDER BY id LIMIT 1) RETURNING key",
        )
        .await;
    assert_eq!(torn, ["step:note"]);
    go(&client, &runs).await;
    let heir = worker(env!("CARGO_BIN_EXE_rolling_heir"), database).await;
    let first_of_all = runs.iter().map(|run| run.id()).min().unwrap();
    let fits = |(n, run): &(usize, _)| {
        let run: &forge_wf::RunHandle<serde_json::Value> = run;
        n % 2 == 0 && run.id() != first_of_all
    };
    let fitting: Vec<_> = runs.drain(..).enumerate().filter(fits).collect();
    for (_, run) in &fitting {
        let (_, noted): Done = serde_json::from_value(run.result().await.unwrap()).unwrap();
        assert_eq!(noted, ["1 before", "2 after"]);
    }
    let others = 6 - fitting.len();
    let missing = async || (count(&client, Status::BlockedMissingVersion).await == others).then_some(());
    eventually("what was not moved says so", missing).await;
    stop(heir).await;
    client.close().await;
});
