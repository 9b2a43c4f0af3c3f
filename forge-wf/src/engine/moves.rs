//! Runs that go on with a newer version of their workflow.
//!
//! A version may replace another one. A claimed run of that whose journal the newer one replays is bound to it before it goes on, and
//! an entry says so; one that does not fit stays what it is. That never changes within a generation, since its journal only grows:
//! whoever has found out does not look again.

use std::sync::PoisonError;

use super::Engine;
use super::dry::dry_replay;
use super::session::Session;
use crate::journal::{Entry, EntryKind, EntryState};
use crate::model::{CallId, Payload, Phase};
use crate::store::{ClaimedRun, Journal, MoveRun};

/// Generations that are known to fit no newer version, up to this number; then they are looked at again.
const KNOWN_MAX: usize = 100_000;

impl Engine {
    /// Binds the run to the newest version that replaces its own and that its journal fits. `false` if that is not known to be
    /// durable: then nothing is to be done with it here.
    pub(super) async fn move_on(&self, session: &Session, run: &mut ClaimedRun, journal: &Journal) -> bool {
        if run.phase != Phase::Forward {
            return true;
        }
        let is_move = |entry: &&Entry| entry.kind == EntryKind::Move;
        let mut moves = journal.entries.iter().filter(is_move).count() as u32;
        while let Some(next) = run.definition.and_then(|definition| self.registry.successor(definition)) {
            let this = (run.id, run.generation);
            if self.stays.lock().unwrap_or_else(PoisonError::into_inner).contains(&this) {
                return true;
            }
            let (id, seed, entries, limits) = (run.id, run.seed, journal.entries.clone(), self.config.limits);
            // In a task: a long journal is not to hold up the claims of others.
            let replayed = tokio::spawn(async move { dry_replay(next, id, seed, entries, limits).map(drop) });
            let replayed = replayed.await;
            if !matches!(replayed, Ok(Ok(()))) {
                tracing::info!(run = %id, workflow = next.name, version = next.version, misfit = ?replayed.ok(), "a run stays with its version");
                let mut stays = self.stays.lock().unwrap_or_else(PoisonError::into_inner);
                if stays.len() >= KNOWN_MAX {
                    stays.clear();
                }
                stays.insert(this);
                return true;
            }
            let call = CallId::new("move", moves);
            moves += 1;
            let mut entry = Entry::new(call, EntryKind::Move, EntryState::Completed, self.clock.now());
            let from = next.replaces.unwrap_or_default();
            entry.args =
                Some(Payload::from_json_text(serde_json::json!({ "from": from, "to": next.version }).to_string()));
            let moved = MoveRun {
                run: run.id,
                worker: session.worker,
                claim_no: run.claim_no,
                generation: run.generation,
                definition: next.signature,
                version: next.version.into(),
                entry,
            };
            if !self.write_move(session, &moved).await {
                return false;
            }
            tracing::info!(run = %run.id, workflow = next.name, from, to = next.version, "a run goes on with a newer version");
            (run.definition, run.needs) = (Some(next.signature), next.signature);
        }
        true
    }

    async fn write_move(&self, session: &Session, moved: &MoveRun) -> bool {
        match session.until_answered("a move", || self.store.move_run(moved)).await {
            Some(Ok(owned)) => owned,
            Some(Err(error)) => {
                tracing::error!(run = %moved.run, %error, "a run could not be moved");
                false
            }
            None => false,
        }
    }
}
