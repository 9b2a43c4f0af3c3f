//! What the tests of the examples share: programs as processes, and databases of their own with the journal as rows.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, SqliteConnection, query_scalar};

/// No wait of a test is longer than this, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one process said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit code; `None` if it was killed or aborted.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The line that begins so, without its beginning.
    pub fn line(&self, beginning: &str) -> &str {
        let line = self.out.lines().find_map(|line| line.strip_prefix(beginning));
        line.unwrap_or_else(|| panic!("no line begins with {beginning:?}: {self:#?}"))
    }
}

/// An example on a database of its own, in a folder of its own.
pub struct Home {
    program: &'static str,
    pub url: String,
    folder: tempfile::TempDir,
    _postgres: Option<Postgres>,
}

/// Makes a test of `fn(&Home)` for each database.
#[macro_export]
macro_rules! on_every_database {
    ($program:literal, $name:ident, |$home:ident| $body:block) => {
        mod $name {
            use super::*;

            #[test]
            fn on_sqlite() {
                promise(&support::Home::on_sqlite($program));
            }

            #[test]
            #[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
            fn on_postgres() {
                promise(&support::Home::on_postgres($program));
            }

            fn promise($home: &support::Home) $body
        }
    };
}

impl Home {
    pub fn on_sqlite(program: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { program, url: format!("sqlite:{}/test.db", folder.path().display()), folder, _postgres: None }
    }

    pub fn on_postgres(program: &'static str) -> Self {
        let postgres = Postgres::create();
        Self { program, url: postgres.url.clone(), folder: tempfile::tempdir().unwrap(), _postgres: Some(postgres) }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(self.program));
        command.args(arguments).args(["--database", &self.url]).current_dir(&self.folder).env_remove("RUST_LOG");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    /// Runs a command line that a program has printed, as a person would paste it.
    pub fn paste(&self, line: &str) -> Said {
        said(Command::new("sh").args(["-c", line]).current_dir(&self.folder).output().unwrap())
    }

    /// Starts it without waiting for its end.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(arguments))
    }

    /// The lines of a file in the folder.
    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// See [`texts`].
    pub fn texts(&self, sql: &str) -> Vec<String> {
        texts(&self.url, sql)
    }
}

/// A process whose output is read line by line; killed when it is dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (to, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        Self { child, lines }
    }

    /// Waits for the next line that has `words` in it.
    pub fn line(&mut self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("waited in vain for {words:?}: {error}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// As `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end; its exit code, `None` if it was killed or aborted.
    pub fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example of this name.
pub fn program(name: &str) -> PathBuf {
    // Beside `deps`, where this test is.
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(program.exists(), "the example is not built: cargo build -p forge-wf-examples --examples");
    program
}

/// The rows of a query that gives one text each; none while there is no database. JOURNAL, RUNS and INBOX are replaced by what
/// the tables are called there.
pub fn texts(url: &str, sql: &str) -> Vec<String> {
    let sql = ["JOURNAL", "RUNS", "INBOX"].iter().fold(sql.to_owned(), |sql, table| {
        let prefix = if url.starts_with("sqlite:") { "forge_wf_" } else { "forge_wf." };
        sql.replace(table, &format!("{prefix}{}", table.to_lowercase()))
    });
    let sql = sqlx::AssertSqlSafe(sql);
    let rows = block_on(async {
        if url.starts_with("sqlite:") {
            query_scalar(sql).fetch_all(&mut SqliteConnection::connect(url).await?).await
        } else {
            query_scalar(sql).fetch_all(&mut PgConnection::connect(url).await?).await
        }
    });
    rows.unwrap_or_else(|error| if is_missing(&error) { Vec::new() } else { panic!("{error}") })
}

/// Whether there is no database yet, or none of its tables.
fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // PostgreSQL: there is no such table, or no such schema. SQLite: there is no such file.
        Some("42P01" | "3F000" | "14") => true,
        // SQLite, of any fault in a statement.
        Some("1") => error.to_string().contains("no such table"),
        _ => false,
    }
}

/// How many rows there are, as in `FROM RUNS`.
pub fn count(url: &str, from: &str) -> u64 {
    let counted = texts(url, &format!("SELECT CAST(count(*) AS TEXT) {from}"));
    counted.first().map_or(0, |count| count.parse().unwrap())
}

pub fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
        // The longer it takes the rarer the looks, so that those who wait do not slow down what they wait for.
        std::thread::sleep((begin.elapsed() / 10).clamp(Duration::from_millis(2), Duration::from_millis(50)));
    }
}

pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A PostgreSQL database of its own, dropped at the end: workers help on every run of their database, and so would
/// take the runs of other tests.
pub struct Postgres {
    pub url: String,
    name: String,
    server: String,
}

impl Postgres {
    /// On the server that `FORGE_WF_TEST_POSTGRES` names.
    pub fn create() -> Self {
        let Ok(server) = std::env::var("FORGE_WF_TEST_POSTGRES") else {
            panic!(
                "no PostgreSQL to test with, since FORGE_WF_TEST_POSTGRES is not set; run ./scripts/test, which starts one, or set \
                 FORGE_WF_SKIP_POSTGRES=1, which ignores these tests"
            );
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("examples_test_{}_{number}", std::process::id());
        let (front, parameters) = server.split_once('?').map_or((&*server, None), |(f, p)| (f, Some(p)));
        let (front, _) = front.rsplit_once('/').unwrap();
        let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
        let created = Self { url: format!("{front}/{name}{parameters}"), name, server };
        created.execute(&format!("CREATE DATABASE {}", created.name));
        created
    }

    fn execute(&self, sql: &str) {
        let sql = sql.to_owned();
        block_on(async {
            let mut db = PgConnection::connect(&self.server).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}
