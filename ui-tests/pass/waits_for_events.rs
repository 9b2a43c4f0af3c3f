//! Waits are in the signature: by type, in helpers and combinators, hidden by a macro, and by name.
use std::collections::HashMap;

use forge_wf::__private::{Callee, Event as _, NamedEvents};
use forge_wf::prelude::*;

#[derive(Serialize, Deserialize, Event)]
pub struct OrderApproved {
    by: String,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "order.paid")]
enum Paid {
    InFull(u64),
    Never,
}

mod events {
    use forge_wf::prelude::*;

    #[derive(Serialize, Deserialize, Event)]
    pub struct Cancelled;
}

#[derive(Serialize, Deserialize)]
pub struct Approval {
    by: String,
}

macro_rules! wait_for {
    ($ctx:ident, $event:ty) => {
        $ctx.wait_for_event::<$event>().await
    };
}

#[step]
async fn charge(cents: u64) -> Result<u64> {
    Ok(cents)
}

#[helper]
async fn paid(ctx: &WorkflowContext) -> Result<u64> {
    Ok(match ctx.wait_for_event::<Paid>().await? {
        Paid::InFull(cents) => cents,
        Paid::Never => 0,
    })
}

#[workflow]
async fn typed(ctx: &WorkflowContext) -> Result<String> {
    let approved = ctx.wait_for_event::<OrderApproved>().await?;
    let cents = paid(ctx).await?;
    Ok(format!("{} {cents}", approved.by))
}

#[workflow]
async fn combined(ctx: &WorkflowContext) -> Result<u64> {
    let (approved, cents) = tokio::join!(ctx.wait_for_event::<OrderApproved>(), charge(ctx, 1));
    let (_, cents) = (approved?, cents?);
    tokio::select! {
        biased;
        event = ctx.wait_for_event::<events::Cancelled>() => event.map(|_| 0),
        charged = charge(ctx, cents) => charged,
    }
}

#[workflow(events(OrderApproved))]
async fn hidden(ctx: &WorkflowContext) -> Result<OrderApproved> {
    let _ = wait_for!(ctx, OrderApproved)?;
    ctx.wait_for_event().await
}

#[helper(events("first": Approval))]
async fn first(ctx: &WorkflowContext) -> Result<Approval> {
    ctx.wait_for_event_named("first").await
}

#[workflow(events("approved": Approval, "checked": Approval, "counted": HashMap<String, u64>, events::Cancelled))]
async fn named(ctx: &WorkflowContext, checked: bool) -> Result<String> {
    let name = if checked { "checked" } else { "approved" };
    let one = first(ctx).await?;
    let other = ctx.wait_for_event_named::<Approval>(name).await?;
    let third = ctx.wait_for_event_named::<self::Approval>("approved").await?;
    let counted = ctx.wait_for_event_named::<HashMap<String, u64>>("counted").await?;
    Ok(one.by + &other.by + &third.by + &counted.len().to_string())
}

mod same_contract {
    use std::collections::HashMap;

    use super::*;

    #[workflow(
        name = "named",
        events(Cancelled, "counted": HashMap<String,u64>, "checked": Approval, "approved": Approval),
        steps(first)
    )]
    pub async fn written_otherwise(_ctx: &WorkflowContext, _checked: bool) -> Result<String> {
        Ok(String::new())
    }

    use super::events::Cancelled;

    #[workflow(
        name = "named",
        events(Cancelled, "counted": HashMap<String, u32>, "checked": Approval, "approved": Approval),
        steps(first)
    )]
    pub async fn other_payload(_ctx: &WorkflowContext, _checked: bool) -> Result<String> {
        Ok(String::new())
    }
}

#[workflow(name = "typed", steps(paid))]
async fn without_the_wait(_ctx: &WorkflowContext) -> Result<String> {
    Ok(String::new())
}

fn main() {
    assert_eq!((OrderApproved::NAME, OrderApproved::KEY), ("order_approved", "event:order_approved"));
    assert_eq!((Paid::NAME, Paid::KEY), ("order.paid", "event:order.paid"));
    assert_eq!(<named as NamedEvents<Approval>>::NAMES, ["approved", "checked"]);
    assert_eq!(<named as NamedEvents<HashMap<String, u64>>>::NAMES, ["counted"]);
    assert_eq!(<first as NamedEvents<Approval>>::NAMES, ["first"]);
    assert_eq!(named::SIGNATURE, same_contract::written_otherwise::SIGNATURE);
    assert_ne!(named::SIGNATURE, same_contract::other_payload::SIGNATURE);
    assert_ne!(typed::SIGNATURE, without_the_wait::SIGNATURE);
    assert_ne!(combined::SIGNATURE, hidden::SIGNATURE);
    // Frozen: databases hold what is made of them.
    assert_eq!(format!("{:032x}", <Paid as Callee>::DIGEST), "b45a641fb8aa4f9285bef7af6230d7a3");
    assert_eq!(format!("{:032x}", named::SIGNATURE), "caff727dd6f1115b7a17a9750aba3cc8");
}
