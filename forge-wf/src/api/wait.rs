//! [`SleepCall`] and [`EventCall`]: waits for a point in time and for an event.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::TimeDelta;
use serde::de::DeserializeOwned;

use super::slot::{Slot, read};
use super::timeout::{Timed, Timeout};
use crate::engine::calls::{Calls, Delivery};
use crate::engine::request::{EventRequest, Request, Until};
use crate::model::failure::{EVENT_UNDECLARED, TIME_OUT_OF_RANGE};
use crate::model::limits::WAIT_MAX;
use crate::model::{Failure, Payload, Timestamp};

/// A duration as a durable timer takes it.
///
/// # Errors
/// It is longer than [`WAIT_MAX`].
pub(crate) fn checked(wait: Duration) -> Result<Duration, Failure> {
    if wait <= WAIT_MAX {
        return Ok(wait);
    }
    let days = wait.as_secs() / 86_400;
    Err(out_of_range(format!("a wait of {days} days is longer than the ten years that are allowed")))
}

fn out_of_range(message: String) -> Failure {
    Failure::permanent(message).with_code(TIME_OUT_OF_RANGE)
}

/// A durable timer. It begins when it is first polled, is due by the database's clock, and is kept over restarts.
///
/// Dropping it (as `select!` does) has no effect but that it is not waited for.
#[must_use = "a sleep does nothing until it is awaited"]
pub struct SleepCall<'a> {
    slot: Result<Slot<'a>, Option<Failure>>,
}

impl<'a> SleepCall<'a> {
    pub(crate) fn after(calls: &'a Arc<Calls>, wait: Duration) -> Self {
        Self::new(calls, checked(wait).map(Until::After))
    }

    pub(crate) fn until(calls: &'a Arc<Calls>, time: Timestamp) -> Self {
        let wait = time.signed_duration_since(calls.now());
        let allowed = TimeDelta::from_std(WAIT_MAX).unwrap_or(TimeDelta::MAX);
        let checked = if wait <= allowed {
            // Whatever has passed is due at once, also a date that no database could keep.
            Ok(Until::At(time.max(Timestamp::UNIX_EPOCH)))
        } else {
            Err(out_of_range(format!("{time} lies more than ten years ahead, which is not allowed")))
        };
        Self::new(calls, checked)
    }

    fn new(calls: &'a Arc<Calls>, until: Result<Until, Failure>) -> Self {
        let slot = until.map(|until| Slot::write(calls, "sleep", Request::Time(until))).map_err(Some);
        Self { slot }
    }
}

impl Future for SleepCall<'_> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.slot {
            Ok(slot) => slot.poll(cx, read::<()>),
            Err(failure) => {
                Poll::Ready(Err(failure.take().expect("it is not polled again after it has returned its result")))
            }
        }
    }
}

impl fmt::Debug for SleepCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SleepCall")
    }
}

/// A wait for an event: it takes the oldest event of its name that no wait has taken, also one that came before.
///
/// Dropping it (as `select!` does), or a timeout, takes none.
#[must_use = "a wait does nothing until it is awaited"]
pub struct EventCall<'a, E> {
    slot: Result<Slot<'a>, Option<Failure>>,
    calls: &'a Arc<Calls>,
    key: String,
    /// Kept here so that the future asks nothing of `E`: a type that is no event is refused once, where the wait is written.
    read: fn(Delivery) -> Result<Result<E, Failure>, String>,
}

impl<'a, E: DeserializeOwned> EventCall<'a, E> {
    pub(crate) fn new(calls: &'a Arc<Calls>, key: String) -> Self {
        fn fits<E: DeserializeOwned>(payload: &Payload) -> Result<(), String> {
            payload.decode::<E>().map(drop).map_err(|error| error.to_string())
        }
        let slot = Slot::write(calls, &key, Request::Event(EventRequest { fits: fits::<E> }));
        Self { slot: Ok(slot), calls, key, read: read::<E> }
    }

    pub(crate) fn named(calls: &'a Arc<Calls>, name: &str, declared: &[&str]) -> Self {
        let key = format!("event:{name}");
        if declared.contains(&name) {
            return Self::new(calls, key);
        }
        let failure = Failure::permanent(format!(
            "the workflow waits for event {name:?}, but its attribute declares only {declared:?} with this type; add \
             `events({name:?}: ..)`"
        ));
        Self { slot: Err(Some(failure.with_code(EVENT_UNDECLARED))), calls, key, read: read::<E> }
    }
}

impl<'a, E> EventCall<'a, E> {
    /// Bounds the wait: see [`Timeout`].
    pub fn timeout(self, timeout: Duration) -> Timeout<'a, Self> {
        Timeout::new(self.calls, self, timeout)
    }
}

impl<E> Future for EventCall<'_, E> {
    type Output = Result<E, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let read = self.read;
        match &mut self.slot {
            Ok(slot) => slot.poll(cx, read),
            Err(failure) => {
                Poll::Ready(Err(failure.take().expect("it is not polled again after it has returned its result")))
            }
        }
    }
}

impl<E> Timed for EventCall<'_, E> {
    fn what(&self) -> String {
        self.key.clone()
    }

    fn give_up(failure: Failure) -> Self::Output {
        Err(failure)
    }
}

impl<E> fmt::Debug for EventCall<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventCall({})", self.key)
    }
}
