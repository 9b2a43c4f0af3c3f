//! What the body of a workflow or helper may await, and what belongs into a step.
//!
//! A body is run again from its beginning after a crash, after a deploy, and whenever its run has left memory. Recorded results
//! are handed to it one at a time, in the order they were recorded in, and it is polled once for each. So a body must take the same
//! path whenever it gets the same results in the same order. That holds for everything that is woken by durable calls alone. The
//! engine checks it: a body that is woken by something else is blocked (`blocked_foreign_await`), and so is one that takes another
//! path (`blocked_divergence`). A blocked run loses nothing: it goes on under a build whose body fits.
//!
//! # What may be awaited
//!
//! - Durable calls: steps, children, [`sleep`], [`wait_for_event`], each with [`.timeout(..)`] if wanted, and helpers.
//! - Whatever combines them: `tokio::join!`, `futures::join!`, `join_all`, `FuturesUnordered`, streams such as `buffer_unordered`,
//!   `tokio::select!` with `biased;`, `select_biased!`.
//! - Channels and locks between the branches of one body, if their order follows from the order of the wakes:
//!   `tokio::sync::mpsc`, `oneshot`, `Mutex`, `Semaphore` and `Notify` serve their waiters first come, first served, and so do the
//!   channels of `futures`.
//!
//! ```
//! use forge_wf::prelude::*;
//! use tokio::sync::mpsc;
//!
//! #[step]
//! async fn fetch(page: u64) -> Result<String> {
//!     Ok(format!("page {page}"))
//! }
//!
//! #[step]
//! async fn store(text: String) -> Result<()> {
//!     println!("{text}");
//!     Ok(())
//! }
//!
//! /// One branch fetches, the other one stores what is there already.
//! #[workflow]
//! async fn copy(ctx: &WorkflowContext, pages: u64) -> Result<u64> {
//!     let (sender, mut receiver) = mpsc::channel(4);
//!     let fetching = async move {
//!         for page in 0..pages {
//!             // The other branch ends only after this one.
//!             let _ = sender.send(fetch(ctx, page).await?).await;
//!         }
//!         Ok::<_, Failure>(())
//!     };
//!     let storing = async {
//!         let mut stored = 0;
//!         while let Some(text) = receiver.recv().await {
//!             store(ctx, text).await?;
//!             stored += 1;
//!         }
//!         Ok(stored)
//!     };
//!     let (fetched, stored) = tokio::join!(fetching, storing);
//!     fetched?;
//!     stored
//! }
//! ```
//!
//! # What may not
//!
//! | in place of | write | because |
//! |---|---|---|
//! | `tokio::time::sleep`, `timeout`, `interval` | [`sleep`], [`.timeout(..)`] | the run would wait again from the beginning |
//! | sockets, files, HTTP clients, database pools | a step | nothing records what they returned |
//! | `tokio::spawn`, threads | a step, or `join!` | every replay would do it again |
//! | channels that another task fills | an [event](crate::Client::send_event) | what they brought is gone after a crash |
//! | `tokio::sync::watch` | `tokio::sync::Notify`, `mpsc`, or a plain variable | it wakes its receivers in random order |
//! | `tokio::task::yield_now` | nothing | the runtime wakes the body, and no durable call; each durable call lets other tasks run anyway |
//! | `tokio::select!` without `biased;` | `biased;` | it takes a random branch |
//! | the clock, random numbers, the order of a `HashMap` | [`now`], [`rng`], [`uuid`], a `BTreeMap` | they differ on every replay |
//!
//! The macros refuse what their tokens show; [`nondet!`](crate::nondet) takes code out of that check where it makes no difference. The
//! rest is found by the replay itself, and before a deploy by [`preflight`](crate::preflight).
//!
//! A branch that waits for a value which another branch sets needs no `watch`:
//!
//! ```
//! use forge_wf::prelude::*;
//! use tokio::sync::Notify;
//!
//! #[step]
//! async fn quote(carrier: u64) -> Result<u64> {
//!     Ok(100 - carrier)
//! }
//!
//! /// Two branches that begin once the third one has a quote.
//! #[workflow]
//! async fn compare(ctx: &WorkflowContext) -> Result<u64> {
//!     let (first, known) = (std::sync::Mutex::new(0), Notify::new());
//!     let known = &known;
//!     let wait = |carrier| {
//!         let asked = known.notified();
//!         async move {
//!             asked.await;
//!             quote(ctx, carrier).await
//!         }
//!     };
//!     let begin = async {
//!         *first.lock().unwrap() = quote(ctx, 0).await?;
//!         // In the order in which they began to wait.
//!         known.notify_waiters();
//!         Ok::<_, Failure>(())
//!     };
//!     let (second, third, begun) = tokio::join!(wait(1), wait(2), begin);
//!     begun?;
//!     let first = *first.lock().unwrap();
//!     Ok(first.min(second?).min(third?))
//! }
//! ```
//!
//! [`sleep`]: crate::WorkflowContext::sleep
//! [`wait_for_event`]: crate::WorkflowContext::wait_for_event
//! [`.timeout(..)`]: crate::StepCall::timeout
//! [`now`]: crate::WorkflowContext::now
//! [`rng`]: crate::WorkflowContext::rng
//! [`uuid`]: crate::WorkflowContext::uuid
