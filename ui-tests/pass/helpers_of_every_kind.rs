//! Helpers keep their generics, borrow, call each other, and are `Send` when their caller is.
use forge_wf::prelude::*;

#[step]
pub async fn email(to: &str) -> Result<()> {
    let _ = to;
    Ok(())
}

#[helper]
pub async fn notify_all<T, const N: usize>(ctx: &WorkflowContext, to: &[T; N]) -> Result<usize>
where
    T: AsRef<str> + Sync,
{
    for to in to {
        email(ctx, to.as_ref()).await?;
    }
    Ok(N)
}

#[helper]
async fn each<'t>(ctx: &WorkflowContext, to: impl Iterator<Item = &'t str> + Send, (a, _): (u8, u8)) -> u8 {
    for to in to {
        let _ = email(ctx, to).await;
    }
    a
}

#[helper]
async fn again(ctx: &WorkflowContext, times: u32) -> Result<()> {
    email(ctx, "a").await?;
    if times > 0 {
        Box::pin(again(ctx, times - 1)).await?;
    }
    Ok(())
}

#[workflow]
pub async fn checkout(ctx: &WorkflowContext) -> Result<usize> {
    let to = [String::from("a"), String::from("b")];
    each(ctx, to.iter().map(|to| to.as_str()), (1, 2)).await;
    again(ctx, 3).await?;
    notify_all::<String, 2>(ctx, &to).await
}

fn is_send<T: Send>(_: T) {}

#[helper]
pub async fn only_compiles(ctx: &WorkflowContext) -> Result<()> {
    is_send(notify_all(ctx, &["a"]));
    Ok(())
}

fn main() {}
