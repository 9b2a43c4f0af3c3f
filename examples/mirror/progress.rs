//! How far a run is: a bar on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use forge_wf::{Counts, Failure, Result};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::list;
use crate::paths::FilePath;
use crate::workflow::Plan;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What the steps of this process count; each step gets a clone.
#[derive(Clone, Default)]
pub struct Progress {
    bytes: Arc<AtomicU64>,
    /// Steps of the whole run, as far as known; 0: not yet.
    steps: Arc<AtomicU64>,
}

impl Progress {
    /// Counts in the background how many steps the run will have, for the length of the bar and nothing else.
    pub fn count_steps(&self, plan: &Plan) {
        let (steps, source) = (self.steps.clone(), plan.source.clone());
        // On a thread nobody waits for, so that the program can end before it.
        std::thread::spawn(move || {
            let mut count = 1;
            let mut after = Some(FilePath::default());
            while let Some(cursor) = after {
                let page = list::page(source.as_path(), &cursor);
                let of_folders = if page.folders.is_empty() { 0 } else { 2 };
                let of_files = if page.files.is_empty() { 0 } else { page.files.len() + 1 };
                count += 1 + of_folders + of_files as u64;
                after = page.next;
            }
            steps.store(count, Ordering::Relaxed);
        });
    }

    /// Bytes this process has copied or compared.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What a copy looks at while it goes on: whether to stop, and where to count.
pub struct Watch {
    stop: Arc<AtomicBool>,
    progress: Option<Progress>,
}

impl Watch {
    /// One that fails once `stop` is set.
    pub fn new(stop: Arc<AtomicBool>, progress: Option<Progress>) -> Self {
        Self { stop, progress }
    }

    /// The same, counting nothing.
    pub fn quiet(&self) -> Self {
        Self { stop: self.stop.clone(), progress: None }
    }

    /// Fails if the work is to stop.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Failure::new("interrupted")) } else { Ok(()) }
    }

    /// Counts bytes.
    pub fn add(&self, bytes: u64) {
        if let Some(progress) = &self.progress {
            progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Shows progress to a person.
pub struct Display {
    bar: Option<ProgressBar>,
    progress: Progress,
    said: (Instant, Counts),
}

impl Display {
    /// A bar if standard error is a terminal.
    pub fn new(progress: Progress) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} steps  {msg}  {elapsed}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, progress, said: (Instant::now(), Counts::default()) }
    }

    /// Shows where the run is.
    pub fn show(&mut self, counts: Counts) {
        let steps = counts.from_journal + counts.run_now;
        let total = self.progress.steps.load(Ordering::Relaxed).max(steps);
        let bytes = HumanBytes(self.progress.bytes());
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(steps);
            bar.set_message(format!("{} from the journal  {bytes}", HumanCount(counts.from_journal)));
        } else if self.said.0.elapsed() >= LINE_EVERY && counts != self.said.1 {
            println!("{steps} of {total} steps, {} from the journal, {bytes}", counts.from_journal);
            self.said = (Instant::now(), counts);
        }
    }

    /// Says something, above the bar if there is one.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
