//! Runs that go on with another version of their workflow: what is asked of a database, and what it answers.

use std::sync::Arc;

use crate::journal::Entry;
use crate::model::{Digest, RunId, WorkerId};

/// A run that is to go on with another version of its workflow.
#[derive(Clone, Debug)]
pub struct MoveRun {
    /// The run, which has not begun to undo anything.
    pub run: RunId,
    /// Who may move it.
    pub by: Mover,
    /// Its generation.
    pub generation: i32,
    /// The definition it goes on with.
    pub definition: Digest,
    /// Its version. A run that was started for a version is from now on one that was started for this.
    pub version: Arc<str>,
    /// What a run of the workflow needs while it is bound to nothing: one that is for any version, and one that is for this.
    pub unbound: (Digest, Digest),
    /// What the journal says of the move.
    pub entry: Entry,
}

/// Who moves a run.
#[derive(Clone, Copy, Debug)]
pub enum Mover {
    /// Its owner.
    Owner {
        /// The worker.
        worker: WorkerId,
        /// The claim it owns the run under.
        claim_no: i64,
    },
    /// Anybody, while nobody owns it and its journal is still what was looked at. One that was blocked by its code is tried again, and
    /// one that waits is woken: the other version may wait for something else besides.
    Anybody {
        /// What the journal weighed: see [`weight`].
        weight: i64,
    },
}

/// A number that grows with everything that is written to the journal of one generation, but for attempts and undos: each entry
/// counts one, and the number of its state on top.
pub fn weight(entries: &[Entry]) -> i64 {
    entries.iter().map(|entry| 1 + entry.state as i64).sum()
}

/// Which runs are strays of a worker: due, owned by nobody, and bound to a signature that it does not offer, of a version whose runs
/// it can go on with.
#[derive(Clone, Debug)]
pub struct FindStrays {
    /// The worker.
    pub worker: WorkerId,
    /// The number of its algorithm for signatures.
    pub algorithm: i16,
    /// Versions of workflows.
    pub versions: Arc<[StrayVersion]>,
    /// Only those after this one, by id.
    pub after: Option<RunId>,
    /// At most so many.
    pub limit: u32,
}

/// A version of a workflow whose runs a worker can go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayVersion {
    /// The workflow.
    pub workflow: Arc<str>,
    /// The version.
    pub version: Arc<str>,
    /// Whether a newer version replaces it. Otherwise only runs whose signature was computed by an older algorithm count.
    pub is_replaced: bool,
}

/// A run that a worker may go on with, if its journal fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The run.
    pub run: RunId,
    /// Its generation.
    pub generation: i32,
    /// Its seed.
    pub seed: i64,
    /// Its workflow.
    pub workflow: Arc<str>,
    /// The version it is bound to.
    pub version: Arc<str>,
}
