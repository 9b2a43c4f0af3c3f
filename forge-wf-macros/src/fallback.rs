//! After an error in the signature still emits the item, so that the user reads one message, not twenty.
//!
//! Takes what could be understood; hands on a function that accepts any arguments, the type, and trait impls without
//! content. The body is left out: it belongs to a signature that is wrong. Never runs, since nothing compiles.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Type;

use crate::args::Kind;
use crate::expand::{self, Target, mixed};
use crate::model::{Function, Role};
use crate::shape;

/// The item, as well as it can be.
pub(crate) fn expand(kind: Kind, target: &Target, function: &Function) -> TokenStream {
    let Function { cfgs, .. } = function;
    let Target { private, marker, .. } = target;
    let type_item = target.type_item(kind, function);
    let part = expand::contract::part(private, "Step", "", "", &quote!(0));
    let rest = match kind {
        Kind::Step => step(target, function),
        Kind::Workflow => workflow(target, function),
        Kind::Helper => helper(target, function),
    };
    quote_spanned! {mixed()=>
        #type_item
        #(#cfgs)*
        impl #private::Callee for #marker {
            const DIGEST: ::core::primitive::u128 = 0;
            const PART: #private::parts::Part = #part;
        }
        #rest
    }
}

fn step(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, marker, ident }, Function { cfgs, outer, vis, .. }) = (target, function);
    let types: Vec<_> = (0..function.of_role(Role::Argument).count()).map(|n| format_ident!("A{n}")).collect();
    let (output, error) = ends(private, function);
    quote_spanned! {mixed()=>
        #(#cfgs)*
        #(#outer)*
        #[allow(dead_code)]
        #vis fn #ident<'a, W: #private::Uses<#marker> #(, #types)*>(
            ctx: &'a #private::WorkflowContext<W> #(, _: #types)*
        ) -> #private::StepCall<'a, #marker> {
            #private::StepCall::new(ctx, #private::Arguments::new())
        }
        #(#cfgs)*
        impl #private::Step for #marker {
            type Inputs = #private::Unknown;
            type Output = #output;
            type Error = #error;
            const INTERFACE: ::core::primitive::u128 = 0;
            const DEFINITION: &'static #private::StepDefinition = loop {};
        }
    }
}

fn workflow(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, marker, ident }, Function { cfgs, outer, vis, .. }) = (target, function);
    let mut inputs = function.of_role(Role::Argument).filter(|param| !is_open(&param.ty));
    let input = inputs.next().map_or_else(|| quote!(()), |param| param.ty.to_token_stream());
    let param = (function.of_role(Role::Argument).count() > 0).then(|| quote!(, _: #input));
    let (output, _) = ends(private, function);
    quote_spanned! {mixed()=>
        #(#cfgs)*
        #(#outer)*
        #[allow(dead_code)]
        #vis fn #ident<'a, W: #private::Uses<#marker>>(
            _: &'a #private::WorkflowContext<W> #param
        ) -> #private::ChildCall<'a, #marker> {
            loop {}
        }
        #(#cfgs)*
        impl #private::Workflow for #marker {
            type Input = #input;
            type Output = #output;
            const DEFINITION: &'static #private::WorkflowDefinition = loop {};
        }
        #(#cfgs)*
        impl #private::Undone for #marker {
            type Inputs = #private::Unknown;
            type Output = #output;
            fn kept() -> #private::Kept {
                loop {}
            }
        }
        #(#cfgs)*
        impl #private::Registered for #marker {
            const REGISTRATION: #private::Registration = loop {};
        }
    }
}

fn helper(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, ident, .. }, Function { cfgs, outer, vis, sig, .. }) = (target, function);
    let types = (1..function.params.len()).map(|n| format_ident!("A{n}"));
    let output = if sig.generics.params.is_empty() { sig.output.to_token_stream() } else { TokenStream::new() };
    let types: Vec<_> = types.collect();
    quote_spanned! {mixed()=>
        #(#cfgs)*
        #(#outer)*
        #[allow(dead_code)]
        #vis async fn #ident<W #(, #types)*>(_: &#private::WorkflowContext<W> #(, _: #types)*) #output {
            loop {}
        }
    }
}

/// `type Output` and `type Error` of a step or workflow; of a wrong return type what it probably meant.
fn ends(private: &TokenStream, function: &Function) -> (TokenStream, TokenStream) {
    let failure = quote!(#private::Failure);
    match &function.returns {
        Some(ty) if is_open(ty) || is_generic(ty, function) => (quote!(()), failure),
        Some(ty) if !shape::names_a_result(ty) => (ty.to_token_stream(), failure),
        Some(_) => expand::ends(private, function),
        None => (quote!(()), failure),
    }
}

/// Whether a type names a generic parameter of the function.
fn is_generic(ty: &Type, function: &Function) -> bool {
    let params: Vec<_> = function.sig.generics.type_params().map(|param| param.ident.to_string()).collect();
    let mut words = Vec::new();
    words_of(ty.to_token_stream(), &mut words);
    words.iter().any(|word| params.contains(word))
}

fn words_of(tokens: TokenStream, words: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Group(group) => words_of(group.stream(), words),
            _ => {}
        }
    }
}

/// Whether a type cannot stand in an associated type.
fn is_open(ty: &Type) -> bool {
    shape::impl_trait_within(ty).is_some() || shape::borrow_within(ty).is_some()
}
