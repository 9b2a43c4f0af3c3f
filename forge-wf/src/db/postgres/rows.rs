//! Rows → records.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};
use uuid::Uuid;

use super::error::{corrupt, sort, unknown};
use super::time::{time, time_or_none};
use crate::journal::{Entry, EntryKind, EntryState, Undo, UndoState};
use crate::model::{
    BlockReason, CallId, Digest, Payload, Phase, RunId, Served, State, Timestamp, VersionStatus, WorkerId,
};
use crate::store::{ClaimedRun, KnownVersion, Mail, MailKind, NewMail, Parent, Posted, RunView, StoreError};

/// Reads one column after the other, and says where a row makes no sense.
struct Reader<'r> {
    call: &'static str,
    row: &'r PgRow,
    next: usize,
}

impl<'r> Reader<'r> {
    fn new(call: &'static str, row: &'r PgRow) -> Self {
        Self::after(call, row, 0)
    }

    /// Skips the first columns.
    fn after(call: &'static str, row: &'r PgRow, next: usize) -> Self {
        Self { call, row, next }
    }

    fn take<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> Result<T, StoreError> {
        self.next += 1;
        self.row.try_get(self.next - 1).map_err(|error| sort(self.call, error))
    }

    fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.next += 1;
        time(self.row, self.next - 1).map_err(|error| sort(self.call, error))
    }

    fn time_or_none(&mut self) -> Result<Option<Timestamp>, StoreError> {
        self.next += 1;
        time_or_none(self.row, self.next - 1).map_err(|error| sort(self.call, error))
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

pub(super) fn entry(row: &PgRow) -> Result<Entry, StoreError> {
    let mut row = Reader::after("load_journals", row, 1);
    let call = CallId::new(row.take::<&str>()?, row.take::<i32>()?.cast_unsigned());
    let (seq, scope) = (row.take()?, row.take()?);
    let kind = row.wire("kind of entry", EntryKind::from_wire)?;
    let state = row.wire("state of an entry", EntryState::from_wire)?;
    let args_hash = row.take::<i64>()?.cast_unsigned();
    let (args, output, failure) = (row.payload()?, row.payload()?, row.payload()?);
    let attempts = row.take()?;
    let due_at = row.time_or_none()?;
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
    let at = row.time()?;
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

/// The id of the run in a row of a claim's answer, after five columns about the claim itself; `None` if it took none.
pub(super) fn claimed_id(row: &PgRow) -> Result<Option<RunId>, StoreError> {
    Ok(Reader::after("claim_runs", row, 5).take::<Option<Uuid>>()?.map(RunId))
}

/// The run in a row of a claim's answer, and the progress its journal had made when it was last taken over.
pub(super) fn claimed_run(id: RunId, row: &PgRow) -> Result<(ClaimedRun, i32), StoreError> {
    let mut row = Reader::after("claim_runs", row, 6);
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
        deadline_at: row.time_or_none()?,
        paused: row.take::<Option<&str>>()? == Some(BlockReason::Paused.name()),
        retries: row.take()?,
    };
    Ok((run, row.take()?))
}

pub(super) fn mail(call: &'static str, row: &PgRow) -> Result<Mail, StoreError> {
    let mut row = Reader::new(call, row);
    Ok(Mail {
        no: row.take()?,
        mail: NewMail {
            id: row.take()?,
            run: RunId(row.take()?),
            kind: row.wire("kind of mail", MailKind::from_wire)?,
            name: row.take::<&str>()?.into(),
            body: row.payload()?,
        },
        sent_at: row.time()?,
        noticed: row.take()?,
        retries: row.take()?,
    })
}

/// What became of mail, by the row of the run it was sent to.
pub(super) fn posted(row: Option<&PgRow>) -> Result<Posted, StoreError> {
    let Some(row) = row else { return Ok(Posted::Unknown) };
    let mut row = Reader::new("send_mail", row);
    let (phase, state) = (row.wire("phase", Phase::from_wire)?, row.wire("state", State::from_wire)?);
    Ok(if phase == Phase::Ended { Posted::Ended(state) } else { Posted::Sent })
}

pub(super) fn run_view(row: &PgRow) -> Result<RunView, StoreError> {
    let mut row = Reader::new("run", row);
    let id = RunId(row.take()?);
    run_view_of(id, row).map_err(|error| error.of_run(id))
}

fn run_view_of(id: RunId, mut row: Reader<'_>) -> Result<RunView, StoreError> {
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
    let created_at = row.time()?;
    let (ready_at, ended_at, deadline_at) = (row.time_or_none()?, row.time_or_none()?, row.time_or_none()?);
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

pub(super) fn known_version(row: &PgRow) -> Result<KnownVersion, StoreError> {
    let mut row = Reader::new("known_versions", row);
    Ok(KnownVersion {
        workflow: row.take::<&str>()?.into(),
        version: row.take::<&str>()?.into(),
        status: row.wire("status of a version", VersionStatus::from_wire)?,
    })
}
