//! Workflows and steps the tests run. Steps note what they really did in an effect log outside the database.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forge_wf::prelude::*;
use futures::StreamExt;
use futures::future::join_all;

/// Appends one line to the effect log: `pid run call attempt`. An empty path logs nothing.
fn log_effect(log: &str, ctx: &StepContext) {
    if !log.is_empty() {
        let mut file = OpenOptions::new().create(true).append(true).open(log).expect("an effect log");
        let line = format!("{} {} {}\n", std::process::id(), ctx.idempotency_key(), ctx.attempt());
        file.write_all(line.as_bytes()).expect("one write, so lines of two processes never mix");
    }
}

/// A number to work on, and where effects are logged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Where effects are logged; empty: nowhere.
    pub log: String,
    /// The number.
    pub n: u64,
}

impl Job {
    /// A job that logs nothing.
    pub fn of(n: u64) -> Self {
        Self { log: String::new(), n }
    }
}

/// Adds one.
#[step]
pub async fn add(ctx: &StepContext, log: &str, n: u64) -> Result<u64> {
    log_effect(log, ctx);
    Ok(n + 1)
}

/// Three steps, one after the other.
#[workflow(version = "1")]
pub async fn three(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let a = add(ctx, &job.log, job.n).await?;
    let b = add(ctx, &job.log, a).await?;
    add(ctx, &job.log, b).await
}

/// Every combinator that must replay alike.
#[workflow(version = "1")]
pub async fn combinators(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let (a, b) = tokio::join!(add(ctx, &job.log, 1), add(ctx, &job.log, 2));
    let mut sum = a? + b?;
    for value in join_all((0..10).map(|n| add(ctx, &job.log, n))).await {
        sum += value?;
    }
    let mut stream = futures::stream::iter(0..20).map(|n| add(ctx, &job.log, n)).buffer_unordered(4);
    while let Some(value) = stream.next().await {
        sum = sum.wrapping_mul(31).wrapping_add(value?);
    }
    let first = tokio::select! {
        biased;
        value = add(ctx, &job.log, 100) => value?,
        value = slow(ctx) => value?,
    };
    let mut unordered: futures::stream::FuturesUnordered<_> = (0..5).map(|n| add(ctx, &job.log, n)).collect();
    while let Some(value) = unordered.next().await {
        sum = sum.wrapping_mul(31).wrapping_add(value?);
    }
    Ok(sum.wrapping_add(first))
}

/// Never returns by itself.
#[step]
pub async fn slow() -> Result<u64> {
    std::future::pending().await
}

/// Waits for a step that never returns.
#[workflow]
pub async fn endless(ctx: &WorkflowContext) -> Result<u64> {
    slow(ctx).await
}

/// Waits for it no longer than its attempts may take.
#[workflow]
pub async fn impatient(ctx: &WorkflowContext) -> Result<u64> {
    slow(ctx)
        .attempt_timeout(Duration::from_millis(20))
        .retry(Retry::new(2).backoff(Duration::ZERO, Duration::ZERO))
        .await
}

/// Fails until its third attempt.
#[step(retry(max = 3, backoff = "1ms"))]
pub async fn flaky(ctx: &StepContext, log: &str) -> Result<u32> {
    log_effect(log, ctx);
    if ctx.attempt() < 3 {
        return Err(Failure::new("not yet").with_code("flaky"));
    }
    Ok(ctx.attempt())
}

/// Lives through two failures.
#[workflow]
pub async fn persistent(ctx: &WorkflowContext, job: Job) -> Result<u32> {
    flaky(ctx, &job.log).await
}

/// Panics.
#[step]
pub async fn panicking() -> Result<()> {
    panic!("the step fell over")
}

/// Calls a step that panics.
#[workflow]
pub async fn calls_panicking(ctx: &WorkflowContext) -> Result<()> {
    panicking(ctx).await
}

/// An error with a type of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Declined {
    /// Not enough money, by this much.
    Short(u64),
}

impl std::fmt::Display for Declined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
impl std::error::Error for Declined {}

/// Declines.
#[step]
pub async fn decline(short: u64) -> Result<(), Declined> {
    Err(Declined::Short(short))
}

/// Reads a typed error, also after a replay.
#[workflow]
pub async fn branches_on_error(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    match decline(ctx, job.n).await {
        Err(StepError::Failed(Declined::Short(short))) => add(ctx, &job.log, short).await,
        other => Err(Failure::new(format!("{other:?}"))),
    }
}

/// Hands a value through the journal.
#[step]
pub async fn echo(value: &serde_json::Value) -> Result<serde_json::Value> {
    Ok(value.clone())
}

/// Hands a value through input, arguments, output and result.
#[workflow]
pub async fn echoes(ctx: &WorkflowContext, value: serde_json::Value) -> Result<serde_json::Value> {
    echo(ctx, &value).await
}

/// What a step may return that JSON cannot hold, or not within the limits.
#[step]
pub async fn unusable(kind: &str) -> Result<serde_json::Value> {
    let mut deep = serde_json::Value::Null;
    match kind {
        "deep" => (0..2_000).for_each(|_| deep = serde_json::Value::Array(vec![deep.take()])),
        "large" => deep = serde_json::Value::String("x".repeat(5 << 20)),
        _ => {}
    }
    Ok(deep)
}

/// Asks for such a result.
#[workflow]
pub async fn asks_for_unusable(ctx: &WorkflowContext, kind: String) -> Result<String> {
    match unusable(ctx, &kind).await {
        Err(failure) => Ok(format!("{}: {failure}", failure.code().unwrap_or("no code"))),
        Ok(_) => Ok("usable".into()),
    }
}

/// Takes a float.
#[step]
pub async fn take_float(value: f64) -> Result<f64> {
    Ok(value)
}

/// Passes NaN to a step.
#[workflow]
pub async fn passes_nan(ctx: &WorkflowContext) -> Result<String> {
    match take_float(ctx, f64::NAN).await {
        Err(failure) => Ok(format!("{}: {failure}", failure.code().unwrap_or("no code"))),
        Ok(value) => Ok(format!("{value}")),
    }
}

/// Panics after one step.
#[workflow]
pub async fn body_panics(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let n = add(ctx, &job.log, job.n).await?;
    if crate_behaves() { Ok(n) } else { panic!("the body fell over") }
}

/// Awaits a tokio timer in the body after one step.
#[workflow]
pub async fn awaits_foreign(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let n = add(ctx, &job.log, job.n).await?;
    if !crate_behaves() {
        forge_wf::nondet!(tokio::time::sleep(Duration::from_millis(1))).await;
    }
    Ok(n)
}

/// Depends on something that is not journaled.
#[workflow]
pub async fn diverges(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let n = if crate_behaves() { job.n } else { job.n + 1_000 };
    let n = add(ctx, &job.log, n).await?;
    gate(ctx).await?;
    Ok(n)
}

static BEHAVES: AtomicU64 = AtomicU64::new(0);
static GATE: AtomicU64 = AtomicU64::new(0);

/// Whether the faulty workflows of this process behave, as those of a mended build would.
pub fn crate_behaves() -> bool {
    BEHAVES.load(Ordering::SeqCst) == 1
}

/// Mends (or breaks) the faulty workflows of this process.
pub fn behave(yes: bool) {
    BEHAVES.store(u64::from(yes), Ordering::SeqCst);
}

/// Opens (or closes) the gate that `gate` waits at.
pub fn open_gate(yes: bool) {
    GATE.store(u64::from(yes), Ordering::SeqCst);
}

/// Returns once the gate of this process is open.
#[step]
pub async fn gate() -> Result<()> {
    while GATE.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// A step, the gate, a step.
#[workflow]
pub async fn gated(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let n = add(ctx, &job.log, job.n).await?;
    gate(ctx).await?;
    add(ctx, &job.log, n).await
}

/// Ten steps with a pause in each, so that a process can be killed in the middle.
#[workflow]
pub async fn ten(ctx: &WorkflowContext, job: Job) -> Result<u64> {
    let mut n = job.n;
    for _ in 0..10 {
        n = pause(ctx, &job.log, n).await?;
    }
    Ok(n)
}

/// Adds one after a few milliseconds.
#[step]
pub async fn pause(ctx: &StepContext, log: &str, n: u64) -> Result<u64> {
    log_effect(log, ctx);
    tokio::time::sleep(Duration::from_millis(3)).await;
    Ok(n + 1)
}

/// Fails for a long time, so that the run is parked between attempts.
#[step(retry(max = 10, backoff = "1s", jitter = 0))]
pub async fn patient(ctx: &StepContext, log: &str) -> Result<u32> {
    log_effect(log, ctx);
    if ctx.attempt() < 2 { Err(Failure::new("later")) } else { Ok(ctx.attempt()) }
}

/// Waits a second between attempts.
#[workflow]
pub async fn parks(ctx: &WorkflowContext, job: Job) -> Result<u32> {
    patient(ctx, &job.log).await
}
