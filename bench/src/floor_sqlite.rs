//! The floor on SQLite: one connection, each batch one transaction of statements over many rows.
//!
//! sqlx hands each statement to the connection's own thread and back, which costs more than the row it writes; so rows
//! travel in statements of 64, 16, 4 or 1, few enough shapes for the cache of prepared statements.

use std::sync::LazyLock;

use sqlx::query::Query;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, query, raw_sql};

use crate::Result;
use crate::floor::{Batch, Floor, Writer};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS run (id BLOB PRIMARY KEY, state INT NOT NULL, input TEXT NOT NULL, output TEXT) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS step (run BLOB, n INT, output TEXT NOT NULL, PRIMARY KEY (run, n)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS single (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
";

const SIZES: [usize; 4] = [64, 16, 4, 1];

struct Shapes([String; SIZES.len()]);

static START: LazyLock<Shapes> =
    LazyLock::new(|| Shapes::new("INSERT INTO run (id, state, input) VALUES {rows}", "(?, 0, ?)"));
static RECORD: LazyLock<Shapes> =
    LazyLock::new(|| Shapes::new("INSERT INTO step (run, n, output) VALUES {rows}", "(?, ?, ?)"));
static END: LazyLock<Shapes> = LazyLock::new(|| {
    Shapes::new(
        "UPDATE run SET state = 1, output = ended.column2 FROM (VALUES {rows}) AS ended WHERE id = ended.column1",
        "(?, ?)",
    )
});

type Bound = Query<'static, Sqlite, SqliteArguments>;

impl Shapes {
    fn new(statement: &str, row: &str) -> Self {
        Self(SIZES.map(|size| statement.replace("{rows}", &vec![row; size].join(", "))))
    }

    /// Executes the statement over rows 0 to `count`, each bound by `bind`.
    async fn execute(
        &'static self,
        connection: &mut SqliteConnection,
        count: usize,
        bind: impl Fn(Bound, usize) -> Bound,
    ) -> Result<()> {
        let mut done = 0;
        while let Some(shape) = SIZES.iter().position(|size| *size <= count - done) {
            let rows = done..done + SIZES[shape];
            done = rows.end;
            rows.fold(query(self.0[shape].as_str()), &bind).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

struct SqliteWriter(SqliteConnection);

impl Writer for SqliteWriter {
    async fn write(&mut self, batch: &Batch) -> Result<()> {
        query("BEGIN IMMEDIATE").execute(&mut self.0).await?;
        START
            .execute(&mut self.0, batch.started.len(), |query, at| {
                query.bind(batch.started[at]).bind(batch.inputs[at].clone())
            })
            .await?;
        RECORD
            .execute(&mut self.0, batch.recorded.len(), |query, at| {
                query.bind(batch.recorded[at]).bind(batch.numbers[at]).bind(batch.outputs[at].clone())
            })
            .await?;
        END.execute(&mut self.0, batch.ended.len(), |query, at| {
            query.bind(batch.ended[at]).bind(batch.results[at].clone())
        })
        .await?;
        query("COMMIT").execute(&mut self.0).await?;
        Ok(())
    }
}

async fn connect(path: &str) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(std::time::Duration::from_secs(5))
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// The tables, and one writer: SQLite has one at a time anyway.
pub async fn open(path: &str) -> Result<Floor> {
    let mut connection = connect(path).await?;
    raw_sql(TABLES).execute(&mut connection).await?;
    Ok(Floor::new(vec![SqliteWriter(connection)]))
}

/// A connection that commits single rows.
pub struct Single(SqliteConnection);

impl Single {
    pub async fn open(path: &str) -> Result<Self> {
        Ok(Self(connect(path).await?))
    }

    pub async fn insert(&mut self) -> Result<()> {
        query("INSERT INTO single (value) VALUES (?)").bind(crate::output(0)).execute(&mut self.0).await?;
        Ok(())
    }
}
