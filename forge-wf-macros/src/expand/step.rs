//! Writes a step: the function that makes calls, the type, the body, and how an attempt runs it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};

use super::{Target, contract, duration, local, mixed, state, timeout, undo};
use crate::args::{Args, Kind};
use crate::model::{Function, Parameter, Role};
use crate::shape::{Passing, Shape};

pub(super) fn expand(target: &Target, args: &Args, function: &Function) -> TokenStream {
    let params: Vec<TokenStream> = function.params.iter().map(super::parameter).collect();
    let key = format!("step:{}", step_name(args, function));
    let (private, marker) = (&target.private, &target.marker);
    let parts = [
        wrapper(target, function),
        target.type_item(Kind::Step, function),
        target.body_item(function, &params),
        arguments(target, function),
        callee(target, args, function),
        definition(target, args, function, &key),
        target.registered(
            function,
            &quote_spanned!(mixed()=> #private::Registration::Step(<#marker as #private::Step>::DEFINITION)),
        ),
    ];
    parts.into_iter().collect()
}

fn step_name(args: &Args, function: &Function) -> String {
    args.name.clone().unwrap_or_else(|| function.name())
}

fn wrapper(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, ident, marker }, Function { cfgs, outer, vis, .. }) = (target, function);
    let (ctx, args, quiet) = (local("ctx"), local("args"), super::quiet());
    let arguments: Vec<&Parameter> = function.of_role(Role::Argument).collect();
    let params = arguments.iter().map(|param| {
        let (name, ty) = (param.name(), &param.ty);
        quote!(#name: #ty)
    });
    let puts = arguments.iter().enumerate().map(|(n, param)| {
        let name = param.name();
        let text = name.map(|name| syn::ext::IdentExt::unraw(name).to_string());
        let method = match Shape::of(&param.ty).passing {
            Passing::Text | Passing::OptionText => {
                return quote_spanned!(mixed()=> #args.put(#text, &#name););
            }
            Passing::Value => return quote_spanned!(mixed()=> #args.value::<#marker, #n>(#text, &#name);),
            Passing::Reference => local("value"),
            Passing::Slice => local("slice"),
            Passing::Option => local("option"),
            Passing::OptionSlice => local("option_slice"),
        };
        quote_spanned!(mixed()=> #args.#method::<#marker, #n>(#text, #name);)
    });
    let mutable = (!arguments.is_empty()).then(|| quote!(mut));
    quote_spanned! {mixed()=>
        #(#cfgs)*
        #(#outer)*
        #quiet
        #vis fn #ident<'a, W: #private::Uses<#marker>>(
            #ctx: &'a #private::WorkflowContext<W>,
            #(#params),*
        ) -> #private::StepCall<'a, #marker> {
            let #mutable #args = #private::Arguments::new();
            #(#puts)*
            #private::StepCall::new(#ctx, #args)
        }
    }
}

fn argument_name(param: &Parameter) -> String {
    param.name().map(|name| syn::ext::IdentExt::unraw(name).to_string()).unwrap_or_default()
}

/// `impl Argument<n>` for each argument: the one place where a type that cannot be journaled is refused.
fn arguments(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, marker, .. }, Function { cfgs, .. }) = (target, function);
    let impls = function.of_role(Role::Argument).enumerate().map(|(n, param)| {
        let owned = Shape::of(&param.ty).owned;
        quote_spanned! {mixed()=>
            #(#cfgs)*
            impl #private::Argument<#n> for #marker {
                type Owned = #owned;
            }
        }
    });
    impls.collect()
}

fn callee(target: &Target, args: &Args, function: &Function) -> TokenStream {
    let (Target { private, marker, .. }, Function { cfgs, .. }) = (target, function);
    let own = quote_spanned!(mixed()=> <#marker as #private::Step>::INTERFACE);
    // Its callers rely on how it is undone, too.
    let digest = match undo::digests(target, args.compensate.as_ref()) {
        Some(undone) => quote_spanned!(mixed()=> #private::digest::sequence(&[#own, #undone])),
        None => own,
    };
    let (own, name) = (quote_spanned!(mixed()=> <#marker as #private::Callee>::DIGEST), step_name(args, function));
    let undone = contract::undone_text(args).map(|(by, given)| format!(", undone by {by}{given}")).unwrap_or_default();
    let part = contract::part(private, "Step", &name, &(contract::interface_text(function) + &undone), &own);
    quote_spanned! {mixed()=>
        #(#cfgs)*
        impl #private::Callee for #marker {
            const DIGEST: ::core::primitive::u128 = #digest;
            const PART: #private::parts::Part = #part;
        }
    }
}

/// The digest of all that a call of the step says.
fn interface(target: &Target, function: &Function, key: &str) -> TokenStream {
    let Target { private, marker, .. } = target;
    let params = function.of_role(Role::Argument).enumerate().map(|(n, param)| {
        let name = argument_name(param);
        let text = format!("{name}:{}", Shape::of(&param.ty).canonical());
        super::typed(private, &text, &name, &input(target, n, param))
    });
    let output = quote_spanned!(mixed()=> <#marker as #private::Step>::Output);
    let output = super::typed(private, &format!("->{}", super::output_text(function)), "->", &output);
    quote_spanned! {mixed()=>
        #private::digest::sequence(&[
            #private::digest::text(#key),
            #(#params,)*
            #output,
        ])
    }
}

/// The types of its arguments as they are read back.
fn inputs(target: &Target, function: &Function) -> TokenStream {
    let types = function.of_role(Role::Argument).enumerate().map(|(n, param)| input(target, n, param));
    quote_spanned!(mixed()=> (#(#types,)*))
}

fn input(target: &Target, n: usize, param: &Parameter) -> TokenStream {
    let Target { private, marker, .. } = target;
    let owned = quote_spanned!(mixed()=> <#marker as #private::Argument<#n>>::Owned);
    match Shape::of(&param.ty).passing {
        Passing::Value | Passing::Reference | Passing::Text => owned,
        Passing::Slice => quote_spanned!(mixed()=> ::std::vec::Vec<#owned>),
        Passing::Option | Passing::OptionText => quote_spanned!(mixed()=> ::core::option::Option<#owned>),
        Passing::OptionSlice => quote_spanned!(mixed()=> ::core::option::Option<::std::vec::Vec<#owned>>),
    }
}

fn definition(target: &Target, args: &Args, function: &Function, key: &str) -> TokenStream {
    let (Target { private, marker, .. }, Function { cfgs, .. }) = (target, function);
    let (output, error) = super::ends(private, function);
    let (place, options) = (target.place(), options(private, args));
    let states = function.of_role(Role::State).map(|param| state::need(private, param));
    let (inputs, interface) = (inputs(target, function), interface(target, function, key));
    let (undo_items, undo) = undo::undo(target, args.compensate.as_ref(), || undone_inputs(target, function));
    let names = function.of_role(Role::Argument).map(argument_name);
    let (runner, attempt) = (attempt(target, args, function), local("__forge_wf_attempt"));
    let (env, payload) = (local("env"), local("args"));
    let boxed = quote_spanned! {super::at_name(target)=>
        ::std::boxed::Box::pin(async move {
            match #attempt(#env, #payload).await {
                ::core::result::Result::Ok(outcome) | ::core::result::Result::Err(outcome) => outcome,
            }
        })
    };
    quote_spanned! {mixed()=>
        #(#cfgs)*
        impl #private::Step for #marker {
            type Inputs = #inputs;
            type Output = #output;
            type Error = #error;
            const INTERFACE: ::core::primitive::u128 = #interface;
            const DEFINITION: &'static #private::StepDefinition = {
                #runner
                #undo_items
                fn __forge_wf_run(#env: #private::StepEnv, #payload: #private::Payload) -> #private::StepFuture {
                    #boxed
                }
                &#private::StepDefinition {
                    key: #key,
                    place: #place,
                    digest: #private::Digest(<#marker as #private::Step>::INTERFACE),
                    options: #options,
                    arguments: &[#(#names),*],
                    undo: #undo,
                    states: &[#(#states),*],
                    run: __forge_wf_run,
                }
            };
        }
    }
}

/// One attempt: arguments, state and context in, the body, its outcome out. An `Err` is an outcome as well.
fn attempt(target: &Target, args: &Args, function: &Function) -> TokenStream {
    let Target { private, marker, .. } = target;
    let (env, read) = (local("env"), local("read"));
    let (mut lets, mut reads, mut passed, mut n) = (Vec::new(), Vec::new(), Vec::new(), 0_usize);
    for (at, param) in function.params.iter().enumerate() {
        let held = format_ident!("held_{at}", span = mixed());
        let (take, pass) = match param.role {
            Role::StepContext | Role::WorkflowContext => {
                (quote_spanned!(mixed()=> #private::step_context(&#env)), quote!(&#held))
            }
            Role::State => state::fetch(private, &env, &held, param),
            Role::Argument => {
                let (take, pass) = read_argument(&held, param);
                let text = param.name().map(|name| syn::ext::IdentExt::unraw(name).to_string());
                reads.push((held.clone(), quote_spanned!(mixed()=> #read.#take::<#marker, #n>(#text)?)));
                n += 1;
                passed.push(pass);
                continue;
            }
        };
        lets.push(quote_spanned!(mixed()=> let #held = #take;));
        passed.push(pass);
    }
    // What reads the arguments is gone before the body runs: its future need not hold it.
    let read_all = read_all(private, &read, &quote_spanned!(mixed()=> &args), reads);
    let retry_if = match args.retry.as_ref().and_then(|retry| retry.condition.as_ref()) {
        Some(path) => quote!(#path),
        None => quote_spanned!(mixed()=> |_| true),
    };
    quote_spanned! {mixed()=>
        async fn __forge_wf_attempt(
            #env: #private::StepEnv,
            args: #private::Payload,
        ) -> ::core::result::Result<#private::StepOutcome, #private::StepOutcome> {
            #read_all
            #(#lets)*
            let returned = <#marker>::body(#(#passed),*).await;
            ::core::result::Result::Ok(#private::step_outcome::<#marker>(&#env, &args, returned, #retry_if))
        }
    }
}

/// Takes recorded arguments apart, each into the name it is held by; nothing if there are none.
fn read_all(
    private: &TokenStream,
    read: &syn::Ident,
    args: &TokenStream,
    reads: Vec<(syn::Ident, TokenStream)>,
) -> TokenStream {
    if reads.is_empty() {
        return TokenStream::new();
    }
    let (names, takes): (Vec<_>, Vec<_>) = reads.into_iter().unzip();
    quote_spanned! {mixed()=>
        let (#(#names,)*) = {
            let mut #read = #private::ReadArguments::of(#args)?;
            (#(#takes,)*)
        };
    }
}

/// How an argument is read back, and how what is then held becomes what the body takes.
fn read_argument(held: &syn::Ident, param: &Parameter) -> (syn::Ident, TokenStream) {
    match Shape::of(&param.ty).passing {
        Passing::Value => (local("value"), quote!(#held)),
        Passing::Reference => (local("value"), quote!(&#held)),
        Passing::Text => (local("value"), quote!(&*#held)),
        Passing::Slice => (local("slice"), quote!(&*#held)),
        Passing::Option => (local("option"), quote_spanned!(mixed()=> #held.as_ref())),
        Passing::OptionText => (local("option"), quote_spanned!(mixed()=> #held.as_deref())),
        Passing::OptionSlice => (local("option_slice"), quote_spanned!(mixed()=> #held.as_deref())),
    }
}

/// Its arguments under their own names, for the call that undoes it.
fn undone_inputs(target: &Target, function: &Function) -> undo::Inputs {
    let (Target { private, marker, .. }, read) = (target, local("read"));
    let (mut reads, mut lets) = (Vec::new(), TokenStream::new());
    for (n, param) in function.of_role(Role::Argument).enumerate() {
        let held = format_ident!("held_{n}", span = mixed());
        let (take, pass) = read_argument(&held, param);
        let (name, text) = (param.name(), argument_name(param));
        lets.extend(quote_spanned!(mixed()=> let #name = #pass;));
        reads.push((held, quote_spanned!(mixed()=> #read.#take::<#marker, #n>(#text)?)));
    }
    let read = read_all(private, &read, &quote_spanned!(mixed()=> args), reads);
    undo::Inputs { read, lets }
}

fn options(private: &TokenStream, args: &Args) -> TokenStream {
    let retry = match &args.retry {
        None => quote_spanned!(mixed()=> ::core::option::Option::None),
        Some(retry) => {
            let max = retry.max;
            let backoff = retry.backoff.map(|(first, longest)| {
                let (first, longest) = (duration(first), duration(longest));
                quote_spanned!(mixed()=> .backoff(#first, #longest))
            });
            let jitter = retry.jitter.map(|jitter| quote_spanned!(mixed()=> .jitter(#jitter)));
            quote_spanned!(mixed()=> ::core::option::Option::Some(#private::Retry::new(#max) #backoff #jitter))
        }
    };
    let timeout = timeout(args);
    quote_spanned!(mixed()=> #private::StepOptions { retry: #retry, timeout: #timeout })
}
