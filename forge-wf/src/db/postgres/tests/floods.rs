//! A flood of mail to one run costs the others nothing.

use std::sync::Arc;

use sqlx::{query, raw_sql};

use super::support::Scratch;
use crate::store::conformance::support::*;
use crate::store::{Due, Store};

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
         SELECT gen_random_uuid(), $1, 0, 'approved', now() FROM generate_series(1, 100000)",
    )
    .bind(flooded_id.0)
    .execute(&mut user)
    .await
    .unwrap();
    let begin = std::time::Instant::now();
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
    let hundred = begin.elapsed();
    // Measured beside each other, so that a busy machine meets both: a hundred calls, and as many walks through all of it.
    let begin = std::time::Instant::now();
    for _ in 0..5 {
        let walk = query("SELECT sum(length(name)) FROM forge_wf.inbox WHERE run_id = $1").bind(flooded_id.0);
        walk.execute(&mut user).await.unwrap();
    }
    let walks = begin.elapsed() * 20;
    assert!(hundred < walks, "a hundred calls took {hundred:?}, a hundred walks take {walks:?}");
}
