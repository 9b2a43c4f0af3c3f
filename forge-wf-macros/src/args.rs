//! Parses what stands inside `#[step(..)]`, `#[workflow(..)]`, `#[helper(..)]` and `#[event(..)]`.
//!
//! Takes tokens; hands on [`Args`] with whatever could be read, and adds every error it meets to the list, each on its
//! own token. Never stops at the first one.

mod compensate;
mod entry;
mod retry;

use std::fmt;
use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Lit, LitStr, Path, Token, Type};

pub(crate) use self::compensate::Compensate;
use self::compensate::compensate;
use self::entry::{Entry, Value, checked_name, entries, split};
pub(crate) use self::entry::{NAME_BYTES_MAX, similar};
use self::retry::{Retry, retry};
use crate::check::Errors;
use crate::shape;

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
            Self::Step => (&["compensate", "retry", "timeout", "name", "marker", "crate"], &[]),
            Self::Workflow => (
                &[
                    "version",
                    "status",
                    "replaces",
                    "signature",
                    "compensate",
                    "timeout",
                    "name",
                    "steps",
                    "events",
                    "marker",
                    "crate",
                ],
                &["schedule"],
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

/// A signature that is written down, and must not change unnoticed.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) hash: u128,
    pub(crate) lit: LitStr,
}

/// Everything an attribute may say.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) compensate: Option<Compensate>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    /// What the version is for, as the variant that says so.
    pub(crate) status: Option<&'static str>,
    /// The version whose runs go on with this one.
    pub(crate) replaces: Option<String>,
    pub(crate) signature: Option<Pinned>,
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
                "compensate" => args.compensate = compensate(&entry, errors),
                "retry" => args.retry = retry(&entry, errors),
                "timeout" => args.timeout = entry.duration("\"30s\"", errors).map(|(timeout, _)| timeout),
                "name" => args.name = entry.name("a name such as", options.example_name, errors),
                "version" => args.version = entry.name("a string such as", "\"1\"", errors),
                "replaces" => args.replaces = entry.name("the version whose runs go on here, such as", "\"1\"", errors),
                "status" => args.status = status(&entry, errors),
                "signature" => args.signature = pinned(&entry, errors),
                "marker" => args.marker = entry.value("a name for the type, such as `Charge`", errors),
                "crate" => args.root = entry.path("the path of forge_wf, such as `::durable`", errors),
                "events" => args.read_events(&entry, errors),
                _ => args.steps = named_steps(&entry, errors),
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

/// The words for what a version is for, and the variants of `VersionStatus` that say the same.
const STATUSES: [(&str, &str); 3] = [("active", "Active"), ("deprecated", "Deprecated"), ("staging", "Staging")];

fn status(entry: &Entry, errors: &mut Errors) -> Option<&'static str> {
    let word: Ident = entry.value("`active`, `deprecated` or `staging`", errors)?;
    let text = word.unraw().to_string();
    let found = STATUSES.into_iter().find(|(status, _)| *status == text);
    if found.is_none() {
        let hint = similar(&text, &STATUSES.map(|(status, _)| status));
        let hint = hint.map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default();
        errors.add(word, format!("expected `active`, `deprecated` or `staging`{hint}"));
    }
    found.map(|(_, variant)| variant)
}

fn pinned(entry: &Entry, errors: &mut Errors) -> Option<Pinned> {
    let example = "\"0123456789abcdef0123456789abcdef\"";
    let lit = entry.string(&format!("a signature such as {example}"), errors)?;
    let text = lit.value();
    let hash = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32 && !text.starts_with('+'));
    if hash.is_none() {
        errors.add(
            &lit,
            "expected the 32 hexadecimal digits of a signature; of a wrong one the compiler says the right one",
        );
    }
    hash.map(|hash| Pinned { hash, lit })
}

fn named_steps(entry: &Entry, errors: &mut Errors) -> Vec<NamedStep> {
    let Value::List(tokens) = &entry.value else {
        errors.add(&entry.key, "expected a list: write `steps(charge, ship)`");
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
    fn a_workflow_has_a_timeout() {
        let (args, errors) = parse(Kind::Workflow, r#"timeout = "7d", version = "2""#);
        assert_eq!((errors.len(), args.timeout), (0, Some(Duration::from_secs(7 * 86_400))));
        assert!(parse(Kind::Helper, r#"timeout = "7d""#).1[0].contains("unknown option `timeout`"));
    }

    #[test]
    fn all_errors_are_told_at_once_and_the_rest_is_kept() {
        let text =
            r#"retry(max = 0, jitter = 2), timeuot = "3s", timeout = "0s", name = 7, compensate = || undo, marker = M"#;
        let (args, errors) = parse(Kind::Step, text);
        assert_eq!(errors.len(), 6, "{errors:#?}");
        assert!(errors[0].contains("unknown option `timeuot`") && errors[0].contains("did you mean `timeout`?"));
        assert!(errors[5].contains("write `compensate = refund` or `compensate = refund(output.id)`"), "{errors:#?}");
        assert!(args.compensate.is_none() && args.retry.is_some() && args.marker.is_some());
    }

    #[test]
    fn a_compensation_is_a_path_or_a_call() {
        let read = |text: &str| {
            let (args, errors) = parse(Kind::Step, &format!("compensate = {text}"));
            assert_eq!(errors, [""; 0]);
            let compensate = args.compensate.unwrap();
            (shape::canonical(&quote::ToTokens::to_token_stream(compensate.marker())), compensate)
        };
        let (marker, path) = read("pay::refund");
        assert_eq!((marker.as_str(), path.call.is_none(), path.canonical()), ("pay::refund", true, "".into()));
        assert_eq!(read("refund as Refund").0, "Refund");
        let (marker, call) = read("refund(output.id, &order . cents,)");
        assert_eq!((marker.as_str(), call.canonical()), ("refund", "output.id,&order.cents".into()));
        assert!(call.output().is_some());
        assert!(read("refund as Refund(order)").1.output().is_none());
        for wrong in ["", "7", "|x| x", "refund!(x)", "a.refund(x)", "refund(x).y()", "refund(a b)", "Self::<T>::x"] {
            let (args, errors) = parse(Kind::Step, &format!("compensate = {wrong}"));
            assert!(args.compensate.is_none() && errors.len() == 1, "{wrong}: {errors:?}");
            assert!(errors[0].starts_with("expected the path of a step, or a call of one"), "{wrong}: {errors:?}");
        }
        assert_eq!(parse(Kind::Step, "compensate(refund)").1.len(), 1);
        assert!(parse(Kind::Workflow, "compensate = undo(output)").0.compensate.is_some());
        assert!(parse(Kind::Helper, "compensate = undo").1[0].contains("unknown option `compensate`"));
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
}
