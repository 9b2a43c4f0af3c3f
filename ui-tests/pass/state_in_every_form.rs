use std::sync::Arc;

use forge_wf::prelude::*;

pub struct Warehouse;

#[derive(Clone)]
pub struct Pool(#[allow(dead_code)] Arc<u8>);

pub trait Mailer: Send + Sync {
    fn send(&self, to: &str);
}

#[step]
pub async fn notify(
    #[state] mailer: &dyn Mailer,
    to: &str,
    #[state] warehouse: &Warehouse,
    ctx: &StepContext,
    #[state] pool: Pool,
    #[state] other: &(dyn Fn(&str) -> bool + Send + Sync),
) -> Result<()> {
    let _ = (warehouse, pool, ctx.idempotency_key());
    if other(to) {
        mailer.send(to);
    }
    Ok(())
}

#[workflow]
pub async fn checkout(ctx: &WorkflowContext, to: String) -> Result<()> {
    notify(ctx, &to).await
}

fn main() {}
