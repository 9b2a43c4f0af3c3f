//! How much of loaded journals a worker holds that no turn has read yet.
//!
//! A journal counts from when it is loaded until its turn has replayed it, which drops its payloads. Loads wait until there is room, so
//! a claim of many long journals brings them in piece by piece; one that is longer than all the room comes in alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// After this long a load no longer waits for room: a body that computes for ever may hold it, and the others shall go on.
const PATIENCE: Duration = Duration::from_secs(30);

/// Room for journals that are loaded and not read.
pub struct Room {
    bytes: usize,
    used: Mutex<usize>,
    freed: Notify,
}

/// A part of the room, given back when this is dropped.
pub struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Room for this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { bytes, used: Mutex::new(0), freed: Notify::new() })
    }

    /// How much may be loaded now; waits until at least half of the room is free.
    pub async fn free(&self) -> usize {
        self.wait_until(self.bytes / 2).await
    }

    /// Waits until nothing is held.
    pub async fn empty(&self) {
        self.wait_until(0).await;
    }

    /// Waits until no more than this is held; what is free then.
    async fn wait_until(&self, most: usize) -> usize {
        let waiting = async {
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                if self.used() <= most {
                    return;
                }
                freed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            tracing::warn!(
                bytes = self.used(),
                "loaded journals are not read by their runs; others are loaded all the same"
            );
        }
        self.bytes.saturating_sub(self.used()).max(self.bytes / 2)
    }

    fn used(&self) -> usize {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes this much, be it more than there is.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        Held { room: self.clone(), bytes }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.room.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_again_when_half_of_it_is_given_back() {
        let room = Room::new(100);
        let (first, second) = (room.hold(30), room.hold(40));
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.free().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        assert_eq!(waiting.await.unwrap(), 70);
        drop(first);
        room.empty().await;
        assert_eq!(room.free().await, 100);
    }
}
