use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
struct Receipt;

#[step]
async fn charge() -> Receipt {
    Receipt
}

#[step]
async fn ship() {}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Option<Receipt> {
    ship(ctx).await.ok()?;
    charge(ctx).await.ok()
}

fn main() {}
