//! Takes the measurements: runs per second under many callers, latencies of one caller, memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Result;

/// Runs ended per second while `in_flight` callers each start the next when their last has ended. They warm up for a
/// fifth of `length` first.
pub async fn throughput<J, F>(in_flight: usize, length: Duration, run: J) -> Result<f64>
where
    J: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (run, stop, ended) = (run.clone(), stop.clone(), ended.clone());
        callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                run().await?;
                ended.fetch_add(1, Ordering::Relaxed);
            }
            Result::Ok(())
        });
    }
    tokio::time::sleep(length / 5).await;
    let (before, begin) = (ended.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(length).await;
    let per_second = (ended.load(Ordering::Relaxed) - before) as f64 / begin.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(per_second)
}

/// Exactly this many runs, `in_flight` at a time.
pub async fn complete<J, F>(runs: u64, in_flight: usize, run: J) -> Result<()>
where
    J: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let begun = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let (run, begun) = (run.clone(), begun.clone());
        callers.spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < runs {
                run().await?;
            }
            Result::Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(())
}

/// How long one call takes.
pub async fn time<F>(call: F) -> Result<Duration>
where
    F: Future<Output = Result<()>>,
{
    let begin = Instant::now();
    call.await?;
    Ok(begin.elapsed())
}

/// The value at `quantile` (0 to 1) of what was measured.
pub fn quantile<T: PartialOrd + Copy>(values: &[T], quantile: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    sorted[((sorted.len() - 1) as f64 * quantile).round() as usize]
}

/// The middle value.
pub fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    quantile(values, 0.5)
}

/// Resident memory of this process in bytes; `None` where there is no `/proc`.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time a process has used, in user and kernel; `None` where there is no `/proc`. Waiting for a busy machine
/// does not count, so this is the steadiest figure of all.
pub fn cpu_time(process: u32) -> Option<Duration> {
    let fields = stat(process)?;
    // In ticks, a hundred a second on every Linux there is.
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// Processor time of all processes that have the same parent as this one: a PostgreSQL server on this machine, by the
/// process of one of its connections.
pub fn cpu_time_of_siblings(process: u32) -> Option<Duration> {
    let parent = stat(process)?.get(1)?.clone();
    let all = std::fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Some(all.filter(|one| stat(*one).is_some_and(|fields| fields[1] == parent)).filter_map(cpu_time).sum())
}

/// The fields of `/proc/N/stat` that follow the name, which may hold spaces.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
