//! What PostgreSQL did for it: commits, transaction ids and write-ahead log, from before to after.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, query, query_as, query_scalar};

use std::time::Duration;

use crate::{Result, is_here, measure};

/// Counters of the database, taken together.
struct Snapshot {
    /// As the statistics say. Backends hand these in with some delay, a second while they are busy.
    commits: i64,
    /// The next transaction id: every transaction that writes takes one. Exact.
    xid: i64,
    lsn: String,
    /// Of all the server's processes, if it is on this machine.
    cpu: Option<Duration>,
}

/// What happened in between.
pub struct DatabaseCost {
    pub commits: i64,
    pub writing_transactions: i64,
    pub wal_bytes: i64,
    /// Of all the server's processes, if it is on this machine.
    pub cpu: Option<Duration>,
    /// How full-page images were left out of `wal_bytes`, or that they were not.
    pub wal_note: &'static str,
}

/// Counts from where it was made.
pub struct Meter {
    connection: PgConnection,
    from: Snapshot,
}

impl Meter {
    pub async fn start(url: &str) -> Result<Self> {
        let mut connection = url.parse::<PgConnectOptions>()?.disable_statement_logging().connect().await?;
        // No checkpoint in the middle, if we are allowed to ask for one now.
        let _ = query("CHECKPOINT").execute(&mut connection).await;
        let from = snapshot(&mut connection, is_here(url)).await?;
        Ok(Self { connection, from })
    }

    pub async fn stop(mut self) -> Result<DatabaseCost> {
        let to = snapshot(&mut self.connection, self.from.cpu.is_some()).await?;
        let (wal_bytes, wal_note) = self.wal_bytes(&to).await?;
        Ok(DatabaseCost {
            commits: to.commits - self.from.commits,
            writing_transactions: to.xid - self.from.xid,
            wal_bytes,
            cpu: to.cpu.zip(self.from.cpu).map(|(to, from)| to.saturating_sub(from)),
            wal_note,
        })
    }

    async fn wal_bytes(&mut self, to: &Snapshot) -> Result<(i64, &'static str)> {
        let (from, to) = (&self.from.lsn, &to.lsn);
        if query("CREATE EXTENSION IF NOT EXISTS pg_walinspect").execute(&mut self.connection).await.is_ok() {
            let records =
                query_scalar("SELECT sum(record_size)::int8 FROM pg_get_wal_stats($1::text::pg_lsn, $2::text::pg_lsn)");
            if let Ok(bytes) = records.bind(from).bind(to).fetch_one(&mut self.connection).await {
                return Ok((bytes, "record bytes by pg_walinspect, full-page images left out"));
            }
        }
        let difference = query_scalar("SELECT ($2::text::pg_lsn - $1::text::pg_lsn)::int8");
        let bytes = difference.bind(from).bind(to).fetch_one(&mut self.connection).await?;
        Ok((bytes, "from LSN to LSN, full-page images included (pg_walinspect is not to be had)"))
    }
}

async fn snapshot(connection: &mut PgConnection, here: bool) -> Result<Snapshot> {
    let (commits, xid, lsn, process) = query_as::<_, (i64, i64, String, i32)>(
        "SELECT xact_commit, pg_snapshot_xmax(pg_current_snapshot())::text::int8, pg_current_wal_flush_lsn()::text,
            pg_backend_pid()
         FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(connection)
    .await?;
    let cpu = here.then(|| measure::cpu_time_of_siblings(process.cast_unsigned())).flatten();
    Ok(Snapshot { commits, xid, lsn, cpu })
}
