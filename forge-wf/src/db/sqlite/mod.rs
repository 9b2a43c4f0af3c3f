//! A store in one SQLite file.
//!
//! One connection writes, a few read: SQLite has one writer at a time anyway, and waiting for it here is fair and costs
//! nothing. Several processes on one machine may share the file. A process that is frozen *inside* a write transaction
//! holds the file for all of them; nothing can be done about that on SQLite.
//!
//! Never keeps runs in memory only, and never holds a transaction open across anything a caller could drop.

mod anew;
mod audit;
mod claim;
mod commit;
mod error;
mod file;
mod follow;
mod join;
mod list;
mod mail;
mod moves;
mod open;
mod read;
mod rows;
mod shapes;
mod strange;
mod unreadable;
mod workers;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::writer::Writer;
use super::detached;
use crate::model::{Lane, Payload, RunId, Timestamp, WorkerId};
use crate::store::{
    Audit, Batch, Claim, ClaimRequest, CommitAnswer, FindStrays, ForkRun, Forked, Inbox, Inspect, Journal,
    KnownVersion, LeaseAhead, ListRuns, Listed, Mail, Mailbag, MoveRun, NewMail, NewRun, NewWorker, Posted, Renewal,
    RetryRun, RunView, StartAnswer, Store, StoreError, Stray, TakenOver, UnknownRun, Unserved,
};

/// How often a waiting worker looks whether another process has written. A look costs some microseconds and no disk.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// A store in one SQLite file. Clones share its connections.
#[derive(Clone)]
pub struct SqliteStore(Arc<Writer>);

impl SqliteStore {
    /// Opens the file, creates it if there is none, and brings its tables up to date.
    ///
    /// `url` is `sqlite:path`, `sqlite://path` or a plain path; `?mode=rw` refuses to create the file. A relative path means the
    /// working directory at the time of this call.
    ///
    /// The store follows the path. When the file is deleted, moved away or replaced, calls are `Unavailable` until a file with the
    /// tables of forge-wf stands there, which is then opened; none is created. The file is opened anew, too, when its log or index
    /// (`-wal`, `-shm`) is deleted. Workers that were registered before have lost their lease. On systems other than Unix only a missing file is noticed; Windows does not let an open file be replaced.
    ///
    /// # Errors
    /// `Misconfigured` with a sentence that says what to change (a missing directory, missing rights, a file that is not a
    /// database, a database in memory); `SchemaTooNew` if newer code has migrated the file, which is left as it was.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let url = url.to_owned();
        let writer = detached("open", async move { open::open(&url).await }).await?;
        Ok(Self(Arc::new(writer)))
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn commit_lanes(&self) -> i16 {
        workers::COMMIT_LANES
    }

    fn shares_our_clock(&self) -> bool {
        true
    }

    async fn register_worker(&self, worker: &NewWorker) -> Result<Timestamp, StoreError> {
        let (it, worker) = (self.0.clone(), worker.clone());
        detached("register_worker", async move {
            let now = workers::register(&it, &worker).await?;
            it.has_registered(worker.id);
            Ok(now)
        })
        .await
    }

    async fn renew_lease(&self, worker: WorkerId) -> Result<Renewal, StoreError> {
        // Through the writer: a connection of its own would only wait for the same file, with less fairness.
        let it = self.0.clone();
        detached("renew_lease", async move {
            it.check_worker(worker)?;
            workers::renew(&it, worker).await
        })
        .await
    }

    async fn take_over(&self, worker: WorkerId) -> Result<TakenOver, StoreError> {
        let it = self.0.clone();
        detached("take_over", async move { workers::take_over(&it, worker).await }).await
    }

    async fn leases_ahead(&self, worker: WorkerId) -> Result<Vec<LeaseAhead>, StoreError> {
        let it = self.0.clone();
        detached("leases_ahead", async move { workers::leases_ahead(&it.readers("leases_ahead").await?, worker).await })
            .await
    }

    async fn end_lease(&self, lease: &LeaseAhead) -> Result<bool, StoreError> {
        let (it, lease) = (self.0.clone(), *lease);
        detached("end_lease", async move { workers::end_lease(&it, lease).await }).await
    }

    async fn remove_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        let it = self.0.clone();
        detached("remove_worker", async move {
            workers::remove(&it, worker).await?;
            it.has_gone(worker);
            Ok(())
        })
        .await
    }

    async fn commit(
        &self,
        worker: WorkerId,
        lane: Lane,
        batch_no: i64,
        batch: &Batch,
    ) -> Result<CommitAnswer, StoreError> {
        let (it, batch) = (self.0.clone(), batch.clone());
        detached("commit", async move {
            it.check_worker(worker)?;
            commit::commit(&it, worker, lane, batch_no, batch).await
        })
        .await
    }

    async fn start_run(&self, run: &NewRun) -> Result<StartAnswer, StoreError> {
        let (it, run) = (self.0.clone(), run.clone());
        detached("start_run", async move { claim::start_run(&it, &run).await }).await
    }

    async fn claim_runs(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let (it, request) = (self.0.clone(), request.clone());
        detached("claim_runs", async move {
            it.check_worker(request.worker)?;
            claim::claim_runs(&it, &request).await
        })
        .await
    }

    async fn owned_runs(&self, worker: WorkerId) -> Result<Vec<RunId>, StoreError> {
        let it = self.0.clone();
        detached("owned_runs", async move { read::owned_runs(&it.readers("owned_runs").await?, worker).await }).await
    }

    async fn load_journals_up_to(&self, runs: &[(RunId, i32)], bytes: usize) -> Result<Vec<Journal>, StoreError> {
        let (it, runs) = (self.0.clone(), runs.to_vec());
        detached("load_journals", async move {
            read::load_journals(&it.readers("load_journals").await?, &runs, bytes).await
        })
        .await
    }

    async fn find_unreadable(&self, run: RunId, generation: i32) -> Result<Option<String>, StoreError> {
        const CALL: &str = "find_unreadable";
        let it = self.0.clone();
        detached(CALL, async move { unreadable::find(&it.readers(CALL).await?, run, generation).await }).await
    }

    async fn send_mail(&self, mail: &NewMail) -> Result<Posted, StoreError> {
        let (it, mail) = (self.0.clone(), mail.clone());
        detached("send_mail", async move { mail::send(&it, &mail).await }).await
    }

    async fn remind_overdue(&self) -> Result<u64, StoreError> {
        let it = self.0.clone();
        detached("remind_overdue", async move { mail::remind_overdue(&it.readers("remind_overdue").await?, &it).await })
            .await
    }

    async fn send_order(&self, mail: &NewMail, audit: &Audit) -> Result<Posted, StoreError> {
        let (it, mail, audit) = (self.0.clone(), mail.clone(), audit.clone());
        detached("send_order", async move { audit::send(&it, &mail, &audit).await }).await
    }

    async fn retry_run(&self, retry: &RetryRun, audit: &Audit) -> Result<Posted, StoreError> {
        let (it, retry, audit) = (self.0.clone(), retry.clone(), audit.clone());
        detached("retry_run", async move { anew::retry(&it, &retry, &audit).await }).await
    }

    async fn move_run(&self, moved: &MoveRun, audit: Option<&Audit>) -> Result<bool, StoreError> {
        let (it, moved, audit) = (self.0.clone(), moved.clone(), audit.cloned());
        detached("move_run", async move { moves::move_run(&it, &moved, audit.as_ref()).await }).await
    }

    async fn strays(&self, find: &FindStrays) -> Result<Vec<Stray>, StoreError> {
        let (it, find) = (self.0.clone(), find.clone());
        detached("strays", async move { moves::strays(&it.readers("strays").await?, &find).await }).await
    }

    async fn fork_run(&self, fork: &ForkRun, audit: &Audit) -> Result<Forked, StoreError> {
        let (it, fork, audit) = (self.0.clone(), fork.clone(), audit.clone());
        detached("fork_run", async move { anew::fork(&it, &fork, &audit).await }).await
    }

    async fn unnoticed_mail(&self, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError> {
        let (it, except) = (self.0.clone(), except.to_vec());
        detached("unnoticed_mail", async move {
            mail::unnoticed(&it.readers("unnoticed_mail").await?, worker, &except).await
        })
        .await
    }

    async fn unnoticed_mail_of(&self, run: RunId) -> Result<Vec<Mail>, StoreError> {
        let it = self.0.clone();
        detached(
            "unnoticed_mail_of",
            async move { mail::unnoticed_of(&it.readers("unnoticed_mail_of").await?, run).await },
        )
        .await
    }

    async fn runs_with_mail(&self, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
        let (it, runs) = (self.0.clone(), runs.to_vec());
        detached(
            "runs_with_mail",
            async move { mail::runs_with_mail(&it.readers("runs_with_mail").await?, &runs).await },
        )
        .await
    }

    async fn load_mail(&self, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError> {
        let (it, runs) = (self.0.clone(), runs.to_vec());
        detached("load_mail", async move { mail::load(&it.readers("load_mail").await?, &runs).await }).await
    }

    async fn load_events(&self, run: RunId, name: &str) -> Result<Mailbag, StoreError> {
        let (it, name) = (self.0.clone(), name.to_owned());
        detached("load_events", async move { mail::load_events(&it.readers("load_events").await?, run, &name).await })
            .await
    }

    async fn wait_for_hint(&self) -> Result<(), StoreError> {
        const CALL: &str = "wait_for_hint";
        loop {
            let it = self.0.clone();
            match detached(CALL, async move { it.is_news(CALL).await }).await {
                Ok(true) => return Ok(()),
                // Another process is busy with the file, and will have written when it is done.
                Ok(false) | Err(StoreError::Busy { .. }) => tokio::time::sleep(LOOK_EVERY).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn send_hint(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl Inspect for SqliteStore {
    async fn run(&self, run: RunId, grace: Duration) -> Result<Option<RunView>, StoreError> {
        let it = self.0.clone();
        detached("run", async move { read::run(&it.readers("run").await?, run, grace).await }).await
    }

    async fn run_by_key(&self, workflow: &str, key: &str, grace: Duration) -> Result<Option<RunView>, StoreError> {
        let (it, workflow, key) = (self.0.clone(), workflow.to_owned(), key.to_owned());
        detached("run_by_key", async move {
            read::run_by_key(&it.readers("run_by_key").await?, &workflow, &key, grace).await
        })
        .await
    }

    async fn journal(&self, run: RunId) -> Result<Option<Journal>, StoreError> {
        let it = self.0.clone();
        detached("journal", async move { read::journal(&it.readers("journal").await?, run).await }).await
    }

    async fn state(&self, run: RunId, key: &str) -> Result<Option<Payload>, StoreError> {
        let (it, key) = (self.0.clone(), key.to_owned());
        detached("state", async move { read::state(&it.readers("state").await?, run, &key).await }).await
    }

    async fn events(&self, run: RunId) -> Result<Vec<Mail>, StoreError> {
        let it = self.0.clone();
        detached("events", async move { mail::events(&it.readers("events").await?, run).await }).await
    }

    async fn list_runs(&self, list: &ListRuns, grace: Duration) -> Result<Listed, StoreError> {
        let (it, list) = (self.0.clone(), list.clone());
        detached(
            "list_runs",
            async move { list::list(&it.readers("list_runs").await?, &it.strange, &list, grace).await },
        )
        .await
    }

    async fn audit(&self, run: RunId) -> Result<Vec<(Timestamp, Audit)>, StoreError> {
        let it = self.0.clone();
        detached("audit", async move { audit::of_run(&it.readers("audit").await?, run).await }).await
    }

    async fn unserved(&self, grace: Duration) -> Result<Vec<Unserved>, StoreError> {
        let it = self.0.clone();
        detached("unserved", async move { read::unserved(&it.readers("unserved").await?, grace).await }).await
    }

    async fn unknown_runs(&self) -> Result<Vec<UnknownRun>, StoreError> {
        let it = self.0.clone();
        detached(
            "unknown_runs",
            async move { read::unknown_runs(&it.readers("unknown_runs").await?, &it.strange).await },
        )
        .await
    }

    async fn known_versions(&self) -> Result<Vec<KnownVersion>, StoreError> {
        let it = self.0.clone();
        detached("known_versions", async move { read::known_versions(&it.readers("known_versions").await?).await })
            .await
    }
}
