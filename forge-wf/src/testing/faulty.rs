//! A store whose calls fail or lose their answers on cue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::model::{Lane, Payload, RunId, Timestamp, WorkerId};
use crate::store::{
    Audit, Batch, Claim, ClaimRequest, CommitAnswer, FindStrays, ForkRun, Forked, Inbox, Inspect, Journal,
    KnownVersion, LeaseAhead, ListRuns, Listed, Mail, Mailbag, MoveRun, NewMail, NewRun, NewWorker, Posted, Renewal,
    RetryRun, RunView, StartAnswer, Store, StoreError, Stray, TakenOver, UnknownRun, Unserved,
};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It never reaches the database.
    Fails,
    /// The database does it, but the answer is lost.
    LosesAnswer,
    /// The database says that this worker has no right to do it.
    Denied,
    /// The database does not do it, since another transaction holds what it needs.
    IsBusy,
}

/// Where a call can be held: before the database hears of it, or after it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The database has not heard of it.
    Before,
    /// The database has done it, and the caller has no answer.
    After,
}

/// A call by its name, and the side on which it is held.
pub type HoldPoint = (&'static str, Side);

/// Decides what happens to the `number`-th call (from 0, counted over all methods that write) of this name.
pub type Plan = Box<dyn Fn(&'static str, u64) -> Fault + Send + Sync>;

/// A store whose calls fail or lose their answers on cue, and that refuses entries with a marked payload.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Plan,
    calls: AtomicU64,
    poison: Option<String>,
    bytes_max: usize,
    holds_looks: Option<watch::Receiver<Option<RunId>>>,
    looks_held: AtomicU64,
    looks_to_fail: AtomicU64,
    holds_loads: Option<watch::Receiver<bool>>,
    loads_held: AtomicU64,
    loads_to_fail: AtomicU64,
    inboxes_at_once: AtomicUsize,
    holds: Option<watch::Receiver<Option<HoldPoint>>>,
    held: AtomicU64,
}

impl FaultyStore {
    /// `inner`, with faults by `plan`.
    pub fn new(inner: Arc<dyn Store>, plan: Plan) -> Self {
        Self {
            inner,
            plan,
            calls: AtomicU64::new(0),
            poison: None,
            bytes_max: usize::MAX,
            holds_looks: None,
            looks_held: AtomicU64::new(0),
            looks_to_fail: AtomicU64::new(0),
            holds_loads: None,
            loads_held: AtomicU64::new(0),
            loads_to_fail: AtomicU64::new(0),
            inboxes_at_once: AtomicUsize::new(0),
            holds: None,
            held: AtomicU64::new(0),
        }
    }

    /// The same store, refusing every batch that has this text in an output, in arguments, in what an undo is given or in the input of a child.
    #[must_use]
    pub fn refusing(mut self, text: impl Into<String>) -> Self {
        self.poison = Some(text.into());
        self
    }

    /// The same store, cutting the connection at every batch that carries more payload bytes than this, as a server does with a
    /// message that is too long.
    #[must_use]
    pub fn cutting_above(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// The same store, holding back looks that find mail of a run for as long as `run` names it: their answers are old when
    /// they come.
    #[must_use]
    pub fn holding_looks(mut self, run: watch::Receiver<Option<RunId>>) -> Self {
        self.holds_looks = Some(run);
        self
    }

    /// How many looks were held back.
    pub fn looks_held(&self) -> u64 {
        self.looks_held.load(Ordering::SeqCst)
    }

    /// Lets the answers of the next looks for mail be lost, those of looks that have begun already included.
    pub fn fail_looks(&self, count: u64) {
        self.looks_to_fail.store(count, Ordering::SeqCst);
    }

    /// How many looks are still to fail.
    pub fn looks_to_fail(&self) -> u64 {
        self.looks_to_fail.load(Ordering::SeqCst)
    }

    /// The same store, holding back the mail that is loaded with claimed runs for as long as `hold` says so.
    #[must_use]
    pub fn holding_loads(mut self, hold: watch::Receiver<bool>) -> Self {
        self.holds_loads = Some(hold);
        self
    }

    /// How often loaded mail was held back.
    pub fn loads_held(&self) -> u64 {
        self.loads_held.load(Ordering::SeqCst)
    }

    /// Of how many runs the mail was loaded at once, at the most.
    pub fn inboxes_at_once(&self) -> usize {
        self.inboxes_at_once.load(Ordering::SeqCst)
    }

    /// Lets the next loads of journals fail.
    pub fn fail_loads(&self, count: u64) {
        self.loads_to_fail.store(count, Ordering::SeqCst);
    }

    /// How many loads of journals are still to fail.
    pub fn loads_to_fail(&self) -> u64 {
        self.loads_to_fail.load(Ordering::SeqCst)
    }

    /// The same store, holding every call of this name on this side for as long as `point` says so. Can hold `claim_runs`,
    /// `load_journals`, `load_mail`, `commit`, `start_run`, `unnoticed_mail`, `unnoticed_mail_of` and `runs_with_mail`.
    #[must_use]
    pub fn holding(mut self, point: watch::Receiver<Option<HoldPoint>>) -> Self {
        self.holds = Some(point);
        self
    }

    /// How many calls were held at some point.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    async fn pass<T>(&self, call: &'static str, work: impl Future<Output = T>) -> T {
        self.hold((call, Side::Before)).await;
        let answer = work.await;
        self.hold((call, Side::After)).await;
        answer
    }

    async fn hold(&self, here: HoldPoint) {
        let Some(mut holds) = self.holds.clone() else { return };
        let is_held = |point: &Option<HoldPoint>| *point == Some(here);
        if is_held(&holds.borrow()) {
            self.held.fetch_add(1, Ordering::SeqCst);
            let _ = holds.wait_for(|point| !is_held(point)).await;
        }
    }

    /// How many writing calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn faulty<T, F>(&self, call: &'static str, work: F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let fault = (self.plan)(call, self.calls.fetch_add(1, Ordering::SeqCst));
        let lost = |what: &str| StoreError::Unavailable { call, source: what.to_owned().into() };
        match fault {
            Fault::None => work.await,
            Fault::Denied => Err(StoreError::Misconfigured { what: format!("the test denies {call}") }),
            Fault::IsBusy => Err(StoreError::Busy { call, source: "the test holds a row".into() }),
            Fault::Fails => Err(lost("the test cut the call off")),
            Fault::LosesAnswer => {
                work.await?;
                Err(lost("the test lost the answer"))
            }
        }
    }

    fn is_poisonous(&self, batch: &Batch) -> bool {
        let Some(poison) = &self.poison else { return false };
        let entries = batch.inserts.iter().chain(&batch.outcomes).map(|write| &write.entry);
        let undo = |entry: &'_ crate::journal::Entry| entry.undo.as_ref().map(|undo| undo.args.clone());
        let payloads = entries.flat_map(|entry| entry.output.iter().chain(&entry.args).cloned().chain(undo(entry)));
        let children = batch.births.iter().filter(|birth| birth.run.parent.is_some());
        payloads.chain(children.map(|birth| birth.run.input.clone())).any(|payload| payload.as_str().contains(poison))
    }
}

fn payload_bytes(batch: &Batch) -> usize {
    let inputs = batch.births.iter().map(|birth| birth.run.input.as_str().len());
    inputs.chain(batch.inserts.iter().chain(&batch.outcomes).map(|write| write.entry.bytes())).sum()
}

#[async_trait]
impl Store for FaultyStore {
    fn commit_lanes(&self) -> i16 {
        self.inner.commit_lanes()
    }
    fn shares_our_clock(&self) -> bool {
        self.inner.shares_our_clock()
    }
    async fn register_worker(&self, worker: &NewWorker) -> Result<Timestamp, StoreError> {
        self.inner.register_worker(worker).await
    }
    async fn renew_lease(&self, worker: WorkerId) -> Result<Renewal, StoreError> {
        self.faulty("renew_lease", self.inner.renew_lease(worker)).await
    }
    async fn take_over(&self, worker: WorkerId) -> Result<TakenOver, StoreError> {
        self.faulty("take_over", self.inner.take_over(worker)).await
    }
    async fn leases_ahead(&self, worker: WorkerId) -> Result<Vec<LeaseAhead>, StoreError> {
        self.inner.leases_ahead(worker).await
    }
    async fn end_lease(&self, lease: &LeaseAhead) -> Result<bool, StoreError> {
        self.faulty("end_lease", self.inner.end_lease(lease)).await
    }
    async fn remove_worker(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.faulty("remove_worker", self.inner.remove_worker(worker)).await
    }
    async fn commit(
        &self,
        worker: WorkerId,
        lane: Lane,
        batch_no: i64,
        batch: &Batch,
    ) -> Result<CommitAnswer, StoreError> {
        if self.is_poisonous(batch) {
            return Err(StoreError::Refused { call: "commit", source: "the test refuses this payload".into() });
        }
        if payload_bytes(batch) > self.bytes_max {
            return Err(StoreError::Unavailable { call: "commit", source: "the test cut off a long batch".into() });
        }
        self.pass("commit", self.faulty("commit", self.inner.commit(worker, lane, batch_no, batch))).await
    }
    async fn start_run(&self, run: &NewRun) -> Result<StartAnswer, StoreError> {
        self.pass("start_run", self.faulty("start_run", self.inner.start_run(run))).await
    }
    async fn claim_runs(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.pass("claim_runs", self.faulty("claim_runs", self.inner.claim_runs(request))).await
    }
    async fn owned_runs(&self, worker: WorkerId) -> Result<Vec<RunId>, StoreError> {
        self.inner.owned_runs(worker).await
    }
    async fn load_journals_up_to(&self, runs: &[(RunId, i32)], bytes: usize) -> Result<Vec<Journal>, StoreError> {
        let one_less = |left: u64| left.checked_sub(1);
        if self.loads_to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(StoreError::Unavailable { call: "load_journals", source: "the test cut the load off".into() });
        }
        self.pass("load_journals", self.inner.load_journals_up_to(runs, bytes)).await
    }
    async fn find_unreadable(&self, run: RunId, generation: i32) -> Result<Option<String>, StoreError> {
        self.pass("find_unreadable", self.inner.find_unreadable(run, generation)).await
    }
    async fn send_mail(&self, mail: &NewMail) -> Result<Posted, StoreError> {
        self.faulty("send_mail", self.inner.send_mail(mail)).await
    }
    async fn remind_overdue(&self) -> Result<u64, StoreError> {
        self.faulty("remind_overdue", self.inner.remind_overdue()).await
    }
    async fn send_order(&self, mail: &NewMail, audit: &Audit) -> Result<Posted, StoreError> {
        self.faulty("send_order", self.inner.send_order(mail, audit)).await
    }
    async fn retry_run(&self, retry: &RetryRun, audit: &Audit) -> Result<Posted, StoreError> {
        self.faulty("retry_run", self.inner.retry_run(retry, audit)).await
    }
    async fn move_run(&self, moved: &MoveRun, audit: Option<&Audit>) -> Result<bool, StoreError> {
        self.faulty("move_run", self.inner.move_run(moved, audit)).await
    }
    async fn strays(&self, find: &FindStrays) -> Result<Vec<Stray>, StoreError> {
        self.faulty("strays", self.inner.strays(find)).await
    }
    async fn fork_run(&self, fork: &ForkRun, audit: &Audit) -> Result<Forked, StoreError> {
        self.faulty("fork_run", self.inner.fork_run(fork, audit)).await
    }
    async fn unnoticed_mail(&self, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError> {
        let mail = self.pass("unnoticed_mail", self.inner.unnoticed_mail(worker, except)).await?;
        // Decided by the answer: a look that was under way when it was told to fail must not bring the mail all the same.
        let one_less = |left: u64| left.checked_sub(1);
        if self.looks_to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(StoreError::Unavailable { call: "unnoticed_mail", source: "the test cut the look off".into() });
        }
        if let Some(mut held) = self.holds_looks.clone() {
            let names = |run: &Option<RunId>| run.is_some_and(|run| mail.iter().any(|mail| mail.mail.run == run));
            if names(&held.borrow()) {
                self.looks_held.fetch_add(1, Ordering::SeqCst);
                let _ = held.wait_for(|run| !names(run)).await;
            }
        }
        Ok(mail)
    }
    async fn unnoticed_mail_of(&self, run: RunId) -> Result<Vec<Mail>, StoreError> {
        self.pass("unnoticed_mail_of", self.inner.unnoticed_mail_of(run)).await
    }
    async fn runs_with_mail(&self, runs: &[RunId]) -> Result<Vec<RunId>, StoreError> {
        self.pass("runs_with_mail", self.inner.runs_with_mail(runs)).await
    }
    async fn load_mail(&self, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError> {
        self.inboxes_at_once.fetch_max(runs.len(), Ordering::SeqCst);
        let inboxes = self.pass("load_mail", self.inner.load_mail(runs)).await?;
        if let Some(mut held) = self.holds_loads.clone()
            && *held.borrow()
        {
            self.loads_held.fetch_add(1, Ordering::SeqCst);
            let _ = held.wait_for(|held| !held).await;
        }
        Ok(inboxes)
    }
    async fn load_events(&self, run: RunId, name: &str) -> Result<Mailbag, StoreError> {
        self.inner.load_events(run, name).await
    }
    async fn wait_for_hint(&self) -> Result<(), StoreError> {
        self.inner.wait_for_hint().await
    }
    async fn send_hint(&self) -> Result<(), StoreError> {
        self.inner.send_hint().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Inspect for FaultyStore {
    async fn run(&self, run: RunId, grace: Duration) -> Result<Option<RunView>, StoreError> {
        self.inner.run(run, grace).await
    }
    async fn run_by_key(&self, workflow: &str, key: &str, grace: Duration) -> Result<Option<RunView>, StoreError> {
        self.inner.run_by_key(workflow, key, grace).await
    }
    async fn journal(&self, run: RunId) -> Result<Option<Journal>, StoreError> {
        self.inner.journal(run).await
    }
    async fn state(&self, run: RunId, key: &str) -> Result<Option<Payload>, StoreError> {
        self.inner.state(run, key).await
    }
    async fn events(&self, run: RunId) -> Result<Vec<Mail>, StoreError> {
        self.inner.events(run).await
    }
    async fn list_runs(&self, list: &ListRuns, grace: Duration) -> Result<Listed, StoreError> {
        self.inner.list_runs(list, grace).await
    }
    async fn audit(&self, run: RunId) -> Result<Vec<(Timestamp, Audit)>, StoreError> {
        self.inner.audit(run).await
    }
    async fn unserved(&self, grace: Duration) -> Result<Vec<Unserved>, StoreError> {
        self.inner.unserved(grace).await
    }
    async fn unknown_runs(&self) -> Result<Vec<UnknownRun>, StoreError> {
        self.inner.unknown_runs().await
    }

    async fn known_versions(&self) -> Result<Vec<KnownVersion>, StoreError> {
        self.inner.known_versions().await
    }
}
