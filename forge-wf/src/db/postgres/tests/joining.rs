//! Mail that joins a user's own transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;

use super::support::{Scratch, cluster};
use crate::model::{RunId, State};
use crate::store::conformance::support::*;
use crate::store::{Join, Posted, Store, StoreError};

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn mail_in_a_users_transaction_counts_when_it_commits() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let run = keyed("order-17");
    let id = run.id;
    start(&store, run).await;
    store.wait_for_hint().await.unwrap();

    let mut user = scratch.connection().await;
    for commits in [false, true] {
        let mut transaction = user.begin().await.unwrap();
        assert_eq!(transaction.find_run("checkout", "order-17").await.unwrap(), Some(id));
        assert_eq!(transaction.find_run("refund", "order-17").await.unwrap(), None);
        let mail = event(id, "17");
        for _ in 0..2 {
            assert_eq!(transaction.send_mail(&mail).await.unwrap(), Posted::Sent);
        }
        assert_eq!(transaction.send_mail(&event(RunId::new(), "1")).await.unwrap(), Posted::Unknown);
        assert!(store.load_mail(&[id]).await.unwrap()[0].page.mail.is_empty(), "not before the commit");
        if commits {
            transaction.commit().await.unwrap();
            store.wait_for_hint().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
            let hinted = tokio::time::timeout(Duration::from_millis(150), store.wait_for_hint()).await;
            assert!(hinted.is_err());
        }
        assert_eq!(store.load_mail(&[id]).await.unwrap()[0].page.mail.len(), usize::from(commits));
    }

    // Also without a transaction of its own, and when the run is over.
    assert_eq!(user.send_mail(&event(id, "18")).await.unwrap(), Posted::Sent);
    store.wait_for_hint().await.unwrap();
    let mut worker = Hand::new(&store).await;
    let claimed = worker.claim_one().await;
    worker.update(id, claimed.claim_no, ended(State::Failed)).await;
    assert_eq!(user.send_mail(&event(id, "19")).await.unwrap(), Posted::Ended(State::Failed));
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_users_open_transaction_holds_up_neither_the_run_nor_its_mail() {
    let scratch = Scratch::new().await;
    let store: Arc<dyn Store> = Arc::new(scratch.store().await);
    let id = start(&store, bound()).await;
    let mut user = scratch.connection().await;
    let mut transaction = user.begin().await.unwrap();
    assert_eq!(transaction.send_mail(&event(id, "1")).await.unwrap(), Posted::Sent);

    let mut worker = Hand::new(&store).await;
    let claimed = worker.claim_one().await;
    assert_eq!(store.send_mail(&event(id, "2")).await.unwrap(), Posted::Sent);
    assert_eq!(bodies(&store.unnoticed_mail(worker.id, &[]).await.unwrap()), ["2"]);
    worker.update(id, claimed.claim_no, executing()).await;
    transaction.commit().await.unwrap();
    assert_eq!(
        bodies(&store.unnoticed_mail(worker.id, &[]).await.unwrap()),
        ["1", "2"],
        "in the order they were written"
    );
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn mail_for_another_database_is_refused_in_words() {
    let url = cluster();
    let mut user = sqlx::PgConnection::connect(&url).await.unwrap();
    let error = user.send_mail(&event(RunId::new(), "1")).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Misconfigured { what } if what.contains("use one to the database")),
        "{error}"
    );
}
