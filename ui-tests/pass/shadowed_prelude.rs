//! Everything the expansion needs it names by an absolute path.
#![allow(dead_code, non_camel_case_types, unused_macros)]

use forge_wf::{Event, StepContext, WorkflowContext, helper, step, workflow};

struct Result;
struct Option;
struct Vec;
struct String;
struct Box;
struct Arc;
struct u128;
struct Some;
struct Ok;
struct Err;
trait Clone {}
trait Send {}
trait Fn {}
mod core {}
mod std {}
mod serde {}
mod inventory {}
macro_rules! vec { () => {} }
macro_rules! line { () => {} }

#[step]
async fn refund(cents: u64, note: ::core::option::Option<&str>) -> ::core::result::Result<(), forge_wf::Failure> {
    let _ = (cents, note);
    ::core::result::Result::Ok(())
}

#[step(compensate = refund)]
async fn charge_one(cents: u64) -> ::core::result::Result<::std::string::String, forge_wf::Failure> {
    ::core::result::Result::Ok(cents.to_string())
}

#[step(compensate = refund(output, ::core::option::Option::Some(note)), retry(max = 2, backoff = "1s", jitter = 0.1), timeout = "2s")]
async fn charge(
    ctx: &StepContext,
    #[state] rate: &u64,
    #[state] factor: u64,
    cents: &[u64],
    note: &str,
) -> ::core::result::Result<u64, forge_wf::Failure> {
    ::core::result::Result::Ok(rate * factor * cents[0] + note.len() as u64 + u64::from(ctx.attempt()))
}

#[derive(::serde::Serialize, ::serde::Deserialize, Event)]
struct Approved {
    by: u64,
}

#[workflow(events("paid": u64))]
async fn wait(ctx: &WorkflowContext) -> ::core::result::Result<u64, forge_wf::Failure> {
    let approved = ctx.wait_for_event::<Approved>().await?;
    ::core::result::Result::Ok(approved.by + ctx.wait_for_event_named::<u64>("paid").await?)
}

#[helper]
async fn help(ctx: &WorkflowContext) -> ::core::result::Result<u64, forge_wf::Failure> {
    charge(ctx, &[1], "x").await
}

#[workflow]
async fn pay(ctx: &WorkflowContext, cents: u64) -> ::core::result::Result<u64, forge_wf::Failure> {
    charge_one(ctx, cents).await?;
    wait(ctx).await?;
    help(ctx).await?;
    charge(ctx, &[cents], "x").await
}

fn main() {}
