//! How much of loaded journals a worker holds that no turn has read yet.
//!
//! A journal counts from when it is loaded until its turn has replayed it, which drops its payloads. Loads wait until there is room, so
//! a claim of many long journals brings them in piece by piece; one that is longer than all the room comes in alone. Room is taken
//! before a load, so loads at the same time share it. A load waits for a bounded time: then what is held counts no more, since a body
//! that computes for ever holds its journal for ever, and that is to cost the others one wait and not one each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// After this long a load no longer waits for room: a body that computes for ever may hold it, and the others shall go on.
const PATIENCE: Duration = Duration::from_secs(30);

/// Room for journals that are loaded and not read.
pub struct Room {
    bytes: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    bytes: usize,
    /// How often all that was held was written off.
    written_off: u64,
}

/// A part of the room, given back when this is dropped.
pub struct Held {
    room: Arc<Room>,
    bytes: usize,
    /// As it was when this was taken. If it is another number now, this was written off and counts no more.
    written_off: u64,
}

impl Room {
    /// Room for this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { bytes, taken: Mutex::default(), freed: Notify::new() })
    }

    /// Room for a load: half of it, or what is free if that is less; waits until at least a quarter is free.
    pub async fn part(self: &Arc<Self>) -> Held {
        self.take(self.bytes / 2, self.bytes / 4).await
    }

    /// All the room, for a journal that is longer than a part; waits until nothing is held.
    pub async fn whole(self: &Arc<Self>) -> Held {
        self.take(self.bytes, self.bytes).await
    }

    /// Takes up to `most` as soon as `least` is free.
    async fn take(self: &Arc<Self>, most: usize, least: usize) -> Held {
        let waiting = async {
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(held) = self.try_take(most, least) {
                    return held;
                }
                freed.await;
            }
        };
        if let Ok(held) = tokio::time::timeout(PATIENCE, waiting).await {
            return held;
        }
        {
            let mut taken = self.taken();
            tracing::warn!(
                bytes = taken.bytes,
                "loaded journals are not read by their runs; they count no more, and others are loaded all the same"
            );
            *taken = Taken { bytes: 0, written_off: taken.written_off + 1 };
        }
        self.freed.notify_waiters();
        self.hold(most)
    }

    fn try_take(self: &Arc<Self>, most: usize, least: usize) -> Option<Held> {
        let mut taken = self.taken();
        let free = self.bytes.saturating_sub(taken.bytes);
        (free >= least).then(|| {
            let bytes = free.min(most);
            taken.bytes += bytes;
            Held { room: self.clone(), bytes, written_off: taken.written_off }
        })
    }

    fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        let mut taken = self.taken();
        taken.bytes += bytes;
        Held { room: self.clone(), bytes, written_off: taken.written_off }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How much it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A piece of it for one journal. What this lacks is taken from the room, be it more than there is.
    pub fn cut(&mut self, bytes: usize) -> Self {
        let own = bytes.min(self.bytes);
        self.bytes -= own;
        let mut piece = self.room.hold(bytes - own);
        if piece.written_off == self.written_off {
            piece.bytes = bytes;
        } else {
            // This part was written off in between, so the piece is taken anew.
            drop(piece);
            piece = self.room.hold(bytes);
        }
        piece
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let mut taken = self.room.taken();
            if taken.written_off == self.written_off {
                taken.bytes -= self.bytes;
            }
        }
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(room: &Room) -> usize {
        room.taken().bytes
    }

    #[tokio::test]
    async fn loads_at_the_same_time_share_the_room_and_wait_for_a_quarter_of_it() {
        let room = Room::new(100);
        let (mut first, second) = (room.part().await, room.part().await);
        assert_eq!((first.bytes(), second.bytes()), (50, 50));
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.part().await.bytes() }
        });
        tokio::task::yield_now().await;
        let journal = first.cut(30);
        assert_eq!(held(&room), 100, "what is cut off was held already");
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a fifth is free");
        drop(second);
        assert_eq!(waiting.await.unwrap(), 50);
        drop(journal);
        assert_eq!(held(&room), 0);
    }

    #[tokio::test]
    async fn a_journal_longer_than_the_room_comes_in_alone() {
        let room = Room::new(100);
        let mut whole = room.whole().await;
        let journal = whole.cut(300);
        drop(whole);
        assert_eq!(held(&room), 300);
        drop(journal);
        assert_eq!(held(&room), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_reads_its_journal_costs_one_wait() {
        let room = Room::new(100);
        let stuck = room.hold(90);
        let began = tokio::time::Instant::now();
        let part = room.part().await;
        assert!(began.elapsed() >= PATIENCE);
        drop(part);
        let after = tokio::time::Instant::now();
        drop(room.part().await);
        drop(room.whole().await);
        assert_eq!(after.elapsed(), Duration::ZERO, "it was waited for once");
        drop(stuck);
        assert_eq!(held(&room), 0, "what was written off is given back only once");
    }
}
