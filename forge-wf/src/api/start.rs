//! [`Start`]: a start being written down, until it is awaited.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::error::{Error, valid};
use super::handle::{RunHandle, Source};
use crate::contract::digest;
use crate::engine::child::seed_of;
use crate::engine::config::Config;
use crate::engine::definition::WorkflowDefinition;
use crate::engine::start::{HowToStart, StartFailure, send_start};
use crate::model::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX};
use crate::model::{Limits, Payload, RunId, Timestamp, VersionStatus};
use crate::store::{KnownVersion, NewRun, StartAnswer, StoreError};

/// How many tags a run may have.
const TAGS_MAX: usize = 64;
/// How often a client sends a start before its caller hears that there is no answer.
const CLIENT_TRIES: u32 = 2;

/// Which workflow is to be started.
enum Target {
    /// One this program was compiled with.
    Known(&'static WorkflowDefinition),
    /// Any active version of this name, or the version asked for.
    Named(String, Option<String>),
}

/// A start that happens when it is awaited. `T` is what the workflow returns.
///
/// # Errors
/// When awaited:
/// - `InvalidInput`, `InvalidName`, `UnknownWorkflow`, `VersionDeprecated`: nothing was started.
/// - `StartUnanswered` if the database gave no answer within the `start_timeout` (default 30 s) and the start may have been sent: the
///   run may exist. Only for starts without a key.
/// - `Store` if the database refuses the start, or gave no answer: nothing was started, or, with a key, start again.
#[must_use = "a start does nothing until it is awaited"]
pub struct Start<'r, T> {
    source: Source,
    target: Target,
    input: Result<Payload, Error>,
    key: Option<String>,
    id: Option<RunId>,
    priority: i16,
    delay: Duration,
    deadline: Option<Timestamp>,
    tags: BTreeMap<String, String>,
    owner: Option<String>,
    output: PhantomData<fn(&'r ()) -> T>,
}

impl<T> Start<'_, T> {
    pub(crate) fn known<I: Serialize>(source: Source, workflow: &'static WorkflowDefinition, input: &I) -> Self {
        let input = encode(workflow.name, input, &source.limits());
        Self::of(source, Target::Known(workflow), input)
    }

    pub(crate) fn named(source: Source, name: String, input: &serde_json::Value) -> Self {
        let input = encode(&name, input, &source.limits());
        Self::of(source, Target::Named(name, None), input)
    }

    fn of(source: Source, target: Target, input: Result<Payload, Error>) -> Self {
        let (key, id, priority, delay, deadline) = (None, None, 0, Duration::ZERO, None);
        let (tags, owner) = (BTreeMap::new(), None);
        Self { source, target, input, key, id, priority, delay, deadline, tags, owner, output: PhantomData }
    }

    /// The key the run holds: at most one run of a workflow holds a key, for ever. A start with a key that is held gives
    /// that run, whatever its input was and whether or not it has ended; so a start with a key is safe to repeat.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The id the run gets, in place of a new one: for a start that is repeated after [`Error::StartUnanswered`], with the id in that
    /// error and with the same workflow and input. If a run of this id is there, it comes back as it is, and none is made; so this
    /// is safe to repeat. An id is used for one start only.
    pub fn id(mut self, run: RunId) -> Self {
        self.id = Some(run);
        self
    }

    /// Higher goes first among runs that wait for a worker. Default 0.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// How long after the start (by the database's clock) the run may begin at the earliest. Nothing but time begins it: an event, a
    /// pause or a resume that comes before waits in its inbox. A cancel or a kill ends it at once, and so does its deadline.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// When the run is to have ended. This is the caller's time, judged by the database's clock; the `timeout` of a workflow and a
    /// [`Start::delay`] are counted by the database's clock alone. One that has not is stopped, undoes what it did, and fails with
    /// the code `deadline`; at once, if `at` has passed already, also while it is blocked, paused, delayed or without a worker that
    /// could execute it. Workers look for such runs with every heartbeat. A time before 1970 counts as 1970. The `timeout` of its
    /// workflow counts too: the earlier of the two. A start whose key is held changes nothing.
    pub fn deadline(mut self, at: Timestamp) -> Self {
        // Whatever has passed is over at once, also a date that no database could keep.
        self.deadline = Some(at.max(Timestamp::UNIX_EPOCH));
        self
    }

    /// A tag, to find the run by in lists; one value for each name.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Who starts it, for people and lists.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The version to start, for a start by name; without it any active version. A typed start has its version already.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        if let Target::Named(_, wanted) = &mut self.target {
            *wanted = Some(version.into());
        }
        self
    }

    /// The tags as a JSON object; none if there are none.
    fn tags(&self) -> Result<Option<Payload>, Error> {
        if self.tags.is_empty() {
            return Ok(None);
        }
        if self.tags.len() > TAGS_MAX {
            return Err(Error::InvalidName(format!("a run has at most {TAGS_MAX} tags")));
        }
        for (name, value) in &self.tags {
            valid("tag", name, NAME_BYTES_MAX)?;
            valid("value of a tag", value, KEY_BYTES_MAX)?;
        }
        let text = serde_json::to_string(&self.tags).map_err(|error| Error::InvalidName(error.to_string()))?;
        Ok(Some(Payload::from_json_text(text)))
    }

    fn new_run(&self, input: Payload, at: Timestamp) -> Result<NewRun, Error> {
        if let Some(owner) = &self.owner {
            valid("owner", owner, NAME_BYTES_MAX)?;
        }
        if let Some(key) = &self.key {
            valid("key", key, KEY_BYTES_MAX)?;
        }
        let (workflow, version, definition, start_needs): (Arc<str>, Option<Arc<str>>, _, _) = match &self.target {
            Target::Known(workflow) => (
                workflow.name.into(),
                Some(workflow.version.into()),
                Some(workflow.signature),
                digest::of_version(workflow.name, workflow.version),
            ),
            Target::Named(name, version) => {
                valid("workflow name", name, NAME_BYTES_MAX)?;
                if let Some(version) = version {
                    valid("workflow version", version, NAME_BYTES_MAX)?;
                }
                let needs = match version {
                    Some(version) => digest::of_version(name, version),
                    None => digest::of_name(name),
                };
                (name.as_str().into(), version.as_deref().map(Arc::from), None, needs)
            }
        };
        let id = self.id.unwrap_or_else(RunId::new);
        Ok(NewRun {
            id,
            seed: seed_of(id),
            workflow,
            version,
            definition,
            needs: definition.unwrap_or(start_needs),
            start_needs,
            key: self.key.as_deref().map(Arc::from),
            queue: "default".into(),
            priority: self.priority,
            delay: self.delay,
            at,
            tags: self.tags()?,
            owner: self.owner.as_deref().map(Into::into),
            trace_parent: None,
            deadline_at: self.deadline,
            timeout: match &self.target {
                Target::Known(workflow) => workflow.timeout,
                Target::Named(..) => None,
            },
            parent: None,
            input,
        })
    }

    /// Refuses what no live worker would ever take.
    async fn check_version(&self) -> Result<(), Error> {
        let (name, version) = match &self.target {
            Target::Known(workflow) if workflow.status != VersionStatus::Deprecated => return Ok(()),
            Target::Known(workflow) => (workflow.name, Some(workflow.version)),
            Target::Named(name, version) => (name.as_str(), version.as_deref()),
        };
        let known = self.source.store().known_versions().await?;
        let of_name = || known.iter().filter(|known| *known.workflow == *name);
        if matches!(self.target, Target::Named(..)) && !known.is_empty() && of_name().next().is_none() {
            let mut known: Vec<_> = known.iter().map(|known| known.workflow.to_string()).collect();
            known.dedup();
            return Err(Error::UnknownWorkflow { name: name.to_owned(), known });
        }
        let is = |known: &&KnownVersion, status| known.status == status;
        let deprecated =
            |version: &str| of_name().any(|known| *known.version == *version && is(&known, VersionStatus::Deprecated));
        match version {
            Some(version) if matches!(self.target, Target::Known(_)) || deprecated(version) => {
                let active = of_name().find(|known| is(known, VersionStatus::Active));
                Err(Error::VersionDeprecated {
                    workflow: name.to_owned(),
                    version: version.to_owned(),
                    active: active.map(|active| active.version.to_string()),
                })
            }
            _ => Ok(()),
        }
    }

    /// How long it may take in all.
    fn timeout(&self) -> Duration {
        match &self.source {
            Source::Engine(engine) => engine.config().start_timeout,
            Source::Store(..) => Config::default().start_timeout,
        }
    }

    async fn send(&self, run: NewRun, deadline: Instant) -> Result<StartAnswer, Error> {
        let (id, keyed) = (run.id, run.key.is_some());
        let how = HowToStart { again: self.id.is_some(), tries: None, deadline };
        let answer = match &self.source {
            Source::Engine(engine) => engine.start(run, how).await,
            Source::Store(store, ..) => {
                let answer = send_start(&**store, &run, HowToStart { tries: Some(CLIENT_TRIES), ..how }, false).await;
                if answer.is_ok() {
                    self.source.announce().await;
                }
                answer
            }
        };
        answer.map_err(|failure| match failure {
            // A start with a key is repeated by its key.
            StartFailure::Unanswered(source) if !keyed => Error::StartUnanswered { run: id, source },
            StartFailure::Unanswered(error) | StartFailure::NotStarted(error) => error.into(),
        })
    }
}

/// Nothing was sent.
fn unanswered() -> Error {
    let source = "the database gave no answer within the time a start may take; nothing was started".into();
    StoreError::Unavailable { call: "known_versions", source }.into()
}

fn encode<I: Serialize>(workflow: &str, input: &I, limits: &Limits) -> Result<Payload, Error> {
    Payload::encode(input, limits).map_err(|source| Error::InvalidInput { workflow: workflow.to_owned(), source })
}

impl<'r, T: DeserializeOwned + 'r> IntoFuture for Start<'r, T> {
    type Output = Result<RunHandle<T>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'r>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let deadline = Instant::now() + self.timeout();
            let input = std::mem::replace(&mut self.input, Ok(Payload::null()))?;
            let at = match &self.source {
                Source::Engine(engine) => engine.now(),
                Source::Store(..) => chrono::Utc::now(),
            };
            let mut run = self.new_run(input, at)?;
            let checked = timeout_at(deadline, self.check_version()).await;
            if let Err(error) = checked.unwrap_or_else(|_| Err(unanswered())) {
                // A start that is only repeated finds its run, whatever became of its version.
                let holder = match (&self.key, &error) {
                    (Some(key), Error::VersionDeprecated { workflow, .. }) => self.source.by_key(workflow, key).await?,
                    _ => None,
                };
                return match holder {
                    Some(holder) => Ok(RunHandle::new(holder.id, false, self.source.clone())),
                    None => Err(error),
                };
            }
            if matches!(self.source, Source::Store(..)) {
                // A client does not know which build is deployed: the first claim binds the run.
                run.definition = None;
                run.needs = run.start_needs;
            }
            // The handle comes first, so that the run's steps are counted from the start.
            let early = RunHandle::new(run.id, true, self.source.clone());
            let answer = self.send(run, deadline).await?;
            if answer.created && answer.id == early.id() {
                return Ok(early);
            }
            Ok(RunHandle::new(answer.id, answer.created, self.source.clone()))
        })
    }
}
