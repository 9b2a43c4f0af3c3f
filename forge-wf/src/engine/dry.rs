//! Dry replay: whether code fits a journal, without writing anything and without starting any effect.
//!
//! Takes a definition and the entries of one generation; says what keeps the code from going on, or what it ended with. The body
//! runs up to where the journal ends, and what it asks for there is forgotten.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::calls::Calls;
use super::definition::{Body, WorkflowDefinition};
use super::drive::{Drive, Finished, Stuck};
use super::waker::BodyWaker;
use crate::journal::{Entry, History};
use crate::model::failure::INPUT_UNUSABLE;
use crate::model::{BlockReason, Digest, Failure, Limits, Payload, RunId};

/// Dry replays at a time in this process. Each has a thread of its own, since a body that computes for ever cannot be stopped.
const AT_ONCE: usize = 4;
/// How long one may take. The longest journals are replayed in a second or two.
const LONGEST: Duration = Duration::from_secs(10);

/// The places of dry replays.
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
/// Replays that took too long and go on, by run and definition. Each keeps its place until it ends.
static OVERDUE: Mutex<Vec<(RunId, Digest)>> = Mutex::new(Vec::new());
/// Whether it was said that they have taken all places.
static SAID_THAT_NONE_IS_FREE: AtomicBool = AtomicBool::new(false);

/// Why code does not fit a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// The journal is not what this code would write.
    Diverges(String),
    /// A recorded value cannot be read.
    CannotDecode(String),
    /// The body has a bug: it panics, or awaits what is not durable.
    Breaks(String),
    /// The body did not come to rest in ten seconds. It computes for ever, or this process was frozen: whether it fits is not known.
    Overdue,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Diverges(message) | Self::CannotDecode(message) | Self::Breaks(message) => message,
            Self::Overdue => "its body did not come to rest in ten seconds of replay",
        })
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

/// Whether code fits a journal, found out on a thread of its own: a long replay holds up no task, and a panic of its body is no panic
/// here. One that takes longer than ten seconds is `Overdue`, and so is the same question until that replay has ended. `None` if it
/// cannot be found out now, because too many such replays go on.
pub async fn replay_beside(
    workflow: &'static WorkflowDefinition,
    run: RunId,
    seed: i64,
    entries: Vec<Entry>,
    limits: Limits,
) -> Option<Result<(), Misfit>> {
    let question = (run, workflow.signature);
    if overdue().contains(&question) {
        return Some(Err(Misfit::Overdue));
    }
    if overdue().len() >= AT_ONCE {
        if !SAID_THAT_NONE_IS_FREE.swap(true, Ordering::AcqRel) {
            tracing::error!(
                "{AT_ONCE} replays of workflow bodies have not come to rest; until one of them ends, this process moves no run to a newer \
                 version. The errors before this one name the workflows: correct their bodies, and restart this process"
            );
        }
        return None;
    }
    let place = tokio::time::timeout(LONGEST, PLACES.acquire()).await.ok()?.expect("the places are never closed");
    let (answer, mut answered) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    // Not a blocking task of the runtime: that waits for all of them when the program ends.
    let thread = std::thread::Builder::new().name("forge-wf-dry".into()).spawn(move || {
        let _place = place;
        let _runtime = runtime.enter();
        let replay = AssertUnwindSafe(|| dry_replay(workflow, run, seed, entries, limits).map(drop));
        let fits = catch_unwind(replay).unwrap_or_else(|_| Err(Misfit::Breaks("its replay panicked".into())));
        if answer.send(fits).is_err() {
            overdue().retain(|other| *other != question);
            SAID_THAT_NONE_IS_FREE.store(false, Ordering::Release);
        }
    });
    if let Err(error) = thread {
        tracing::error!(%run, %error, "no thread for a dry replay");
        return None;
    }
    let Ok(answer) = tokio::time::timeout(LONGEST, &mut answered).await else {
        {
            // Under the lock: a replay that ends from here on finds itself in the list.
            let mut overdue = overdue();
            answered.close();
            if let Ok(answer) = answered.try_recv() {
                return Some(answer);
            }
            overdue.push(question);
        }
        tracing::error!(
            %run, workflow = workflow.name, version = workflow.version,
            "the body of this workflow has not come to rest after ten seconds of replaying the run's journal; it probably computes for \
             ever, and keeps a thread busy until it comes to rest or this process ends. The run goes on with its own version"
        );
        return Some(Err(Misfit::Overdue));
    };
    Some(answer.unwrap_or_else(|_| Err(Misfit::Breaks("its replay did not end".into()))))
}

fn overdue() -> MutexGuard<'static, Vec<(RunId, Digest)>> {
    OVERDUE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn misfit(Stuck { reason, message }: Stuck, calls: &Calls) -> Misfit {
    match reason {
        _ if calls.undecodable().is_some() => Misfit::CannotDecode(message),
        BlockReason::Divergence => Misfit::Diverges(message),
        _ => Misfit::Breaks(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::digest;
    use crate::contract::parts::Contract;
    use crate::engine::definition::{BodyFuture, Place};
    use crate::model::{Timestamp, VersionStatus};

    static COMPUTES: AtomicBool = AtomicBool::new(true);

    /// Computes for as long as the test wants.
    fn computes(_: Body) -> BodyFuture {
        Box::pin(async {
            while COMPUTES.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(Payload::null())
        })
    }

    static WORKFLOW: WorkflowDefinition = WorkflowDefinition {
        name: "computes",
        version: "2",
        status: VersionStatus::Active,
        replaces: Some("1"),
        child_key: "child:computes",
        place: Place { file: "src/shop.rs", line: 1, column: 1 },
        signature: digest::of_version("computes", "2"),
        contract: Contract { package: "shop", target: "lib", parts: &[] },
        timeout: None,
        undo: None,
        run: computes,
    };

    async fn ask(run: RunId) -> Option<Result<(), Misfit>> {
        let start = Entry::start(Payload::null(), Timestamp::default());
        replay_beside(&WORKFLOW, run, 1, vec![start], Limits::default()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_replay_that_was_overdue_is_made_again_once_it_has_ended() {
        let runs: Vec<_> = (0..AT_ONCE).map(|_| RunId::new()).collect();
        for run in &runs {
            assert_eq!(ask(*run).await, Some(Err(Misfit::Overdue)));
        }
        assert_eq!(ask(runs[0]).await, Some(Err(Misfit::Overdue)), "it takes no further thread");
        assert_eq!(ask(RunId::new()).await, None, "too many go on");
        COMPUTES.store(false, Ordering::SeqCst);
        while !overdue().is_empty() {
            std::thread::yield_now();
        }
        // The clock of this test jumps over ten seconds whenever a thread is all that is waited for.
        tokio::time::resume();
        assert_eq!(ask(runs[0]).await, Some(Ok(())), "whether it fits was not known before");
    }
}
