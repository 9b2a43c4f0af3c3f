//! Workflows that wait: for points in time, for events, for child runs, for their next generation.

use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{ChildHandle, Timestamp, checked_seconds};
use futures::future::join_all;

use super::workflows::{Job, add, gate, slow};

/// How often to sleep, and how long each time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Naps {
    /// How often.
    pub times: u64,
    /// How long, in milliseconds.
    pub millis: u64,
    /// Where steps log their effects.
    pub log: String,
}

/// Sleeps with a step before, between and after; returns what time it was after each.
#[workflow]
pub async fn naps(ctx: &WorkflowContext, naps: Naps) -> Result<Vec<Timestamp>> {
    let mut times = Vec::new();
    for n in 0..naps.times {
        add(ctx, &naps.log, n).await?;
        times.push(ctx.now());
        ctx.sleep(Duration::from_millis(naps.millis)).await?;
    }
    add(ctx, &naps.log, naps.times).await?;
    times.push(ctx.now());
    Ok(times)
}

/// Sleeps in every place where a call may stand.
#[workflow]
pub async fn naps_everywhere(ctx: &WorkflowContext) -> Result<String> {
    let nap = |millis| ctx.sleep(Duration::from_millis(millis));
    let (a, b) = tokio::join!(nap(30), nap(10));
    a.and(b)?;
    let first = tokio::select! {
        biased;
        _ = slow(ctx) => "step",
        woken = nap(20) => woken.map(|()| "sleep")?,
    };
    for woken in join_all((0..10).map(|n| nap(n * 3))).await {
        woken?;
    }
    let second = tokio::select! {
        biased;
        sum = add(ctx, "", 1) => sum.map(|_| "step")?,
        woken = nap(600_000) => woken.map(|()| "sleep")?,
    };
    nap(0).await?;
    ctx.sleep_until(Timestamp::UNIX_EPOCH).await?;
    ctx.sleep_until(Timestamp::MIN_UTC).await?;
    ctx.sleep_until(ctx.now() + Duration::from_millis(20)).await?;
    Ok(format!("{first} {second}"))
}

/// Sleeps longer than anybody may; returns the codes it was refused with.
#[workflow]
pub async fn naps_for_ever(ctx: &WorkflowContext) -> Result<Vec<String>> {
    let year = hours(366 * 24);
    let refused = [
        ctx.sleep(Duration::MAX).await,
        ctx.sleep(year * 11).await,
        ctx.sleep_until(Timestamp::MAX_UTC).await,
        ctx.sleep_until(ctx.now() + year * 11).await,
        slow(ctx).timeout(Duration::MAX).await.map(drop),
        ctx.wait_for_event::<Approved>().timeout(year * 11).await.map(drop),
    ];
    Ok(refused.into_iter().map(|refused| refused.unwrap_err().code().unwrap_or("no code").to_owned()).collect())
}

/// Sleeps as many seconds as JSON says.
#[workflow]
pub async fn naps_by_number(ctx: &WorkflowContext, length: f64) -> Result<()> {
    ctx.sleep(checked_seconds(length)?).await
}

/// Never returns by itself, and has errors of its own.
#[step]
pub async fn slow_and_typed() -> Result<u64, super::workflows::Declined> {
    std::future::pending().await
}

/// Bounds calls of every kind.
#[workflow]
pub async fn bounded(ctx: &WorkflowContext) -> Result<Vec<String>> {
    let limit = Duration::from_millis(40);
    let mut seen = Vec::new();
    let failure = slow(ctx).timeout(limit).await.unwrap_err();
    seen.push(format!("{} {}", failure.is_timeout(), failure.code().unwrap_or("no code")));
    seen.push(match slow_and_typed(ctx).timeout(limit).await {
        Err(StepError::TimedOut(message)) => message,
        other => format!("{other:?}"),
    });
    let failure = ctx.wait_for_event::<Approved>().timeout(limit).await.unwrap_err();
    seen.push(format!("{} {}", failure.is_timeout(), failure.message()));
    seen.push(match sleeps_for_days(ctx).timeout(limit).await {
        Err(ChildError::TimedOut(failure)) => failure.message().to_owned(),
        other => format!("{other:?}"),
    });
    let quick = add(ctx, "", 1).timeout(hours(1)).await?;
    seen.push(format!("{quick}"));
    Ok(seen)
}

/// Sleeps for days.
#[workflow]
pub async fn sleeps_for_days(ctx: &WorkflowContext) -> Result<()> {
    ctx.sleep(days(3)).await
}

/// Somebody has approved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
pub struct Approved {
    /// Who.
    pub by: String,
}

/// Somebody has counted.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(name = "counted-again")]
pub struct Counted(pub u64);

/// Waits for this many approvals; returns who approved.
#[workflow]
pub async fn approvals(ctx: &WorkflowContext, times: u64) -> Result<Vec<String>> {
    let mut by = Vec::new();
    for _ in 0..times {
        by.push(ctx.wait_for_event::<Approved>().await?.by);
    }
    Ok(by)
}

/// Passes the gate, then takes an approval and a count, whatever came first.
#[workflow]
pub async fn approval_and_count(ctx: &WorkflowContext) -> Result<String> {
    gate(ctx).await?;
    let counted = ctx.wait_for_event::<Counted>().await?;
    let approved = ctx.wait_for_event::<Approved>().await?;
    Ok(format!("{} {}", approved.by, counted.0))
}

/// A wait that times out, one that is dropped, the gate, and one that takes the event.
#[workflow]
pub async fn impatient_approval(ctx: &WorkflowContext) -> Result<String> {
    let late = ctx.wait_for_event::<Approved>().timeout(Duration::from_millis(20)).await;
    let dropped = tokio::select! {
        biased;
        approved = ctx.wait_for_event::<Approved>() => format!("took {approved:?}"),
        _ = ctx.sleep(Duration::from_millis(20)) => "took none".to_owned(),
    };
    gate(ctx).await?;
    let approved = ctx.wait_for_event::<Approved>().await?;
    Ok(format!("{} {dropped} {}", late.is_err_and(|failure| failure.is_timeout()), approved.by))
}

/// Waits so many milliseconds for an approval.
#[workflow]
pub async fn deadline(ctx: &WorkflowContext, millis: u64) -> Result<String> {
    match ctx.wait_for_event::<Approved>().timeout(Duration::from_millis(millis)).await {
        Ok(approved) => Ok(approved.by),
        Err(failure) if failure.is_timeout() => Ok("nobody".into()),
        Err(failure) => Err(failure),
    }
}

/// Waits by name; the name of the second wait is not declared.
#[workflow(events("decision": bool))]
pub async fn decision(ctx: &WorkflowContext, name: String) -> Result<bool> {
    ctx.wait_for_event_named::<bool>(&name).await
}

/// Waits twice for one name, each time for something else.
#[workflow(events("approved": u64))]
pub async fn name_and_number(ctx: &WorkflowContext) -> Result<String> {
    let (approved, number) =
        tokio::join!(ctx.wait_for_event::<Approved>(), ctx.wait_for_event_named::<u64>("approved"));
    Ok(format!("{} {}", approved?.by, number?))
}

/// Adds up what is counted until nothing comes for a while.
#[workflow]
pub async fn counts_up(ctx: &WorkflowContext, expected: u64) -> Result<u64> {
    let mut sum = 0;
    for _ in 0..expected {
        sum += ctx.wait_for_event::<Counted>().await?.0;
    }
    Ok(sum)
}

/// Adds one in a step of its own run.
#[workflow]
pub async fn child(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    add(ctx, &job.log, job.n).await
}

/// Fails with a code.
#[workflow]
pub async fn failing_child(_ctx: &WorkflowContext, code: String) -> Result<u64> {
    Err(Failure::permanent("the child gave up").with_code(code))
}

/// Calls one child and adds to what it says.
#[workflow]
pub async fn parent(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let n = child(ctx, job.clone()).await?;
    add(ctx, &job.log, n).await
}

/// Sees how a child fails; then lets the failure through.
#[workflow]
pub async fn parent_of_failing(ctx: &WorkflowContext, code: String) -> Result<u64> {
    match failing_child(ctx, code.clone()).await {
        Err(ChildError::Failed(failure)) if failure.code() == Some(&code) => {}
        other => return Err(Failure::permanent(format!("{other:?}"))),
    }
    Ok(failing_child(ctx, code).await?)
}

/// Waits for everything a run can wait for, between two steps, in two generations.
#[workflow]
pub async fn everything(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let n = add(ctx, &job.log, job.n).await?;
    ctx.sleep(Duration::from_millis(30)).await?;
    let n = child(ctx, Job { n, ..job.clone() }).await?;
    let counted = ctx.wait_for_event::<Counted>().timeout(hours(1)).await?;
    let n = add(ctx, &job.log, n + counted.0).await?;
    if ctx.load_state::<u64>("first")?.is_some() {
        return Ok(n);
    }
    ctx.save_state("first", &n)?;
    ctx.continue_as_new(Job { n, ..job }).await
}

/// Calls many children at once.
#[workflow]
pub async fn parent_of_many(ctx: &WorkflowContext, children: u64) -> Result<u64> {
    let mut sum = 0;
    for child in join_all((0..children).map(|n| child(ctx, Job::of(n)))).await {
        sum += child?;
    }
    Ok(sum)
}

/// Waits for an approval and says who gave it.
#[workflow]
pub async fn waiting_child(ctx: &WorkflowContext) -> Result<String> {
    Ok(ctx.wait_for_event::<Approved>().await?.by)
}

/// Lets a child go on by itself.
#[workflow]
pub async fn parent_of_detached(ctx: &WorkflowContext) -> Result<ChildHandle> {
    Ok(waiting_child(ctx).detach().await?)
}

/// Drops one child in a race and leaves another one open at its end.
#[workflow]
pub async fn parent_that_drops(ctx: &WorkflowContext) -> Result<u64> {
    tokio::select! {
        biased;
        _ = waiting_child(ctx) => {}
        _ = ctx.sleep(Duration::from_millis(30)) => {}
    }
    tokio::select! {
        biased;
        _ = async { tokio::join!(waiting_child(ctx), ctx.sleep(hours(1))) } => {}
        sum = async { ctx.sleep(Duration::from_millis(30)).await?; add(ctx, "", 1).await } => return sum,
    }
    Ok(0)
}

/// A call that cannot be journaled.
#[workflow]
pub async fn parent_of_nan(ctx: &WorkflowContext) -> Result<String> {
    match naps_by_number(ctx, f64::NAN).await {
        Err(ChildError::Unusable(failure)) => Ok(failure.code().unwrap_or("no code").to_owned()),
        other => Ok(format!("{other:?}")),
    }
}

/// Calls itself until there is nothing left.
#[workflow]
pub async fn factorial(ctx: &WorkflowContext, n: u64) -> Result<u64> {
    if n == 0 { Ok(1) } else { Ok(n * factorial(ctx, n - 1).await?) }
}

/// One generation of a run that counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lap {
    /// Which one this is, from 0.
    pub lap: u64,
    /// After which one to stop.
    pub laps: u64,
    /// Where steps log their effects.
    pub log: String,
}

/// A step, an event and a saved number in each generation.
#[workflow]
pub async fn laps(ctx: &WorkflowContext, lap: Lap) -> Result<u64> {
    let sum: u64 = ctx.load_state("sum")?.unwrap_or_default();
    let counted = ctx.wait_for_event::<Counted>().await?;
    let sum = add(ctx, &lap.log, sum + counted.0).await?;
    ctx.save_state("sum", &sum)?;
    if lap.lap == lap.laps {
        return Ok(sum);
    }
    ctx.continue_as_new(Lap { lap: lap.lap + 1, ..lap }).await
}

/// Tries to go on while it waits for a child.
#[workflow]
pub async fn continues_too_early(ctx: &WorkflowContext, times: u64) -> Result<String> {
    if times > 0 {
        return Ok("went on".into());
    }
    let mut open = std::pin::pin!(waiting_child(ctx));
    tokio::select! {
        biased;
        _ = &mut open => {}
        _ = ctx.sleep(Duration::from_millis(10)) => {}
    }
    match ctx.continue_as_new::<String>(1).await {
        Err(failure) => Ok(format!("{}: {failure}", failure.code().unwrap_or("no code"))),
        Ok(never) => Ok(never),
    }
}

/// Goes on for ever without ending its journal.
#[workflow]
pub async fn never_ends(ctx: &WorkflowContext, until: u64) -> Result<u64> {
    for n in 0..until {
        ctx.sleep(Duration::ZERO).await?;
        ctx.save_state("laps", &n)?;
    }
    Ok(until)
}

/// Whatever may differ between two lives of a run, recorded by a step before a sleep and compared with itself after.
#[workflow]
pub async fn same_again(ctx: &WorkflowContext) -> Result<Vec<serde_json::Value>> {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let ask = || {
            let mut numbers = ctx.rng();
            let numbers = [numbers.next_u64(), numbers.next_u64()].map(|number| number.to_string());
            serde_json::json!([ctx.uuid(), numbers, ctx.now(), ctx.run_id()])
        };
        let (mine, recorded) = (ask(), ask());
        let recorded = super::workflows::echo(ctx, &serde_json::json!([mine, recorded])).await?;
        ctx.sleep(Duration::from_millis(20)).await?;
        seen.push(serde_json::json!([recorded, [mine, recorded[1]]]));
    }
    Ok(seen)
}

/// Tells how far it is, at the gate.
#[workflow]
pub async fn tells_progress(ctx: &WorkflowContext) -> Result<Option<String>> {
    ctx.save_state("progress", "at the gate")?;
    gate(ctx).await?;
    ctx.save_state("progress", "behind the gate")?;
    ctx.load_state("progress")
}

/// Waits often, with an answer in between: a chat, say.
#[workflow]
pub async fn chatty(ctx: &WorkflowContext, waits: u64) -> Result<u64> {
    let mut heard = 0;
    for _ in 0..waits {
        heard += ctx.wait_for_event::<Counted>().await?.0;
        ctx.save_state("heard", &heard)?;
    }
    Ok(heard)
}
