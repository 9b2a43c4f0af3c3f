//! Steps undo steps, by a path or by a call.
#![deny(unused)]

use forge_wf::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    id: String,
    cents: u64,
}

#[derive(Serialize, Deserialize)]
pub struct Hold(String);

/// Takes the output alone, and what only a step has.
#[step]
pub async fn release_stock(ctx: &StepContext, #[state] shelf: &String, hold: &Hold) -> Result<()> {
    let _ = (ctx.attempt(), shelf, &hold.0);
    Ok(())
}

#[step(compensate = release_stock, retry(max = 5, backoff = "200ms..30s"), timeout = "30s")]
pub async fn reserve_stock(#[state] shelf: &String, sku: &str, qty: u32) -> Result<Hold> {
    Ok(Hold(format!("{shelf} {sku} {qty}")))
}

/// Takes the inputs too: what is borrowed there may be owned here, and the other way round.
#[step]
async fn unship(
    to: String,
    sizes: Vec<u8>,
    note: Option<String>,
    order: &Order,
    more: Option<&[u8]>,
    parcel: Option<&str>,
) -> Result<()> {
    let _ = (to, sizes, note, &order.id, more, parcel);
    Ok(())
}

#[step(compensate = self::unship)]
async fn ship(to: &str, sizes: &[u8], note: Option<&str>, order: Order, more: Option<Vec<u8>>) -> Result<String> {
    let _ = (sizes, note, order.cents, more);
    Ok(to.to_owned())
}

/// Can be called where nobody knows whether the step was done.
#[step]
async fn forget(receipt: Option<Receipt>) -> Result<()> {
    let _ = receipt.map(|receipt| receipt.id);
    Ok(())
}

#[derive(Serialize, Deserialize)]
pub struct Receipt {
    id: i64,
    lines: Vec<String>,
}

#[step(compensate = forget)]
async fn remember() -> Result<Receipt> {
    Ok(Receipt { id: 1, lines: Vec::new() })
}

/// An output that is an `Option` is no missing output.
#[step]
async fn close(door: Option<u8>) -> Result<()> {
    let _ = door;
    Ok(())
}

#[step(compensate = close)]
async fn open() -> Result<Option<u8>> {
    Ok(None)
}

#[step]
async fn refund(#[state] rate: &u64, id: i64, cents: u64, note: &str, lines: &[String]) -> Result<()> {
    let _ = (rate, id, cents, note, lines);
    Ok(())
}

#[step(compensate = refund(output.id, order.cents, note, &output.lines))]
async fn charge(ctx: &StepContext, #[state] rate: &u64, order: Order, note: &str, mut r#type: u8) -> Result<Receipt> {
    r#type += 1;
    let lines = vec![note.to_owned(), r#type.to_string()];
    Ok(Receipt { id: i64::from(ctx.attempt()), lines: if order.cents > *rate { lines } else { Vec::new() } })
}

/// An argument may have the name of the step, and the call may hide what it uses.
#[step(compensate = refund(1, refund, &format!("{output} {note:?}"), std::slice::from_ref(&owner),))]
async fn pay(refund: u64, note: Option<&str>, owner: String) -> Result<u64> {
    let _ = (note, owner);
    Ok(refund)
}

/// Whatever its arguments are called, they are not what the expansion calls its own.
#[step(compensate = refund(ctx, read, args, recorded))]
async fn own_names(ctx: i64, args: &str, recorded: &[String], read: u64, call: Option<&[u8]>) -> Result<()> {
    let _ = (ctx, args, recorded, read, call);
    Ok(())
}

#[step]
async fn undo_nothing() -> Result<()> {
    Ok(())
}

#[step(compensate = undo_nothing())]
async fn nothing() -> Result<()> {
    Ok(())
}

/// Steps may undo themselves and each other.
#[step(compensate = toggle)]
async fn toggle(on: bool) -> Result<bool> {
    Ok(!on)
}

#[step(compensate = down)]
async fn up(by: u32) -> Result<u32> {
    Ok(by)
}

#[step(compensate = up(output))]
async fn down(by: u32) -> Result<u32> {
    Ok(by)
}

mod elsewhere {
    use forge_wf::prelude::*;

    pub mod erase {}

    #[step(marker = Erase)]
    pub async fn erase(text: String) -> Result<()> {
        let _ = text;
        Ok(())
    }
}

mod renamed {
    use forge_wf::prelude::*;

    use super::elsewhere::{Erase, erase};

    #[step(compensate = erase as Erase)]
    pub async fn write(text: &str) -> Result<String> {
        Ok(text.to_owned())
    }

    #[step(compensate = erase as Erase(format!("{output}{text}")))]
    pub async fn append(text: &str) -> Result<String> {
        Ok(text.to_owned())
    }
}

macro_rules! undoable {
    ($undone:ident, $undo:ident) => {
        #[step]
        async fn $undo(all: u64) -> Result<()> {
            let _ = all;
            Ok(())
        }

        #[step(compensate = $undo(output + number))]
        async fn $undone(number: u64) -> Result<u64> {
            Ok(number)
        }
    };
}

undoable!(add, subtract);

#[workflow]
async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<()> {
    reserve_stock(ctx, &order.id, 1).await?;
    ship(ctx, "Bern", &[1], None, order.clone(), None).await?;
    remember(ctx).await?;
    open(ctx).await?;
    charge(ctx, order, "thanks", 1).await?;
    pay(ctx, 7, Some("x"), String::new()).await?;
    own_names(ctx, 1, "a", &[], 1, None).await?;
    nothing(ctx).await?;
    toggle(ctx, true).await?;
    up(ctx, 1).await?;
    renamed::write(ctx, "a").await?;
    renamed::append(ctx, "a").await?;
    add(ctx, 1).await?;
    Ok(())
}

fn main() {
    #[step]
    async fn inner_undo(number: u8) -> Result<()> {
        let _ = number;
        Ok(())
    }

    #[step(compensate = inner_undo(output))]
    async fn inner() -> Result<u8> {
        Ok(1)
    }

    #[workflow]
    async fn inside(ctx: &WorkflowContext) -> Result<u8> {
        inner(ctx).await
    }

    let _ = (checkout::SIGNATURE, inside::SIGNATURE);
}
