//! [`preflight`]: whether the code of this process fits the runs in flight, before it takes traffic.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

use super::client::Client;
use super::error::Error;
use super::handle::Source;
use crate::engine::dry::{Misfit, dry_replay};
use crate::engine::registry::{Registry, RegistryError};
use crate::engine::unwind::{ANYONE, Unwinding};
use crate::journal::Entry;
use crate::model::limits::LOAD_BYTES_MAX;
use crate::model::{Limits, Phase, RunId, State};
use crate::store::{ListRuns, RunView, UnknownRun, fault_of, load_each};

/// Runs read at a time.
const PAGE: u32 = 500;
/// Runs that do not fit are kept up to this number; all are counted.
pub(super) const PROBLEMS_MAX: usize = 1_000;

/// What a look at the runs in flight found.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Preflight {
    /// Counts for each version that runs are of, sorted.
    pub versions: Vec<VersionCounts>,
    /// The runs that do not fit, newest first, up to 1,000.
    pub problems: Vec<Problem>,
}

/// How many runs of one version fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct VersionCounts {
    /// Name of the workflow.
    pub workflow: String,
    /// The version they are bound to or were asked for; none for those that any active version may take.
    pub version: Option<String>,
    /// Runs that go on with this code.
    pub fits: u64,
    /// Runs that do not.
    pub others: u64,
}

/// A run that does not go on with this code.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The run.
    pub run: RunId,
    /// Name of its workflow.
    pub workflow: String,
    /// The version it is bound to or was asked for.
    pub version: Option<String>,
    /// Why.
    pub verdict: Verdict,
}

/// Why a run does not go on with this code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// This code does something else than the journal says; where, and what.
    Diverges(String),
    /// A recorded value cannot be read by this code; of which entry, and why.
    CannotDecode(String),
    /// The body panics while it is replayed, or awaits what is not durable.
    Breaks(String),
    /// This code does not have that version.
    MissingVersion,
    /// This code has the version with another signature, so no worker of it takes the run.
    OtherSignature {
        /// The first digits of the signature it is bound to.
        expected: String,
        /// The first digits of the one this code has.
        found: String,
        /// What keeps this code from replaying its journal; none if that fits all the same.
        misfit: Option<String>,
    },
    /// It is being undone by a step that this code does not have.
    MissingStep {
        /// As in `step:refund`.
        step: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diverges(message) => write!(f, "diverges: {message}"),
            Self::CannotDecode(message) => write!(f, "cannot be decoded: {message}"),
            Self::Breaks(message) => write!(f, "breaks: {message}"),
            Self::MissingVersion => f.write_str("needs a version that this build does not have"),
            Self::OtherSignature { expected, found, misfit } => {
                write!(f, "was started with signature {expected}, and this build has {found}; its journal ")?;
                match misfit {
                    None => f.write_str("fits all the same"),
                    Some(misfit) => write!(f, "does not fit either: {misfit}"),
                }
            }
            Self::MissingStep { step } => write!(f, "is being undone by {step}, which this build does not have"),
        }
    }
}

impl Preflight {
    /// Whether every run goes on with this code.
    pub fn fits(&self) -> bool {
        self.versions.iter().all(|version| version.others == 0)
    }

    /// For a program that is run before a deploy: success if every run goes on with this code, 1 otherwise.
    pub fn exit_code(&self) -> ExitCode {
        if self.fits() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Preflight {
    /// A line for each version, and one for each run that does not fit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for VersionCounts { workflow, version, fits, others } in &self.versions {
            let version = version.as_deref().unwrap_or("(any)");
            writeln!(f, "{workflow} {version}: {fits} runs fit, {others} do not")?;
        }
        for Problem { run, workflow, version, verdict } in &self.problems {
            writeln!(f, "run {run} of {workflow} {}: {verdict}", version.as_deref().unwrap_or("(any)"))?;
        }
        Ok(())
    }
}

/// Looks whether the code of this process fits the runs in flight: for a new build, before it takes traffic.
///
/// Reads every live run of the workflows that this process has (by name), replays its journal with the code of its version, and
/// says what does not fit. Nothing is written, no step runs, and the runs go on meanwhile. A run that ends or goes on while it is
/// looked at counts as what it was; one that is started meanwhile is not seen. The workflows' state is not needed.
///
/// ```no_run
/// # async fn deploy() -> Result<std::process::ExitCode, forge_wf::Error> {
/// let client = forge_wf::Client::connect("postgres://app@db/shop").await?;
/// let found = forge_wf::preflight(&client).await?;
/// print!("{found}");
/// Ok(found.exit_code())
/// # }
/// ```
///
/// # Errors
/// The definitions of this program contradict each other; the database does not answer.
pub async fn preflight(client: &Client) -> Result<Preflight, Error> {
    let registry = Registry::definitions_only().map_err(|RegistryError(sentences)| Error::Definitions(sentences))?;
    client.source().preflight(&registry).await
}

impl Source {
    async fn preflight(&self, registry: &Registry) -> Result<Preflight, Error> {
        let live = vec![State::Ready, State::Owned, State::Waiting, State::Paused, State::Blocked];
        let mut list = ListRuns { states: Some(live), limit: PAGE, look_at: 10 * PAGE, ..ListRuns::default() };
        // Of each version, runs that fit and others.
        let mut counts: BTreeMap<(String, Option<String>), (u64, u64)> = BTreeMap::new();
        let mut problems = Vec::new();
        for UnknownRun { run, workflow, what } in self.store().unknown_runs().await? {
            if registry.has_name(&workflow) {
                counts.entry((workflow.clone(), None)).or_default().1 += 1;
                problems.push(Problem { run, workflow, version: None, verdict: Verdict::CannotDecode(what) });
            }
        }
        loop {
            let page = self.store().list_runs(&list, self.grace()).await?;
            let views: Vec<_> = page.runs.into_iter().filter(|view| registry.has_name(&view.workflow)).collect();
            let asked: Vec<_> = views.iter().map(|view| (view.id, view.generation)).collect();
            let mut journals = VecDeque::new();
            for (place, view) in views.iter().enumerate() {
                if journals.is_empty() {
                    journals.extend(load_each(&**self.store(), &asked[place..], LOAD_BYTES_MAX).await);
                }
                let verdict = match journals.pop_front().expect("at least one comes back") {
                    Ok(journal) => verdict(registry, view, journal.entries, self.limits()),
                    Err(error) => {
                        let what = fault_of(&**self.store(), asked[place], error).await?;
                        Some(Verdict::CannotDecode(format!("its journal cannot be loaded: {what}")))
                    }
                };
                let (workflow, version) = (view.workflow.to_string(), view.version.as_deref().map(str::to_owned));
                let (fits, others) = counts.entry((workflow.clone(), version.clone())).or_default();
                match verdict {
                    None => *fits += 1,
                    Some(verdict) => {
                        *others += 1;
                        if problems.len() < PROBLEMS_MAX {
                            problems.push(Problem { run: view.id, workflow, version, verdict });
                        }
                    }
                }
            }
            // The replays of a page are work without a pause.
            tokio::task::yield_now().await;
            list.before = page.next;
            if page.next.is_none() {
                let counted = |((workflow, version), (fits, others))| VersionCounts { workflow, version, fits, others };
                return Ok(Preflight { versions: counts.into_iter().map(counted).collect(), problems });
            }
        }
    }
}

/// What keeps this run from going on with this code.
fn verdict(registry: &Registry, view: &RunView, entries: Vec<Entry>, limits: Limits) -> Option<Verdict> {
    if view.phase == Phase::Undo {
        return missing_step(registry, entries);
    }
    let Some(definition) = view.definition else {
        return (!registry.may_start(&view.workflow, view.version.as_deref())).then_some(Verdict::MissingVersion);
    };
    let exact = registry.workflow(definition);
    let version = view.version.as_deref().unwrap_or_default();
    let Some(workflow) = exact.or_else(|| registry.version(&view.workflow, version)) else {
        // One that is replaced goes on with its replacement if it can, and waits for its own version if not.
        let fits = |next| dry_replay(next, view.id, view.seed, entries, limits).is_ok();
        return (!registry.heir(&view.workflow, version).is_some_and(fits)).then_some(Verdict::MissingVersion);
    };
    let misfit = dry_replay(workflow, view.id, view.seed, entries, limits).err();
    if exact.is_none() {
        return Some(Verdict::OtherSignature {
            expected: definition.short(),
            found: workflow.signature.short(),
            misfit: misfit.map(|misfit| words(misfit).to_string()),
        });
    }
    misfit.map(words)
}

pub(super) fn words(misfit: Misfit) -> Verdict {
    match misfit {
        Misfit::Diverges(message) => Verdict::Diverges(message),
        Misfit::CannotDecode(message) => Verdict::CannotDecode(message),
        Misfit::Breaks(message) => Verdict::Breaks(message),
        Misfit::Overdue => Verdict::Breaks(Misfit::Overdue.to_string()),
    }
}

fn missing_step(registry: &Registry, entries: Vec<Entry>) -> Option<Verdict> {
    let unwinding = match Unwinding::load(entries) {
        Ok(unwinding) => unwinding,
        Err(corrupt) => return Some(Verdict::Diverges(format!("its journal cannot be read: {corrupt}"))),
    };
    let needs = unwinding.needs().filter(|needs| *needs != ANYONE && registry.step(*needs).is_none())?;
    let step = unwinding.step_of(needs).unwrap_or_default();
    Some(Verdict::MissingStep { step })
}
