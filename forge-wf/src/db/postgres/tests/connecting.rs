//! Promises of `PgStore::connect`.

use sqlx::raw_sql;

use super::support::{Scratch, cluster, in_database};
use crate::db::postgres::PgStore;
use crate::store::{Inspect, StoreError};

async fn complaint(url: &str) -> String {
    match PgStore::connect(url).await {
        Err(StoreError::Misconfigured { what }) => what,
        other => panic!("{other:?} is not a complaint about {url}"),
    }
}

fn with_user(url: &str, user: &str) -> String {
    let (_, place) = url.rsplit_once('@').expect("an address with a user");
    format!("postgres://{user}@{place}")
}

#[tokio::test]
async fn many_programs_may_create_the_schema_at_once() {
    let Some(scratch) = Scratch::new().await else { return };
    let builders: Vec<_> = (0..12)
        .map(|_| {
            let url = scratch.url.clone();
            tokio::spawn(async move { PgStore::connect(&url).await })
        })
        .collect();
    for builder in builders {
        let store = builder.await.unwrap().expect("every one of them is served");
        assert!(store.unserved(std::time::Duration::ZERO).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_schema_from_the_future_is_left_alone() {
    let Some(scratch) = Scratch::new().await else { return };
    scratch.store().await;
    let mut newer = scratch.connection().await;
    raw_sql("INSERT INTO forge_wf.migrations VALUES (7, 'flying', now())").execute(&mut newer).await.unwrap();
    let answer = PgStore::connect(&scratch.url).await;
    assert!(matches!(answer, Err(StoreError::SchemaTooNew { found: 7, known: 1 })), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_password_is_not_shown() {
    let Some(scratch) = Scratch::new().await else { return };
    let mut admin = scratch.connection().await;
    // scripts/postgres has the server ask this role for a password.
    raw_sql(
        "DO $$ BEGIN CREATE ROLE forge_wf_password LOGIN PASSWORD 'right'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let what = complaint(&with_user(&scratch.url, "forge_wf_password:very-wrong")).await;
    assert!(what.contains("does not let role forge_wf_password in") && !what.contains("very-wrong"), "{what}");
}

#[tokio::test]
async fn a_role_that_may_create_nothing_is_told_what_to_grant() {
    let Some(scratch) = Scratch::new().await else { return };
    let mut admin = scratch.connection().await;
    raw_sql("DO $$ BEGIN CREATE ROLE forge_wf_guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        .execute(&mut admin)
        .await
        .unwrap();
    let url = with_user(&scratch.url, "forge_wf_guest");
    let what = complaint(&url).await;
    assert!(what.contains("GRANT CREATE ON DATABASE") && what.contains("forge_wf_guest"), "{what}");

    // With the rights listed in the migration it connects to a schema somebody else has made.
    scratch.store().await;
    complaint(&url).await;
    raw_sql(
        "GRANT USAGE ON SCHEMA forge_wf TO forge_wf_guest;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA forge_wf TO forge_wf_guest",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let store = PgStore::connect(&url).await.unwrap();
    crate::store::conformance::commits::three_hundred_operations_fit_one_batch(std::sync::Arc::new(store)).await;
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let Some(url) = cluster() else { return };
    let what = complaint(&in_database(&url, "forge_wf_nowhere")).await;
    assert!(what.contains("there is no database forge_wf_nowhere at 127.0.0.1:"), "{what}");
}

#[tokio::test]
async fn an_address_nobody_listens_at_is_named() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let what = complaint(&format!("postgres://ada:very-secret@127.0.0.1:{port}/shop")).await;
    assert!(what.contains(&format!("127.0.0.1:{port} cannot be reached")) && !what.contains("secret"), "{what}");
}

#[tokio::test]
async fn an_address_of_something_else_is_refused_in_words() {
    for url in ["mysql://ada:very-secret@host/shop", "sqlite:runs.db", "", "postgres://ada:very-secret@host:shop/x"] {
        let what = complaint(url).await;
        assert!(what.contains("postgres://user:password@host:5432/database") && !what.contains("secret"), "{what}");
    }
}
