//! `#[derive(Schema)]`: writes what a type looks like in a journal, as a constant.
//!
//! Takes the item and what serde's attributes say of it ([`serde`]); hands on one impl. The digest itself is computed by the
//! library, from what the fields' types say of themselves.

mod names;
mod serde;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Data, DeriveInput, Field, Fields, GenericParam, Path, Type, TypePath, Variant};

use self::names::Rules;
use self::serde::{Container, Named};
use crate::check::Errors;
use crate::shape;

/// `#[derive(Schema)]` on one item.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let mut item: DeriveInput = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let options = Options::read(&item.attrs, &mut errors);
    let root = options.root.map_or_else(|| quote!(::forge_wf), |path| path.into_token_stream());
    let writer = Writer { private: quote!(#root::__private), ident: item.ident.clone() };
    let structure = writer.item(&item, &mut errors);
    let Writer { private, ident } = &writer;
    for param in &mut item.generics.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(syn::parse_quote!(#private::Schema));
        }
    }
    let (generics, arguments, clause) = item.generics.split_for_impl();
    let errors = errors.into_tokens();
    quote_spanned! {Span::mixed_site()=>
        #errors
        #[automatically_derived]
        impl #generics #private::Schema for #ident #arguments #clause {
            const STRUCTURE: #private::Structure = #private::Structure::derived(#structure);
        }
    }
}

/// What stands in `#[schema(..)]`.
#[derive(Default)]
struct Options {
    root: Option<Path>,
    opaque: bool,
}

impl Options {
    fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut options = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("schema")) {
            let read = attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("opaque") {
                    options.opaque = true;
                } else if meta.path.is_ident("crate") {
                    options.root = Some(meta.value()?.call(Path::parse_mod_style)?);
                } else {
                    return Err(
                        meta.error("unknown option, expected `opaque` on a field or `crate = path` on the type")
                    );
                }
                Ok(())
            });
            if let Err(error) = read {
                errors.add_error(&error);
            }
        }
        options
    }
}

struct Writer {
    private: TokenStream,
    ident: syn::Ident,
}

impl Writer {
    fn item(&self, item: &DeriveInput, errors: &mut Errors) -> TokenStream {
        let private = &self.private;
        let container = Container::read(&item.attrs, errors);
        let own = match &item.data {
            Data::Struct(data) => self.structure(&container, &data.fields, errors),
            Data::Enum(data) => self.enumeration(&container, data.variants.iter(), errors),
            Data::Union(data) => {
                errors.fatal(data.union_token, "a union has no form in a journal: write a `struct` or an `enum`");
                return quote!(#private::Structure::of(""));
            }
        };
        let (from, into) = (&container.from, &container.into);
        if from.is_none() && into.is_none() {
            return own;
        }
        // What is written and what is read is the form of other types.
        let side = |ty: &Option<Type>| ty.as_ref().map_or_else(|| own.clone(), |ty| self.type_of(ty));
        let (from, into) = (side(from), side(into));
        quote!(#private::Structure::list("through", [#into, #from]))
    }

    fn structure(&self, container: &Container, fields: &Fields, errors: &mut Errors) -> TokenStream {
        if container.has("transparent") {
            let mut fields = fields.iter().map(|field| (field, self.named(&field.attrs, errors)));
            let held = fields.find(|(_, named)| !named.skipped);
            return held.map_or_else(|| self.of("()"), |(field, named)| self.type_of_field(field, &named));
        }
        let mut what = String::from("struct");
        for flag in container.flags.iter().filter(|flag| matches!(fields, Fields::Named(_)) || **flag != "default") {
            what.extend([" ", flag]);
        }
        if let Some(tag) = &container.tag {
            what.extend([" tag ", tag, " ", &self.ident.unraw().to_string()]);
        }
        self.fields(&what, fields, container.rename_all, errors)
    }

    fn named(&self, attrs: &[Attribute], errors: &mut Errors) -> Named {
        Named { opaque: Options::read(attrs, errors).opaque, ..Named::read(attrs, errors) }
    }

    /// What fields look like: those with names in whatever order, one without a name like itself.
    fn fields(&self, what: &str, fields: &Fields, rules: Rules, errors: &mut Errors) -> TokenStream {
        let private = &self.private;
        let kept: Vec<_> = (fields.iter())
            .map(|field| (field, self.named(&field.attrs, errors)))
            .filter(|(_, named)| !named.skipped)
            .collect();
        match fields {
            Fields::Unit => self.of("unit"),
            Fields::Unnamed(all) if all.unnamed.len() == 1 => match kept.first() {
                Some((field, named)) => self.type_of_field(field, named),
                None => self.of("unit"),
            },
            Fields::Unnamed(_) => {
                let parts: Vec<_> = kept.iter().map(|(field, named)| self.part(field, named, &[])).collect();
                quote!(#private::Structure::list("tuple struct", [#(#parts),*]))
            }
            Fields::Named(_) => {
                let parts: Vec<_> = kept
                    .iter()
                    .map(|(field, named)| {
                        let name = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
                        let written = named.rename.written.clone().unwrap_or_else(|| rules.written.of_field(&name));
                        let read = named.rename.read.clone().unwrap_or_else(|| rules.read.of_field(&name));
                        let names = if named.flattened { vec![String::from("flatten")] } else { vec![written, read] };
                        self.part(field, named, &names)
                    })
                    .collect();
                quote!(#private::Structure::set(#what, [#(#parts),*]))
            }
        }
    }

    /// One field with its names and what else counts of it.
    fn part(&self, field: &Field, named: &Named, names: &[String]) -> TokenStream {
        let (private, ty) = (&self.private, self.type_of_field(field, named));
        let words = names.iter().map(String::as_str).chain(named.flags.iter().copied());
        let words = words.map(|word| self.of(word));
        quote!(#private::Structure::list("field", [#(#words,)* #ty]))
    }

    fn enumeration<'v>(
        &self,
        container: &Container,
        variants: impl Iterator<Item = &'v Variant>,
        errors: &mut Errors,
    ) -> TokenStream {
        let private = &self.private;
        let untagged = container.has("untagged");
        let mut what = String::from("enum");
        what.extend(container.flags.iter().flat_map(|flag| [" ", flag]));
        for (word, text) in [("tag", &container.tag), ("content", &container.content)] {
            if let Some(text) = text {
                what.extend([" ", word, " ", text]);
            }
        }
        let mut parts = Vec::new();
        for variant in variants {
            let named = self.named(&variant.attrs, errors);
            if named.skipped {
                continue;
            }
            let name = variant.ident.unraw().to_string();
            let written = named.rename.written.clone();
            let written = written.unwrap_or_else(|| container.rename_all.written.of_variant(&name));
            let read = named.rename.read.clone().unwrap_or_else(|| container.rename_all.read.of_variant(&name));
            let all = container.rename_all_fields;
            let either = |own, all| if own == names::Rule::None { all } else { own };
            let rules = Rules {
                written: either(named.rename_all.written, all.written),
                read: either(named.rename_all.read, all.read),
            };
            let content = self.fields("struct", &variant.fields, rules, errors);
            let words: Vec<_> = named.flags.iter().copied().chain(named.with.iter().map(String::as_str)).collect();
            // Nothing names the variants of an untagged enum.
            let names = if untagged { Vec::new() } else { vec![written, read] };
            let words = names.iter().map(String::as_str).chain(words).map(|word| self.of(word));
            parts.push(quote!(#private::Structure::list("variant", [#(#words,)* #content])));
        }
        // Where nothing names them the first that fits is read.
        let method = format_ident!("{}", if untagged { "list" } else { "set" });
        quote!(#private::Structure::#method(#what, [#(#parts),*]))
    }

    fn type_of_field(&self, field: &Field, named: &Named) -> TokenStream {
        let private = &self.private;
        let name = shape::canonical(&field.ty.to_token_stream());
        if named.opaque {
            return self.of(&name);
        }
        if named.with.is_empty() {
            return self.type_of(&field.ty);
        }
        // Its form is the affair of functions, which count by their names.
        let words = named.with.iter().map(|with| self.of(with));
        let name = self.of(&name);
        quote!(#private::Structure::list("with", [#(#words,)* #name]))
    }

    fn type_of(&self, ty: &Type) -> TokenStream {
        let private = &self.private;
        let name = shape::canonical(&ty.to_token_stream());
        let mut ty = ty.clone();
        Recursion { private, ident: &self.ident }.visit_type_mut(&mut ty);
        quote_spanned! {Span::mixed_site()=>
            #private::Structure::or_name(
                { use #private::NoSchema as _; <#private::SchemaOf<(#ty)>>::STRUCTURE },
                #name,
            )
        }
    }

    fn of(&self, text: &str) -> TokenStream {
        let private = &self.private;
        quote!(#private::Structure::of(#text))
    }
}

/// Puts a reference in place of the type itself, whose form is not known before it is written.
struct Recursion<'w> {
    private: &'w TokenStream,
    ident: &'w syn::Ident,
}

impl VisitMut for Recursion<'_> {
    fn visit_type_path_mut(&mut self, path: &mut TypePath) {
        let last = path.path.segments.first().filter(|_| path.qself.is_none() && path.path.segments.len() == 1);
        if last.is_some_and(|last| last.ident == *self.ident || last.ident == "Self") {
            let private = self.private;
            *path = syn::parse_quote!(#private::SelfReference);
        } else {
            visit_mut::visit_type_path_mut(self, path);
        }
    }
}
