//! The workflow: which steps, in which order. It touches no file and no clock, so it runs again from the start after a
//! crash, with the recorded results, until it is where it was.

use forge_wf::prelude::*;
use futures::{FutureExt, StreamExt, stream};

use crate::copy::How;
use crate::list::Problem;
use crate::manifest::Line;
use crate::paths::FilePath;
use crate::steps::{copy_file, finish_folders, list_page, make_folders, seal_manifest, write_part};

/// Files copied at a time.
const COPIES_AT_A_TIME: usize = 8;
/// Problems and special files named in the summary at the most, so that it stays small; all are counted.
const NAMED_MAX: usize = 100;

/// What to do: the input of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The folder to copy, absolute and without symbolic links.
    pub source: FilePath,
    /// The folder to copy into, likewise.
    pub dest: FilePath,
}

/// What was done: the output of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Files and links copied.
    pub copied: u64,
    /// Files and links that were there already, with the same hash.
    pub equal: u64,
    /// Bytes in both.
    pub bytes: u64,
    /// Folders.
    pub folders: u64,
    /// How many paths have a problem.
    pub failed: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// How many special files were skipped.
    pub skipped: u64,
    /// The first of them.
    pub specials: Vec<FilePath>,
}

impl Summary {
    fn report(&mut self, problem: Problem) {
        self.failed += 1;
        if self.problems.len() < NAMED_MAX {
            self.problems.push(problem);
        }
    }

    fn skip(&mut self, path: FilePath) {
        self.skipped += 1;
        if self.specials.len() < NAMED_MAX {
            self.specials.push(path);
        }
    }
}

/// Copies a folder and all below it, page by page.
#[workflow(version = "1")]
pub async fn mirror(ctx: &WorkflowContext, plan: Plan) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut folders = Vec::new();
    let mut parts = 0;
    let mut after = Some(FilePath::default());
    while let Some(cursor) = after {
        let page = list_page(ctx, &plan, &cursor).await?;
        page.specials.into_iter().for_each(|path| summary.skip(path));
        page.problems.into_iter().for_each(|problem| summary.report(problem));
        if !page.folders.is_empty() {
            summary.folders += page.folders.len() as u64;
            make_folders(ctx, &plan, &page.folders).await?.into_iter().for_each(|problem| summary.report(problem));
            folders.push(page.folders);
        }

        // The calls are written in the order of the listing; their results come as the copies end, and a replay
        // hands them over in that same order.
        let mut copies = stream::iter(page.files)
            .map(|path| copy_file(ctx, &plan, &path).map(|copied| (path, copied)))
            .buffer_unordered(COPIES_AT_A_TIME);
        let mut lines = Vec::new();
        while let Some((path, copied)) = copies.next().await {
            match copied {
                Ok(copied) => {
                    match copied.how {
                        How::Copied => summary.copied += 1,
                        How::Equal => summary.equal += 1,
                    }
                    summary.bytes += copied.bytes;
                    lines.push(Line { hash: copied.hash, bytes: copied.bytes, path });
                }
                // All attempts failed. The rest goes on.
                Err(failure) => summary.report(Problem { path, what: failure.message().to_owned() }),
            }
        }

        if !lines.is_empty() {
            lines.sort_by(|a, b| a.path.cmp(&b.path));
            write_part(ctx, &plan, parts, &lines).await?;
            parts += 1;
        }
        after = page.next;
    }
    seal_manifest(ctx, &plan, parts).await?;
    for folders in folders.into_iter().rev() {
        finish_folders(ctx, &plan, &folders).await?.into_iter().for_each(|problem| summary.report(problem));
    }
    Ok(summary)
}
