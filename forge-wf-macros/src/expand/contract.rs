//! Writes what a contract is made of, in words, and the proof that it is the one the lock file holds.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};

use super::{Target, local, mixed};
use crate::args::{Args, NamedEvent};
use crate::lock::{self, Lock, Locked, LockedPart, Unit};
use crate::model::{Function, Role};
use crate::scan::Call;
use crate::shape::{self, Shape};

/// `Part { .. }` without parts of its own.
pub(crate) fn part(private: &TokenStream, kind: &str, name: &str, text: &str, digest: &TokenStream) -> TokenStream {
    part_of(private, kind, name, text, digest, &[])
}

/// `Part { .. }`.
pub(super) fn part_of(
    private: &TokenStream,
    kind: &str,
    name: &str,
    text: &str,
    digest: &TokenStream,
    parts: &[TokenStream],
) -> TokenStream {
    let kind = local(kind);
    quote_spanned! {mixed()=>
        #private::parts::Part {
            kind: #private::parts::PartKind::#kind,
            name: #name,
            text: #text,
            digest: #digest,
            parts: &[#(#parts),*],
        }
    }
}

/// The types of a step or workflow in words, as in `(order: Order) -> Receipt`.
pub(super) fn interface_text(function: &Function) -> String {
    let params: Vec<_> = function
        .of_role(Role::Argument)
        .map(|param| {
            let name = param.name().map_or_else(String::new, |name| format!("{name}: "));
            name + &Shape::of(&param.ty).canonical()
        })
        .collect();
    format!("({}) -> {}", params.join(", "), super::output_text(function))
}

/// How something is undone, in words.
pub(super) fn undone_text(args: &Args) -> Option<(String, String)> {
    let compensate = args.compensate.as_ref()?;
    let name = compensate.step.call.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
    let given = compensate.call.as_ref().map(|given| given.iter().map(shape::readable).collect::<Vec<_>>().join(", "));
    Some((name, given.map_or_else(String::new, |given| format!("({given})"))))
}

/// What a body calls and waits for, as parts.
pub(super) fn parts_of_uses<'c>(
    target: &Target,
    calls: impl IntoIterator<Item = &'c Call>,
    named_events: &[NamedEvent],
) -> Vec<TokenStream> {
    let mut parts = target.of_calls(calls, "PART");
    parts.extend(named_events.iter().map(|event| {
        let text = format!("({})", shape::canonical(&event.ty.to_token_stream()));
        part(&target.private, "Event", &event.name, &text, &target.digest_of_named(event))
    }));
    parts
}

/// `Contract { .. }` of a workflow.
pub(super) fn contract(private: &TokenStream, parts: &[TokenStream]) -> TokenStream {
    let Unit { package, target, .. } = lock::unit();
    quote_spanned! {mixed()=>
        #private::parts::Contract { package: #package, target: #target, parts: &[#(#parts),*] }
    }
}

/// Does not compile if the contract is not the one in the lock file.
pub(super) fn kept(target: &Target, function: &Function, name: &str, version: &str) -> TokenStream {
    let (Target { private, marker, ident }, Function { cfgs, .. }) = (target, function);
    let unit = lock::unit();
    let locked = match lock::find(&unit, name, version) {
        Lock::None => return TokenStream::new(),
        Lock::Unusable(message) => {
            let error = syn::Error::new(ident.span(), message).into_compile_error();
            return quote!(#(#cfgs)* #error);
        }
        Lock::Of(locked) => locked,
    };
    let file = format!("/{}", lock::NAME);
    let proof = locked.map(|Locked { algorithm, signature, parts }| {
        let parts = parts.iter().map(|LockedPart { kind, name, text, digest }| {
            let kind = local(kind);
            quote_spanned! {mixed()=>
                #private::parts::LockedPart {
                    kind: #private::parts::PartKind::#kind,
                    name: #name,
                    text: #text,
                    digest: #digest,
                }
            }
        });
        let krate = &unit.crate_name;
        let before = format!("workflow {name} version {version} is another one than {} says, and runs in flight rely on that:", lock::NAME);
        let after = format!(
            "\ngive the changed code a new `version` and keep the old function with `status = deprecated`; or, if no run of it can \
             be in flight, delete its entry from {} and write it anew: FORGE_WF_BLESS=1 cargo test",
            lock::NAME
        );
        let at = ident.span().resolved_at(mixed());
        quote_spanned! {at=>
            #(#cfgs)*
            const _: () = {
                const LOCKED: #private::parts::Locked<'static> =
                    #private::parts::Locked { algorithm: #algorithm, signature: #signature, parts: &[#(#parts),*] };
                const fn broken<const N: ::core::primitive::usize>() -> #private::message::Message<N> {
                    #private::parts::broken(
                        &LOCKED,
                        <#marker>::SIGNATURE,
                        <#marker as #private::Workflow>::DEFINITION.contract.parts,
                        #before,
                        #after,
                    )
                }
                const LEN: ::core::primitive::usize =
                    if #private::parts::is_in_crate(::core::module_path!(), #krate) { broken::<0>().len() } else { 0 };
                if LEN > 0 {
                    ::core::panic!("{}", broken::<LEN>().text());
                }
            };
        }
    });
    quote_spanned! {mixed()=>
        // Has cargo compile this anew when the file changes.
        #(#cfgs)*
        const _: &[::core::primitive::u8] =
            ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #file));
        #proof
    }
}
