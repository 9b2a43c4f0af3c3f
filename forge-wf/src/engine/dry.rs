//! Dry replay: whether code fits a journal, without writing anything and without starting any effect.
//!
//! Takes a definition and the entries of one generation; says what keeps the code from going on, or what it ended with. The body
//! runs up to where the journal ends, and what it asks for there is forgotten.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::calls::Calls;
use super::definition::{Body, WorkflowDefinition};
use super::drive::{Drive, Finished, Stuck};
use super::waker::BodyWaker;
use crate::journal::{Entry, History};
use crate::model::failure::INPUT_UNUSABLE;
use crate::model::{BlockReason, Failure, Limits, Payload, RunId};

/// Dry replays at a time in this process. Each has a thread of its own, since a body that computes for ever cannot be stopped.
const AT_ONCE: usize = 4;
/// How long one may take. The longest journals are replayed in a second or two.
const LONGEST: Duration = Duration::from_secs(10);

/// The places of dry replays.
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
/// How many of them are taken by replays that took too long and go on.
static OVERDUE: AtomicUsize = AtomicUsize::new(0);

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

/// Whether code fits a journal, found out on a thread of its own: a long replay holds up no task, a panic of its body is no panic
/// here, and one that takes longer than ten seconds does not fit. `None` if that cannot be found out now, because too many such
/// replays go on.
pub async fn replay_beside(
    workflow: &'static WorkflowDefinition,
    run: RunId,
    seed: i64,
    entries: Vec<Entry>,
    limits: Limits,
) -> Option<Result<(), Misfit>> {
    if OVERDUE.load(Ordering::Acquire) >= AT_ONCE {
        return None;
    }
    let place = tokio::time::timeout(LONGEST, PLACES.acquire()).await.ok()?.expect("the places are never closed");
    let (answer, mut answered) = oneshot::channel();
    let overdue = Arc::new(AtomicBool::new(false));
    let counted = overdue.clone();
    let runtime = tokio::runtime::Handle::current();
    // Not a blocking task of the runtime: that waits for all of them when the program ends.
    let thread = std::thread::Builder::new().name("forge-wf-dry".into()).spawn(move || {
        let _place = place;
        let _runtime = runtime.enter();
        let replay = AssertUnwindSafe(|| dry_replay(workflow, run, seed, entries, limits).map(drop));
        let fits = catch_unwind(replay).unwrap_or_else(|_| Err(Misfit::Breaks("its replay panicked".into())));
        let unsent = answer.send(fits);
        // Whoever asked may have gone without counting it.
        if unsent.is_err() && counted.load(Ordering::Acquire) {
            OVERDUE.fetch_sub(1, Ordering::AcqRel);
        }
    });
    if let Err(error) = thread {
        tracing::error!(%run, %error, "no thread for a dry replay");
        return None;
    }
    let Ok(answer) = tokio::time::timeout(LONGEST, &mut answered).await else {
        OVERDUE.fetch_add(1, Ordering::AcqRel);
        overdue.store(true, Ordering::Release);
        answered.close();
        if let Ok(answer) = answered.try_recv() {
            OVERDUE.fetch_sub(1, Ordering::AcqRel);
            return Some(answer);
        }
        tracing::error!(
            %run, workflow = workflow.name, version = workflow.version,
            "the body of this workflow has not come to rest after ten seconds of replaying the run's journal; it probably computes for \
             ever, and keeps a thread busy until this process ends. The run goes on with its own version"
        );
        return Some(Err(Misfit::Breaks("its body did not come to rest in ten seconds of replay".into())));
    };
    Some(answer.unwrap_or_else(|_| Err(Misfit::Breaks("its replay did not end".into()))))
}

fn misfit(Stuck { reason, message }: Stuck, calls: &Calls) -> Misfit {
    match reason {
        _ if calls.undecodable().is_some() => Misfit::CannotDecode(message),
        BlockReason::Divergence => Misfit::Diverges(message),
        _ => Misfit::Breaks(message),
    }
}
