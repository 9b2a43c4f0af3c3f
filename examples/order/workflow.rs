//! The workflow: reserve, charge, ship. Each step names the step that undoes it, and the workflow itself undoes nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use forge_wf::prelude::*;

/// What is ordered: the input of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// What.
    pub item: String,
    /// What it costs.
    pub cents: u64,
    /// The last step fails.
    pub lost: bool,
    /// How long each step takes, so that there is time to kill the program.
    pub slow: Duration,
}

/// Reserves, charges and ships. If one of them fails, what was done before is undone, newest first, from the journal: by this
/// process, or by any other after this one has died.
#[workflow(version = "1")]
pub async fn order(ctx: &WorkflowContext, order: Order) -> Result<String> {
    let shelf = reserve(ctx, &order.item, order.slow).await?;
    let payment = charge(ctx, order.cents, order.slow).await?;
    ship(ctx, &order, &shelf).await?;
    Ok(format!("{} from shelf {shelf}, paid with {}", order.item, payment.id))
}

/// Takes one off the shelf. Undone by the step that takes the same arguments and, last, what this one returned.
#[step(compensate = release)]
pub async fn reserve(ctx: &StepContext, #[state] books: &Books, item: &str, slow: Duration) -> Result<u32> {
    books.note(ctx, &format!("reserve {item}"), slow).await?;
    Ok(7)
}

/// Puts it back.
#[step(retry(max = 5, backoff = "200ms..5s"))]
pub async fn release(ctx: &StepContext, #[state] books: &Books, item: &str, slow: Duration, shelf: u32) -> Result<()> {
    books.note(ctx, &format!("put {item} back on shelf {shelf}"), slow).await
}

/// A payment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// Its id.
    pub id: String,
}

/// Takes the money. Undone by a call that picks what it needs from what this one was given and returned.
#[step(compensate = refund(&output.id, cents, slow))]
pub async fn charge(ctx: &StepContext, #[state] books: &Books, cents: u64, slow: Duration) -> Result<Payment> {
    books.note(ctx, &format!("charge {}", euros(cents)), slow).await?;
    Ok(Payment { id: String::from("payment-1") })
}

/// Gives the money back.
#[step(retry(max = 5, backoff = "200ms..5s"))]
pub async fn refund(
    ctx: &StepContext,
    #[state] books: &Books,
    payment: &str,
    cents: u64,
    slow: Duration,
) -> Result<()> {
    books.note(ctx, &format!("refund {} of {payment}", euros(cents)), slow).await
}

/// Sends the parcel, or finds that it is lost.
#[step]
pub async fn ship(ctx: &StepContext, #[state] books: &Books, order: &Order, shelf: &u32) -> Result<()> {
    books.note(ctx, &format!("ship {} from shelf {shelf}", order.item), order.slow).await?;
    if order.lost { Err(Failure::permanent("the parcel is lost").with_code("lost")) } else { Ok(()) }
}

fn euros(cents: u64) -> String {
    format!("{}.{:02} €", cents / 100, cents % 100)
}

/// What the shop does, one line each: a text file.
pub struct Books(PathBuf);

impl Books {
    /// Makes sure that it can be written before there is anything to write.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let books = Self(path);
        books.file()?;
        Ok(books)
    }

    fn file(&self) -> io::Result<File> {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot write to {}: {error}", self.0.display()));
        OpenOptions::new().create(true).append(true).open(&self.0).map_err(told)
    }

    /// Writes the line after `slow`. A crash before the journal has it writes it twice; what a real shop would hand on so that
    /// this is noticed is `ctx.idempotency_key()`.
    async fn note(&self, ctx: &StepContext, line: &str, slow: Duration) -> Result<()> {
        tokio::time::sleep(slow).await;
        let mut file = self.file()?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()?;
        let again = if ctx.attempt() > 1 { " (again)" } else { "" };
        println!("  {line}{again}");
        Ok(())
    }
}
