//! Runs whose own version is not in the program: what goes wrong with one of them, or for a moment with all, keeps none from moving.

use std::sync::Arc;
use std::time::Duration;

use forge_wf::RunId;
use forge_wf::testing::{Fault, FaultyStore, open_store};
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, eventually, on_every_backend};

use crate::quick;

/// Runs that are due and bound to a signature by an older algorithm, which no worker offers. They fit the code of this process.
async fn strays(database: &Database, count: u64) -> Vec<RunId> {
    let rt = quick(database).build().await.unwrap();
    let mut runs = Vec::new();
    for n in 0..count {
        let job = Job { log: String::new(), n };
        let start = rt.start(three, job).key(format!("k{n}"));
        runs.push(start.delay(Duration::from_secs(3_600)).await.unwrap().id());
    }
    rt.shutdown().await;
    let (digest, due) =
        if database.is_sqlite() { ("zeroblob(16)", "0") } else { ("'00000000-0000-0000-0000-000000000000'", "now()") };
    database
        .execute(&format!(
            "UPDATE {{forge_wf}}runs SET definition = {digest}, needs = {digest}, version = '1', ready_at = {due};
             INSERT INTO {{forge_wf}}signatures (workflow, version, signature, algorithm) VALUES ('three', '1', {digest}, 0)"
        ))
        .await;
    runs
}

on_every_backend!(strays_move_once_an_outage_is_over_although_some_could_be_read_in_between, |database| {
    let runs = strays(database, 6).await;
    let store = FaultyStore::new(open_store(database.url()).await.unwrap(), Box::new(|_, _| Fault::None));
    // All together, and then the first two by themselves.
    store.fail_loads(3);
    let store = Arc::new(store);
    let rt = quick(database).store(store.clone()).build().await.unwrap();
    eventually("loads that failed", async || (store.loads_to_fail() == 0).then_some(())).await;
    for (n, run) in (0..).zip(&runs) {
        let run = rt.run::<u64>(*run).await.unwrap();
        let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("it moves");
        assert_eq!(result.unwrap(), n + 3);
    }
    rt.shutdown().await;
});

on_every_backend!(a_run_that_the_database_does_not_let_be_moved_stops_none_behind_it, |database| {
    let runs = strays(database, 4).await;
    let first = *runs.iter().min().unwrap();
    let refusing = if database.is_sqlite() {
        format!(
            "CREATE TRIGGER refuses BEFORE UPDATE OF definition ON forge_wf_runs
             WHEN OLD.id = x'{}' BEGIN SELECT RAISE(ABORT, 'this one stays'); END",
            first.to_string().replace('-', "")
        )
    } else {
        format!(
            "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'this one stays'; END $$;
             CREATE TRIGGER refuses BEFORE UPDATE OF definition ON forge_wf.runs
             FOR EACH ROW WHEN (OLD.id = '{first}') EXECUTE FUNCTION refuses()"
        )
    };
    database.execute(&refusing).await;
    let rt = quick(database).build().await.unwrap();
    for (n, run) in (0..).zip(&runs) {
        if *run != first {
            let run = rt.run::<u64>(*run).await.unwrap();
            let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("it moves");
            assert_eq!(result.unwrap(), n + 3);
        }
    }
    rt.shutdown().await;
});
