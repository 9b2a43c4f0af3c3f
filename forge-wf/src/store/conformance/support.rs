//! What the promises are written with: a worker that counts its own batches and claims, runs, entries and images.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::time::from_micros;
use crate::model::{CallId, Digest, Lane, Payload, Phase, RunId, State, Timestamp, VersionStatus, WorkerId};
use crate::store::{
    Batch, Birth, Claim, ClaimRequest, ClaimedRun, CommitAnswer, DefinitionRow, Due, Mail, MailKind, Mark, Marked,
    NewMail, NewRun, NewWorker, Offer, Owned, Parent, RunImage, RunUpdate, RunView, Sent, Store, StoreError, Write,
};

/// A lease no test outlives.
pub const LONG: Duration = Duration::from_secs(600);
/// Digest of the name `checkout`: what an unbound run needs.
pub const NAME: Digest = Digest(0xA0);
/// Signature of version 1 of `checkout`.
pub const ONE: Digest = Digest(0xA1);
/// Signature of version 2 of `checkout`.
pub const TWO: Digest = Digest(0xA2);

/// A worker that counts its own batches and claims.
pub struct Hand {
    pub store: Arc<dyn Store>,
    pub id: WorkerId,
    pub offers: Arc<[Offer]>,
    pub batch_no: i64,
    pub claim_no: i64,
    /// The runs it has owned so far, and the last claim of each.
    pub claims: HashMap<RunId, i64>,
}

impl Hand {
    /// Registers a worker that serves version 1 of `checkout`, with a long lease.
    pub async fn new(store: &Arc<dyn Store>) -> Self {
        Self::register(store, worker(LONG)).await
    }

    /// The same, with a lease that has expired at once.
    pub async fn expired(store: &Arc<dyn Store>) -> Self {
        Self::register(store, worker(Duration::ZERO)).await
    }

    pub async fn register(store: &Arc<dyn Store>, worker: NewWorker) -> Self {
        store.register_worker(&worker).await.expect("the worker registers");
        Self {
            store: store.clone(),
            id: worker.id,
            offers: worker.offers.into(),
            batch_no: 0,
            claim_no: 0,
            claims: HashMap::new(),
        }
    }

    /// Sends the next batch; its number is used up only if it was applied.
    pub async fn try_commit(&mut self, batch: Batch) -> Result<CommitAnswer, StoreError> {
        let batch = self.with_claims(batch);
        let batch_no = self.batch_no + batch.step();
        let answer = self.store.commit(self.id, Lane(1), batch_no, &batch).await?;
        self.batch_no = batch_no;
        self.claims.extend(batch.births.iter().map(|birth| (birth.run.id, 0)));
        Ok(answer)
    }

    /// The batch with the claims under which this worker owns what it writes for, unless the test has named some.
    pub fn with_claims(&self, mut batch: Batch) -> Batch {
        let entries = batch.inserts.iter().chain(&batch.outcomes).map(|write| write.run);
        let others = batch.marks.iter().map(|mark| mark.run).chain(batch.sent.iter().map(|sent| sent.by));
        let named: BTreeSet<_> = entries.chain(others).chain(batch.states.iter().map(|state| state.run)).collect();
        if batch.owned.is_empty() {
            let updated: BTreeSet<_> = batch.updates.iter().map(|update| update.run).collect();
            let named = named.difference(&updated);
            let claim = |run: &RunId| self.claims.get(run).map(|claim_no| Owned { run: *run, claim_no: *claim_no });
            batch.owned = named.filter_map(claim).collect();
        }
        batch
    }

    /// Sends the next batch, of which every run is ours.
    pub async fn commit(&mut self, batch: Batch) {
        let answer = self.try_commit(batch).await.expect("the batch is applied");
        assert_eq!(answer, CommitAnswer::default());
    }

    pub fn request(&self, slots: u32) -> ClaimRequest {
        ClaimRequest {
            avoid: Vec::new(),
            worker: self.id,
            claim_no: self.claim_no + 1,
            slots,
            offers: self.offers.clone(),
            adopt: Vec::new(),
        }
    }

    pub async fn claim(&mut self, slots: u32) -> Vec<ClaimedRun> {
        self.claim_all_about_it(slots).await.runs
    }

    pub async fn claim_all_about_it(&mut self, slots: u32) -> Claim {
        let claimed = self.store.claim_runs(&self.request(slots)).await.expect("the claim is answered");
        self.claim_no += 1;
        self.claims.extend(claimed.runs.iter().map(|run| (run.id, run.claim_no)));
        claimed
    }

    /// Claims the only due run.
    pub async fn claim_one(&mut self) -> ClaimedRun {
        let mut claimed = self.claim(10).await;
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        claimed.remove(0)
    }

    /// Writes new entries of a run's first generation.
    pub async fn append(&mut self, run: RunId, entries: Vec<Entry>) {
        self.commit(Batch { inserts: writes(run, entries), ..Batch::default() }).await;
    }

    /// Changes one run owned under `claim_no`.
    pub async fn update(&mut self, run: RunId, claim_no: i64, image: RunImage) {
        self.commit(Batch { updates: vec![RunUpdate { run, claim_no, image }], ..Batch::default() }).await;
    }

    /// Marks mail as noticed, or as taken too.
    pub async fn mark<'m>(&mut self, mail: impl IntoIterator<Item = &'m NewMail>, taken: bool) {
        let mark = |mail: &NewMail| Marked { run: mail.run, mark: Mark { mail: mail.id, taken } };
        self.commit(Batch { marks: mail.into_iter().map(mark).collect(), ..Batch::default() }).await;
    }

    /// Sends mail without a look at whether its run exists, from a run of its own.
    pub async fn send(&mut self, mail: Vec<NewMail>) {
        let sender = bound();
        let by = sender.id;
        self.bear(sender).await;
        for piece in mail.chunks(300) {
            let sent = piece.iter().map(|mail| Sent { by, mail: mail.clone() }).collect();
            self.commit(Batch { sent, ..Batch::default() }).await;
        }
        self.update(by, 0, ended(State::Completed)).await;
    }

    /// Inserts a run this worker owns from its birth.
    pub async fn bear(&mut self, run: NewRun) {
        self.commit(Batch { births: vec![Birth { run, image: executing() }], ..Batch::default() }).await;
    }
}

pub fn writes(run: RunId, entries: Vec<Entry>) -> Vec<Write> {
    entries.into_iter().map(|entry| Write { run, generation: 0, entry }).collect()
}

/// A worker that serves version 1 of `checkout`, and unbound runs of that name.
pub fn worker(lease: Duration) -> NewWorker {
    worker_serving(lease, "checkout", "1", NAME, ONE)
}

pub fn worker_serving(lease: Duration, workflow: &str, version: &str, name: Digest, signature: Digest) -> NewWorker {
    let offer = |needs| Offer { needs, definition: signature, version: version.into(), timeout: None };
    NewWorker {
        id: WorkerId::new(),
        name: "conformance".into(),
        build: "build-1".into(),
        lease,
        definitions: vec![DefinitionRow {
            workflow: workflow.into(),
            version: version.into(),
            signature,
            algorithm: 1,
            status: VersionStatus::Active,
        }],
        offers: vec![offer(name), offer(signature)],
    }
}

/// An unbound run of `checkout`, due at once.
pub fn checkout() -> NewRun {
    NewRun {
        id: RunId::new(),
        seed: -17,
        workflow: "checkout".into(),
        version: None,
        definition: None,
        needs: NAME,
        start_needs: NAME,
        key: None,
        queue: "default".into(),
        priority: 0,
        delay: Duration::ZERO,
        at: now(),
        tags: None,
        owner: None,
        trace_parent: None,
        deadline_at: None,
        timeout: None,
        parent: None,
        input: json("{\"order\":17}"),
    }
}

pub fn keyed(key: &str) -> NewRun {
    NewRun { key: Some(key.into()), ..checkout() }
}

/// A run of `checkout` that is bound to version 1.
pub fn bound() -> NewRun {
    NewRun { version: Some("1".into()), definition: Some(ONE), needs: ONE, ..checkout() }
}

/// A child that this run calls.
pub fn child_of(run: RunId) -> NewRun {
    NewRun { parent: Some(Parent { run, call: Some("child:ship#0".into()) }), ..bound() }
}

pub async fn start(store: &Arc<dyn Store>, run: NewRun) -> RunId {
    let answer = store.start_run(&run).await.expect("the run starts");
    assert!(answer.created);
    answer.id
}

/// This machine's time; only kept on entries, so it decides nothing.
pub fn now() -> Timestamp {
    from_micros(chrono::Utc::now().timestamp_micros())
}

pub fn json(text: &str) -> Payload {
    Payload::from_json_text(text)
}

pub fn completed(key: &str, n: u32, seq: i32, output: &str) -> Entry {
    let mut entry = Entry::new(CallId::new(key, n), EntryKind::Step, EntryState::Completed, now());
    entry.seq = Some(seq);
    entry.output = Some(json(output));
    entry.attempts = 1;
    entry
}

pub fn started(key: &str, n: u32) -> Entry {
    let mut entry = Entry::new(CallId::new(key, n), EntryKind::Step, EntryState::Started, now());
    entry.args = Some(json("[1]"));
    entry
}

pub fn end(seq: i32, output: &str) -> Entry {
    let mut entry = completed("end", 0, seq, output);
    entry.kind = EntryKind::End;
    entry.attempts = 0;
    entry
}

fn image(state: State) -> RunImage {
    RunImage {
        phase: Phase::Forward,
        state,
        keep: false,
        due: Due::Never,
        generation: 0,
        needs: Some(ONE),
        unbind: false,
        block_reason: None,
        blocked_build: None,
        failure: None,
        seed: None,
    }
}

/// Kept and executing.
pub fn executing() -> RunImage {
    RunImage { keep: true, ..image(State::Owned) }
}

/// Given back, ready for anyone.
pub fn released() -> RunImage {
    RunImage { due: Due::Now, ..image(State::Ready) }
}

/// Given back, waiting for mail and for `due`.
pub fn waiting(due: Due) -> RunImage {
    RunImage { due, ..image(State::Waiting) }
}

/// Given back and stopped.
pub fn paused() -> RunImage {
    image(State::Paused)
}

pub fn blocked(reason: crate::model::BlockReason, build: &str) -> RunImage {
    RunImage {
        block_reason: Some(reason),
        blocked_build: Some(build.into()),
        failure: Some(json("{\"message\":\"stuck\"}")),
        ..image(State::Blocked)
    }
}

pub fn ended(state: State) -> RunImage {
    RunImage { phase: Phase::Ended, needs: None, ..image(state) }
}

pub async fn view(store: &Arc<dyn Store>, run: RunId) -> RunView {
    store.run(run, LONG).await.expect("the run is read").expect("the run exists")
}

/// An event named `approved` with this payload.
pub fn event(run: RunId, body: &str) -> NewMail {
    NewMail { id: Uuid::now_v7(), run, kind: MailKind::Event, name: "approved".into(), body: Some(json(body)) }
}

/// `count` events that count from `first` in their payloads.
pub fn events(run: RunId, first: usize, count: usize) -> Vec<NewMail> {
    (first..first + count).map(|n| event(run, &n.to_string())).collect()
}

/// The payloads of mail.
pub fn bodies(mail: &[Mail]) -> Vec<&str> {
    mail.iter().map(|mail| mail.mail.body.as_ref().expect("mail with a payload").as_str()).collect()
}

/// The entries of a run's first generation.
pub async fn entries(store: &Arc<dyn Store>, run: RunId) -> Vec<Entry> {
    let mut journals = store.load_journals(&[(run, 0)]).await.expect("the journal is read");
    assert_eq!(journals.len(), 1);
    let journal = journals.remove(0);
    assert_eq!((journal.run, journal.generation), (run, 0));
    journal.entries
}

/// The calls of a run's entries, in the order they come back.
pub async fn calls(store: &Arc<dyn Store>, run: RunId) -> Vec<String> {
    entries(store, run).await.iter().map(|entry| entry.call.to_string()).collect()
}

/// Asks until it is so; fails the test after a minute.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let begin = std::time::Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < Duration::from_secs(60), "still not so after a minute: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn is_lost<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::LeaseLost { .. }))
}

pub fn is_refused<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Refused { .. }))
}

pub fn has_lost_commits<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::CommitsLost { .. }))
}
