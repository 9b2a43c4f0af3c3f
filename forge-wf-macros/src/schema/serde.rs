//! Reads what serde's attributes say of the form of a type.
//!
//! Takes attributes; hands on [`Container`], and [`Named`] for variants and fields. What serde itself refuses is not judged here, and
//! what does not change the form (`bound`, `crate`, `alias`, `borrow`) is passed over.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, LitStr, Token, Type};

use super::names::{Rule, Rules};
use crate::check::Errors;

/// What is written and what is read, which may differ.
#[derive(Default)]
pub(super) struct Both<T> {
    pub(super) written: Option<T>,
    pub(super) read: Option<T>,
}

/// What stands on a type.
#[derive(Default)]
pub(super) struct Container {
    pub(super) rename_all: Rules,
    pub(super) rename_all_fields: Rules,
    pub(super) tag: Option<String>,
    pub(super) content: Option<String>,
    pub(super) from: Option<Type>,
    pub(super) into: Option<Type>,
    /// Words that count as they stand, sorted.
    pub(super) flags: Vec<&'static str>,
}

/// What stands on a variant or a field.
#[derive(Default)]
pub(super) struct Named {
    pub(super) rename: Both<String>,
    pub(super) rename_all: Rules,
    pub(super) skipped: bool,
    pub(super) flattened: bool,
    /// Whether its type counts by its name, by an attribute of our own.
    pub(super) opaque: bool,
    /// The paths of functions that write and read it.
    pub(super) with: Vec<String>,
    /// Words that count as they stand, sorted.
    pub(super) flags: Vec<&'static str>,
}

impl Container {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    pub(super) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut container = Self::default();
        each(attrs, errors, |word, meta| {
            match word {
                "rename_all" => container.rename_all = rules(meta)?,
                "rename_all_fields" => container.rename_all_fields = rules(meta)?,
                "tag" => container.tag = Some(text(meta)?),
                "content" => container.content = Some(text(meta)?),
                "from" | "try_from" => container.from = Some(meta.value()?.parse::<LitStr>()?.parse()?),
                "into" => container.into = Some(meta.value()?.parse::<LitStr>()?.parse()?),
                "default" => flag(&mut container.flags, "default", meta)?,
                "untagged" => flag(&mut container.flags, "untagged", meta)?,
                "transparent" => flag(&mut container.flags, "transparent", meta)?,
                "deny_unknown_fields" => flag(&mut container.flags, "deny_unknown_fields", meta)?,
                _ => pass_over(meta)?,
            }
            Ok(())
        });
        container.flags.sort_unstable();
        container
    }
}

impl Named {
    pub(super) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut named = Self::default();
        each(attrs, errors, |word, meta| {
            match word {
                "rename" => named.rename = both(meta, |text| Ok(text.value()))?,
                "rename_all" => named.rename_all = rules(meta)?,
                "skip" => named.skipped = true,
                "flatten" => named.flattened = true,
                "with" | "serialize_with" | "deserialize_with" => named.with.push(format!("{word} {}", text(meta)?)),
                "default" => flag(&mut named.flags, "default", meta)?,
                "skip_serializing" => flag(&mut named.flags, "skip_serializing", meta)?,
                "skip_deserializing" => flag(&mut named.flags, "skip_deserializing", meta)?,
                "skip_serializing_if" => flag(&mut named.flags, "skip_serializing_if", meta)?,
                "other" => flag(&mut named.flags, "other", meta)?,
                "untagged" => flag(&mut named.flags, "untagged", meta)?,
                _ => pass_over(meta)?,
            }
            Ok(())
        });
        named.flags.sort_unstable();
        named
    }
}

fn each(attrs: &[Attribute], errors: &mut Errors, mut read: impl FnMut(&str, &ParseNestedMeta<'_>) -> syn::Result<()>) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        let read = attr.parse_nested_meta(|meta| {
            let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            read(&word, &meta)
        });
        if read.is_err() {
            errors.add(attr, "`#[derive(Schema)]` cannot read this; if serde does, please report it");
        }
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

/// `word` or `word = ".."`, which counts as the word.
fn flag(flags: &mut Vec<&'static str>, word: &'static str, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    flags.push(word);
    pass_over(meta)
}

fn pass_over(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        let inside;
        syn::parenthesized!(inside in meta.input);
        inside.parse::<proc_macro2::TokenStream>()?;
    }
    Ok(())
}

/// `word = ".."`, or `word(serialize = "..", deserialize = "..")`.
fn both<T: Clone>(meta: &ParseNestedMeta<'_>, read: impl Fn(&LitStr) -> syn::Result<T>) -> syn::Result<Both<T>> {
    if meta.input.peek(Token![=]) {
        let one = read(&meta.value()?.parse()?)?;
        return Ok(Both { written: Some(one.clone()), read: Some(one) });
    }
    let mut found = Both { written: None, read: None };
    meta.parse_nested_meta(|side| {
        let one = Some(read(&side.value()?.parse()?)?);
        if side.path.is_ident("serialize") {
            found.written = one
        } else {
            found.read = one
        }
        Ok(())
    })?;
    Ok(found)
}

fn rules(meta: &ParseNestedMeta<'_>) -> syn::Result<Rules> {
    let rule = |text: &LitStr| Rule::named(&text.value()).ok_or_else(|| syn::Error::new(text.span(), "no such rule"));
    let Both { written, read } = both(meta, rule)?;
    Ok(Rules { written: written.unwrap_or_default(), read: read.unwrap_or_default() })
}
