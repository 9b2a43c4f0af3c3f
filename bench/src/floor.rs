//! The floor: the same work without an engine, which no durable engine on this database can beat by much.
//!
//! Each operation of a run (started, step recorded, ended) is durable before the run goes on. Writers group the operations
//! of all runs in flight: what queued while the last commit was in flight is the next one. Nothing is claimed, leased,
//! replayed or recovered here.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::Result;

/// Operations of one commit at the most; larger ones got slower when measured.
const BATCH_MAX: usize = 300;

enum Op {
    Started { input: String },
    Recorded { n: i32, output: String },
    Ended { output: String },
}

struct Request {
    run: Uuid,
    op: Op,
    durable: oneshot::Sender<()>,
}

/// What one commit writes, by columns. A run waits for each of its operations, so it has one of them here at the most.
#[derive(Default)]
pub struct Batch {
    pub started: Vec<Uuid>,
    pub inputs: Vec<String>,
    pub recorded: Vec<Uuid>,
    pub numbers: Vec<i32>,
    pub outputs: Vec<String>,
    pub ended: Vec<Uuid>,
    pub results: Vec<String>,
}

impl Batch {
    fn add(&mut self, run: Uuid, op: Op) {
        match op {
            Op::Started { input } => {
                self.started.push(run);
                self.inputs.push(input);
            }
            Op::Recorded { n, output } => {
                self.recorded.push(run);
                self.numbers.push(n);
                self.outputs.push(output);
            }
            Op::Ended { output } => {
                self.ended.push(run);
                self.results.push(output);
            }
        }
    }
}

/// Writes batches on one connection.
pub trait Writer: Send + 'static {
    /// Returns when the batch is durable.
    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<()>> + Send;
}

/// Runs in flight share its writers.
#[derive(Clone)]
pub struct Floor(Arc<[mpsc::UnboundedSender<Request>]>);

impl Floor {
    pub fn new(writers: Vec<impl Writer>) -> Self {
        let lanes = writers.into_iter().map(|writer| {
            let (lane, requests) = mpsc::unbounded_channel();
            tokio::spawn(serve(writer, requests));
            lane
        });
        Self(lanes.collect())
    }

    /// One run of this many steps, to its end.
    pub async fn run(&self, steps: usize) -> Result<()> {
        let run = Uuid::now_v7();
        let lane = &self.0[run.as_u128() as usize % self.0.len()];
        let durable = async |op| {
            let (durable, answer) = oneshot::channel();
            lane.send(Request { run, op, durable }).map_err(|_| "a writer of the floor has ended")?;
            Result::Ok(answer.await?)
        };
        durable(Op::Started { input: crate::input() }).await?;
        for n in 0..steps {
            durable(Op::Recorded { n: n as i32, output: crate::output(n) }).await?;
        }
        durable(Op::Ended { output: crate::output(steps) }).await?;
        Ok(())
    }
}

async fn serve(mut writer: impl Writer, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut queued = Vec::with_capacity(BATCH_MAX);
    while let Some(first) = requests.recv().await {
        // Callers whose operation has just become durable are about to ask for the next; without this, half of the commits
        // would carry two or three operations.
        tokio::task::yield_now().await;
        queued.push(first);
        while queued.len() < BATCH_MAX
            && let Ok(next) = requests.try_recv()
        {
            queued.push(next);
        }
        let mut batch = Batch::default();
        let mut waiting = Vec::with_capacity(queued.len());
        for Request { run, op, durable } in queued.drain(..) {
            batch.add(run, op);
            waiting.push(durable);
        }
        if let Err(error) = writer.write(&batch).await {
            eprintln!("the floor could not write: {error}");
            return;
        }
        for caller in waiting {
            let _ = caller.send(());
        }
    }
}
