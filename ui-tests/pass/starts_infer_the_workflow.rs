//! `start(checkout, order)` takes the function itself and knows the workflow and its input from its type.
use forge_wf::__private::Workflow;
use forge_wf::api::definition::{Registered, WorkflowFn};
use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
pub struct Order {
    id: String,
}

#[step]
pub async fn charge(id: &str) -> Result<u64> {
    Ok(id.len() as u64)
}

#[workflow(name = "check-out", version = "3")]
pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<u64> {
    charge(ctx, &order.id).await
}

#[workflow]
pub async fn nightly(ctx: &WorkflowContext) -> Result<u64> {
    charge(ctx, "night").await
}

struct Runtime;

impl Runtime {
    fn start<A, M: Workflow, F: WorkflowFn<A, M>>(&self, _: F, input: M::Input) -> (&'static str, M::Input) {
        (M::DEFINITION.name, input)
    }

    fn register<R: Registered>(&self) {}
}

fn main() {
    let rt = Runtime;
    let (name, order) = rt.start(checkout, Order { id: "order-17".into() });
    assert_eq!((name, order.id.as_str()), ("check-out", "order-17"));
    assert_eq!(rt.start(nightly, ()).0, "nightly");
    rt.register::<checkout>();
    rt.register::<charge>();
}
