//! The waker of a workflow body: tells wakes that the turn itself caused from foreign ones.
//!
//! A workflow body may only wait for durable calls. Their wakes happen while the turn polls the body or delivers
//! a result, on that thread. A wake at any other moment comes from something that is not durable (a tokio timer, a
//! socket, a channel filled by another task) and whose order would not be the same on replay.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};

thread_local! {
    /// The body this thread polls or delivers to right now; 0 is none.
    static ACTIVE: Cell<u64> = const { Cell::new(0) };
}
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The waker of one body.
pub struct BodyWaker {
    id: u64,
    woken: AtomicBool,
    foreign: AtomicBool,
    closed: AtomicBool,
    on_foreign: Box<dyn Fn() + Send + Sync>,
}

impl BodyWaker {
    /// A waker that calls `on_foreign` at the first foreign wake.
    pub fn new(on_foreign: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            woken: AtomicBool::new(false),
            foreign: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            on_foreign: Box::new(on_foreign),
        })
    }

    /// As a `Waker`.
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// Runs `work`; wakes during it, on this thread, are the turn's own.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(u64);
        impl Drop for Restore {
            fn drop(&mut self) {
                ACTIVE.set(self.0);
            }
        }
        let _restore = Restore(ACTIVE.replace(self.id));
        work()
    }

    /// Whether the body was woken since the last call.
    pub fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Whether there was a foreign wake.
    pub fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Acquire)
    }

    /// From now on wakes mean nothing.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Wake for BodyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if ACTIVE.get() == self.id {
            self.woken.store(true, Ordering::Release);
        } else if !self.closed.load(Ordering::Acquire) && !self.foreign.swap(true, Ordering::AcqRel) {
            (self.on_foreign)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_during_the_poll_is_our_own_and_any_other_is_foreign() {
        let waker = BodyWaker::new(|| ());
        waker.during(|| waker.waker().wake());
        assert!(waker.take_woken() && !waker.is_foreign());
        let other = waker.waker();
        waker.during(|| std::thread::spawn(move || other.wake()).join().unwrap());
        assert!(!waker.take_woken() && waker.is_foreign());
    }

    #[test]
    fn a_closed_waker_ignores_every_wake() {
        let waker = BodyWaker::new(|| panic!("not after closing"));
        waker.close();
        waker.waker().wake();
        assert!(!waker.is_foreign());
    }
}
