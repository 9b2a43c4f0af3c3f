//! Connections: from an address to a pool and to lines, each with the settings every statement here relies on.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, Connection, query_with, raw_sql};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::columns::Columns;
use super::error::{sort, state, unavailable};
use crate::store::StoreError;

/// How long connecting may take.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long any answer may take. A little more than the server's own limit in [`SETTINGS`], so it speaks first if it can.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(70);
/// Reads, starts and mail in flight at a time. Commits, claims and renewals have lines of their own.
const POOL_MAX: u32 = 8;
/// A connection that has been idle for longer is asked whether it still lives before it is used.
const TRUST_IDLE: Duration = Duration::from_secs(1);

/// What every connection is told before its first statement.
///
/// - Read committed: what waits for a row goes on with the row as it is by then. Anything stricter fails instead.
/// - Every statement is written for its index. Statistics of a young table say that a scan or a hash of it is cheaper, the
///   plan is kept, and the table grows; so these are off, and plans are made once. With them off, plans look so expensive
///   that the server would compile them to machine code each time; so that is off too.
/// - Nothing may wait, or hold a transaction open, for ever.
const SETTINGS: &str = "
    SET default_transaction_isolation = 'read committed';
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;
    SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '10s'";

/// The options an address stands for. Its password is never shown.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    let form = "write it as postgres://user:password@host:5432/database";
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(StoreError::Misconfigured {
            what: format!("this is not the address of a PostgreSQL database; {form}"),
        });
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Misconfigured {
        what: format!("the address of the PostgreSQL database cannot be read ({error}); {form}"),
    })?;
    let name = options.get_application_name().unwrap_or("forge-wf").to_owned();
    Ok(options.application_name(&name).disable_statement_logging())
}

/// One connection with all settings.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let opening = async {
        let mut connection = PgConnection::connect_with(options).await?;
        raw_sql(SETTINGS).execute(&mut connection).await?;
        Ok(connection)
    };
    timeout(CONNECT_MAX, opening).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// The pool; connects when it is first used.
pub(super) fn pool(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(POOL_MAX)
        .acquire_timeout(CONNECT_MAX)
        // Asking costs a round trip each time, so only those are asked that had the time to go stale.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move { Ok(about.idle_for < TRUST_IDLE || connection.ping().await.is_ok()) })
        })
        .after_connect(|connection, _| Box::pin(async move { raw_sql(SETTINGS).execute(connection).await.map(drop) }))
        .connect_lazy_with(options.clone())
}

/// One connection for one kind of call, opened when it is first used and again when it broke.
///
/// A pool pings each connection when it is given back, which a commit would pay for; and the lease must not wait for a
/// connection that somebody else keeps busy. A connection belongs to the runtime that opened it: on another one it is
/// opened anew.
pub(super) struct Line {
    options: PgConnectOptions,
    patience: Duration,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    connection: Option<(tokio::runtime::Id, PgConnection)>,
    closed: bool,
}

impl Line {
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        Self { options: options.clone(), patience: ANSWER_MAX, slot: Mutex::default() }
    }

    /// A line that gives up on an answer sooner.
    pub(super) fn impatient(options: &PgConnectOptions, patience: Duration) -> Self {
        Self { patience, ..Self::new(options) }
    }

    /// Sends one statement in autocommit and returns its rows.
    ///
    /// # Errors
    /// `Unavailable` also if no answer came in time; the connection is given up then, since nobody knows what it holds.
    pub(super) async fn fetch(
        &self,
        call: &'static str,
        sql: &'static str,
        parameters: Columns,
    ) -> Result<Vec<PgRow>, StoreError> {
        let arguments = parameters.finish(call)?;
        let mut slot = self.slot.lock().await;
        if slot.closed {
            return Err(sort(call, sqlx::Error::PoolClosed));
        }
        let here = tokio::runtime::Handle::current().id();
        let mut connection = match slot.connection.take() {
            Some((home, connection)) if home == here => connection,
            _ => timeout(self.patience, connect(&self.options))
                .await
                .unwrap_or(Err(sqlx::Error::PoolTimedOut))
                .map_err(|error| sort(call, error))?,
        };
        match timeout(self.patience, query_with(sql, arguments).fetch_all(&mut connection)).await {
            Err(_) => Err(unavailable(call, "no answer in time")),
            Ok(Ok(rows)) => {
                slot.connection = Some((here, connection));
                Ok(rows)
            }
            Ok(Err(error)) => {
                // An answer, if a bad one, so the connection is sound; unless it was to say goodbye (57).
                if state(&error).is_some_and(|state| !state.starts_with("57P")) {
                    slot.connection = Some((here, connection));
                }
                Err(sort(call, error))
            }
        }
    }

    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        slot.closed = true;
        if let Some((home, connection)) = slot.connection.take()
            && home == tokio::runtime::Handle::current().id()
        {
            // Nothing is open; what cannot be closed in order is closed by being dropped.
            let _ = timeout(Duration::from_secs(1), connection.close()).await;
        }
    }
}
