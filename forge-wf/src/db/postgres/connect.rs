//! Opens connections: from an address to one connection with the settings every statement here relies on.
//!
//! Takes the address as it is now, for each connection anew. Returns connections that are ready for statements; keeps none.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row, raw_sql};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::error::{has_no_room, state, timed_out};
use super::room::{Lacking, Room};
use super::watch::Helper;
use crate::store::StoreError;
use crate::store::address::Address;

/// How long connecting may take.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a server that answers nothing may take to accept a connection.
const ACCEPT_MAX: Duration = Duration::from_secs(1);
/// How long to ask for a connection again that the server or the role has no room for. A server counts a connection for a
/// moment after it was closed.
pub(super) const ROOM_MAX: Duration = Duration::from_secs(5);
/// Pause before such a connection is asked for again.
pub(super) const ROOM_PAUSE: Duration = Duration::from_millis(50);

/// What every connection is told with the message that opens it, so a connection pooler sees it and can refuse it.
///
/// - Read committed: what waits for a row goes on with the row as it is by then. Anything stricter fails instead.
/// - Every statement is written for its index, and for the order in which that index gives its rows. Statistics of a young
///   table say that it is cheaper to scan or to hash the table, or to collect all matches in a bitmap and sort them for one page.
///   The plan is kept, and the table grows. So these are off, and plans are made once. With them off, plans look so expensive
///   that the server would compile them to machine code each time; so that is off too.
/// - Nothing may wait, or hold a transaction open, for ever.
/// - The server sends a packet after ten silent seconds, so a firewall between does not forget the connection; and it ends a
///   connection whose client gives no sign of life, so a dead one does not use up the role's connections. The driver has
///   no way to set the same on this side.
const SETTINGS: &[(&str, &str)] = &[
    ("default_transaction_isolation", "read committed"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
];

/// Opens a transaction. Behind a pooler no connection has settings of its own, so a transaction brings the ones it needs, and
/// they end with it.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// What the first query on a connection asks: which process serves it and since when, whether the settings reached that process (`$MARK` is
/// sent with them), whether the plans are made as they should be, by these settings or those of the role, and whether the server
/// is a standby.
const FIRST_QUERY: &str = "SELECT pg_backend_pid(), coalesce((\
        SELECT (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity WHERE pid = pg_backend_pid()\
    ), 0), \
    coalesce(current_setting('forge_wf.connection', true) = '$MARK', false), \
    current_setting('plan_cache_mode') = 'force_generic_plan' AND current_setting('enable_seqscan') = 'off' \
        AND current_setting('enable_hashjoin') = 'off' AND current_setting('enable_mergejoin') = 'off' \
        AND current_setting('enable_bitmapscan') = 'off', \
    pg_is_in_recovery()";

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
    // No statement here reads a float, and a pooler may refuse settings it does not know.
    Ok(options.application_name(&name).extra_float_digits(None::<i8>).disable_statement_logging())
}

/// What is done on a connection; may be done again on another one.
pub(super) trait Work<T>:
    for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + Sync
{
}

impl<T, W> Work<T> for W where W: for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + Sync
{}

/// A process of a server. After a failover another server may have one with the same number.
#[derive(Clone, Copy)]
pub(super) struct Backend {
    pub(super) pid: i32,
    /// When it was started, in microseconds.
    pub(super) started: i64,
}

/// One open connection.
pub(super) struct Link {
    pub(super) connection: PgConnection,
    /// The server's process that serves it; `None` behind a pooler, where each transaction may have another one.
    pub(super) backend: Option<Backend>,
    /// A connection belongs to the runtime that opened it.
    pub(super) home: tokio::runtime::Id,
    /// When the server last answered on it.
    pub(super) heard: Instant,
    /// Whether the server was a standby when it was opened.
    pub(super) standby: bool,
}

impl Link {
    /// Says goodbye, so that the server ends its process at once. What cannot be closed in order is closed by being dropped.
    pub(super) async fn close(self) {
        if self.home == tokio::runtime::Handle::current().id() {
            let _ = timeout(Duration::from_secs(1), self.connection.close()).await;
        }
    }
}

/// Opens connections to one database.
pub(super) struct Opener {
    address: Address,
    /// Whether a pooler stands between: then connections are shared, and get no settings.
    pooled: AtomicBool,
    /// Whether the log says already that plans are made without the settings.
    warned: AtomicBool,
    /// Whether a standby is no use any more, since a worker was registered.
    primary_only: AtomicBool,
    silent: Mutex<Option<Instant>>,
    /// Where the server is asked about connections that give no answer.
    pub(super) helper: Helper,
    /// Who comes first where there is too little room.
    pub(super) room: Room,
}

impl Opener {
    pub(super) fn new(address: Address) -> Self {
        let off = || AtomicBool::new(false);
        let (silent, helper) = (Mutex::default(), Helper::default());
        Self { address, pooled: off(), warned: off(), primary_only: off(), silent, helper, room: Room::new() }
    }

    /// From now on no connection to a standby is used: a worker was registered, and a standby may show what was before its last
    /// commits, so that it would do again what it has done. A former primary that was demoted is a standby too.
    pub(super) fn require_primary(&self) {
        self.primary_only.store(true, Ordering::Relaxed);
    }

    /// Whether a worker was registered.
    pub(super) fn has_workers(&self) -> bool {
        self.primary_only.load(Ordering::Relaxed)
    }

    /// Whether a pooler stands between, as far as is known.
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    /// Whether this connection may be used.
    pub(super) fn accepts(&self, link: &Link) -> bool {
        !link.standby || !self.primary_only.load(Ordering::Relaxed)
    }

    /// A connection on which something was asked then gave no answer.
    pub(super) fn fell_silent(&self, asked: Instant) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        *silent = silent.max(Some(asked));
    }

    /// When the question was asked that last had no answer, on any connection.
    pub(super) fn silent(&self) -> Option<Instant> {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The options of the address as it is now, without settings.
    pub(super) async fn address(&self) -> Result<PgConnectOptions, StoreError> {
        let url = self.address.now().await.map_err(|error| StoreError::Misconfigured {
            what: format!("the program's function that returns the address of the database failed: {error}"),
        })?;
        parse(&url)
    }

    /// The options of a connection that only listens.
    pub(super) async fn listening(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = self.address().await.map_err(|error| sqlx::Error::Configuration(error.into()))?;
        Ok(if self.pooled.load(Ordering::Relaxed) { options } else { options.options(SETTINGS.iter().copied()) })
    }

    /// One new connection. Where there is no room the pool of this store makes some.
    ///
    /// # Errors
    /// The server refused it, or is a standby where a primary is needed, or `Io` if no answer came in time.
    pub(super) async fn open(&self) -> Result<Link, sqlx::Error> {
        let opening = async {
            let begun = Instant::now();
            let mut lacking = None;
            loop {
                match self.open_now().await {
                    Err(error) if has_no_room(&error) && begun.elapsed() < ROOM_MAX => {
                        lacking.get_or_insert_with(|| self.room.lack());
                        sleep(ROOM_PAUSE).await;
                    }
                    answer => return answer,
                }
            }
        };
        self.in_time(opening).await
    }

    /// One new connection once no line waits for one, and an error at once where there is no room.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub(super) async fn open_after_lines(&self) -> Result<Link, sqlx::Error> {
        self.room.until_enough(ROOM_MAX).await;
        self.in_time(self.open_now()).await
    }

    /// Asks whether there is room for one more connection. Where there is none, the pool makes some until the answer is dropped.
    pub(super) async fn find_room(&self) -> Option<(Lacking<'_>, sqlx::Error)> {
        match timeout(ROOM_MAX, self.open_now()).await {
            Ok(Ok(link)) => link.close().await,
            Ok(Err(error)) if has_no_room(&error) => return Some((self.room.lack(), error)),
            Ok(Err(_)) | Err(_) => {}
        }
        None
    }

    async fn in_time(&self, opening: impl Future<Output = Result<Link, sqlx::Error>>) -> Result<Link, sqlx::Error> {
        match timeout(CONNECT_MAX, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(self.no_answer().await),
        }
    }

    /// Says what gave no answer: the program, the way to the server, or the server.
    async fn no_answer(&self) -> sqlx::Error {
        let accepts = async {
            let options = self.address().await.ok()?;
            let (host, port) = (options.get_host(), options.get_port());
            let is_local = options.get_socket().is_some() || host.starts_with('/');
            Some(is_local || matches!(timeout(ACCEPT_MAX, TcpStream::connect((host, port))).await, Ok(Ok(_))))
        };
        let who = match timeout(2 * ACCEPT_MAX, accepts).await {
            Ok(Some(true)) => "the server accepted the connection and did not answer",
            Ok(Some(false)) => "nothing accepted the connection",
            Ok(None) | Err(_) => "the program's function that returns the address of the database did not return",
        };
        timed_out(who, CONNECT_MAX)
    }

    async fn open_now(&self) -> Result<Link, sqlx::Error> {
        let options = self.address().await.map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let mark = Uuid::now_v7().simple().to_string();
        if self.pooled.load(Ordering::Relaxed) {
            return self.examine(PgConnection::connect_with(&options).await?, &mark).await;
        }
        let settings = SETTINGS.iter().copied().chain([("forge_wf.connection", mark.as_str())]);
        match PgConnection::connect_with(&options.clone().options(settings)).await {
            Ok(connection) => self.examine(connection, &mark).await,
            // If it was not the settings, this fails as well.
            Err(error) if may_be_the_settings(&error) => {
                self.examine(PgConnection::connect_with(&options).await?, &mark).await
            }
            Err(error) => Err(error),
        }
    }

    /// Finds out what is at the other end.
    async fn examine(&self, mut connection: PgConnection, mark: &str) -> Result<Link, sqlx::Error> {
        let query = sqlx::AssertSqlSafe(FIRST_QUERY.replace("$MARK", mark));
        let row = raw_sql(query).fetch_one(&mut connection).await?;
        let backend = Backend { pid: row.try_get(0)?, started: row.try_get(1)? };
        let (direct, planned, standby): (bool, bool, bool) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        self.pooled.store(!direct, Ordering::Relaxed);
        if !direct && !planned && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a connection pooler stands before PostgreSQL, so forge-wf sets nothing on its connections, and statements may \
                 get slow plans; give the settings to the role, as the documentation of RuntimeBuilder::notifications lists them"
            );
        }
        let home = tokio::runtime::Handle::current().id();
        let link = Link { connection, backend: direct.then_some(backend), home, heard: Instant::now(), standby };
        if self.accepts(&link) {
            return Ok(link);
        }
        link.close().await;
        Err(sqlx::Error::Io(std::io::Error::other("the server is a standby, and a worker needs the primary")))
    }
}

/// Whether a server or a proxy that answers this may have refused the settings. Proxies say so in many ways; it is not about them if it
/// is about the login (28), the database (3D), too little room (53), or a server that starts up or shuts down (57).
fn may_be_the_settings(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| !matches!(state.get(..2), Some("28" | "3D" | "53" | "57")))
}
