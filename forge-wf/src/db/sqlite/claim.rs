//! Starts and claims: how a run comes to be, and how a worker comes by it.

use futures_util::FutureExt;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Row, query, query_as, query_scalar};
use uuid::Uuid;

use super::commit::insert_entries;
use super::error::{lost, micros, now, refused, sorted, time};
use super::rows::{bind_run, claimed_run};
use super::unreadable::may_be_the_row;
use super::writer::Writer;
use crate::db::singly::claim_singly;
use crate::journal::Entry;
use crate::model::{Digest, Lane, RunId, Timestamp};
use crate::store::{Claim, ClaimRequest, MailKind, NewRun, RunImage, StartAnswer, StoreError, Write};

/// Inserts one run, or finds the one in whose favour nothing was written.
pub(super) async fn start_run(writer: &Writer, run: &NewRun) -> Result<StartAnswer, StoreError> {
    let mut writing = writer.begin("start_run").await?;
    let answer = insert(writing.connection(), run).await;
    writing.finish(answer).await
}

async fn insert(connection: &mut SqliteConnection, run: &NewRun) -> Result<StartAnswer, StoreError> {
    const CALL: &str = "start_run";
    let image = RunImage::ready(0, run.needs);
    let now = now();
    let inserted = bind_run(query(include_str!("sql/start_run.sql")), run, &image, None, now);
    if inserted.execute(&mut *connection).await.map_err(sorted(CALL))?.rows_affected() == 1 {
        let start = Write { run: run.id, generation: 0, entry: Entry::start(run.input.clone(), time(now)) };
        insert_entries(connection, &[&start]).await?;
        return Ok(StartAnswer { id: run.id, created: true });
    }
    let holder = query_scalar::<_, Uuid>(include_str!("sql/find_started.sql"))
        .bind(run.id.0)
        .bind(run.workflow.clone())
        .bind(run.key.clone());
    match holder.fetch_optional(&mut *connection).await.map_err(sorted(CALL))? {
        Some(id) => Ok(StartAnswer { id: RunId(id), created: false }),
        None => Err(refused(CALL, format!("run {} was not inserted, and no other run stands in its way", run.id))),
    }
}

const CLAIM: &str = "claim_runs";
const TAKE: &str = concat!(include_str!("sql/claim/due.sql"), include_str!("sql/claim/take.sql"));
const LIST: &str = concat!(include_str!("sql/claim/due.sql"), include_str!("sql/claim/list.sql"));

/// Gives the worker due runs, or what this claim took before.
pub(super) async fn claim_runs(writer: &Writer, request: &ClaimRequest) -> Result<Claim, StoreError> {
    let error = match claim(writer, request, None).await {
        Err(error) if may_be_the_row(&error) => error,
        answer => return answer,
    };
    let mut writing = writer.begin(CLAIM).await?;
    let due = list_due(writing.connection(), request).await;
    let due = writing.finish(due).await?;
    let claim = |request: ClaimRequest, only| async move { claim(writer, &request, only).await }.boxed();
    claim_singly(request, due, error, may_be_the_row, claim).await
}

async fn list_due(connection: &mut SqliteConnection, request: &ClaimRequest) -> Result<Vec<RunId>, StoreError> {
    let (offers, avoid) = (offers(request)?, ids(&request.avoid)?);
    let due = query_scalar::<_, Uuid>(LIST).bind(offers).bind(now()).bind(request.slots);
    let due = due.bind(MailKind::LAST as i16).bind(avoid).fetch_all(connection).await.map_err(sorted(CLAIM))?;
    Ok(due.into_iter().map(RunId).collect())
}

/// Of the runs that are due perhaps `only` this one.
async fn claim(writer: &Writer, request: &ClaimRequest, only: Option<RunId>) -> Result<Claim, StoreError> {
    let mut writing = writer.begin(CLAIM).await?;
    let answer = claim_by(writing.connection(), writer, request, only).await;
    let claim = writing.finish(answer).await?;
    if !claim.runs.is_empty() {
        writer.acknowledged.moved(request.worker, Lane::CLAIMS, request.claim_no);
    }
    Ok(claim)
}

async fn claim_by(
    connection: &mut SqliteConnection,
    writer: &Writer,
    request: &ClaimRequest,
    only: Option<RunId>,
) -> Result<Claim, StoreError> {
    let now = now();
    let lane = query_scalar::<_, i64>("SELECT batch_no FROM forge_wf_lanes WHERE worker_id = ?1 AND lane = ?2")
        .bind(request.worker.0)
        .bind(Lane::CLAIMS.0);
    let last = lane.fetch_optional(&mut *connection).await.map_err(sorted(CLAIM))?.ok_or(lost(request.worker))?;
    writer.acknowledged.check_lane(request.worker, Lane::CLAIMS, last)?;
    // A claim that finds nothing writes nothing, so an idle worker costs no disk; its number stays free, and whether the
    // worker uses it again or goes on to the next makes no difference.
    if last < request.claim_no {
        let offers = offers(request)?;
        if take(connection, request, only, &offers, now).await? == 0 {
            if request.slots == 0 {
                return Ok(none(now, None));
            }
            let next = query_as::<_, (Option<i64>, Option<Vec<u8>>)>(include_str!("sql/next_due.sql"));
            let next = next.bind(offers).bind(now).fetch_one(&mut *connection).await;
            let (next_due, strange) = next.map_err(sorted(CLAIM))?;
            if let Some(id) = strange {
                writer.strange.run(&id);
            }
            return Ok(none(now, next_due.map(time)));
        }
        query("UPDATE forge_wf_lanes SET batch_no = ?3 WHERE worker_id = ?1 AND lane = ?2")
            .bind(request.worker.0)
            .bind(Lane::CLAIMS.0)
            .bind(request.claim_no)
            .execute(&mut *connection)
            .await
            .map_err(sorted(CLAIM))?;
    }
    let rows = query(include_str!("sql/claimed_runs.sql")).bind(request.worker.0).bind(request.claim_no);
    let rows = rows.fetch_all(&mut *connection).await.map_err(sorted(CLAIM))?;
    let mut claim = none(now, None);
    for row in &rows {
        let id = row.try_get::<&[u8], _>(0).map_err(sorted(CLAIM))?;
        let Some(id) = writer.strange.run(id) else { continue };
        match claimed_run(id, row) {
            Err(error) => claim.unreadable.push((id, error)),
            Ok((mut run, entries)) => {
                if run.takeovers > 0 && has_moved_on(connection, id, entries).await {
                    run.takeovers = 0;
                }
                claim.runs.push(run);
            }
        }
    }
    Ok(claim)
}

/// No run; the next one is due then.
fn none(now: i64, next_due: Option<Timestamp>) -> Claim {
    let (runs, unreadable, refused) = (Vec::new(), Vec::new(), Vec::new());
    Claim { runs, unreadable, refused, now: time(now), next_due, contended: false }
}

/// Whether the run's journal holds more than at its last takeover, when its progress was `entries`. If that cannot be read, then not.
async fn has_moved_on(connection: &mut SqliteConnection, run: RunId, entries: i64) -> bool {
    let progress = query_scalar::<_, i64>(include_str!("sql/progress.sql")).bind(run.0);
    progress.fetch_one(connection).await.is_ok_and(|progress| progress != entries)
}

/// What the worker offers, as a statement takes it.
fn offers(request: &ClaimRequest) -> Result<String, StoreError> {
    let hex = |digest: Digest| digest.to_string();
    let offers: Vec<_> = (request.offers.iter())
        .map(|offer| (hex(offer.needs), hex(offer.definition), &*offer.version, offer.timeout.map(micros)))
        .collect();
    serde_json::to_string(&offers).map_err(|error| refused(CLAIM, error.to_string()))
}

/// The ids of runs, as a statement takes them.
fn ids(runs: &[RunId]) -> Result<String, StoreError> {
    let ids: Vec<_> = runs.iter().map(|run| run.0.simple().to_string()).collect();
    serde_json::to_string(&ids).map_err(|error| refused(CLAIM, error.to_string()))
}

/// Takes what is due; how many it took.
async fn take(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    only: Option<RunId>,
    offers: &str,
    now: i64,
) -> Result<u64, StoreError> {
    let claim = query(TAKE)
        .bind(offers)
        .bind(now)
        .bind(request.slots)
        .bind(MailKind::LAST as i16)
        .bind(ids(&request.avoid)?)
        .bind(request.worker.0)
        .bind(request.claim_no)
        .bind(ids(&request.adopt)?)
        .bind(only.map(|run| run.0));
    Ok(claim.execute(&mut *connection).await.map_err(sorted(CLAIM))?.rows_affected())
}
