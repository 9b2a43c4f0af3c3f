//! What one run wants at once, in amounts that no database takes in one piece.

use std::sync::Arc;

use forge_wf::prelude::*;
use forge_wf::testing::{Fault, FaultyStore, open_store};
use forge_wf_tests::on_every_backend;

use crate::quick;

/// Returns the length of its input.
#[workflow]
async fn measures(_ctx: &WorkflowContext, text: String) -> Result<u64> {
    Ok(text.len() as u64)
}

/// Length of the input of each child.
const LENGTH: usize = 3 << 20;

/// Begins many children with long inputs in one poll.
#[workflow]
async fn measures_many(ctx: &WorkflowContext, children: u64) -> Result<u64> {
    let calls = (0..children).map(|_| measures(ctx, "x".repeat(LENGTH)));
    Ok(futures::future::try_join_all(calls).await?.into_iter().sum())
}

on_every_backend!(many_long_children_that_begin_at_once_are_written_in_pieces, |database| {
    let inner = open_store(database.url()).await.unwrap();
    // 48 MiB in all, of which a piece carries a third.
    let store = FaultyStore::new(inner, Box::new(|_, _| Fault::None)).cutting_above(20 << 20);
    let rt = quick(database).store(Arc::new(store)).build().await.unwrap();
    let run = rt.start(measures_many, 16).await.unwrap();
    assert_eq!(run.result().await.unwrap(), 16 * LENGTH as u64);
    rt.shutdown().await;
});
