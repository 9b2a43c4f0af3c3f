//! What can go wrong in a store, sorted by what the caller can do next.

use crate::model::{RunId, WorkerId};

/// Any error underneath.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong in a store, sorted by what the caller can do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No answer. The write may or may not have happened; every write here is safe to repeat.
    #[error("database unavailable during {call}: {source}")]
    Unavailable {
        /// The store method.
        call: &'static str,
        /// What the driver said.
        source: BoxError,
    },
    /// This worker was declared dead. Drop every turn; nothing written after losing the lease was kept.
    #[error("worker {worker} lost its lease")]
    LeaseLost {
        /// The worker.
        worker: WorkerId,
    },
    /// The database no longer holds what it had acknowledged to this worker: it was restored, or replaced by a copy that
    /// lagged behind. The lease counts as lost. Drop every turn, register as a new worker and continue from the journals.
    #[error(
        "the database lost commits of worker {worker} that it had acknowledged ({what}); it was restored or replaced by an \
         older copy, and the worker registers anew"
    )]
    CommitsLost {
        /// The worker.
        worker: WorkerId,
        /// Which number is behind, and by how much.
        what: String,
    },
    /// The database refuses the data itself; sending it again cannot help. Nothing was written.
    #[error("the database refused the data of {call}: {source}")]
    Refused {
        /// The store method.
        call: &'static str,
        /// What the driver said.
        source: BoxError,
    },
    /// The server answered with an error that is not known to be about the data, on a new connection too: a trigger that
    /// raises, a policy on rows, an extension. Nothing was written. It is the data's fault if the same server accepts the same call
    /// without it.
    #[error("the database answered {call} with an error that forge-wf does not know: {source}")]
    Unexplained {
        /// The store method.
        call: &'static str,
        /// What the driver said.
        source: BoxError,
    },
    /// The store was closed, and with it its connections: nothing was sent, and no later call will be.
    #[error("{call} was not sent: the connections are closed, since this runtime was shut down or this client closed")]
    Closed {
        /// The store method.
        call: &'static str,
    },
    /// Another transaction holds what this call needs, or the server gave the call up for the sake of others; call again.
    #[error("another transaction holds what {call} needs ({source}); try again")]
    Busy {
        /// The store method.
        call: &'static str,
        /// What the driver said.
        source: BoxError,
    },
    /// The database was migrated by newer code. Nothing was changed.
    #[error(
        "the database schema is at version {found}, this build knows {known}; run a newer build of the program, or use another database"
    )]
    SchemaTooNew {
        /// The newest migration applied.
        found: i64,
        /// The newest migration this build has.
        known: i64,
    },
    /// A row holds what no version of this code wrote.
    #[error("a stored row cannot be read: {what}")]
    Corrupt {
        /// Table, id and what is wrong with it.
        what: String,
    },
    /// A row holds a number or a name that this build does not know. A newer build may have written it, so this build leaves it as
    /// it is.
    #[error("a stored row is of a form that this build does not know, a newer build may have written it: {what}")]
    Unknown {
        /// Table, id and what is not known of it.
        what: String,
    },
    /// The address or the access rights are wrong; a person must change something.
    #[error("{what}")]
    Misconfigured {
        /// What is wrong, and what to do.
        what: String,
    },
}

impl StoreError {
    /// The same, of the row of this run.
    #[must_use]
    pub fn of_run(self, run: RunId) -> Self {
        match self {
            Self::Corrupt { what } => Self::Corrupt { what: format!("{what} (run {run})") },
            Self::Unknown { what } => Self::Unknown { what: format!("{what} (run {run})") },
            other => other,
        }
    }

    /// Whether the same call may succeed a little later, whatever it writes.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy { .. })
    }

    /// Whether it is unknown if the data of the call is at fault or the whole database, which may have taken a right away, or
    /// lack a table. Nothing was written.
    pub fn may_be_of_the_data(&self) -> bool {
        matches!(self, Self::Unexplained { .. } | Self::Misconfigured { .. })
    }
}
