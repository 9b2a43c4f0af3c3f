//! A store in a PostgreSQL database, shared by many workers.
//!
//! Every write of a worker is one statement in autocommit that carries its own fence, so the server never holds a lock while
//! it waits for a client, and a worker that is frozen holds up nobody. What remains a transaction (takeovers, migrations) is
//! bounded by the server's `idle_in_transaction_session_timeout`. Each lane has a connection of its own, and so have the
//! lease and the hints; everything else shares a pool of those that are left.
//!
//! **Invariant: a connection outlives no answer that may be about it.** What accuses the data or the moment leaves it open; after
//! any other error, or none, it is closed and the statement is sent on a new one (`connections.rs`, `error.rs`). Guarded by
//! `tests/bad_connections.rs`.
//!
//! No advisory locks, no clock but the server's. Processes give each other hints by LISTEN and NOTIFY, outside every commit;
//! rows are the truth, and all works, slower, where no hint arrives.

mod anew;
mod audit;
mod claim;
mod columns;
mod commit;
mod connect;
mod connections;
mod error;
mod hints;
mod join;
mod list;
mod mail;
mod migrate;
mod moves;
mod pooler;
mod read;
mod room;
mod rows;
#[cfg(test)]
mod tests;
mod time;
mod unreadable;
mod watch;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::claim::Wanted;
use self::columns::Columns;
use self::connect::{Link, Opener};
use self::connections::{ANSWER_MAX, Connections, Worker};
use self::error::{CONNECT, POOLER, explain, is_a_matter_of_time, place};
use self::hints::{Ear, Voice};
use self::read::Which;
use super::acknowledged::Acknowledged;
use super::detached;
use super::refusals::Refusals;
use crate::model::{Lane, Payload, RunId, Timestamp, WorkerId};
use crate::store::address::Opening;
use crate::store::{
    Audit, Batch, Claim, ClaimRequest, CommitAnswer, FindStrays, ForkRun, Forked, Inbox, Inspect, Journal,
    KnownVersion, LeaseAhead, ListRuns, Listed, Mail, Mailbag, MoveRun, NewMail, NewRun, NewWorker, Posted, Renewal,
    RetryRun, RunView, StartAnswer, Store, StoreError, Stray, TakenOver, UnknownRun, Unserved,
};

/// How long a renewal of the lease waits for an answer before it tries a new connection.
const RENEWAL_MAX: Duration = Duration::from_secs(5);

/// A store in a PostgreSQL database. Clones share its connections.
#[derive(Clone)]
pub struct PgStore(Arc<Inner>);

/// How often a program says that it waits for its server.
const WAIT_PAUSE: Duration = Duration::from_secs(1);

struct Inner {
    /// One for each lane: claims, then commits. A lone worker never waits for one; several workers of one store take turns.
    lanes: Vec<Connections>,
    leases: Connections,
    ear: Ear,
    voice: Voice,
    pool: Connections,
    opener: Arc<Opener>,
    /// Where the address led when the store was opened.
    place: String,
    acknowledged: Acknowledged,
    /// Runs of dead workers that could not be freed.
    not_freed: Refusals,
    /// Runs past their deadline whose reminder was refused.
    not_reminded: Refusals,
}

/// Connections that are not in the pool: the lanes, the lease, the hints.
const APART: u32 = workers::COMMIT_LANES as u32 + 3;

impl Inner {
    fn lane(&self, lane: Lane) -> &Connections {
        let lane = usize::try_from(lane.0).unwrap_or_default();
        &self.lanes[lane % self.lanes.len()]
    }

    /// For which worker a statement is sent.
    fn by(&self, id: WorkerId) -> Worker<'_> {
        Worker { id, acknowledged: &self.acknowledged }
    }

    /// Sends one statement in autocommit through the pool.
    async fn fetch(&self, call: &'static str, sql: &'static str, columns: Columns) -> Result<Vec<PgRow>, StoreError> {
        self.pool.fetch(call, sql, columns).await
    }
}

impl PgStore {
    /// Connects to the database and brings the tables of its schema `forge_wf` up to date.
    ///
    /// `url` is `postgres://user:password@host:5432/database`. The role needs the right to create the schema the first time
    /// (`GRANT CREATE ON DATABASE`), later only what the top of `migrations/postgres/0001_runs.sql` lists. Many programs may
    /// do this at once. What a connection pooler must keep is said at `RuntimeBuilder::notifications`.
    ///
    /// # Errors
    /// `Misconfigured` with a sentence that says what to change (an address that cannot be read or reached, a wrong
    /// password, a missing database, missing rights, a server that is too old); `SchemaTooNew` if newer code has migrated
    /// the database, which is left as it was.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::open(Opening::at(url)).await
    }

    /// As [`PgStore::connect`], with another number of connections, with an address that changes, or waiting for a server that
    /// is not up yet.
    ///
    /// # Errors
    /// As there; also `Misconfigured` for fewer connections than [`Opening::CONNECTIONS_MIN`].
    pub async fn open(opening: Opening) -> Result<Self, StoreError> {
        let Opening { address, connections, wait } = opening;
        if connections < Opening::CONNECTIONS_MIN {
            return Err(StoreError::Misconfigured {
                what: format!(
                    "{connections} connections to PostgreSQL are too few; allow at least {} (3 for the lanes of a worker, 1 each for \
                     its lease and for hints, and 1 or more for everything else)",
                    Opening::CONNECTIONS_MIN
                ),
            });
        }
        detached(CONNECT, async move {
            let opener = Arc::new(Opener::new(address));
            let link = up_to_date(&opener, wait).await?;
            let place = place(&opener.address().await?);
            // Each store has a name of its own: several of one process are strangers to each other.
            let me = Uuid::now_v7();
            let inner = Inner {
                lanes: (0..=workers::COMMIT_LANES).map(|_| Connections::line(&opener, ANSWER_MAX)).collect(),
                leases: Connections::line(&opener, RENEWAL_MAX),
                ear: Ear::new(&opener, me),
                voice: Voice::new(me),
                pool: Connections::pool(&opener, connections - APART),
                opener,
                place,
                acknowledged: Acknowledged::default(),
                not_freed: Refusals::default(),
                not_reminded: Refusals::default(),
            };
            inner.pool.add(link).await;
            Ok(Self(Arc::new(inner)))
        })
        .await
    }
}

/// A connection to the database, its schema up to date. For up to `wait` a server that is not up yet is waited for.
async fn up_to_date(opener: &Opener, wait: Duration) -> Result<Link, StoreError> {
    let begun = Instant::now();
    loop {
        let options = opener.address().await?;
        let migrated = async {
            let mut link = opener.open().await?;
            // What is not served by one process of the server stands behind a pooler.
            if link.backend.is_none() && pooler::mixes_statements(opener, &mut link).await? {
                let what = format!("{}: {POOLER}", place(&options));
                return Err(migrate::Refusal::Store(StoreError::Misconfigured { what }));
            }
            migrate::migrate(&mut link.connection).await?;
            Ok(link)
        };
        match migrated.await {
            Ok(link) => return Ok(link),
            Err(migrate::Refusal::Store(error)) => return Err(error),
            Err(migrate::Refusal::Driver(error)) if is_a_matter_of_time(&error) && begun.elapsed() < wait => {
                tracing::warn!(%error, "waiting for PostgreSQL at {}", place(&options));
                sleep(WAIT_PAUSE.min(wait.saturating_sub(begun.elapsed()))).await;
            }
            Err(migrate::Refusal::Driver(error)) => return Err(explain(error, &options)),
        }
    }
}

impl std::fmt::Debug for PgStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PgStore")
    }
}

#[async_trait]
impl Store for PgStore {
    fn commit_lanes(&self) -> i16 {
        workers::COMMIT_LANES
    }

    async fn register_worker(&self, worker: &NewWorker) -> Result<Timestamp, StoreError> {
        let (it, worker) = (self.0.clone(), worker.clone());
        detached("register_worker", async move { workers::register(&it, &worker).await }).await
    }

    async fn renew_lease(&self, worker: WorkerId) -> Result<Renewal, StoreError> {
        let it = self.0.clone();
        detached("renew_lease", async move { workers::renew(&it, worker).await }).await
    }

    async fn take_over(&self, worker: WorkerId) -> Result<TakenOver, StoreError> {
        let it = self.0.clone();
        detached("take_over", async move { workers::take_over(&it, worker).await }).await
    }

    async fn leases_ahead(&self, worker: WorkerId) -> Result<Vec<LeaseAhead>, StoreError> {
        let it = self.0.clone();
        detached("leases_ahead", async move { workers::leases_ahead(&it, worker).await }).await
    }

    async fn end_lease(&self, lease: &LeaseAhead) -> Result<bool, StoreError> {
        let (it, lease) = (self.0.clone(), *lease);
        detached("end_lease", async move { workers::end_lease(&it, lease).await }).await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        let it = self.0.clone();
        detached("remove_worker", async move { workers::remove(&it, worker).await }).await
    }

    async fn commit(
        &self,
        worker: WorkerId,
        lane: Lane,
        batch_no: i64,
        batch: &Batch,
    ) -> Result<CommitAnswer, StoreError> {
        let (it, prepared) = (self.0.clone(), commit::prepare(worker, lane, batch_no, batch));
        detached("commit", async move { commit::commit(&it, prepared).await }).await
    }

    async fn start_run(&self, run: &NewRun) -> Result<StartAnswer, StoreError> {
        let (it, columns) = (self.0.clone(), claim::start_columns(run));
        let wanted = Wanted { id: run.id, workflow: run.workflow.clone(), key: run.key.clone() };
        detached("start_run", async move { claim::start_run(&it, columns, wanted).await }).await
    }

    async fn claim_runs(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let (it, request) = (self.0.clone(), request.clone());
        detached("claim_runs", async move { claim::claim_runs(&it, &request).await }).await
    }

    async fn owned_runs(&self, worker: WorkerId) -> Result<Vec<RunId>, StoreError> {
        let it = self.0.clone();
        detached("owned_runs", async move { read::owned_runs(&it, worker).await }).await
    }

    async fn load_journals_up_to(&self, runs: &[(RunId, i32)], bytes: usize) -> Result<Vec<Journal>, StoreError> {
        let (it, runs) = (self.0.clone(), runs.to_vec());
        detached("load_journals", async move { read::load_journals(&it, &runs, bytes).await }).await
    }

    async fn find_unreadable(&self, run: RunId, generation: i32) -> Result<Option<String>, StoreError> {
        let it = self.0.clone();
        detached("find_unreadable", async move { unreadable::find(&it, run, generation).await }).await
    }

    async fn send_mail(&self, mail: &NewMail) -> Result<Posted, StoreError> {
        let (it, columns) = (self.0.clone(), mail::send_columns(mail));
        detached("send_mail", async move { mail::send(&it, columns).await }).await
    }

    async fn remind_overdue(&self) -> Result<u64, StoreError> {
        let it = self.0.clone();
        detached("remind_overdue", async move { mail::remind_overdue(&it).await }).await
    }

    async fn send_order(&self, mail: &NewMail, audit: &Audit) -> Result<Posted, StoreError> {
        let (it, columns) = (self.0.clone(), audit::order_columns(mail, audit));
        detached("send_order", async move { audit::send(&it, columns).await }).await
    }

    async fn retry_run(&self, retry: &RetryRun, audit: &Audit) -> Result<Posted, StoreError> {
        let (it, columns) = (self.0.clone(), anew::retry_columns(retry, audit));
        detached("retry_run", async move { anew::retry(&it, columns).await }).await
    }

    async fn move_run(&self, moved: &MoveRun, audit: Option<&Audit>) -> Result<bool, StoreError> {
        let (it, columns) = (self.0.clone(), moves::move_columns(moved, audit));
        detached("move_run", async move { moves::move_run(&it, columns).await }).await
    }

    async fn strays(&self, find: &FindStrays) -> Result<Vec<Stray>, StoreError> {
        let (it, find) = (self.0.clone(), find.clone());
        detached("strays", async move { moves::strays(&it, &find).await }).await
    }

    async fn fork_run(&self, fork: &ForkRun, audit: &Audit) -> Result<Forked, StoreError> {
        let (it, columns) = (self.0.clone(), anew::fork_columns(fork, audit));
        detached("fork_run", async move { anew::fork(&it, columns).await }).await
    }

    async fn unnoticed_mail(&self, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError> {
        let (it, except) = (self.0.clone(), except.to_vec());
        detached("unnoticed_mail", async move { mail::unnoticed(&it, worker, &except).await }).await
    }

    async fn unnoticed_mail_of(&self, run: RunId) -> Result<Vec<Mail>, StoreError> {
        let it = self.0.clone();
        detached("unnoticed_mail_of", async move { mail::unnoticed_of(&it, run).await }).await
    }

    async fn runs_with_mail(&self, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
        let (it, runs) = (self.0.clone(), runs.to_vec());
        detached("runs_with_mail", async move { mail::runs_with_mail(&it, &runs).await }).await
    }

    async fn load_mail(&self, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError> {
        let (it, runs) = (self.0.clone(), runs.to_vec());
        detached("load_mail", async move { mail::load(&it, &runs).await }).await
    }

    async fn load_events(&self, run: RunId, name: &str) -> Result<Mailbag, StoreError> {
        let (it, name) = (self.0.clone(), name.to_owned());
        detached("load_events", async move { mail::load_events(&it, run, &name).await }).await
    }

    async fn wait_for_hint(&self) -> Result<(), StoreError> {
        // Not detached: a wait nobody waits for would keep the connection from the next, and take its hint.
        self.0.ear.hear().await
    }

    async fn send_hint(&self) -> Result<(), StoreError> {
        let it = self.0.clone();
        detached("send_hint", async move { it.voice.speak(&it).await }).await
    }

    async fn close(&self) {
        self.0.ear.close().await;
        for line in self.0.lanes.iter().chain([&self.0.leases]) {
            line.close().await;
        }
        self.0.pool.close().await;
    }
}

#[async_trait]
impl Inspect for PgStore {
    async fn run(&self, run: RunId, grace: Duration) -> Result<Option<RunView>, StoreError> {
        let it = self.0.clone();
        detached("run", async move { read::run(&it, Which::Ids(vec![run.0]), grace).await }).await
    }

    async fn run_by_key(&self, workflow: &str, key: &str, grace: Duration) -> Result<Option<RunView>, StoreError> {
        let (it, which) = (self.0.clone(), Which::Key(workflow.to_owned(), key.to_owned()));
        detached("run_by_key", async move { read::run(&it, which, grace).await }).await
    }

    async fn journal(&self, run: RunId) -> Result<Option<Journal>, StoreError> {
        let it = self.0.clone();
        detached("journal", async move { read::journal(&it, run).await }).await
    }

    async fn state(&self, run: RunId, key: &str) -> Result<Option<Payload>, StoreError> {
        let (it, key) = (self.0.clone(), key.to_owned());
        detached("state", async move { read::state(&it, run, &key).await }).await
    }

    async fn events(&self, run: RunId) -> Result<Vec<Mail>, StoreError> {
        let it = self.0.clone();
        detached("events", async move { mail::events(&it, run).await }).await
    }

    async fn list_runs(&self, list: &ListRuns, grace: Duration) -> Result<Listed, StoreError> {
        let (it, list, columns) = (self.0.clone(), list.clone(), list::columns(list));
        detached("list_runs", async move { list::list(&it, &list, columns, grace).await }).await
    }

    async fn audit(&self, run: RunId) -> Result<Vec<(Timestamp, Audit)>, StoreError> {
        let it = self.0.clone();
        detached("audit", async move { audit::of_run(&it, run).await }).await
    }

    async fn unserved(&self, grace: Duration) -> Result<Vec<Unserved>, StoreError> {
        let it = self.0.clone();
        detached("unserved", async move { read::unserved(&it, grace).await }).await
    }

    async fn unknown_runs(&self) -> Result<Vec<UnknownRun>, StoreError> {
        let it = self.0.clone();
        detached("unknown_runs", async move { read::unknown_runs(&it).await }).await
    }

    async fn known_versions(&self) -> Result<Vec<KnownVersion>, StoreError> {
        let it = self.0.clone();
        detached("known_versions", async move { read::known_versions(&it).await }).await
    }
}
