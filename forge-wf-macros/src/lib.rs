//! The macros of [forge-wf](https://docs.rs/forge-wf): `#[step]`, `#[workflow]`, `#[helper]`, `#[derive(Event)]` and
//! `#[derive(Schema)]`.
//!
//! Compile time only: this crate knows tokens, never the engine. An attribute walks through the rooms in this order:
//!
//! - `args` parses what stands inside the attribute
//! - `model` understands the function it stands on, `shape` its types
//! - `check` judges, and names the token it blames
//! - `scan` finds the calls and waits in a body, `lint` what gives something else on every replay
//! - `expand` writes; after an error in the signature it is `fallback` instead, so that the user reads one message
//!
//! `lock` reads the lock file; `event` and `schema` are all of the derives. Use the macros through `forge_wf`, which re-exports them.

mod args;
mod check;
mod event;
mod expand;
mod fallback;
mod lint;
mod lock;
mod model;
mod scan;
mod schema;
mod shape;

use proc_macro::TokenStream;

/// Makes an async function a step: work with side effects whose outcome is recorded once.
///
/// Calling it from a [`macro@workflow`] or [`macro@helper`] gives a `StepCall`: a future that runs the function, records
/// what it returns, and on a replay hands out the recorded outcome without running it again. A crash before the outcome
/// was recorded runs it again, so give `ctx.idempotency_key()` to whatever has side effects.
///
/// # Parameters
/// - `ctx: &StepContext`, if the step wants its attempt number, idempotency key or cancellation. It never takes a
///   `&WorkflowContext`: a step cannot call steps.
/// - `#[state] x: &T`, `#[state] x: T` (cloned) or `#[state] x: &dyn Trait` (given as `Arc<dyn Trait>` or
///   `Box<dyn Trait>`): filled from `Runtime::builder().state(..)`.
/// - Everything else is an argument: serialised at the call, so it may be borrowed (`&T`, `&str`, `&[T]`,
///   `Option<&T>`), and read back owned by each attempt.
///
/// It returns a `Result` whose value is `Serialize + DeserializeOwned`, and whose error is `forge_wf::Failure` or a type
/// that is `Error + Serialize + DeserializeOwned`; the caller then gets `StepError<E>`. An alias of `Result` must have a
/// name that ends in `Result`.
///
/// # Undoing it
/// `compensate` names the step that undoes this one, should its run fail or be cancelled later. It is an ordinary step with
/// a retry policy of its own; what it is given is found out as soon as this step has succeeded, and kept in the journal.
/// - `compensate = release_stock`: it takes the output, or all arguments of this step (at most eight) and then the output,
///   by the same types (`&str` takes a `String`, `&[T]` a `Vec<T>`). Nothing is decoded.
/// - `compensate = refund(output.id, order.cents)`: a call without its context. It may use the arguments of this step by
///   name and `output`, what the step returned, read back from the journal; no state and no context.
/// - `compensate = refund as Refund`, also before a call's parentheses, where the step's type has another name.
///
/// A call that the workflow drops while it runs (as `select!` does) may end within the grace time, and is undone at once.
///
/// A worker that dies leaves a step of which nobody knows whether it was done. Such a step is run again before it is undone,
/// unless its compensation is a path whose step takes the output as an `Option`: that one is then called with `None`.
/// Another compensation is a change of the signature of the workflows that call this step.
/// ```ignore
/// #[step(compensate = release_stock)]
/// async fn reserve_stock(ctx: &StepContext, #[state] warehouse: &Warehouse, sku: &str, qty: u32) -> Result<Hold> {
///     Ok(warehouse.hold(sku, qty, ctx.idempotency_key()).await?)
/// }
///
/// #[step(retry(max = 20, backoff = "1s..10m"))]
/// async fn release_stock(#[state] warehouse: &Warehouse, hold: Hold) -> Result<()> {
///     Ok(warehouse.release(hold).await?)
/// }
///
/// #[step(compensate = refund(output.id, order.cents))]
/// async fn charge(ctx: &StepContext, #[state] bank: &Bank, order: &Order) -> Result<Receipt> {
///     Ok(bank.charge(order.cents, ctx.idempotency_key()).await?)
/// }
///
/// #[step]
/// async fn refund(#[state] bank: &Bank, receipt: i64, cents: u64) -> Result<()> {
///     Ok(bank.refund(receipt, cents).await?)
/// }
/// ```
///
/// # Options
/// - `compensate = path` or `compensate = path(..)`: the step that undoes it, as above. Without it there is nothing to undo.
/// - `retry(max = 5, backoff = "200ms..30s", jitter = 0.2, if = path)`: `max` attempts in all, with waits that double from
///   the first to the longest (`"1s"` alone: always that long), made up to `jitter` (a share, 0 to 1) shorter at random;
///   `if` names a `fn(&E) -> bool` that says whether an error is worth another attempt. Only `max` must be given.
///   Without `retry` there is one attempt.
/// - `timeout = "30s"`: a bound on each attempt. Without it there is none.
/// - `name = "charge-card"`: the name in the journal, instead of the function's. Renaming a step whose calls are in a
///   journal blocks those runs; with `name` the function can be renamed.
/// - `marker = Charge`: the name of the step's type, instead of the function's, where that name is taken (by a module).
///   Callers then say so: `#[workflow(steps(charge as Charge))]`.
/// - `crate = path`: where `forge_wf` is, if it was renamed.
///
/// # What it becomes
/// The function `charge` that makes calls; a type `charge` (one `use` imports both) that names the step; and
/// `charge::body(..)`, the function as it was written, for unit tests without a runtime.
///
/// # Example
/// ```ignore
/// use forge_wf::prelude::*;
///
/// #[step(retry(max = 5, backoff = "200ms..30s"), timeout = "30s")]
/// pub async fn reserve(ctx: &StepContext, #[state] warehouse: &Warehouse, sku: &str, qty: u32) -> Result<Hold> {
///     Ok(warehouse.hold(sku, qty, ctx.idempotency_key()).await?)
/// }
/// ```
#[proc_macro_attribute]
pub fn step(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(args::Kind::Step, args.into(), item.into()).into()
}

/// Makes an async function a workflow: a deterministic function that strings steps together and survives its process.
///
/// Its first parameter is `ctx: &WorkflowContext`; it may take one input besides, and returns a `Result` whose error
/// becomes a `Failure`. Everything with a side effect belongs into a [`macro@step`], because the body runs again from the
/// start after a crash, with the recorded outcomes.
///
/// Each call in the body, `path(ctx, ..)`, becomes part of the workflow's `SIGNATURE`: what its runs in flight rely on.
/// The calls are found in the text, also inside `join!` and closures. A call the text hides (a macro that writes it)
/// does not compile until `steps(path)` names it. A plain function that only looks like a call is written
/// `(log)(ctx, ..)`.
///
/// # Determinism
/// The body runs again after a crash, and has to make the same calls again. What gives something else then is a compile error that
/// says what to write instead: clocks (`ctx.now()`), random ids and numbers (`ctx.uuid()`, `ctx.rng()`), tasks, threads and timers of
/// the process (a step, `ctx.sleep(..)`, `.timeout(..)`), `select!` without `biased;`, and a walk over a `HashMap` or `HashSet`
/// (a `BTreeMap`). It is found in the text, also inside macros and behind `use .. as ..` in the body. Where it does not matter,
/// `forge_wf::nondet!(..)` around it says so.
///
/// # Children
/// Calling a workflow, `ship(ctx, order).await?`, starts a run of its own and waits for what it returns. The caller's
/// signature holds the child's name, input and output, and nothing of its inside: a new version of the child leaves the
/// caller's runs alone, and workflows may call themselves and each other.
///
/// # Undoing a child
/// `compensate` names the step that undoes a run of this workflow, should it have completed as a child and its parent fail or be
/// cancelled later: `compensate = recall`, a step that takes what the workflow returned, or its input and then that, or a call,
/// `compensate = recall(output.parcel, order.id)`, which may use the input by its name and `output`. What the step is given is
/// found out as the child ends, of its last input if it has continued as new, and kept in the parent's journal with the child's
/// result: the parent's worker needs the step and not the workflow. Without it the work of a completed child stands. A child
/// that fails or is cancelled undoes itself, and one that was detached is on its own.
///
/// # Events
/// `ctx.wait_for_event::<Approved>().await?` waits for an event, a type with [`macro@Event`]. It is found in the text and
/// becomes part of the signature like a call. `ctx.wait_for_event_named::<Approval>("approved")` waits for one by name;
/// its name and payload are declared: `events("approved": Approval)`.
///
/// # Options
/// - `version = "1"`: new code for runs in flight is a new version. `"1"` unless given. Versions of one name stand side by side, as
///   functions of their own: `#[workflow(name = "checkout", version = "1", status = deprecated)] async fn checkout_1(..)`.
/// - `status = active`: what the version is for. `active`, as without it: new runs are of this version; of one name one version
///   is. `deprecated`: it goes on with the runs it has, and takes no new ones. `staging`: a run is of this version if it is
///   asked for, by the function itself or by name and version. Not part of the signature.
/// - `replaces = "1"`: runs of that version go on with this one, if their journals fit it: a run that is due is replayed with this
///   code first, without effects, and bound to it if nothing differs; an entry `move` says so. The others stay what they are: keep
///   version 1 as `status = deprecated` until there are none, or they wait for a worker that has it. Not part of the signature.
/// - `signature = "0123456789abcdef0123456789abcdef"`: pins the signature: code whose signature is another one does not
///   compile, and the compiler says which it is. For all workflows at once: `forge_wf::contract::assert_lock!`.
/// - `compensate = path` or `compensate = path(..)`: the step that undoes a completed child, as above. Part of the signature of
///   this workflow, and not of its parents'.
/// - `timeout = "7d"`: how long a run may take, from its start or, if that was delayed, from when it is due; waits, pauses and
///   all its generations included. One that takes longer is stopped, undoes what it did, and fails. A run keeps what was so
///   when it was started; one that was started by name, without the definition, what the worker says that takes it first.
///   Not part of the signature.
/// - `name = "checkout"`: the name in the database, instead of the function's.
/// - `steps(path, ..)`: steps, helpers and workflows called out of sight; `steps(charge as Charge)` for those whose type
///   has another name (`marker`).
/// - `events(Approved, "paid": Payment, ..)`: the types of events waited for out of sight; the names and payloads of those
///   waited for by name.
/// - `marker = Checkout`: the name of the workflow's type, instead of the function's, where that name is taken.
/// - `crate = path`: where `forge_wf` is, if it was renamed.
///
/// # What it becomes
/// The function `checkout` that `Runtime::start` takes; a type `checkout` with `checkout::SIGNATURE`; and
/// `checkout::body(..)`, the function as it was written.
///
/// # Example
/// ```ignore
/// use forge_wf::prelude::*;
///
/// #[workflow(version = "1")]
/// pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<Receipt> {
///     let hold = reserve(ctx, &order.sku, order.qty).await?;
///     charge(ctx, order, hold).await
/// }
/// ```
#[proc_macro_attribute]
pub fn workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(args::Kind::Workflow, args.into(), item.into()).into()
}

/// Makes an async function a helper: a part of a workflow that may call steps, workflows and other helpers, and wait.
///
/// It takes `ctx: &WorkflowContext` first and otherwise what it likes, generics included, and returns what it likes. Its body is as
/// deterministic as that of a [`macro@workflow`], by the same compile errors. What
/// it calls and waits for becomes part of the signature of every workflow that calls it. A function with a `&WorkflowContext` that
/// is neither a [`macro@workflow`] nor a `#[helper]` cannot call steps.
///
/// # Options
/// - `steps(path, ..)`: what is called out of sight, as in [`macro@workflow`].
/// - `events(Approved, "paid": Payment, ..)`: as in [`macro@workflow`]. A helper declares its own.
/// - `marker = NotifyAll`: the name of the helper's type, instead of the function's, where that name is taken.
/// - `crate = path`: where `forge_wf` is, if it was renamed.
///
/// # Example
/// ```ignore
/// use forge_wf::prelude::*;
///
/// #[helper]
/// async fn notify_all(ctx: &WorkflowContext, to: &[String]) -> Result<()> {
///     for address in to {
///         email(ctx, address).await?;
///     }
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn helper(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(args::Kind::Helper, args.into(), item.into()).into()
}

/// Makes a type an event: a named, typed payload sent to a run from outside.
///
/// The type is a struct or enum without generics, owns what it carries, and is `Serialize + DeserializeOwned`. A workflow
/// or helper waits for it by `ctx.wait_for_event::<Approved>()`.
///
/// # Options
/// - `#[event(name = "order.approved")]`: the name in the journal and for senders, instead of the type's in snake case
///   (`order_approved`). Both names are in the signature of every workflow that waits for it.
/// - `#[event(crate = path)]`: where `forge_wf` is, if it was renamed.
///
/// # Example
/// ```ignore
/// use forge_wf::prelude::*;
///
/// #[derive(Serialize, Deserialize, Event)]
/// pub struct Approved {
///     pub by: String,
/// }
///
/// #[workflow]
/// pub async fn checkout(ctx: &WorkflowContext) -> Result<String> {
///     Ok(ctx.wait_for_event::<Approved>().await?.by)
/// }
/// ```
#[proc_macro_derive(Event, attributes(event))]
pub fn event(item: TokenStream) -> TokenStream {
    event::derive(item.into()).into()
}

/// Makes the form of a type part of the signatures of the workflows that carry it, as trait and macro `Schema` of `forge_wf` say.
///
/// The type is a struct or an enum; of a generic one its parameters have to be `Schema` as well. What serde's attributes change of
/// the form counts as they do.
///
/// # Options
/// - `#[schema(opaque)]` on a field: it counts by the name of its type. For types that hold each other.
/// - `#[schema(crate = path)]` on the type: where `forge_wf` is, if it was renamed.
///
/// # Example
/// ```ignore
/// use forge_wf::prelude::*;
///
/// #[derive(Serialize, Deserialize, Schema)]
/// #[serde(tag = "kind", rename_all = "snake_case")]
/// pub enum Payment {
///     Card { number: String, cents: u64 },
///     #[serde(rename = "invoice")]
///     Bill(#[schema(opaque)] Address),
/// }
/// ```
#[proc_macro_derive(Schema, attributes(schema))]
pub fn schema(item: TokenStream) -> TokenStream {
    schema::derive(item.into()).into()
}
