//! The seam: what the engine needs of any database.
//!
//! One method for each moment of a run. A backend keeps these promises (`conformance` holds them as tests):
//! every write is safe to send again, the database's clock decides what is due, and nothing written by a worker
//! after it lost its lease is kept.

use async_trait::async_trait;

use crate::model::{Lane, RunId, Timestamp, WorkerId};

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod error;
pub mod inspect;
pub mod records;

pub use error::StoreError;
pub use inspect::{Inspect, RunView, Unserved};
pub use records::{
    Batch, Birth, ClaimRequest, ClaimedRun, CommitAnswer, DefinitionRow, Due, Journal, Mail, MailKind, NewMail, NewRun,
    NewWorker, Offer, RunImage, RunUpdate, SavedState, StartAnswer, TakenOver, Write,
};

/// What the engine needs of any database.
#[async_trait]
pub trait Store: Inspect + Send + Sync + 'static {
    /// How many lanes one worker writes through, besides the lane of claims.
    fn commit_lanes(&self) -> i16;

    /// Inserts the worker with its lease, its lanes (0 to [`Store::commit_lanes`], all at batch 0) and its definitions,
    /// and makes every run ready that was blocked by the code of another build and that this worker offers.
    ///
    /// Returns the database's time. Repeating it with the same id changes nothing but the lease.
    async fn register_worker(&self, worker: &NewWorker) -> Result<Timestamp, StoreError>;

    /// Extends the lease to now plus its length and returns the database's time.
    ///
    /// Called from a thread of its own with its own runtime, so the backend keeps a connection for it alone.
    ///
    /// # Errors
    /// `LeaseLost` if the row is gone. An expired lease nobody took over is simply renewed.
    async fn renew_lease(&self, worker: WorkerId) -> Result<Timestamp, StoreError>;

    /// Deletes workers whose lease expired and makes ready every run whose worker is gone, in one transaction;
    /// last, deletes nothing of `worker` itself, whatever its lease says.
    ///
    /// A run that was executing (state `Owned`) has its takeovers counted; one whose journal holds only `start` is
    /// unbound, so any definition of its name may take it. Takeovers start again at 1 once a run has a further entry, outcome or
    /// undone entry, and a claim shows 0 then. Safe to repeat and to run from many workers at once.
    async fn take_over(&self, worker: WorkerId) -> Result<TakenOver, StoreError>;

    /// Removes the worker and its lanes; runs it still owns are made ready as in [`Store::take_over`].
    async fn remove_worker(&self, worker: WorkerId) -> Result<(), StoreError>;

    /// Applies `batch` as number `batch_no` of this lane: all of it, or nothing.
    ///
    /// The lane's row is fence and de-duplicator: only the commit that moves it from `batch_no - 1` to `batch_no`
    /// writes. Run updates are also checked against worker and claim number, and refused run by run in the answer;
    /// everything else of the batch is written all the same.
    ///
    /// # Errors
    /// - `Unavailable`: it may or may not have been applied. Send the same batch with the same number again.
    /// - `LeaseLost`: the lane is gone, nothing was written.
    /// - `Refused`: the database refuses some of the data (a birth whose id or key exists, an entry to insert that has a
    ///   row, an outcome whose entry has none), or the number leaves a gap, which is a mistake of the writer. Nothing was
    ///   written and the number is still free. A number the lane has passed counts as applied.
    /// - `Busy`: another process held the database for too long; nothing was written. Send it again.
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
    /// [`Store::load_journals`]. An answer uses its number up, even an empty one: the next claim has the next number. Adopted
    /// runs come on top of the slots. Due means ready or waiting with `ready_at <= now()` on the database's clock, or unowned (ready or
    /// waiting) with mail nobody has noticed. Only runs whose `needs` is among the offers are given; an unbound
    /// one is bound to the definition of the offer. Runs in `request.adopt` that this worker already owns come along too.
    ///
    /// # Errors
    /// `Unavailable`: runs may have been taken all the same. Call again with the same `claim_no`: it waits
    /// for the first attempt and returns what that one took. `LeaseLost`: the worker's row is gone.
    async fn claim_runs(&self, request: &ClaimRequest) -> Result<Vec<ClaimedRun>, StoreError>;

    /// Every run this worker owns, whether or not it still holds it in memory.
    async fn owned_runs(&self, worker: WorkerId) -> Result<Vec<RunId>, StoreError>;

    /// The journals of these generations, each sorted by seq, entries without seq last (by key and number).
    /// One comes back for each run asked for, in the same order.
    async fn load_journals(&self, runs: &[(RunId, i32)]) -> Result<Vec<Journal>, StoreError>;

    /// Puts mail into a run's inbox. Repeating it with the same id changes nothing.
    async fn send_mail(&self, mail: &[NewMail]) -> Result<(), StoreError>;

    /// Un-noticed mail of the runs this worker owns, oldest first.
    async fn unnoticed_mail(&self, worker: WorkerId) -> Result<Vec<Mail>, StoreError>;

    /// Closes all connections.
    async fn close(&self);
}
