//! [`WorkflowContext`]: what a workflow body is given.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::definition::{NotAWorkflowOrHelper, Root, Uses};
use crate::engine::calls::Calls;
use crate::model::{Limits, RunId};

/// The first parameter of every workflow and helper: through it they make durable calls.
///
/// Written without its parameter: the macros fill in the workflow or helper it belongs to, and with it the proof that
/// the signature names every step called through it. It is borrowed and cannot be cloned, so a durable call cannot
/// be moved into a task of its own, where its order would not be the same on replay.
pub struct WorkflowContext<W = NotAWorkflowOrHelper> {
    pub(crate) calls: Arc<Calls>,
    pub(crate) run: RunId,
    pub(crate) limits: Limits,
    owner: PhantomData<fn() -> W>,
}

impl<W> WorkflowContext<W> {
    pub(crate) fn new(calls: Arc<Calls>, run: RunId, limits: Limits) -> Self {
        Self { calls, run, limits, owner: PhantomData }
    }

    /// The id of this run.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// The same context, for a helper this workflow's signature names.
    #[doc(hidden)]
    pub fn narrow<H>(&self) -> WorkflowContext<H>
    where
        W: Uses<H>,
    {
        WorkflowContext::new(self.calls.clone(), self.run, self.limits)
    }
}

impl WorkflowContext<Root> {
    #[doc(hidden)]
    pub fn assume<W>(&self) -> WorkflowContext<W> {
        WorkflowContext::new(self.calls.clone(), self.run, self.limits)
    }
}

impl<W> fmt::Debug for WorkflowContext<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkflowContext({})", self.run)
    }
}
