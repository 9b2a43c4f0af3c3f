//! Compares what the ledgers say with what the database says at the end.
//!
//! Every run that was started has ended, as its kind ends, unless a copy lost its start; no step ran again whose successor had
//! begun before, unless a copy lost its commit; and every worker has executed something within the lease time plus five seconds
//! after the end of each fault. What a copy lost is listed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use forge_wf::prelude::*;
use forge_wf::{Error, RunId, Status};

use crate::ledger;
use crate::worker::LEASE;
use crate::workflows::KINDS;

/// How long runs may take to end after the last fault.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many wrongs are printed.
const SHOWN: usize = 40;
/// What a worker may take to serve again, beyond its lease.
const GRACE: Duration = Duration::from_secs(5);

/// A fault: its kind, when it began and ended, and, if a copy took the place of the database, since when that knows nothing.
struct Fault {
    kind: String,
    begun: i64,
    ended: i64,
    copied: Option<i64>,
}

/// Prints what was found; whether all is well.
pub async fn check(url: &str, folder: &Path) -> std::result::Result<bool, Box<dyn std::error::Error>> {
    let faults = read_faults(folder);
    let mut wrong = Vec::new();
    let mut lost = Vec::new();
    check_ends(url, folder, &faults, &mut wrong, &mut lost).await?;
    check_steps(folder, &faults, &mut wrong, &mut lost);
    check_service(folder, &faults, &mut wrong);
    let mut kinds = BTreeMap::new();
    faults.iter().for_each(|fault| *kinds.entry(fault.kind.as_str()).or_insert(0) += 1);
    println!("faults: {kinds:?}");
    let list = folder.join("lost");
    std::fs::write(&list, lost.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    println!("lost with a copy, as it must be: {}, listed in {}", lost.len(), list.display());
    println!("wrong: {}", wrong.len());
    wrong.iter().take(SHOWN).for_each(|line| println!("  {line}"));
    if wrong.len() > SHOWN {
        println!("  and {} more", wrong.len() - SHOWN);
    }
    Ok(wrong.is_empty())
}

/// Lines of `faults`: kind, begin, end, and the time of the copy or `-`, in microseconds. scripts/soak writes them.
fn read_faults(folder: &Path) -> Vec<Fault> {
    let text = std::fs::read_to_string(folder.join("faults")).unwrap_or_default();
    let fault = |line: &str| {
        let mut words = line.split(' ');
        Some(Fault {
            kind: words.next()?.to_owned(),
            begun: words.next()?.parse().ok()?,
            ended: words.next()?.parse().ok()?,
            copied: words.next()?.parse().ok(),
        })
    };
    text.lines().filter_map(fault).collect()
}

/// Whether a commit of some moment between these two may be one that a copy lost.
fn may_be_lost(faults: &[Fault], from: i64, to: i64) -> bool {
    faults.iter().any(|fault| fault.copied.is_some_and(|copied| from <= fault.ended && to >= copied))
}

async fn check_ends(
    url: &str,
    folder: &Path,
    faults: &[Fault],
    wrong: &mut Vec<String>,
    lost: &mut Vec<String>,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(url).await?;
    let undone: BTreeSet<_> = ledger::read(folder, "steps.")
        .into_iter()
        .filter(|(_, words)| words[0] == "undo" && words.len() == 3)
        .map(|(_, words)| (words[1].clone(), words[2].clone()))
        .collect();
    let (mut ended, mut unanswered) = (0, 0);
    let begun = Instant::now();
    for (at, words) in ledger::read(folder, "starts") {
        let [what, kind, id, asked] = &words[..] else { continue };
        if what == "unanswered" {
            unanswered += 1;
            continue;
        }
        let (id, asked): (RunId, i64) = (id.parse()?, asked.parse()?);
        let expected = KINDS.iter().find(|(name, _)| name == kind).and_then(|(_, output)| *output);
        let left = PATIENCE.saturating_sub(begun.elapsed()).max(Duration::from_secs(1));
        let result = tokio::time::timeout(left, async { client.run::<u64>(id).await?.result().await }).await;
        match result {
            Ok(Ok(output)) if Some(output) == expected => {}
            Ok(Err(Error::RunFailed { status: Status::Compensated, failure, .. }))
                if expected.is_none() && failure.code() == Some("as_planned") =>
            {
                let missing = (0..3).filter(|index| !undone.contains(&(id.to_string(), index.to_string()))).count();
                if missing > 0 {
                    wrong.push(format!("{kind} {id} is compensated, and {missing} of its steps were never undone"));
                }
            }
            Ok(Err(Error::NoSuchRun { .. })) if may_be_lost(faults, asked, at) => {
                lost.push(format!("the start of {kind} {id}"));
                continue;
            }
            Ok(other) => wrong.push(format!("{kind} {id} ended otherwise: {other:?}")),
            Err(_) => {
                let status = client.run::<u64>(id).await?.status().await;
                wrong.push(format!("{kind} {id} has not ended: {status:?}"));
            }
        }
        ended += 1;
    }
    println!("runs: {ended} looked at, {unanswered} starts without an answer");
    check_database(url, wrong).await?;
    client.close().await;
    Ok(())
}

/// Each generation of each run has at most one end, and ended runs have one.
async fn check_database(url: &str, wrong: &mut Vec<String>) -> std::result::Result<(), Box<dyn std::error::Error>> {
    use sqlx::Connection;
    let statement = |schema: &str| {
        format!(
            "SELECT count(*) FROM {schema}runs AS run WHERE run.phase = 2 AND 1 <> (SELECT count(*) FROM {schema}journal AS entry \
             WHERE entry.run_id = run.id AND entry.generation = run.generation AND entry.key = 'end')"
        )
    };
    let odd: i64 = if url.starts_with("postgres") {
        let mut connection = sqlx::PgConnection::connect(url).await?;
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement("forge_wf."))).fetch_one(&mut connection).await?
    } else {
        let mut connection = sqlx::SqliteConnection::connect(url).await?;
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement("forge_wf_"))).fetch_one(&mut connection).await?
    };
    if odd > 0 {
        wrong.push(format!("{odd} ended runs do not have exactly one end"));
    }
    Ok(())
}

/// A step begins only when the one before it is durable: so one that begins after its successor has run again although it was
/// journaled.
fn check_steps(folder: &Path, faults: &[Fault], wrong: &mut Vec<String>, lost: &mut Vec<String>) {
    let mut furthest: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    let mut steps = 0;
    for (at, words) in ledger::read(folder, "steps.") {
        let [what, run, index] = &words[..] else { continue };
        let Ok(index) = index.parse::<u64>() else { continue };
        if what != "step" {
            continue;
        }
        steps += 1;
        let (far, since) = *furthest.entry(run.clone()).or_insert((index, at));
        if index < far {
            let line =
                format!("step {index} of run {run} ran again at {at}, {} ms after step {far}", (at - since) / 1_000);
            // Step `far` began at `since`: what was before it was durable then, and lost only by a later copy that is older.
            let by_a_copy = faults.iter().any(|fault| {
                fault.copied.is_some_and(|copied| copied <= since && since <= fault.ended && at >= fault.begun)
            });
            if by_a_copy { lost.push(line) } else { wrong.push(line) }
        }
        // Also if it went back: from there it goes on.
        furthest.insert(run.clone(), (index, at));
    }
    println!("steps: {steps} executions");
}

fn check_service(folder: &Path, faults: &[Fault], wrong: &mut Vec<String>) {
    let bound = (LEASE + GRACE).as_micros() as i64;
    let mut workers: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of the ledgers")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("serves."))
        .collect();
    workers.sort();
    for worker in workers {
        let served: Vec<_> = ledger::read(folder, &worker).into_iter().map(|(at, _)| at).collect();
        let mut longest = 0;
        for (number, fault) in faults.iter().enumerate() {
            // The next fault may begin before this one is answered; then the time after that counts.
            let until = faults.get(number + 1).map_or(i64::MAX, |next| next.begun);
            let first = served.iter().find(|at| **at > fault.ended);
            match first {
                Some(at) if *at <= fault.ended + bound => longest = longest.max(at - fault.ended),
                Some(at) if *at >= until && until < fault.ended + bound => {}
                Some(at) => wrong.push(format!(
                    "{worker} served {:.1} s after the end of {} (at {})",
                    (at - fault.ended) as f64 / 1e6,
                    fault.kind,
                    fault.ended
                )),
                None => wrong.push(format!("{worker} never served after {} (at {})", fault.kind, fault.ended)),
            }
        }
        println!("{worker}: served {} times, at the latest {:.1} s after a fault", served.len(), longest as f64 / 1e6);
    }
}
