//! A claim that the database refuses, because of one run perhaps, is made again one run at a time.

use futures_util::future::BoxFuture;
use uuid::Uuid;

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
