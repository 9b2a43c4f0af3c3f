//! What the database refuses, because of one run perhaps, is done again without that run: a claim one run at a time, other changes in
//! halves.

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::refusals::Refusals;
use crate::model::RunId;
use crate::store::{Claim, ClaimRequest, StoreError};

/// How many runs are tried at the most. Each that is refused may cost a new connection.
const TRIED_MAX: usize = 32;

/// Claims, of the runs that are to be adopted and of those that are `due`, the first that the database gives. What it refuses before
/// comes along. If it refuses every one, it is asked for none of them: unless it allows that, no run is to blame, and the answer is
/// the `error` of the claim for all.
///
/// `claim` asks for one due run, or for none.
pub(super) async fn claim_singly<'c>(
    request: &'c ClaimRequest,
    due: Vec<RunId>,
    error: StoreError,
    may_be_a_run: impl Fn(&StoreError) -> bool,
    claim: impl Fn(ClaimRequest, Option<RunId>) -> BoxFuture<'c, Result<Claim, StoreError>>,
) -> Result<Claim, StoreError> {
    tracing::warn!(worker = %request.worker, %error, "the database refuses a claim; claiming the runs one by one");
    const NONE: RunId = RunId(Uuid::nil());
    let alone = |adopt: Vec<RunId>| ClaimRequest { adopt, ..request.clone() };
    let adopted = request.adopt.iter().map(|run| (*run, alone(vec![*run]), NONE));
    let due = due.into_iter().map(|run| (run, alone(Vec::new()), run));
    let mut refused = Vec::new();
    for (run, request, only) in adopted.chain(due).take(TRIED_MAX) {
        match claim(request, Some(only)).await {
            // Also an answer without a run uses the number of the claim up.
            Ok(claim) => return Ok(Claim { refused, ..claim }),
            Err(error) if may_be_a_run(&error) => refused.push((run, error)),
            Err(error) => return Err(error),
        }
    }
    if refused.is_empty() {
        return Err(error);
    }
    match claim(alone(Vec::new()), Some(NONE)).await {
        Ok(claim) => Ok(Claim { refused, ..claim }),
        Err(_) => Err(error),
    }
}

/// What a step of freeing the runs of a dead worker did.
#[derive(Clone, Copy, Default)]
pub(super) struct Freed {
    /// Runs that were freed.
    pub(super) runs: u64,
    /// Runs that were tried. None if there are no more.
    pub(super) tried: u64,
}

impl Freed {
    /// All that were tried.
    pub(super) fn all(runs: u64) -> Self {
        Self { runs, tried: runs }
    }
}

/// How many statements the database may refuse before what it refuses is halved no more: enough for a thousand runs of which it refuses
/// every one.
const REFUSALS_MAX: usize = 2_000;

/// What became of runs that were written in pieces.
pub(super) struct Pieces {
    /// How many runs `write` has changed, by its own count.
    pub(super) written: u64,
    /// Runs that the database refuses, each alone.
    pub(super) refused: Vec<(RunId, StoreError)>,
    /// Runs of pieces that were refused and not halved, because too many had been refused before.
    pub(super) left: Vec<RunId>,
}

/// Writes these runs in ever smaller pieces, until each run that the database refuses is alone; all others are written.
///
/// # Errors
/// The first that is not about a run. What was written before stays written.
pub(super) async fn write_in_halves<'c>(
    runs: Vec<RunId>,
    may_be_a_run: impl Fn(&StoreError) -> bool,
    write: impl Fn(Vec<RunId>) -> BoxFuture<'c, Result<u64, StoreError>>,
) -> Result<Pieces, StoreError> {
    let mut done = Pieces { written: 0, refused: Vec::new(), left: Vec::new() };
    let (mut pieces, mut refusals) = (vec![runs], 0);
    while let Some(mut piece) = pieces.pop().filter(|piece| !piece.is_empty()) {
        match write(piece.clone()).await {
            Ok(written) => done.written += written,
            Err(error) if may_be_a_run(&error) => {
                refusals += 1;
                if piece.len() == 1 {
                    done.refused.push((piece[0], error));
                } else if refusals < REFUSALS_MAX {
                    let second = piece.split_off(piece.len() / 2);
                    pieces.extend([second, piece]);
                } else {
                    done.left.extend(piece);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Says which runs past their deadline could not be reminded, and has them left alone for a while.
pub(super) fn leave_alone(pieces: &Pieces, refusals: &Refusals) {
    for (run, error) in &pieces.refused {
        tracing::error!(%run, %error, "the database refuses the reminder that this run is past its deadline; trying again in some minutes");
        refusals.add(*run);
    }
}

/// Says which blocked runs stay blocked because the database refuses their change.
pub(super) fn tell_of_blocked(pieces: &Pieces) {
    for (run, error) in &pieces.refused {
        tracing::error!(%run, %error, "the database refuses to unblock this run; the next registration of a new build tries again");
    }
    if let Some(run) = pieces.left.first() {
        tracing::error!(
            %run, runs = pieces.left.len(),
            "the database refuses to unblock so many runs that this one and others were not tried alone; the next registration of a new \
             build tries again"
        );
    }
}
