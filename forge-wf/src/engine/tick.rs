//! The engine's own pulse: proof for the lease thread that tasks still run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the engine last showed that it runs.
pub struct Tick {
    origin: Instant,
    last_ms: AtomicU64,
}

impl Default for Tick {
    fn default() -> Self {
        Self { origin: Instant::now(), last_ms: AtomicU64::new(0) }
    }
}

impl Tick {
    /// How often the engine ticks.
    pub const EVERY: Duration = Duration::from_millis(500);

    /// The engine runs.
    pub fn beat(&self) {
        self.last_ms.store(self.origin.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long ago it last showed that.
    pub fn since_last(&self) -> Duration {
        self.origin.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}
