//! A connection to a server that is behind what was acknowledged is not used.

use std::sync::Arc;

use sqlx::{query, raw_sql};

use super::support::Scratch;
use crate::model::Lane;
use crate::store::conformance::support::*;
use crate::store::{Batch, Birth, Store};

#[tokio::test]
async fn a_new_connection_is_compared_with_what_was_acknowledged_on_every_lane() {
    let Some(scratch) = Scratch::new().await else { return };
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let worker = Hand::new(&store).await;
    let birth = || Batch { births: vec![Birth { run: bound(), image: executing() }], ..Batch::default() };
    for (lane, number) in [(1, 1), (1, 2), (2, 1)] {
        store.commit(worker.id, Lane(lane), number, &birth()).await.unwrap();
    }
    let mut other = scratch.connection().await;
    raw_sql("UPDATE forge_wf.lanes SET batch_no = 1 WHERE lane = 1").execute(&mut other).await.unwrap();
    store.commit(worker.id, Lane(2), 2, &birth()).await.expect("its own lane is as it was, on the connection it had");
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    query(others).execute(&mut other).await.unwrap();
    assert!(has_lost_commits(&store.commit(worker.id, Lane(2), 3, &birth()).await));
    assert!(has_lost_commits(&store.renew_lease(worker.id).await));
    store.remove_worker(worker.id).await.unwrap();
    let mut next = Hand::new(&store).await;
    next.commit(birth()).await;
}
