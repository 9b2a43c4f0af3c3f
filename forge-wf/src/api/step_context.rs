//! [`StepContext`]: what a step may ask about its attempt.

use std::fmt;

use crate::engine::definition::StepEnv;
use crate::model::RunId;

/// What a step may ask about its attempt; taken as a parameter by those that want it.
pub struct StepContext {
    env: StepEnv,
}

impl StepContext {
    pub(crate) fn new(env: StepEnv) -> Self {
        Self { env }
    }

    /// The run this step belongs to.
    pub fn run_id(&self) -> RunId {
        self.env.run
    }

    /// Which attempt this is, from 1; counted over restarts.
    pub fn attempt(&self) -> u32 {
        self.env.attempt
    }

    /// A text that is the same for every attempt of this call, on every worker, and differs between calls and runs.
    ///
    /// A step's body may run more than once (a crash before its result was written), so hand this to whatever has side
    /// effects and understands it, as the `Idempotency-Key` header of many HTTP interfaces does.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.env.run, self.env.generation, self.env.call)
    }

    /// Whether the attempt should end soon, because its worker shuts down or its result is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.env.stop.is_raised()
    }

    /// Returns once the attempt should end soon; for `select!` in steps that wait long.
    pub async fn cancelled(&self) {
        self.env.stop.raised().await;
    }
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepContext({} of {}, attempt {})", self.env.call, self.env.run, self.env.attempt)
    }
}
