//! Runs that workers died of, perhaps: each is executed so that it takes no innocent one with it, and after too many deaths it is not
//! executed any more.
//!
//! What counts are consecutive takeovers of a run that was being executed and got no further; the database counts them. A **suspect**,
//! from the second takeover on, is executed by a worker that executes nothing else, if one comes for it at once; otherwise in a slot
//! of its own beside other runs, one suspect at a time. If that worker dies, only the suspect's takeovers rise (`free_runs.sql`).
//!
//! That may blame the wrong one: another run that kills workers may have been executed beside it. So before a suspect is given up,
//! its **last** execution is really alone, and while it waits for that the others are counted again. A run that is executed alone
//! keeps all slots through waits shorter than a second, and leaves memory at longer ones: it is to be alone when it goes on, too.

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
/// An offer that is older than this was taken up by others, or forgotten: it counts no more.
const OFFERED_AT_MOST: Duration = Duration::from_secs(60);
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
    /// Executed here, alone or beside other runs.
    executed: Option<RunId>,
    /// The last claim brought one: there may be more.
    more: bool,
}

impl Suspects {
    /// Whether idle workers have had their time to take this run; if not, it is offered to them now.
    fn was_offered(&mut self, run: RunId, now: Instant) -> bool {
        self.offered.retain(|_, offered| now - *offered < OFFERED_AT_MOST);
        let was_offered = now - *self.offered.entry(run).or_insert(now) >= OFFERED_FOR;
        if was_offered {
            self.offered.remove(&run);
        }
        was_offered
    }
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
    /// Whether workers have died of this run so often that it is executed apart from others.
    pub(super) fn is_suspect(&self, run: &ClaimedRun) -> bool {
        run.takeovers >= SUSPECT_FROM.min(self.config.takeovers_max).max(1)
    }

    /// All slots, if the next claim is for one run alone; `None` inside if that has to wait until this worker is idle.
    pub(super) fn reserve_alone(&self) -> Option<Option<OwnedSemaphorePermit>> {
        let mut since = self.alone_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = since.filter(|since| since.elapsed() < PATIENCE);
        let waits = since.is_some();
        drop(since);
        if !waits && !self.suspects.lock().unwrap_or_else(PoisonError::into_inner).more {
            return None;
        }
        let all = self.slots.clone().try_acquire_many_owned(self.all_slots()).ok();
        (waits || all.is_some()).then_some(all)
    }

    /// No suspect is due.
    pub(super) fn wants_none_alone(&self) {
        self.want_alone(false);
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).more = false;
    }

    fn want_alone(&self, wanted: bool) {
        *self.alone_since.lock().unwrap_or_else(PoisonError::into_inner) = wanted.then(Instant::now);
    }

    fn all_slots(&self) -> u32 {
        u32::try_from(self.config.concurrency).unwrap_or(u32::MAX)
    }

    /// Takes all slots that a claim does not have yet; `false` if one of them is taken.
    fn reserve_the_rest(&self, permits: &mut OwnedSemaphorePermit) -> bool {
        let rest = self.all_slots().saturating_sub(u32::try_from(permits.num_permits()).unwrap_or(u32::MAX));
        let Ok(rest) = self.slots.clone().try_acquire_many_owned(rest) else { return false };
        permits.merge(rest);
        true
    }

    /// Sorts out the suspects of a claim: those that are not executed now are given back. If the claim was for one run `alone`, or if
    /// it has brought nothing but suspects and this worker executes nothing else, one of them is executed alone, with all slots.
    /// Returns the runs to be executed, and whether the claim is for one run alone now.
    pub(super) async fn set_apart(
        &self,
        session: &Session,
        runs: Vec<ClaimedRun>,
        permits: &mut OwnedSemaphorePermit,
        alone: bool,
    ) -> (Vec<ClaimedRun>, bool) {
        let (suspects, mut kept): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| self.is_suspect(run));
        if alone || (kept.is_empty() && !suspects.is_empty() && self.reserve_the_rest(permits)) {
            self.want_alone(false);
            let mut suspects = suspects.into_iter();
            let first = suspects.next();
            {
                let mut known = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
                known.more = first.is_some();
                known.executed = first.as_ref().map(|run| run.id).or(known.executed);
            }
            let Some(first) = first else { return (kept, true) };
            tracing::warn!(
                run = %first.id, workflow = %first.workflow, takeovers = first.takeovers,
                "workers died while they executed this run; it is executed alone"
            );
            for run in suspects.chain(kept) {
                self.give_back(session, &run).await;
                self.hint_others();
            }
            return (vec![first], true);
        }
        let mut one_is_kept = false;
        for run in suspects {
            match self.judge(&run, one_is_kept) {
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
        (kept, false)
    }

    /// What becomes of a suspect that came beside other runs; `one_is_kept` if another one of its claim is executed beside them.
    fn judge(&self, run: &ClaimedRun, one_is_kept: bool) -> Verdict {
        let mut known = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.offered.len() + known.waited_for.len() >= KNOWN_MAX {
            (known.offered, known.waited_for) = (HashMap::new(), HashMap::new());
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
        let another = known.executed.filter(|executed| *executed != run.id);
        if one_is_kept || another.is_some_and(|another| self.knows(another)) {
            return Verdict::Later(OFFERED_FOR);
        }
        if !known.was_offered(run.id, now) {
            return Verdict::Later(OFFERED_FOR);
        }
        known.executed = Some(run.id);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_that_was_offered_long_ago_is_offered_again() {
        let (mut known, run, then) = (Suspects::default(), RunId::new(), Instant::now());
        assert!(!known.was_offered(run, then));
        assert!(known.was_offered(run, then + OFFERED_FOR));
        assert!(!known.was_offered(run, then + OFFERED_FOR), "each time anew");
        assert!(!known.was_offered(run, then + 2 * OFFERED_AT_MOST), "others have taken it up since");
    }
}
