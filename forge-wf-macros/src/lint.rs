//! The determinism lint: what gives something else on every replay has no place in the body of a workflow or helper.
//!
//! Takes a body's tokens; adds an error for each such thing, on its own token, that says what to write instead. Works on tokens, as
//! the scan does, since such calls hide in `join!` and in users' macros. A heuristic: what it misses, `replays_equal` and the replay
//! itself find; `forge_wf::nondet!(..)` is the way out.

use std::collections::{HashMap, HashSet};

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::ToTokens;

use crate::check::Errors;
use crate::model::{Function, Role};
use crate::scan::{flatten, is_colons, is_punct, is_word};

/// Every such thing in the body of this function.
pub(crate) fn check(function: &Function, errors: &mut Errors) {
    let body = flatten(function.block.to_token_stream());
    let ctx = function.params.first().and_then(|param| param.name()).map_or_else(|| "ctx".into(), Ident::to_string);
    let mut lint = Lint { ctx, uses: HashMap::new(), unordered: HashSet::new(), errors };
    let unordered = function.of_role(Role::Argument).filter(|param| {
        let tokens = flatten(param.ty.to_token_stream());
        path_at(&tokens, tokens.iter().position(|token| matches!(token, TokenTree::Ident(_))).unwrap_or(0))
            .is_some_and(|path| path.words.last().is_some_and(|last| UNORDERED.contains(&&**last)))
    });
    lint.unordered.extend(unordered.filter_map(|param| param.name()).map(Ident::to_string));
    lint.note_uses(&body);
    lint.scan(&body);
}

/// Collections whose order differs from process to process.
const UNORDERED: [&str; 2] = ["HashMap", "HashSet"];
/// What walks over a collection.
const WALKS: [&str; 10] =
    ["iter", "iter_mut", "into_iter", "keys", "into_keys", "values", "values_mut", "into_values", "drain", "retain"];

struct Lint<'e> {
    ctx: String,
    /// What `use` in the body calls by another name.
    uses: HashMap<String, Vec<String>>,
    /// Locals and parameters that have no order.
    unordered: HashSet<String>,
    errors: &'e mut Errors,
}

/// A path in the tokens.
struct FoundPath {
    words: Vec<String>,
    tokens: TokenStream,
    /// Where the tokens go on.
    end: usize,
}

/// The path that starts here.
fn path_at(tokens: &[TokenTree], start: usize) -> Option<FoundPath> {
    let first = if is_colons(tokens, start) { start + 2 } else { start };
    let TokenTree::Ident(word) = tokens.get(first)? else { return None };
    let (mut words, mut end) = (vec![word.to_string()], first + 1);
    while is_colons(tokens, end)
        && let Some(TokenTree::Ident(word)) = tokens.get(end + 2)
    {
        words.push(word.to_string());
        end += 3;
    }
    Some(FoundPath { words, tokens: tokens[first..end].iter().cloned().collect(), end })
}

impl Lint<'_> {
    /// `use a::b as c;` and `use a::{b, c as d};` anywhere in the body.
    fn note_uses(&mut self, tokens: &[TokenTree]) {
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.note_uses(&flatten(group.stream())),
                TokenTree::Ident(word) if word == "use" => {
                    let end = tokens[at..].iter().position(|token| is_punct(Some(token), ';'));
                    self.note_use(&tokens[at + 1..end.map_or(tokens.len(), |end| at + end)], &[]);
                }
                _ => {}
            }
        }
    }

    fn note_use(&mut self, tokens: &[TokenTree], before: &[String]) {
        for part in tokens.split(|token| is_punct(Some(token), ',')) {
            let mut words = before.to_vec();
            let mut name = None;
            for (at, token) in part.iter().enumerate() {
                match token {
                    TokenTree::Group(group) => self.note_use(&flatten(group.stream()), &words),
                    TokenTree::Ident(word) if word == "as" => {
                        name = part.get(at + 1).map(ToString::to_string);
                        break;
                    }
                    TokenTree::Ident(word) if word != "self" => words.push(word.to_string()),
                    _ => {}
                }
            }
            if let Some(name) = name.or_else(|| words.last().cloned()) {
                self.uses.insert(name, words);
            }
        }
    }

    fn scan(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                TokenTree::Group(group) => {
                    self.scan(&flatten(group.stream()));
                    at + 1
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end = tokens[at..].iter().position(|token| is_punct(Some(token), ';'));
                    end.map_or(tokens.len(), |end| at + end)
                }
                // A function of its own, such as a step, is no part of the body.
                TokenTree::Ident(word) if word == "fn" => {
                    let is_block = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
                    let block = tokens[at..].iter().position(is_block);
                    block.map_or(tokens.len(), |block| at + block + 1)
                }
                TokenTree::Ident(word) if word == "let" => {
                    self.note_let(tokens, at + 1);
                    at + 1
                }
                TokenTree::Ident(word) if word == "for" => {
                    self.walk_by_for(tokens, at + 1);
                    at + 1
                }
                TokenTree::Ident(_) => self.path(tokens, at),
                _ => at + 1,
            };
        }
    }

    /// A path: whether it may stand here, and where to go on.
    fn path(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let Some(path) = path_at(tokens, at) else { return at + 1 };
        // A field or method is called what it likes.
        if at > 0
            && is_punct(tokens.get(at - 1), '.')
            && !is_punct(at.checked_sub(2).and_then(|two| tokens.get(two)), '.')
        {
            return path.end;
        }
        let mut words = path.words.clone();
        if let Some(used) = self.uses.get(&words[0]) {
            words.splice(..1, used.iter().cloned());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let last = *words.last().expect("a path has a word");
        if is_punct(tokens.get(path.end), '!') {
            let Some(TokenTree::Group(group)) = tokens.get(path.end + 1) else { return path.end };
            match last {
                "nondet" => return path.end + 2,
                "select" => self.select(&words, group, &path),
                _ => {}
            }
            return path.end + 1;
        }
        if let Some((problem, instead)) = self.instead(&words) {
            let written: Vec<_> = path.words.iter().map(String::as_str).collect();
            self.errors.add(
                &path.tokens,
                format!(
                    "`{}` {problem}: {instead}; or say that it does not matter, with `forge_wf::nondet!(..)`",
                    written.join("::")
                ),
            );
        } else if path.words.len() == 1 && self.unordered.contains(&path.words[0]) {
            let method = tokens.get(path.end + 1).map(ToString::to_string).unwrap_or_default();
            if is_punct(tokens.get(path.end), '.') && WALKS.contains(&&*method) {
                self.walk(&path.tokens);
            }
        }
        path.end
    }

    /// What is wrong with a path and what to write instead, if it has no place here.
    fn instead(&self, words: &[&str]) -> Option<(&'static str, String)> {
        const DIFFERS: &str = "gives something else when the run is replayed";
        const AGAIN: &str = "is not journaled, so every replay does it again";
        let ctx = &self.ctx;
        let clock = format!("write `{ctx}.now()`, or read the clock in a step");
        let ends = |parts: &[&str]| words.ends_with(parts);
        let first = words.first().copied().unwrap_or_default();
        let last = words.last().copied().unwrap_or_default();
        if ends(&["Utc", "now"]) || ends(&["Local", "now"]) || ends(&["SystemTime", "now"]) || ends(&["Instant", "now"])
        {
            return Some((DIFFERS, clock));
        }
        if words.len() > 1
            && words[words.len() - 2] == "Uuid"
            && (last.starts_with("new_v") || last.starts_with("now_v"))
        {
            return Some((DIFFERS, format!("write `{ctx}.uuid()`")));
        }
        if words.len() > 1 && matches!(first, "rand" | "fastrand" | "getrandom") || last == "thread_rng" {
            return Some((DIFFERS, format!("write `{ctx}.rng()`")));
        }
        if ends(&["tokio", "spawn"]) || ends(&["task", "spawn"]) || matches!(last, "spawn_blocking" | "spawn_local") {
            let instead = "make it a step, and run several at once with `join!` or `join_all`";
            return Some((AGAIN, instead.into()));
        }
        if last == "yield_now" {
            let instead = "leave it out, since every durable call lets other tasks run";
            return Some(("wakes the body from outside, which blocks the run", instead.into()));
        }
        if words.starts_with(&["tokio", "sync", "watch"])
            || first == "watch" && matches!(last, "channel" | "Sender" | "Receiver")
        {
            let instead = "write `tokio::sync::Notify` or a channel of `mpsc`";
            return Some(("wakes its receivers in random order, so a replay may take another path", instead.into()));
        }
        if words.starts_with(&["std", "thread"]) || first == "thread" && words.len() > 1 {
            return Some((AGAIN, format!("write `{ctx}.sleep(..)`, or make it a step")));
        }
        if words.starts_with(&["tokio", "time"])
            || first == "time" && matches!(last, "sleep" | "timeout" | "interval" | "sleep_until")
        {
            return Some((AGAIN, format!("write `{ctx}.sleep(..)`, or `.timeout(..)` on the call")));
        }
        None
    }

    /// `select!` without `biased` takes whichever branch it likes.
    fn select(&mut self, words: &[&str], group: &Group, path: &FoundPath) {
        let inner = flatten(group.stream());
        if is_word(inner.first(), "biased") && is_punct(inner.get(1), ';') {
            return;
        }
        let instead = if words.first().is_some_and(|first| first.starts_with("futures")) {
            "write `select_biased!`"
        } else {
            "begin it with `biased;`"
        };
        self.errors.add(&path.tokens, format!("this takes another branch when the run is replayed: {instead}"));
    }

    /// Notes a local that has no order.
    fn note_let(&mut self, tokens: &[TokenTree], at: usize) {
        let at = if is_word(tokens.get(at), "mut") { at + 1 } else { at };
        let Some(TokenTree::Ident(name)) = tokens.get(at) else { return };
        let end = tokens[at..].iter().position(|token| is_punct(Some(token), ';')).map_or(tokens.len(), |end| at + end);
        let typed = is_punct(tokens.get(at + 1), ':') && !is_colons(tokens, at + 1);
        let is_unordered = |path: FoundPath| path.words.iter().any(|word| UNORDERED.contains(&&**word));
        let starts = |from: usize| path_at(tokens, from).is_some_and(is_unordered);
        let collected = || {
            (at..end)
                .any(|place| is_word(tokens.get(place), "collect") && is_colons(tokens, place + 1) && starts(place + 4))
        };
        let unordered = if typed {
            path_at(tokens, at + 2)
                .is_some_and(|path| path.words.last().is_some_and(|last| UNORDERED.contains(&&**last)))
        } else {
            is_punct(tokens.get(at + 1), '=') && (starts(at + 2) || collected())
        };
        if unordered {
            self.unordered.insert(name.to_string())
        } else {
            self.unordered.remove(&name.to_string())
        };
    }

    /// `for x in map`, `for x in &map`.
    fn walk_by_for(&mut self, tokens: &[TokenTree], at: usize) {
        let Some(place) = tokens[at..].iter().position(|token| is_word(Some(token), "in")) else { return };
        let mut over = at + place + 1;
        while is_punct(tokens.get(over), '&') || is_word(tokens.get(over), "mut") {
            over += 1;
        }
        let Some(TokenTree::Ident(name)) = tokens.get(over) else { return };
        let whole =
            matches!(tokens.get(over + 1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
        if whole && self.unordered.contains(&name.to_string()) {
            self.walk(&name.to_token_stream());
        }
    }

    fn walk(&mut self, tokens: &TokenStream) {
        self.errors.add(
            tokens,
            "this has another order in every process, so a replay may take another path: write a `BTreeMap` or `BTreeSet`; or, if \
             what follows does not depend on the order, `forge_wf::nondet!(..)` around it",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Vec<String> {
        let item = format!("async fn f(c: &WorkflowContext, input: HashMap<u8, u8>) -> Result<()> {{ {body} }}");
        let mut errors = Errors::default();
        check(&Function::read(syn::parse_str(&item).unwrap()), &mut errors);
        errors.messages()
    }

    #[test]
    fn what_differs_on_every_replay_is_found_wherever_it_hides() {
        for (body, instead) in [
            ("let t = Utc::now();", "`c.now()`"),
            ("chrono::Local::now();", "`c.now()`"),
            ("join!(a(c, std::time::SystemTime::now()))", "`c.now()`"),
            ("use std::time::Instant as Clock; Clock::now();", "`c.now()`"),
            ("use chrono::{Duration, Utc as U}; let x = [U::now()];", "`c.now()`"),
            ("Uuid::new_v4()", "`c.uuid()`"),
            ("::uuid::Uuid::now_v7()", "`c.uuid()`"),
            ("rand::random::<u8>()", "`c.rng()`"),
            ("let mut r = thread_rng();", "`c.rng()`"),
            ("tokio::spawn(async {})", "make it a step"),
            ("tokio::task::spawn_blocking(|| ())", "make it a step"),
            ("std::thread::sleep(d)", "`c.sleep(..)`"),
            ("tokio::time::sleep(d).await", "`c.sleep(..)`"),
            ("async { time::timeout(d, x).await }.await", "`.timeout(..)`"),
            ("tokio::task::yield_now().await", "leave it out"),
            ("use tokio::task::yield_now as rest; rest().await", "leave it out"),
            ("std::thread::yield_now()", "leave it out"),
            ("let (tx, rx) = tokio::sync::watch::channel(0);", "`tokio::sync::Notify`"),
            ("use tokio::sync::watch; let (tx, rx) = watch::channel(0);", "`tokio::sync::Notify`"),
            ("use tokio::sync::{mpsc, watch as w}; join!(w::channel(0))", "`tokio::sync::Notify`"),
            ("tokio::select! { a = b => {} }", "`biased;`"),
            ("futures::select! { a = b => {} }", "`select_biased!`"),
            ("for (k, v) in input { charge(c, k).await?; }", "`BTreeMap`"),
            ("for (k, v) in &input {}", "`BTreeMap`"),
            ("let mut m: HashMap<u8, u8> = x(); m.keys()", "`BTreeMap`"),
            ("let m = std::collections::HashSet::new(); m.into_iter()", "`BTreeMap`"),
            ("let m = x.iter().collect::<HashSet<_>>(); for a in &mut m {}", "`BTreeMap`"),
        ] {
            let found = found(body);
            assert_eq!(found.len(), 1, "{body}: {found:?}");
            assert!(found[0].contains(instead), "{body}: {found:?}");
        }
    }

    #[test]
    fn what_does_not_differ_is_left_alone() {
        for body in [
            "let t = c.now(); let u = c.uuid(); let r = c.rng();",
            "forge_wf::nondet!(Utc::now()); nondet!(for x in &input {});",
            "tokio::select! { biased; a = b => {} }",
            "futures::select_biased! { a = b => {} }",
            "#[step] async fn clock() -> Result<u8> { Utc::now() } clock(c).await",
            "let n = input.get(&1); let l = input.len(); input.insert(1, 2);",
            "for x in input.get(&1) {}",
            "let input = BTreeMap::new(); for x in &input {}",
            "x.rand(); x.spawn_local; charge(c, time).await; let thread = 7; thread + 1",
            "Instant::from(now); Utc.timestamp(1); Uuid::nil(); my::spawn(c)",
            "let rand = 1; rand + 1; a..rand",
            "let watch = 1; watch + 1; my::watch(c); c.watch(); tokio::sync::mpsc::channel(1); tokio::sync::Notify::new();",
        ] {
            assert_eq!(found(body), [""; 0], "{body}");
        }
    }
}
