//! Takes the inside of an attribute apart: at its commas, then each part into a key and what it is given.
//!
//! Takes tokens and the keys that may stand there; hands on [`Entry`]s, which read themselves as what their key expects.
//! Knows no key by name.

use std::time::Duration;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Lit, LitStr, Path};

use crate::check::Errors;

/// How long a name may be. As in `forge_wf::model::limits`: a journal key, `event:` or `child:` and the name, must fit
/// an index row.
pub(crate) const NAME_BYTES_MAX: usize = 200 - "event:".len();

/// What a key is given.
pub(super) enum Value {
    /// `key`
    None,
    /// `key = ..`
    Is(TokenStream),
    /// `key(..)`
    List(TokenStream),
}

/// One of the things between the commas.
pub(super) struct Entry {
    pub(super) key: Ident,
    pub(super) value: Value,
}

impl Entry {
    pub(super) fn value<T: syn::parse::Parse>(&self, expected: &str, errors: &mut Errors) -> Option<T> {
        let Value::Is(tokens) = &self.value else {
            errors.add(&self.key, format!("expected {expected}, after `{} =`", self.key));
            return None;
        };
        match syn::parse2(tokens.clone()) {
            Ok(value) => Some(value),
            Err(_) => {
                errors.add(tokens, format!("expected {expected}"));
                None
            }
        }
    }

    pub(super) fn path(&self, expected: &str, errors: &mut Errors) -> Option<Path> {
        let Value::Is(tokens) = &self.value else { return self.value(expected, errors) };
        match Path::parse_mod_style.parse2(tokens.clone()) {
            Ok(path) => Some(path),
            Err(_) => self.value(expected, errors),
        }
    }

    pub(super) fn string(&self, expected: &str, errors: &mut Errors) -> Option<LitStr> {
        match self.value::<Lit>(expected, errors)? {
            Lit::Str(lit) => Some(lit),
            other => {
                errors.add(other, format!("expected {expected}"));
                None
            }
        }
    }

    pub(super) fn name(&self, what: &str, example: &str, errors: &mut Errors) -> Option<String> {
        let lit = self.string(&format!("{what} `{example}`"), errors)?;
        checked_name(&lit, what, example, errors)
    }

    /// `"1s"` is the same twice; a range only where the example has one.
    pub(super) fn duration(&self, example: &str, errors: &mut Errors) -> Option<(Duration, Duration)> {
        let lit = self.string(&format!("a duration such as {example}"), errors)?;
        let text = lit.value();
        let read = match text.split_once("..").filter(|_| example.contains("..")) {
            Some((first, longest)) => duration(first).and_then(|first| Ok((first, duration(longest)?))),
            None => duration(&text).map(|both| (both, both)),
        };
        match read {
            Ok((first, longest)) if first > longest => {
                errors.add(lit, "the first wait is longer than the longest: swap them");
                None
            }
            Ok(both) => Some(both),
            Err(problem) => {
                errors.add(lit, format!("expected a duration such as {example}: {problem}"));
                None
            }
        }
    }
}

pub(super) fn checked_name(lit: &LitStr, what: &str, example: &str, errors: &mut Errors) -> Option<String> {
    let text = lit.value();
    if text.is_empty() {
        errors.add(lit, format!("expected {what} `{example}`, not an empty one"));
    } else if text.len() > NAME_BYTES_MAX {
        errors.add(lit, format!("too long: at most {NAME_BYTES_MAX} bytes"));
    } else if text.chars().any(char::is_control) {
        errors.add(lit, "expected text without control characters");
    } else {
        return Some(text);
    }
    None
}

fn duration(text: &str) -> Result<Duration, String> {
    /// Longer is a slip of the pen, and would not fit the clock's arithmetic everywhere.
    const LONGEST_DAYS: u64 = 3_650;
    let duration = humantime::parse_duration(text.trim()).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        Err(String::from("it is zero"))
    } else if duration > Duration::from_secs(LONGEST_DAYS * 86_400) {
        Err(String::from("it is longer than ten years"))
    } else {
        Ok(duration)
    }
}

/// Takes tokens apart at the commas and checks the keys.
pub(super) fn entries(tokens: TokenStream, keys: &[&str], later: &[&str], errors: &mut Errors) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for part in split(tokens) {
        let mut rest = part.clone().into_iter();
        let Some(TokenTree::Ident(key)) = rest.next() else {
            errors.add(part, format!("expected one of {}", list(keys)));
            continue;
        };
        let name = key.unraw().to_string();
        if later.contains(&name.as_str()) {
            errors.add(&key, format!("`{name}` is not supported yet"));
        } else if !keys.contains(&name.as_str()) {
            let hint = similar(&name, keys).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            errors.add(&key, format!("unknown option `{name}`, expected one of {}{hint}", list(keys)));
        } else if entries.iter().any(|entry| entry.key.unraw() == name) {
            errors.add(&key, format!("`{name}` is given twice"));
        } else {
            match value(rest) {
                Ok(value) => entries.push(Entry { key, value }),
                Err(wrong) => errors.add(wrong, format!("expected `,`, or `=` and a value after `{name}`")),
            }
        }
    }
    entries
}

fn value(mut rest: impl Iterator<Item = TokenTree>) -> Result<Value, TokenStream> {
    match rest.next() {
        None => Ok(Value::None),
        Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => Ok(match rest.collect::<TokenStream>() {
            tokens if tokens.is_empty() => Value::None,
            tokens => Value::Is(tokens),
        }),
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => match rest.next() {
            None => Ok(Value::List(group.stream())),
            Some(extra) => Err(extra.into_token_stream()),
        },
        Some(other) => Err(other.into_token_stream()),
    }
}

/// What stands between the commas; those inside `<..>` part nothing.
pub(super) fn split(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    let (mut depth, mut before) = (0_usize, ' ');
    for token in tokens {
        let punct = if let TokenTree::Punct(punct) = &token { punct.as_char() } else { ' ' };
        match punct {
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = punct;
        if punct == ',' && depth == 0 {
            parts.push(TokenStream::new());
        } else {
            parts.last_mut().expect("it starts with one part and only grows").extend([token]);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// The key that was probably meant.
pub(crate) fn similar<'k>(name: &str, keys: &[&'k str]) -> Option<&'k str> {
    let near = keys.iter().map(|key| (distance(name, key), *key)).min()?;
    (near.0 <= 2 && near.0 < name.len()).then_some(near.1)
}

/// How many letters to add, drop or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_far_away_is_suggested() {
        assert_eq!(similar("verison", &["version", "name", "steps"]), Some("version"));
        assert_eq!(similar("colour", &["version", "name", "steps"]), None);
        assert_eq!(distance("", "abc"), 3);
    }
}
