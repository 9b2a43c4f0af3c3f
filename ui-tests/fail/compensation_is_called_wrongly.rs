use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
pub struct Receipt {
    id: i64,
}

#[step]
async fn refund(id: i64, note: &str) -> Result<()> {
    let _ = (id, note);
    Ok(())
}

#[step(compensate = refund(note, note))]
async fn with_a_wrong_type(note: &str) -> Result<Receipt> {
    Ok(Receipt { id: note.len() as i64 })
}

#[step(compensate = refund(output.id, nota))]
async fn with_an_unknown_name(note: &str) -> Result<Receipt> {
    Ok(Receipt { id: note.len() as i64 })
}

#[step(compensate = refund(note))]
async fn without_the_output(note: &str) -> Result<Receipt> {
    Ok(Receipt { id: note.len() as i64 })
}

#[step(compensate = refund(output.di, note))]
async fn with_an_unknown_field(note: &str) -> Result<Receipt> {
    Ok(Receipt { id: note.len() as i64 })
}

#[step(compensate = refund(output.id, shelf))]
async fn with_state(#[state] shelf: &String) -> Result<Receipt> {
    Ok(Receipt { id: shelf.len() as i64 })
}

#[step]
async fn cancel(id: i64) -> Result<()> {
    let _ = id;
    Ok(())
}

#[step(compensate = refund as cancel(output.id, note))]
async fn with_the_type_of_another(note: &str) -> Result<Receipt> {
    Ok(Receipt { id: note.len() as i64 })
}

#[workflow]
async fn checkout(ctx: &WorkflowContext) -> Result<()> {
    with_a_wrong_type(ctx, "a").await?;
    with_an_unknown_name(ctx, "a").await?;
    without_the_output(ctx, "a").await?;
    with_an_unknown_field(ctx, "a").await?;
    with_the_type_of_another(ctx, "a").await?;
    with_state(ctx).await?;
    Ok(())
}

fn main() {}
