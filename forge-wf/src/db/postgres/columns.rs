//! Records → parameters: a statement takes many records as one array for each column.

use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Encode, Postgres, Type};
use uuid::Uuid;

use crate::model::{BlockReason, Digest, Payload, Phase};
use crate::store::{Birth, Due, Guard, Marked, Parent, RunUpdate, SavedState, Sent, StoreError, Write};

/// The parameters of one statement, in order.
#[derive(Default)]
pub(super) struct Columns {
    arguments: PgArguments,
    error: Option<BoxDynError>,
    bytes: usize,
}

impl Columns {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One parameter.
    pub(super) fn with<'v, T: Encode<'v, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// One array: what `of` makes of each row.
    pub(super) fn each<'v, R, T>(self, rows: &'v [R], of: impl Fn(&'v R) -> T) -> Self
    where
        Vec<T>: Encode<'v, Postgres> + Type<Postgres>,
    {
        self.with(rows.iter().map(of).collect::<Vec<T>>())
    }

    /// Says that these parameters are about so long. Worth saying of payloads: on a slow network a long statement is not lost
    /// because it takes long to arrive.
    pub(super) fn weighing(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// About how long they are.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn finish(self, call: &'static str) -> Result<PgArguments, StoreError> {
        match self.error {
            None => Ok(self.arguments),
            Some(source) => Err(StoreError::Refused { call, source }),
        }
    }

    /// 3 arrays, for what has to be owned.
    pub(super) fn guards(self, guards: &[Guard]) -> Self {
        self.each(guards, |it| it.run.0).each(guards, |it| it.by.0).each(guards, |it| it.claim_no)
    }

    /// 19 arrays, for the columns of the journal.
    pub(super) fn entries(self, writes: &[&Write]) -> Self {
        self.each(writes, |it| it.run.0)
            .each(writes, |it| it.generation)
            .each(writes, |it| &*it.entry.call.key)
            .each(writes, |it| it.entry.call.n.cast_signed())
            .each(writes, |it| it.entry.seq)
            .each(writes, |it| it.entry.scope)
            .each(writes, |it| it.entry.kind as i16)
            .each(writes, |it| it.entry.state as i16)
            .each(writes, |it| it.entry.args_hash.cast_signed())
            .each(writes, |it| text(&it.entry.args))
            .each(writes, |it| text(&it.entry.output))
            .each(writes, |it| text(&it.entry.failure))
            .each(writes, |it| it.entry.attempts)
            .each(writes, |it| it.entry.due_at)
            .each(writes, |it| it.entry.undo.as_ref().map(|undo| undo.step.as_str()))
            .each(writes, |it| it.entry.undo.as_ref().map(|undo| undo.digest.to_uuid()))
            .each(writes, |it| it.entry.undo.as_ref().map(|undo| undo.args.as_str()))
            .each(writes, |it| it.entry.undo_state.map(|state| state as i16))
            .each(writes, |it| it.entry.at)
    }

    /// 14 arrays, for the images of runs that are owned already.
    pub(super) fn updates(self, updates: &[RunUpdate]) -> Self {
        let ended = |it: &RunUpdate| it.image.phase == Phase::Ended;
        self.each(updates, |it| it.run.0)
            .each(updates, |it| it.claim_no)
            .each(updates, |it| it.image.phase as i16)
            .each(updates, |it| it.image.state as i16)
            .each(updates, |it| it.image.keep && !ended(it))
            .each(updates, |it| it.image.due == Due::Now && !ended(it))
            .each(updates, |it| due_at(it.image.due).filter(|_| !ended(it)))
            .each(updates, |it| it.image.generation)
            .each(updates, |it| it.image.needs.filter(|_| !ended(it)).map(Digest::to_uuid))
            .each(updates, |it| it.image.unbind && !ended(it))
            .each(updates, |it| it.image.block_reason.map(BlockReason::name))
            .each(updates, |it| it.image.blocked_build.as_deref())
            .each(updates, |it| text(&it.image.failure))
            .each(updates, |it| it.image.seed)
    }

    /// 27 arrays, for runs as they are after their birth.
    pub(super) fn births(self, births: &[Birth]) -> Self {
        let ended = |it: &Birth| it.image.phase == Phase::Ended;
        // A bound run is not known to have been asked for in this version: most are bound to whatever is active.
        let asked = |it: &Birth| it.run.version.is_some() && it.run.definition.is_none();
        self.each(births, |it| it.run.id.0)
            .each(births, |it| it.image.generation)
            .each(births, |it| it.image.seed.unwrap_or(it.run.seed))
            .each(births, |it| &*it.run.workflow)
            .each(births, |it| it.run.version.as_deref().filter(|_| !it.image.unbind || asked(it)))
            .each(births, |it| it.run.version.as_deref().filter(|_| asked(it)))
            .each(births, |it| it.run.definition.filter(|_| !it.image.unbind).map(Digest::to_uuid))
            .each(births, |it| it.run.start_needs.to_uuid())
            .each(births, |it| it.run.key.as_deref())
            .each(births, |it| it.image.phase as i16)
            .each(births, |it| it.image.state as i16)
            .each(births, needs)
            .each(births, |it| &*it.run.queue)
            .each(births, |it| it.run.priority)
            .each(births, |it| (it.image.due == Due::Now && !ended(it)).then(|| micros(it.run.delay)))
            .each(births, |it| due_at(it.image.due).filter(|_| !ended(it)))
            .each(births, |it| it.image.keep && !ended(it))
            .each(births, |it| it.run.parent.as_ref().map(|parent| parent.run.0))
            .each(births, |it| it.run.parent.as_ref().and_then(call))
            .each(births, |it| it.run.owner.as_deref())
            .each(births, |it| it.run.trace_parent.as_deref())
            .each(births, |it| text(&it.run.tags))
            .each(births, |it| it.run.deadline_at)
            .each(births, |it| it.image.block_reason.map(BlockReason::name))
            .each(births, |it| it.image.blocked_build.as_deref())
            .each(births, |it| text(&it.image.failure))
            .each(births, |it| it.run.timeout.map(micros))
    }

    /// 2 arrays.
    pub(super) fn marks(self, marks: &[Marked]) -> Self {
        self.each(marks, |it| it.mark.mail).each(marks, |it| it.mark.taken)
    }

    /// 6 arrays.
    pub(super) fn sent(self, sent: &[Sent]) -> Self {
        self.each(sent, |it| it.mail.id)
            .each(sent, |it| it.mail.run.0)
            .each(sent, |it| it.mail.kind as i16)
            .each(sent, |it| &*it.mail.name)
            .each(sent, |it| text(&it.mail.body))
            .each(sent, |it| it.by.0)
    }

    /// 3 arrays.
    pub(super) fn states(self, states: &[SavedState]) -> Self {
        self.each(states, |it| it.run.0).each(states, |it| &*it.key).each(states, |it| it.value.as_str())
    }
}

pub(super) fn text(payload: &Option<Payload>) -> Option<&str> {
    payload.as_ref().map(Payload::as_str)
}

/// The call of its parent that a run answers.
pub(super) fn call(parent: &Parent) -> Option<&str> {
    parent.call.as_deref()
}

fn due_at(due: Due) -> Option<crate::model::Timestamp> {
    match due {
        Due::At(at) => Some(at),
        Due::Now | Due::Never => None,
    }
}

fn needs(birth: &Birth) -> Option<Uuid> {
    match birth.image.phase {
        Phase::Ended => None,
        _ if birth.image.unbind => Some(birth.run.start_needs.to_uuid()),
        _ => birth.image.needs.map(Digest::to_uuid),
    }
}

/// A duration in microseconds; one too long to be added to a timestamp becomes a hundred thousand years.
pub(super) fn micros(length: Duration) -> i64 {
    const LONGEST: i64 = 100_000 * 365 * 86_400 * 1_000_000;
    i64::try_from(length.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}
