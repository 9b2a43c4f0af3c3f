//! What the attributes write does journal: run on SQLite, every way to pass an argument and to be given state.
#![cfg(feature = "sqlite")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use forge_wf::Error;
use forge_wf::prelude::*;

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Order {
    id: String,
    sizes: Vec<u8>,
}

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
enum CardError {
    #[error("declined: {0}")]
    Declined(String),
    #[error("busy")]
    Busy,
}

impl CardError {
    fn passes(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

/// Counts how often bodies ran.
#[derive(Clone, Default)]
struct Effects(Arc<AtomicU32>);

trait Greeter: Send + Sync {
    fn greet(&self, name: &str) -> String;
}

struct Polite;

impl Greeter for Polite {
    fn greet(&self, name: &str) -> String {
        format!("Dear {name}")
    }
}

#[allow(clippy::too_many_arguments)] // one of each form
#[step]
async fn gather(
    #[state] greeter: &dyn Greeter,
    text: &str,
    order: &Order,
    #[state] effects: &Effects,
    sizes: &[u8],
    maybe_text: Option<&str>,
    maybe_order: Option<&Order>,
    maybe_sizes: Option<&[u8]>,
    ctx: &StepContext,
    owned: Order,
    #[state] suffix: String,
) -> Result<String> {
    effects.0.fetch_add(1, Ordering::SeqCst);
    assert_eq!(ctx.attempt(), 1);
    Ok(format!(
        "{} {} {sizes:?} {maybe_text:?} {:?} {maybe_sizes:?} {}{suffix}",
        greeter.greet(text),
        order.id,
        maybe_order.map(|order| &order.id),
        owned.id,
    ))
}

#[step(retry(max = 4, backoff = "1ms", if = CardError::passes))]
async fn charge(
    #[state] effects: &Effects,
    ctx: &StepContext,
    busy_until: u32,
    cents: u64,
) -> std::result::Result<u64, CardError> {
    effects.0.fetch_add(1, Ordering::SeqCst);
    match ctx.attempt() {
        attempt if attempt < busy_until => Err(CardError::Busy),
        _ if cents > 100 => Err(CardError::Declined(cents.to_string())),
        _ => Ok(cents),
    }
}

#[step(timeout = "10ms")]
async fn slow() -> Result<()> {
    std::future::pending().await
}

#[step(name = "double it", marker = Doubling)]
async fn double(number: u32) -> Result<u32> {
    Ok(number * 2)
}

#[helper(steps(double as Doubling))]
async fn double_all<const N: usize>(ctx: &WorkflowContext, numbers: [u32; N]) -> Result<u32> {
    let mut sum = 0;
    for doubled in futures::future::join_all(numbers.iter().map(|number| double(ctx, *number))).await {
        sum += doubled?;
    }
    Ok(sum)
}

#[workflow]
async fn every_argument(ctx: &WorkflowContext, order: Order) -> Result<Vec<String>> {
    let sizes = order.sizes.clone();
    let some = gather(ctx, &order.id, &order, &sizes, Some(&order.id), Some(&order), Some(&sizes), order.clone());
    let none = gather(ctx, "nobody", &order, &[], None, None, None, order.clone());
    let (some, none) = tokio::join!(some, none);
    Ok(vec![some?, none?])
}

#[workflow(name = "pay", version = "2")]
async fn paying(ctx: &WorkflowContext, cents: u64) -> Result<String> {
    match charge(ctx, 3, cents).await {
        Ok(cents) => Ok(format!("paid {cents}")),
        Err(StepError::Failed(CardError::Declined(why))) => Ok(format!("declined {why}")),
        Err(other) => Err(other.into()),
    }
}

#[workflow]
async fn no_input(ctx: &WorkflowContext) -> Result<u32> {
    let timed_out = slow(ctx).await.is_err();
    Ok(double_all(ctx, [1, 2, 3]).await? + u32::from(timed_out))
}

async fn runtime() -> (Runtime, Effects, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let effects = Effects::default();
    let runtime = Runtime::builder()
        .database(format!("sqlite:{}", path.display()))
        .state(effects.clone())
        .state(Arc::new(Polite) as Arc<dyn Greeter>)
        .state(String::from("!"))
        .build()
        .await
        .unwrap();
    (runtime, effects, directory)
}

#[tokio::test]
async fn arguments_arrive_as_they_were_passed() {
    let (runtime, effects, _directory) = runtime().await;
    let order = Order { id: "o-1".into(), sizes: vec![1, 2] };
    let run = runtime.start(every_argument, order).await.unwrap();
    let expected = [
        r#"Dear o-1 o-1 [1, 2] Some("o-1") Some("o-1") Some([1, 2]) o-1!"#,
        r#"Dear nobody o-1 [] None None None o-1!"#,
    ];
    assert_eq!(run.result().await.unwrap(), expected);
    assert_eq!((run.counts().run_now, effects.0.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_step_is_tried_again_as_its_attribute_says_and_its_error_comes_back_typed() {
    let (runtime, effects, _directory) = runtime().await;
    assert_eq!(runtime.start(paying, 7).await.unwrap().result().await.unwrap(), "paid 7");
    assert_eq!(effects.0.load(Ordering::SeqCst), 3);
    assert_eq!(runtime.start(paying, 700).await.unwrap().result().await.unwrap(), "declined 700");
    assert_eq!(effects.0.load(Ordering::SeqCst), 6, "a declined card is not tried again");
}

#[tokio::test]
async fn helpers_journal_for_their_caller_and_a_timeout_ends_an_attempt() {
    let (runtime, _, _directory) = runtime().await;
    let run = runtime.start(no_input, ()).await.unwrap();
    assert_eq!(run.result().await.unwrap(), 13);
    assert_eq!(run.counts().run_now, 4);
}

#[tokio::test]
async fn state_that_is_missing_is_named() {
    let error = Runtime::builder().database("sqlite:unused.db").build().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Definitions(_)), "{text}");
    for hint in ["Arc<dyn Greeter>", "`effects` is a `Effects`"] {
        assert!(text.contains(hint), "{text}");
    }
}

#[tokio::test]
async fn the_body_is_a_plain_function() {
    assert_eq!(Doubling::body(4).await.unwrap(), 8);
}
