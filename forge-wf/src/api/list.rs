//! [`Filter`]: lists of runs, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::{Error, findable};
use super::handle::Source;
use crate::model::{RunId, State, Status, Timestamp};
use crate::store::{ListRuns, RunView, UnknownRun};

/// Runs on a page unless asked for otherwise, and at the most.
const PAGE: (u32, u32) = (50, 1_000);
/// How many runs one statement looks at.
const LOOK_AT: u32 = 10_000;
/// How many statements one page takes at the most. A status is partly a matter of live workers, so runs of other statuses have
/// to be read and passed over.
const LOOKS_MAX: usize = 10;

/// Which runs to list: those that fit all that was asked for.
///
/// ```
/// # use forge_wf::{Filter, Status};
/// let stuck = Filter::new().workflow("checkout").status(Status::BlockedCompensation).page_size(100);
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    list: ListRuns,
    statuses: Vec<Status>,
}

/// Where the next page begins: kept, sent and read back as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(RunId);

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Page {
    /// The runs, newest first; a child stands beside its oldest ancestor. There may be fewer than were asked for, none even, and
    /// yet a next page.
    pub runs: Vec<RunSummary>,
    /// Runs whose rows this build does not understand, newest first: a newer build may have written them, and goes on with them. None if
    /// the filter asks for statuses, since theirs is not known.
    pub unknown: Vec<UnknownRun>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<Cursor>,
}

/// A run in a list: what stands in its row.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// Version it is bound to or was asked for.
    pub version: Option<String>,
    /// The key it was started with.
    pub key: Option<String>,
    /// What it was doing a moment ago.
    pub status: Status,
    /// Which generation it is in, from 0.
    pub generation: i32,
    /// When it was inserted, by the database's clock.
    pub created_at: Timestamp,
    /// When it is due, if it waits for a point in time.
    pub ready_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it is to have ended; one whose workflow has a timeout and that was started by name has it only while it runs.
    pub deadline_at: Option<Timestamp>,
    /// What it was started with: among due runs a higher one goes first.
    pub priority: i16,
    /// Who started it.
    pub owner: Option<String>,
    /// Its tags, by name.
    pub tags: BTreeMap<String, String>,
    /// The run that called it.
    pub parent: Option<RunId>,
    /// The call it answers, as in `child:ship#0`; none if it has no parent, or is detached.
    pub parent_call: Option<String>,
    /// The worker that executes it now.
    pub worker: Option<Uuid>,
    /// How many workers in a row died while they executed it, without a new entry in its journal.
    pub takeovers: u32,
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter {
    /// All runs.
    #[must_use]
    pub fn new() -> Self {
        Self { list: ListRuns { limit: PAGE.0, ..ListRuns::default() }, statuses: Vec::new() }
    }

    /// Of this workflow.
    #[must_use]
    pub fn workflow(mut self, name: &str) -> Self {
        self.list.workflow = Some(name.into());
        self
    }

    /// Of this version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.list.version = Some(version.into());
        self
    }

    /// Started with this key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.list.key = Some(key.into());
        self
    }

    /// Started by this owner.
    #[must_use]
    pub fn owner(mut self, owner: &str) -> Self {
        self.list.owner = Some(owner.into());
        self
    }

    /// With this value under this tag.
    #[must_use]
    pub fn tag(mut self, tag: &str, value: &str) -> Self {
        self.list.tag = Some((tag.into(), value.into()));
        self
    }

    /// Of this status, or of another one that is asked for.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }

    /// Inserted then or later, by the database's clock. A time before 1970 counts as 1970.
    #[must_use]
    pub fn created_from(mut self, time: Timestamp) -> Self {
        // Also a date that no database could compare with.
        self.list.created_from = Some(time.max(Timestamp::UNIX_EPOCH));
        self
    }

    /// Inserted before then, by the database's clock. A time before 1970 counts as 1970.
    #[must_use]
    pub fn created_until(mut self, time: Timestamp) -> Self {
        self.list.created_until = Some(time.max(Timestamp::UNIX_EPOCH));
        self
    }

    /// At most so many runs on a page; 50 unless said otherwise, and never more than 1,000.
    #[must_use]
    pub fn page_size(mut self, runs: u32) -> Self {
        self.list.limit = runs.clamp(1, PAGE.1);
        self
    }

    /// From there on.
    #[must_use]
    pub fn from(mut self, cursor: Cursor) -> Self {
        self.list.before = Some(cursor.0);
        self
    }

    /// Refuses texts that no run can have.
    fn check(&self) -> Result<(), Error> {
        let ListRuns { workflow, version, key, owner, tag, .. } = &self.list;
        let (name, value) = tag.as_ref().map(|(name, value)| (name, value)).unzip();
        let texts = [("workflow name", workflow), ("workflow version", version), ("key", key), ("owner", owner)];
        let texts = texts.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?)));
        let tags = [("tag", name), ("value of a tag", value)];
        let tags = tags.into_iter().filter_map(|(what, text)| Some((what, text?)));
        texts.chain(tags).try_for_each(|(what, text)| findable(what, text))
    }

    fn fits(&self, view: &RunView) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&view.status())
    }
}

/// The states a run of this status may be in.
fn states_of(status: Status) -> &'static [State] {
    match status {
        Status::Pending => &[State::Ready],
        Status::BlockedMissingHandler | Status::BlockedMissingVersion | Status::BlockedSignatureMismatch => {
            &[State::Ready, State::Waiting]
        }
        Status::Running => &[State::Owned],
        Status::Sleeping | Status::Waiting => &[State::Waiting],
        Status::Compensating => &[State::Ready, State::Owned, State::Waiting],
        Status::Paused => &[State::Paused],
        Status::BlockedPanic
        | Status::BlockedForeignAwait
        | Status::BlockedDivergence
        | Status::BlockedRefused
        | Status::BlockedCompensation
        | Status::BlockedJournalLimit
        | Status::BlockedUnreadable => &[State::Blocked],
        Status::Completed => &[State::Completed],
        Status::Failed => &[State::Failed],
        Status::Compensated => &[State::Compensated],
        Status::Cancelled => &[State::Cancelled],
        Status::Killed => &[State::Killed],
        Status::Retired => &[State::Retired],
    }
}

impl RunSummary {
    pub(crate) fn of(view: &RunView) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            id: view.id,
            workflow: view.workflow.to_string(),
            version: text(&view.version),
            key: text(&view.key),
            status: view.status(),
            generation: view.generation,
            created_at: view.created_at,
            ready_at: view.ready_at,
            ended_at: view.ended_at,
            deadline_at: view.deadline_at,
            priority: view.priority,
            owner: text(&view.owner),
            tags: view.tags.as_ref().and_then(|tags| tags.decode().ok()).unwrap_or_default(),
            parent: view.parent.as_ref().map(|parent| parent.run),
            parent_call: view.parent.as_ref().and_then(|parent| text(&parent.call)),
            worker: view.worker.map(|worker| worker.0),
            takeovers: view.takeovers.unsigned_abs(),
        }
    }
}

impl Source {
    pub(crate) async fn list(&self, filter: &Filter) -> Result<Page, Error> {
        filter.check()?;
        let mut list = filter.list.clone();
        if !filter.statuses.is_empty() {
            list.states = Some(filter.statuses.iter().flat_map(|status| states_of(*status)).copied().collect());
        }
        let wanted = if list.limit == 0 { PAGE.0 } else { list.limit } as usize;
        // What a status leaves over is not known before each run was looked at.
        list.limit = if filter.statuses.is_empty() { wanted as u32 } else { PAGE.1 };
        list.look_at = LOOK_AT;
        let (mut runs, mut unknown) = (Vec::new(), Vec::new());
        for _ in 0..LOOKS_MAX {
            let found = self.store().list_runs(&list, self.grace()).await?;
            if filter.statuses.is_empty() {
                unknown.extend(found.unknown);
            }
            for view in found.runs.iter().filter(|view| filter.fits(view)) {
                runs.push(RunSummary::of(view));
                if runs.len() == wanted {
                    // The next page finds out whether there is more.
                    unknown.retain(|it| it.run > view.id);
                    return Ok(Page { runs, unknown, next: Some(Cursor(view.id)) });
                }
            }
            list.before = found.next;
            if found.next.is_none() {
                break;
            }
        }
        Ok(Page { runs, unknown, next: list.before.map(Cursor) })
    }
}
