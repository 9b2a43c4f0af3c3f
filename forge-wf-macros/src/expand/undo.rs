//! Writes what undoes a step, as the attribute's `compensate = ..` says.
//!
//! The path form is all in the library: both steps are known by their types. The call form becomes a function that
//! evaluates the user's call, so that rustc checks it as any other.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};

use super::step::{argument_name, read_argument};
use super::{Target, local, mixed};
use crate::args::Compensate;
use crate::model::{Function, Role};

/// The digest of a step, which its callers rely on: its interface, and how it is undone.
pub(super) fn digest(target: &Target, compensate: Option<&Compensate>) -> TokenStream {
    let Target { private, marker, .. } = target;
    let own = quote_spanned!(mixed()=> <#marker as #private::Step>::INTERFACE);
    let Some(compensate) = compensate else { return own };
    let (other, given) = (known(private, compensate, "INTERFACE"), compensate.canonical());
    quote_spanned! {mixed()=>
        #private::digest::sequence(&[
            #own,
            #private::digest::text("compensate"),
            #other,
            #private::digest::text(#given),
        ])
    }
}

/// Items of the step's definition, and its `undo`.
pub(super) fn undo(
    target: &Target,
    compensate: Option<&Compensate>,
    function: &Function,
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
    (evaluated(target, compensate, &quote!(#given), function), undo)
}

/// A function of recorded arguments and output that makes the user's call, and keeps what it asks for.
fn evaluated(target: &Target, compensate: &Compensate, given: &TokenStream, function: &Function) -> TokenStream {
    let (Target { private, marker, .. }, quiet) = (target, super::quiet());
    let (by, name) = (compensate.marker(), &compensate.step.call);
    let (read, ctx, written) = (local("read"), local("ctx"), local("written"));
    // What rustc says of the call and of the step is said of the user's path; and once, which takes the very same span.
    let path = name.segments.last().map_or_else(mixed, |last| last.ident.span());
    let at = path.resolved_at(mixed());
    let (call, step) = (syn::Ident::new("call", at), syn::Ident::new("step", at));
    let looked_up = quote_spanned!(path=> <#by as #private::StepFunction<_, _>>::of(#name));
    let output = compensate.output().unwrap_or_else(|| syn::Ident::new("output", proc_macro2::Span::call_site()));
    let (mut held, mut takes, mut lets) = (Vec::new(), Vec::new(), Vec::new());
    for (n, param) in function.of_role(Role::Argument).enumerate() {
        let one = format_ident!("held_{n}", span = mixed());
        let (take, pass) = read_argument(&one, param);
        let (name, text) = (param.name(), argument_name(param));
        takes.push(quote_spanned!(mixed()=> #read.#take::<#marker, #n>(#text)?));
        lets.push(quote_spanned!(mixed()=> let #name = #pass;));
        held.push(one);
    }
    let read_all = (!held.is_empty()).then(|| {
        quote_spanned! {mixed()=>
            let (#(#held,)*) = {
                let mut #read = #private::ReadArguments::of(args)?;
                (#(#takes,)*)
            };
        }
    });
    // The function is looked up before the user's names are there, since one of these may be called the same.
    quote_spanned! {mixed()=>
        #[allow(unused_variables)]
        #quiet
        fn __forge_wf_undo(
            args: &#private::Payload,
            recorded: &#private::Payload,
        ) -> ::core::result::Result<#private::Payload, #private::UndoError> {
            let (#call, #step) = #looked_up;
            #read_all
            let #ctx = #private::scratch_context();
            let #output = #private::undone_output::<#marker>(recorded)?;
            #(#lets)*
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
