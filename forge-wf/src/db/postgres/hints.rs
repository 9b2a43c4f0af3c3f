//! Hints between processes: LISTEN on a connection of its own, and NOTIFY through the pool.
//!
//! A hint says that somebody wrote something, never what, and nothing relies on its coming: rows are the truth. Never part of
//! a commit, since a NOTIFY in each of them would put all commits of the server one behind the other.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use sqlx::{Acquire, Connection};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::Inner;
use super::columns::Columns;
use super::connect::{CONNECT_MAX, Opener};
use super::error::{sort, sorted, timed_out};
use crate::db::detached;
use crate::store::StoreError;

/// The channel of every forge-wf in a database, spelled out in the statements that notify. The payload names the sending
/// store, or nobody in particular.
const CHANNEL: &str = "forge_wf";
/// A connection that was silent for so long is asked whether it still lives; what lies between may have forgotten it. Asking
/// costs one small packet each way and no query.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How long that answer may take.
const PING_MAX: Duration = Duration::from_secs(2);

/// How long opening may take before the server is asked whether it has no room.
const ROOM_ASKED: Duration = Duration::from_secs(1);

const WAIT: &str = "wait_for_hint";
const SEND: &str = "send_hint";

/// Hears hints of others.
pub(super) struct Ear {
    opener: Arc<Opener>,
    /// Who we are: what this store sent is no news to it.
    me: String,
    open: Mutex<Option<Open>>,
    closed: watch::Sender<bool>,
}

/// A connection that listens, in a pool of its own because the driver wants one. Both are made anew when it breaks.
struct Open {
    pool: PgPool,
    listener: PgListener,
}

impl Ear {
    pub(super) fn new(opener: &Arc<Opener>, me: Uuid) -> Self {
        let me = me.simple().to_string();
        Self { opener: opener.clone(), me, open: Mutex::default(), closed: watch::Sender::new(false) }
    }

    /// Waits for a hint of somebody else. Dropped at any point, it leaves a connection that listens or none at all.
    pub(super) async fn hear(&self) -> Result<(), StoreError> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(sort(WAIT, sqlx::Error::PoolClosed)),
            heard = self.listen() => heard,
        }
    }

    async fn listen(&self) -> Result<(), StoreError> {
        let mut slot = self.open.lock().await;
        if let Some(open) = slot.as_mut() {
            match open.next(&self.me).await {
                Ok(true) => return Ok(()),
                Ok(false) => *slot = None,
                Err(error) => {
                    *slot = None;
                    return Err(sort(WAIT, error));
                }
            }
        }
        // In a task of its own, so that nobody can drop it half-way.
        let opener = self.opener.clone();
        let opening = async move { Open::new(&opener).await };
        *slot = Some(detached(WAIT, opening).await?);
        // What was sent before this moment was not heard.
        Ok(())
    }

    /// Ends a wait, and the connection.
    pub(super) async fn close(&self) {
        self.closed.send_replace(true);
        if let Some(Open { pool, listener }) = self.open.lock().await.take() {
            drop(listener);
            // Nothing is open; what cannot be closed in order is closed by being dropped.
            let _ = timeout(Duration::from_secs(1), pool.close()).await;
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // The driver's listener says goodbye in a task when it is dropped, and panics where there is no runtime for it: in a
        // program that drops its store last of all. There the connection is left to the end of the program.
        if tokio::runtime::Handle::try_current().is_err() {
            std::mem::forget(self.open.get_mut().take());
        }
    }
}

impl Open {
    async fn new(opener: &Opener) -> Result<Self, StoreError> {
        let options = opener.listening().await.map_err(sorted(WAIT))?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            // Longer than is waited here, where it is known why.
            .acquire_timeout(2 * CONNECT_MAX)
            .connect_lazy_with(options);
        let listener = Self::listen(opener, &pool).await.map_err(sorted(WAIT))?;
        Ok(Self { listener, pool })
    }

    async fn listen(opener: &Opener, pool: &PgPool) -> Result<PgListener, sqlx::Error> {
        let opening = async {
            let mut listener = PgListener::connect_with(pool).await?;
            // A connection that broke is reported and replaced here, where it is known that hints were lost.
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok(listener)
        };
        let silent = || timed_out("no connection for hints came about", CONNECT_MAX);
        let mut opening = pin!(timeout(CONNECT_MAX, opening));
        if let Ok(listener) = timeout(ROOM_ASKED, &mut opening).await {
            return listener.unwrap_or_else(|_| Err(silent()));
        }
        // The driver asks on and on where there is no room, and does not say so.
        match opener.find_room().await {
            None => opening.await.unwrap_or_else(|_| Err(silent())),
            Some((_lacking, error)) => opening.await.unwrap_or(Err(error)),
        }
    }

    /// Waits for somebody else's notification and takes along what has come by then; `false` if the connection broke. The
    /// driver's waits may be dropped and begun again.
    async fn next(&mut self, me: &str) -> Result<bool, sqlx::Error> {
        let mut heard = false;
        loop {
            let notification = if heard {
                match self.listener.try_recv().now_or_never() {
                    Some(notification) => notification?,
                    None => return Ok(true),
                }
            } else {
                match timeout(SILENCE_MAX, self.listener.try_recv()).await {
                    Ok(notification) => notification?,
                    Err(_) if self.lives().await => continue,
                    Err(_) => return Ok(false),
                }
            };
            match notification {
                Some(notification) => heard |= notification.payload() != me,
                None => return Ok(false),
            }
        }
    }

    async fn lives(&mut self) -> bool {
        let ping = async { self.listener.acquire().await?.ping().await };
        matches!(timeout(PING_MAX, ping).await, Ok(Ok(())))
    }
}

/// Gives hints to others: one at a time, and callers that come meanwhile share the next.
pub(super) struct Voice {
    me: String,
    share: Share,
}

impl Voice {
    pub(super) fn new(me: Uuid) -> Self {
        Self { me: me.simple().to_string(), share: Share::default() }
    }

    pub(super) async fn speak(&self, inner: &Inner) -> Result<(), StoreError> {
        let told = self.share.run(async || {
            let columns = Columns::new().with(self.me.as_str());
            let told = inner.fetch(SEND, "SELECT pg_notify('forge_wf', $1)", columns).await;
            told.map(drop).map_err(|error| error.to_string())
        });
        told.await.map_err(|why| StoreError::Unavailable { call: SEND, source: why.into() })
    }
}

/// Work whose outcome many callers share. Each gets that of a piece of work which began after it asked.
#[derive(Default)]
struct Share {
    asked: AtomicU64,
    done: Mutex<Done>,
}

/// Callers up to these numbers have their answer.
#[derive(Default)]
struct Done {
    well: u64,
    badly: u64,
    /// Why it last went badly.
    why: String,
}

impl Share {
    async fn run(&self, work: impl AsyncFnOnce() -> Result<(), String>) -> Result<(), String> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = self.done.lock().await;
        if done.well < mine && done.badly < mine {
            let all = self.asked.load(Ordering::SeqCst);
            match work().await {
                Ok(()) => done.well = all,
                Err(why) => (done.badly, done.why) = (all, why),
            }
        }
        if done.well >= mine { Ok(()) } else { Err(done.why.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// 20 callers come while the work of a first one goes on; how often work was done, and how many were content.
    async fn crowd(goes_well: bool) -> (usize, usize) {
        let (share, works) = (Arc::new(Share::default()), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.clone().lock_owned().await;
        let call = || {
            let (share, works, gate) = (share.clone(), works.clone(), gate.clone());
            tokio::spawn(async move {
                let work = async || {
                    let _passed = gate.lock().await;
                    works.fetch_add(1, Ordering::SeqCst);
                    if goes_well { Ok(()) } else { Err("no".into()) }
                };
                share.run(work).await.is_ok()
            })
        };
        let calls: Vec<_> = (0..21).map(|_| call()).collect();
        while share.asked.load(Ordering::SeqCst) < 21 {
            tokio::task::yield_now().await;
        }
        drop(closed);
        let mut content = 0;
        for call in calls {
            content += usize::from(call.await.unwrap());
        }
        (works.load(Ordering::SeqCst), content)
    }

    #[tokio::test]
    async fn callers_that_come_while_one_is_on_its_way_share_the_next() {
        assert_eq!(crowd(true).await, (2, 21));
        assert_eq!(crowd(false).await, (2, 0), "and they share that it failed");
    }

    #[tokio::test]
    async fn a_caller_that_comes_later_is_not_answered_by_what_was_before() {
        let share = Share::default();
        assert_eq!(share.run(async || Err("first".into())).await, Err("first".into()));
        assert_eq!(share.run(async || Ok(())).await, Ok(()));
        assert_eq!(share.run(async || Err("last".into())).await, Err("last".into()));
    }
}
