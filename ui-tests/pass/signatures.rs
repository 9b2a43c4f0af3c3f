//! What a signature is made of, and what it leaves out.
use forge_wf::__private::{Callee, Step};
use forge_wf::prelude::*;

mod first {
    use forge_wf::prelude::*;

    #[step(retry(max = 3))]
    pub async fn charge(#[state] rate: &u64, cents: u64, to: &str) -> Result<u64> {
        Ok(cents * rate + to.len() as u64)
    }

    #[step]
    pub async fn ship(to: &[u8]) -> Result<()> {
        let _ = to;
        Ok(())
    }

    #[workflow(name = "checkout", version = "2")]
    pub async fn checkout(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
        ship(ctx, b"x").await?;
        charge(ctx, cents, "x").await
    }
}

mod moved {
    //! The same contract, written in another way: names, options, state, borrows and the order of calls do not count.
    use forge_wf::prelude::*;

    #[step(name = "charge", timeout = "1s")]
    pub async fn bill(ctx: &StepContext, cents: u64, to: String) -> Result<u64, Failure> {
        Ok(cents + u64::from(ctx.attempt()) + to.len() as u64)
    }

    pub mod warehouse {
        use forge_wf::prelude::*;

        #[step(marker = Shipping)]
        pub async fn ship(to: Vec<u8>) -> Result<()> {
            let _ = to;
            Ok(())
        }
    }

    #[workflow(name = "checkout", version = "2", timeout = "7d", steps(warehouse::ship as warehouse::Shipping))]
    pub async fn other(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
        bill(ctx, cents, "x".into()).await?;
        warehouse::ship(ctx, vec![]).await?;
        bill(ctx, cents, "x".into()).await
    }
}

#[workflow(name = "checkout", version = "3", steps(first::charge, first::ship))]
async fn other_version(_ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    Ok(cents)
}

#[workflow(name = "checkout", version = "2", steps(first::charge, first::ship))]
async fn other_input(_ctx: &WorkflowContext, cents: u32) -> Result<u64> {
    Ok(cents.into())
}

#[workflow(name = "checkout", version = "2", steps(first::charge, first::ship))]
async fn other_output(_ctx: &WorkflowContext, cents: u64) -> Result<u128> {
    Ok(cents.into())
}

#[workflow(name = "checkout", version = "2", steps(first::charge))]
async fn other_calls(_ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    Ok(cents)
}

fn main() {
    assert_eq!(<moved::bill as Callee>::DIGEST, <first::charge as Callee>::DIGEST);
    assert_eq!(<first::charge as Step>::DEFINITION.key, "step:charge");
    assert_eq!(moved::other::SIGNATURE, first::checkout::SIGNATURE);
    let others = [
        other_version::SIGNATURE,
        other_input::SIGNATURE,
        other_output::SIGNATURE,
        other_calls::SIGNATURE,
    ];
    assert!(!others.contains(&first::checkout::SIGNATURE));
    // Frozen: databases hold signatures.
    assert_eq!(format!("{:032x}", first::checkout::SIGNATURE), "bf6a7dd196fa91744004a1407eefd60b");
}
