//! Plain data that goes into a store and comes out of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Mark, NewMail, NewRun, StoreError};
use crate::journal::Entry;
use crate::model::{BlockReason, Digest, Payload, Phase, RunId, State, Timestamp, VersionStatus, WorkerId};

/// Whose child a run is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parent {
    /// The run that called it.
    pub run: RunId,
    /// The call it answers, as in `child:ship#0`. None: it is detached, and answers nobody.
    pub call: Option<Arc<str>>,
}

/// When a run is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// At once, by the database's clock.
    Now,
    /// From then on.
    At(Timestamp),
    /// Only mail makes it due.
    Never,
}

/// The columns of a run that only its owner writes, as they shall be after a commit. Absolute, so a commit can be repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunImage {
    /// Which way it goes.
    pub phase: Phase,
    /// Where it stands.
    pub state: State,
    /// Whether the worker keeps it. A run that is released, blocked or ended is kept by nobody.
    pub keep: bool,
    /// When it is due.
    pub due: Due,
    /// Its generation.
    pub generation: i32,
    /// What a worker must offer to claim it next; `None` for an ended run.
    pub needs: Option<Digest>,
    /// Whether to forget the definition it was bound to, because its journal holds only `start`. The run then needs what it
    /// needed when it was started, whatever `needs` says.
    pub unbind: bool,
    /// Why it is blocked.
    pub block_reason: Option<BlockReason>,
    /// The build it was blocked under.
    pub blocked_build: Option<Arc<str>>,
    /// The failure it ended with, or what blocks it or keeps it waiting, as JSON.
    pub failure: Option<Payload>,
    /// A new seed, if it changes: the next generation draws one.
    pub seed: Option<i64>,
}

impl RunImage {
    /// A run nobody owns that is due at once for whoever offers `needs`. The other images are changes of this one.
    pub fn ready(generation: i32, needs: Digest) -> Self {
        Self {
            phase: Phase::Forward,
            state: State::Ready,
            keep: false,
            due: Due::Now,
            generation,
            needs: Some(needs),
            unbind: false,
            block_reason: None,
            blocked_build: None,
            failure: None,
            seed: None,
        }
    }
}

/// A change to one run this worker owns under this claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunUpdate {
    /// The run.
    pub run: RunId,
    /// The claim it is owned under; 0 for a run that was born claimed.
    pub claim_no: i64,
    /// What its row shall hold.
    pub image: RunImage,
}

/// A run inserted by its future owner, in the batch of a lane.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The run; its `start` entry is inserted with it.
    pub run: NewRun,
    /// What its row holds after the batch. `keep` makes it born claimed, with claim number 0; a run that ended in the
    /// same batch is inserted ended.
    pub image: RunImage,
}

/// One journal entry to write.
#[derive(Clone, Debug)]
pub struct Write {
    /// The run.
    pub run: RunId,
    /// Its generation.
    pub generation: i32,
    /// The whole entry as it shall be.
    pub entry: Entry,
}

/// A value published by `save_state`.
#[derive(Clone, Debug)]
pub struct SavedState {
    /// The run.
    pub run: RunId,
    /// Name of the value.
    pub key: Arc<str>,
    /// The value.
    pub value: Payload,
}

/// A run that a batch writes parts of, and the claim under which the worker owns it; 0 for a run that was born claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The run.
    pub run: RunId,
    /// The claim.
    pub claim_no: i64,
}

/// Which run decides whether the parts of a run are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The run whose parts these are.
    pub run: RunId,
    /// The run that has to be owned: the run itself, or the parent of a child that the batch inserts.
    pub by: RunId,
    /// The claim under which it has to be owned.
    pub claim_no: i64,
}

/// Mail for another run.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The run that sends it.
    pub by: RunId,
    /// The mail.
    pub mail: NewMail,
}

/// A mark on mail of a run this worker owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The run that has the mail.
    pub run: RunId,
    /// The mark.
    pub mark: Mark,
}

/// Everything one commit writes. At most one write per row: the writer has folded it.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The runs that the parts below belong to, each once, except those in `births` and those in `updates`, which name the
    /// claim themselves.
    ///
    /// Every part is written only if the worker still owns its run under this claim. So a worker whose claim the database has
    /// lost writes nothing into a journal that another worker continues.
    pub owned: Vec<Owned>,
    /// Runs to insert, each with its `start` entry.
    pub births: Vec<Birth>,
    /// Runs to update, if still owned under their claim.
    pub updates: Vec<RunUpdate>,
    /// Entries that have no row yet.
    pub inserts: Vec<Write>,
    /// Entries that have a row: replaced as a whole. One whose row has a seq keeps its outcome, and only its undo columns change.
    pub outcomes: Vec<Write>,
    /// Mail that turns have seen. At most one mark for each mail; mail that is not there is passed over.
    pub marks: Vec<Marked>,
    /// Mail for other runs. Sent without a look at whether they exist or have ended. A command among it is for a child as it was
    /// begun: should the child have been retried since, the command is void.
    pub sent: Vec<Sent>,
    /// Values published by `save_state`.
    pub states: Vec<SavedState>,
    /// Whether the store touches every table that a batch can write to, though it has nothing to write there. See
    /// [`Batch::probe`].
    pub touches_all: bool,
    /// Whether it stands in for the batch before it: it is applied if the lane stands *two* numbers before its own, and the batch
    /// before can never be applied from then on.
    pub stands_in: bool,
    /// Whether rows that another transaction holds are waited for a moment only (100 ms; else a second).
    pub hurries: bool,
}

impl Batch {
    /// A batch that writes nothing and needs every right that a full one needs: it only moves its lane. A server that
    /// accepts it refuses another batch for what that holds.
    ///
    /// It stands in for the batch before it, so it also settles whether that was applied, be it by an attempt that had no answer.
    #[must_use]
    pub fn probe() -> Self {
        Self { touches_all: true, stands_in: true, ..Self::default() }
    }

    /// How many numbers before its own the lane must stand.
    pub fn step(&self) -> i64 {
        if self.stands_in { 2 } else { 1 }
    }

    /// About how many bytes it writes: those of its payloads.
    pub fn bytes(&self) -> usize {
        let entries = self.inserts.iter().chain(&self.outcomes).map(|write| write.entry.bytes());
        let births = self.births.iter().map(|birth| birth.run.input.as_str().len());
        let sent = self.sent.iter().filter_map(|sent| sent.mail.body.as_ref()).map(|body| body.as_str().len());
        let states = self.states.iter().map(|saved| saved.value.as_str().len());
        entries.chain(births).chain(sent).chain(states).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.births.is_empty()
            && self.updates.is_empty()
            && self.inserts.is_empty()
            && self.outcomes.is_empty()
            && self.marks.is_empty()
            && self.sent.is_empty()
            && self.states.is_empty()
    }

    /// What has to be owned so that the parts of each run may be written, beside the rows of `updates`: of runs without an
    /// update, and of the children of runs that the batch does not insert.
    pub fn guards(&self) -> Vec<Guard> {
        let mut guards: Vec<_> =
            self.owned.iter().map(|it| Guard { run: it.run, by: it.run, claim_no: it.claim_no }).collect();
        let children = self.births.iter().filter_map(|birth| Some((birth.run.id, birth.run.parent.as_ref()?.run)));
        let mut children = children.peekable();
        if children.peek().is_some() {
            let claims: HashMap<_, _> = self.claims().collect();
            guards.extend(children.filter_map(|(run, by)| Some(Guard { run, by, claim_no: *claims.get(&by)? })));
        }
        guards
    }

    /// The claims under which the runs of this batch have to be owned.
    pub fn claims(&self) -> impl Iterator<Item = (RunId, i64)> {
        let updates = self.updates.iter().map(|it| (it.run, it.claim_no));
        self.owned.iter().map(|it| (it.run, it.claim_no)).chain(updates)
    }

    /// A run that some part belongs to and that nothing in the batch names: that part would be written without a guard.
    pub fn unnamed(&self) -> Option<RunId> {
        let births = self.births.iter().map(|birth| birth.run.id);
        let named: HashSet<_> = self.claims().map(|(run, _)| run).chain(births).collect();
        let entries = self.inserts.iter().chain(&self.outcomes).map(|write| write.run);
        let others = self.marks.iter().map(|mark| mark.run).chain(self.sent.iter().map(|sent| sent.by));
        entries.chain(others).chain(self.states.iter().map(|state| state.run)).find(|run| !named.contains(run))
    }

    /// The same batch without all parts of `runs`, and without the children and the mail that they send.
    #[must_use]
    pub fn without(mut self, runs: &HashSet<RunId>) -> Self {
        let stays = |run: &RunId| !runs.contains(run);
        self.owned.retain(|it| stays(&it.run));
        self.births.retain(|it| it.run.parent.as_ref().is_none_or(|parent| stays(&parent.run)));
        self.updates.retain(|it| stays(&it.run));
        self.inserts.retain(|it| stays(&it.run));
        self.outcomes.retain(|it| stays(&it.run));
        self.marks.retain(|it| stays(&it.run));
        self.sent.retain(|it| stays(&it.by));
        self.states.retain(|it| stays(&it.run));
        self
    }
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitAnswer {
    /// Runs of which nothing was written because this worker does not own them under that claim.
    pub not_yours: Vec<RunId>,
    /// Of a batch that stands in for the one before: that one was applied, and the lane stands at its number.
    pub other_applied: bool,
}

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartAnswer {
    /// The run that holds the key (or has the id) now.
    pub id: RunId,
    /// Whether this call created it.
    pub created: bool,
}

/// A worker about to register.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// Its id.
    pub id: WorkerId,
    /// Host and process, for people.
    pub name: String,
    /// Which build it runs.
    pub build: Arc<str>,
    /// Length of its lease.
    pub lease: Duration,
    /// Every definition it serves.
    pub definitions: Vec<DefinitionRow>,
    /// Everything it can claim.
    pub offers: Vec<Offer>,
}

/// One workflow definition a worker serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionRow {
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// Its signature, which is what a bound run needs.
    pub signature: Digest,
    /// Which algorithm made the signature.
    pub algorithm: i16,
    /// What the version is for.
    pub status: VersionStatus,
}

/// A version of a workflow that live workers have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownVersion {
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// What most of them say it is for: that it takes new runs goes before that it does not.
    pub status: VersionStatus,
}

/// One need a worker can serve, and the definition it would run it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What a run needs: a definition's signature, or the digest of a name (and version) for an unbound run.
    pub needs: Digest,
    /// The definition the run is bound to when claimed by this offer.
    pub definition: Digest,
    /// Its version.
    pub version: Arc<str>,
    /// How long a run that is bound by this offer may take, from when it was due: then it is to have ended, unless it was said
    /// earlier when that is.
    pub timeout: Option<Duration>,
}

/// A request for due runs.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The worker that claims.
    pub worker: WorkerId,
    /// This worker's next claim number, from 1; the same again when an answer was lost.
    pub claim_no: i64,
    /// At most this many.
    pub slots: u32,
    /// What the worker can run.
    pub offers: Arc<[Offer]>,
    /// Runs it owns without holding them in memory.
    pub adopt: Vec<RunId>,
    /// Due runs that it leaves to other workers for now. At most some hundreds: each claim looks at all of them.
    pub avoid: Vec<RunId>,
}

/// A run as its new owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedRun {
    /// Its id.
    pub id: RunId,
    /// The claim it is owned under.
    pub claim_no: i64,
    /// Its generation.
    pub generation: i32,
    /// Seed of its `uuid()` and `rng()`.
    pub seed: i64,
    /// Name of the workflow.
    pub workflow: Arc<str>,
    /// The definition it is bound to; `None` for one that never began.
    pub definition: Option<Digest>,
    /// What its owner has to offer.
    pub needs: Digest,
    /// Which way it goes.
    pub phase: Phase,
    /// Consecutive takeovers while executing, without a new entry.
    pub takeovers: i32,
    /// The run that called it, if it is a child.
    pub parent: Option<Parent>,
    /// When it must have ended.
    pub deadline_at: Option<Timestamp>,
    /// Whether somebody has paused it.
    pub paused: bool,
    /// How often it was retried after it had ended. A command that names another number is void.
    pub retries: i32,
}

/// What a claim gave.
#[derive(Debug)]
pub struct Claim {
    /// The runs, owned by the worker now.
    pub runs: Vec<ClaimedRun>,
    /// Runs whose rows this build cannot read, each with what is wrong with it. The worker owns them, nothing else of them was
    /// changed, and they become free when its row is removed.
    pub unreadable: Vec<(RunId, StoreError)>,
    /// Runs that the database refused to give to this worker, each alone, with its words: a trigger or a policy on the table of runs,
    /// say. They are as they were.
    pub refused: Vec<(RunId, StoreError)>,
    /// The database's time. Every run that came because it was due was due by then.
    pub now: Timestamp,
    /// If there are no runs: when the next one that the offers fit is due, if any waits for a point in time. `None` also if
    /// no slots were asked for, or if it is contended.
    pub next_due: Option<Timestamp>,
    /// Whether there are no runs although some are due: others hold them at this moment, and have taken them or let them go
    /// soon. What is due after that was not asked for.
    pub contended: bool,
}

/// The journal of one generation.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The run.
    pub run: RunId,
    /// Its generation.
    pub generation: i32,
    /// Its entries, sorted by seq, those without seq last.
    pub entries: Vec<Entry>,
}

impl Journal {
    /// The length of its payloads.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(Entry::bytes).sum()
    }
}

/// What a takeover did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Workers whose lease had expired.
    pub workers: u64,
    /// Runs made ready.
    pub runs: u64,
    /// Whether there are more to make ready.
    pub more: bool,
}

/// The lease of a worker that lies further ahead than its own length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseAhead {
    /// The worker.
    pub worker: WorkerId,
    /// When it ends, by the database's clock.
    pub until: Timestamp,
    /// Its length.
    pub length: Duration,
}

/// What a renewal of a lease tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The database's time.
    pub now: Timestamp,
    /// Whether the lease of some other worker has expired, so that a takeover would find something.
    pub others_expired: bool,
}
