//! A flood of mail to one run costs the others nothing.

use std::sync::Arc;

use sqlx::{Connection, query, query_scalar, raw_sql};

use super::support::Scratch;
use crate::store::conformance::support::*;
use crate::store::{Due, Store};

/// How much mail one run gets.
const FLOOD: i64 = 100_000;

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_flood_slows_nothing_down() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let mut worker = Hand::new(&store).await;
    let (flooded, waits) = (bound(), bound());
    let (flooded_id, waits_id) = (flooded.id, waits.id);
    worker.bear(flooded).await;
    worker.bear(waits).await;
    store.load_events(flooded_id, "approved").await.unwrap();
    assert!(worker.claim(10).await.is_empty());
    let mut user = scratch.connection().await;
    query(
        "INSERT INTO forge_wf.inbox (id, run_id, kind, name, sent_at)
         SELECT gen_random_uuid(), $1, 0, 'approved', now() FROM generate_series(1, $2)",
    )
    .bind(flooded_id.0)
    .bind(FLOOD)
    .execute(&mut user)
    .await
    .unwrap();
    // By plans that were made for a table nobody knew anything about, and by plans that know of the flood.
    for round in 0..20 {
        if round == 10 {
            raw_sql("ANALYZE forge_wf.inbox").execute(&mut user).await.unwrap();
        }
        assert_eq!(store.unnoticed_mail(worker.id, &[]).await.unwrap().len(), 256);
        assert_eq!(store.load_mail(&[flooded_id]).await.unwrap()[0].page.mail.len(), 256);
        assert_eq!(store.load_events(flooded_id, "approved").await.unwrap().mail.len(), 256);
        assert_eq!(store.load_events(flooded_id, "refused").await.unwrap().mail.len(), 0);
        assert!(worker.claim(10).await.is_empty());
    }
    worker.update(flooded_id, 0, waiting(Due::Never)).await;
    worker.update(waits_id, 0, waiting(Due::Never)).await;
    assert_eq!(worker.claim_one().await.id, flooded_id);
    store.close().await;
    user.close().await.unwrap();
    let read = read_of_the_inbox(&scratch).await;
    assert!(read < FLOOD, "a hundred calls read {read} rows: more than one walk through all of them");
}

/// How many rows and index entries of the inbox all sessions read. Each tells it when it ends, so this waits until all have.
async fn read_of_the_inbox(scratch: &Scratch) -> i64 {
    let mut watcher = scratch.connection().await;
    until("all sessions have ended", async || {
        let open = "SELECT FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        query(open).fetch_optional(&mut watcher).await.unwrap().is_none()
    })
    .await;
    query_scalar(
        "SELECT coalesce(seq_tup_read, 0)
             + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relid = inbox.relid)
         FROM pg_stat_user_tables AS inbox WHERE schemaname = 'forge_wf' AND relname = 'inbox'",
    )
    .fetch_one(&mut watcher)
    .await
    .unwrap()
}
