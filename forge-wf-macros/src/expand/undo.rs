//! Writes what undoes a step or a child run, as the attribute's `compensate = ..` says.
//!
//! The path form is all in the library: both sides are known by their types. The call form becomes a function that
//! evaluates the user's call, so that rustc checks it as any other.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{Target, local, mixed};
use crate::args::Compensate;

/// What a digest says of how its owner is undone, to be put into a sequence; nothing if it is not.
pub(super) fn digests(target: &Target, compensate: Option<&Compensate>) -> Option<TokenStream> {
    let private = &target.private;
    let compensate = compensate?;
    let (other, given) = (known(private, compensate, "INTERFACE"), compensate.canonical());
    Some(quote_spanned! {mixed()=>
        #private::digest::text("compensate"),
        #other,
        #private::digest::text(#given),
    })
}

/// The parameters of what is undone, for the user's call.
pub(super) struct Inputs {
    /// Reads what was recorded, from `args`.
    pub(super) read: TokenStream,
    /// Gives it the names that the user's call knows.
    pub(super) lets: TokenStream,
}

/// Items of the definition, and its `undo`.
pub(super) fn undo(
    target: &Target,
    compensate: Option<&Compensate>,
    inputs: impl FnOnce() -> Inputs,
) -> (TokenStream, TokenStream) {
    let Target { private, marker, .. } = target;
    let Some(compensate) = compensate else {
        return (TokenStream::new(), quote_spanned!(mixed()=> ::core::option::Option::None));
    };
    let Some(given) = &compensate.call else {
        let (by, name) = (compensate.marker(), &compensate.step.call);
        // The path form needs the type only; who imports both names uses both.
        let named = compensate.step.marker.as_ref().map(|_| quote_spanned!(mixed()=> let _ = #name::<#private::Root>;));
        let undo = quote_spanned! {mixed()=>
            ::core::option::Option::Some({ #named #private::undone_by::<(#by), #marker, _>() })
        };
        return (TokenStream::new(), undo);
    };
    let step = known(private, compensate, "definition");
    let undo = quote_spanned! {mixed()=>
        ::core::option::Option::Some(#private::UndoDefinition {
            step: #step,
            args: |args, output| #private::called(args, output, __forge_wf_undo),
        })
    };
    (evaluated(target, compensate, &quote!(#given), inputs()), undo)
}

/// A function of what was recorded of the inputs and of the output, that makes the user's call, and keeps what it asks for.
fn evaluated(target: &Target, compensate: &Compensate, given: &TokenStream, inputs: Inputs) -> TokenStream {
    let (Target { private, marker, .. }, quiet) = (target, super::quiet());
    let (by, name) = (compensate.marker(), &compensate.step.call);
    let (ctx, written, Inputs { read, lets }) = (local("ctx"), local("written"), inputs);
    // What rustc says of the call and of the step is said of the user's path; and once, which takes the very same span.
    let path = name.segments.last().map_or_else(mixed, |last| last.ident.span());
    let at = path.resolved_at(mixed());
    let (call, step) = (syn::Ident::new("call", at), syn::Ident::new("step", at));
    let looked_up = quote_spanned!(path=> <#by as #private::StepFunction<_, _>>::of(#name));
    let output = compensate.output().unwrap_or_else(|| syn::Ident::new("output", proc_macro2::Span::call_site()));
    // The function is looked up before the user's names are there, since one of these may be called the same.
    quote_spanned! {mixed()=>
        #[allow(unused_variables, unused_mut)]
        #quiet
        fn __forge_wf_undo(
            args: &#private::Payload,
            recorded: &#private::Payload,
        ) -> ::core::result::Result<#private::Payload, #private::UndoError> {
            let (#call, #step) = #looked_up;
            #read
            let #ctx = #private::scratch_context();
            let #output = #private::undone_output::<#marker>(recorded)?;
            #lets
            let #written = #private::written(&#call(&#ctx, #given), #step);
            #written
        }
    }
}

/// Something of the compensating step, without a word of its own where that is no step. In parentheses its path can only
/// be a type, so a function that is no step is reported once and as that.
fn known(private: &TokenStream, compensate: &Compensate, what: &str) -> TokenStream {
    let (by, what) = (compensate.marker(), local(what));
    quote_spanned!(mixed()=> { use #private::NoCompensation as _; <#private::Compensation<(#by)>>::#what })
}
