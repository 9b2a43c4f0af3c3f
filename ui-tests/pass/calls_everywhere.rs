//! The scanner finds calls in `join!`, `select!`, closures, users' macros and nested groups.
use forge_wf::prelude::*;
use futures::future::join_all;
use futures::stream::{self, StreamExt};

mod steps {
    use forge_wf::prelude::*;

    #[step]
    pub async fn charge(cents: u64) -> Result<u64> {
        Ok(cents)
    }

    #[step]
    pub async fn ship(to: &str) -> Result<String> {
        Ok(to.to_owned())
    }

    pub mod deep {
        use forge_wf::prelude::*;

        #[step]
        pub async fn email(to: &str) -> Result<()> {
            let _ = to;
            Ok(())
        }
    }
}

use steps::{charge, ship};

macro_rules! twice {
    ($call:expr) => {{
        let first = $call.await?;
        let second = $call.await?;
        (first, second)
    }};
}

/// No step: the parentheses tell the scanner.
fn log<W>(ctx: &WorkflowContext<W>, what: &str) -> String {
    format!("{}: {what}", ctx.run_id())
}

#[workflow]
pub async fn checkout(ctx: &WorkflowContext, to: Vec<String>) -> Result<u64> {
    let (paid, shipped) = tokio::join!(charge(ctx, 1), ship(ctx, &to[0]));
    let (paid, _) = (paid?, shipped?);

    let either = tokio::select! {
        biased;
        cents = charge(ctx, 2) => cents?,
        other = async { ship(ctx, "there").await.map(|to| to.len() as u64) } => other?,
    };

    for sent in join_all(to.iter().map(|to| steps::deep::email(ctx, to))).await {
        sent?;
    }
    let mut streamed = stream::iter(to).map(|to| async move { ship(ctx, &to).await }).buffer_unordered(2);
    while let Some(to) = streamed.next().await {
        to?;
    }

    let _ = (log)(ctx, "twice");
    let (a, b) = twice!(charge(ctx, 3));
    let later = async { if a > b { charge(ctx, 4).await } else { Ok(0) } };
    let boxed = Box::pin(charge(ctx, 5)).await?;
    Ok(paid + either + later.await? + boxed)
}

fn main() {
    assert_ne!(checkout::SIGNATURE, 0);
}
