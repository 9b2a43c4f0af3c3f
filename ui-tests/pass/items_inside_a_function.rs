fn main() {
    use forge_wf::prelude::*;

    #[step]
    async fn charge(cents: u64) -> Result<u64> {
        Ok(cents)
    }

    #[helper]
    async fn twice(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
        Ok(charge(ctx, cents).await? + charge(ctx, cents).await?)
    }

    #[workflow]
    async fn checkout(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
        twice(ctx, cents).await
    }

    assert_ne!(checkout::SIGNATURE, 0);
}
