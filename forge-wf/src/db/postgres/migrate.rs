//! Brings the schema up to date, whoever else does so at the same moment.
//!
//! Never changes a schema that is newer than this build, and needs no right to create anything if nothing is pending.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, query, query_scalar, raw_sql};

use super::connect::BEGIN;
use super::error::state;
use crate::db::migrate::{Migration, pending};
use crate::store::StoreError;

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "runs", sql: include_str!("../../../migrations/postgres/0001_runs.sql") },
    Migration { version: 2, name: "waits", sql: include_str!("../../../migrations/postgres/0002_waits.sql") },
    Migration { version: 3, name: "orders", sql: include_str!("../../../migrations/postgres/0003_orders.sql") },
    Migration { version: 4, name: "deadlines", sql: include_str!("../../../migrations/postgres/0004_deadlines.sql") },
    Migration { version: 5, name: "versions", sql: include_str!("../../../migrations/postgres/0005_versions.sql") },
    Migration { version: 6, name: "signatures", sql: include_str!("../../../migrations/postgres/0006_signatures.sql") },
    Migration { version: 7, name: "bad_days", sql: include_str!("../../../migrations/postgres/0007_bad_days.sql") },
];

/// The oldest server the statements here run on.
const SERVER_OLDEST: i32 = 140_000;

/// How often a race for creating the schema is run again; each time somebody else has come further.
const RACES_MAX: usize = 20;

/// Why it stopped.
pub(super) enum Refusal {
    Store(StoreError),
    Driver(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

/// Applies what is pending, all of it or nothing.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), Refusal> {
    let server: i32 =
        query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&mut *connection).await?;
    if server < SERVER_OLDEST {
        let what = format!("the server is PostgreSQL {}; forge-wf needs 14 or newer", server / 10_000);
        return Err(Refusal::Store(StoreError::Misconfigured { what }));
    }
    let mut races = 0;
    loop {
        match attempt(connection).await {
            // CREATE .. IF NOT EXISTS looks first and creates then, so of two that do it at once one may fail: the name
            // was taken meanwhile (23505, 42P06, 42P07).
            Err(Refusal::Driver(error))
                if races < RACES_MAX && matches!(state(&error).as_deref(), Some("23505" | "42P06" | "42P07")) =>
            {
                races += 1;
            }
            answer => return answer,
        }
    }
}

async fn attempt(connection: &mut PgConnection) -> Result<(), Refusal> {
    let exists: bool =
        query_scalar("SELECT to_regclass('forge_wf.migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if exists && missing(connection).await?.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    // A migration takes as long as it takes. A program that freezes in the middle of one is cut off by the server.
    raw_sql("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
    // The schema may be there though the table is not, made by an administrator for a role that may not create one.
    let schema: bool =
        query_scalar("SELECT to_regnamespace('forge_wf') IS NOT NULL").fetch_one(&mut *transaction).await?;
    if !schema {
        raw_sql("CREATE SCHEMA IF NOT EXISTS forge_wf").execute(&mut *transaction).await?;
    }
    if !exists {
        raw_sql(
            "CREATE TABLE IF NOT EXISTS forge_wf.migrations \
             (version bigint PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL)",
        )
        .execute(&mut *transaction)
        .await?;
    }
    // Whoever comes second waits here, and then finds nothing left to do.
    raw_sql("LOCK TABLE forge_wf.migrations IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
    for migration in missing(&mut transaction).await? {
        raw_sql(migration.sql).execute(&mut *transaction).await?;
        query("INSERT INTO forge_wf.migrations (version, name, applied_at) VALUES ($1, $2, now())")
            .bind(migration.version)
            .bind(migration.name)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

async fn missing(connection: &mut PgConnection) -> Result<&'static [Migration], Refusal> {
    let newest = query_scalar("SELECT max(version) FROM forge_wf.migrations").fetch_one(connection).await?;
    pending(MIGRATIONS, newest).map_err(Refusal::Store)
}
