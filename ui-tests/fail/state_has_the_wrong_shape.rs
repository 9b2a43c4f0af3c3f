use forge_wf::prelude::*;

trait Mailer {}

#[step]
async fn charge(
    #[state] a: &mut String,
    #[state] b: &str,
    #[state] c: &[u8],
    #[state] d: impl Mailer,
    #[state] e: dyn Mailer,
    #[stat] f: u8,
) -> Result<()> {
    Ok(())
}

#[workflow]
async fn checkout(ctx: &WorkflowContext, #[state] rate: &u64) -> Result<()> {
    let _ = (ctx, rate);
    Ok(())
}

fn main() {}
