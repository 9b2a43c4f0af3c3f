//! Writes: an attribute and its item in, expanded code out, through `::forge_wf::__private` only.
//!
//! Holds what the three attributes share; each has a file of its own. Everything written here is spanned as
//! mixed-site, so our locals never meet the user's names, and lints take it for what it is: not the user's code. What
//! the user may be told about (a type, a path) keeps the user's token.

mod helper;
mod step;
mod workflow;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Item, ItemFn, Pat, PathArguments, Token, Type, TypePath};

use crate::args::{Args, Kind};
use crate::check::{self, Errors};
use crate::model::{Function, Parameter};
use crate::scan::{self, Call};
use crate::{fallback, shape};

/// One attribute on one item.
pub(crate) fn attribute(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(kind, args, &mut errors);
    let function = match function(kind, item.clone(), &mut errors) {
        Some(function) => function,
        None => {
            let errors = errors.into_tokens();
            return quote!(#errors #item);
        }
    };
    check::signature(kind, &function, &mut errors);
    let target = Target::new(&args, &function);
    let expanded = match kind {
        _ if errors.is_broken() => fallback::expand(kind, &target, &function),
        Kind::Step => step::expand(&target, &args, &function),
        Kind::Workflow => workflow::expand(&target, &args, &function),
        Kind::Helper => helper::expand(&target, &args, &function),
    };
    let errors = errors.into_tokens();
    quote!(#errors #expanded)
}

/// The item as a free function; without one it is emitted as it is.
fn function(kind: Kind, item: TokenStream, errors: &mut Errors) -> Option<Function> {
    let message = format!("`#[{kind}]` belongs on an `async fn`");
    let item: ItemFn = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Fn(item)) => item,
        Ok(other) => {
            errors.add(other.to_token_stream().into_iter().next(), message);
            return None;
        }
        Err(_) => match syn::parse2(item.clone()) {
            Ok(item) => item,
            Err(error) => {
                errors.add(item.into_iter().next(), format!("{message}: {error}"));
                return None;
            }
        },
    };
    if let Some(FnArg::Receiver(receiver)) = item.sig.inputs.first() {
        let hint = if kind == Kind::Step { ", and hand it what it needs as `#[state]`" } else { "" };
        errors.add(receiver, format!("a {kind} is a free function without `self`: move it out of the `impl`{hint}"));
        return None;
    }
    Some(Function::read(item))
}

/// The names an expansion is about.
pub(crate) struct Target {
    /// The door to the library.
    pub(crate) private: TokenStream,
    /// The function users call.
    pub(crate) ident: Ident,
    /// The type beside it.
    pub(crate) marker: Ident,
}

impl Target {
    fn new(args: &Args, function: &Function) -> Self {
        let root = args.root.as_ref().map_or_else(|| quote!(::forge_wf), ToTokens::to_token_stream);
        let ident = function.sig.ident.clone();
        let marker = args.marker.clone().unwrap_or_else(|| ident.clone());
        Self { private: quote!(#root::__private), ident, marker }
    }

    /// The type beside the function.
    pub(crate) fn type_item(&self, kind: Kind, function: &Function) -> TokenStream {
        let (Self { marker, .. }, Function { cfgs, vis, .. }) = (self, function);
        let doc = format!("The {kind} `{}` as a type; the function as it was written is its `body`.", function.name());
        quote_spanned! {mixed()=>
            #(#cfgs)*
            #[doc = #doc]
            #[allow(non_camel_case_types, dead_code)]
            #vis enum #marker {}
        }
    }

    /// The function as it was written, on the type.
    pub(crate) fn body_item(&self, function: &Function, params: &[TokenStream]) -> TokenStream {
        let Function { cfgs, inner, vis, sig, block, .. } = function;
        let (marker, generics, output) = (&self.marker, &sig.generics, &sig.output);
        let (r#fn, clause) = (sig.fn_token, &generics.where_clause);
        quote_spanned! {mixed()=>
            #(#cfgs)*
            impl #marker {
                #(#inner)*
                /// The function as it was written, without a runtime.
                #vis async #r#fn body #generics (#(#params),*) #output #clause #block
            }
        }
    }

    /// What both steps and workflows are to the registry.
    pub(crate) fn registered(&self, function: &Function, registration: &TokenStream) -> TokenStream {
        let (Self { private, marker, .. }, Function { cfgs, .. }) = (self, function);
        quote_spanned! {mixed()=>
            #(#cfgs)*
            impl #private::Registered for #marker {
                const REGISTRATION: #private::Registration = #registration;
            }
            #(#cfgs)*
            #private::inventory::submit! { <#marker as #private::Registered>::REGISTRATION }
        }
    }

    /// `Place { .. }` of the attribute.
    pub(crate) fn place(&self) -> TokenStream {
        let private = &self.private;
        quote_spanned! {mixed()=>
            #private::Place { file: ::core::file!(), line: ::core::line!(), column: ::core::column!() }
        }
    }

    /// The proofs that the signature names what the body calls.
    pub(crate) fn uses(&self, function: &Function, calls: &[Call]) -> TokenStream {
        let (Self { private, marker, .. }, Function { cfgs, .. }) = (self, function);
        let proofs = calls.iter().map(|Call { path, cfgs: when }| {
            let when = cfg_attribute(when);
            // In parentheses it can only be a type, so a function that is no helper is reported once and as that.
            quote_spanned!(mixed()=> #(#cfgs)* #when impl #private::Uses<(#path)> for #marker {})
        });
        proofs.collect()
    }

    /// The digest of the set of what the body calls. A call of itself says nothing new, and would be a const cycle.
    pub(crate) fn digest_of_calls(&self, calls: &[Call]) -> TokenStream {
        let private = &self.private;
        let marker = self.marker.to_string();
        let others: Vec<&Call> = calls.iter().filter(|call| call.key() != marker).collect();
        let paths = others.iter().map(|call| &call.path);
        let when = others.iter().map(|call| cfg_attribute(&call.cfgs));
        quote_spanned! {mixed()=>
            #private::digest::set([#(#when <#paths as #private::Callee>::DIGEST),*])
        }
    }
}

/// What a body calls: what the scan finds, and what the attribute names.
fn calls(target: &Target, args: &Args, function: &Function) -> Vec<Call> {
    let mut found = match function.params.first().and_then(Parameter::name) {
        Some(ctx) => scan::calls(function.block.to_token_stream(), ctx),
        None => Vec::new(),
    };
    scan::rename(&mut found, &target.ident.clone().into(), &target.marker.clone().into());
    for named in &args.steps {
        let marker = named.marker.as_ref().unwrap_or(&named.call);
        scan::rename(&mut found, &named.call, marker);
        scan::add(&mut found, Call::named(marker.clone()));
    }
    found
}

fn cfg_attribute(cfgs: &[Vec<TokenStream>]) -> TokenStream {
    let any = cfgs.iter().map(|all| quote!(all(#(#all),*)));
    if cfgs.is_empty() { TokenStream::new() } else { quote!(#[cfg(any(#(#any),*))]) }
}

/// Parameter one of a workflow or helper, with the type that is the proof. The user's own path to `WorkflowContext` is
/// kept, or their import would be reported as unused.
fn context_parameter(target: &Target, param: &Parameter) -> TokenStream {
    let (Target { private, marker, .. }, Parameter { attrs, pat, ty, .. }) = (target, param);
    let inner = match shape::peel(ty) {
        Type::Reference(reference) => shape::peel(&reference.elem),
        other => other,
    };
    let path = match inner {
        Type::Path(TypePath { qself: None, path, .. }) if shape::ends_with(inner, "WorkflowContext") => {
            let mut path = path.clone();
            path.segments.last_mut().expect("it has a last segment, which was compared").arguments =
                PathArguments::None;
            path.into_token_stream()
        }
        _ => quote_spanned!(mixed()=> #private::WorkflowContext),
    };
    quote_spanned!(mixed()=> #(#attrs)* #pat: &#path<#marker>)
}

fn parameter(Parameter { attrs, pat, ty, .. }: &Parameter) -> TokenStream {
    quote!(#(#attrs)* #pat: #ty)
}

/// A name for a parameter of the function users call: theirs, or one of ours if it is a pattern.
fn outer_name(param: &Parameter, otherwise: &str) -> Ident {
    match &param.pat {
        Pat::Ident(pat) => pat.ident.clone(),
        _ => local(otherwise),
    }
}

/// `<returned as Returned>::which`, blamed on `blame`.
pub(crate) fn returned(private: &TokenStream, ty: &Type, blame: &Type, which: &str) -> TokenStream {
    let first = blame.to_token_stream().into_iter().next().map_or_else(|| ty.span(), |token| token.span());
    let last = blame.to_token_stream().into_iter().last().map_or_else(|| ty.span(), |token| token.span());
    let which = Ident::new(which, last);
    let open: Token![<] = Token![<](first);
    quote!(#open #ty as #private::Returned>::#which)
}

/// `type Output` and `type Error`, each blamed on its own token if it is written out.
pub(crate) fn ends(private: &TokenStream, function: &Function) -> (TokenStream, TokenStream) {
    let Some(ty) = &function.returns else { return (quote!(()), quote!(#private::Failure)) };
    let (value, error) = shape::value_and_error(ty);
    (returned(private, ty, value.unwrap_or(ty), "Value"), returned(private, ty, error.unwrap_or(ty), "Error"))
}

/// The canonical text of what a function returns when it succeeds.
fn output_text(function: &Function) -> String {
    let Some(ty) = &function.returns else { return String::from("()") };
    let value = shape::value_and_error(ty).0.unwrap_or(ty);
    shape::canonical(&value.to_token_stream())
}

/// A name that does not meet the user's.
fn local(name: &str) -> Ident {
    Ident::new(name, mixed())
}

pub(crate) fn mixed() -> Span {
    Span::mixed_site()
}

/// As [`mixed`], but blamed on the function's name: for what must be `Send`.
fn at_name(target: &Target) -> Span {
    target.ident.span().resolved_at(mixed())
}

/// Lints are for what users write, and the function they call is not it.
pub(crate) fn quiet() -> Attribute {
    syn::parse_quote!(#[allow(clippy::all, clippy::pedantic, clippy::nursery)])
}
