//! [`MakeFork`]: a run that goes on as another one.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::error::Error;
use super::handle::{RunHandle, Source, asked_twice};
use super::order::check_who_and_why;
use crate::model::RunId;
use crate::store::{Audit, ForkRun, Forked};

/// A fork that is about to be made: see [`Client::fork`](crate::Client::fork). Awaiting it makes it.
///
/// # Errors
/// - `NoSuchRun`.
/// - `RunNotEnded`, if it is to take over what the original has to undo, and that goes on.
/// - The database does not answer; then there may be a fork nobody knows of.
#[must_use = "a fork is made when it is awaited"]
pub struct MakeFork {
    source: Source,
    run: RunId,
    up_to: i32,
    who: String,
    reason: String,
    takes_undos: bool,
}

impl MakeFork {
    pub(crate) fn new(source: Source, run: RunId, up_to: i32, reason: impl Into<String>) -> Self {
        Self { source, run, up_to: up_to.max(0), who: "client".into(), reason: reason.into(), takes_undos: false }
    }

    /// Who makes it: a person or a program. `client` unless said otherwise.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.who = who.into();
        self
    }

    /// What the original did and did not undo is the fork's to undo, should that fail or be cancelled; in the original, which must
    /// have ended, it counts as skipped from then on. Both in one transaction, so it is never undone twice.
    pub fn take_over_undos(mut self) -> Self {
        self.takes_undos = true;
        self
    }

    async fn make(self) -> Result<RunHandle<serde_json::Value>, Error> {
        let Self { source, run, up_to, who, reason, takes_undos } = self;
        check_who_and_why(&who, &reason)?;
        let fork = ForkRun { original: run, up_to, takes_undos, id: RunId::new() };
        let takes = if takes_undos { ", with its undos" } else { "" };
        let details = format!("{} of {run} up to {up_to}{takes}: {reason}", fork.id);
        let audit = Audit { who: who.into(), action: "fork".into(), details: details.into() };
        match asked_twice(|| source.store().fork_run(&fork, &audit)).await? {
            Forked::Made => {}
            Forked::NotEnded => return Err(Error::RunNotEnded { run }),
            Forked::Unknown => return Err(Error::NoSuchRun { run }),
        }
        source.announce().await;
        Ok(RunHandle::new(fork.id, true, source))
    }
}

impl IntoFuture for MakeFork {
    type Output = Result<RunHandle<serde_json::Value>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

impl fmt::Debug for MakeFork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeFork").field("run", &self.run).field("up_to", &self.up_to).finish_non_exhaustive()
    }
}
