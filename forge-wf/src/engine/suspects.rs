//! Runs that workers died of, perhaps: each is executed alone, so that it takes no innocent one with it, and after too many
//! deaths it is not executed any more.
//!
//! What counts are consecutive takeovers of a run that was being executed and got no further; the database counts them. Age,
//! and what else a worker had in hand, count nothing once the run is alone.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Engine;
use super::leaving::owned_image;
use super::session::Session;
use crate::model::{Failure, State};
use crate::store::{ClaimedRun, Due, RunImage};

/// From this many takeovers on a run is executed alone.
const SUSPECT_FROM: i32 = 2;
/// How long a worker stops claiming so that a suspect finds it idle; after that others have their turn again.
const PATIENCE: Duration = Duration::from_secs(10);
/// A suspect that was given back comes before all that was due in this time.
const FIRST_IN_LINE: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Whether the next claim is for one run alone.
    pub(super) fn wants_alone(&self) -> bool {
        let mut since = self.alone_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = since.filter(|since| since.elapsed() < PATIENCE);
        since.is_some()
    }

    pub(super) fn want_alone(&self, wanted: bool) {
        *self.alone_since.lock().unwrap_or_else(PoisonError::into_inner) = wanted.then(Instant::now);
    }

    /// All slots, if none is taken.
    pub(super) fn reserve_all(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_many_owned(u32::try_from(self.config.concurrency).unwrap_or(u32::MAX)).ok()
    }

    /// Sorts out the suspects of a claim: they are given back, and claimed again when nothing else is executed here. A claim that
    /// was for one run `alone` keeps it.
    pub(super) async fn set_apart(&self, session: &Session, runs: Vec<ClaimedRun>, alone: bool) -> Vec<ClaimedRun> {
        let (suspects, innocent): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.takeovers >= SUSPECT_FROM);
        if alone || !suspects.is_empty() {
            // There may be more, until a claim brings none.
            self.want_alone(!suspects.is_empty());
        }
        if !alone {
            for run in &suspects {
                self.give_back(session, run).await;
            }
            return innocent;
        }
        for run in &suspects {
            tracing::warn!(
                run = %run.id, workflow = %run.workflow, takeovers = run.takeovers,
                "workers died while they executed this run; it is executed alone"
            );
        }
        [suspects, innocent].concat()
    }

    async fn give_back(&self, session: &Session, run: &ClaimedRun) {
        let due = Due::At(self.clock.now() - FIRST_IN_LINE);
        let image = RunImage { state: State::Ready, keep: false, due, ..owned_image(run) };
        // If the lease is lost it is taken over, and nobody has executed it meanwhile.
        self.write_image(session, run, image).await;
    }

    /// Why this run is not executed any more, if too many workers died of it.
    pub(super) fn poison(&self, run: &ClaimedRun) -> Option<Failure> {
        let limit = self.config.takeovers_max;
        (run.takeovers > limit).then(|| {
            let deaths = run.takeovers;
            Failure::permanent(format!(
                "{deaths} workers in a row died while they executed the run, and {limit} are allowed; it is not executed again"
            ))
            .with_code("poison")
        })
    }
}
