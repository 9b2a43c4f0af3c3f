//! Records ↔ rows: what is bound for a record, and what a row becomes.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Decode, Row, Sqlite, Type};
use uuid::Uuid;

use super::error::{corrupt, micros, sort, time, unknown};
use crate::journal::{Entry, EntryKind, EntryState, Undo, UndoState};
use crate::model::{BlockReason, CallId, Digest, Payload, Phase, RunId, Served, State, VersionStatus, WorkerId};
use crate::store::{
    ClaimedRun, Due, KnownVersion, Mail, MailKind, Marked, NewMail, NewRun, Parent, Posted, RunImage, RunUpdate,
    RunView, StoreError, Write,
};

/// A statement with parameters.
pub(super) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Columns bound by [`bind_run`], [`bind_update`], [`bind_entry`], [`bind_mail`] and [`bind_mark`].
pub(super) const RUN_COLUMNS: usize = 28;
pub(super) const UPDATE_COLUMNS: usize = 14;
pub(super) const ENTRY_COLUMNS: usize = 19;
pub(super) const MAIL_COLUMNS: usize = 6;
pub(super) const MARK_COLUMNS: usize = 2;

fn text(payload: &Option<Payload>) -> Option<&str> {
    payload.as_ref().map(Payload::as_str)
}

/// A row for `run` as it is after its birth; `worker` owns it if the image keeps it.
pub(super) fn bind_run<'q>(
    query: Bound<'q>,
    run: &NewRun,
    image: &RunImage,
    worker: Option<WorkerId>,
    now: i64,
) -> Bound<'q> {
    let ended = image.phase == Phase::Ended;
    let ready_at = match image.due {
        _ if ended => None,
        Due::Now => Some(now.saturating_add(micros(run.delay))),
        Due::At(at) => Some(at.timestamp_micros()),
        Due::Never => None,
    };
    let definition = run.definition.filter(|_| !image.unbind);
    // A bound run is not known to have been asked for in this version: most are bound to whatever is active.
    let asked = run.version.clone().filter(|_| run.definition.is_none());
    query
        .bind(run.id.0)
        .bind(image.generation)
        .bind(image.seed.unwrap_or(run.seed))
        .bind(run.workflow.clone())
        .bind(if image.unbind { asked.clone() } else { run.version.clone() })
        .bind(asked)
        .bind(definition.map(Digest::to_uuid))
        .bind(run.start_needs.to_uuid())
        .bind(run.key.clone())
        .bind(run.key.is_some())
        .bind(image.phase as i16)
        .bind(image.state as i16)
        .bind(needs(image, run.start_needs))
        .bind(run.queue.clone())
        .bind(run.priority)
        .bind(ready_at)
        .bind(worker.filter(|_| image.keep && !ended).map(|worker| worker.0))
        .bind(run.parent.as_ref().map(|parent| parent.run.0))
        .bind(run.parent.as_ref().and_then(|parent| parent.call.clone()))
        .bind(run.owner.clone())
        .bind(run.trace_parent.clone())
        .bind(text(&run.tags))
        .bind(run.deadline_from(time(now.saturating_add(micros(run.delay)))).map(|at| at.timestamp_micros()))
        .bind(image.block_reason.map(BlockReason::name))
        .bind(image.blocked_build.clone())
        .bind(text(&image.failure))
        .bind(now)
        .bind(ended.then_some(now))
}

fn needs(image: &RunImage, start_needs: Digest) -> Option<Uuid> {
    match image.phase {
        Phase::Ended => None,
        _ if image.unbind => Some(start_needs.to_uuid()),
        _ => image.needs.map(Digest::to_uuid),
    }
}

/// The image of a run that is owned already.
pub(super) fn bind_update<'q>(query: Bound<'q>, update: &RunUpdate, worker: WorkerId, now: i64) -> Bound<'q> {
    let image = &update.image;
    let ended = image.phase == Phase::Ended;
    let ready_at = match image.due {
        _ if ended => None,
        Due::Now => Some(now),
        Due::At(at) => Some(at.timestamp_micros()),
        Due::Never => None,
    };
    query
        .bind(update.run.0)
        .bind(update.claim_no)
        .bind(image.phase as i16)
        .bind(image.state as i16)
        .bind((image.keep && !ended).then_some(worker.0))
        .bind(ready_at)
        .bind(image.generation)
        .bind(image.needs.filter(|_| !ended).map(Digest::to_uuid))
        .bind(image.unbind && !ended)
        .bind(image.block_reason.map(BlockReason::name))
        .bind(image.blocked_build.clone())
        .bind(text(&image.failure))
        .bind(ended.then_some(now))
        .bind(image.seed)
}

/// A journal entry.
pub(super) fn bind_entry<'q>(query: Bound<'q>, write: &Write) -> Bound<'q> {
    let entry = &write.entry;
    let undo = entry.undo.as_ref();
    query
        .bind(write.run.0)
        .bind(write.generation)
        .bind(entry.call.key.clone())
        .bind(entry.call.n)
        .bind(entry.seq)
        .bind(entry.scope)
        .bind(entry.kind as i16)
        .bind(entry.state as i16)
        .bind(entry.args_hash.cast_signed())
        .bind(text(&entry.args))
        .bind(text(&entry.output))
        .bind(text(&entry.failure))
        .bind(entry.attempts)
        .bind(entry.due_at.map(|at| at.timestamp_micros()))
        .bind(undo.map(|undo| undo.step.as_str()))
        .bind(undo.map(|undo| undo.digest.to_uuid()))
        .bind(undo.map(|undo| undo.args.as_str()))
        .bind(entry.undo_state.map(|state| state as i16))
        .bind(entry.at.timestamp_micros())
}

/// Mail that arrives now.
pub(super) fn bind_mail<'q>(query: Bound<'q>, mail: &NewMail, now: i64) -> Bound<'q> {
    query.bind(mail.id).bind(mail.run.0).bind(mail.kind as i16).bind(mail.name.clone()).bind(text(&mail.body)).bind(now)
}

/// A mark on mail.
pub(super) fn bind_mark<'q>(query: Bound<'q>, marked: &Marked) -> Bound<'q> {
    query.bind(marked.mark.mail).bind(marked.mark.taken)
}

/// Reads one column after the other, and says where a row makes no sense.
struct Columns<'r> {
    call: &'static str,
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    fn new(call: &'static str, row: &'r SqliteRow) -> Self {
        Self { call, row, next: 0 }
    }

    fn take<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Result<T, StoreError> {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|error| sort(self.call, error))
    }

    fn digest(&mut self) -> Result<Option<Digest>, StoreError> {
        Ok(self.take::<Option<Uuid>>()?.map(Digest::from_uuid))
    }

    fn payload(&mut self) -> Result<Option<Payload>, StoreError> {
        Ok(self.take::<Option<&str>>()?.map(Payload::from_json_text))
    }

    fn parent(&mut self) -> Result<Option<Parent>, StoreError> {
        let (run, call) = (self.take::<Option<Uuid>>()?, self.take::<Option<&str>>()?);
        Ok(run.map(|run| Parent { run: RunId(run), call: call.map(Arc::from) }))
    }

    fn wire<T>(&mut self, what: &str, from: impl Fn(i16) -> Option<T>) -> Result<T, StoreError> {
        let number = self.take()?;
        from(number).ok_or_else(|| unknown(format!("{}: {number} is no {what}", self.call)))
    }
}

pub(super) fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let mut row = Columns::new("load_journals", row);
    let call = CallId::new(row.take::<&str>()?, row.take::<u32>()?);
    let (seq, scope) = (row.take()?, row.take()?);
    let kind = row.wire("kind of entry", EntryKind::from_wire)?;
    let state = row.wire("state of an entry", EntryState::from_wire)?;
    let args_hash = row.take::<i64>()?.cast_unsigned();
    let (args, output, failure) = (row.payload()?, row.payload()?, row.payload()?);
    let attempts = row.take()?;
    let due_at = row.take::<Option<i64>>()?.map(time);
    let undo = match (row.take::<Option<String>>()?, row.digest()?, row.payload()?) {
        (Some(step), Some(digest), Some(args)) => Some(Undo { step, digest, args }),
        (None, None, None) => None,
        _ => return Err(corrupt(format!("load_journals: the undo of {call} is incomplete"))),
    };
    let undo_state = match row.take::<Option<i16>>()? {
        None => None,
        Some(number) => Some(
            UndoState::from_wire(number)
                .ok_or_else(|| unknown(format!("load_journals: {number} is no state of an undo")))?,
        ),
    };
    let at = time(row.take()?);
    Ok(Entry {
        call,
        kind,
        state,
        seq,
        scope,
        args_hash,
        args,
        output,
        failure,
        attempts,
        due_at,
        undo,
        undo_state,
        at,
    })
}

/// The run in a row of a claim's answer, and the progress its journal had made when it was last taken over.
pub(super) fn claimed_run(id: RunId, row: &SqliteRow) -> Result<(ClaimedRun, i64), StoreError> {
    let mut row = Columns { next: 1, ..Columns::new("claim_runs", row) };
    let run = ClaimedRun {
        id,
        claim_no: row.take()?,
        generation: row.take()?,
        seed: row.take()?,
        workflow: row.take::<&str>()?.into(),
        definition: row.digest()?,
        needs: row.digest()?.ok_or_else(|| corrupt(format!("run {id} is owned, but needs nothing")))?,
        phase: row.wire("phase", Phase::from_wire)?,
        takeovers: row.take()?,
        parent: row.parent()?,
        deadline_at: row.take::<Option<i64>>()?.map(time),
        paused: row.take::<Option<&str>>()? == Some(BlockReason::Paused.name()),
        retries: row.take()?,
    };
    Ok((run, row.take()?))
}

pub(super) fn mail(call: &'static str, row: &SqliteRow) -> Result<Mail, StoreError> {
    let mut row = Columns::new(call, row);
    Ok(Mail {
        no: row.take()?,
        mail: NewMail {
            id: row.take()?,
            run: RunId(row.take()?),
            kind: row.wire("kind of mail", MailKind::from_wire)?,
            name: row.take::<&str>()?.into(),
            body: row.payload()?,
        },
        sent_at: time(row.take()?),
        noticed: row.take()?,
        retries: row.take()?,
    })
}

/// What became of mail that was not put in, by the row of the run it was sent to.
pub(super) fn returned(row: Option<&SqliteRow>) -> Result<Posted, StoreError> {
    let Some(row) = row else { return Ok(Posted::Unknown) };
    let mut row = Columns::new("send_mail", row);
    let (phase, state) = (row.wire("phase", Phase::from_wire)?, row.wire("state", State::from_wire)?);
    // It was there before.
    Ok(if phase == Phase::Ended { Posted::Ended(state) } else { Posted::Sent })
}

pub(super) fn run_view(row: &SqliteRow) -> Result<RunView, StoreError> {
    let mut row = Columns::new("run", row);
    let id = RunId(row.take()?);
    run_view_of(id, row).map_err(|error| error.of_run(id))
}

fn run_view_of(id: RunId, mut row: Columns<'_>) -> Result<RunView, StoreError> {
    let (workflow, version) = (row.take::<&str>()?.into(), row.take::<Option<&str>>()?.map(Arc::from));
    let definition = row.digest()?;
    let key = row.take::<Option<&str>>()?.map(Arc::from);
    let generation = row.take()?;
    let phase = row.wire("phase", Phase::from_wire)?;
    let state = row.wire("state", State::from_wire)?;
    let due_later = row.take()?;
    let served = row.wire("way to be served", |number| {
        [Served::Yes, Served::MissingHandler, Served::MissingVersion, Served::SignatureMismatch]
            .get(usize::try_from(number).ok()?)
            .copied()
    })?;
    let block_reason = match row.take::<Option<&str>>()? {
        None => None,
        Some(name) => {
            Some(BlockReason::from_name(name).ok_or_else(|| unknown(format!("run: no such block reason: {name}")))?)
        }
    };
    let (failure, output) = (row.payload()?, row.payload()?);
    let events = row.take::<i64>()?;
    let worker = row.take::<Option<Uuid>>()?.map(WorkerId);
    let created_at = time(row.take()?);
    let mut when = || Ok::<_, StoreError>(row.take::<Option<i64>>()?.map(time));
    let (ready_at, ended_at, deadline_at) = (when()?, when()?, when()?);
    let (priority, takeovers) = (row.take()?, row.take()?);
    let owner = row.take::<Option<&str>>()?.map(Arc::from);
    let tags = row.payload()?;
    let parent = row.parent()?;
    let seed = row.take()?;
    Ok(RunView {
        id,
        workflow,
        version,
        definition,
        key,
        generation,
        seed,
        phase,
        state,
        due_later,
        served,
        block_reason,
        failure,
        output: output.filter(|_| state == State::Completed),
        worker,
        created_at,
        ready_at,
        ended_at,
        deadline_at,
        priority,
        takeovers,
        owner,
        tags,
        parent,
        events: events.try_into().unwrap_or_default(),
        unread: None,
    })
}

pub(super) fn known_version(row: &SqliteRow) -> Result<KnownVersion, StoreError> {
    let mut row = Columns::new("known_versions", row);
    Ok(KnownVersion {
        workflow: row.take::<&str>()?.into(),
        version: row.take::<&str>()?.into(),
        status: row.wire("status of a version", VersionStatus::from_wire)?,
    })
}
