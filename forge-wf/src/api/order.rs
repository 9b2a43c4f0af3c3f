//! [`GiveOrder`]: what an operator asks of a run, with who and why.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use uuid::Uuid;

use super::error::{Error, findable, valid};
use super::handle::{Source, asked_twice};
use super::send::{RunRef, posted};
use crate::engine::child::seed_of;
use crate::engine::order::{Order, Settled};
use crate::model::limits::NAME_BYTES_MAX;
use crate::model::{Limits, Payload, RunId, Timestamp};
use crate::store::{Audit, MailKind, NewMail, Posted, RetryRun};

/// How long a reason may be. It is kept, shown, and part of failures.
const REASON_BYTES_MAX: usize = 2_000;

/// An order to a run, given when this is awaited. Who gave it and why is kept with it, in the same transaction.
///
/// Once it has returned the order is durable. The run's owner obeys it: within milliseconds if a worker has the run or hears
/// hints, else within the poll interval of a worker. Of an order and the end of the run whichever is committed first has won.
///
/// An order is for the run as it is when the order is given. A run that continues as new meanwhile obeys it in its next generation. A
/// run that ends first does not, and an order that it did not obey is void when the run is retried later.
///
/// # Errors
/// When awaited: `NoSuchRun`, `NoRunWithKey` or `RunEnded` (nothing was written), `InvalidName`, or the database does not answer.
/// Giving it again is safe: an order that has been obeyed changes nothing when it comes a second time.
#[must_use = "an order is not given until this is awaited"]
pub struct GiveOrder {
    source: Source,
    to: RunRef,
    kind: MailKind,
    order: Order,
    keep: bool,
}

impl GiveOrder {
    pub(crate) fn new(source: Source, to: RunRef, kind: MailKind, reason: impl Into<String>) -> Self {
        let order = Order { who: "client".into(), reason: reason.into(), ..Order::default() };
        Self { source, to, kind, order, keep: false }
    }

    pub(crate) fn about(mut self, call: impl Into<String>, settled: Option<Settled>) -> Self {
        self.order.call = Some(call.into());
        self.order.settled = settled;
        self
    }

    /// Who gives it: a person or a program. `client` unless said otherwise.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.order.who = who.into();
        self
    }

    /// Of a retry of a run that has ended: keeps its entries, and with them what its steps returned, up to the first whose undo
    /// was started, but neither the last failure before that nor what came after it. Otherwise it begins with its input alone.
    pub fn keep_completed(mut self) -> Self {
        self.keep = true;
        self
    }

    async fn give(self) -> Result<(), Error> {
        let Self { source, to, kind, order, keep } = self;
        check_who_and_why(&order.who, &order.reason)?;
        order.call.as_deref().map_or(Ok(()), |call| findable("call", call))?;
        let run = source.find(to).await?;
        let action = action(kind, order.settled);
        let details = match &order.call {
            Some(call) => format!("{call}: {}", order.reason),
            None => order.reason.clone(),
        };
        let audit = Audit { who: order.who.as_str().into(), action: action.into(), details: details.into() };
        let body = Payload::encode(&order, &Limits { payload_bytes: usize::MAX })
            .map_err(|error| Error::InvalidName(error.to_string()))?;
        let mail = NewMail { id: Uuid::now_v7(), run, kind, name: action.into(), body: Some(body) };
        match asked_twice(|| source.store().send_order(&mail, &audit)).await? {
            Posted::Ended(state) if kind == MailKind::Retry && state.may_be_retried() => {
                posted(run, source.begin_anew(run, keep, &audit).await?)?;
            }
            answer => posted(run, answer)?,
        }
        source.announce().await;
        Ok(())
    }
}

/// Checks what an audit line is to say.
pub(crate) fn check_who_and_why(who: &str, reason: &str) -> Result<(), Error> {
    valid("name of who gives the order", who, NAME_BYTES_MAX)?;
    findable("reason", reason)?;
    if reason.len() > REASON_BYTES_MAX {
        return Err(Error::InvalidName(format!("the reason is too long: at most {REASON_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn action(kind: MailKind, settled: Option<Settled>) -> &'static str {
    match (kind, settled) {
        (MailKind::Pause, _) => "pause",
        (MailKind::Resume, _) => "resume",
        (MailKind::Kill, _) => "kill",
        (MailKind::Retry, _) => "retry",
        (MailKind::Retire, _) => "retire",
        (MailKind::Settle, Some(Settled::Done)) => "mark_done",
        (MailKind::Settle, _) => "skip",
        _ => "cancel",
    }
}

impl IntoFuture for GiveOrder {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.give())
    }
}

impl fmt::Debug for GiveOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GiveOrder").field("to", &self.to).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What somebody did to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditLine {
    /// When, by the database's clock.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What, as in `cancel`.
    pub action: String,
    /// Why, and about which call.
    pub details: String,
}

impl Source {
    /// Lets an ended run begin anew as its next generation.
    async fn begin_anew(&self, run: RunId, keep: bool, audit: &Audit) -> Result<Posted, Error> {
        let generation = self.view(run).await?.generation;
        let retry = RetryRun { run, generation, keep, seed: seed_of(RunId::new()) };
        // Whoever comes second finds it in a later generation, and changes nothing.
        Ok(asked_twice(|| self.store().retry_run(&retry, audit)).await?)
    }

    pub(crate) async fn audit(&self, run: RunId) -> Result<Vec<AuditLine>, Error> {
        let lines = self.store().audit(run).await?;
        let line = |(at, Audit { who, action, details }): (Timestamp, Audit)| AuditLine {
            at,
            who: who.to_string(),
            action: action.to_string(),
            details: details.to_string(),
        };
        Ok(lines.into_iter().map(line).collect())
    }
}
