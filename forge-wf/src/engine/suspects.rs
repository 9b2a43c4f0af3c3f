//! Runs that workers died of, perhaps: each is executed so that it takes no innocent one with it, and after too many deaths it is not
//! executed any more.
//!
//! What counts are consecutive takeovers of a run that was being executed and got no further; the database counts them. A **suspect**,
//! from the second takeover on, is executed by a worker that executes nothing else, if one comes for it at once; otherwise in a slot
//! of its own beside other runs, one suspect at a time. If that worker dies, only the suspect's takeovers rise (`free_runs.sql`).
//!
//! That may blame the wrong one: another run that kills workers may have been executed beside it. So before a suspect is given up,
//! its **last** execution is really alone, and while it waits for that the others are counted again.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::Engine;
use super::leaving::given_back_image;
use super::session::Session;
use crate::model::{Failure, RunId};
use crate::store::{ClaimedRun, Due};

/// From this many takeovers on a run is a suspect. `free_runs.sql` says the same.
const SUSPECT_FROM: i32 = 2;
/// How long a worker stops claiming so that a suspect finds it idle; after that others have their turn again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long others have their turn then.
const OTHERS_FIRST: Duration = Duration::from_secs(60);
/// How long a suspect that a busy worker gave back is left to idle ones.
const OFFERED_FOR: Duration = Duration::from_secs(1);
/// A suspect that was given back comes before all that was due in this time.
const FIRST_IN_LINE: Duration = Duration::from_secs(3_600);
/// Suspects that are remembered, up to this number.
const KNOWN_MAX: usize = 10_000;

/// What this worker knows of suspects.
#[derive(Default)]
pub struct Suspects {
    /// Given back to idle workers, then.
    offered: HashMap<RunId, Instant>,
    /// This worker stopped claiming for it, then.
    waited_for: HashMap<RunId, Instant>,
    /// Executed here beside other runs.
    beside: Option<RunId>,
}

/// What becomes of a suspect that came beside other runs.
enum Verdict {
    /// It is executed now, in its own slot.
    Beside,
    /// It is given back, and not claimed here for so long.
    Later(Duration),
    /// It is given back, and nothing is claimed here until it finds this worker idle.
    Wait,
}

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

    /// Sorts out the suspects of a claim: those that are not executed now are given back. A claim that was for one run `alone` keeps it;
    /// `idle` is a worker that executes nothing else.
    pub(super) async fn set_apart(
        &self,
        session: &Session,
        runs: Vec<ClaimedRun>,
        alone: bool,
        idle: bool,
    ) -> Vec<ClaimedRun> {
        let from = SUSPECT_FROM.min(self.config.takeovers_max);
        let (suspects, mut kept): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.takeovers >= from.max(1));
        if alone {
            for run in &suspects {
                tracing::warn!(
                    run = %run.id, workflow = %run.workflow, takeovers = run.takeovers,
                    "workers died while they executed this run; it is executed alone"
                );
            }
            // There may be more, until a claim brings none.
            self.want_alone(!suspects.is_empty());
            return [suspects, kept].concat();
        }
        let idle = idle && kept.is_empty();
        let mut one_is_kept = false;
        for run in suspects {
            match self.judge(&run, idle, one_is_kept) {
                Verdict::Beside => {
                    one_is_kept = true;
                    tracing::warn!(
                        run = %run.id, workflow = %run.workflow, takeovers = run.takeovers,
                        "workers died while they executed this run; no worker was idle, so it is executed beside others"
                    );
                    kept.push(run);
                }
                Verdict::Later(length) => {
                    self.avoid(run.id, length);
                    self.give_back(session, &run).await;
                    self.hint_others();
                }
                Verdict::Wait => {
                    self.want_alone(true);
                    self.give_back(session, &run).await;
                    self.hint_others();
                }
            }
        }
        kept
    }

    /// What becomes of a suspect that came beside other runs; `one_is_kept` if another one of its claim is executed beside them.
    fn judge(&self, run: &ClaimedRun, idle: bool, one_is_kept: bool) -> Verdict {
        let mut known = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.offered.len() + known.waited_for.len() >= KNOWN_MAX {
            (known.offered, known.waited_for) = (HashMap::new(), HashMap::new());
        }
        if idle {
            return Verdict::Wait;
        }
        if run.takeovers >= self.config.takeovers_max {
            // Its last chance, so it is to be alone whatever that costs; but not all the time.
            let waited_for = known.waited_for.entry(run.id).or_insert(now);
            return match now - *waited_for {
                waited if waited < PATIENCE => Verdict::Wait,
                waited if waited < PATIENCE + OTHERS_FIRST => Verdict::Later(PATIENCE + OTHERS_FIRST - waited),
                _ => {
                    *waited_for = now;
                    Verdict::Wait
                }
            };
        }
        let another = known.beside.filter(|beside| *beside != run.id);
        if one_is_kept || another.is_some_and(|another| self.knows(another)) {
            return Verdict::Later(OFFERED_FOR);
        }
        let offered = *known.offered.entry(run.id).or_insert(now);
        if now - offered < OFFERED_FOR {
            return Verdict::Later(OFFERED_FOR);
        }
        known.offered.remove(&run.id);
        known.beside = Some(run.id);
        Verdict::Beside
    }

    async fn give_back(&self, session: &Session, run: &ClaimedRun) {
        let due = Due::At(self.clock.now() - FIRST_IN_LINE);
        let image = given_back_image(run, due);
        // If the lease is lost it is taken over, and nobody has executed it meanwhile.
        self.write_image(session, run, image, Vec::new()).await;
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
