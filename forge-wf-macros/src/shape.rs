//! Reads types as they are written: what is borrowed, what it is when owned, and its canonical text.
//!
//! Takes syntax trees; hands on [`Shape`] and small answers. Never resolves a name: an alias is what it is called.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit_mut::VisitMut;
use syn::{GenericArgument, Lifetime, PathArguments, Type, TypeImplTrait, TypeReference};

/// How an argument is written down and read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passing {
    /// `T`
    Value,
    /// `&T`
    Reference,
    /// `&str`
    Text,
    /// `&[T]`
    Slice,
    /// `Option<&T>`
    Option,
    /// `Option<&str>`
    OptionText,
    /// `Option<&[T]>`
    OptionSlice,
}

/// An argument's type, taken apart.
pub(crate) struct Shape {
    /// How it is passed.
    pub(crate) passing: Passing,
    /// The owned type: of the argument, or of the elements of its slice or option.
    pub(crate) owned: Type,
}

impl Shape {
    /// Takes apart the borrows that may stand outermost.
    pub(crate) fn of(ty: &Type) -> Self {
        if let Some((passing, owned)) = borrowed(ty) {
            return Self { passing, owned };
        }
        if let Some((passing, owned)) = option_of(ty).and_then(borrowed) {
            let passing = match passing {
                Passing::Text => Passing::OptionText,
                Passing::Slice => Passing::OptionSlice,
                _ => Passing::Option,
            };
            return Self { passing, owned };
        }
        Self { passing: Passing::Value, owned: ty.clone() }
    }

    /// The type as it is read back, for the digest: `&str` and `String` are the same in a journal.
    pub(crate) fn canonical(&self) -> String {
        let owned = match self.passing {
            Passing::Text | Passing::OptionText => String::from("String"),
            _ => canonical(&self.owned.to_token_stream()),
        };
        match self.passing {
            Passing::Value | Passing::Reference | Passing::Text => owned,
            Passing::Slice => format!("Vec<{owned}>"),
            Passing::Option | Passing::OptionText => format!("Option<{owned}>"),
            Passing::OptionSlice => format!("Option<Vec<{owned}>>"),
        }
    }
}

fn borrowed(ty: &Type) -> Option<(Passing, Type)> {
    let reference = reference(ty).filter(|reference| reference.mutability.is_none())?;
    Some(match peel(&reference.elem) {
        Type::Slice(slice) => (Passing::Slice, (*slice.elem).clone()),
        Type::Path(path) if path.path.is_ident("str") => (Passing::Text, Type::Verbatim(quote!(::std::string::String))),
        elem => (Passing::Reference, elem.clone()),
    })
}

fn reference(ty: &Type) -> Option<&TypeReference> {
    match peel(ty) {
        Type::Reference(reference) => Some(reference),
        _ => None,
    }
}

/// The lifetime of the outermost borrow, if it has a name.
pub(crate) fn lifetime_of(ty: &Type) -> Option<&Lifetime> {
    reference(ty).or_else(|| reference(option_of(ty)?))?.lifetime.as_ref()
}

fn option_of(ty: &Type) -> Option<&Type> {
    generics_of(ty, |name| name == "Option")?.into_iter().next()
}

/// The type arguments of a path whose last segment has such a name.
fn generics_of(ty: &Type, name: impl Fn(&str) -> bool) -> Option<Vec<&Type>> {
    let Type::Path(path) = peel(ty) else { return None };
    let last = path.path.segments.last()?;
    if !name(&last.ident.to_string()) {
        return None;
    }
    let PathArguments::AngleBracketed(generics) = &last.arguments else { return None };
    let types = generics.args.iter().filter_map(|arg| match arg {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some(types.collect())
}

/// Without parentheses and invisible groups.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => peel(&inner.elem),
        Type::Group(inner) => peel(&inner.elem),
        _ => ty,
    }
}

/// Whether the type is `name`, `a::name` or a reference to it.
pub(crate) fn ends_with(ty: &Type, name: &str) -> bool {
    match peel(ty) {
        Type::Reference(reference) => ends_with(&reference.elem, name),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == name),
        _ => false,
    }
}

/// Whether the name of this type says that it is a context; an alias may be called `Ctx`.
pub(crate) fn is_context(ty: &Type) -> bool {
    let Type::Path(path) = peel(ty) else { return false };
    let last = path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
    last.contains("Context") || last.contains("Ctx")
}

/// Whether the type is called `..Result`.
pub(crate) fn names_a_result(ty: &Type) -> bool {
    match peel(ty) {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result")),
        Type::Macro(_) => true,
        _ => false,
    }
}

/// `T` and `E` of `Result<T, E>`, as far as they are written.
pub(crate) fn value_and_error(ty: &Type) -> (Option<&Type>, Option<&Type>) {
    let mut types = generics_of(ty, |name| name == "Result").unwrap_or_default().into_iter();
    (types.next(), types.next())
}

/// The first thing inside a type that is borrowed for less than ever.
pub(crate) fn borrow_within(ty: &Type) -> Option<TokenStream> {
    struct Finder(Option<TokenStream>);
    impl VisitMut for Finder {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                self.0.get_or_insert_with(|| lifetime.to_token_stream());
            }
        }
        fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
            self.0.get_or_insert_with(|| reference.to_token_stream());
        }
        // `fn(&T)` borrows nothing.
        fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}
    }
    let mut finder = Finder(None);
    finder.visit_type_mut(&mut ty.clone());
    finder.0
}

/// The first `impl Trait` inside a type.
pub(crate) fn impl_trait_within(ty: &Type) -> Option<TypeImplTrait> {
    struct Finder(Option<TypeImplTrait>);
    impl VisitMut for Finder {
        fn visit_type_impl_trait_mut(&mut self, found: &mut TypeImplTrait) {
            self.0.get_or_insert_with(|| found.clone());
        }
    }
    let mut finder = Finder(None);
    finder.visit_type_mut(&mut ty.clone());
    finder.0
}

/// The text of tokens without spaces, but where two words would become one.
pub(crate) fn canonical(tokens: &TokenStream) -> String {
    let mut text = String::new();
    write(tokens, false, &mut text);
    text
}

/// The text of tokens as a person would write them.
pub(crate) fn readable(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    write(&tokens.to_token_stream(), true, &mut text);
    text
}

fn write(tokens: &TokenStream, spaced: bool, text: &mut String) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for token in tokens.clone() {
        let piece = match &token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let mut inner = String::from(open);
                write(&group.stream(), spaced, &mut inner);
                inner + close
            }
            other => other.to_string(),
        };
        // A trailing comma says nothing.
        if piece == ">" && text.ends_with(',') {
            text.pop();
        }
        let words = text.ends_with(is_word) && piece.starts_with(is_word);
        let after_comma = spaced && text.ends_with(',') && piece != ">";
        if words || after_comma {
            text.push(' ');
        }
        text.push_str(&piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> (Passing, String) {
        let shape = Shape::of(&syn::parse_str(text).unwrap());
        (shape.passing, shape.canonical())
    }

    #[test]
    fn borrowed_and_owned_arguments_are_the_same_in_a_journal() {
        assert_eq!(shape("&str"), (Passing::Text, "String".into()));
        assert_eq!(shape("String"), (Passing::Value, "String".into()));
        assert_eq!(shape("&[u8]"), (Passing::Slice, "Vec<u8>".into()));
        assert_eq!(shape("Option<&[T]>"), (Passing::OptionSlice, "Option<Vec<T>>".into()));
        assert_eq!(shape("Option<&str>"), (Passing::OptionText, "Option<String>".into()));
        assert_eq!(shape("Option<&Order>"), (Passing::Option, "Option<Order>".into()));
        assert_eq!(shape("&HashMap<String, u32,>"), (Passing::Reference, "HashMap<String,u32>".into()));
    }

    #[test]
    fn words_stay_apart() {
        let ty: Type = syn::parse_str("Box<dyn Fn(u8, u8) -> u8 + Send>").unwrap();
        assert_eq!(canonical(&ty.to_token_stream()), "Box<dyn Fn(u8,u8)->u8+Send>");
        assert_eq!(readable(&ty), "Box<dyn Fn(u8, u8)->u8+Send>");
    }
}
