//! [`Undoes`]: the proof that a step can be called to undo another one, or a child run, and how it is then called.
//!
//! Takes what an attribute names, `#[step(compensate = release_stock)]`; hands on an [`UndoDefinition`]. Works
//! on JSON by name and decodes nothing: that the types fit was proven when it compiled. The other form of the attribute, a
//! call, is checked by rustc as any call; `macro_support` evaluates it.
//!
//! ```
//! use forge_wf::prelude::*;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Receipt {
//!     id: i64,
//! }
//!
//! #[step]
//! async fn release_stock(hold: String) -> Result<()> {
//!     println!("released {hold}");
//!     Ok(())
//! }
//!
//! #[step(compensate = release_stock)]
//! async fn reserve_stock(sku: &str, qty: u32) -> Result<String> {
//!     Ok(format!("{qty} of {sku}"))
//! }
//!
//! #[step]
//! async fn refund(receipt: i64, cents: u64) -> Result<()> {
//!     println!("paid {cents} of {receipt} back");
//!     Ok(())
//! }
//!
//! #[step(compensate = refund(output.id, cents))]
//! async fn charge(card: &str, cents: u64) -> Result<Receipt> {
//!     println!("{card} pays {cents}");
//!     Ok(Receipt { id: 1 })
//! }
//! ```

use std::collections::HashMap;
use std::marker::PhantomData;

use serde_json::value::RawValue;

use super::definition::{Kept, Step, Undone};
use crate::engine::definition::{StepDefinition, UndoArgs, UndoDefinition};
use crate::model::Payload;

/// Step `Self` can be called to undo `S`, a step or a workflow.
///
/// Compares the owned types of what both take, so a borrowed parameter takes what an owned one does. `How` is found by
/// inference, and only keeps the ways apart: at most one fits two steps. Each way looks at its types in its bounds and not
/// in its header, so that a misfit is told in the words below and not as a misfit of tuples.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot undo `{S}`",
    label = "cannot be called with what `{S}` returned",
    note = "a compensating step is a `#[step]` that takes the output, or all that `{S}` was given followed by the output; or write the call: `compensate = {Self}(output.id)`"
)]
pub trait Undoes<S: Undone, How>: Step {
    /// Whether it is given the inputs of `S` before the output.
    const TAKES_INPUTS: bool;
    /// Whether it can be called where nobody knows whether `S` was done, and so without an output.
    const IN_DOUBT: bool;
}

/// By the output alone.
pub struct ByOutput;
/// By the inputs, which are `I`, and the output.
pub struct ByInputs<I>(PhantomData<I>);
/// Like `How`, and the output may be missing.
pub struct InDoubt<How>(PhantomData<How>);
/// By a step that does not compile, which is told already.
pub struct ByBrokenStep;

/// The inputs of a step or workflow that does not compile.
pub enum Unknown {}

impl<C, S> Undoes<S, ByOutput> for C
where
    S: Undone,
    C: Step<Inputs = (S::Output,)>,
{
    const TAKES_INPUTS: bool = false;
    const IN_DOUBT: bool = false;
}

impl<C, S> Undoes<S, InDoubt<ByOutput>> for C
where
    S: Undone,
    C: Step<Inputs = (Option<S::Output>,)>,
{
    const TAKES_INPUTS: bool = false;
    const IN_DOUBT: bool = true;
}

impl<C, S> Undoes<S, ByBrokenStep> for C
where
    S: Undone,
    C: Step<Inputs = Unknown>,
{
    const TAKES_INPUTS: bool = false;
    const IN_DOUBT: bool = false;
}

/// Not without inputs: that is [`ByOutput`].
macro_rules! by_inputs {
    ($($input:ident),+) => {
        impl<C, S, $($input),+> Undoes<S, ByInputs<($($input,)+)>> for C
        where
            S: Undone<Inputs = ($($input,)+)>,
            C: Step<Inputs = ($($input,)+ S::Output,)>,
        {
            const TAKES_INPUTS: bool = true;
            const IN_DOUBT: bool = false;
        }

        impl<C, S, $($input),+> Undoes<S, InDoubt<ByInputs<($($input,)+)>>> for C
        where
            S: Undone<Inputs = ($($input,)+)>,
            C: Step<Inputs = ($($input,)+ Option<S::Output>,)>,
        {
            const TAKES_INPUTS: bool = true;
            const IN_DOUBT: bool = true;
        }
    };
}

by_inputs!(A0);
by_inputs!(A0, A1);
by_inputs!(A0, A1, A2);
by_inputs!(A0, A1, A2, A3);
by_inputs!(A0, A1, A2, A3, A4);
by_inputs!(A0, A1, A2, A3, A4, A5);
by_inputs!(A0, A1, A2, A3, A4, A5, A6);
by_inputs!(A0, A1, A2, A3, A4, A5, A6, A7);

/// `S` is undone by `C`, which is called with what `S` was given and has returned.
pub const fn undone_by<C: Undoes<S, How>, S: Undone, How>() -> UndoDefinition {
    UndoDefinition { step: definition_of::<C>, args: args_of::<C, S, How> }
}

fn definition_of<C: Step>() -> &'static StepDefinition {
    C::DEFINITION
}

fn args_of<C: Undoes<S, How>, S: Undone, How>(args: &Payload, output: Option<&Payload>) -> Option<UndoArgs> {
    if output.is_none() && !C::IN_DOUBT {
        return None;
    }
    let kept = if C::TAKES_INPUTS { S::kept() } else { Kept::Nothing };
    Some(renamed(args, kept, output.map_or("null", Payload::as_str), C::DEFINITION.arguments))
}

/// What was given and then the output, under these names. They are Rust identifiers, so they need no escaping.
fn renamed(args: &Payload, kept: Kept, output: &str, names: &[&str]) -> UndoArgs {
    let read: HashMap<&str, &RawValue>;
    let inputs = match kept {
        Kept::Nothing => Vec::new(),
        Kept::Whole => vec![args.as_str()],
        Kept::ByName(own) => {
            read = serde_json::from_str(args.as_str())
                .map_err(|error| format!("the recorded arguments cannot be read: {error}"))?;
            // A step that is called without an argument it has reads it as `null`.
            own.iter().map(|name| read.get(name).map_or("null", |raw| raw.get())).collect()
        }
    };
    assert_eq!(inputs.len() + 1, names.len(), "the types of both fit, and so do their numbers");
    let mut text = String::from("{");
    for (name, value) in names.iter().zip(inputs.into_iter().chain([output])) {
        if text.len() > 1 {
            text.push(',');
        }
        text.extend(["\"", name, "\":", value]);
    }
    text.push('}');
    Ok(Payload::from_json_text(text))
}
