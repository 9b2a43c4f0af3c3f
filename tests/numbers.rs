//! Numbers come back from the journal as they went in; where an earlier build read one otherwise, the message says so.

use forge_wf::prelude::*;
use forge_wf::{Error, Status};
use forge_wf_tests::waiting::Approved;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

/// A price whose text a build without `float_roundtrip` reads one bit lower: as [`READ_BEFORE`].
const PRICE: f64 = 0.011_000_000_000_000_001;
/// See `model/numbers.rs`.
const READ_BEFORE: u64 = 0x3f86_872b_020c_49ba;

/// What it costs.
#[step]
pub async fn price() -> Result<f64> {
    Ok(PRICE)
}

/// An offer at this price.
#[step]
pub async fn quote(price: f64) -> Result<String> {
    Ok(format!("{price:?}"))
}

/// Makes an offer at the price it got, or at another one, and waits for it to be approved.
#[workflow]
pub async fn offers(ctx: &WorkflowContext, other: Option<f64>) -> Result<String> {
    let cost = price(ctx).await?;
    let offer = quote(ctx, other.unwrap_or(cost)).await?;
    ctx.wait_for_event::<Approved>().await?;
    Ok(offer)
}

on_every_backend!(
    a_run_that_an_earlier_build_began_with_another_number_is_blocked_by_the_name_of_that_number,
    |database| {
        let rt = quick(database).build().await.unwrap();
        let now = rt.start(offers, None).key("now").await.unwrap();
        let plain = rt.start(offers, None).await.unwrap();
        let before = rt.start(offers, Some(f64::from_bits(READ_BEFORE))).key("before").await.unwrap();
        for run in [&now, &plain, &before] {
            eventually("the run waiting", async || (run.status().await.unwrap() == Status::Waiting).then_some(()))
                .await;
        }
        rt.shutdown().await;
        // As an earlier build has written it: the same text for the price, and an offer made at what that build had read.
        let changed = database
        .texts(
            "UPDATE forge_wf_journal SET args_hash = (SELECT other.args_hash FROM forge_wf_journal AS other
                 JOIN forge_wf_runs AS run ON run.id = other.run_id WHERE run.key = 'before' AND other.key = 'step:quote')
             WHERE key = 'step:quote' AND run_id = (SELECT id FROM forge_wf_runs WHERE key = 'now') RETURNING key",
            "UPDATE forge_wf.journal SET args_hash = (SELECT other.args_hash FROM forge_wf.journal AS other
                 JOIN forge_wf.runs AS run ON run.id = other.run_id WHERE run.key = 'before' AND other.key = 'step:quote')
             WHERE key = 'step:quote' AND run_id = (SELECT id FROM forge_wf.runs WHERE key = 'now') RETURNING key",
        )
        .await;
        assert_eq!(changed.len(), 1);

        let rt = quick(database).build().await.unwrap();
        for run in [&now, &plain, &before] {
            rt.send_event(run, Approved { by: "Ada".into() }).await.unwrap();
        }
        let error = rt.run::<String>(now.id()).await.unwrap().result().await.unwrap_err();
        let Error::RunBlocked { status: Status::BlockedDivergence, message, .. } = error else { panic!("{error}") };
        assert!(message.contains("step:quote#0 with arguments"), "{message}");
        assert!(message.contains("entry 1 (step:price#0) holds the number 0.011000000000000001"), "{message}");
        // Equal where the build that began it read the same.
        let result = async |id| rt.run::<String>(id).await.unwrap().result().await.unwrap();
        assert_eq!(result(plain.id()).await, format!("{PRICE:?}"));
        assert_eq!(result(before.id()).await, format!("{:?}", f64::from_bits(READ_BEFORE)));
        rt.shutdown().await;
    }
);
