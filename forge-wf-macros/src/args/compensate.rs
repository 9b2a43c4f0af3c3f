//! Reads `compensate = refund` and `compensate = refund(output.id)` of a step or workflow.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, Path, Token, parenthesized};

use super::NamedStep;
use super::entry::{Entry, Value};
use crate::check::Errors;
use crate::shape;

/// What undoes a step, or a child run.
#[derive(Debug)]
pub(crate) struct Compensate {
    /// The compensating step. `refund as Refund`, also before a call's parentheses, where its type has another name.
    pub(crate) step: NamedStep,
    /// What the call form gives it.
    pub(crate) call: Option<Punctuated<Expr, Token![,]>>,
}

impl Compensate {
    /// The type of the compensating step.
    pub(crate) fn marker(&self) -> &Path {
        self.step.marker.as_ref().unwrap_or(&self.step.call)
    }

    /// The canonical text of what the call gives, for the digest. A trailing comma says nothing.
    pub(crate) fn canonical(&self) -> String {
        let given = self.call.iter().flatten().map(|given| shape::canonical(&given.to_token_stream()));
        given.collect::<Vec<_>>().join(",")
    }

    /// The user's own `output`, if the call speaks of it: what it names is declared as this token was written.
    pub(crate) fn output(&self) -> Option<Ident> {
        find(self.call.to_token_stream(), "output")
    }
}

impl Parse for Compensate {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let step = input.parse()?;
        let call = if input.peek(syn::token::Paren) {
            let inside;
            parenthesized!(inside in input);
            Some(Punctuated::parse_terminated(&inside)?)
        } else {
            None
        };
        Ok(Self { step, call })
    }
}

/// Reads it.
pub(super) fn compensate(entry: &Entry, errors: &mut Errors) -> Option<Compensate> {
    let expected = "expected the path of a step, or a call of one: write `compensate = refund` or \
                    `compensate = refund(output.id)`";
    match &entry.value {
        Value::Is(tokens) => match syn::parse2(tokens.clone()) {
            Ok(compensate) => return Some(compensate),
            Err(_) => errors.add(tokens, expected),
        },
        Value::None | Value::List(_) => errors.add(&entry.key, expected),
    }
    None
}

fn find(tokens: TokenStream, word: &str) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) => (ident == word).then_some(ident),
        TokenTree::Group(group) => find(group.stream(), word),
        _ => None,
    })
}
