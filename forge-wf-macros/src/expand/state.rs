//! Writes where a step's `#[state]` parameters come from.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Pat, Type};

use super::mixed;
use crate::model::Parameter;
use crate::shape;

/// What a `#[state]` parameter is filled from.
enum Held<'p> {
    /// `&T`
    Shared(&'p Type),
    /// `&dyn Trait`
    Dyn(&'p Type),
    /// `T`, cloned.
    Owned(&'p Type),
}

impl<'p> Held<'p> {
    fn of(ty: &'p Type) -> Self {
        match shape::peel(ty) {
            Type::Reference(reference) => match shape::peel(&reference.elem) {
                elem @ Type::TraitObject(_) => Self::Dyn(elem),
                elem => Self::Shared(elem),
            },
            other => Self::Owned(other),
        }
    }
}

/// How an attempt takes it, and how what is then held becomes what the body takes.
pub(super) fn fetch(
    private: &TokenStream,
    env: &syn::Ident,
    held: &syn::Ident,
    param: &Parameter,
) -> (TokenStream, TokenStream) {
    match Held::of(&param.ty) {
        Held::Shared(ty) => (quote_spanned!(mixed()=> #private::state::<#ty>(&#env)?), quote!(&#held)),
        Held::Dyn(ty) => (quote_spanned!(mixed()=> #private::dyn_state::<#ty>(&#env)?), quote!(&*#held)),
        Held::Owned(ty) => (
            quote_spanned!(mixed()=> <#ty as ::core::clone::Clone>::clone(&*#private::state::<#ty>(&#env)?)),
            quote!(#held),
        ),
    }
}

/// What `build()` must find.
pub(super) fn need(private: &TokenStream, param: &Parameter) -> TokenStream {
    let name = match &param.pat {
        Pat::Ident(pat) => syn::ext::IdentExt::unraw(&pat.ident).to_string(),
        _ => String::from("value"),
    };
    let (types, ty) = match Held::of(&param.ty) {
        Held::Shared(ty) | Held::Owned(ty) => (vec![quote!(#ty)], ty),
        Held::Dyn(ty) => (vec![quote!(::std::sync::Arc<#ty>), quote!(::std::boxed::Box<#ty>)], ty),
    };
    let text = shape::readable(ty);
    let hint = match types.len() {
        1 => format!(".state({name}), where `{name}` is a `{text}`"),
        _ => format!(".state({name}), where `{name}` is an `Arc<{text}>` or a `Box<{text}>`"),
    };
    quote_spanned! {mixed()=>
        #private::StateNeed {
            types: || ::std::vec::Vec::from([#(#private::type_id::<#types>()),*]),
            name: ::core::any::type_name::<#ty>,
            hint: #hint,
        }
    }
}
