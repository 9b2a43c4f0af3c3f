use forge_wf::prelude::*;

struct Shop;

impl Shop {
    #[step]
    async fn charge(&self, cents: u64) -> Result<u64> {
        Ok(cents)
    }

    #[workflow]
    async fn checkout(&self, ctx: &WorkflowContext) -> Result<()> {
        let _ = ctx;
        Ok(())
    }
}

fn main() {}
