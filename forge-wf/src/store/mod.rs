//! The seam: what the engine needs of any database.
//!
//! One method for each moment of a run. A backend keeps these promises (`conformance` holds them as tests):
//! every write is safe to send again, the database's clock decides what is due, and nothing written by a worker
//! after it lost its lease is kept.

use async_trait::async_trait;

pub use crate::model::limits::{MAIL_PAGE, MAIL_PAGE_BYTES};
use crate::model::{Lane, RunId, Timestamp, WorkerId};

pub mod address;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(feature = "testing")]
pub mod crash;
mod each;
pub mod error;
pub mod inspect;
pub mod letters;
pub mod moves;
pub mod new_run;
pub mod records;

pub use each::{BAD_IN_A_ROW, fault_of, load_each};
pub use error::StoreError;
pub use inspect::{Inspect, ListRuns, Listed, RunView, UnknownRun, Unserved};
pub use letters::{Audit, ForkRun, Forked, Inbox, Mail, MailKind, Mailbag, Mark, NewMail, Posted, RetryRun};
pub use moves::{FindStrays, MoveRun, Mover, Stray, StrayVersion};
pub use new_run::NewRun;
pub use records::{
    Batch, Birth, Claim, ClaimRequest, ClaimedRun, CommitAnswer, DefinitionRow, Due, Guard, Journal, KnownVersion,
    LeaseAhead, Marked, NewWorker, Offer, Owned, Parent, Renewal, RunImage, RunUpdate, SavedState, Sent, StartAnswer,
    TakenOver, Write,
};

/// What the engine needs of any database.
#[async_trait]
pub trait Store: Inspect + Send + Sync + 'static {
    /// How many lanes one worker writes through, besides the lane of claims.
    fn commit_lanes(&self) -> i16;

    /// Whether the database's clock is the clock of this process, since the database is a file of this machine.
    fn shares_our_clock(&self) -> bool {
        false
    }

    /// Inserts the worker with its lease, its lanes (0 to [`Store::commit_lanes`], all at batch 0) and its definitions,
    /// and makes every run ready that was blocked by the code of another build and that this worker offers.
    ///
    /// Returns the database's time. Repeating it with the same id changes nothing but the lease.
    async fn register_worker(&self, worker: &NewWorker) -> Result<Timestamp, StoreError>;

    /// Extends the lease to now plus its length, and says whether some other worker's has expired.
    ///
    /// Called from a thread of its own with its own runtime, so the backend keeps a connection for it alone. Each renewal writes
    /// its number, counted by this store, into the worker's row. So a database that was put back to an earlier state is
    /// noticed, also where no connection broke.
    ///
    /// # Errors
    /// `LeaseLost` if the row is gone. An expired lease nobody took over is simply renewed. `CommitsLost` if the row holds an
    /// earlier number than the last one that was acknowledged; the lease is not extended.
    async fn renew_lease(&self, worker: WorkerId) -> Result<Renewal, StoreError>;

    /// Deletes workers whose lease expired and makes ready runs whose worker is gone: some thousand at a time, in short transactions,
    /// and says whether there are more. Deletes nothing of `worker` itself, whatever its lease says. When there are no more, it also
    /// marks un-noticed mail of runs that have ended or do not exist as noticed, since nobody else will.
    ///
    /// A worker's row, and with it the right to write, is gone before its first run is made ready; a takeover that breaks off is taken
    /// up by the next one, of any worker.
    ///
    /// A run that was executing (state `Owned`) has its takeovers counted; one whose journal holds only `start` is
    /// unbound, so any definition of its name may take it. Takeovers start again at 1 once a run has a further entry, outcome or
    /// undone entry, and a claim shows 0 then. If the dead worker was executing a suspect, a run that was taken over twice or more
    /// without progress, only its suspects are counted. Safe to repeat and to run from many workers at once.
    async fn take_over(&self, worker: WorkerId) -> Result<TakenOver, StoreError>;

    /// Workers but `worker` whose lease lies further ahead than its own length: the clock was ahead when they renewed it. A worker that
    /// lives puts that right with its next renewal.
    async fn leases_ahead(&self, worker: WorkerId) -> Result<Vec<LeaseAhead>, StoreError>;

    /// Lets such a lease expire now, if it was not renewed since it was read; whether it did. The next takeover finds it. Safe to repeat.
    async fn end_lease(&self, lease: &LeaseAhead) -> Result<bool, StoreError>;

    /// Sends runs that go forward, are past their deadline and that nobody is about to execute (blocked and paused ones, those
    /// whose delay is not over, and those that no live worker offers to run) mail of kind `Deadline`, unless one is there that nobody
    /// has noticed. How many;
    /// at most 1,000, those that are late the longest. Safe to repeat and to run from many workers at once.
    async fn remind_overdue(&self) -> Result<u64, StoreError>;

    /// Removes the worker and its lanes; runs it still owns are made ready as in [`Store::take_over`], but no takeover is counted: a
    /// worker that signs off has died of none of them.
    async fn remove_worker(&self, worker: WorkerId) -> Result<(), StoreError>;

    /// Applies `batch` as number `batch_no` of this lane: all of it, or nothing.
    ///
    /// The lane's row is fence and de-duplicator: only the commit that moves it from `batch_no - 1` to `batch_no`
    /// writes; of a batch that stands in for the one before, from `batch_no - 2`. See [`Batch::stands_in`]. All parts of a run are also checked against worker and claim number, and refused run by run in the answer;
    /// the parts of other runs are written all the same. See [`Batch::owned`].
    ///
    /// # Errors
    /// - `Unavailable`: it may or may not have been applied. Send the same batch with the same number again.
    /// - `LeaseLost`: the lane is gone, nothing was written.
    /// - `CommitsLost`: the lane stands before `batch_no - 1`, so the database has lost commits that it had acknowledged.
    ///   Nothing was written. The worker has to register as a new one.
    /// - `Refused`: the database refuses some of the data (a birth whose id or key exists, an entry to insert that has a
    ///   row, an outcome whose entry has none). Nothing was written and the number is still free. A number the lane has passed
    ///   counts as applied.
    /// - `Busy`: another transaction, or another process, held what the batch needs for too long, or the server cancelled it. This
    ///   attempt wrote nothing, and one before it may have. Send it again, or a [`Batch::probe`] with the next number.
    async fn commit(
        &self,
        worker: WorkerId,
        lane: Lane,
        batch_no: i64,
        batch: &Batch,
    ) -> Result<CommitAnswer, StoreError>;

    /// Inserts one run outside any lane, unclaimed. With a key that a run of this workflow already holds, or an
    /// id that exists, nothing is written and that run comes back with `created: false`.
    ///
    /// # Errors
    /// `Busy` if another transaction is about to take the same key and does not end in time; call again.
    /// `Unavailable`: call again with the same id.
    async fn start_run(&self, run: &NewRun) -> Result<StartAnswer, StoreError>;

    /// Gives `request.worker` up to `request.slots` due runs, highest priority and longest waiting first; may return none.
    ///
    /// Each comes back owned by the worker, as a narrow row; its journal is read afterwards by
    /// [`Store::load_journals_up_to`]. An answer uses its number up, even an empty one: the next claim has the next number. Adopted
    /// runs come on top of the slots. Due means ready or waiting with `ready_at <= now()` on the database's clock, or waiting with
    /// mail of a known kind that nobody has noticed. A command of those that end a run makes it due at once and for any worker;
    /// another command makes it due too if it waits, is paused or is blocked. So nothing but time begins a run that was started
    /// with a delay. Only runs whose `needs` is among the offers are given; an unbound one is bound to the definition of the offer.
    /// Runs in `request.adopt` that this worker already owns come along too. Those in `request.avoid` are not given, nor are runs
    /// of a phase that this build does not know: they stay as they are. A run that the database refuses to give keeps no other
    /// from being given.
    ///
    /// # Errors
    /// `Unavailable`: runs may have been taken all the same. Call again with the same `claim_no`: it waits
    /// for the first attempt and returns what that one took. `LeaseLost`: the worker's row is gone. `CommitsLost`: the lane of
    /// claims stands before the last claim that took runs.
    async fn claim_runs(&self, request: &ClaimRequest) -> Result<Claim, StoreError>;

    /// Every run this worker owns, whether or not it still holds it in memory.
    async fn owned_runs(&self, worker: WorkerId) -> Result<Vec<RunId>, StoreError>;

    /// The journals of these generations, each sorted by seq, entries without seq last (by key and number), in the order asked for:
    /// as many from the first on as fit in `bytes` of payload together. None if the first alone does not fit.
    ///
    /// # Errors
    /// `Unavailable`: the database did not answer, or cannot read a row of one of these journals.
    /// `Unknown`, `Corrupt`: a row of one of these journals makes no sense to this build. Asking for each alone tells which.
    async fn load_journals_up_to(&self, runs: &[(RunId, i32)], bytes: usize) -> Result<Vec<Journal>, StoreError>;

    /// The same, whatever their length: one comes back for each run asked for.
    async fn load_journals(&self, runs: &[(RunId, i32)]) -> Result<Vec<Journal>, StoreError> {
        self.load_journals_up_to(runs, usize::MAX).await
    }

    /// Whether the journal of this run, and not the database, is at fault when it cannot be read: what the database says of it, if
    /// on connections that are opened for this question its journal cannot be read while the journal of another run can. `None` if it
    /// can be read now.
    ///
    /// # Errors
    /// `Unavailable`: nothing is known. The database does not answer, has no time, or can read no other journal (there may be none).
    async fn find_unreadable(&self, run: RunId, generation: i32) -> Result<Option<String>, StoreError>;

    /// Puts mail into a run's inbox, if the run exists and has not ended. Repeating it with the same id changes nothing.
    ///
    /// A command is for the run as it is now, however often that continues as new. Once the run has ended and was retried, the command
    /// is void: it makes no run due, and [`Mail::is_void`] says so to whoever loads it.
    async fn send_mail(&self, mail: &NewMail) -> Result<Posted, StoreError>;

    /// As [`Store::send_mail`], and with it, in the same transaction, a line that says who did what and why. Mail of this id
    /// that is there already gets no second line.
    async fn send_order(&self, mail: &NewMail, audit: &Audit) -> Result<Posted, StoreError>;

    /// Lets a run begin anew as its next generation, under the same id and key, if it has ended as failed, compensated or
    /// cancelled; with the line that says who did that. Commands that were given to it before are void from then on; events stay. Answers as [`Store::send_mail`]: `Ended` if it is not such a run.
    /// Repeating it is safe: a run that is in a later generation already is left alone.
    async fn retry_run(&self, retry: &RetryRun, audit: &Audit) -> Result<Posted, StoreError>;

    /// Makes a run with the input, the seed and the journal of another one up to some entry, with a line for each that says who did
    /// that. What the original has to undo is not copied; or, if it has ended and that is asked for, it is, and the original's
    /// is marked as skipped in the same transaction. Repeating it is safe.
    async fn fork_run(&self, fork: &ForkRun, audit: &Audit) -> Result<Forked, StoreError>;

    /// Binds a run to another definition, with an entry that says so and, if an operator asked for it, a line in the audit; whether
    /// it is bound to that now. It is not if somebody else owns it, if its generation is another one, if it turns back or has ended,
    /// or if its journal is not what the mover looked at. Outside of the lanes, since nothing of the run is on its way. Repeating
    /// it is safe.
    async fn move_run(&self, moved: &MoveRun, audit: Option<&Audit>) -> Result<bool, StoreError>;

    /// Strays of a worker, by id: runs that are due (by the database's clock, or by mail nobody has noticed) and that nobody owns, as
    /// [`FindStrays`] describes them. Runs that turn back are none: undoing needs no version.
    async fn strays(&self, find: &FindStrays) -> Result<Vec<Stray>, StoreError>;

    /// Un-noticed mail of the runs this worker owns, but for those in `except`, in order of arrival: of each run a page of the
    /// oldest, of all together at most four times as much. Once that is marked as noticed, or its runs are excepted, the next call
    /// returns more. A page has [`MAIL_PAGE`] mails, or fewer if it is [`MAIL_PAGE_BYTES`] long before.
    ///
    /// A flood to one run neither hides the mail of others nor slows this down with its length. Mail this build cannot read (of a
    /// kind above [`MailKind::LAST`], say) is left out, here and wherever mail is read: it waits for a build that can.
    async fn unnoticed_mail(&self, worker: WorkerId, except: &[RunId]) -> Result<Vec<Mail>, StoreError>;

    /// A page of the oldest un-noticed mail of one run, in order of arrival, whoever owns it. Reads nothing of other runs.
    async fn unnoticed_mail_of(&self, run: RunId) -> Result<Vec<Mail>, StoreError>;

    /// Those of these runs that have un-noticed mail which this build can read, in no order. Costs one look into an index for each
    /// run, however much mail it has.
    async fn runs_with_mail(&self, runs: &[RunId]) -> Result<Vec<RunId>, StoreError>;

    /// A page of the oldest mails of each run that are not taken, noticed or not; if there are more, with them a page of the
    /// oldest of those that are not noticed, whatever stands before them. One inbox comes back for each run asked for, in the
    /// same order. Mail that the database cannot read while it reads the rest is left out, and its inbox says so.
    async fn load_mail(&self, runs: &[RunId]) -> Result<Vec<Inbox>, StoreError>;

    /// Mail about events of this name that is not taken: a page of the oldest events, and every `DropEvent` and
    /// `ReplaceEvent`, in order of arrival.
    async fn load_events(&self, run: RunId, name: &str) -> Result<Mailbag, StoreError>;

    /// Returns when another process may have written something a worker waits for: a run that is due, or mail. A hint, and
    /// never the truth: it may come for nothing, and may fail to come. It also comes after hints may have been lost (a
    /// connection that broke and is back). Commits of this store's own workers give none. One caller at a time.
    ///
    /// On PostgreSQL this is a LISTEN on a connection of its own, opened at the first call, which returns as soon as it
    /// listens; on SQLite a look at `PRAGMA data_version` every 25 ms, of which the first only remembers.
    ///
    /// # Errors
    /// `Unavailable`: call again after a pause, and look at everything meanwhile.
    async fn wait_for_hint(&self) -> Result<(), StoreError>;

    /// Gives a hint to the workers of other processes. Calls that come while one is on its way share the next.
    ///
    /// On SQLite there is nothing to do: the file itself shows that it changed.
    async fn send_hint(&self) -> Result<(), StoreError>;

    /// Closes all connections.
    async fn close(&self);
}

/// A user's own connection, through which mail joins the transaction that is open on it.
#[async_trait]
pub trait Join: Send {
    /// The run that holds `key` among the runs of `workflow`, as this transaction sees it.
    async fn find_run(&mut self, workflow: &str, key: &str) -> Result<Option<RunId>, StoreError>;

    /// As [`Store::send_mail`], but it takes effect when the transaction commits, and workers get their hint then.
    async fn send_mail(&mut self, mail: &NewMail) -> Result<Posted, StoreError>;
}
