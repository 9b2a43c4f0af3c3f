//! Runs that go on with another version of their workflow.
//!
//! A version may replace another one. A claimed run of that whose journal the newer one replays is bound to it before it goes on, and
//! an entry says so; one that does not fit stays what it is. A journal only grows, so that hardly ever changes: whoever has found out
//! does not look again in the same generation.
//!
//! A run whose own version is not there cannot be claimed for that. Such a **stray** is moved while nobody owns it, and then claimed
//! like any other; so are runs that an operator wants moved.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Engine;
use super::definition::WorkflowDefinition;
use super::dry::{self, Misfit};
use super::session::Session;
use crate::contract::digest;
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::{CallId, Limits, Payload, Phase, RunId, Timestamp};
use crate::store::{
    Audit, BAD_IN_A_ROW, ClaimedRun, FindStrays, Journal, MoveRun, Mover, Store, StoreError, Stray, fault_of,
    load_each, moves,
};

/// Generations that are known to fit no newer version, up to this number; then they are looked at again.
const KNOWN_MAX: usize = 100_000;
/// How long a run stays that the database does not let be moved: the run may be at fault, or a missing right.
const REFUSED_FOR: Duration = Duration::from_secs(600);
/// Strays that are looked for in one go.
const STRAYS: u32 = 100;
/// So often in a row, before other duties have their turn.
const STRAY_PAGES: usize = 20;

impl Engine {
    /// Whether there is a version that replaces this run's own and that its journal may fit.
    pub(super) fn may_be_moved(&self, run: &ClaimedRun) -> bool {
        let next = run.definition.and_then(|definition| self.registry.successor(definition));
        run.phase == Phase::Forward && next.is_some_and(|next| !self.stays(run.id, run.generation, next))
    }

    /// Binds the run to the newest version that replaces its own and that its journal fits. `false` if that is not known to be
    /// durable: then nothing is to be done with it here.
    pub(super) async fn move_on(&self, session: &Session, run: &mut ClaimedRun, journal: &mut Journal) -> bool {
        if run.phase != Phase::Forward {
            return true;
        }
        let mut moved_before = moves_in(&journal.entries);
        while let Some(next) = run.definition.and_then(|definition| self.registry.successor(definition)) {
            if self.stays(run.id, run.generation, next) {
                return true;
            }
            let fits = dry::replay_beside(next, run.id, run.seed, journal.entries.clone(), self.config.limits).await;
            // Another claim may find out.
            let Some(fits) = fits else { return true };
            if let Err(misfit) = fits {
                self.found_misfit(run.id, run.generation, next, &misfit);
                return true;
            }
            let from = next.replaces.unwrap_or_default();
            let by = Mover::Owner { worker: session.worker, claim_no: run.claim_no };
            let moved =
                a_move(next, run.id, run.generation, by, move_entry(moved_before, from, next, self.clock.now()));
            moved_before += 1;
            if !self.write_move(session, &moved).await {
                return false;
            }
            tracing::info!(run = %run.id, workflow = next.name, from, to = next.version, "a run goes on with a newer version");
            (run.definition, run.needs) = (Some(next.signature), next.signature);
            journal.entries.push(moved.entry);
        }
        true
    }

    /// Binds strays whose journals fit to what this worker has, from the one after `after` on, and notes where the next look begins.
    pub(super) async fn move_strays(&self, session: &Session, after: &mut Option<RunId>) {
        for _ in 0..STRAY_PAGES {
            let find = FindStrays {
                worker: session.worker,
                algorithm: digest::ALGORITHM,
                versions: self.stray_versions.clone(),
                after: *after,
                limit: STRAYS,
            };
            match self.move_found(&find).await {
                Ok((moved, last)) => {
                    *after = last;
                    if moved > 0 {
                        tracing::info!(runs = moved, "runs of versions that are not here go on with those that are");
                        self.runs_are_ready();
                    }
                }
                Err(error) => return tracing::debug!(%error, "could not look for runs of other versions; trying again"),
            }
            if after.is_none() {
                return;
            }
        }
    }

    /// How many were moved, and the last one if there may be more. A run that cannot be moved keeps none behind it from moving.
    async fn move_found(&self, find: &FindStrays) -> Result<(u64, Option<RunId>), StoreError> {
        let strays = self.store.strays(find).await?;
        let last = strays.last().filter(|_| strays.len() as u32 >= find.limit).map(|stray| stray.run);
        let with_heir = |stray: Stray| self.registry.heir(&stray.workflow, &stray.version).map(|next| (stray, next));
        let strays = strays.into_iter().filter_map(with_heir);
        let strays: Vec<_> = strays.filter(|(stray, next)| !self.stays(stray.run, stray.generation, next)).collect();
        let asked: Vec<_> = strays.iter().map(|(stray, _)| (stray.run, stray.generation)).collect();
        let (mut moved, mut looked_at, mut passing) = (0, 0, 0);
        while looked_at < strays.len() {
            let journals = load_each(&*self.store, &asked[looked_at..], self.config.load_bytes).await;
            let page = &strays[looked_at..];
            looked_at += journals.len();
            for ((stray, next), journal) in page.iter().zip(journals) {
                match self.move_stray(stray, next, journal).await {
                    Ok(is_moved) => {
                        moved += u64::from(is_moved);
                        passing = 0;
                    }
                    Err(error) => {
                        tracing::debug!(run = %stray.run, %error, "a run could not be moved; trying again later");
                        passing += 1;
                        if passing >= BAD_IN_A_ROW {
                            return Err(error);
                        }
                    }
                }
            }
        }
        Ok((moved, last))
    }

    /// Moves one stray; whether it is moved now. Notes if it is not to be looked at again.
    ///
    /// # Errors
    /// An error that says nothing about the run, and may pass.
    async fn move_stray(
        &self,
        stray: &Stray,
        next: &'static WorkflowDefinition,
        journal: Result<Journal, StoreError>,
    ) -> Result<bool, StoreError> {
        let Stray { run, generation, .. } = *stray;
        let journal = match journal {
            Ok(journal) => journal,
            Err(error) => {
                let what = fault_of(&*self.store, (run, generation), error).await?;
                // The run is blocked when a worker of its own version claims it.
                tracing::warn!(%run, workflow = next.name, error = what, "a run cannot be moved, since its journal cannot be read");
                self.note_that_it_stays(run, generation, next, None);
                return Ok(false);
            }
        };
        let unowned = Unowned { journal, seed: stray.seed, version: &stray.version };
        match move_unowned(&*self.store, next, unowned, self.config.limits, None).await {
            Ok(Moved::Done) => Ok(true),
            Ok(Moved::Busy) => Ok(false),
            Ok(Moved::Stays(misfit)) => {
                self.found_misfit(run, generation, next, &misfit);
                Ok(false)
            }
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                tracing::warn!(
                    %run, workflow = next.name, version = next.version, %error,
                    "the database does not let this run be moved to a newer version; trying again in ten minutes"
                );
                self.note_that_it_stays(run, generation, next, Some(REFUSED_FOR));
                Ok(false)
            }
        }
    }

    fn found_misfit(&self, run: RunId, generation: i32, next: &WorkflowDefinition, misfit: &Misfit) {
        tracing::info!(%run, workflow = next.name, version = next.version, %misfit, "a run stays with its version");
        if *misfit != Misfit::Overdue {
            self.note_that_it_stays(run, generation, next, None);
        }
    }

    fn stays(&self, run: RunId, generation: i32, next: &WorkflowDefinition) -> bool {
        let stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = stays.get(&(run, generation, next.signature));
        noted.is_some_and(|until| until.is_none_or(|until| Instant::now() < until))
    }

    /// Notes that this run is not to be moved, for this long or for ever.
    fn note_that_it_stays(&self, run: RunId, generation: i32, next: &WorkflowDefinition, length: Option<Duration>) {
        let mut stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner);
        if stays.len() >= KNOWN_MAX {
            stays.clear();
        }
        stays.insert((run, generation, next.signature), length.map(|length| Instant::now() + length));
    }

    async fn write_move(&self, session: &Session, moved: &MoveRun) -> bool {
        match session.until_answered("a move", || self.store.move_run(moved, None)).await {
            Some(Ok(owned)) => owned,
            Some(Err(error)) => {
                tracing::error!(run = %moved.run, %error, "a run could not be moved");
                false
            }
            None => false,
        }
    }
}

/// A run that nobody owned when this was read.
pub struct Unowned<'a> {
    /// Its journal.
    pub journal: Journal,
    /// Its seed.
    pub seed: i64,
    /// The version it is of.
    pub version: &'a str,
}

/// What came of moving a run that nobody owned.
#[derive(Debug)]
pub enum Moved {
    /// It is of the other version now.
    Done,
    /// Somebody has taken it, or wrote to it, since it was read; or whether it fits cannot be found out now.
    Busy,
    /// Its journal does not fit.
    Stays(Misfit),
}

/// Binds a run to another definition, if its journal fits and nobody owns it. Safe to repeat.
///
/// # Errors
/// The database does not answer; the run may have been moved.
pub async fn move_unowned(
    store: &dyn Store,
    next: &'static WorkflowDefinition,
    run: Unowned<'_>,
    limits: Limits,
    audit: Option<&Audit>,
) -> Result<Moved, StoreError> {
    let Journal { run: id, generation, entries } = run.journal;
    let (weight, moved_before) = (moves::weight(&entries), moves_in(&entries));
    // When it was recorded is the database's to say.
    let entry = move_entry(moved_before, run.version, next, Timestamp::default());
    match dry::replay_beside(next, id, run.seed, entries, limits).await {
        None => return Ok(Moved::Busy),
        Some(Err(misfit)) => return Ok(Moved::Stays(misfit)),
        Some(Ok(())) => {}
    }
    let moved = a_move(next, id, generation, Mover::Anybody { weight }, entry);
    Ok(if store.move_run(&moved, audit).await? { Moved::Done } else { Moved::Busy })
}

fn moves_in(entries: &[Entry]) -> u32 {
    entries.iter().filter(|entry| entry.kind == EntryKind::Move).count() as u32
}

fn move_entry(n: u32, from: &str, next: &WorkflowDefinition, at: Timestamp) -> Entry {
    let mut entry = Entry::new(CallId::new("move", n), EntryKind::Move, EntryState::Completed, at);
    entry.args = Some(Payload::from_json_text(serde_json::json!({ "from": from, "to": next.version }).to_string()));
    entry
}

fn a_move(next: &WorkflowDefinition, run: RunId, generation: i32, by: Mover, entry: Entry) -> MoveRun {
    MoveRun {
        run,
        by,
        generation,
        definition: next.signature,
        version: next.version.into(),
        unbound: (digest::of_name(next.name), digest::of_version(next.name, next.version)),
        entry,
    }
}
