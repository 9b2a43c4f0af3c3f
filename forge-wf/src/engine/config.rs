//! The engine's settings, with their defaults.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Limits;
use crate::model::limits::LOAD_BYTES_MAX;

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a worker may go without renewal before others take its runs over.
    pub lease: Duration,
    /// How often the lease is renewed.
    pub heartbeat: Duration,
    /// How often an idle worker looks for due runs and mail while it gets no hints.
    pub poll: Duration,
    /// How many turns execute at once.
    pub concurrency: usize,
    /// How many turns are in memory at once, those that only wait included.
    pub max_resident: usize,
    /// A run that has only waited for this long is released, and rebuilt by replay when it is due. Zero: at every wait.
    pub park_for: Duration,
    /// How long a shutdown lets running steps finish, and how long an aborted step may take to end.
    pub grace: Duration,
    /// How many entries a journal may have.
    pub journal_limit: usize,
    /// How many workers in a row may die while they execute a run, before it is not executed any more.
    pub takeovers_max: i32,
    /// Whether to take hints through the database, in place of looking every `poll`. They are given in any case.
    pub notifications: bool,
    /// How long a run may be due before it counts as waiting for a worker nobody has started.
    pub unserved_grace: Duration,
    /// How long a start waits for the answer of the database.
    pub start_timeout: Duration,
    /// Bounds on payloads.
    pub limits: Limits,
    /// How many bytes of journals are in memory before their runs have replayed them.
    pub load_bytes: usize,
    /// Which build this is.
    pub build: Arc<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            heartbeat: Duration::from_secs(5),
            poll: Duration::from_millis(250),
            concurrency: 256,
            max_resident: 10_000,
            park_for: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            journal_limit: 100_000,
            takeovers_max: 5,
            notifications: true,
            unserved_grace: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
            limits: Limits::default(),
            load_bytes: LOAD_BYTES_MAX,
            build: Arc::from("unknown"),
        }
    }
}

impl Config {
    /// The same settings, without durations that no clock can add to the present.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for length in [
            &mut self.lease,
            &mut self.heartbeat,
            &mut self.poll,
            &mut self.park_for,
            &mut self.grace,
            &mut self.unserved_grace,
            &mut self.start_timeout,
        ] {
            *length = (*length).min(FOR_EVER);
        }
        self
    }
}

/// What counts as for ever: a century. `Duration::MAX` from now is a point in time neither a clock nor a database has.
pub const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// How long a step runs before a `started` entry shows it to people.
pub const SHOW_STARTED_AFTER: Duration = Duration::from_secs(1);
/// A wait shorter than this is not worth a note that the run is waiting.
pub const NOTE_WAITING_FROM: Duration = Duration::from_secs(1);
/// How often a worker that gets hints looks all the same, for due runs and for mail. Five looks a minute, and what a sweep asks:
/// an idle worker makes some twenty queries a minute, its renewals apart.
pub const LOOK_ANYWAY: Duration = Duration::from_secs(12);
/// How often it looks for dead workers (unless a renewal tells of one) and for runs nobody serves.
pub const SWEEP_ANYWAY: Duration = Duration::from_secs(120);
/// Pause between attempts to reach a database that does not answer: the first, doubling up to the second.
pub const DATABASE_RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
