//! Workflows that undo what they did.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use forge_wf::prelude::*;

use super::waiting::Approved;
use super::workflows::{add, slow};

/// What a trip does, where it logs that, and how it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trip {
    /// Where effects are logged, one line each.
    pub log: String,
    /// How many legs are booked.
    pub legs: u64,
    /// The last thing it does.
    pub end: TripEnd,
}

/// How a trip ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TripEnd {
    /// It returns the legs.
    Arrives,
    /// It returns an error.
    Fails,
    /// It catches an error and goes on.
    Recovers,
    /// It waits for somebody who never comes.
    Waits,
    /// It waits in a step that never ends.
    Hangs,
}

pub(crate) fn note(log: &str, line: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(log).expect("an effect log");
    file.write_all(format!("{line}\n").as_bytes()).expect("one write, so lines of two processes never mix");
}

/// Books one leg.
#[step(compensate = give_back, retry(max = 2, backoff = "1ms"))]
pub async fn book(log: &str, leg: u64) -> Result<String> {
    note(log, &format!("book {leg}"));
    Ok(format!("seat {leg}"))
}

/// Gives a seat back.
#[step(retry(max = 3, backoff = "1ms"))]
pub async fn give_back(ctx: &StepContext, log: &str, leg: u64, seat: String) -> Result<()> {
    if std::env::var("FORGE_WF_TEST_UNDO_FAILS")
        .is_ok_and(|legs| legs.split(',').any(|failing| failing == leg.to_string()))
        && ctx.attempt() < 3
    {
        return Err(Failure::new("the counter is closed"));
    }
    note(log, &format!("give back {leg} {seat}"));
    Ok(())
}

/// Fails for good.
#[step(compensate = give_back(log, 0, output))]
pub async fn overbooked(log: &str) -> Result<String> {
    note(log, "overbooked");
    Err(Failure::permanent("no seat is left").with_code("overbooked"))
}

/// Books the legs one after the other, and ends as it is told to.
#[workflow]
pub async fn trip(ctx: &WorkflowContext, trip: Trip) -> Result<Vec<String>> {
    let mut seats = Vec::new();
    for leg in 1..=trip.legs {
        seats.push(book(ctx, &trip.log, leg).await?);
    }
    match trip.end {
        TripEnd::Arrives => {}
        TripEnd::Fails => drop(overbooked(ctx, &trip.log).await?),
        TripEnd::Recovers => assert!(overbooked(ctx, &trip.log).await.is_err()),
        TripEnd::Waits => ctx.sleep(days(30)).await?,
        TripEnd::Hangs => drop(slow(ctx).await?),
    }
    Ok(seats)
}

/// A trip that never ends, of which there is no more than a moment's worth.
#[workflow(timeout = "700ms")]
pub async fn short_trip(ctx: &WorkflowContext, trip: Trip) -> Result<()> {
    book(ctx, &trip.log, trip.legs).await?;
    ctx.sleep(Duration::from_secs(600)).await?;
    Ok(())
}

/// Goes on and on, generation after generation, and may take no more than a moment.
#[workflow(timeout = "700ms")]
pub async fn endless_trip(ctx: &WorkflowContext, trip: Trip) -> Result<()> {
    ctx.sleep(Duration::from_millis(50)).await?;
    ctx.continue_as_new(Trip { legs: trip.legs + 1, ..trip }).await
}

/// Has a child that takes too long.
#[workflow]
pub async fn parent_of_short_trip(ctx: &WorkflowContext, trip: Trip) -> Result<()> {
    Ok(short_trip(ctx, trip).await?)
}

/// Books the legs at once, and then finds that there is none.
#[workflow]
pub async fn group_trip(ctx: &WorkflowContext, trip: Trip) -> Result<()> {
    let seats = futures::future::join_all((1..=trip.legs).map(|leg| book(ctx, &trip.log, leg))).await;
    assert!(seats.iter().all(Result::is_ok));
    overbooked(ctx, &trip.log).await?;
    Ok(())
}

/// Books once nobody wants it any more.
#[step(compensate = give_back(log, leg, output))]
pub async fn book_slowly(ctx: &StepContext, log: &str, leg: u64) -> Result<String> {
    note(log, &format!("begin {leg}"));
    ctx.cancelled().await;
    note(log, &format!("book {leg}"));
    Ok(format!("late seat {leg}"))
}

/// Drops a booking that is under way, and arrives all the same if it is told to.
#[workflow]
pub async fn hasty_trip(ctx: &WorkflowContext, trip: Trip) -> Result<()> {
    book(ctx, &trip.log, 1).await?;
    tokio::select! {
        biased;
        _ = book_slowly(ctx, &trip.log, 2) => {}
        _ = ctx.wait_for_event::<Approved>() => {}
    }
    if trip.end == TripEnd::Fails {
        overbooked(ctx, &trip.log).await?;
    }
    Ok(())
}

/// Never says whether it booked; it did.
#[step(compensate = give_back(log, leg, output), timeout = "20ms")]
pub async fn book_silently(ctx: &StepContext, log: &str, leg: u64) -> Result<String> {
    if ctx.attempt() == 1 {
        note(log, &format!("book {leg}"));
        std::future::pending::<()>().await;
    }
    note(log, &format!("find {leg}"));
    Ok(format!("found seat {leg}"))
}

/// Cannot be found out about at all.
#[step(compensate = give_back(log, leg, output), timeout = "20ms")]
pub async fn book_into_the_void(log: &str, leg: u64) -> Result<String> {
    note(log, &format!("book {leg}"));
    std::future::pending::<()>().await;
    Ok(String::new())
}

/// Gives back what may be there.
#[step]
pub async fn give_back_if_any(log: &str, leg: u64, seat: Option<String>) -> Result<()> {
    note(log, &format!("give back {leg} {}", seat.as_deref().unwrap_or("if any")));
    Ok(())
}

/// Never says whether it booked, and its compensation does not need to know.
#[step(compensate = give_back_if_any, timeout = "20ms")]
pub async fn book_maybe(log: &str, leg: u64) -> Result<String> {
    note(log, &format!("book {leg}"));
    std::future::pending::<()>().await;
    Ok(String::new())
}

/// Books by a step of which nobody hears again.
#[workflow]
pub async fn silent_trip(ctx: &WorkflowContext, (log, how): (String, u64)) -> Result<()> {
    book(ctx, &log, 1).await?;
    match how {
        0 => drop(book_silently(ctx, &log, 2).await?),
        1 => drop(book_into_the_void(ctx, &log, 2).await?),
        _ => drop(book_maybe(ctx, &log, 2).await?),
    }
    Ok(())
}

/// Returns more than may be recorded; the size is all that its compensation needs.
#[step(compensate = give_back(log, 2, output.len().to_string()))]
pub async fn book_the_whole_train(log: &str) -> Result<String> {
    note(log, "book 2");
    Ok("seat ".repeat(20_000))
}

/// Books more than fits.
#[workflow]
pub async fn crowded_trip(ctx: &WorkflowContext, log: String) -> Result<()> {
    book(ctx, &log, 1).await?;
    book_the_whole_train(ctx, &log).await?;
    Ok(())
}

/// Books a leg, and then travels with a child.
#[workflow]
pub async fn family_trip(ctx: &WorkflowContext, plan: Trip) -> Result<()> {
    book(ctx, &plan.log, 10).await?;
    trip(ctx, plan).await?;
    Ok(())
}

/// Books a leg and falls over.
#[workflow]
pub async fn falls_over(ctx: &WorkflowContext, log: String) -> Result<()> {
    book(ctx, &log, 1).await?;
    panic!("the workflow fell over")
}

/// Takes its process down.
#[step]
pub async fn explodes(log: &str) -> Result<()> {
    note(log, "boom");
    std::process::abort()
}

/// Books a leg and takes its process down.
#[workflow]
pub async fn doomed_trip(ctx: &WorkflowContext, log: String) -> Result<()> {
    book(ctx, &log, 1).await?;
    explodes(ctx, &log).await
}

static MENDED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Whether [`mends()`] succeeds from now on, in this process.
pub fn mend(yes: bool) {
    MENDED.store(yes, std::sync::atomic::Ordering::SeqCst);
}

/// Fails until it is mended.
#[step]
pub async fn mends() -> Result<()> {
    if MENDED.load(std::sync::atomic::Ordering::SeqCst) { Ok(()) } else { Err(Failure::new("not yet mended")) }
}

/// Two steps that undo nothing, one that does, and then what fails until it is mended.
#[workflow]
pub async fn mended(ctx: &WorkflowContext, (log, undoes): (String, bool)) -> Result<uuid::Uuid> {
    add(ctx, &log, 1).await?;
    add(ctx, &log, 2).await?;
    if undoes {
        book(ctx, &format!("{log}.trip"), 1).await?;
    }
    mends(ctx).await?;
    Ok(ctx.uuid())
}

/// Books legs in a saga, in another one within it, and outside of both, and ends as it is told to.
#[workflow]
pub async fn partial_trip(ctx: &WorkflowContext, plan: Trip) -> Result<String> {
    let nap = Duration::from_millis(if plan.end == TripEnd::Waits { 30 } else { 0 });
    book(ctx, &plan.log, 1).await?;
    let kept = ctx
        .saga(async |ctx| {
            book(ctx, &plan.log, 2).await?;
            ctx.sleep(nap).await
        })
        .await;
    kept?;
    let lost: Result<()> = ctx
        .saga(async |ctx| {
            book(ctx, &plan.log, 3).await?;
            ctx.sleep(nap).await?;
            let inner: Result<()> = ctx
                .saga(async |ctx| {
                    book(ctx, &plan.log, 4).await?;
                    overbooked(ctx, &plan.log).await?;
                    Ok(())
                })
                .await;
            assert!(inner.is_err());
            ctx.saga(async |ctx| book(ctx, &plan.log, 5).await).await?;
            ctx.sleep(nap).await?;
            let _ = book_silently(ctx, &plan.log, 6).await;
            overbooked(ctx, &plan.log).await?;
            Ok(())
        })
        .await;
    ctx.sleep(nap).await?;
    book(ctx, &plan.log, 7).await?;
    if plan.end == TripEnd::Fails {
        overbooked(ctx, &plan.log).await?;
    }
    Ok(lost.unwrap_err().code().unwrap_or_default().to_owned())
}

/// Books legs in a saga and in one within it, which both fail, and fails after all.
#[workflow]
pub async fn divided_trip(ctx: &WorkflowContext, plan: Trip) -> Result<()> {
    book(ctx, &plan.log, 1).await?;
    let lost = ctx
        .saga(async |ctx| {
            book(ctx, &plan.log, 2).await?;
            let inner = ctx
                .saga(async |ctx| {
                    book(ctx, &plan.log, 3).await?;
                    overbooked(ctx, &plan.log).await
                })
                .await;
            assert!(inner.is_err());
            book(ctx, &plan.log, 4).await?;
            overbooked(ctx, &plan.log).await
        })
        .await;
    assert!(lost.is_err());
    book(ctx, &plan.log, 5).await?;
    overbooked(ctx, &plan.log).await.map(drop)
}

/// Undoes in a saga what cannot be undone.
#[step(compensate = never_gives_back(log, output))]
pub async fn book_for_good(log: &str) -> Result<String> {
    note(log, "book for good");
    Ok("seat".into())
}

/// Fails until it is mended.
#[step]
pub async fn never_gives_back(log: &str, seat: String) -> Result<()> {
    if !MENDED.load(std::sync::atomic::Ordering::SeqCst) {
        return Err(Failure::permanent("the counter is closed"));
    }
    note(log, &format!("give back {seat}"));
    Ok(())
}

/// Fails to roll back part of itself.
#[workflow]
pub async fn stuck_trip(ctx: &WorkflowContext, log: String) -> Result<String> {
    book(ctx, &log, 1).await?;
    let lost: Result<()> = ctx
        .saga(async |ctx| {
            book_for_good(ctx, &log).await?;
            overbooked(ctx, &log).await?;
            Ok(())
        })
        .await;
    Ok(lost.unwrap_err().code().unwrap_or_default().to_owned())
}

/// Gives back once the run is stopped.
#[step]
pub async fn gives_back_when_stopped(ctx: &StepContext, log: &str, seat: String) -> Result<()> {
    note(log, "gives back");
    ctx.cancelled().await;
    note(log, &format!("gave back {seat}"));
    Ok(())
}

/// Is undone by what waits for the run to be stopped.
#[step(compensate = gives_back_when_stopped(log, output))]
pub async fn book_patiently(log: &str) -> Result<String> {
    Ok(format!("seat for {}", log.len().min(1)))
}

/// Rolls part of itself back until it is stopped.
#[workflow]
pub async fn stopped_trip(ctx: &WorkflowContext, log: String) -> Result<()> {
    book(ctx, &log, 1).await?;
    ctx.saga(async |ctx| {
        book_patiently(ctx, &log).await?;
        overbooked(ctx, &log).await.map(drop)
    })
    .await
}

/// Loses patience with a saga that rolls back.
#[workflow]
pub async fn impatient_trip(ctx: &WorkflowContext, log: String) -> Result<()> {
    book(ctx, &log, 1).await?;
    let undoing = ctx.saga(async |ctx| {
        book(ctx, &log, 2).await?;
        book_patiently(ctx, &log).await?;
        overbooked(ctx, &log).await.map(drop)
    });
    tokio::select! {
        biased;
        _ = undoing => unreachable!("its undo waits until it is dropped"),
        _ = ctx.wait_for_event::<Approved>() => {}
    }
    ctx.wait_for_event::<Approved>().await?;
    book(ctx, &log, 3).await?;
    overbooked(ctx, &log).await.map(drop)
}

/// Rolls back a step of which nobody ever hears.
#[workflow]
pub async fn void_trip(ctx: &WorkflowContext, log: String) -> Result<()> {
    let lost = ctx
        .saga(async |ctx| {
            book(ctx, &log, 1).await?;
            book_into_the_void(ctx, &log, 2).await
        })
        .await;
    assert!(lost.is_err());
    Ok(())
}

/// Books if it is given enough time, whoever waits for it.
#[step(compensate = give_back(log, leg, output))]
pub async fn book_late(log: &str, leg: u64) -> Result<String> {
    note(log, &format!("begin {leg}"));
    tokio::time::sleep(Duration::from_millis(150)).await;
    note(log, &format!("book {leg}"));
    Ok(format!("seat {leg}"))
}

/// Never ends when it books, whoever asks it to; asked again, it finds what it booked.
#[step(compensate = give_back(log, leg, output))]
pub async fn book_deafly(log: &str, leg: u64) -> Result<String> {
    let line = format!("book {leg}");
    if !std::fs::read_to_string(log).unwrap_or_default().lines().any(|booked| booked == line) {
        note(log, &line);
        std::future::pending::<()>().await;
    }
    Ok(format!("seat {leg}"))
}

/// How a booking is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dropping {
    /// It ends when it hears of that.
    Slowly,
    /// It does not end.
    Deafly,
    /// It cannot be undone.
    ForGood,
}

/// Drops a booking when it is told to, and goes on for long; then it does what the plan says.
#[workflow]
pub async fn long_trip(ctx: &WorkflowContext, (plan, how): (Trip, Dropping)) -> Result<()> {
    book(ctx, &plan.log, 1).await?;
    let booking = async {
        match how {
            Dropping::Slowly => book_slowly(ctx, &plan.log, 2).await,
            Dropping::Deafly => book_deafly(ctx, &plan.log, 2).await,
            Dropping::ForGood => book_for_good_late(ctx, &plan.log).await,
        }
    };
    tokio::select! {
        biased;
        _ = booking => unreachable!("it ends once it is dropped"),
        _ = ctx.wait_for_event::<Approved>() => {}
    }
    ctx.wait_for_event::<Approved>().await?;
    if plan.end == TripEnd::Fails {
        overbooked(ctx, &plan.log).await?;
    }
    Ok(())
}

/// Ends when it is asked to, and cannot be undone until that is mended.
#[step(compensate = never_gives_back(log, output))]
pub async fn book_for_good_late(ctx: &StepContext, log: &str) -> Result<String> {
    note(log, "begin");
    ctx.cancelled().await;
    note(log, "book for good");
    Ok("seat".into())
}

/// Drops a booking and fails a moment later.
#[workflow]
pub async fn fickle_trip(ctx: &WorkflowContext, plan: Trip) -> Result<()> {
    book(ctx, &plan.log, 1).await?;
    // In time or not.
    let _ = book_late(ctx, &plan.log, 2).timeout(Duration::from_millis(20)).await;
    ctx.sleep(Duration::from_millis(300)).await?;
    book(ctx, &plan.log, 3).await?;
    overbooked(ctx, &plan.log).await?;
    Ok(())
}
