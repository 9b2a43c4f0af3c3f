//! The connections of a store: a few for what must never wait for others, and a pool for everything else.
//!
//! Takes work for a connection; returns its answer. A connection is kept only if its last answer accused the data or the
//! moment; any other answer, or none, closes it. What failed on a connection that had been open for a while is done again on
//! a new one before the caller hears of it: all statements here may be repeated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{Row, query, query_with};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, sleep_until, timeout};

use super::columns::Columns;
use super::connect::{CONNECT_MAX, Link, Opener, ROOM_MAX, ROOM_PAUSE, Work};
use super::error::{Blame, blame, has_no_room, is_conflict, is_of_the_server, sort, timed_out, unavailable};
use super::watch::{Answer, Heard, answer};
use crate::db::acknowledged::{Acknowledged, check};
use crate::model::{Lane, WorkerId};
use crate::store::StoreError;

/// How long any answer may take. A little more than the server's own limit on statements, so it speaks first if it can.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(70);
/// A connection that has been idle for longer is asked whether it still lives before it is used.
const TRUST_IDLE: Duration = Duration::from_secs(1);
/// How long that answer may take: nothing has to be done for it.
const PING_MAX: Duration = Duration::from_secs(2);
/// A pool closes connections that were idle for so long: others may need them.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Pause before a connection is opened anew: none after one that had worked; then the first, doubling up to the second.
const OPEN_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a pool does without a place for which the server had no room.
const REST: Duration = Duration::from_secs(10);
/// How often a statement is repeated that lost a conflict with another transaction, and the first pause before that.
const CONFLICTS: (u32, Duration) = (5, Duration::from_millis(10));
/// How long closing waits for work that is under way.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Up to so many connections, opened as they are needed.
pub(super) struct Connections(Arc<Shared>);

/// A worker for which a statement is sent.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    pub(super) id: WorkerId,
    /// What was acknowledged to the workers of this store.
    pub(super) acknowledged: &'a Acknowledged,
}

pub(super) struct Shared {
    opener: Arc<Opener>,
    /// How long an answer, and a free connection, is waited for.
    patience: Duration,
    size: u32,
    room: Arc<Semaphore>,
    state: Mutex<State>,
    gives_back: bool,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Those nobody uses, the last one used last.
    idle: Vec<Link>,
    /// Whether a task closes those that are idle for too long.
    reaped: bool,
    /// No connection is opened before this.
    open_at: Option<Instant>,
    pause: Duration,
    /// Places of a pool for which the server had no room, and until when they are not used.
    resting: Vec<(Instant, OwnedSemaphorePermit)>,
}

impl Connections {
    /// One connection, kept open. A worker's lanes and its lease have one each, since they must not wait for a connection that
    /// others keep busy.
    pub(super) fn line(opener: &Arc<Opener>, patience: Duration) -> Self {
        Self::new(opener, 1, patience, false)
    }

    /// Up to `size` connections; those that are idle for long are given back.
    pub(super) fn pool(opener: &Arc<Opener>, size: u32) -> Self {
        let pool = Self::new(opener, size, ANSWER_MAX, true);
        opener.room.is_shared_by(Arc::downgrade(&pool.0));
        pool
    }

    fn new(opener: &Arc<Opener>, size: u32, patience: Duration, gives_back: bool) -> Self {
        let room = Arc::new(Semaphore::new(size as usize));
        let (opener, state, closed) = (opener.clone(), Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Shared { opener, patience, size, room, state, gives_back, closed }))
    }

    /// Sends one statement in autocommit and returns its rows.
    ///
    /// # Errors
    /// As [`sort`] says; `Unavailable` also if no answer came in time.
    pub(super) async fn fetch(
        &self,
        call: &'static str,
        sql: &'static str,
        columns: Columns,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.send(call, None, sql, columns).await
    }

    /// The same for a statement of a worker. A new connection is used only if the database behind it, which may be another server
    /// by then, holds all that was acknowledged on the lanes of the worker.
    ///
    /// # Errors
    /// `CommitsLost` if it does not; then nothing was sent.
    pub(super) async fn fetch_for(
        &self,
        worker: Worker<'_>,
        call: &'static str,
        sql: &'static str,
        columns: Columns,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.send(call, Some(worker), sql, columns).await
    }

    async fn send(
        &self,
        call: &'static str,
        worker: Option<Worker<'_>>,
        sql: &'static str,
        columns: Columns,
    ) -> Result<Vec<PgRow>, StoreError> {
        let bytes = columns.bytes();
        let arguments = columns.finish(call)?;
        let heard = Arc::new(Heard::now());
        self.run(call, worker, bytes, &heard, |connection| {
            let heard = heard.clone();
            let rows = query_with(sql, arguments.clone()).fetch(connection);
            Box::pin(rows.inspect_ok(move |_| heard.again()).try_collect())
        })
        .await
    }

    /// Does `work`, which sends about `bytes`, on a connection; a second time if the first was cut off.
    async fn run<T>(
        &self,
        call: &'static str,
        worker: Option<Worker<'_>>,
        bytes: usize,
        heard: &Heard,
        work: impl Work<T>,
    ) -> Result<T, StoreError> {
        let it = &self.0;
        let (_place, mut link, mut is_new) = it.enter(call).await?;
        let (mut conflicts, mut pause) = CONFLICTS;
        if is_new {
            link = compared(call, worker, link).await?;
        }
        loop {
            let asked = Instant::now();
            let error = match answer(&it.opener, &mut link, it.patience, bytes, heard, &work).await {
                Answer::Came(Ok(answer)) => {
                    it.give_back(link, true).await;
                    return Ok(answer);
                }
                Answer::TooLate => return Err(unavailable(call, "no answer in time")),
                Answer::Lost(replacement) => {
                    tracing::warn!(call, "a connection to the database fell silent; going on with a new one");
                    it.opener.fell_silent(asked);
                    let replacement = compared(call, worker, replacement).await?;
                    if is_new {
                        it.give_back(replacement, true).await;
                        return Err(unavailable(call, "the connection fell silent"));
                    }
                    (link, is_new) = (replacement, true);
                    continue;
                }
                Answer::Came(Err(error)) => error,
            };
            match blame(&error) {
                Blame::Data => it.give_back(link, true).await,
                Blame::Moment if is_conflict(&error) && conflicts > 0 => {
                    conflicts -= 1;
                    sleep(pause).await;
                    pause *= 2;
                    continue;
                }
                Blame::Moment => it.give_back(link, true).await,
                Blame::Connection if is_new => {
                    // A statement that only its own data can be blamed for must not slow down the others.
                    if is_of_the_server(&error) {
                        it.state().open_later();
                    }
                    link.close().await;
                }
                Blame::Connection => {
                    link.close().await;
                    link = it.open().await.map_err(|error| sort(call, error))?;
                    (link, is_new) = (compared(call, worker, link).await?, true);
                    continue;
                }
            }
            return Err(sort(call, error));
        }
    }

    /// Adds a connection that is open already.
    pub(super) async fn add(&self, link: Link) {
        self.0.give_back(link, false).await;
    }

    /// Closes all connections, once work that is under way has ended or some seconds are over.
    pub(super) async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.state().resting.clear();
        let all = timeout(CLOSE_MAX, self.0.room.acquire_many(self.0.size)).await;
        self.0.room.close();
        drop(all);
        let idle = std::mem::take(&mut self.0.state().idle);
        for link in idle {
            link.close().await;
        }
    }
}

/// The connection, if the database behind it holds all that was acknowledged on the lanes of the worker.
async fn compared(call: &'static str, worker: Option<Worker<'_>>, mut link: Link) -> Result<Link, StoreError> {
    let Some(Worker { id, acknowledged }) = worker else { return Ok(link) };
    // Of before the question: other lanes move on meanwhile.
    let expected = acknowledged.lanes(id);
    let found = query(include_str!("sql/lanes.sql")).bind(id.0).fetch_all(&mut link.connection);
    let found =
        timeout(CONNECT_MAX, found).await.unwrap_or_else(|_| Err(timed_out("the server did not answer", CONNECT_MAX)));
    for row in found.map_err(|error| sort(call, error))? {
        let read = || Ok((Lane(row.try_get(0)?), row.try_get(1)?));
        let (lane, number) = read().map_err(|error| sort(call, error))?;
        check(id, lane, number, expected.get(&lane).copied().unwrap_or_default())?;
    }
    Ok(link)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All connections that nobody uses; they are not in use any more.
    pub(super) fn take_idle(&self) -> Vec<Link> {
        std::mem::take(&mut self.state().idle)
    }

    /// A place, a connection, and whether the connection was opened for this.
    ///
    /// A pool that finds no room for another connection goes on with those it has: the place rests, and the caller waits for another
    /// place. The last place does not rest.
    async fn enter(&self, call: &'static str) -> Result<(OwnedSemaphorePermit, Link, bool), StoreError> {
        let begun = Instant::now();
        loop {
            self.wake();
            let place = match timeout(self.patience, self.room.clone().acquire_owned()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) => return Err(sort(call, sqlx::Error::PoolClosed)),
                Err(_) => {
                    return Err(unavailable(
                        call,
                        "all connections are busy; allow more (RuntimeBuilder::connections)",
                    ));
                }
            };
            match self.take().await {
                Ok((link, is_new)) => return Ok((place, link, is_new)),
                Err(error) if !self.gives_back || !has_no_room(&error) => return Err(sort(call, error)),
                Err(error) => {
                    if self.rest(place) {
                        continue;
                    }
                    if begun.elapsed() >= ROOM_MAX {
                        return Err(sort(call, error));
                    }
                    sleep(ROOM_PAUSE).await;
                }
            }
        }
    }

    /// Does without this place for a while; `false` if it is the last one.
    fn rest(&self, place: OwnedSemaphorePermit) -> bool {
        let mut state = self.state();
        let is_last = state.resting.len() as u32 + 1 >= self.size;
        if !is_last && !self.closed.load(Ordering::Acquire) {
            state.resting.push((Instant::now() + REST, place));
        }
        !is_last
    }

    /// Uses again the places that have rested.
    fn wake(&self) {
        let now = Instant::now();
        self.state().resting.retain(|(until, _)| *until > now);
    }

    /// A connection that lives as far as is known, and whether it was opened for this.
    async fn take(&self) -> Result<(Link, bool), sqlx::Error> {
        let here = tokio::runtime::Handle::current().id();
        while let Some(mut link) = self.next_idle(here) {
            if link.heard.elapsed() < TRUST_IDLE {
                return Ok((link, false));
            }
            let asked = Instant::now();
            match timeout(PING_MAX, sqlx::Connection::ping(&mut link.connection)).await {
                Ok(Ok(())) => {
                    link.heard = Instant::now();
                    return Ok((link, false));
                }
                Ok(Err(_)) => {}
                Err(_) => self.opener.fell_silent(asked),
            }
        }
        Ok((self.open().await?, true))
    }

    /// One that may be used here. Those of another runtime are dropped: it may be gone, and they would never answer. So are those
    /// that were not heard of since another connection fell silent: what cut that off may have cut these off too; and those to a
    /// standby, once a worker was registered.
    fn next_idle(&self, here: tokio::runtime::Id) -> Option<Link> {
        let silent = self.opener.silent();
        let mut state = self.state();
        while let Some(link) = state.idle.pop() {
            if link.home == here && silent.is_none_or(|silent| link.heard > silent) && self.opener.accepts(&link) {
                return Some(link);
            }
        }
        None
    }

    /// A new connection, after a pause if the last one failed.
    async fn open(&self) -> Result<Link, sqlx::Error> {
        let open_at = self.state().open_at;
        if let Some(open_at) = open_at {
            sleep_until(open_at.into()).await;
        }
        let opened = if self.gives_back { self.opener.open_after_lines().await } else { self.opener.open().await };
        if opened.as_ref().is_err_and(|error| !self.gives_back || !has_no_room(error)) {
            self.state().open_later();
        }
        opened
    }

    /// Keeps a connection for the next caller, or closes it where there is no use for it.
    async fn give_back(self: &Arc<Self>, mut link: Link, answered: bool) {
        if answered {
            link.heard = Instant::now();
        }
        if let Some(link) = self.keep(link) {
            link.close().await;
        }
    }

    /// Returns what is not kept.
    fn keep(self: &Arc<Self>, link: Link) -> Option<Link> {
        if self.closed.load(Ordering::Acquire) {
            return Some(link);
        }
        let mut state = self.state();
        state.open_at = None;
        state.pause = Duration::ZERO;
        // Asked while the state is locked: a line that finds no room says so first, and then takes what is idle.
        if self.gives_back && self.opener.room.is_lacking() {
            return Some(link);
        }
        state.idle.push(link);
        if self.gives_back && !state.reaped {
            state.reaped = true;
            tokio::spawn(reap(Arc::downgrade(self)));
        }
        None
    }
}

impl State {
    /// The next connection is opened after a pause that grows.
    fn open_later(&mut self) {
        self.pause = (self.pause * 2).clamp(OPEN_PAUSE.0, OPEN_PAUSE.1);
        self.open_at = Some(Instant::now() + self.pause);
    }
}

/// Closes connections that nobody has used for long, until none is left.
async fn reap(pool: Weak<Shared>) {
    let _again = ReapAgain(pool.clone());
    loop {
        sleep(IDLE_MAX / 2).await;
        let Some(shared) = pool.upgrade() else { return };
        let old: Vec<_> = shared.state().idle.extract_if(.., |link| link.heard.elapsed() >= IDLE_MAX).collect();
        for link in old {
            link.close().await;
        }
        if shared.state().idle.is_empty() {
            return;
        }
    }
}

/// The next connection that is given back starts the task anew, also if the task ended with its runtime.
struct ReapAgain(Weak<Shared>);

impl Drop for ReapAgain {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.state().reaped = false;
        }
    }
}
