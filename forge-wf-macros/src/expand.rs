//! Writes: an attribute and its item in, expanded code out, through `::forge_wf::__private` only.
//!
//! Holds what the three attributes share; each has a file of its own. Everything written here is spanned as
//! mixed-site, so our locals never meet the user's names, and lints take it for what it is: not the user's code. What
//! the user may be told about (a type, a path) keeps the user's token.

pub(crate) mod contract;
mod helper;
mod state;
mod step;
mod undo;
mod workflow;

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Item, ItemFn, Pat, PathArguments, Token, Type, TypePath};

use crate::args::{Args, Kind, NamedEvent};
use crate::check::{self, Errors};
use crate::model::{Function, Parameter};
use crate::scan::{self, Call, Found};
use crate::{fallback, lint, shape};

/// One attribute on one item.
pub(crate) fn attribute(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(&kind.options(), args, &mut errors);
    let mut function = match function(kind, item.clone(), &mut errors) {
        Some(function) => function,
        None => {
            let errors = errors.into_tokens();
            return quote!(#errors #item);
        }
    };
    check::signature(kind, &function, &mut errors);
    check::compensation(&args, &function, &mut errors);
    let target = Target::new(&args, &function);
    let calls = calls(kind, &target, &args, &mut function, &mut errors);
    if kind != Kind::Step {
        lint::check(&function, &mut errors);
    }
    let expanded = match kind {
        _ if errors.is_broken() => fallback::expand(kind, &target, &function),
        Kind::Step => step::expand(&target, &args, &function),
        Kind::Workflow => workflow::expand(&target, &args, &function, &calls),
        Kind::Helper => helper::expand(&target, &args, &function, &calls),
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
        let proofs = calls.iter().map(|Call { path, cfgs: when, .. }| {
            let when = cfg_attribute(when);
            // In parentheses it can only be a type, so a function that is no helper is reported once and as that.
            quote_spanned!(mixed()=> #(#cfgs)* #when impl #private::Uses<(#path)> for #marker {})
        });
        proofs.collect()
    }

    /// The names of events, for each type of payload.
    pub(crate) fn named_events(&self, function: &Function, events: &[NamedEvent]) -> TokenStream {
        let (Self { private, marker, .. }, Function { cfgs, .. }) = (self, function);
        let mut by_type: Vec<(String, &Type, Vec<&str>)> = Vec::new();
        for NamedEvent { name, ty } in events {
            let text = shape::canonical(&ty.to_token_stream());
            match by_type.iter_mut().find(|known| known.0 == text) {
                Some((_, _, names)) => names.push(name),
                None => by_type.push((text, ty, vec![name])),
            }
        }
        let impls = by_type.iter().map(|(_, ty, names)| {
            quote_spanned! {mixed()=>
                #(#cfgs)*
                impl #private::NamedEvents<(#ty)> for #marker {
                    const NAMES: &'static [&'static ::core::primitive::str] = &[#(#names),*];
                }
            }
        });
        impls.collect()
    }

    /// The digest of the set of what the body calls and waits for.
    pub(crate) fn digest_of_uses<'c>(
        &self,
        calls: impl IntoIterator<Item = &'c Call>,
        named_events: &[NamedEvent],
    ) -> TokenStream {
        let private = &self.private;
        let digests = self.of_calls(calls, "DIGEST");
        let named = named_events.iter().map(|event| self.digest_of_named(event));
        quote_spanned! {mixed()=>
            #private::digest::set([
                #(#digests,)*
                #(#named,)*
            ])
        }
    }

    /// A constant of each call and wait, as the elements of an array.
    fn of_calls<'c>(&self, calls: impl IntoIterator<Item = &'c Call>, what: &str) -> Vec<TokenStream> {
        let (private, what) = (&self.private, local(what));
        let of_call = |Call { path, cfgs, is_wait }: &Call| {
            let when = cfg_attribute(cfgs);
            if *is_wait {
                quote_spanned!(mixed()=> #when { use #private::NoEvent as _; <#private::WaitDigest<(#path)>>::#what })
            } else {
                quote_spanned!(mixed()=> #when <#path as #private::Callee>::#what)
            }
        };
        calls.into_iter().map(of_call).collect()
    }

    fn digest_of_named(&self, NamedEvent { name, ty }: &NamedEvent) -> TokenStream {
        let text = format!("event:{name}:{}", shape::canonical(&ty.to_token_stream()));
        typed(&self.private, &text, &format!("event:{name}"), &quote!(#ty))
    }
}

/// What a body calls and waits for: what the scan finds, and what the attribute names. A step's calls nothing.
///
/// A body whose waits are wrong, or may be because the attribute is, is emptied: or the compiler would say the same again
/// in other words.
fn calls(kind: Kind, target: &Target, args: &Args, function: &mut Function, errors: &mut Errors) -> Vec<Call> {
    let found = match function.params.first().and_then(Parameter::name) {
        Some(ctx) if kind != Kind::Step => scan::scan(function.block.to_token_stream(), ctx),
        _ => Found::default(),
    };
    if errors.is_empty() {
        check::waits(kind, args, function, &found, errors);
    }
    if !errors.is_empty() && found.has_waits() {
        function.block = syn::parse_quote!({ loop {} });
        function.inner.push(syn::parse_quote!(#[allow(unused)]));
        return Vec::new();
    }
    let mut calls = found.calls;
    scan::rename(&mut calls, &target.ident.clone().into(), &target.marker.clone().into());
    for named in &args.steps {
        let marker = named.marker.as_ref().unwrap_or(&named.call);
        scan::rename(&mut calls, &named.call, marker);
        scan::add(&mut calls, Call::named(marker.clone()));
    }
    for event in &args.events {
        scan::add(&mut calls, Call::named(event.clone()));
    }
    calls
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

/// `timeout = ".."`, as an `Option`.
fn timeout(args: &Args) -> TokenStream {
    match args.timeout.map(duration) {
        None => quote_spanned!(mixed()=> ::core::option::Option::None),
        Some(timeout) => quote_spanned!(mixed()=> ::core::option::Option::Some(#timeout)),
    }
}

fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote_spanned!(mixed()=> ::core::time::Duration::new(#seconds, #nanos))
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

/// The digest of something that carries a type: by its form if the user said what that is, else by `text`, which names it.
pub(crate) fn typed(private: &TokenStream, text: &str, name: &str, ty: &TokenStream) -> TokenStream {
    quote_spanned! {mixed()=>
        #private::typed(#text, #name, { use #private::NoSchema as _; <#private::SchemaOf<(#ty)>>::STRUCTURE })
    }
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
