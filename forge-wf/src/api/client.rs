//! [`Client`]: starts runs and waits for them from a process that runs no workflows.

use std::fmt;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::bulk::GiveOrders;
use super::connect::connect;
use super::definition::{Event, Workflow, WorkflowFn};
use super::error::Error;
use super::fork::MakeFork;
use super::handle::{RunHandle, Source};
use super::list::{Filter, Page};
use super::moves::MoveRuns;
use super::order::{AuditLine, GiveOrder};
use super::send::{RunRef, SendEvent, UntakenEvent};
use super::show::RunDetails;
use super::start::Start;
use crate::engine::order::Settled;
use crate::model::{Limits, RunId};
use crate::store::address::{Address, IntoUrl, Opening};
use crate::store::{MailKind, Unserved};

/// Starts runs, and waits for their results, from a process that runs no workflows itself.
///
/// ```no_run
/// # async fn example() -> Result<(), forge_wf::Error> {
/// let client = forge_wf::Client::connect("postgres://localhost/shop").await?;
/// let run = client.start_by_name("checkout", serde_json::json!({ "id": "order-17" })).key("order-17").await?;
/// println!("{}", run.result().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    source: Source,
}

impl Client {
    /// Opens the database, applying the migrations it lacks.
    ///
    /// # Errors
    /// `Misconfigured` with what to change; `Store` if the schema is newer than this build.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::open(Opening::at(url)).await
    }

    /// As [`Client::connect`], with an address that `ask` returns. On PostgreSQL it is asked for each new connection, so that a
    /// password or certificate may change under a running program; see [`RuntimeBuilder::database_with`](crate::RuntimeBuilder::database_with).
    ///
    /// ```no_run
    /// # async fn read_password() -> std::io::Result<String> { Ok(String::new()) }
    /// # async fn example() -> Result<(), forge_wf::Error> {
    /// let client = forge_wf::Client::connect_with(|| async {
    ///     read_password().await.map(|password| format!("postgres://app:{password}@db/shop"))
    /// })
    /// .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Client::connect`]; also `Misconfigured` if `ask` fails.
    pub async fn connect_with<F, U>(ask: impl Fn() -> F + Send + Sync + 'static) -> Result<Self, Error>
    where
        F: Future<Output = U> + Send + 'static,
        U: IntoUrl,
    {
        Self::open(Opening::of(Address::asked(ask))).await
    }

    async fn open(opening: Opening) -> Result<Self, Error> {
        let grace = crate::engine::config::Config::default().unserved_grace;
        Ok(Self { source: Source::Store(connect(opening).await?, grace, Limits::default()) })
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn of(source: Source) -> Self {
        Self { source }
    }

    /// The same client with another bound on inputs and events, in bytes of JSON; it should be the workers' own. A client that
    /// a runtime gave has that of the runtime.
    #[must_use]
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        if let Source::Store(_, _, limits) = &mut self.source {
            limits.payload_bytes = bytes;
        }
        self
    }

    /// Starts a workflow this program was compiled with; a worker runs it.
    pub fn start<Args, M, F>(&self, workflow: F, input: M::Input) -> Start<'_, M::Output>
    where
        M: Workflow,
        F: WorkflowFn<Args, M>,
    {
        let _ = workflow;
        Start::known(self.source.clone(), M::DEFINITION, &input)
    }

    /// Starts a workflow by name, with its input as JSON. Whether the input fits is seen by the worker that runs it: if not,
    /// the run fails with code `input_unusable`.
    ///
    /// Awaiting it is an error if live workers exist and none of them knows the name.
    pub fn start_by_name(&self, workflow: impl Into<String>, input: serde_json::Value) -> Start<'_, serde_json::Value> {
        Start::named(self.source.clone(), workflow.into(), &input)
    }

    /// The run with this id. `T` is what its workflow returns; `serde_json::Value` fits every workflow.
    ///
    /// # Errors
    /// `NoSuchRun`, or the database does not answer.
    pub async fn run<T: DeserializeOwned>(&self, id: RunId) -> Result<RunHandle<T>, Error> {
        self.source.view(id).await?;
        Ok(RunHandle::new(id, false, self.source.clone()))
    }

    /// The run of `workflow` that holds `key`, if there is one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn run_by_key<Args, M, F>(&self, workflow: F, key: &str) -> Result<Option<RunHandle<M::Output>>, Error>
    where
        M: Workflow,
        F: WorkflowFn<Args, M>,
    {
        let _ = workflow;
        let view = self.source.by_key(M::DEFINITION.name, key).await?;
        Ok(view.map(|view| RunHandle::new(view.id, false, self.source.clone())))
    }

    /// Sends an event to a run. See [`SendEvent`].
    ///
    /// ```no_run
    /// # use forge_wf::prelude::*;
    /// # #[workflow] async fn checkout(ctx: &WorkflowContext) -> Result<()> { Ok(()) }
    /// # async fn example(client: Client) -> std::result::Result<(), forge_wf::Error> {
    /// #[derive(Serialize, Deserialize, Event)]
    /// struct Approved {
    ///     by: String,
    /// }
    ///
    /// let to = forge_wf::RunRef::key(checkout, "order-17");
    /// client.send_event(to, Approved { by: "Ada".into() }).id("approval-17").await?;
    /// # Ok(()) }
    /// ```
    #[allow(clippy::needless_pass_by_value)] // as one hands an event over
    pub fn send_event<E: Event>(&self, run: impl Into<RunRef>, event: E) -> SendEvent<'static> {
        self.source.send_event(run.into(), &event)
    }

    /// Sends an event by name, with its payload as JSON. Whether the payload fits is seen by the run that waits for it: if not,
    /// the event is kept, and the run waits on. See [`SendEvent`].
    #[allow(clippy::needless_pass_by_value)]
    pub fn send_event_named(
        &self,
        run: impl Into<RunRef>,
        name: &str,
        payload: serde_json::Value,
    ) -> SendEvent<'static> {
        self.source.send_event_named(run.into(), name, &payload)
    }

    /// Events in the run's inbox that no wait has taken, oldest first, at most 1,000: those that came before the wait for
    /// them, those nobody will ever wait for, and those whose payload does not fit.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn untaken_events(&self, run: RunId) -> Result<Vec<UntakenEvent>, Error> {
        self.source.untaken_events(run).await
    }

    /// Asks the run to forget an event that no wait has taken. A wait that takes it first has won.
    ///
    /// # Errors
    /// `NoSuchEvent` (also for one that is not among the first 1,000 in the inbox), `NoSuchRun` or `RunEnded`, or the database does not answer.
    pub async fn drop_event(&self, run: RunId, event: Uuid) -> Result<(), Error> {
        self.source.change_event(run, event, None).await
    }

    /// Asks the run to put this payload in place of that of an event no wait has taken; the event keeps its place. A wait that
    /// takes it first has won.
    ///
    /// # Errors
    /// `NoSuchEvent`, `NoSuchRun`, `RunEnded` or `InvalidEvent`, or the database does not answer.
    pub async fn replace_event(&self, run: RunId, event: Uuid, payload: serde_json::Value) -> Result<(), Error> {
        self.source.change_event(run, event, Some(&payload)).await
    }

    /// Asks a run to end and to undo what it did, whatever it is doing: waiting for a worker, running, asleep for months, blocked
    /// or paused. Running steps see [`StepContext::cancelled`](crate::StepContext::cancelled) and may end within the grace time; its
    /// child runs are cancelled too, and have ended before it undoes what is older. It ends as `cancelled`. A run that
    /// undoes already goes on doing so.
    ///
    /// ```no_run
    /// # async fn example(client: forge_wf::Client, run: forge_wf::RunId) -> Result<(), forge_wf::Error> {
    /// client.cancel(run, "the customer called").by("ada").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The journal says what is to be undone: of a run whose journal cannot be read the cancel waits until it can. A kill does not.
    pub fn cancel(&self, run: impl Into<RunRef>, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Cancel, reason)
    }

    /// Ends a run as it is, undoing nothing: its steps are aborted, and it ends as `killed`. Its children are killed too, and the children
    /// of these, but for those that were started with [`ChildCall::detach`](crate::ChildCall::detach). A run whose journal cannot be read
    /// (`blocked_unreadable`) ends too, but its children are not known then and go on: kill each by itself.
    pub fn kill(&self, run: impl Into<RunRef>, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Kill, reason)
    }

    /// Declares that nothing can resume a run: it ends as `retired`, undoing nothing. Its children are retired too, as with
    /// [`Client::kill`], which also says what becomes of a run whose journal cannot be read.
    pub fn retire(&self, run: impl Into<RunRef>, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Retire, reason)
    }

    /// Asks a run to start nothing more until it is told to resume: running steps end, and no further one starts. A run
    /// that was started with a delay is paused when the delay is over.
    pub fn pause(&self, run: impl Into<RunRef>, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Pause, reason)
    }

    /// Lets a paused run go on.
    pub fn resume(&self, run: impl Into<RunRef>, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Resume, reason)
    }

    /// Has a blocked run tried again: with the code that is deployed, or, in `blocked_compensation`, the undo that gave up, with
    /// all its attempts. A run that has ended as failed, compensated or cancelled begins anew as its next generation, under
    /// the same id and key and without the deadline it had: with its input alone (then the timeout of its workflow counts
    /// anew), or, by [`GiveOrder::keep_completed`], with what it had completed. The generation is part of every idempotency key,
    /// so a step that runs again is a new call.
    pub fn retry(&self, run: impl Into<RunRef>, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Retry, reason)
    }

    /// Starts a new run with the input, the seed and the journal of another one up to and including the entry of this seq (see
    /// [`Client::show`]), so it takes the same path up to there and its own from then on. The key stays with the original. What
    /// the original has done is not the fork's to undo, unless [`MakeFork::take_over_undos`] says so.
    pub fn fork(&self, run: RunId, up_to: i32, reason: impl Into<String>) -> MakeFork {
        MakeFork::new(self.source.clone(), run, up_to, reason)
    }

    /// Of a run in `blocked_compensation`: leaves `call` (as in `step:charge#0`) as it is and goes on with what is older. Without
    /// effect unless that call is what holds up the rest.
    pub fn skip_undo(&self, run: impl Into<RunRef>, call: &str, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Settle, reason).about(call, Some(Settled::Skipped))
    }

    /// Of a run in `blocked_compensation`: takes `call` (as in `step:charge#0`) as undone, by hand say, and goes on with what is
    /// older. Without effect unless that call is what holds up the rest.
    pub fn mark_undone(&self, run: impl Into<RunRef>, call: &str, reason: impl Into<String>) -> GiveOrder {
        GiveOrder::new(self.source.clone(), run.into(), MailKind::Settle, reason).about(call, Some(Settled::Done))
    }

    /// Runs that fit `filter`, newest first, a page of them.
    ///
    /// What is asked of status, workflow and so on is looked at for each run in turn, from the newest on: few that fit among many
    /// cost time, and a page may come back short, with a cursor that goes on.
    ///
    /// ```no_run
    /// # use forge_wf::{Client, Filter, Status};
    /// # async fn example(client: Client) -> Result<(), forge_wf::Error> {
    /// let page = client.list(&Filter::new().workflow("checkout").status(Status::Sleeping)).await?;
    /// for run in page.runs {
    ///     println!("{} {}", run.id, run.status);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Page, Error> {
        self.source.list(filter).await
    }

    /// Has the newest runs that fit `filter`, at most so many, go on with another version of their workflow, if their journals fit that.
    /// The version has to be in this program, also where no worker of it runs. See [`MoveRuns`].
    ///
    /// ```no_run
    /// # async fn example(client: forge_wf::Client) -> Result<(), forge_wf::Error> {
    /// let old = forge_wf::Filter::new().workflow("checkout").version("1");
    /// let found = client.move_runs(old, "2", 10_000, "version 1 books twice").by("Ada").await?;
    /// println!("{} moved, {} stay, {} are busy", found.moved, found.stayed, found.busy.len());
    /// # Ok(()) }
    /// ```
    pub fn move_runs(
        &self,
        filter: Filter,
        version: impl Into<String>,
        at_most: usize,
        reason: impl Into<String>,
    ) -> MoveRuns {
        MoveRuns::new(self.source.clone(), filter, version.into(), at_most, reason.into())
    }

    /// Cancels the newest runs that fit `filter`, at most so many. See [`Client::cancel`].
    pub fn cancel_all(&self, filter: Filter, at_most: usize, reason: impl Into<String>) -> GiveOrders {
        GiveOrders::new(self.source.clone(), filter, MailKind::Cancel, at_most, reason.into())
    }

    /// Kills the newest runs that fit `filter`, at most so many. See [`Client::kill`].
    pub fn kill_all(&self, filter: Filter, at_most: usize, reason: impl Into<String>) -> GiveOrders {
        GiveOrders::new(self.source.clone(), filter, MailKind::Kill, at_most, reason.into())
    }

    /// Pauses the newest runs that fit `filter`, at most so many. See [`Client::pause`].
    pub fn pause_all(&self, filter: Filter, at_most: usize, reason: impl Into<String>) -> GiveOrders {
        GiveOrders::new(self.source.clone(), filter, MailKind::Pause, at_most, reason.into())
    }

    /// Resumes the newest runs that fit `filter`, at most so many. See [`Client::resume`].
    pub fn resume_all(&self, filter: Filter, at_most: usize, reason: impl Into<String>) -> GiveOrders {
        GiveOrders::new(self.source.clone(), filter, MailKind::Resume, at_most, reason.into())
    }

    /// Retries the newest runs that fit `filter`, at most so many. See [`Client::retry`].
    pub fn retry_all(&self, filter: Filter, at_most: usize, reason: impl Into<String>) -> GiveOrders {
        GiveOrders::new(self.source.clone(), filter, MailKind::Retry, at_most, reason.into())
    }

    /// A run with its journal, and one sentence that says what it waits for, why it is blocked or how it ended.
    ///
    /// # Errors
    /// `NoSuchRun`, or the database does not answer.
    pub async fn show(&self, run: RunId) -> Result<RunDetails, Error> {
        self.source.show(run).await
    }

    /// Who gave which order to a run and why, oldest first; at most 1,000, the newest.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn audit(&self, run: RunId) -> Result<Vec<AuditLine>, Error> {
        self.source.audit(run).await
    }

    /// Runs that are due and that no live worker can run, in words: print each one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unserved(&self) -> Result<Vec<Unserved>, Error> {
        self.source.unserved().await
    }

    /// Closes the connections. Of a client that a runtime gave, that is the runtime's own business: shut that down instead.
    pub async fn close(&self) {
        if let Source::Store(store, ..) = &self.source {
            store.close().await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
