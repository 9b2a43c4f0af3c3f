//! What a run is doing: the phase and state its row holds, and the status people read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which way a run goes. The number is its frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i16)]
pub enum Phase {
    /// The body runs.
    Forward = 0,
    /// Completed steps are being undone.
    Undo = 1,
    /// Nothing more will happen.
    Ended = 2,
}

/// Where a run stands within its phase. The number is its frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i16)]
pub enum State {
    /// Waits for a worker, from `ready_at` on.
    Ready = 0,
    /// A worker executes it.
    Owned = 1,
    /// Waits for something durable; a worker may hold it in memory meanwhile.
    Waiting = 2,
    /// An operator stopped it for now.
    Paused = 3,
    /// Cannot go on with this code; the block reason says why.
    Blocked = 4,
    /// Ended: the body returned `Ok`.
    Completed = 10,
    /// Ended: the body returned `Err`, and there was nothing to undo.
    Failed = 11,
    /// Ended: failed, and everything it did was undone.
    Compensated = 12,
    /// Ended: cancelled, and everything it did was undone.
    Cancelled = 13,
    /// Ended by an operator without undoing.
    Killed = 14,
    /// Declared unresumable by an operator.
    Retired = 15,
}

/// What a version of a workflow is for. The number is its frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(i16)]
pub enum VersionStatus {
    /// New runs are of this version.
    Active = 0,
    /// It goes on with the runs it has, and takes no new ones.
    Deprecated = 1,
    /// A run is of this version if it is asked for by version.
    Staging = 2,
}

impl VersionStatus {
    /// The status kept as this number.
    pub fn from_wire(number: i16) -> Option<Self> {
        [Self::Active, Self::Deprecated, Self::Staging].into_iter().find(|status| *status as i16 == number)
    }
}

impl Phase {
    /// The phase kept as this number.
    pub fn from_wire(number: i16) -> Option<Self> {
        [Self::Forward, Self::Undo, Self::Ended].into_iter().find(|phase| *phase as i16 == number)
    }
}

impl State {
    /// The state kept as this number.
    pub fn from_wire(number: i16) -> Option<Self> {
        use State::*;
        [Ready, Owned, Waiting, Paused, Blocked, Completed, Failed, Compensated, Cancelled, Killed, Retired]
            .into_iter()
            .find(|state| *state as i16 == number)
    }

    /// The status of a run that has ended in this state.
    pub fn ended_status(self) -> Status {
        Status::derive(Phase::Ended, self, None, false, Served::Yes)
    }

    /// Whether a run that ended in this state may begin anew.
    pub fn may_be_retried(self) -> bool {
        matches!(self, Self::Failed | Self::Compensated | Self::Cancelled)
    }

    /// Whether a run in this state will never move again, unless somebody lets it begin anew.
    pub fn is_ended(self) -> bool {
        self as i16 >= Self::Completed as i16
    }
}

/// Why a run is blocked; its frozen name in the database is [`BlockReason::name`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BlockReason {
    /// The workflow body panicked.
    Panic,
    /// The workflow body awaited something that is not durable.
    ForeignAwait,
    /// The body no longer fits the journal.
    Divergence,
    /// The database refuses what the run has to write.
    Refused,
    /// A compensation gave up.
    Compensation,
    /// Its journal has grown past the limit.
    JournalLimit,
    /// The database cannot read its journal or its mail, while it can read those of other runs.
    Unreadable,
    /// Somebody has paused it. Kept like a reason, since it outlives the claims of those who only bring it an order.
    Paused,
}

impl BlockReason {
    const ALL: [Self; 8] = [
        Self::Panic,
        Self::ForeignAwait,
        Self::Divergence,
        Self::Refused,
        Self::Compensation,
        Self::JournalLimit,
        Self::Unreadable,
        Self::Paused,
    ];

    /// The name kept in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::ForeignAwait => "foreign_await",
            Self::Divergence => "divergence",
            Self::Refused => "refused",
            Self::Compensation => "compensation",
            Self::JournalLimit => "journal_limit",
            Self::Unreadable => "unreadable",
            Self::Paused => "paused",
        }
    }

    /// The reason kept under this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether every new build tries such a run once: new code may help, or the database was repaired.
    pub fn is_of_the_code(self) -> bool {
        !matches!(self, Self::Compensation | Self::Paused)
    }
}

/// What a run is doing, in the words shown to people. Derived from what is stored, never stored itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Waits for a worker with a free slot.
    Pending,
    /// A worker executes it.
    Running,
    /// Waits for a point in time: a sleep or a step's next attempt.
    Sleeping,
    /// Waits for an event or a child run.
    Waiting,
    /// An operator stopped it for now.
    Paused,
    /// Its completed steps are being undone.
    Compensating,
    /// The workflow body panicked; tried again by the next build.
    BlockedPanic,
    /// The body awaited something that is not durable; tried again by the next build.
    BlockedForeignAwait,
    /// The body no longer fits the journal; tried again by the next build.
    BlockedDivergence,
    /// The database refuses what the run has to write; tried again by the next build.
    BlockedRefused,
    /// A compensation gave up and waits for an operator.
    BlockedCompensation,
    /// Its journal has grown past `journal_limit`; tried again by the next build.
    BlockedJournalLimit,
    /// The database cannot read the run's journal or mail, while it can read those of other runs; tried again by the next
    /// build, and by a retry once the database is repaired.
    BlockedUnreadable,
    /// No live worker knows a workflow of this name.
    BlockedMissingHandler,
    /// Live workers know the workflow, but not this version.
    BlockedMissingVersion,
    /// Live workers know this version, but with another signature.
    BlockedSignatureMismatch,
    /// Ended: the body returned `Ok`.
    Completed,
    /// Ended: the body returned `Err`, and there was nothing to undo.
    Failed,
    /// Ended: failed, and everything it did was undone.
    Compensated,
    /// Ended: cancelled, and everything it did was undone.
    Cancelled,
    /// Ended by an operator without undoing.
    Killed,
    /// Declared unresumable by an operator.
    Retired,
}

/// What live workers offer for a run that is due; only asked of runs past the grace time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// A live worker can take it, or it is too early to say.
    Yes,
    /// No live worker knows the workflow's name.
    MissingHandler,
    /// The name is known, the version is not.
    MissingVersion,
    /// Name and version are known, with another signature.
    SignatureMismatch,
}

impl Status {
    /// The status of a run with this phase and state.
    ///
    /// `due` says whether it waits for a point in time only; `served` what live workers offer for it.
    pub fn derive(phase: Phase, state: State, reason: Option<BlockReason>, due: bool, served: Served) -> Self {
        match (state, phase) {
            (State::Completed, _) => Self::Completed,
            (State::Failed, _) => Self::Failed,
            (State::Compensated, _) => Self::Compensated,
            (State::Cancelled, _) => Self::Cancelled,
            (State::Killed, _) => Self::Killed,
            (State::Retired, _) => Self::Retired,
            (State::Paused, _) => Self::Paused,
            (State::Blocked, _) => match reason {
                Some(BlockReason::Panic) => Self::BlockedPanic,
                Some(BlockReason::ForeignAwait) => Self::BlockedForeignAwait,
                Some(BlockReason::Compensation) => Self::BlockedCompensation,
                Some(BlockReason::Refused) => Self::BlockedRefused,
                Some(BlockReason::JournalLimit) => Self::BlockedJournalLimit,
                Some(BlockReason::Unreadable) => Self::BlockedUnreadable,
                Some(BlockReason::Divergence | BlockReason::Paused) | None => Self::BlockedDivergence,
            },
            (State::Ready | State::Waiting, _) if served != Served::Yes => match served {
                Served::MissingHandler => Self::BlockedMissingHandler,
                Served::MissingVersion => Self::BlockedMissingVersion,
                _ => Self::BlockedSignatureMismatch,
            },
            (_, Phase::Undo) => Self::Compensating,
            (State::Ready, _) => Self::Pending,
            (State::Owned, _) => Self::Running,
            (State::Waiting, _) if due => Self::Sleeping,
            (State::Waiting, _) => Self::Waiting,
        }
    }

    /// Whether the run has reached its one end.
    pub fn is_ended(self) -> bool {
        use Status::*;
        matches!(self, Completed | Failed | Compensated | Cancelled | Killed | Retired)
    }

    /// Whether the run waits for other code or for an operator.
    pub fn is_blocked(self) -> bool {
        self.name().starts_with("blocked_")
    }

    /// The frozen name, as in `blocked_panic`.
    pub fn name(self) -> &'static str {
        use Status::*;
        match self {
            Pending => "pending",
            Running => "running",
            Sleeping => "sleeping",
            Waiting => "waiting",
            Paused => "paused",
            Compensating => "compensating",
            BlockedPanic => "blocked_panic",
            BlockedForeignAwait => "blocked_foreign_await",
            BlockedDivergence => "blocked_divergence",
            BlockedRefused => "blocked_refused",
            BlockedCompensation => "blocked_compensation",
            BlockedJournalLimit => "blocked_journal_limit",
            BlockedUnreadable => "blocked_unreadable",
            BlockedMissingHandler => "blocked_missing_handler",
            BlockedMissingVersion => "blocked_missing_version",
            BlockedSignatureMismatch => "blocked_signature_mismatch",
            Completed => "completed",
            Failed => "failed",
            Compensated => "compensated",
            Cancelled => "cancelled",
            Killed => "killed",
            Retired => "retired",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_numbers_come_back_as_the_same_state() {
        for number in -1..20 {
            assert!(Phase::from_wire(number).is_none_or(|phase| phase as i16 == number));
            assert!(State::from_wire(number).is_none_or(|state| state as i16 == number));
        }
        assert_eq!(State::from_wire(10), Some(State::Completed));
        assert_eq!(Phase::from_wire(2), Some(Phase::Ended));
    }

    #[test]
    fn a_run_nobody_can_serve_says_why() {
        let status = Status::derive(Phase::Forward, State::Ready, None, false, Served::MissingVersion);
        assert_eq!(status, Status::BlockedMissingVersion);
        assert!(status.is_blocked() && !status.is_ended());
    }

    #[test]
    fn an_undoing_run_is_compensating_whatever_it_waits_for() {
        for state in [State::Ready, State::Owned, State::Waiting] {
            assert_eq!(Status::derive(Phase::Undo, state, None, false, Served::Yes), Status::Compensating);
        }
    }
}
