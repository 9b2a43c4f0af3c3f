//! Promises of `PgStore::connect`.

use sqlx::{query, raw_sql};

use super::support::{Scratch, cluster, in_database};
use crate::db::postgres::PgStore;
use crate::model::RunId;
use crate::store::{Inspect, MailKind, Store, StoreError};

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
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn many_programs_may_create_the_schema_at_once() {
    let scratch = Scratch::new().await;
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
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_schema_from_the_future_is_left_alone() {
    let scratch = Scratch::new().await;
    scratch.store().await;
    let mut newer = scratch.connection().await;
    raw_sql("INSERT INTO forge_wf.migrations VALUES (99, 'later', now())").execute(&mut newer).await.unwrap();
    let answer = PgStore::connect(&scratch.url).await;
    assert!(matches!(answer, Err(StoreError::SchemaTooNew { found: 99, .. })), "{answer:?}");
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let scratch = Scratch::new().await;
    let mut old = scratch.connection().await;
    raw_sql(
        "CREATE SCHEMA forge_wf;
         CREATE TABLE forge_wf.migrations (version bigint PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL);
         INSERT INTO forge_wf.migrations VALUES (1, 'runs', now())",
    )
    .execute(&mut old)
    .await
    .unwrap();
    raw_sql(include_str!("../../../../migrations/postgres/0001_runs.sql")).execute(&mut old).await.unwrap();
    // An event and a cancel, each once noticed and once not.
    let run = RunId::new();
    for (kind, noticed) in [(0i16, true), (2, true), (0, false), (2, false)] {
        query(
            "INSERT INTO forge_wf.inbox (sent_at, noticed_at, kind, id, run_id, name)
             VALUES (now(), CASE WHEN $1 THEN now() END, $2, gen_random_uuid(), $3, 'approved')",
        )
        .bind(noticed)
        .bind(kind)
        .bind(run.0)
        .execute(&mut old)
        .await
        .unwrap();
    }
    let store = scratch.store().await;
    let bag = store.load_mail(&[run]).await.unwrap().remove(0).page;
    let found: Vec<_> = bag.mail.iter().map(|mail| (mail.mail.kind, mail.noticed)).collect();
    assert_eq!(found, [(MailKind::Event, true), (MailKind::Event, false), (MailKind::Cancel, false)]);
    assert_eq!(store.load_events(run, "approved").await.unwrap().mail.len(), 2);
    // And once more, which changes nothing.
    scratch.store().await;
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_wrong_password_is_not_shown() {
    let scratch = Scratch::new().await;
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
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_role_that_may_create_nothing_is_told_what_to_grant() {
    let scratch = Scratch::new().await;
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
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_missing_database_is_named() {
    let url = cluster();
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
