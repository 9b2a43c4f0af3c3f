//! What the code under test writes to its log.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::util::SubscriberInitExt;

/// The lines at level warn or above that this thread writes to the log while this lives.
///
/// A test body, and whatever it awaits without a task of its own, stays on the thread of the test; on a runtime of one thread its
/// tasks do too.
pub struct Log {
    written: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Log {
    /// Begins to collect.
    pub fn of_this_thread() -> Self {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_writer(move || Writer(writer.clone()));
        Self { written, _guard: subscriber.finish().set_default() }
    }

    /// The lines so far that contain all of these words.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let written = String::from_utf8_lossy(&lock(&self.written)).into_owned();
        written.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock(written: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}
