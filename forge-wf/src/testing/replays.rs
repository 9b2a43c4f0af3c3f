//! [`replays_equal`]: whether a run that has ended replays to what it ended with.

use crate::engine::dry::dry_replay;
use crate::engine::registry::{Registry, RegistryError};
use crate::journal::{Entry, EntryKind};
use crate::model::RunId;
use crate::{Client, Error};

/// Replays the journal of a run that has ended with the code of this process, and compares what the body returns with what is
/// recorded: for tests of workflows, which find out so that a body depends on something that is not journaled (time, random
/// numbers, the order of a `HashMap`). Only the last generation is looked at; of a run that somebody stopped, that it replays.
///
/// ```no_run
/// # async fn test(client: &forge_wf::Client, run: &forge_wf::RunHandle<u64>) {
/// forge_wf::testing::replays_equal(client, run.id()).await.unwrap();
/// # }
/// ```
///
/// # Errors
/// A sentence that says where it differs, or why it cannot be told: the run has not ended, its code is not in this process, the
/// database does not answer.
pub async fn replays_equal(client: &Client, run: RunId) -> Result<(), String> {
    let source = client.source();
    let view = source.view(run).await.map_err(|error| error.to_string())?;
    let journal = source.store().journal(run).await.map_err(|error| error.to_string())?;
    let entries = journal.ok_or_else(|| Error::NoSuchRun { run }.to_string())?.entries;
    let turned = |entry: &&Entry| matches!(entry.kind, EntryKind::Unwind | EntryKind::End);
    let Some(end) = entries.iter().find(turned).cloned() else { return Err(format!("run {run} has not ended")) };
    // What follows that is undoing, and not the body's; and what has no outcome may have been dropped by who stopped the run.
    let entries = entries.into_iter().filter(|entry| entry.seq.is_some() && entry.seq < end.seq).collect();
    let registry = Registry::definitions_only().map_err(|RegistryError(sentences)| sentences.join("\n"))?;
    let workflow = view.definition.and_then(|definition| registry.workflow(definition));
    let workflow = workflow.ok_or_else(|| format!("this program does not have the code of run {run}"))?;
    let returned = dry_replay(workflow, run, view.seed, entries, source.limits());
    let returned = returned.map_err(|misfit| format!("run {run} does not replay: {misfit:?}"))?;
    let equal = match &returned {
        Some(Ok(output)) => Some(output) == end.output.as_ref(),
        Some(Err(failure)) => end.read_failure().as_ref() == Some(failure),
        // Somebody stopped it, or it went on as another generation.
        None => end.output.is_none() || view.generation > 0,
    };
    if equal { Ok(()) } else { Err(format!("run {run} ended with {end:?}, and replays to {returned:?}")) }
}
