//! Parses what stands inside `#[step(..)]`, `#[workflow(..)]`, `#[helper(..)]` and `#[event(..)]`.
//!
//! Takes tokens; hands on [`Args`] with whatever could be read, and adds every error it meets to the list, each on its
//! own token. Never stops at the first one.

use std::fmt;
use std::time::Duration;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Lit, LitStr, Path, Token, Type};

use crate::check::Errors;
use crate::shape;

/// How long a name may be. As in `forge_wf::model::limits`: a journal key, `event:` or `child:` and the name, must fit
/// an index row.
pub(crate) const NAME_BYTES_MAX: usize = 200 - "event:".len();

/// Which attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Step,
    Workflow,
    Helper,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Step => "step",
            Self::Workflow => "workflow",
            Self::Helper => "helper",
        })
    }
}

impl Kind {
    /// What it may say.
    pub(crate) fn options(self) -> Options {
        let (keys, later): (&'static [_], &'static [_]) = match self {
            Self::Step => (&["retry", "timeout", "name", "marker", "crate"], &["compensate"]),
            Self::Workflow => (
                &["version", "name", "steps", "events", "marker", "crate"],
                &["signature", "replaces", "schedule", "timeout", "compensate", "status"],
            ),
            Self::Helper => (&["steps", "events", "marker", "crate"], &[]),
        };
        Options { keys, later, example_name: "\"checkout\"" }
    }
}

/// What an attribute may say.
pub(crate) struct Options {
    keys: &'static [&'static str],
    /// Keys that a later release brings.
    later: &'static [&'static str],
    /// For its messages.
    example_name: &'static str,
}

impl Options {
    /// Of `#[event(..)]`.
    pub(crate) const EVENT: Self = Self { keys: &["name", "crate"], later: &[], example_name: "\"approved\"" };
}

/// `retry(..)`.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) max: u32,
    /// The first and the longest wait.
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) jitter: Option<f64>,
    /// `if = path`
    pub(crate) condition: Option<Path>,
}

/// A part of `steps(..)`: a path, or `path as Marker` for a callee whose type has another name.
#[derive(Debug)]
pub(crate) struct NamedStep {
    pub(crate) call: Path,
    pub(crate) marker: Option<Path>,
}

impl syn::parse::Parse for NamedStep {
    fn parse(input: syn::parse::ParseStream) -> syn::Result<Self> {
        let call = Path::parse_mod_style(input)?;
        let marker = match input.parse::<Option<syn::Token![as]>>()? {
            Some(_) => Some(Path::parse_mod_style(input)?),
            None => None,
        };
        Ok(Self { call, marker })
    }
}

/// An event that is waited for by name.
#[derive(Debug)]
pub(crate) struct NamedEvent {
    pub(crate) name: String,
    /// Of its payload.
    pub(crate) ty: Type,
}

/// Everything an attribute may say.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) marker: Option<Ident>,
    pub(crate) root: Option<Path>,
    pub(crate) steps: Vec<NamedStep>,
    /// The types in `events(..)`.
    pub(crate) events: Vec<Path>,
    /// The names in `events(..)`, each once.
    pub(crate) named_events: Vec<NamedEvent>,
}

impl Args {
    /// Reads all of it.
    pub(crate) fn parse(options: &Options, tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        for entry in entries(tokens, options.keys, options.later, errors) {
            match entry.key.unraw().to_string().as_str() {
                "retry" => args.retry = retry(&entry, errors),
                "timeout" => args.timeout = entry.duration("\"30s\"", errors).map(|(timeout, _)| timeout),
                "name" => args.name = entry.name("a name such as", options.example_name, errors),
                "version" => args.version = entry.name("a string such as", "\"1\"", errors),
                "marker" => args.marker = entry.value("a name for the type, such as `Charge`", errors),
                "crate" => args.root = entry.path("the path of forge_wf, such as `::durable`", errors),
                "events" => args.read_events(&entry, errors),
                _ => args.steps = entry.paths(errors),
            }
        }
        args
    }

    fn read_events(&mut self, entry: &Entry, errors: &mut Errors) {
        let Value::List(tokens) = &entry.value else {
            let example = "`events(Approved)`, or `events(\"approved\": Approval)` for a wait by name";
            return errors.add(&entry.key, format!("expected a list: write {example}"));
        };
        for part in split(tokens.clone()) {
            if let Ok(path) = Path::parse_mod_style.parse2(part.clone()) {
                self.events.push(path);
                continue;
            }
            let Some(event) = named_event(&part, errors) else { continue };
            if self.named_events.iter().any(|known| known.name == event.name) {
                let name = part.into_iter().next();
                errors.add(name, format!("the event {:?} is given twice: a name has one payload", event.name));
            } else {
                self.named_events.push(event);
            }
        }
    }
}

fn named_event(part: &TokenStream, errors: &mut Errors) -> Option<NamedEvent> {
    let wrong =
        "expected the type of an event, or a name and the type of its payload, such as `\"approved\": Approval`";
    let mut rest = part.clone().into_iter();
    let first = rest.next()?;
    let Ok(Lit::Str(lit)) = syn::parse2::<Lit>(first.into()) else {
        errors.add(part, wrong);
        return None;
    };
    let name = checked_name(&lit, "a name such as", "\"approved\"", errors)?;
    let named = |input: syn::parse::ParseStream<'_>| {
        input.parse::<Token![:]>()?;
        input.parse::<Type>()
    };
    let Ok(ty) = named.parse2(rest.collect()) else {
        errors.add(part, format!("expected a name and the type of its payload: write `{}: Type`", lit.token()));
        return None;
    };
    if let Some(found) = shape::impl_trait_within(&ty) {
        errors.add(found, "the signature names the type of a payload: name it instead of `impl Trait`");
        return None;
    }
    if let Some(borrow) = shape::borrow_within(&ty) {
        errors
            .add(borrow, "a payload is read back from the journal, so nothing in it is borrowed: write the owned type");
        return None;
    }
    Some(NamedEvent { name, ty })
}

fn retry(entry: &Entry, errors: &mut Errors) -> Option<Retry> {
    let Value::List(tokens) = &entry.value else {
        errors.add(&entry.key, "expected a list: write `retry(max = 5)`");
        return None;
    };
    let (mut max, mut backoff, mut jitter, mut condition) = (None, None, None, None);
    let mut max_was_given = false;
    for entry in entries(tokens.clone(), &["max", "backoff", "jitter", "if"], &[], errors) {
        match entry.key.to_string().as_str() {
            "max" => {
                max_was_given = true;
                max = attempts(&entry, errors);
            }
            "backoff" => backoff = entry.duration("\"200ms..30s\" or \"1s\"", errors),
            "jitter" => jitter = share(&entry, errors),
            _ => condition = entry.path("the path of a `fn(&E) -> bool`", errors),
        }
    }
    if !max_was_given {
        errors.add(&entry.key, "how often? Write `retry(max = 5)`: the number of attempts, the first included");
    }
    Some(Retry { max: max.unwrap_or(1), backoff, jitter, condition })
}

fn attempts(entry: &Entry, errors: &mut Errors) -> Option<u32> {
    let expected = "a number of attempts such as `5`";
    match entry.value::<Lit>(expected, errors)? {
        Lit::Int(lit) => match lit.base10_parse::<u32>() {
            Ok(0) => errors.add(lit, "`max` counts every attempt, so it is at least 1"),
            Ok(max) => return Some(max),
            Err(error) => errors.add(lit, format!("expected {expected}: {error}")),
        },
        other => errors.add(other, format!("expected {expected}")),
    }
    None
}

fn share(entry: &Entry, errors: &mut Errors) -> Option<f64> {
    let expected = "a share of the wait, from 0 to 1, such as `0.2`";
    let lit = entry.value::<Lit>(expected, errors)?;
    let number = match &lit {
        Lit::Int(lit) => lit.base10_parse().ok(),
        Lit::Float(lit) => lit.base10_parse::<f64>().ok(),
        _ => None,
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    if number.is_none() {
        errors.add(lit, format!("expected {expected}"));
    }
    number
}

enum Value {
    None,
    Is(TokenStream),
    List(TokenStream),
}

/// One of the things between the commas.
struct Entry {
    key: Ident,
    value: Value,
}

impl Entry {
    fn value<T: syn::parse::Parse>(&self, expected: &str, errors: &mut Errors) -> Option<T> {
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

    fn path(&self, expected: &str, errors: &mut Errors) -> Option<Path> {
        let Value::Is(tokens) = &self.value else { return self.value(expected, errors) };
        match Path::parse_mod_style.parse2(tokens.clone()) {
            Ok(path) => Some(path),
            Err(_) => self.value(expected, errors),
        }
    }

    fn paths(&self, errors: &mut Errors) -> Vec<NamedStep> {
        let Value::List(tokens) = &self.value else {
            errors.add(&self.key, "expected a list: write `steps(charge, ship)`");
            return Vec::new();
        };
        let mut paths = Vec::new();
        for part in split(tokens.clone()) {
            match syn::parse2(part.clone()) {
                Ok(named) => paths.push(named),
                Err(_) => errors.add(part, "expected the path of a step, helper or workflow, or `path as Marker`"),
            }
        }
        paths
    }

    fn string(&self, expected: &str, errors: &mut Errors) -> Option<LitStr> {
        match self.value::<Lit>(expected, errors)? {
            Lit::Str(lit) => Some(lit),
            other => {
                errors.add(other, format!("expected {expected}"));
                None
            }
        }
    }

    fn name(&self, what: &str, example: &str, errors: &mut Errors) -> Option<String> {
        let lit = self.string(&format!("{what} `{example}`"), errors)?;
        checked_name(&lit, what, example, errors)
    }

    /// `"1s"` is the same twice; a range only where the example has one.
    fn duration(&self, example: &str, errors: &mut Errors) -> Option<(Duration, Duration)> {
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

fn checked_name(lit: &LitStr, what: &str, example: &str, errors: &mut Errors) -> Option<String> {
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
fn entries(tokens: TokenStream, keys: &[&str], later: &[&str], errors: &mut Errors) -> Vec<Entry> {
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
fn split(tokens: TokenStream) -> Vec<TokenStream> {
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

    fn parse(kind: Kind, text: &str) -> (Args, Vec<String>) {
        let mut errors = Errors::default();
        let args = Args::parse(&kind.options(), text.parse().unwrap(), &mut errors);
        (args, errors.messages())
    }

    #[test]
    fn every_option_of_a_step_is_read() {
        let text = r#"retry(max = 5, backoff = "200ms..30s", jitter = 0.5, if = errors::passing),
                      timeout = "1m 30s", name = "charge-card", marker = Charge, crate = ::durable,"#;
        let (args, errors) = parse(Kind::Step, text);
        assert_eq!(errors, [""; 0]);
        let retry = args.retry.unwrap();
        assert_eq!((retry.max, retry.jitter), (5, Some(0.5)));
        assert_eq!(retry.backoff, Some((Duration::from_millis(200), Duration::from_secs(30))));
        assert_eq!(retry.condition.unwrap().segments.len(), 2);
        assert_eq!(args.timeout, Some(Duration::from_secs(90)));
        assert_eq!(args.name.as_deref(), Some("charge-card"));
        assert_eq!(args.marker.unwrap(), "Charge");
        assert!(args.root.unwrap().leading_colon.is_some());
    }

    #[test]
    fn all_errors_are_told_at_once_and_the_rest_is_kept() {
        let text =
            r#"retry(max = 0, jitter = 2), timeuot = "3s", timeout = "0s", name = 7, compensate = undo, marker = M"#;
        let (args, errors) = parse(Kind::Step, text);
        assert_eq!(errors.len(), 6, "{errors:#?}");
        assert!(errors[0].contains("unknown option `timeuot`") && errors[0].contains("did you mean `timeout`?"));
        assert_eq!(errors[1], "`compensate` is not supported yet");
        assert!(args.retry.is_some() && args.marker.is_some());
    }

    #[test]
    fn a_key_is_given_once_and_with_a_value() {
        let (_, errors) = parse(Kind::Workflow, r#"version = "1", version = "2", name, steps = charge"#);
        assert_eq!(errors[0], "`version` is given twice");
        assert!(errors[1].contains("after `name =`"), "{errors:?}");
        assert!(errors[2].contains("steps(charge, ship)"), "{errors:?}");
    }

    #[test]
    fn events_are_types_and_names() {
        let text = r#"events(Approved, a::B, "one": HashMap<String, (u8, u8)>, "two": fn() -> u8,)"#;
        let (args, errors) = parse(Kind::Helper, text);
        assert_eq!(errors, [""; 0]);
        assert_eq!(args.events.len(), 2);
        let named: Vec<_> = args.named_events.iter().map(|event| (&*event.name, shape::readable(&event.ty))).collect();
        assert_eq!(named, [("one", "HashMap<String, (u8, u8)>".into()), ("two", "fn()->u8".into())]);
    }

    #[test]
    fn what_is_wrong_with_an_event_is_told() {
        let text =
            r#"events(A<B>, "one", "one": u8, "one": u16, "": u8, 7: u8, "x" = u8, "x": &'static str, "x": &str)"#;
        let (args, errors) = parse(Kind::Workflow, text);
        assert!(errors[0].contains("expected the type of an event"), "{errors:?}");
        assert!(errors[1].contains(r#"write `"one": Type`"#), "{errors:?}");
        assert!(errors[2].contains(r#"the event "one" is given twice"#), "{errors:?}");
        assert!(errors[3].contains("not an empty one"), "{errors:?}");
        assert!(errors[4].contains("expected the type of an event"), "{errors:?}");
        assert!(errors[5].contains(r#"write `"x": Type`"#), "{errors:?}");
        assert!(errors[6].contains("write the owned type") && errors[7].contains("write the owned type"), "{errors:?}");
        assert_eq!((errors.len(), args.named_events.len()), (8, 1));
        assert!(parse(Kind::Workflow, "events = A").1[0].contains("write `events(Approved)`"));
        assert!(parse(Kind::Step, "events(A)").1[0].contains("unknown option `events`"));
    }

    #[test]
    fn a_name_fits_into_a_journal_key() {
        let named = |length: usize| parse(Kind::Step, &format!("name = {:?}", "x".repeat(length))).1;
        assert_eq!(named(194), [""; 0]);
        assert_eq!(named(195), ["too long: at most 194 bytes"]);
    }

    #[test]
    fn nothing_far_away_is_suggested() {
        assert_eq!(similar("verison", Kind::Workflow.options().keys), Some("version"));
        assert_eq!(similar("colour", Kind::Workflow.options().keys), None);
        assert_eq!(distance("", "abc"), 3);
    }
}
