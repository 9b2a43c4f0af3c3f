//! Runs that go on with another version of their workflow.
//!
//! A version may replace another one. A claimed run of that whose journal the newer one replays is bound to it before it goes on, and
//! an entry says so; one that does not fit stays what it is. A journal only grows, so that hardly ever changes: whoever has found out
//! does not look again in the same generation.
//!
//! A run whose own version is not there cannot be claimed for that. Such a **stray** is moved while nobody owns it, and then claimed
//! like any other; so are runs that an operator wants moved.

use std::sync::PoisonError;

use super::Engine;
use super::definition::WorkflowDefinition;
use super::dry::{self, Misfit};
use super::session::Session;
use crate::contract::digest;
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::{CallId, Limits, Payload, Phase, RunId, Timestamp};
use crate::store::{
    Audit, ClaimedRun, FindStrays, Journal, MoveRun, Mover, Store, StoreError, Stray, load_each, moves,
};

/// Generations that are known to fit no newer version, up to this number; then they are looked at again.
const KNOWN_MAX: usize = 100_000;
/// Strays that are looked at in one go: their journals are loaded together.
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
                tracing::info!(run = %run.id, workflow = next.name, version = next.version, %misfit, "a run stays with its version");
                self.note_that_it_stays(run.id, run.generation, next);
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

    /// How many were moved, and the last one if there may be more.
    async fn move_found(&self, find: &FindStrays) -> Result<(u64, Option<RunId>), StoreError> {
        let strays = self.store.strays(find).await?;
        let last = strays.last().filter(|_| strays.len() as u32 >= find.limit).map(|stray| stray.run);
        let with_heir = |stray: Stray| self.registry.heir(&stray.workflow, &stray.version).map(|next| (stray, next));
        let strays = strays.into_iter().filter_map(with_heir);
        let strays: Vec<_> = strays.filter(|(stray, next)| !self.stays(stray.run, stray.generation, next)).collect();
        let asked: Vec<_> = strays.iter().map(|(stray, _)| (stray.run, stray.generation)).collect();
        let mut moved = 0;
        for ((stray, next), journal) in strays.iter().zip(self.load_readable(&asked).await?) {
            let Some(journal) = journal else {
                // It is told when it is claimed by a worker of its own version.
                self.note_that_it_stays(stray.run, stray.generation, next);
                continue;
            };
            let unowned = Unowned { journal, seed: stray.seed, version: &stray.version };
            match move_unowned(&*self.store, next, unowned, self.config.limits, None).await? {
                Moved::Done => moved += 1,
                Moved::Busy => {}
                Moved::Stays(misfit) => {
                    tracing::info!(run = %stray.run, workflow = next.name, version = next.version, %misfit, "a run stays with its version");
                    self.note_that_it_stays(stray.run, stray.generation, next);
                }
            }
        }
        Ok((moved, last))
    }

    /// The journals of these runs, in the same order; none for one that cannot be read.
    async fn load_readable(&self, asked: &[(RunId, i32)]) -> Result<Vec<Option<Journal>>, StoreError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let loaded = load_each(&*self.store, asked).await?;
        let readable = |((run, _), journal): (&(RunId, i32), Result<Journal, StoreError>)| {
            journal.inspect_err(|error| tracing::warn!(%run, %error, "a run cannot be moved")).ok()
        };
        Ok(asked.iter().zip(loaded).map(readable).collect())
    }

    fn stays(&self, run: RunId, generation: i32, next: &WorkflowDefinition) -> bool {
        self.stays.lock().unwrap_or_else(PoisonError::into_inner).contains(&(run, generation, next.signature))
    }

    fn note_that_it_stays(&self, run: RunId, generation: i32, next: &WorkflowDefinition) {
        let mut stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner);
        if stays.len() >= KNOWN_MAX {
            stays.clear();
        }
        stays.insert((run, generation, next.signature));
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
