//! Dry replay: whether code fits a journal, without writing anything and without starting any effect.
//!
//! Takes a definition and the entries of one generation; says what keeps the code from going on, or what it ended with. The body
//! runs up to where the journal ends, and what it asks for there is forgotten.

use std::sync::Arc;

use super::calls::Calls;
use super::definition::{Body, WorkflowDefinition};
use super::drive::{Drive, Finished, Stuck};
use super::waker::BodyWaker;
use crate::journal::{Entry, History};
use crate::model::failure::INPUT_UNUSABLE;
use crate::model::{BlockReason, Failure, Limits, Payload, RunId};

/// Why code does not fit a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// The journal is not what this code would write.
    Diverges(String),
    /// A recorded value cannot be read.
    CannotDecode(String),
    /// The body has a bug: it panics, or awaits what is not durable.
    Breaks(String),
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Diverges(message) | Self::CannotDecode(message) | Self::Breaks(message)) = self;
        f.write_str(message)
    }
}

/// Replays the journal of one generation. What the body returned, if it did; `None` if it goes on, be it as another generation.
///
/// # Errors
/// What keeps it from going on.
pub fn dry_replay(
    workflow: &WorkflowDefinition,
    run: RunId,
    seed: i64,
    entries: Vec<Entry>,
    limits: Limits,
) -> Result<Option<Result<Payload, Failure>>, Misfit> {
    let history =
        History::load(entries).map_err(|corrupt| Misfit::Diverges(format!("its journal cannot be read: {corrupt}")))?;
    let calls = Arc::new(Calls::of(seed, &history));
    let body = Body { run, calls: calls.clone(), input: history.input().clone(), limits };
    let mut drive = Drive::new((workflow.run)(body), calls.clone(), history, BodyWaker::new(|| ()));
    loop {
        let progress = drive.advance().map_err(|stuck| misfit(stuck, &calls))?;
        match progress.finished {
            Some(Finished::Returned(Err(failure))) if failure.code() == Some(INPUT_UNUSABLE) => {
                return Err(Misfit::CannotDecode(failure.message().to_owned()));
            }
            Some(Finished::Returned(result)) => return Ok(Some(result)),
            Some(Finished::Continued(_)) => return Ok(None),
            None if !progress.more => return Ok(None),
            None => {}
        }
    }
}

fn misfit(Stuck { reason, message }: Stuck, calls: &Calls) -> Misfit {
    match reason {
        _ if calls.undecodable().is_some() => Misfit::CannotDecode(message),
        BlockReason::Divergence => Misfit::Diverges(message),
        _ => Misfit::Breaks(message),
    }
}
