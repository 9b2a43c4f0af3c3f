//! A takeover frees what can be freed, though the server refuses or cancels a part of it.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, raw_sql};

use super::support::Scratch;
use crate::model::RunId;
use crate::store::conformance::support::*;
use crate::store::{Batch, Birth, Store, StoreError};

/// A worker whose lease has expired, and so many runs that it was executing.
async fn dead(store: &Arc<dyn Store>, runs: usize) -> Vec<RunId> {
    let mut dead = Hand::expired(store).await;
    let births: Vec<_> = (0..runs).map(|_| Birth { run: bound(), image: executing() }).collect();
    let ids = births.iter().map(|birth| birth.run.id).collect();
    dead.commit(Batch { births, ..Batch::default() }).await;
    ids
}

/// Raises an error of this state where `when` holds of a change of a run.
async fn raise(scratch: &Scratch, state: &str, when: &str) {
    let sql = format!(
        "CREATE FUNCTION public.raises() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF {when} THEN RAISE 'no' USING ERRCODE = '{state}'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER raises BEFORE UPDATE ON forge_wf.runs FOR EACH ROW EXECUTE FUNCTION public.raises()"
    );
    raw_sql(AssertSqlSafe(sql)).execute(&mut scratch.connection().await).await.unwrap();
}

async fn is_free(store: &Arc<dyn Store>, run: RunId) -> bool {
    view(store, run).await.worker.is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_takeover_that_the_server_cancels_goes_on_in_smaller_pieces() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let heir = Hand::new(&store).await;
    let runs = dead(&store, 120).await;
    raw_sql(
        "CREATE FUNCTION public.raises() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF (SELECT count(*) FROM changed) > 100 THEN RAISE 'no' USING ERRCODE = '57014'; END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER raises AFTER UPDATE ON forge_wf.runs REFERENCING NEW TABLE AS changed
             FOR EACH STATEMENT EXECUTE FUNCTION public.raises()",
    )
    .execute(&mut scratch.connection().await)
    .await
    .unwrap();
    let taken = store.take_over(heir.id).await.unwrap();
    assert_eq!((taken.runs, taken.more), (120, false));
    assert_eq!(view(&store, runs[0]).await.takeovers, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_whose_journal_takes_too_long_is_freed_without_it() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let heir = Hand::new(&store).await;
    let runs = dead(&store, 3).await;
    raise(&scratch, "57014", &format!("NEW.id = '{}' AND NEW.takeovers > 0", runs[1].0)).await;
    assert_eq!(store.take_over(heir.id).await.unwrap().runs, 3);
    for (run, takeovers) in runs.iter().zip([1, 0, 1]) {
        assert!(is_free(&store, *run).await);
        assert_eq!(view(&store, *run).await.takeovers, takeovers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_dead_worker_whose_runs_cannot_be_freed_stops_the_takeover_of_no_other() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let heir = Hand::new(&store).await;
    let (held, other) = (dead(&store, 1).await[0], dead(&store, 1).await[0]);
    // As a role with a lock_timeout is told about a row that is locked.
    raise(&scratch, "55P03", &format!("NEW.id = '{}'", held.0)).await;
    let taken = store.take_over(heir.id).await.unwrap();
    assert!(taken.runs == 1 && taken.more, "{taken:?}");
    assert!(is_free(&store, other).await && !is_free(&store, held).await);
    let taken = store.take_over(heir.id).await;
    assert!(matches!(taken, Err(StoreError::Busy { .. })), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_that_cannot_be_written_keeps_no_other_of_its_dead_worker() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let heir = Hand::new(&store).await;
    let runs = dead(&store, 3).await;
    let [refused, innocent, suspect] = runs[..] else { unreachable!() };
    let accuse = format!("UPDATE forge_wf.runs SET takeovers = 2, takeover_entries = 2 WHERE id = '{}'", suspect.0);
    raw_sql(AssertSqlSafe(accuse)).execute(&mut scratch.connection().await).await.unwrap();
    raise(&scratch, "P0001", &format!("NEW.id = '{}'", refused.0)).await;
    assert_eq!(store.take_over(heir.id).await.unwrap().runs, 2);
    assert!(is_free(&store, innocent).await && is_free(&store, suspect).await && !is_free(&store, refused).await);
    assert_eq!((view(&store, innocent).await.takeovers, view(&store, suspect).await.takeovers), (0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_worker_that_signs_off_stands_until_its_runs_are_free() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut leaving = Hand::new(&store).await;
    let run = bound();
    let id = run.id;
    leaving.bear(run).await;
    // Meanwhile another worker must not find that it is gone: it would free the runs as those of one that died.
    let gone = "NOT EXISTS (SELECT FROM forge_wf.workers WHERE workers.id = OLD.worker_id)";
    raise(&scratch, "P0001", gone).await;
    store.remove_worker(leaving.id).await.unwrap();
    assert!(is_free(&store, id).await);
    assert!(is_lost(&store.renew_lease(leaving.id).await));
}
