//! [`SendEvent`]: an event for a run, written down until it is awaited; and what may be done with events nobody has taken.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;

use serde::Serialize;
use uuid::{Builder, Uuid};

use super::child::ChildHandle;
use super::definition::{Event, Workflow, WorkflowFn};
use super::error::{Error, findable, valid};
use super::handle::{RunHandle, Source, asked_twice};
use crate::engine::mailbox::AboutEvent;
use crate::model::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX};
use crate::model::{Limits, Payload, RunId, Timestamp};
use crate::store::{Join, MailKind, NewMail, Posted};

/// Which run: by its id, or by the key it was started with.
///
/// ```
/// # use forge_wf::prelude::*;
/// # use forge_wf::RunRef;
/// # #[workflow] async fn checkout(ctx: &WorkflowContext) -> Result<()> { Ok(()) }
/// # fn example(run: forge_wf::RunHandle<()>) {
/// let by_handle = RunRef::from(&run);
/// let by_id = RunRef::from(run.id());
/// let by_key = RunRef::key(checkout, "order-17");
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRef(To);

#[derive(Clone, Debug, PartialEq, Eq)]
enum To {
    Id(RunId),
    Key { workflow: String, key: String },
}

impl RunRef {
    /// The run of `workflow` that holds `key`.
    pub fn key<Args, M, F>(workflow: F, key: impl Into<String>) -> Self
    where
        M: Workflow,
        F: WorkflowFn<Args, M>,
    {
        let _ = workflow;
        Self::named_key(M::DEFINITION.name, key)
    }

    /// The run of the workflow of this name that holds `key`.
    pub fn named_key(workflow: impl Into<String>, key: impl Into<String>) -> Self {
        Self(To::Key { workflow: workflow.into(), key: key.into() })
    }
}

impl From<RunId> for RunRef {
    fn from(run: RunId) -> Self {
        Self(To::Id(run))
    }
}

impl From<ChildHandle> for RunRef {
    fn from(child: ChildHandle) -> Self {
        child.run_id().into()
    }
}

impl<T> From<&RunHandle<T>> for RunRef {
    fn from(run: &RunHandle<T>) -> Self {
        Self(To::Id(run.run_id()))
    }
}

/// An event that is sent when this is awaited, which gives the event's id.
///
/// It waits in the run's inbox until the run waits for an event of its name: sending is not bound to any moment in the run's
/// life, and once it has returned the event is durable.
///
/// # Errors
/// When awaited: `NoSuchRun`, `NoRunWithKey` or `RunEnded` (nothing was sent), `InvalidEvent` or `InvalidName`, or the database
/// does not answer. With an [`SendEvent::id`] it is safe to send again; without one it may be there twice then.
#[must_use = "an event is not sent until this is awaited"]
pub struct SendEvent<'a> {
    source: Source,
    to: RunRef,
    name: String,
    payload: Result<Payload, Error>,
    id: Option<String>,
    on: Option<&'a mut dyn Join>,
}

impl<'a> SendEvent<'a> {
    fn new<T: Serialize + ?Sized>(source: Source, to: RunRef, name: &str, payload: &T) -> Self {
        let limits: Limits = source.limits();
        let payload =
            Payload::encode(payload, &limits).map_err(|source| Error::InvalidEvent { event: name.to_owned(), source });
        Self { source, to, name: name.to_owned(), payload, id: None, on: None }
    }

    /// An id of the caller's: of all events of this name and id only the first reaches the run, however often it is sent; also
    /// if that one was dropped or replaced since.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sends it inside the transaction that is open on this connection (`PgConnection` or `SqliteConnection` of sqlx, on the
    /// database of the runs): the event is there when that commits, and never was if it does not.
    ///
    /// Keep such a transaction short, as any that writes. On SQLite begin it with `BEGIN IMMEDIATE` if it reads before this: one
    /// that has read cannot write any more once another connection has written.
    pub fn on<'b, J: Join>(self, transaction: &'b mut J) -> SendEvent<'b>
    where
        'a: 'b,
    {
        let Self { source, to, name, payload, id, .. } = self;
        SendEvent { source, to, name, payload, id, on: Some(transaction) }
    }

    async fn send(mut self) -> Result<Uuid, Error> {
        valid("event name", &self.name, NAME_BYTES_MAX - "event:".len())?;
        if let Some(id) = &self.id {
            valid("event id", id, KEY_BYTES_MAX)?;
        }
        let body = Some(self.payload?);
        let run = match (self.to, &mut self.on) {
            (RunRef(To::Key { workflow, key }), Some(transaction)) => {
                findable("workflow name", &workflow)?;
                findable("key", &key)?;
                let found = transaction.find_run(&workflow, &key).await?;
                found.ok_or(Error::NoRunWithKey { workflow, key })?
            }
            (to, _) => self.source.find(to).await?,
        };
        let id = self.id.map_or_else(Uuid::now_v7, |id| idempotent(run, &self.name, &id));
        let mail = NewMail { id, run, kind: MailKind::Event, name: self.name.into(), body };
        match self.on {
            Some(transaction) => posted(run, transaction.send_mail(&mail).await?)?,
            None => self.source.post(&mail).await?,
        }
        Ok(id)
    }
}

/// The same for the same event of the same run.
fn idempotent(run: RunId, name: &str, id: &str) -> Uuid {
    let text = format!("{run}/{}/{name}/{id}", name.len());
    Builder::from_custom_bytes(xxhash_rust::xxh3::xxh3_128(text.as_bytes()).to_be_bytes()).into_uuid()
}

pub(crate) fn posted(run: RunId, posted: Posted) -> Result<(), Error> {
    match posted {
        Posted::Sent => Ok(()),
        Posted::Ended(state) => Err(Error::RunEnded { run, status: state.ended_status() }),
        Posted::Unknown => Err(Error::NoSuchRun { run }),
    }
}

impl<'a> IntoFuture for SendEvent<'a> {
    type Output = Result<Uuid, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for SendEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendEvent").field("to", &self.to).field("name", &self.name).finish_non_exhaustive()
    }
}

/// An event in a run's inbox that no wait has taken.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UntakenEvent {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it carries.
    pub payload: serde_json::Value,
    /// When the database received it.
    pub sent_at: Timestamp,
}

impl Source {
    pub(crate) fn send_event<'a, E: Event>(&self, to: RunRef, event: &E) -> SendEvent<'a> {
        SendEvent::new(self.clone(), to, E::NAME, event)
    }

    pub(crate) fn send_event_named<'a>(&self, to: RunRef, name: &str, payload: &serde_json::Value) -> SendEvent<'a> {
        SendEvent::new(self.clone(), to, name, payload)
    }

    /// The run that is meant.
    pub(crate) async fn find(&self, to: RunRef) -> Result<RunId, Error> {
        match to.0 {
            To::Id(run) => Ok(run),
            To::Key { workflow, key } => {
                let found = self.by_key(&workflow, &key).await?.map(|view| view.id);
                found.ok_or(Error::NoRunWithKey { workflow, key })
            }
        }
    }

    /// Puts mail into an inbox and lets everybody know who may wait for it.
    async fn post(&self, mail: &NewMail) -> Result<(), Error> {
        let store = self.store();
        posted(mail.run, asked_twice(|| store.send_mail(mail)).await?)?;
        self.announce().await;
        Ok(())
    }

    /// Tells workers that there is something for them.
    pub(crate) async fn announce(&self) {
        match self {
            Self::Engine(engine) => engine.announce(),
            Self::Store(store, _, _) => {
                if let Err(error) = store.send_hint().await {
                    tracing::debug!(%error, "a hint could not be given; workers look by themselves");
                }
            }
        }
    }

    pub(crate) async fn untaken_events(&self, run: RunId) -> Result<Vec<UntakenEvent>, Error> {
        let mut events: Vec<UntakenEvent> = Vec::new();
        for mail in self.store().events(run).await? {
            let (sent_at, mail) = (mail.sent_at, mail.mail);
            let about = || mail.body.as_ref()?.decode::<AboutEvent>().ok();
            match mail.kind {
                MailKind::Event => {
                    let payload = mail.body.as_ref().and_then(|body| body.decode().ok()).unwrap_or_default();
                    events.push(UntakenEvent { id: mail.id, name: mail.name.to_string(), payload, sent_at });
                }
                MailKind::ReplaceEvent => {
                    let Some(AboutEvent { event, payload: Some(payload) }) = about() else { continue };
                    let payload = serde_json::from_str(payload.get()).unwrap_or_default();
                    if let Some(known) = events.iter_mut().find(|known| known.id == event) {
                        known.payload = payload;
                    }
                }
                _ => {
                    let Some(about) = about() else { continue };
                    events.retain(|known| known.id != about.event);
                }
            }
        }
        Ok(events)
    }

    /// Asks the run's owner to drop an event (without a payload) or to replace it.
    pub(crate) async fn change_event(
        &self,
        run: RunId,
        event: Uuid,
        payload: Option<&serde_json::Value>,
    ) -> Result<(), Error> {
        let events = self.untaken_events(run).await?;
        let known = events.into_iter().find(|known| known.id == event).ok_or(Error::NoSuchEvent { run, event })?;
        let kind = if payload.is_some() { MailKind::ReplaceEvent } else { MailKind::DropEvent };
        let invalid = |source| Error::InvalidEvent { event: known.name.clone(), source };
        let payload = payload.map(|payload| Payload::encode(payload, &self.limits()).map_err(invalid)).transpose()?;
        let raw = payload.and_then(|payload| serde_json::value::RawValue::from_string(payload.as_str().into()).ok());
        let body = Payload::encode(&AboutEvent { event, payload: raw }, &Limits { payload_bytes: usize::MAX })
            .map_err(|source| Error::InvalidEvent { event: known.name.clone(), source })?;
        let mail = NewMail { id: Uuid::now_v7(), run, kind, name: known.name.into(), body: Some(body) };
        self.post(&mail).await
    }
}
