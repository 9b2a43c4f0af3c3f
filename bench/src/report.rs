//! The table that is printed, and the line that says on what.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use sqlx::{ConnectOptions, Connection, query_scalar};

use crate::{Result, is_postgres};

/// Collects rows; prints as a plain table.
pub struct Report {
    machine: String,
    table: Table,
    notes: Vec<String>,
}

impl Report {
    pub async fn new(url: &str) -> Result<Self> {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["measured", "forge-wf", "floor", "ratio", "rounds"]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let cores = std::thread::available_parallelism()?;
        let machine = format!("{cores} cores, {}, {}", system(), database(url).await?);
        Ok(Self { machine, table, notes: Vec::new() })
    }

    /// A row: ours, the floor's, their ratio and the ratios of all rounds; empty where there is none.
    pub fn row(&mut self, what: &str, ours: String, floor: String, ratio: String, rounds: String) {
        eprintln!("{what}: {ours} {floor} {ratio} {rounds}");
        self.table.add_row([what.to_owned(), ours, floor, ratio, rounds]);
    }

    /// A sentence below the table.
    pub fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n\n{}", self.machine, self.table)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "\n{note}"))
    }
}

fn system() -> String {
    let name = std::fs::read_to_string("/etc/os-release").ok().and_then(|text| {
        let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(name.trim_matches('"').to_owned())
    });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", name.unwrap_or_else(|| std::env::consts::OS.to_owned()), kernel.trim())
}

async fn database(url: &str) -> Result<String> {
    if is_postgres(url) {
        let options = url.parse::<sqlx::postgres::PgConnectOptions>()?.disable_statement_logging();
        let mut connection = options.connect().await?;
        let settings =
            "SELECT format('PostgreSQL %s, synchronous_commit %s, fsync %s', current_setting('server_version'),
            current_setting('synchronous_commit'), current_setting('fsync'))";
        let version = query_scalar(settings).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(version)
    } else {
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new().in_memory(true).connect().await?;
        let version: String = query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await?;
        Ok(format!("SQLite {version}, WAL, synchronous FULL"))
    }
}
