//! Which way a turn goes: forward with its body, or back without one.

use crate::engine::drive::Drive;
use crate::engine::unwind::Unwinding;
use crate::model::Timestamp;

/// Which way a turn goes.
pub enum Course {
    /// The body runs.
    Forward(Box<Drive>),
    /// What it did is undone, newest first.
    Undo(Box<Unwinding>),
}

impl Course {
    /// The time of the newest entry.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Forward(drive) => drive.replay().now(),
            Self::Undo(unwinding) => unwinding.now(),
        }
    }

    /// The seq of the next entry that gets one.
    pub fn next_seq(&self) -> i32 {
        match self {
            Self::Forward(drive) => drive.replay().next_seq(),
            Self::Undo(unwinding) => unwinding.next_seq(),
        }
    }

    /// The body and its journal, on the way forward.
    pub fn drive(&mut self) -> Option<&mut Drive> {
        match self {
            Self::Forward(drive) => Some(drive),
            Self::Undo(_) => None,
        }
    }

    /// Drops the body without anything of it counting as dropped by the workflow.
    pub fn close(&mut self) {
        if let Some(drive) = self.drive() {
            drive.close();
        }
    }
}
