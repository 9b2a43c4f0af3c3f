//! One attempt of a step, in a task of its own: timeout, panic, outcome.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::definition::{StepDefinition, StepEnv, StepOutcome, StopFlag};
use super::turn::Message;
use crate::model::panic::panic_message;
use crate::model::{CallId, Failure, FailureKind, Payload};

/// A running attempt.
pub struct Attempt {
    abort: AbortHandle,
    stop: Arc<StopFlag>,
}

impl Attempt {
    /// Asks the attempt to end soon.
    pub fn ask_to_end(&self) {
        self.stop.raise();
    }

    /// Asks the attempt to end and drops its future at its next await. The turn hears of it when the task has ended.
    pub fn abort(&self) {
        self.stop.raise();
        self.abort.abort();
    }
}

/// Tells the turn that the task has ended, however it ended.
struct Report {
    turn: mpsc::UnboundedSender<Message>,
    call: CallId,
    outcome: Option<Box<StepOutcome>>,
}

impl Report {
    fn set(&mut self, outcome: StepOutcome) {
        self.outcome = Some(Box::new(outcome));
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let _ = self.turn.send(Message::AttemptEnded(self.call.clone(), self.outcome.take()));
    }
}

/// Starts one attempt of `call`. Of a step that is run to find out, `env` names the call it was made by.
pub fn spawn(
    step: &'static StepDefinition,
    call: CallId,
    env: StepEnv,
    args: Payload,
    timeout: Option<Duration>,
    turn: mpsc::UnboundedSender<Message>,
) -> Attempt {
    let stop = env.stop.clone();
    let mut report = Report { turn, call, outcome: None };
    let task = tokio::spawn(async move {
        let (call, run, attempt) = (env.call.clone(), env.run, env.attempt);
        let work = AssertUnwindSafe(async move { (step.run)(env, args).await }).catch_unwind();
        let ended = match timeout {
            Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| limit),
            None => Ok(work.await),
        };
        report.set(match ended {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => failed(
                FailureKind::Panicked,
                format!("{call} of run {run} panicked in attempt {attempt}: {}", panic_message(panic.as_ref())),
            ),
            Err(limit) => failed(
                FailureKind::TimedOut,
                format!(
                    "{call} of run {run} ran longer than its timeout of {} in attempt {attempt}",
                    humantime::format_duration(limit)
                ),
            ),
        });
    });
    Attempt { abort: task.abort_handle(), stop }
}

/// The outcome of an attempt whose task ended without one.
pub fn vanished(call: &CallId) -> StepOutcome {
    failed(
        FailureKind::Panicked,
        format!("the task of {call} ended without an outcome; its destructors may have panicked"),
    )
}

fn failed(kind: FailureKind, message: String) -> StepOutcome {
    StepOutcome::Failed { failure: Box::new(Failure::new(message).of_kind(kind)), retryable: true, undo: None }
}
