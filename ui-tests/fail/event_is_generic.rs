use forge_wf::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Approved<T> {
    by: T,
}

#[derive(Serialize, Event)]
struct Refused<'a> {
    by: &'a str,
}

#[derive(Clone, Copy, Event)]
union Either {
    yes: u8,
    no: i8,
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<String> {
    Ok(ctx.wait_for_event::<Approved<String>>().await?.by)
}

fn main() {}
