//! Writes a workflow: the function that starts take, the type with its signature, the body, and how a run makes it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};

use super::{Target, contract, local, mixed, timeout, undo};
use crate::args::{Args, Kind, Pinned};
use crate::model::{Function, Parameter};
use crate::scan::Call;
use crate::shape;

pub(super) fn expand(target: &Target, args: &Args, function: &Function, calls: &[Call]) -> TokenStream {
    let (private, marker) = (&target.private, &target.marker);
    let context = function.params.first().map(|param| super::context_parameter(target, param));
    let params: Vec<TokenStream> =
        context.into_iter().chain(function.params.iter().skip(1).map(super::parameter)).collect();
    let parts = [
        wrapper(target, function),
        target.type_item(Kind::Workflow, function),
        target.body_item(function, &params),
        target.uses(function, calls),
        target.named_events(function, &args.named_events),
        callee(target, args, function),
        undone(target, function),
        definition(target, args, function, calls),
        pin(target, args, function),
        contract::kept(target, function, &name(args, function), &version(args)),
        target.registered(
            function,
            &quote_spanned!(mixed()=> #private::Registration::Workflow(<#marker as #private::Workflow>::DEFINITION)),
        ),
    ];
    parts.into_iter().collect()
}

fn input(function: &Function) -> Option<&Parameter> {
    function.params.get(1)
}

fn wrapper(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, ident, marker }, Function { cfgs, outer, vis, .. }) = (target, function);
    let (ctx, quiet) = (local("ctx"), super::quiet());
    let (param, passed) = match input(function) {
        Some(param) => {
            let (name, ty) = (super::outer_name(param, "input"), &param.ty);
            (quote!(#name: #ty), quote!(#name))
        }
        None => (TokenStream::new(), quote!(())),
    };
    quote_spanned! {mixed()=>
        #(#cfgs)*
        #(#outer)*
        #[allow(dead_code)]
        #quiet
        #vis fn #ident<'a, W: #private::Uses<#marker>>(
            #ctx: &'a #private::WorkflowContext<W>,
            #param
        ) -> #private::ChildCall<'a, #marker> {
            #private::ChildCall::new(#ctx, #passed)
        }
    }
}

fn name(args: &Args, function: &Function) -> String {
    args.name.clone().unwrap_or_else(|| function.name())
}

fn version(args: &Args) -> String {
    args.version.clone().unwrap_or_else(|| String::from("1"))
}

/// Its input and output as the digests hold them.
fn types(target: &Target, function: &Function) -> (TokenStream, TokenStream) {
    let Target { private, marker, .. } = target;
    let input = input(function).map_or_else(|| quote!(()), |param| param.ty.to_token_stream());
    let of = |text: &str, what: &str| {
        let name = local(what);
        super::typed(private, text, what, &quote_spanned!(mixed()=> <#marker as #private::Workflow>::#name))
    };
    (of(&shape::canonical(&input), "Input"), of(&super::output_text(function), "Output"))
}

/// What a parent relies on: the interface alone. A look at what the child calls would be a const cycle where workflows
/// call each other, and its version is its own affair.
fn callee(target: &Target, args: &Args, function: &Function) -> TokenStream {
    let (Target { private, marker, .. }, Function { cfgs, .. }) = (target, function);
    let (name, (input, output)) = (name(args, function), types(target, function));
    let own = quote_spanned!(mixed()=> <#marker as #private::Callee>::DIGEST);
    let part = contract::part(private, "Child", &name, &contract::interface_text(function), &own);
    quote_spanned! {mixed()=>
        #(#cfgs)*
        impl #private::Callee for #marker {
            const DIGEST: ::core::primitive::u128 = #private::digest::sequence(&[
                #private::digest::text("child"),
                #private::digest::text(#name),
                #input,
                #output,
            ]);
            const PART: #private::parts::Part = #part;
        }
    }
}

/// What a step that undoes a run of it may take.
fn undone(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, marker, .. }, Function { cfgs, .. }) = (target, function);
    let (inputs, kept) = match input(function) {
        Some(_) => (quote_spanned!(mixed()=> (<#marker as #private::Workflow>::Input,)), local("Whole")),
        None => (quote!(()), local("Nothing")),
    };
    quote_spanned! {mixed()=>
        #(#cfgs)*
        impl #private::Undone for #marker {
            type Inputs = #inputs;
            type Output = <#marker as #private::Workflow>::Output;

            fn kept() -> #private::Kept {
                #private::Kept::#kept
            }
        }
    }
}

/// Its input under its own name, for the call that undoes a run of it.
fn undone_input(target: &Target, function: &Function) -> undo::Inputs {
    let (Target { private, marker, .. }, held) = (target, local("held"));
    let (read, lets) = match input(function) {
        Some(Parameter { pat, .. }) => (
            quote_spanned!(mixed()=> let #held = #private::undone_input::<#marker>(args)?;),
            quote_spanned!(mixed()=> let #pat = #held;),
        ),
        None => (TokenStream::new(), TokenStream::new()),
    };
    undo::Inputs { read, lets }
}

fn definition(target: &Target, args: &Args, function: &Function, calls: &[Call]) -> TokenStream {
    let (Target { private, marker, .. }, Function { cfgs, vis, .. }) = (target, function);
    let name = name(args, function);
    let timeout = timeout(args);
    let child_key = format!("child:{name}");
    let version = version(args);
    let input_type = input(function).map_or_else(|| quote!(()), |param| param.ty.to_token_stream());
    let status = local(args.status.unwrap_or("Active"));
    let replaces = match &args.replaces {
        Some(replaced) => quote_spanned!(mixed()=> ::core::option::Option::Some(#replaced)),
        None => quote_spanned!(mixed()=> ::core::option::Option::None),
    };
    let (input_digest, output_digest) = types(target, function);
    let (output, error) = super::ends(private, function);
    let (place, digest) = (target.place(), target.digest_of_uses(calls, &args.named_events));
    let compensate = args.compensate.as_ref();
    let (undo_items, undo) = undo::undo(target, compensate, || undone_input(target, function));
    let undone = undo::digests(target, compensate);
    let contract = contract::contract(private, &parts(target, args, function, calls));
    let (body, ctx, input_value) = (local("body"), local("ctx"), local("input"));
    let (take, pass) = match input(function) {
        Some(_) => (
            quote_spanned!(mixed()=> let #input_value = #private::workflow_input::<#marker>(&#body)?;),
            quote_spanned!(mixed()=> &#ctx, #input_value),
        ),
        None => {
            (quote_spanned!(mixed()=> #private::workflow_input::<#marker>(&#body)?;), quote_spanned!(mixed()=> &#ctx))
        }
    };
    let boxed = quote_spanned! {super::at_name(target)=>
        ::std::boxed::Box::pin(async move {
            let #ctx = #private::workflow_context::<#marker>(&#body);
            #take
            let returned = <#marker>::body(#pass).await;
            #private::workflow_outcome::<#marker>(#body.run, &#body.limits, returned)
        })
    };
    quote_spanned! {mixed()=>
        #(#cfgs)*
        impl #marker {
            /// What the runs in flight rely on, as a hash: name, version, types, and everything the workflow calls.
            #[allow(dead_code)]
            #vis const SIGNATURE: ::core::primitive::u128 = #private::digest::sequence(&[
                #private::digest::ALGORITHM as ::core::primitive::u128,
                #private::digest::text("workflow"),
                #private::digest::text(#name),
                #private::digest::text(#version),
                #input_digest,
                #output_digest,
                #digest,
                #undone
            ]);
        }
        #(#cfgs)*
        impl #private::WorkflowError for #marker {
            type Error = #error;
        }
        #(#cfgs)*
        impl #private::Workflow for #marker {
            type Input = #input_type;
            type Output = #output;
            const DEFINITION: &'static #private::WorkflowDefinition = {
                #undo_items
                fn __forge_wf_run(#body: #private::Body) -> #private::BodyFuture {
                    #boxed
                }
                &#private::WorkflowDefinition {
                    name: #name,
                    version: #version,
                    status: #private::VersionStatus::#status,
                    replaces: #replaces,
                    child_key: #child_key,
                    place: #place,
                    signature: #private::Digest(<#marker>::SIGNATURE),
                    contract: #contract,
                    timeout: #timeout,
                    undo: #undo,
                    run: __forge_wf_run,
                }
            };
        }
    }
}

/// What its signature is made of, in words.
fn parts(target: &Target, args: &Args, function: &Function, calls: &[Call]) -> Vec<TokenStream> {
    let private = &target.private;
    let (input_digest, output_digest) = types(target, function);
    let input = input(function).map_or_else(|| quote!(()), |param| param.ty.to_token_stream());
    let mut parts = vec![
        contract::part(private, "Input", "", &shape::canonical(&input), &input_digest),
        contract::part(private, "Output", "", &super::output_text(function), &output_digest),
    ];
    if let (Some((by, given)), Some(undone)) =
        (contract::undone_text(args), undo::digests(target, args.compensate.as_ref()))
    {
        let digest = quote_spanned!(mixed()=> #private::digest::sequence(&[#undone]));
        parts.push(contract::part(private, "Compensation", &by, &given, &digest));
    }
    parts.extend(contract::parts_of_uses(target, calls, &args.named_events));
    parts
}

/// Does not compile if the signature is not the one that is written down.
fn pin(target: &Target, args: &Args, function: &Function) -> TokenStream {
    let (Target { private, marker, .. }, Function { cfgs, .. }) = (target, function);
    let Some(Pinned { hash, lit }) = &args.signature else { return TokenStream::new() };
    let name = name(args, function);
    let before = format!("the signature of workflow {name} is ");
    let after = format!(
        ", and not {}, which is pinned here: its name, types, or what it calls have changed. If runs may be in flight, give \
         the changed code a new `version` and keep the old function as `status = deprecated`; if none is, pin the new one",
        lit.value()
    );
    let at = lit.span().resolved_at(mixed());
    quote_spanned! {at=>
        #(#cfgs)*
        const _: () = {
            const LEN: ::core::primitive::usize = #private::message::around_hex::<0>(#before, 0, #after).len();
            const TEXT: #private::message::Message<LEN> =
                #private::message::around_hex(#before, <#marker>::SIGNATURE, #after);
            if <#marker>::SIGNATURE != #hash {
                ::core::panic!("{}", TEXT.text());
            }
        };
    }
}
