//! [`GiveOrders`]: one order to many runs.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use futures_util::{StreamExt, stream};

use super::error::Error;
use super::handle::Source;
use super::list::Filter;
use super::order::GiveOrder;
use crate::model::RunId;
use crate::store::{MailKind, StoreError};

/// Orders on their way at once.
const AT_ONCE: usize = 16;

/// An order to all runs that fit a filter, up to a number; given when this is awaited.
///
/// Each run gets an order of its own, as if it had been given alone, with its own line in its audit. A run that cannot be given the order
/// keeps no other from it: see [`OrdersGiven::failed`].
///
/// # Errors
/// When awaited: `InvalidName`, with nothing given, or the database does not answer; some runs have their order then, and giving it again
/// is safe.
#[must_use = "orders are not given until this is awaited"]
pub struct GiveOrders {
    source: Source,
    filter: Filter,
    kind: MailKind,
    at_most: usize,
    reason: String,
    who: Option<String>,
}

/// How many runs an order was given to, and which could not be given it.
#[derive(Debug, Default)]
#[must_use = "some runs may not have got the order: see `failed`"]
#[non_exhaustive]
pub struct OrdersGiven {
    /// Runs that got the order.
    pub given: usize,
    /// Runs that had ended before it came.
    pub ended: usize,
    /// Runs that could not be given it, in no order, and why: the database refuses their order, because of a trigger for example.
    /// Nothing was written for these, also no line in their audits.
    pub failed: Vec<(RunId, Error)>,
}

/// Whether the next run would be answered alike.
fn is_about_all(error: &Error) -> bool {
    match error {
        Error::InvalidName(_) | Error::Store(StoreError::SchemaTooNew { .. }) => true,
        Error::Store(error) => error.is_passing(),
        _ => false,
    }
}

impl GiveOrders {
    pub(crate) fn new(source: Source, filter: Filter, kind: MailKind, at_most: usize, reason: String) -> Self {
        Self { source, filter, kind, at_most, reason, who: None }
    }

    /// Who gives it: a person or a program. `client` unless said otherwise.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.who = Some(who.into());
        self
    }

    async fn give(self) -> Result<OrdersGiven, Error> {
        let Self { source, mut filter, kind, at_most, reason, who } = self;
        let mut done = OrdersGiven::default();
        let mut left = at_most;
        while left > 0 {
            let page = source.list(&filter).await?;
            let runs: Vec<_> = page.runs.iter().map(|run| run.id).take(left).collect();
            left -= runs.len();
            let orders = runs.into_iter().map(|run| {
                let order = GiveOrder::new(source.clone(), run.into(), kind, reason.as_str());
                let order = match &who {
                    Some(who) => order.by(who.as_str()),
                    None => order,
                };
                async move { (run, order.await) }
            });
            let mut answers = stream::iter(orders).buffer_unordered(AT_ONCE);
            while let Some((run, answer)) = answers.next().await {
                match answer {
                    Ok(()) => done.given += 1,
                    Err(Error::RunEnded { .. }) => done.ended += 1,
                    Err(error) if is_about_all(&error) => return Err(error),
                    Err(error) => done.failed.push((run, error)),
                }
            }
            match page.next {
                Some(next) => filter = filter.from(next),
                None => break,
            }
        }
        Ok(done)
    }
}

impl IntoFuture for GiveOrders {
    type Output = Result<OrdersGiven, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.give())
    }
}

impl fmt::Debug for GiveOrders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GiveOrders").field("filter", &self.filter).field("kind", &self.kind).finish_non_exhaustive()
    }
}
