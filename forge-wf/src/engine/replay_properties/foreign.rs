//! What a body may not wait for: it is found at once, or when it wakes, and the words name the last entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use tokio::sync::oneshot;

use super::body::{Ctx, Program, Value, program};
use super::harness::{Session, entry_of};
use super::in_a_task;
use super::program::rest;
use crate::engine::drive::Stuck;
use crate::journal::Entry;
use crate::model::{BlockReason, CallId};

fn first_entry() -> Entry {
    let mut entry = entry_of(&CallId::new("step:a", 0), 1, 9);
    entry.seq = Some(1);
    entry
}

fn stuck_at_once(body: fn(&Ctx) -> BoxFuture<'_, Value>, journal: &[Entry]) -> Stuck {
    in_a_task(|| Session::begin(&program(body), journal).advance()).unwrap_err()
}

#[track_caller]
fn assert_foreign(stuck: &Stuck, words: &str) {
    assert_eq!(stuck.reason, BlockReason::ForeignAwait, "{}", stuck.message);
    assert!(stuck.message.contains(words), "{}", stuck.message);
}

#[test]
fn waiting_for_nothing_durable_is_found_at_once() {
    let bodies: [fn(&Ctx) -> BoxFuture<'_, Value>; 6] = [
        |_| pending().boxed(),
        |_| async { tokio::time::sleep(Duration::from_secs(9)).then(async |()| Ok(1)).await }.boxed(),
        |_| async { tokio::task::yield_now().then(async |()| Ok(1)).await }.boxed(),
        |_| {
            async {
                let (sender, receiver) = oneshot::channel();
                let received = receiver.await;
                drop(sender);
                received.unwrap_or(Err(0))
            }
            .boxed()
        },
        // A call that is held but not polled has no effect, so nobody will ever answer it.
        |ctx| {
            async move {
                let held = ctx.call(0, 1);
                pending::<()>().await;
                held.await
            }
            .boxed()
        },
        |ctx| {
            async move {
                rest(3).await;
                tokio::select! { biased; value = ctx.call(0, 1) => return value, () = rest(1) => {} }
                pending().await
            }
            .boxed()
        },
    ];
    for body in bodies {
        let stuck = stuck_at_once(body, &[]);
        assert_foreign(&stuck, "before its first durable call had an outcome");
        assert_foreign(&stuck, "`tokio::task::yield_now()`");
    }
}

#[test]
fn the_last_entry_is_named() {
    let stuck = stuck_at_once(|ctx| async move { ctx.call(0, 1).then(|_| pending()).await }.boxed(), &[first_entry()]);
    assert_foreign(&stuck, "after entry 1 (step:a#0)");
}

/// A body that waits for a step and for something else at once.
fn beside(other: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Program {
    Arc::new(move |ctx| {
        let other = other();
        Box::pin(async move { futures::join!(ctx.call(0, 1), other).0 })
    })
}

/// Lets `wake` wake the body and says how often the turn was told.
fn woken_by(program: &Program, wake: impl FnOnce()) -> (Session, usize) {
    let told = Arc::new(AtomicUsize::new(0));
    let mut session = Session::begin_watched(program, &[], {
        let told = told.clone();
        move || _ = told.fetch_add(1, Ordering::SeqCst)
    });
    assert_eq!(session.advance().unwrap().starts.len(), 1);
    session.drive.check_foreign().expect("nothing has happened yet");
    wake();
    let told = told.load(Ordering::SeqCst);
    (session, told)
}

#[test]
fn a_channel_filled_by_another_thread_is_found_when_it_wakes_the_body() {
    let channel = Arc::new(std::sync::Mutex::new(None));
    let program = beside({
        let channel = channel.clone();
        move || {
            let (sender, receiver) = oneshot::channel();
            *channel.lock().unwrap() = Some(sender);
            receiver.map(drop).boxed()
        }
    });
    let send = move || {
        let sender = channel.lock().unwrap().take().unwrap();
        std::thread::spawn(move || sender.send(()).unwrap()).join().unwrap();
    };
    let (mut session, told) = woken_by(&program, send);
    assert_eq!(told, 1);
    assert_foreign(&session.drive.check_foreign().unwrap_err(), "was woken from outside");
    assert!(session.drive.deliver(&mut Entry { seq: None, ..first_entry() }));
    assert_foreign(&session.advance().unwrap_err(), "was woken from outside, after entry 1 (step:a#0)");
}

#[tokio::test(start_paused = true)]
async fn a_timer_of_tokio_beside_a_step_is_found_when_it_fires() {
    let program = beside(|| tokio::time::sleep(Duration::from_secs(60)).boxed());
    let (mut session, told) = woken_by(&program, || ());
    assert_eq!(told, 0);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_foreign(&session.drive.check_foreign().unwrap_err(), "was woken from outside");
    assert_foreign(&session.advance().unwrap_err(), "was woken from outside");
}

#[test]
fn the_bodies_of_two_runs_are_foreign_to_each_other() {
    let (sender, receiver) = oneshot::channel::<()>();
    let receiver = std::sync::Mutex::new(Some(receiver));
    let program = beside(move || receiver.lock().unwrap().take().unwrap().map(drop).boxed());
    let sender = std::sync::Mutex::new(Some(sender));
    let sends: Program = Arc::new(move |_| {
        let sender = sender.lock().unwrap().take().unwrap();
        Box::pin(async move { sender.send(()).map(|()| 1).map_err(|()| 0) })
    });
    let (session, told) = woken_by(&program, || {
        Session::begin(&sends, &[]).advance().unwrap();
    });
    assert_eq!(told, 1);
    assert_foreign(&session.drive.check_foreign().unwrap_err(), "was woken from outside");
}

#[test]
fn a_panic_of_the_body_is_no_outcome() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on the way out");
        }
    }
    type Body = fn(&Ctx) -> BoxFuture<'_, Value>;
    let panics: [(Body, &str); 3] = [
        (|ctx| async move { ctx.call(0, 1).map(|value| panic!("no {value:?}")).await }.boxed(), "no Ok(9)"),
        (|ctx| async move { ctx.call(0, 1).map(|_| panic!("plain words")).await }.boxed(), "plain words"),
        (|ctx| async move { ctx.call(0, 1).map(|value| (value, Bomb)).await.0 }.boxed(), "on the way out"),
    ];
    for (body, words) in panics {
        let stuck = stuck_at_once(body, &[first_entry()]);
        assert_eq!(stuck.reason, BlockReason::Panic);
        assert!(
            stuck.message.contains("after entry 1 (step:a#0)") && stuck.message.contains(words),
            "{}",
            stuck.message
        );
    }
}

#[test]
fn a_closed_body_drops_its_calls_in_silence() {
    let (mut session, told) = woken_by(&beside(|| pending().boxed()), || ());
    session.drive.close();
    assert!(session.ctx.calls.take_commands().is_empty() && !session.waker.is_foreign());
    assert_eq!(told, 0);
}

#[test]
fn a_body_that_wakes_itself_for_ever_does_not_hold_its_thread() {
    let restless = |_: &Ctx| -> BoxFuture<'_, Value> {
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .boxed()
    };
    assert_foreign(&stuck_at_once(restless, &[]), "keeps waking itself");
}
