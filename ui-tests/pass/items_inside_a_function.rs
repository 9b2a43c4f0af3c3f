fn main() {
    use forge_wf::prelude::*;

    #[step]
    async fn charge(cents: u64) -> Result<u64> {
        Ok(cents)
    }

    #[derive(Serialize, Deserialize, Event)]
    struct Approved;

    #[helper]
    async fn twice(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
        Ok(charge(ctx, cents).await? + charge(ctx, cents).await?)
    }

    #[workflow]
    async fn checkout(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
        ctx.wait_for_event::<Approved>().await?;
        twice(ctx, cents).await
    }

    assert_ne!(checkout::SIGNATURE, 0);
}
