use forge_wf::prelude::*;

#[step(timeout = "soon", nme = "charge", retry(max = 0))]
fn charge<T>(&(a, b): &(u8, u8), what: impl Serialize) -> u8 {
    a + b
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<u8> {
    charge(ctx, &(1, 2), "x").retry(Retry::new(2)).await
}

fn main() {}
