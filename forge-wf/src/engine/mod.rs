//! Drives runs; sees bytes, never SQL, a backend or a user's type.
//!
//! ```text
//! start ─▶ queue ─▶ claim ─▶ replay ─▶ step ─▶ append ─┬─▶ the next step
//!            ▲                                         ├─▶ complete
//!            └──────────────── wake ◀──── suspend ◀────┘
//! ```
//!
//! [`Engine::serve`] lives one session after the other: it registers as a worker, claims runs, gives each a turn, and
//! renews its lease from a thread of its own. All writes go through the writer's lanes.

mod aside;
pub mod calls;
pub mod child;
mod claim;
mod clock;
pub mod compensate;
pub mod config;
pub mod counters;
pub mod definition;
pub mod drive;
pub mod dry;
mod lane;
mod lease;
mod leaving;
mod life;
mod load;
mod mail;
pub mod mailbox;
mod mailroom;
pub mod moves;
pub mod order;
pub mod pauses;
pub mod random;
pub mod registry;
pub mod replay;
#[cfg(test)]
mod replay_properties;
pub mod request;
pub mod retry;
mod room;
mod session;
pub mod start;
pub mod states;
mod step;
mod steps;
mod suspects;
mod sweep;
mod tick;
mod turn;
mod unreadable;
pub mod unwind;
pub mod waiters;
mod waits;
mod wake;
pub mod waker;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use clock::DbClock;
use config::Config;
use counters::CounterBook;
use definition::{StepEnv, StopFlag};
use mail::Asks;
use mailroom::Mailroom;
use registry::Registry;
use room::Room;
use session::Session;
use states::States;
use suspects::Suspects;
use tick::Tick;
use turn::{Message, Turn};
use waiters::{Outcome, Waiters};

use crate::model::{CallId, Digest, RunId, Timestamp, WorkerId};
use crate::store::{ClaimedRun, Offer, Store, StrayVersion};

/// One worker process: its definitions, its turns, and the database they live on.
pub struct Engine {
    store: Arc<dyn Store>,
    config: Config,
    registry: Registry,
    offers: Arc<[Offer]>,
    stray_versions: Arc<[StrayVersion]>,
    states: Arc<States>,
    clock: DbClock,
    tick: Tick,
    slots: Arc<Semaphore>,
    turns: Mutex<HashMap<RunId, Resident>>,
    /// Runs whose steps would not end: left to the end of the lease, so not to be adopted.
    left_behind: Mutex<HashSet<RunId>>,
    /// Runs that were claimed and have no turn yet.
    in_hand: Mutex<HashMap<RunId, ClaimId>>,
    /// Runs of this worker whose rows it cannot read.
    unread: Mutex<HashSet<RunId>>,
    /// Runs that are left to others, until then.
    avoided: Mutex<HashMap<RunId, Instant>>,
    /// Runs that were said to be of a newer build.
    strange: Mutex<HashSet<RunId>>,
    /// Room for journals that no turn has read yet.
    room: Arc<Room>,
    /// Generations of runs that are not to be moved to a definition: ever, or until then.
    stays: Mutex<HashMap<(RunId, i32, Digest), Option<Instant>>>,
    /// Since when this worker claims nothing, so that a suspect run can be executed alone.
    alone_since: Mutex<Option<Instant>>,
    /// Runs that workers may have died of.
    suspects: Mutex<Suspects>,
    /// Runs this worker owns without a turn, for the next claim.
    adopt: Mutex<Vec<RunId>>,
    session: RwLock<Option<Arc<Session>>>,
    nudge: Notify,
    /// When the next run that this worker could take is due, as far as it knows.
    next_due: Mutex<Option<Timestamp>>,
    rescheduled: Notify,
    mail: Notify,
    mailroom: Mutex<Mailroom>,
    /// Turns that wait for the mail of their run, as it is from now on.
    asks: Mutex<Vec<Asks>>,
    asked: Notify,
    /// Told whenever something may have changed, to whoever waits just then.
    stirred: Notify,
    hint_wanted: Notify,
    hears_hints: AtomicBool,
    turn_left: Notify,
    backlog: AtomicBool,
    draining: AtomicBool,
    /// When it was told to drain.
    told_to_drain: watch::Sender<Option<tokio::time::Instant>>,
    /// The counters of runs somebody holds a handle of.
    pub counters: CounterBook,
    /// Who waits for which run.
    pub waiters: Waiters,
}

struct Resident {
    claim: ClaimId,
    turn: mpsc::UnboundedSender<Message>,
}

/// Which claim a turn came by. Claims are counted anew in each session, so the number alone would confuse two turns of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ClaimId {
    session: WorkerId,
    claim_no: i64,
}

impl Engine {
    /// An engine that has not begun.
    pub fn new(store: Arc<dyn Store>, registry: Registry, states: States, config: Config) -> Arc<Self> {
        let config = config.bounded();
        Arc::new(Self {
            offers: registry.offers(),
            stray_versions: registry.stray_versions(),
            slots: Arc::new(Semaphore::new(config.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            clock: DbClock::new(chrono::Utc::now(), store.shares_our_clock()),
            store,
            registry,
            states: Arc::new(states),
            tick: Tick::default(),
            turns: Mutex::default(),
            left_behind: Mutex::default(),
            in_hand: Mutex::default(),
            unread: Mutex::default(),
            avoided: Mutex::default(),
            strange: Mutex::default(),
            room: Room::new(config.load_bytes),
            config,
            stays: Mutex::default(),
            alone_since: Mutex::default(),
            suspects: Mutex::default(),
            adopt: Mutex::default(),
            session: RwLock::new(None),
            nudge: Notify::new(),
            next_due: Mutex::default(),
            rescheduled: Notify::new(),
            mail: Notify::new(),
            mailroom: Mutex::default(),
            asks: Mutex::default(),
            asked: Notify::new(),
            stirred: Notify::new(),
            hint_wanted: Notify::new(),
            hears_hints: AtomicBool::new(true),
            turn_left: Notify::new(),
            backlog: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            told_to_drain: watch::Sender::new(None),
            counters: CounterBook::default(),
            waiters: Waiters::default(),
        })
    }

    /// The database.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// About what the database's clock says.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the run is in this process's memory now.
    pub fn is_resident(&self, run: RunId) -> bool {
        self.turns().contains_key(&run)
    }

    /// Stops claiming, lets running steps finish within the grace time, releases the rest; [`Engine::run`] then returns.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.told_to_drain.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert_with(tokio::time::Instant::now);
            first
        });
        self.nudge.notify_one();
    }

    /// Closes the connections, for as long as a shutdown may still take.
    pub async fn close(&self) {
        let store = self.store.clone();
        // In a task of its own: connections are not to be dropped half-way.
        let closed = tokio::spawn(async move { store.close().await });
        let closed = self.unless_drained_for(life::LAST_ANSWER, closed).await;
        if closed.is_none() {
            tracing::warn!("the connections to the database could not be closed in order");
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// There may be something to claim.
    pub fn nudge(&self) {
        self.backlog.store(true, Ordering::Release);
        self.nudge.notify_one();
    }

    /// Whether runs that only wait should make room for others.
    fn is_crowded(&self) -> bool {
        self.turns().len() > self.config.max_resident / 2
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<RunId, Resident>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_session(&self, session: Option<Arc<Session>>) {
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn step_env(&self, run: &ClaimedRun, call: CallId, attempt: u32) -> StepEnv {
        StepEnv {
            run: run.id,
            generation: run.generation,
            call,
            attempt,
            stop: Arc::new(StopFlag::default()),
            states: self.states.clone(),
            limits: self.config.limits,
            tx: None,
        }
    }

    /// Gives a turn its task.
    fn spawn(self: &Arc<Self>, turn: Turn) {
        let (run, claim) = (turn.run.id, turn.claim_id());
        self.turns().insert(run, Resident { claim, turn: turn.sender() });
        self.takes_mail(run, turn.sender());
        // A start may come in between: who was told to leave before this turn was on the list is told here.
        if turn.session.is_lost() {
            let _ = turn.sender().send(Message::Lost);
        } else if self.is_draining() {
            let _ = turn.sender().send(Message::Drain);
        }
        let guard = LeaveGuard { engine: self.clone(), run, claim };
        let turn = Box::new(turn);
        tokio::spawn(async move {
            turn.run().await;
            drop(guard);
        });
    }

    /// A turn is over. Told again by the guard of its task, in case it panicked; then there is nothing left to do.
    fn turn_ended(&self, run: RunId, claim: ClaimId, outcome: Option<Outcome>) {
        {
            let mut turns = self.turns();
            let Some(left) = take_off(&mut turns, run, claim) else { return };
            self.mailroom().left(run, &left.turn);
        }
        self.waiters.tell(run, outcome);
        self.turn_left.notify_waiters();
        self.slot_is_free();
    }

    /// There is room for another run, if there is another.
    fn slot_is_free(&self) {
        if self.backlog.load(Ordering::Acquire) {
            self.nudge.notify_one();
        }
    }

    fn left_behind(&self, run: RunId) {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
        for resident in self.turns().values() {
            let _ = resident.turn.send(message());
        }
    }
}

/// Takes the turn of this claim off the list, if it is there. A later turn of the same run stays.
fn take_off(turns: &mut HashMap<RunId, Resident>, run: RunId, claim: ClaimId) -> Option<Resident> {
    turns.get(&run).filter(|resident| resident.claim == claim)?;
    turns.remove(&run)
}

/// Takes a turn off the list when its task ends, whatever ended it.
struct LeaveGuard {
    engine: Arc<Engine>,
    run: RunId,
    claim: ClaimId,
}

impl Drop for LeaveGuard {
    fn drop(&mut self) {
        self.engine.turn_ended(self.run, self.claim, None);
        // The handle may have gone before the turn, which held the counters until now.
        self.engine.counters.forget(self.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_an_earlier_session_takes_no_later_one_off_the_list() {
        let run = RunId::new();
        let [earlier, later] = [WorkerId::new(), WorkerId::new()].map(|session| ClaimId { session, claim_no: 1 });
        let resident = Resident { claim: later, turn: mpsc::unbounded_channel().0 };
        let mut turns = HashMap::from([(run, resident)]);
        assert!(take_off(&mut turns, run, earlier).is_none() && turns.contains_key(&run));
        assert!(take_off(&mut turns, run, later).is_some() && turns.is_empty());
        assert!(take_off(&mut turns, run, later).is_none(), "it is told again by the guard of its task");
    }
}
