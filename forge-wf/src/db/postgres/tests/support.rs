//! A database for each test, on the cluster that `scripts/test` starts.

use sqlx::{AssertSqlSafe, Connection, PgConnection, query, raw_sql};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::db::postgres::PgStore;

/// Each test opens some ten connections, and a server has a hundred or two.
static AT_ONCE: Semaphore = Semaphore::const_new(8);

/// The address of the cluster's own database.
pub(super) fn cluster() -> String {
    let url = std::env::var("FORGE_WF_TEST_POSTGRES").ok().filter(|url| !url.is_empty());
    url.expect(
        "no PostgreSQL to test with, since FORGE_WF_TEST_POSTGRES is not set; run ./scripts/test, which starts one, or set \
         FORGE_WF_SKIP_POSTGRES=1, which ignores these tests",
    )
}

/// An empty database of its own, dropped with this value.
pub(super) struct Scratch {
    pub(super) url: String,
    cluster: String,
    name: String,
    _permit: SemaphorePermit<'static>,
}

impl Scratch {
    pub(super) async fn new() -> Self {
        let cluster = cluster();
        let permit = AT_ONCE.acquire().await.expect("the semaphore is never closed");
        let name = format!("forge_wf_test_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect(&cluster).await.expect("the cluster is there");
        raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.expect("a new database");
        admin.close().await.expect("closed");
        let url = in_database(&cluster, &name);
        Self { url, cluster, name, _permit: permit }
    }

    /// A store with connections of its own.
    pub(super) async fn store(&self) -> PgStore {
        PgStore::connect(&self.url).await.expect("the store connects")
    }

    /// A plain connection, for whatever other programs may do.
    pub(super) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("a connection")
    }

    /// Asks until some session of this database waits for a lock.
    pub(super) async fn until_somebody_waits(&self) {
        let mut watcher = self.connection().await;
        crate::store::conformance::support::until("somebody waits for a lock", async || {
            let waiting =
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            query(waiting).fetch_optional(&mut watcher).await.expect("the watcher looks").is_some()
        })
        .await;
    }
}

/// The address with another database in the place of its own.
pub(super) fn in_database(url: &str, name: &str) -> String {
    let (server, rest) = url.rsplit_once('/').expect("an address with a database");
    let parameters = rest.split_once('?').map(|(_, parameters)| format!("?{parameters}")).unwrap_or_default();
    format!("{server}/{name}{parameters}")
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (cluster, name) = (self.cluster.clone(), self.name.clone());
        // A drop cannot await, and the test's own runtime may be ending: so a thread with a runtime of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&cluster).await?;
                raw_sql(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut admin).await?;
                admin.close().await
            })
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            other => eprintln!("the database {} was left behind: {other:?}", self.name),
        }
    }
}
