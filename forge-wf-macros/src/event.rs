//! Writes an event: its name, its key in the journal, and its entry in the registry.
//!
//! Takes the item under `#[derive(Event)]`; hands on impls through `::forge_wf::__private` only. Never looks at its fields
//! beyond their attributes: what is carried is judged by the type check, as one that can be journaled.

use heck::ToSnakeCase;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, GenericParam, Meta};

use crate::args::{Args, NAME_BYTES_MAX, Options};
use crate::check::Errors;
use crate::expand;

/// `#[derive(Event)]` on one item.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let item: DeriveInput = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let args = Args::parse(&Options::EVENT, options(&item.attrs, &mut errors), &mut errors);
    shape(&item, &mut errors);
    let name = args.name.clone().unwrap_or_else(|| name_of(&item.ident, &mut errors));
    let expanded = (!matches!(item.data, Data::Union(_))).then(|| expand(&item, &args, &name));
    let errors = errors.into_tokens();
    quote!(#errors #expanded)
}

/// What stands in `#[event(..)]`, of all of them.
fn options(attrs: &[Attribute], errors: &mut Errors) -> TokenStream {
    let mut options = TokenStream::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("event")) {
        match &attr.meta {
            Meta::List(list) => {
                let tokens = &list.tokens;
                options.extend(quote!(#tokens,));
            }
            other => errors.add(other, "expected a list: write `#[event(name = \"approved\")]`"),
        }
    }
    options
}

fn shape(item: &DeriveInput, errors: &mut Errors) {
    for param in &item.generics.params {
        let message = match param {
            GenericParam::Lifetime(_) => "an event is read back from the journal, so it borrows nothing: own its parts",
            _ => "an event cannot be generic: the journal names its type, so write a type for each payload",
        };
        errors.fatal(param, message);
    }
    let (fields, variants): (Vec<_>, Vec<_>) = match &item.data {
        Data::Struct(data) => (data.fields.iter().collect(), Vec::new()),
        Data::Enum(data) => {
            (data.variants.iter().flat_map(|variant| &variant.fields).collect(), data.variants.iter().collect())
        }
        Data::Union(data) => {
            return errors.fatal(data.union_token, "an event cannot be a union: write a `struct` or an `enum`");
        }
    };
    let attrs = fields.iter().flat_map(|field| &field.attrs);
    for attr in attrs.chain(variants.iter().flat_map(|variant| &variant.attrs)) {
        if attr.path().is_ident("event") {
            errors.add(attr, "`#[event(..)]` belongs on the type");
        }
    }
}

/// The name of a type as that of an event: `OrderApproved` is `order_approved`.
fn name_of(ident: &Ident, errors: &mut Errors) -> String {
    let name = ident.unraw().to_string().to_snake_case();
    let write = "write `#[event(name = \"approved\")]` above the type";
    if name.is_empty() {
        errors.add(ident, format!("this gives the event no name: {write}"));
    } else if name.len() > NAME_BYTES_MAX {
        errors.add(ident, format!("too long for the name of an event, at most {NAME_BYTES_MAX} bytes: {write}"));
    }
    name
}

/// Of a type with parameters still the impls, so that its waits are not reported as well.
fn expand(item: &DeriveInput, args: &Args, name: &str) -> TokenStream {
    let root = args.root.as_ref().map_or_else(|| quote!(::forge_wf), ToTokens::to_token_stream);
    let (private, ident, mixed) = (quote!(#root::__private), &item.ident, Span::mixed_site());
    let (text, key) = (ident.unraw().to_string(), format!("event:{name}"));
    let (generics, arguments, _) = item.generics.split_for_impl();
    let is_plain = item.generics.params.is_empty();
    let clause = (!is_plain).then(|| quote_spanned!(mixed=> where Self: #private::Journaled));
    let registration = is_plain.then(|| {
        quote_spanned! {mixed=>
            #private::inventory::submit! {
                #private::Registration::Event(&#private::EventDefinition {
                    name: #name,
                    type_name: ::core::concat!(::core::module_path!(), "::", #text),
                    place: #private::Place { file: ::core::file!(), line: ::core::line!(), column: ::core::column!() },
                })
            }
        }
    });
    // Of an event that is refused no form is asked for.
    let form = if is_plain { expand::typed(&private, &text, &text, &quote!(#ident)) } else { quote!(0) };
    let own = quote_spanned!(mixed=> <Self as #private::Callee>::DIGEST);
    let part = expand::contract::part(&private, "Event", name, &format!("({text})"), &own);
    quote_spanned! {mixed=>
        #[automatically_derived]
        impl #generics #private::Callee for #ident #arguments {
            const DIGEST: ::core::primitive::u128 = #private::digest::sequence(&[
                #private::digest::text("event"),
                #private::digest::text(#name),
                #form,
            ]);
            const PART: #private::parts::Part = #part;
        }
        #[automatically_derived]
        impl #generics #private::Event for #ident #arguments #clause {
            const NAME: &'static ::core::primitive::str = #name;
            const KEY: &'static ::core::primitive::str = #key;
        }
        #registration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(item: &str) -> String {
        derive(item.parse().unwrap()).to_string().replace(' ', "")
    }

    #[test]
    fn an_event_is_named_after_its_type() {
        for (ident, name) in
            [("Approved", "approved"), ("OrderApproved2", "order_approved2"), ("HTTPDone", "http_done")]
        {
            let text = written(&format!("struct {ident};"));
            assert!(text.contains(&format!("\"event:{name}\"")), "{text}");
            assert!(!text.contains("compile_error"), "{text}");
        }
        assert!(written("enum r#type { A }").contains("\"event:type\""));
    }

    #[test]
    fn an_event_may_say_its_name_and_where_the_library_is() {
        let text = written("#[event(name = \"order.approved\", crate = durable)] #[serde(untagged)] enum A { B(u8) }");
        assert!(text.contains("impldurable::__private"), "{text}");
        assert!(text.contains("\"event:order.approved\"") && !text.contains("compile_error"), "{text}");
        assert!(!text.contains("::forge_wf"), "{text}");
        let text = written("#[event(name = \"a\")] #[event(name = \"b\")] struct A;");
        assert!(text.contains("isgiventwice") && text.contains("\"event:a\""), "{text}");
    }

    #[test]
    fn what_cannot_be_an_event_is_refused_once() {
        let text = written("struct A<T, const N: usize>([T; N]);");
        assert_eq!(text.matches("compile_error").count(), 2, "{text}");
        assert!(text.contains("cannotbegeneric") && text.contains("Callee") && !text.contains("submit"), "{text}");
        assert!(written("struct A<'a>(&'a str);").contains("borrowsnothing"));
        assert!(written("union A { a: u8 }").contains("cannotbeaunion"));
        assert!(written("struct A { #[event(name = \"a\")] a: u8 }").contains("belongsonthetype"));
        assert!(written("struct __;").contains("noname"));
        assert!(written(&format!("struct {};", "A".repeat(195))).contains("atmost194bytes"));
    }
}
