//! Steps and workflows that `macro_rules!` writes, and calls a macro hides.
use forge_wf::prelude::*;

macro_rules! step_and_workflow {
    ($step:ident, $workflow:ident, $input:ty, $call:path, $($more:expr),*) => {
        #[step]
        pub async fn $step(input: $input) -> Result<$input> {
            Ok(input)
        }

        #[workflow]
        pub async fn $workflow(ctx: &WorkflowContext, input: $input) -> Result<$input> {
            $(let _ = $more;)*
            $step(ctx, input.clone()).await?;
            $call(ctx, input).await
        }
    };
}

#[step]
pub async fn other(input: String) -> Result<String> {
    Ok(input)
}

step_and_workflow!(charge, checkout, String, self::other, 1 + 1);

macro_rules! ship {
    ($ctx:expr) => {
        crate::hidden($ctx).await
    };
}

#[step]
pub async fn hidden() -> Result<()> {
    Ok(())
}

#[workflow(steps(hidden))]
pub async fn shipping(ctx: &WorkflowContext) -> Result<()> {
    ship!(ctx)
}

fn main() {
    assert_ne!(checkout::SIGNATURE, shipping::SIGNATURE);
}
