//! Writes a helper: the function that workflows call, which narrows the context, the type, and the body.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::GenericParam;

use super::{Target, contract, local, mixed};
use crate::args::{Args, Kind};
use crate::model::Function;
use crate::scan::Call;

pub(super) fn expand(target: &Target, args: &Args, function: &Function, calls: &[Call]) -> TokenStream {
    let context = function.params.first().map(|param| super::context_parameter(target, param));
    let params: Vec<TokenStream> =
        context.into_iter().chain(function.params.iter().skip(1).map(super::parameter)).collect();
    let (private, marker, cfgs) = (&target.private, &target.marker, &function.cfgs);
    // A call of itself says nothing new, and would be a const cycle.
    let own = marker.to_string();
    let others = calls.iter().filter(|call| call.key() != own);
    let (name, digest) = (function.name(), target.digest_of_uses(others.clone(), &args.named_events));
    let parts = contract::parts_of_uses(target, others, &args.named_events);
    let own = quote_spanned!(mixed()=> <#marker as #private::Callee>::DIGEST);
    let part = contract::part_of(private, "Helper", &name, "", &own, &parts);
    let parts = [
        wrapper(target, function),
        target.type_item(Kind::Helper, function),
        target.body_item(function, &params),
        target.uses(function, calls),
        target.named_events(function, &args.named_events),
        quote_spanned! {mixed()=>
            #(#cfgs)*
            impl #private::Callee for #marker {
                const DIGEST: ::core::primitive::u128 = #private::digest::sequence(&[
                    #private::digest::text("helper"),
                    #private::digest::text(#name),
                    #digest,
                ]);
                const PART: #private::parts::Part = #part;
            }
        },
    ];
    parts.into_iter().collect()
}

/// The context's type parameter is anonymous, so that users can still write the helper's own ones out.
fn wrapper(target: &Target, function: &Function) -> TokenStream {
    let (Target { private, ident, marker }, Function { cfgs, outer, vis, sig, .. }) = (target, function);
    let (ctx, quiet, generics, output) = (local("ctx"), super::quiet(), &sig.generics, &sig.output);
    let (mut params, mut passed) = (Vec::new(), Vec::new());
    for (at, param) in function.params.iter().enumerate().skip(1) {
        let (name, ty) = (super::outer_name(param, &format!("argument_{at}")), &param.ty);
        params.push(quote!(#name: #ty));
        passed.push(name);
    }
    let explicit: Vec<TokenStream> = generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Type(param) => Some(param.ident.to_token_stream()),
            GenericParam::Const(param) => Some(param.ident.to_token_stream()),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    let turbofish = (!explicit.is_empty()).then(|| quote!(::<#(#explicit),*>));
    let clause = &generics.where_clause;
    quote_spanned! {mixed()=>
        #(#cfgs)*
        #(#outer)*
        #quiet
        #vis async fn #ident #generics (
            #ctx: &#private::WorkflowContext<impl #private::Uses<#marker>>,
            #(#params),*
        ) #output #clause {
            <#marker>::body #turbofish (&#ctx.narrow::<#marker>(), #(#passed),*).await
        }
    }
}
