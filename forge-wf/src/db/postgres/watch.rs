//! Waits for an answer, and finds out whether one will come at all.
//!
//! A connection that something between has forgotten gives no error: it stays silent. A statement that takes long is silent
//! too. Only the server can tell the two apart, so it is asked, by another connection, what it does on this one. A long answer on its
//! way over a slow network is not silent: each row of it counts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Row, query};
use tokio::time::{sleep, timeout};

use super::connect::{Backend, Link, Opener, Work};

/// How long an answer may take before the server is asked about it; and for how long the server must have had nothing to do on
/// the connection before it counts as dead.
const QUIET_MAX: Duration = Duration::from_secs(3);
/// What a slow network carries in a second: a larger statement has more time to arrive.
const BYTES_PER_SECOND: u64 = 256 * 1024;
/// Pause before the server is asked again about a statement that takes long; doubles up to the second.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// How long that question may take on a connection that is open.
const QUESTION_MAX: Duration = Duration::from_secs(3);

/// What became of a statement.
pub(super) enum Answer<T> {
    /// The server answered.
    Came(Result<T, sqlx::Error>),
    /// The server has nothing to do on this connection, so no answer will come. A new connection comes with that.
    Lost(Link),
    /// No answer within the bound, and none from the server about it.
    TooLate,
}

/// When the last part of an answer came.
pub(super) struct Heard(Mutex<Instant>);

impl Heard {
    pub(super) fn now() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Another part has come.
    pub(super) fn again(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_quiet_for(&self, length: Duration) -> bool {
        self.rest_of(length).is_zero()
    }

    fn rest_of(&self, length: Duration) -> Duration {
        length.saturating_sub(self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed())
    }

    /// Waits until nothing has come for so long.
    async fn until_quiet_for(&self, length: Duration) {
        while !self.is_quiet_for(length) {
            sleep(self.rest_of(length)).await;
        }
    }
}

/// Waits for `work` on `link`, which sends about `bytes`, and at most `patience` for each part of its answer.
pub(super) async fn answer<T>(
    opener: &Opener,
    link: &mut Link,
    patience: Duration,
    bytes: usize,
    heard: &Heard,
    work: &impl Work<T>,
) -> Answer<T> {
    heard.again();
    let backend = link.backend;
    let quiet = QUIET_MAX + Duration::from_millis(bytes as u64 * 1000 / BYTES_PER_SECOND);
    tokio::select! {
        biased;
        answer = work(&mut link.connection) => Answer::Came(answer),
        () = heard.until_quiet_for(patience) => Answer::TooLate,
        replacement = find_lost(opener, backend, quiet, heard) => Answer::Lost(replacement),
    }
}

/// Returns a new connection once the server says that it does nothing for `backend`; never, if it cannot be asked.
async fn find_lost(opener: &Opener, backend: Option<Backend>, quiet: Duration, heard: &Heard) -> Link {
    let Some(backend) = backend else { return std::future::pending().await };
    heard.until_quiet_for(quiet).await;
    let helper = opener.helper.enter();
    let mut pause = ASK_AGAIN.0;
    loop {
        {
            let _turn = helper.turn().await;
            if let Some(mut link) = helper.take_or_open(opener).await {
                match timeout(QUESTION_MAX, is_idle(&mut link.connection, backend, quiet)).await {
                    Ok(Ok(true)) if heard.is_quiet_for(quiet) => return Link { heard: Instant::now(), ..link },
                    Ok(Ok(_)) => helper.put(link),
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(ASK_AGAIN.1);
    }
}

/// The connection on which the server is asked about others: one at a time, however many statements take long, so that a server
/// that is slow under its load gets no more to do than that. It is closed when there is nothing left to ask.
#[derive(Default)]
pub(super) struct Helper {
    turn: tokio::sync::Mutex<()>,
    state: Mutex<HelperState>,
}

#[derive(Default)]
struct HelperState {
    askers: usize,
    link: Option<Link>,
}

impl Helper {
    fn enter(&self) -> Asking<'_> {
        self.state().askers += 1;
        Asking(self)
    }

    fn state(&self) -> MutexGuard<'_, HelperState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One statement that is asked about.
struct Asking<'h>(&'h Helper);

impl Asking<'_> {
    async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.turn.lock().await
    }

    async fn take_or_open(&self, opener: &Opener) -> Option<Link> {
        let here = tokio::runtime::Handle::current().id();
        let link = self.0.state().link.take().filter(|link| link.home == here);
        if link.is_some() { link } else { opener.open_after_lines().await.ok() }
    }

    fn put(&self, link: Link) {
        self.0.state().link = Some(link);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.askers -= 1;
        if state.askers == 0 {
            state.link = None;
        }
    }
}

/// Whether this process of the server is gone, or has had nothing to do for `quiet`. What the server does not tell (another
/// role's process, say) is no.
pub(super) async fn is_idle(
    connection: &mut PgConnection,
    backend: Backend,
    quiet: Duration,
) -> Result<bool, sqlx::Error> {
    const ABOUT: &str = include_str!("sql/is_idle.sql");
    let about = query(ABOUT).bind(backend.pid).bind(quiet.as_millis() as i64).bind(backend.started);
    let row = about.fetch_one(connection).await?;
    row.try_get(0)
}
