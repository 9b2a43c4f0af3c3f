//! The same work as workflows of forge-wf.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use forge_wf::prelude::*;
use forge_wf::{RunHandle, Runtime};
use tokio::sync::watch;

use crate::{Result, measure};

/// One recorded output.
#[step]
async fn work(n: usize) -> forge_wf::Result<String> {
    Ok(crate::output(n))
}

/// One step.
#[workflow(version = "1")]
async fn one(ctx: &WorkflowContext, input: String) -> forge_wf::Result<String> {
    let _ = input;
    work(ctx, 0).await
}

/// Three steps.
#[workflow(version = "1")]
async fn three(ctx: &WorkflowContext, input: String) -> forge_wf::Result<String> {
    let mut last = input;
    for n in 0..3 {
        last = work(ctx, n).await?;
    }
    Ok(last)
}

/// Ten steps.
#[workflow(version = "1")]
async fn ten(ctx: &WorkflowContext, input: String) -> forge_wf::Result<String> {
    let mut last = input;
    for n in 0..10 {
        last = work(ctx, n).await?;
    }
    Ok(last)
}

/// Holds steps back until it opens.
pub struct Gate {
    open: watch::Sender<bool>,
    waiting: AtomicUsize,
}

/// A gate nobody opens.
pub fn closed_gate() -> Arc<Gate> {
    Arc::new(Gate { open: watch::Sender::new(false), waiting: AtomicUsize::new(0) })
}

/// Waits for the gate.
#[step]
async fn pass(#[state] gate: &Arc<Gate>) -> forge_wf::Result<()> {
    gate.waiting.fetch_add(1, Ordering::Relaxed);
    gate.open.subscribe().wait_for(|open| *open).await?;
    Ok(())
}

/// One step that waits for the gate.
#[workflow(version = "1")]
async fn held(ctx: &WorkflowContext, input: String) -> forge_wf::Result<()> {
    let _ = input;
    pass(ctx).await
}

/// A runtime, shared by all callers.
#[derive(Clone)]
pub struct Engine {
    runtime: Arc<Runtime>,
    gate: Arc<Gate>,
}

impl Engine {
    /// With the settings a user gets.
    pub async fn open(url: &str) -> Result<Self> {
        let gate = closed_gate();
        let runtime = Runtime::builder().database(url).state(gate.clone()).build().await?;
        Ok(Self { runtime: Arc::new(runtime), gate })
    }

    /// With room for this many runs at once.
    pub async fn open_with_room(url: &str, runs: usize) -> Result<Self> {
        let gate = closed_gate();
        let builder = Runtime::builder().database(url).state(gate.clone()).concurrency(runs).max_resident(runs);
        Ok(Self { runtime: Arc::new(builder.build().await?), gate })
    }

    /// One run of this many steps, from start to result.
    pub async fn run(&self, steps: usize) -> Result<()> {
        let input = crate::input();
        match steps {
            1 => self.runtime.start(one, input).await?.result().await?,
            3 => self.runtime.start(three, input).await?.result().await?,
            10 => self.runtime.start(ten, input).await?.result().await?,
            _ => return Err(format!("no workflow here has {steps} steps").into()),
        };
        Ok(())
    }

    /// Starts runs until this many wait at the gate, and what they write about that is written.
    pub async fn hold(&self, handles: &mut Vec<RunHandle<()>>, count: usize) -> Result<()> {
        let (started, mut arrived) = tokio::sync::mpsc::unbounded_channel();
        let engine = self.clone();
        measure::complete((count - handles.len()) as u64, 64, move || {
            let (engine, started) = (engine.clone(), started.clone());
            async move { Ok(started.send(engine.runtime.start(held, crate::input()).await?)?) }
        })
        .await?;
        while let Ok(handle) = arrived.try_recv() {
            handles.push(handle);
        }
        while self.gate.waiting.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // A step that has run for a second gets a row that shows it.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    }

    /// Opens the gate and ends when these runs have ended.
    pub async fn close_after(&self, handles: Vec<RunHandle<()>>) -> Result<()> {
        self.gate.open.send_replace(true);
        for handle in handles {
            handle.result().await?;
        }
        self.close().await;
        Ok(())
    }

    pub async fn close(&self) {
        self.runtime.shutdown().await;
    }
}
