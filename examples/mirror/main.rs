//! A verified backup of a real folder, and what forge-wf is for: kill it whenever you like, start it again, and it goes
//! on where it was.
//!
//! `cargo run --release --example mirror -- SOURCE DEST` lists SOURCE in pages, copies eight files at a time, proves each
//! copy by hashes and writes a manifest. Each of these is a step: its result is in the journal (`DEST/.mirror.db`)
//! before the next page begins, so after a crash no copy that was recorded is made again, and the last line says how
//! many steps came from the journal. Try it: `FORGE_WF_CRASH_AFTER=copy_file:25` in front of the command aborts the process
//! right after the 25th copy is recorded (`FORGE_WF_CRASH_BEFORE` right before), or use `kill -9`; then run the same
//! command without it. See `workflow.rs` for the workflow, `steps.rs` for the steps; the rest would be the same in any
//! program that copies files. It needs Unix.

mod arguments;
mod copy;
mod folders;
mod list;
mod manifest;
mod paths;
mod progress;
mod steps;
mod workflow;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use forge_wf::{Counts, Error, RunHandle, Runtime, Status};
use tokio::signal::unix::{SignalKind, signal};

use arguments::Arguments;
use progress::{Display, Progress};
use workflow::{Plan, Summary, mirror};

/// A process that was killed holds its run until its lease ends. Alone on its database, so a short one will do.
const LEASE: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long Ctrl-C lets copies end.
const GRACE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A run that does not move for this long is held by somebody else.
const SAY_HELD_AFTER: Duration = Duration::from_millis(500);

const FAILED: u8 = 1;
const REFUSED: u8 = 2;
/// What a shell makes of Ctrl-C.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let (plan, database) = match Arguments::parse().check() {
        Ok(checked) => checked,
        Err(refusal) => {
            eprintln!("refused: {refusal}");
            return ExitCode::from(REFUSED);
        }
    };
    match run(plan, &database).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Resumes or starts the run and sees it through; returns the exit code.
async fn run(plan: Plan, database: &str) -> Result<u8, Error> {
    let broken = |error| Error::Misconfigured(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
    let progress = Progress::default();
    let runtime = Runtime::builder()
        .database(database)
        .state(progress.clone())
        .lease(LEASE)
        .heartbeat(HEARTBEAT)
        .shutdown_grace(GRACE)
        .build()
        .await?;
    let begin = Instant::now();
    let (run, number) = resume_or_start(&runtime, &plan).await?;
    let verb = if run.created() { "started" } else { "resuming" };
    println!("{verb} run {} (number {number}): {} -> {}", run.id(), plan.source, plan.dest);
    progress.count_steps(&plan);

    let mut display = Display::new(progress);
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let mut said_held = run.created();
    let mut result = std::pin::pin!(run.result());
    let ended = loop {
        tokio::select! {
            result = &mut result => break Some(result),
            _ = interrupt.recv() => break None,
            _ = terminate.recv() => break None,
            _ = tick.tick() => {}
        }
        display.show(run.counts());
        if !said_held && begin.elapsed() > SAY_HELD_AFTER && run.counts() == Counts::default() {
            said_held = true;
            if run.status().await? == Status::Running {
                display.say(&format!(
                    "the run is still held by the process that worked on it last; if that was killed, this one goes on \
                     when its lease of {LEASE:?} has ended"
                ));
            }
        }
    };
    display.end();
    if ended.is_none() {
        println!("stopping; copies have {GRACE:?} to end (the same signal again ends at once)");
        tokio::select! {
            () = runtime.shutdown() => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    } else {
        runtime.shutdown().await;
    }
    let Counts { from_journal, run_now, .. } = run.counts();
    println!("steps: {from_journal} from the journal, {run_now} run now, in {:.1?}", begin.elapsed());
    match ended {
        Some(result) => Ok(report(&result?)),
        None => {
            println!("interrupted; the same command resumes run {}", run.id());
            Ok(INTERRUPTED)
        }
    }
}

/// The first run of these folders that has not ended, or a new one. Its key is both folders and a number.
async fn resume_or_start(runtime: &Runtime, plan: &Plan) -> Result<(RunHandle<Summary>, u64), Error> {
    let mut number = 1;
    loop {
        let key = key(plan, number);
        match runtime.run_by_key(mirror, &key).await? {
            None => {
                let run = runtime.start(mirror, plan.clone()).key(key).await?;
                return Ok((run, number));
            }
            Some(run) if !run.status().await?.is_ended() => return Ok((run, number)),
            Some(_) => number += 1,
        }
    }
}

fn key(plan: &Plan, number: u64) -> String {
    /// A key has at most 1,000 bytes.
    const PATHS_BYTES_MAX: usize = 900;
    let paths = format!("{} -> {}", plan.source, plan.dest);
    if paths.len() <= PATHS_BYTES_MAX {
        format!("{paths} #{number}")
    } else {
        format!("{} #{number}", blake3::hash(paths.as_bytes()))
    }
}

/// Tells what was done; returns the exit code.
fn report(summary: &Summary) -> u8 {
    let Summary { copied, equal, bytes, folders, failed, problems, skipped, specials } = summary;
    println!(
        "copied {copied} files and links, {equal} were equal already; {} in {folders} folders, every hash compared",
        indicatif::HumanBytes(*bytes)
    );
    println!("the hashes are in {} in DEST", manifest::NAME);
    if *skipped > 0 {
        println!("skipped {skipped} pipes, sockets and devices:");
        specials.iter().for_each(|path| println!("  {path}"));
        ellipsis(*skipped, specials.len());
    }
    if *failed == 0 {
        return 0;
    }
    println!("{failed} paths have a problem, and their copy is missing or not complete:");
    problems.iter().for_each(|problem| println!("  {}: {}", problem.path, problem.what));
    ellipsis(*failed, problems.len());
    FAILED
}

fn ellipsis(all: u64, named: usize) {
    if all > named as u64 {
        println!("  ... and {} more; the journal names them all", all - named as u64);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn contracts_are_kept() {
        forge_wf::contract::assert_lock!();
    }
}
