//! Rows that the server cannot read or refuses to change: what they keep from nothing else.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, raw_sql};

use super::support::Scratch;
use crate::model::{RunId, State};
use crate::store::conformance::refusing;
use crate::store::conformance::support::*;
use crate::store::{MailKind, NewMail, Store};

/// From now on the journal of this run cannot be read: the server answers as it does of a damaged page.
async fn damage_journal(scratch: &Scratch, run: RunId) {
    let sql = format!(
        "CREATE FUNCTION public.readable(run uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             IF run = '{}' THEN RAISE 'invalid page in block 7' USING ERRCODE = 'XX001'; END IF;
             RETURN true;
         END $$;
         ALTER TABLE forge_wf.journal RENAME TO journal_rows;
         CREATE VIEW forge_wf.journal AS SELECT * FROM forge_wf.journal_rows WHERE public.readable(run_id)",
        run.0
    );
    raw_sql(AssertSqlSafe(sql)).execute(&mut scratch.connection().await).await.unwrap();
}

/// Makes it look as if so many workers had died of the run.
async fn accuse(scratch: &Scratch, run: RunId, takeovers: i32) {
    let sql = format!("UPDATE forge_wf.runs SET takeovers = {takeovers}, takeover_entries = 2 WHERE id = '{}'", run.0);
    raw_sql(AssertSqlSafe(sql)).execute(&mut scratch.connection().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_suspect_whose_journal_cannot_be_read_keeps_no_other_run_of_its_dead_worker() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let (heir, mut dead) = (Hand::new(&store).await, Hand::expired(&store).await);
    let (suspect, other) = (bound(), bound());
    let (suspect_id, other_id) = (suspect.id, other.id);
    dead.bear(suspect).await;
    dead.bear(other).await;
    accuse(&scratch, suspect_id, 2).await;
    damage_journal(&scratch, suspect_id).await;
    assert_eq!(store.take_over(heir.id).await.unwrap().runs, 2);
    let (suspect, other) = (view(&store, suspect_id).await, view(&store, other_id).await);
    assert!(suspect.worker.is_none() && other.worker.is_none());
    assert_eq!((suspect.takeovers, other.takeovers), (0, 1), "what cannot be read accuses nobody");
    assert!(suspect.definition.is_some(), "it stays bound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_that_was_taken_over_is_claimed_though_its_progress_cannot_be_read() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let (damaged, further) = (start(&store, bound()).await, start(&store, bound()).await);
    accuse(&scratch, damaged, 1).await;
    accuse(&scratch, further, 1).await;
    let entry = format!(
        "INSERT INTO forge_wf.journal (args_hash, at, run_id, generation, n, scope, attempts, kind, state, key)
         VALUES (0, now(), '{}', 0, 0, 0, 0, 1, 0, 'step:charge')",
        further.0
    );
    raw_sql(AssertSqlSafe(entry)).execute(&mut scratch.connection().await).await.unwrap();
    damage_journal(&scratch, damaged).await;
    let mut worker = Hand::new(&store).await;
    let mut claimed: Vec<_> = worker.claim(10).await.into_iter().map(|run| (run.takeovers, run.id)).collect();
    claimed.sort();
    assert_eq!(claimed, [(0, further), (1, damaged)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn mail_whose_body_cannot_be_read_hides_no_other() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let run = start(&store, checkout()).await;
    // The server keeps a body as long as this apart, and cannot make it short.
    let long: String = (1..2_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    for body in ["1".to_owned(), format!("\"{long}\""), "3".to_owned()] {
        store.send_mail(&event(run, &body)).await.unwrap();
    }
    // As if the disk had lost it.
    raw_sql(
        "SET allow_system_table_mods = on;
         UPDATE pg_class SET relkind = 'r' WHERE oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'forge_wf.inbox'::regclass);
         DO $$ BEGIN EXECUTE format('DELETE FROM %s', (SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'forge_wf.inbox'::regclass)); END $$;
         UPDATE pg_class SET relkind = 't' WHERE oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'forge_wf.inbox'::regclass)",
    )
    .execute(&mut scratch.connection().await)
    .await
    .unwrap();
    // What is only deleted can still be read as a part of a value.
    raw_sql("VACUUM forge_wf.inbox").execute(&mut scratch.connection().await).await.unwrap();
    let inbox = store.load_mail(&[run]).await.unwrap().remove(0);
    assert_eq!(bodies(&inbox.page.mail), ["1", "3"]);
    assert!(inbox.unreadable.is_some_and(|why| why.contains("missing chunk")));
    let named = store.load_events(run, "approved").await.unwrap();
    assert_eq!(bodies(&named.mail), ["1", "3"]);
    let kill = NewMail { id: uuid::Uuid::now_v7(), run, kind: MailKind::Kill, name: String::new().into(), body: None };
    store.send_mail(&kill).await.unwrap();
    assert_eq!(store.load_mail(&[run]).await.unwrap().remove(0).page.mail.len(), 3, "a command reaches it");
}

/// Has the server refuse each change of these runs' rows from now on, and of no others.
async fn refuse(rows: &mut PgConnection, runs: Vec<RunId>) {
    let runs: Vec<_> = runs.iter().map(|run| format!("'{}'", run.0)).collect();
    let sql = format!(
        "CREATE OR REPLACE FUNCTION public.refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.id IN ({}) THEN RAISE EXCEPTION 'not this one'; END IF;
             RETURN NEW;
         END $$;
         CREATE OR REPLACE TRIGGER refuses BEFORE UPDATE ON forge_wf.runs FOR EACH ROW EXECUTE FUNCTION public.refuses()",
        runs.join(", ")
    );
    raw_sql(AssertSqlSafe(sql)).execute(rows).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_that_the_database_refuses_to_give_keeps_no_other_from_being_given() {
    let scratch = Scratch::new().await;
    let (store, mut rows) = (Arc::new(scratch.store().await), scratch.connection().await);
    let refuse = async |runs| refuse(&mut rows, runs).await;
    refusing::a_run_that_the_database_refuses_to_give_keeps_no_other_from_being_given(store, refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn times_beyond_the_calendar_are_read_as_the_first_or_the_last_time() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut rows = scratch.connection().await;
    let mut worker = Hand::new(&store).await;
    for time in ["infinity", "-infinity", "294000-01-01", "4713-01-01 BC"] {
        let (run, waits) = (bound(), start(&store, bound()).await);
        let id = run.id;
        worker.bear(run).await;
        worker.append(id, vec![completed("step:charge", 0, 1, "1")]).await;
        worker.send(vec![event(id, "1")]).await;
        let sql = format!(
            "UPDATE forge_wf.runs SET created_at = '{time}', deadline_at = '{time}' WHERE id IN ('{}', '{}');
             UPDATE forge_wf.runs SET ready_at = '{time}' WHERE id = '{}';
             UPDATE forge_wf.journal SET at = '{time}', due_at = '{time}' WHERE run_id = '{}';
             UPDATE forge_wf.inbox SET sent_at = '{time}' WHERE run_id = '{}';
             UPDATE forge_wf.audit SET at = '{time}'",
            id.0, waits.0, waits.0, id.0, id.0
        );
        raw_sql(AssertSqlSafe(sql)).execute(&mut rows).await.unwrap();
        assert_eq!(store.load_journals(&[(id, 0)]).await.unwrap()[0].entries.len(), 2, "{time}");
        assert_eq!(store.load_mail(&[id]).await.unwrap()[0].page.mail.len(), 1, "{time}");
        let seen = view(&store, id).await;
        assert_eq!(seen.deadline_at, Some(seen.created_at), "{time}");
        let due: Vec<_> = worker.claim(10).await.into_iter().map(|run| run.id).collect();
        assert_eq!(due.contains(&waits), time.contains('-') && !time.starts_with("294"), "{time}: {due:?}");
        raw_sql(AssertSqlSafe(format!("DELETE FROM forge_wf.runs WHERE id IN ('{}', '{}')", id.0, waits.0)))
            .execute(&mut rows)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_blocked_run_that_the_database_refuses_to_change_keeps_no_new_build_from_being_registered() {
    let scratch = Scratch::new().await;
    let (store, mut rows) = (Arc::new(scratch.store().await), scratch.connection().await);
    let refuse = async |runs| refuse(&mut rows, runs).await;
    refusing::a_blocked_run_that_the_database_refuses_to_change_keeps_no_new_build_from_being_registered(store, refuse)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn many_runs_that_cannot_be_written_keep_no_other_of_their_dead_worker() {
    let scratch = Scratch::new().await;
    let (store, mut rows) = (Arc::new(scratch.store().await), scratch.connection().await);
    let refuse = async |runs| refuse(&mut rows, runs).await;
    refusing::many_runs_that_cannot_be_written_keep_no_other_of_their_dead_worker(store, refuse).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_whose_mail_is_refused_keeps_no_other_from_its_deadline() {
    let scratch = Scratch::new().await;
    let (store, mut rows) = (Arc::new(scratch.store().await), scratch.connection().await);
    let refuse_mail = async |run: RunId| {
        let sql = format!(
            "CREATE FUNCTION public.refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no mail'; END $$;
             CREATE TRIGGER refuses BEFORE INSERT ON forge_wf.inbox FOR EACH ROW
                 WHEN (NEW.run_id = '{}') EXECUTE FUNCTION public.refuses()",
            run.0
        );
        raw_sql(AssertSqlSafe(sql)).execute(&mut rows).await.unwrap();
    };
    refusing::a_run_whose_mail_is_refused_keeps_no_other_from_its_deadline(store, refuse_mail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_whose_journal_cannot_be_read_is_seen_as_its_row_says() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let run = start(&store, bound()).await;
    let entries = format!(
        "INSERT INTO forge_wf.journal (args_hash, at, run_id, generation, n, scope, attempts, kind, state, key, output)
         VALUES (0, now(), '{0}', 0, 0, 0, 0, 3, 0, 'event:approved', NULL), (0, now(), '{0}', 0, 0, 0, 0, 9, 1, 'end', '1')",
        run.0
    );
    raw_sql(AssertSqlSafe(entries)).execute(&mut scratch.connection().await).await.unwrap();
    let set = async |values: &str| {
        let sql = format!("UPDATE forge_wf.runs SET {values} WHERE id = '{}'", run.0);
        raw_sql(AssertSqlSafe(sql)).execute(&mut scratch.connection().await).await.unwrap();
    };
    damage_journal(&scratch, run).await;
    set("state = 4, ready_at = NULL, failure = '{}'").await;
    let blocked = view(&store, run).await;
    assert_eq!((blocked.state, &blocked.unread), (State::Blocked, &None), "its row says all there is to say");
    set("state = 2, ready_at = now() + interval '1 hour', failure = NULL").await;
    let waiting = view(&store, run).await;
    assert!(waiting.due_later && waiting.unread.is_some_and(|said| said.contains("invalid page in block 7")));
    set("state = 10, phase = 2, ready_at = NULL, ended_at = now()").await;
    let completed = view(&store, run).await;
    assert_eq!((completed.state, completed.output), (State::Completed, None));
    assert!(completed.unread.is_some_and(|said| said.contains("invalid page in block 7")));
}
