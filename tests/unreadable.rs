//! Rows that cannot be read, by the database or by this build: they are set apart, and nothing else waits for them.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{Client, Error, Filter, Status, preflight};
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, Log, eventually, on_every_backend};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use crate::quick;

/// What the run with the long journal waits for.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
struct Opened {
    n: u64,
}

/// A result that fills pages of its own.
#[step]
async fn write_pages(n: usize) -> Result<String> {
    Ok("marker-of-this-page ".repeat(n))
}

/// Keeps a long result in its journal, and waits.
#[workflow]
async fn keeps_pages(ctx: &WorkflowContext, n: usize) -> Result<u64> {
    let pages = write_pages(ctx, n).await?;
    let opened = ctx.wait_for_event::<Opened>().await?;
    Ok(pages.len() as u64 + opened.n)
}

/// Runs a statement, in the words of either backend.
async fn execute(database: &Database, sqlite: &str, postgres: &str) {
    if database.is_sqlite() {
        let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
        connection.execute(AssertSqlSafe(sqlite.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        connection.execute(AssertSqlSafe(postgres.to_owned())).await.unwrap();
    }
}

/// Starts runs that go through the queue, behind all that is due, and waits for them.
async fn others_go_on(rt: &Runtime, name: &str) {
    for n in 0..5 {
        let run = rt.start(three, Job { log: String::new(), n }).key(format!("{name} {n}")).await.unwrap();
        let result = tokio::time::timeout(Duration::from_secs(60), run.result()).await.expect("it goes on");
        assert_eq!(result.unwrap(), n + 3);
    }
}

on_every_backend!(a_run_of_an_unknown_phase_stops_no_other_run, |database| {
    let rt = quick(database).build().await.unwrap();
    let strange = rt.start(keeps_pages, 1).delay(Duration::from_secs(1)).await.unwrap();
    let change = "SET phase = 7 WHERE workflow = 'keeps_pages'";
    execute(database, &format!("UPDATE forge_wf_runs {change}"), &format!("UPDATE forge_wf.runs {change}")).await;
    eventually("the strange run is due", async || {
        let due = database.texts(
            "SELECT 'due' FROM forge_wf_runs WHERE phase = 7 AND ready_at < unixepoch('subsec') * 1000000",
            "SELECT 'due' FROM forge_wf.runs WHERE phase = 7 AND ready_at < now()",
        );
        (!due.await.is_empty()).then_some(())
    })
    .await;
    others_go_on(&rt, "before").await;
    rt.shutdown().await;
    let rt = quick(database).build().await.unwrap();
    others_go_on(&rt, "after").await;
    let rows = database.texts(
        "SELECT CAST(phase || ' ' || state || ' ' || (worker_id IS NULL) AS TEXT) FROM forge_wf_runs WHERE workflow = 'keeps_pages'",
        "SELECT concat(phase, ' ', state, ' ', (worker_id IS NULL)::int) FROM forge_wf.runs WHERE workflow = 'keeps_pages'",
    );
    assert_eq!(rows.await, ["7 0 1"], "nobody has written to it");
    let error = rt.run::<u64>(strange.id()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("7 is no phase (run {})", strange.id())), "{error}");
    let page = rt.client().list(&Filter::new().page_size(1_000)).await.unwrap();
    assert_eq!((page.runs.len(), page.unknown.len()), (10, 1));
    assert_eq!(page.unknown[0].run, strange.id());
    let found = preflight(&rt.client()).await.unwrap().to_string();
    let said = format!("run {} of keeps_pages (any): cannot be decoded: its row has the unknown phase 7", strange.id());
    assert!(found.contains(&said), "{found}");
    rt.shutdown().await;
});

on_every_backend!(a_run_whose_row_the_database_refuses_to_change_stops_no_other_run, |database| {
    let client = Client::connect(database.url()).await.unwrap();
    let refused = client.start_by_name("keeps_pages", json!(1)).await.unwrap();
    execute(
        database,
        "CREATE TRIGGER refuses BEFORE UPDATE ON forge_wf_runs WHEN NEW.workflow = 'keeps_pages'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
         CREATE TRIGGER refuses BEFORE UPDATE ON forge_wf.runs FOR EACH ROW
             WHEN (NEW.workflow = 'keeps_pages') EXECUTE FUNCTION refuse()",
    )
    .await;
    let rt = quick(database).build().await.unwrap();
    others_go_on(&rt, "beside").await;
    assert_eq!(refused.status().await.unwrap(), Status::Pending);
    rt.shutdown().await;
    execute(database, "DROP TRIGGER refuses", "DROP TRIGGER refuses ON forge_wf.runs").await;
    let rt = quick(database).build().await.unwrap();
    rt.client().send_event(refused.id(), Opened { n: 1 }).await.unwrap();
    assert_eq!(rt.run::<u64>(refused.id()).await.unwrap().result().await.unwrap(), 21);
    rt.shutdown().await;
    client.close().await;
});

on_every_backend!(a_run_that_cannot_be_given_an_order_keeps_no_other_from_it, |database| {
    let client = Client::connect(database.url()).await.unwrap();
    let mut runs = Vec::new();
    for n in 0..40 {
        runs.push(client.start_by_name("keeps_pages", json!(n)).await.unwrap().id());
    }
    // Lists show the newest first.
    let refused = runs[30];
    let id = refused.to_string();
    execute(
        database,
        &format!(
            "CREATE TRIGGER refuses BEFORE INSERT ON forge_wf_inbox WHEN NEW.run_id = x'{}'
                 BEGIN SELECT RAISE(ABORT, 'no mail'); END",
            id.replace('-', "")
        ),
        &format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no mail'; END $$;
             CREATE TRIGGER refuses BEFORE INSERT ON forge_wf.inbox FOR EACH ROW
                 WHEN (NEW.run_id = '{id}') EXECUTE FUNCTION refuse()"
        ),
    )
    .await;
    let given = client.cancel_all(Filter::new().page_size(7), 1_000, "enough").await.unwrap();
    assert_eq!((given.given, given.ended, given.failed.len()), (39, 0, 1));
    let (run, error) = &given.failed[0];
    assert!(*run == refused && error.to_string().contains("no mail"), "{run}: {error}");
    for run in runs {
        let told = client.audit(run).await.unwrap();
        assert_eq!(told.iter().any(|line| line.action == "cancel"), run != refused);
    }
    client.close().await;
});

on_every_backend!(a_journal_that_makes_no_sense_is_unreadable_and_is_tried_again, |database| {
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let run = rt.start(keeps_pages, 1).await.unwrap();
    let id = run.id();
    eventually("it waits", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    // Its row says that it turned back, and no entry says why.
    let phase = async |phase: u8| {
        let change = format!("SET phase = {phase} WHERE workflow = 'keeps_pages'");
        execute(database, &format!("UPDATE forge_wf_runs {change}"), &format!("UPDATE forge_wf.runs {change}")).await;
    };
    phase(1).await;
    rt.client().cancel(id, "enough").await.unwrap();
    eventually("it is set apart", async || (run.status().await.unwrap() == Status::BlockedUnreadable).then_some(()))
        .await;
    let why = run.show().await.unwrap().why;
    assert!(why.contains("no entry says why"), "{why}");
    others_go_on(&rt, "beside").await;
    // Once its rows are repaired, it is tried again, and obeys.
    phase(0).await;
    rt.shutdown().await;
    let rt = quick(database).build().await.unwrap();
    rt.client().retry(id, "the row is repaired").await.unwrap();
    let run = rt.run::<u64>(id).await.unwrap();
    eventually("the end", async || (run.status().await.unwrap() == Status::Cancelled).then_some(())).await;
    rt.shutdown().await;
});

/// Calls a child that keeps pages.
#[workflow]
async fn has_pages_kept(ctx: &WorkflowContext, n: usize) -> Result<u64> {
    Ok(keeps_pages(ctx, n).await?)
}

/// Makes the rows of `keeps_pages` say that they turned back, which no entry of theirs does.
async fn confuse(database: &Database) {
    let change = "SET phase = 1 WHERE workflow = 'keeps_pages' AND phase = 0";
    execute(database, &format!("UPDATE forge_wf_runs {change}"), &format!("UPDATE forge_wf.runs {change}")).await;
}

/// The kinds of mail to `keeps_pages` that is not used up.
async fn untaken(database: &Database) -> Vec<String> {
    database
        .texts(
            "SELECT CAST(kind AS TEXT) FROM forge_wf_inbox WHERE taken_at IS NULL",
            "SELECT kind::text FROM forge_wf.inbox WHERE taken_at IS NULL",
        )
        .await
}

on_every_backend!(a_kill_and_a_retire_end_a_run_whose_journal_makes_no_sense, |database| {
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    for status in [Status::Killed, Status::Retired] {
        let run = rt.start(keeps_pages, 1).await.unwrap();
        eventually("it waits", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
        confuse(database).await;
        let order = match status {
            Status::Killed => rt.client().kill(&run, "given up"),
            _ => rt.client().retire(&run, "given up"),
        };
        order.by("ada").await.unwrap();
        let error = run.result().await.unwrap_err();
        let said = format!("{} by ada: given up", status.name());
        let Error::RunFailed { status: ended, failure, .. } = error else { panic!("{error}") };
        assert_eq!((ended, failure.message()), (status, &*said));
        assert_eq!(run.show().await.unwrap().why, format!("{said}; nothing was undone"));
        assert_eq!(untaken(database).await, [""; 0], "the order is used up");
    }
    let rows = database.texts(
        "SELECT CAST(phase || ' ' || state || ' ' || (worker_id IS NULL) || ' ' || (ended_at IS NOT NULL) AS TEXT) FROM forge_wf_runs",
        "SELECT concat(phase, ' ', state, ' ', (worker_id IS NULL)::int, ' ', (ended_at IS NOT NULL)::int) FROM forge_wf.runs ORDER BY id",
    );
    assert_eq!(rows.await, ["2 14 1 1", "2 15 1 1"]);
    rt.shutdown().await;
});

on_every_backend!(a_parent_has_an_answer_of_a_child_that_was_killed_unread, |database| {
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let parent = rt.start(has_pages_kept, 1).await.unwrap();
    let list = async || rt.client().list(&Filter::new().workflow("keeps_pages")).await.unwrap().runs;
    let child = eventually("the child waits", async || {
        list().await.into_iter().find(|run| run.status == Status::Waiting).map(|run| run.id)
    })
    .await;
    confuse(database).await;
    rt.client().kill(child, "given up").by("ada").await.unwrap();
    let error = parent.result().await.unwrap_err();
    let Error::RunFailed { status: Status::Failed, failure, .. } = error else { panic!("{error}") };
    assert!(failure.message().contains("killed by ada: given up"), "{failure}");
    rt.shutdown().await;
});

on_every_backend!(a_kill_ends_a_run_whose_journal_the_database_cannot_read, |database| {
    let url = Damage::prepare(database).await;
    let worker = || quick(database).database(url.clone()).park_for(Duration::ZERO);
    let rt = worker().build().await.unwrap();
    let run = rt.start(keeps_pages, 3_000).await.unwrap();
    eventually("it waits", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    others_go_on(&rt, "before").await;
    rt.shutdown().await;
    let _damage = Damage::of(database).await;
    let rt = worker().build().await.unwrap();
    let run = rt.run::<u64>(run.id()).await.unwrap();
    // What it did is to be undone, and only its journal says what that is.
    run.cancel("enough").await.unwrap();
    let message = run.result().await.unwrap_err().to_string();
    assert!(message.contains("blocked_unreadable") && message.contains("a kill ends it as it is"), "{message}");
    assert_eq!(untaken(database).await, ["2"], "the cancel waits");
    run.kill("given up").by("ada").await.unwrap();
    eventually("it is killed", async || (run.status().await.unwrap() == Status::Killed).then_some(())).await;
    assert_eq!(untaken(database).await, [""; 0]);
    others_go_on(&rt, "beside").await;
    rt.shutdown().await;
});

on_every_backend!(an_entry_of_an_unknown_kind_is_left_to_a_newer_build, |database| {
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let strange = rt.start(keeps_pages, 1).await.unwrap();
    eventually("it waits", async || (strange.status().await.unwrap() == Status::Waiting).then_some(())).await;
    rt.shutdown().await;
    let change = "SET kind = 99 WHERE key = 'step:write_pages'";
    execute(database, &format!("UPDATE forge_wf_journal {change}"), &format!("UPDATE forge_wf.journal {change}")).await;

    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let strange = rt.run::<u64>(strange.id()).await.unwrap();
    rt.send_event(&strange, Opened { n: 1 }).await.unwrap();
    others_go_on(&rt, "beside").await;
    eventually("it is given back", async || {
        let rows = database.texts(
            "SELECT 'back' FROM forge_wf_runs WHERE workflow = 'keeps_pages' AND state = 0 AND worker_id IS NULL",
            "SELECT 'back' FROM forge_wf.runs WHERE workflow = 'keeps_pages' AND state = 0 AND worker_id IS NULL",
        );
        (!rows.await.is_empty()).then_some(())
    })
    .await;
    rt.shutdown().await;

    // A build that knows the kind takes it up.
    let change = "SET kind = 1 WHERE key = 'step:write_pages'";
    execute(database, &format!("UPDATE forge_wf_journal {change}"), &format!("UPDATE forge_wf.journal {change}")).await;
    let rt = quick(database).build().await.unwrap();
    assert_eq!(rt.run::<u64>(strange.id()).await.unwrap().result().await.unwrap(), 21);
    rt.shutdown().await;
});

/// Makes the journals of `keeps_pages` unreadable, and readable again.
///
/// In a file it puts bytes into a result that are no text. A server raises an error of the kind that a damaged page raises, to a role
/// that is asked for each row whether it may see it.
struct Damage<'d>(&'d Database);

impl<'d> Damage<'d> {
    /// What it takes on a server; the address of the role.
    async fn prepare(database: &'d Database) -> String {
        if database.is_sqlite() {
            return database.url().to_owned();
        }
        let (_, place) = database.url().split_once('@').expect("an address with a role");
        let role = format!("app_{}", database.url().rsplit_once('/').expect("an address with a database").1);
        forge_wf::testing::open_store(database.url()).await.unwrap().close().await;
        let sql = format!(
            "CREATE TABLE public.damaged (run uuid);
             CREATE FUNCTION public.readable(run uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 IF EXISTS (SELECT FROM public.damaged AS it WHERE it.run = readable.run) THEN
                     RAISE EXCEPTION 'invalid page in block 7 of relation' USING ERRCODE = 'XX001';
                 END IF;
                 RETURN true;
             END $$;
             CREATE ROLE {role} LOGIN;
             GRANT USAGE ON SCHEMA forge_wf TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA forge_wf TO {role};
             ALTER TABLE forge_wf.journal ENABLE ROW LEVEL SECURITY;
             CREATE POLICY looks ON forge_wf.journal FOR SELECT USING (public.readable(run_id));
             CREATE POLICY adds ON forge_wf.journal FOR INSERT WITH CHECK (true);
             CREATE POLICY changes ON forge_wf.journal FOR UPDATE USING (true)"
        );
        execute(database, "", &sql).await;
        format!("postgres://{role}@{place}")
    }

    async fn of(database: &'d Database) -> Self {
        let break_text = "UPDATE forge_wf_journal SET output = CAST(x'ff' || CAST(output AS BLOB) AS TEXT) WHERE key = 'step:write_pages'";
        let raise = "INSERT INTO public.damaged SELECT id FROM forge_wf.runs WHERE workflow = 'keeps_pages'";
        execute(database, break_text, raise).await;
        Self(database)
    }

    async fn repair(self) {
        let mend = "UPDATE forge_wf_journal SET output = CAST(substr(CAST(output AS BLOB), 2) AS TEXT) WHERE key = 'step:write_pages'";
        execute(self.0, mend, "DELETE FROM public.damaged").await;
    }
}

on_every_backend!(a_journal_the_database_cannot_read_blocks_its_run_and_no_other, |database| {
    let url = Damage::prepare(database).await;
    let worker = || quick(database).database(url.clone()).park_for(Duration::ZERO);
    let rt = worker().build().await.unwrap();
    let run = rt.start(keeps_pages, 3_000).await.unwrap();
    eventually("it waits", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    // Another run's journal shows that the database can be read.
    others_go_on(&rt, "before").await;
    rt.shutdown().await;
    let damage = Damage::of(database).await;
    let client = Client::connect(&url).await.unwrap();
    let why = client.show(run.id()).await.unwrap().why;
    assert!(why.starts_with("is waiting; its journal cannot be read: "), "{why}");
    client.close().await;

    let rt = worker().build().await.unwrap();
    let run = rt.run::<u64>(run.id()).await.unwrap();
    rt.send_event(&run, Opened { n: 1 }).await.unwrap();
    others_go_on(&rt, "beside").await;
    eventually("it is blocked", async || (run.status().await.unwrap() == Status::BlockedUnreadable).then_some(()))
        .await;
    let message = run.result().await.unwrap_err().to_string();
    assert!(message.contains("cannot be read") && message.contains("retry the run"), "{message}");
    let shown = run.show().await.unwrap();
    assert!(shown.entries.is_empty() && shown.failure.is_some(), "{shown:?}");
    assert!(
        shown.why.starts_with("blocked_unreadable: ") && shown.why.contains("; its journal cannot be read: "),
        "{shown:?}"
    );
    // A retry tries once, and finds the same.
    rt.client().retry(&run, "is it repaired?").await.unwrap();
    eventually("the retry is used up", async || {
        let waiting = database.texts(
            "SELECT name FROM forge_wf_inbox WHERE kind = 6 AND noticed_at IS NULL",
            "SELECT name FROM forge_wf.inbox WHERE kind = 6 AND noticed_at IS NULL",
        );
        waiting.await.is_empty().then_some(())
    })
    .await;
    eventually("it is blocked", async || (run.status().await.unwrap() == Status::BlockedUnreadable).then_some(()))
        .await;
    rt.shutdown().await;
    damage.repair().await;

    let rt = worker().build().await.unwrap();
    let run = rt.run::<u64>(run.id()).await.unwrap();
    rt.client().retry(&run, "repaired").await.unwrap();
    eventually("the result", async || run.result().await.ok().filter(|result| *result == 60_001)).await;
    rt.shutdown().await;
});

on_every_backend!(a_new_build_tries_a_run_again_that_could_not_be_read, |database| {
    let url = Damage::prepare(database).await;
    let worker = |build| quick(database).database(url.clone()).park_for(Duration::ZERO).build_id(build);
    let rt = worker("one").build().await.unwrap();
    let run = rt.start(keeps_pages, 3_000).await.unwrap();
    eventually("it waits", async || (run.status().await.unwrap() == Status::Waiting).then_some(())).await;
    others_go_on(&rt, "before").await;
    rt.shutdown().await;
    let damage = Damage::of(database).await;
    let rt = worker("one").build().await.unwrap();
    let run = rt.run::<u64>(run.id()).await.unwrap();
    rt.send_event(&run, Opened { n: 1 }).await.unwrap();
    eventually("it is blocked", async || (run.status().await.unwrap() == Status::BlockedUnreadable).then_some(()))
        .await;
    rt.shutdown().await;
    damage.repair().await;
    let rt = worker("two").build().await.unwrap();
    assert_eq!(rt.run::<u64>(run.id()).await.unwrap().result().await.unwrap(), 60_001);
    rt.shutdown().await;
});

// A file knows no rights of single tables, so this is about PostgreSQL only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_journal_that_nobody_may_read_for_a_while_blocks_nothing() {
    let database = &Database::postgres().await;
    let url = Damage::prepare(database).await;
    let (_, role) = url.split_once("//").unwrap();
    let role = role.split_once('@').unwrap().0;
    let rt = quick(database).database(url.clone()).build().await.unwrap();
    let mut runs = Vec::new();
    for n in 0..10 {
        runs.push(rt.start(three, Job { log: String::new(), n }).delay(Duration::from_secs(1)).await.unwrap());
    }
    execute(database, "", &format!("REVOKE SELECT ON forge_wf.journal FROM {role}")).await;
    eventually("they are claimed", async || {
        let claimed = database.texts("", "SELECT id::text FROM forge_wf.runs WHERE worker_id IS NOT NULL");
        (claimed.await.len() == 10).then_some(())
    })
    .await;
    // A claim, a load, and the looks at each run; what was blocked by then would stay blocked.
    eventually("the loads were refused", async || {
        let refused = database
            .texts("", "SELECT 'x' FROM pg_stat_database WHERE datname = current_database() AND xact_rollback > 12");
        (!refused.await.is_empty()).then_some(())
    })
    .await;
    execute(database, "", &format!("GRANT SELECT ON forge_wf.journal TO {role}")).await;
    for run in runs {
        run.result().await.unwrap();
    }
    rt.shutdown().await;
}

#[tokio::test]
async fn a_run_of_an_unknown_phase_is_named_in_the_log() {
    let database = Database::sqlite();
    let log = Log::of_this_thread();
    let rt = quick(&database).build().await.unwrap();
    let strange = rt.start(keeps_pages, 1).delay(Duration::from_secs(3600)).await.unwrap();
    rt.shutdown().await;
    execute(&database, "UPDATE forge_wf_runs SET phase = 7", "").await;
    let rt = quick(&database).build().await.unwrap();
    let (id, words) = (strange.id().to_string(), ["does not know the form", "keeps_pages", "unknown phase 7"]);
    eventually("the line", async || log.lines(&words).iter().any(|line| line.contains(&id)).then_some(())).await;
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn times_beyond_the_calendar_stop_no_other_run() {
    let database = &Database::postgres().await;
    let rt = quick(database).park_for(Duration::ZERO).build().await.unwrap();
    let strange = rt.start(keeps_pages, 1).await.unwrap();
    eventually("it waits", async || (strange.status().await.unwrap() == Status::Waiting).then_some(())).await;
    let delayed = rt.start(keeps_pages, 1).delay(Duration::from_secs(1)).await.unwrap();
    for time in ["infinity", "-infinity", "294000-01-01"] {
        let sql = format!(
            "UPDATE forge_wf.runs SET created_at = '{time}' WHERE id = '{}';
             UPDATE forge_wf.runs SET ready_at = '{time}', deadline_at = 'infinity' WHERE id = '{}' AND state = 0;
             UPDATE forge_wf.journal SET at = '{time}' WHERE run_id = '{}'",
            strange.id(),
            delayed.id(),
            strange.id()
        );
        execute(database, "", &sql).await;
        others_go_on(&rt, time).await;
        rt.client().list(&Filter::new()).await.unwrap();
    }
    rt.send_event(&strange, Opened { n: 0 }).await.unwrap();
    assert_eq!(strange.result().await.unwrap(), 20);
    rt.shutdown().await;
}
