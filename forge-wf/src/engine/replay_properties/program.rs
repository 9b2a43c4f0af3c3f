//! Random workflow bodies: a tree of combinators over step calls, whose results steer what comes next.

use futures::future::{self, BoxFuture, FutureExt, join_all};
use futures::stream::{self, FuturesUnordered, StreamExt};
use futures::{SinkExt, channel};
use proptest::prelude::*;
use tokio::sync::{mpsc, oneshot};

use super::body::{Ctx, Value};

/// One part of a generated body. Each takes a number and returns one, or an error that `?` may carry on.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Calls a step and waits for it.
    Call(usize),
    /// Writes a call, runs the other part, and only then polls the call.
    Held(usize, Box<Node>),
    /// Writes a call that is never polled.
    Unpolled(usize),
    /// Wakes itself this often.
    Rest(u8),
    /// Wakes itself instead of polling its part, by a fixed pattern, and polls it twice in a row at other times.
    Restless(u8, Box<Node>),
    /// One after the other; one failure in two ends it.
    Seq(Vec<Node>),
    If(Box<[Node; 3]>),
    Join(Box<[Node; 3]>),
    TryJoin(Box<[Node; 3]>),
    FuturesJoin(Box<[Node; 2]>),
    JoinAll(Vec<Node>),
    Unordered(Vec<Node>),
    Buffered(usize, Vec<Node>),
    Select(Box<[Node; 3]>),
    SelectBiased(Box<[Node; 2]>),
    /// The loser of the race is kept and awaited afterwards.
    SelectKeep(Box<[Node; 2]>),
    /// A race, over and over, between one part and a crowd; may leave either early.
    SelectLoop(Box<Node>, Vec<Node>),
    /// One branch sends through a tokio channel of this capacity, the other works on what it receives.
    Pipe(usize, Vec<Node>, Box<Node>),
    /// Many branches send through one futures channel.
    Funnel(Vec<Node>, Box<Node>),
    /// One branch waits for the other through a oneshot channel of tokio or of futures.
    Oneshot(bool, Box<[Node; 2]>),
    /// `select!` without `biased`, which no generated program contains: it does not replay.
    Unbiased(bool, Box<[Node; 2]>),
}

/// Any program without self-wakes and channels, or with them.
pub(super) fn any_program(restless: bool) -> impl Strategy<Value = Node> {
    let parts = prop::collection::vec(any_node(restless), 2..5);
    (parts, 0..3).prop_map(|(parts, shape)| match shape {
        0 => Node::Seq(parts),
        1 => Node::JoinAll(parts),
        _ => Node::Unordered(parts),
    })
}

fn any_node(restless: bool) -> impl Strategy<Value = Node> {
    let rest = if restless { (1u8..4).prop_map(Node::Rest).boxed() } else { (0..3usize).prop_map(Node::Call).boxed() };
    let leaf = prop_oneof![6 => (0..3usize).prop_map(Node::Call), 1 => (0..3usize).prop_map(Node::Unpolled), 2 => rest];
    leaf.prop_recursive(4, 32, 4, move |node| {
        let one = node.clone().prop_map(Box::new);
        let two = [node.clone(), node.clone()].prop_map(Box::new);
        let three = [node.clone(), node.clone(), node.clone()].prop_map(Box::new);
        let many = prop::collection::vec(node, 1..5);
        let plain = prop_oneof![
            (0..3usize, one.clone()).prop_map(|(key, node)| Node::Held(key, node)),
            many.clone().prop_map(Node::Seq),
            three.clone().prop_map(Node::If),
            three.clone().prop_map(Node::Join),
            three.clone().prop_map(Node::TryJoin),
            two.clone().prop_map(Node::FuturesJoin),
            many.clone().prop_map(Node::JoinAll),
            many.clone().prop_map(Node::Unordered),
            (1..4usize, many.clone()).prop_map(|(k, nodes)| Node::Buffered(k, nodes)),
            three.prop_map(Node::Select),
            two.clone().prop_map(Node::SelectBiased),
            two.clone().prop_map(Node::SelectKeep),
            (one.clone(), many.clone()).prop_map(|(node, nodes)| Node::SelectLoop(node, nodes)),
        ];
        if !restless {
            return plain.boxed();
        }
        let talking = prop_oneof![
            (any::<u8>(), one.clone()).prop_map(|(pattern, node)| Node::Restless(pattern, node)),
            (1..4usize, many.clone(), one.clone()).prop_map(|(size, nodes, sink)| Node::Pipe(size, nodes, sink)),
            (many, one).prop_map(|(nodes, sink)| Node::Funnel(nodes, sink)),
            (any::<bool>(), two).prop_map(|(tokio, nodes)| Node::Oneshot(tokio, nodes)),
        ];
        prop_oneof![3 => plain, 2 => talking].boxed()
    })
}

/// A number made of both.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    (a ^ b.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ b
}

fn fold(sum: u64, value: Value) -> u64 {
    mix(sum, value.unwrap_or_else(|failed| !failed))
}

/// Wakes itself `times` times before it is ready.
pub(super) async fn rest(times: u8) {
    for _ in 0..times {
        let mut woken = false;
        future::poll_fn(|cx| {
            if std::mem::replace(&mut woken, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

/// Runs one part.
pub(super) fn run<'a>(node: &'a Node, ctx: &'a Ctx, input: u64) -> BoxFuture<'a, Value> {
    let each = move |nodes: &'a [Node]| {
        let parts = nodes.iter().zip(0..).map(move |(node, at)| run(node, ctx, mix(input, at)));
        parts.collect::<Vec<_>>()
    };
    async move {
        match node {
            Node::Call(key) => ctx.call(*key, input).await,
            Node::Held(key, node) => {
                let call = ctx.call(*key, input);
                let first = run(node, ctx, input).await;
                Ok(fold(fold(input, first), call.await))
            }
            Node::Unpolled(key) => {
                drop(ctx.call(*key, input));
                Ok(input)
            }
            Node::Rest(times) => {
                rest(*times).await;
                Ok(input)
            }
            Node::Restless(pattern, node) => restless(*pattern, run(node, ctx, input)).await,
            Node::Seq(nodes) => {
                let mut sum = input;
                for node in nodes {
                    sum = match run(node, ctx, sum).await {
                        Err(failed) if failed % 2 == 1 => return Err(failed),
                        Err(failed) => fold(sum, Err(failed)),
                        Ok(value) => value,
                    };
                }
                Ok(sum)
            }
            Node::If(nodes) => {
                let sum = fold(input, run(&nodes[0], ctx, input).await);
                run(&nodes[if sum.is_multiple_of(2) { 1 } else { 2 }], ctx, sum).await
            }
            Node::Join(n) => {
                let (a, b, c) = tokio::join!(run(&n[0], ctx, input), run(&n[1], ctx, input), run(&n[2], ctx, input));
                Ok(fold(fold(fold(input, a), b), c))
            }
            Node::TryJoin(n) => {
                let (a, b, c) =
                    tokio::try_join!(run(&n[0], ctx, input), run(&n[1], ctx, input), run(&n[2], ctx, input))?;
                Ok(mix(mix(a, b), c))
            }
            Node::FuturesJoin(n) => {
                let (a, b) = futures::join!(run(&n[0], ctx, input), run(&n[1], ctx, input));
                Ok(fold(fold(input, a), b))
            }
            Node::JoinAll(nodes) => Ok(join_all(each(nodes)).await.into_iter().fold(input, fold)),
            Node::Unordered(nodes) => {
                let mut all: FuturesUnordered<_> = each(nodes).into_iter().collect();
                let mut sum = input;
                while let Some(value) = all.next().await {
                    sum = fold(sum, value);
                    if sum.is_multiple_of(4) {
                        all.push(ctx.call(0, sum).boxed());
                    }
                    if sum % 16 == 1 {
                        break;
                    }
                }
                Ok(sum)
            }
            Node::Buffered(k, nodes) => {
                Ok(stream::iter(each(nodes)).buffer_unordered(*k).fold(input, async |sum, v| fold(sum, v)).await)
            }
            Node::Select(n) => tokio::select! {
                biased;
                a = run(&n[0], ctx, input) => a,
                Ok(b) = run(&n[1], ctx, input) => Ok(!b),
                c = run(&n[2], ctx, input) => Ok(fold(input, c)),
            },
            Node::SelectBiased(n) => {
                let (mut a, mut b) = (run(&n[0], ctx, input).fuse(), run(&n[1], ctx, input).fuse());
                futures::select_biased! { a = a => a, b = b => Ok(fold(input, b)) }
            }
            Node::SelectKeep(n) => match future::select(run(&n[0], ctx, input), run(&n[1], ctx, input)).await {
                future::Either::Left((a, b)) => Ok(fold(fold(input, a), b.await)),
                future::Either::Right((b, a)) => Ok(fold(fold(!input, b), a.await)),
            },
            Node::SelectLoop(node, nodes) => {
                let mut all: FuturesUnordered<_> = each(nodes).into_iter().collect();
                let (mut one, mut waits, mut sum) = (run(node, ctx, input), true, input);
                loop {
                    tokio::select! {
                        biased;
                        value = &mut one, if waits => (sum, waits) = (fold(sum, value), false),
                        Some(value) = all.next() => sum = fold(sum, value),
                        else => break,
                    }
                    if sum % 8 == 1 {
                        break;
                    }
                }
                Ok(sum)
            }
            Node::Pipe(size, nodes, sink) => {
                let (tx, mut rx) = mpsc::channel(*size);
                let send = async move {
                    for part in each(nodes) {
                        if tx.send(part.await).await.is_err() {
                            return;
                        }
                    }
                };
                let receive = async move {
                    let mut sum = input;
                    while let Some(value) = rx.recv().await {
                        sum = run(sink, ctx, fold(sum, value)).await?;
                    }
                    Ok(sum)
                };
                tokio::join!(send, receive).1
            }
            Node::Funnel(nodes, sink) => {
                let (tx, mut rx) = channel::mpsc::channel(0);
                let send = each(nodes).into_iter().map(|part| {
                    let mut tx = tx.clone();
                    async move { tx.send(part.await).await.is_ok() }
                });
                let send = join_all(send.collect::<Vec<_>>());
                drop(tx);
                let receive = async move {
                    let mut sum = input;
                    while let Some(value) = rx.next().await {
                        sum = run(sink, ctx, fold(sum, value)).await?;
                    }
                    Ok(sum)
                };
                futures::join!(receive, send).0
            }
            Node::Oneshot(true, n) => {
                let (tx, rx) = oneshot::channel();
                let receive = async move { run(&n[1], ctx, fold(input, rx.await.unwrap_or(Err(0)))).await };
                // A failure drops the sender, which the other branch notices too.
                let send = async move {
                    if let value @ Ok(_) = run(&n[0], ctx, input).await {
                        let _ = tx.send(value);
                    }
                };
                tokio::join!(receive, send).0
            }
            Node::Oneshot(false, n) => {
                let (tx, rx) = channel::oneshot::channel();
                let receive = async move { run(&n[1], ctx, fold(input, rx.await.unwrap_or(Err(0)))).await };
                let send = async move { tx.send(run(&n[0], ctx, input).await) };
                futures::join!(receive, send).0
            }
            Node::Unbiased(true, n) => tokio::select! {
                a = run(&n[0], ctx, input) => a,
                b = run(&n[1], ctx, input) => Ok(fold(input, b)),
            },
            Node::Unbiased(false, n) => {
                let (mut a, mut b) = (run(&n[0], ctx, input).fuse(), run(&n[1], ctx, input).fuse());
                futures::select! { a = a => a, b = b => Ok(fold(input, b)) }
            }
        }
    }
    .boxed()
}

/// How often one restless part wakes itself. Without an end to it, parts side by side whose patterns fill each other's
/// gaps would wake their body at every poll, which is a body that never rests.
const RESTLESS_WAKES_MAX: u32 = 64;

async fn restless(pattern: u8, mut part: BoxFuture<'_, Value>) -> Value {
    let (mut polls, mut wakes) = (0, 0);
    future::poll_fn(move |cx| {
        polls += 1;
        match pattern.rotate_left(polls) & 3 {
            1 if wakes < RESTLESS_WAKES_MAX => {
                wakes += 1;
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            2 => match part.as_mut().poll(cx) {
                std::task::Poll::Pending => part.as_mut().poll(cx),
                ready => ready,
            },
            _ => part.as_mut().poll(cx),
        }
    })
    .await
}
