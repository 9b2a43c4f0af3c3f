//! A fresh, empty database for each test, on both backends.

use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

/// Where `scripts/test` says that its PostgreSQL is.
pub const POSTGRES_VARIABLE: &str = "FORGE_WF_TEST_POSTGRES";

/// A fresh, empty database; it is gone when this is dropped.
pub struct Database {
    url: String,
    home: Home,
}

enum Home {
    Folder(#[expect(dead_code, reason = "held so that the folder lives as long as the test")] tempfile::TempDir),
    Server { admin: String, name: String },
}

impl Database {
    /// One in a file of its own.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { url: format!("sqlite:{}", folder.path().join("runs.db").display()), home: Home::Folder(folder) }
    }

    /// One on the PostgreSQL of `scripts/test`.
    pub async fn postgres() -> Self {
        let Ok(admin) = std::env::var(POSTGRES_VARIABLE) else {
            panic!(
                "no PostgreSQL to test with, since {POSTGRES_VARIABLE} is not set; run ./scripts/test, which starts one, or set \
                 FORGE_WF_SKIP_POSTGRES=1, which ignores these tests"
            );
        };
        let name = format!("t_{}", uuid::Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&admin).await.expect("the server of scripts/test");
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(create).await.expect("a database for this test");
        let (server, _) = admin.rsplit_once('/').expect("a URL with a database name");
        Self { url: format!("{server}/{name}"), home: Home::Server { admin, name } }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is SQLite.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.home, Home::Folder(_))
    }

    /// Executes statements in which `{forge_wf}` stands before the name of a table.
    pub async fn execute(&self, statements: &str) {
        let prefix = if self.is_sqlite() { "forge_wf_" } else { "forge_wf." };
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.replace("{forge_wf}", prefix)));
        if self.is_sqlite() {
            let options = SqliteConnectOptions::from_str(&self.url).expect("a readable URL");
            let options = options.busy_timeout(std::time::Duration::from_secs(30));
            let mut connection = options.connect().await.expect("the database of this test");
            statements.execute(&mut connection).await.expect("statements that can be executed");
        } else {
            let mut connection = PgConnection::connect(&self.url).await.expect("the database of this test");
            statements.execute(&mut connection).await.expect("statements that can be executed");
        }
    }

    /// Rows of a query that returns one text column, in order.
    pub async fn texts(&self, sqlite: &'static str, postgres: &'static str) -> Vec<String> {
        if self.is_sqlite() {
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.expect("the database of this test");
            sqlx::query_scalar(sqlite).fetch_all(&mut connection).await.expect("a readable table")
        } else {
            let mut connection = PgConnection::connect(&self.url).await.expect("the database of this test");
            sqlx::query_scalar(postgres).fetch_all(&mut connection).await.expect("a readable table")
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Home::Server { admin, name } = &self.home else { return };
        let (admin, drop) = (admin.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // Drop cannot wait on the test's own runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&admin).await.ok()?;
                connection.execute(sqlx::AssertSqlSafe(drop)).await.ok()
            })
        });
        if !matches!(dropped.join(), Ok(Some(_))) {
            eprintln!("the database {name} could not be dropped; it goes with its cluster");
        }
    }
}

/// Makes one test for each backend of an async block that takes a [`Database`].
#[macro_export]
macro_rules! on_every_backend {
    ($(#[$attribute:meta])* $name:ident, |$database:ident| $body:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn promise($database: &$crate::Database) {
                $body
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                promise(&$crate::Database::sqlite()).await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
            async fn on_postgres() {
                promise(&$crate::Database::postgres().await).await;
            }
        }
    };
}
