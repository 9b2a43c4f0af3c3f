//! The steps: everything that touches a file system. Each may run again after a crash, and then finds what it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forge_wf::prelude::*;

use crate::copy::Copied;
use crate::list::{Page, Problem};
use crate::manifest::Line;
use crate::paths::FilePath;
use crate::progress::{Progress, Watch};
use crate::workflow::Plan;
use crate::{copy, folders, list, manifest};

/// Attempts of each step.
const ATTEMPTS: u32 = 3;

/// Lists the page that comes after `after`.
#[step(retry(max = 3, backoff = "50ms..200ms"))]
pub async fn list_page(ctx: &StepContext, plan: &Plan, after: &FilePath) -> Result<Page> {
    let (plan, after) = (plan.clone(), after.clone());
    let page = blocking(None, move |_| Ok(list::page(plan.source.as_path(), &after))).await?;
    match page.problems.first() {
        // A folder that cannot be listed now may be a moment later; after the last attempt the page tells.
        Some(problem) if ctx.attempt() < ATTEMPTS => Err(Failure::new(format!("{}: {}", problem.path, problem.what))),
        _ => Ok(page),
    }
}

/// Makes folders in DEST, and returns those that cannot be made.
#[step(retry(max = 3, backoff = "50ms..200ms"))]
pub async fn make_folders(plan: &Plan, folders: &[FilePath]) -> Result<Vec<Problem>> {
    let (plan, folders) = (plan.clone(), folders.to_vec());
    blocking(None, move |_| Ok(folders::make(&plan, &folders))).await
}

/// Makes DEST hold the same file or link as SOURCE, proven by hashes.
#[step(retry(max = 3, backoff = "50ms..200ms"))]
pub async fn copy_file(#[state] progress: &Progress, plan: &Plan, path: &FilePath) -> Result<Copied> {
    let (plan, path) = (plan.clone(), path.clone());
    blocking(Some(progress.clone()), move |watch| copy::copy(&plan, &path, watch)).await
}

/// Writes part `number` of the manifest.
#[step(retry(max = 3, backoff = "50ms..200ms"))]
pub async fn write_part(ctx: &StepContext, plan: &Plan, number: u64, lines: &[Line]) -> Result<()> {
    let (run, plan, lines) = (ctx.run_id(), plan.clone(), lines.to_vec());
    blocking(None, move |_| manifest::write_part(plan.dest.as_path(), run, number, &lines)).await
}

/// Joins the parts to the manifest, and tidies up.
#[step(retry(max = 3, backoff = "50ms..200ms"))]
pub async fn seal_manifest(ctx: &StepContext, plan: &Plan, parts: u64) -> Result<()> {
    let (run, plan) = (ctx.run_id(), plan.clone());
    blocking(None, move |_| manifest::seal(plan.dest.as_path(), run, parts)).await
}

/// Gives folders their permissions and times, and returns those it cannot give them.
#[step(retry(max = 3, backoff = "50ms..200ms"))]
pub async fn finish_folders(plan: &Plan, folders: &[FilePath]) -> Result<Vec<Problem>> {
    let (plan, folders) = (plan.clone(), folders.to_vec());
    blocking(None, move |_| Ok(folders::finish(&plan, &folders))).await
}

/// Runs `work` on a thread that may block. If the step is dropped (the process shuts down and cannot wait any longer),
/// the work is told to stop.
async fn blocking<T: Send + 'static>(
    progress: Option<Progress>,
    work: impl FnOnce(&Watch) -> Result<T> + Send + 'static,
) -> Result<T> {
    struct StopOnDrop(Arc<AtomicBool>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = StopOnDrop(Arc::default());
    let watch = Watch::new(stop.0.clone(), progress);
    tokio::task::spawn_blocking(move || work(&watch)).await?
}
