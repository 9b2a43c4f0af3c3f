//! Finds the calls `path(ctx, ..)` and the waits `ctx.wait_for_event::<Type>()` in a body, on tokens.
//!
//! Takes the body's tokens and the name of the context; hands on each distinct path once, with the `#[cfg]`s that stand
//! around its calls or waits, and every wait by name. Works on tokens because calls hide in the arguments of `join!` and
//! of users' macros, which no syntax tree shows. A heuristic: the type check (`W: Uses<S>`) refuses what it misses, so it
//! need not be clever.

use std::collections::HashSet;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, Parser};
use syn::{Attribute, Lit, LitStr, Path, Type};

/// What a body does through its context.
#[derive(Default)]
pub(crate) struct Found {
    /// Each path once, in the order of the text.
    pub(crate) calls: Vec<Call>,
    /// Each one.
    pub(crate) named_waits: Vec<NamedWait>,
    /// The method of each `ctx.wait_for_event()` that leaves the type to inference.
    pub(crate) untyped_waits: Vec<Ident>,
}

impl Found {
    /// Whether there are any.
    pub(crate) fn has_waits(&self) -> bool {
        let typed = self.calls.iter().any(|call| call.is_wait);
        typed || !self.named_waits.is_empty() || !self.untyped_waits.is_empty()
    }
}

/// `ctx.wait_for_event_named::<Type>("name")`, as far as it is written out.
pub(crate) struct NamedWait {
    pub(crate) name: LitStr,
    pub(crate) ty: Option<Type>,
}

/// A path that is called with the context, or the type of an event that it waits for.
#[derive(Clone)]
pub(crate) struct Call {
    /// As it is written at its first call, without generic arguments.
    pub(crate) path: Path,
    /// When it is called: any of these, each of which is all of its `#[cfg]` predicates. Empty: always.
    pub(crate) cfgs: Vec<Vec<TokenStream>>,
    /// Whether the body was seen to wait for it.
    pub(crate) is_wait: bool,
}

impl Call {
    /// A call or event the attribute names.
    pub(crate) fn named(path: Path) -> Self {
        Self { path, cfgs: Vec::new(), is_wait: false }
    }

    /// See [`key`].
    pub(crate) fn key(&self) -> String {
        key(&self.path)
    }
}

/// What two ways to write the same path have in common.
fn key(path: &Path) -> String {
    let text: String = path.to_token_stream().into_iter().map(|token| token.to_string()).collect();
    text.strip_prefix("self::").unwrap_or(&text).to_owned()
}

/// Calls of `path` are calls of the type `marker`, which has another name.
pub(crate) fn rename(found: &mut [Call], path: &Path, marker: &Path) {
    for call in found.iter_mut().filter(|call| call.key() == key(path)) {
        call.path = marker.clone();
    }
}

/// Every distinct call and every wait in these tokens.
pub(crate) fn scan(body: TokenStream, ctx: &Ident) -> Found {
    let body = flatten(body);
    let mut locals = HashSet::new();
    note_locals(&body, &mut locals);
    let mut scanner = Scanner { contexts: vec![ctx.clone()], locals, found: Found::default() };
    scanner.scan(&body, &[]);
    scanner.found
}

/// Adds a call, or widens the `#[cfg]`s of the same one.
pub(crate) fn add(found: &mut Vec<Call>, call: Call) {
    match found.iter_mut().find(|known| known.key() == call.key()) {
        Some(known) if known.cfgs.is_empty() || call.cfgs.is_empty() => known.cfgs.clear(),
        Some(known) => known.cfgs.extend(call.cfgs),
        None => found.push(call),
    }
}

/// Opens the invisible groups that `macro_rules!` leaves around what it passes on.
pub(crate) fn flatten(tokens: TokenStream) -> Vec<TokenTree> {
    let mut flat = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => flat.extend(flatten(group.stream())),
            other => flat.push(other),
        }
    }
    flat
}

/// Names bound by `let` or `fn` in the body: closures and inner functions, which are not steps.
fn note_locals(tokens: &[TokenTree], locals: &mut HashSet<String>) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => note_locals(&flatten(group.stream()), locals),
            TokenTree::Ident(word) if word == "let" || word == "fn" => {
                let after = tokens[at + 1..].iter().find(|token| !is_word(Some(token), "mut"));
                if let Some(TokenTree::Ident(name)) = after {
                    locals.insert(name.to_string());
                }
            }
            _ => {}
        }
    }
}

struct Scanner {
    /// The context, and what the closures of sagas around here call it.
    contexts: Vec<Ident>,
    locals: HashSet<String>,
    found: Found,
}

impl Scanner {
    fn scan(&mut self, tokens: &[TokenTree], cfgs: &[TokenStream]) {
        let mut at = 0;
        while at < tokens.len() {
            if let Some((predicate, after)) = cfg(tokens, at) {
                let end = end_of_statement(tokens, after);
                let inner: Vec<_> = cfgs.iter().cloned().chain([predicate]).collect();
                self.scan(&tokens[after..end], &inner);
                at = end;
                continue;
            }
            match &tokens[at] {
                TokenTree::Group(group) => {
                    self.scan(&flatten(group.stream()), cfgs);
                    at += 1;
                }
                TokenTree::Ident(_) => {
                    let read = self.saga(tokens, at, cfgs).or_else(|| self.wait(tokens, at, cfgs));
                    at = read.unwrap_or_else(|| self.path(tokens, at, cfgs));
                }
                _ => at += 1,
            }
        }
    }

    /// Whether this is a context that a method is called of.
    fn is_receiver(&self, tokens: &[TokenTree], at: usize) -> bool {
        self.is_context(tokens.get(at)) && is_punct(tokens.get(at + 1), '.') && !is_field(tokens, at)
    }

    fn is_context(&self, token: Option<&TokenTree>) -> bool {
        matches!(token, Some(TokenTree::Ident(word)) if self.contexts.contains(word))
    }

    /// Reads the saga that starts here, whose closure may give the context another name; returns where to go on.
    fn saga(&mut self, tokens: &[TokenTree], start: usize, cfgs: &[TokenStream]) -> Option<usize> {
        if !self.is_receiver(tokens, start) || !is_word(tokens.get(start + 2), "saga") {
            return None;
        }
        let arguments = after_turbofish(tokens, start + 3);
        let Some(TokenTree::Group(group)) = tokens.get(arguments) else { return None };
        let inner = flatten(group.stream());
        let bar = inner.iter().position(|token| is_punct(Some(token), '|'))?;
        let known = self.contexts.len();
        self.contexts.extend(ident(&inner, bar + 1));
        self.scan(&inner, cfgs);
        self.contexts.truncate(known);
        Some(arguments + 1)
    }

    /// Reads the wait for an event that starts here and notes it; returns where to go on.
    fn wait(&mut self, tokens: &[TokenTree], start: usize, cfgs: &[TokenStream]) -> Option<usize> {
        let method = start + 2;
        if !self.is_receiver(tokens, start) {
            return None;
        }
        let arguments = after_turbofish(tokens, method + 1);
        // Between `::<` and `>`.
        let ty = tokens.get(method + 4..arguments.saturating_sub(1)).unwrap_or_default().iter().cloned().collect();
        if is_word(tokens.get(method), "wait_for_event") {
            match Path::parse.parse2(ty) {
                Ok(path) => self.add(path, cfgs, true),
                Err(_) if arguments == method + 1 => self.found.untyped_waits.extend(ident(tokens, method)),
                Err(_) => return None,
            }
        } else if is_word(tokens.get(method), "wait_for_event_named") {
            let Some(TokenTree::Group(group)) = tokens.get(arguments) else { return None };
            let name = flatten(group.stream()).into_iter().next()?;
            let Ok(Lit::Str(name)) = syn::parse2(name.into()) else { return None };
            self.found.named_waits.push(NamedWait { name, ty: syn::parse2(ty).ok() });
        }
        Some(method + 1)
    }

    /// Reads the path that starts here and notes it if it is a call; returns where to go on.
    fn path(&mut self, tokens: &[TokenTree], start: usize, cfgs: &[TokenStream]) -> usize {
        let mut end = start + 1;
        while is_colons(tokens, end) && matches!(tokens.get(end + 2), Some(TokenTree::Ident(_))) {
            end += 3;
        }
        let arguments = after_turbofish(tokens, end);
        let Some(TokenTree::Group(group)) = tokens.get(arguments) else { return end };
        if group.delimiter() != Delimiter::Parenthesis || !self.starts_with_ctx(group) {
            return end;
        }
        let rooted = start >= 2 && is_colons(tokens, start - 2);
        let first = if rooted { start - 2 } else { start };
        let Some(before) = first.checked_sub(1).map(|before| &tokens[before]) else {
            self.note(&tokens[first..end], cfgs);
            return end;
        };
        // `<T as Trait>::f(ctx)`, `a::<T>::f(ctx)` and `name!(ctx)` are no paths of ours.
        let is_qualified = rooted && (is_punct(Some(before), '>') || matches!(before, TokenTree::Ident(_)));
        if !is_field(tokens, first) && !is_qualified && !is_word(Some(before), "fn") {
            self.note(&tokens[first..end], cfgs);
        }
        end
    }

    fn starts_with_ctx(&self, group: &Group) -> bool {
        let tokens = flatten(group.stream());
        self.is_context(tokens.first()) && tokens.get(1).is_none_or(|token| is_punct(Some(token), ','))
    }

    fn note(&mut self, path: &[TokenTree], cfgs: &[TokenStream]) {
        let names: Vec<String> = path
            .iter()
            .filter_map(|token| match token {
                TokenTree::Ident(ident) => Some(ident.unraw().to_string()),
                _ => None,
            })
            .collect();
        let is_upper = |name: &String| name.starts_with(char::is_uppercase);
        let is_type = names.last().is_some_and(is_upper) || names.iter().rev().nth(1).is_some_and(is_upper);
        let is_local = names.len() == 1 && self.locals.contains(&path[0].to_string());
        if is_type || is_local || names.last().is_some_and(|name| name == "drop") {
            return;
        }
        // Keywords (`if (ctx)`, `return (ctx)`) do not parse as paths.
        if let Ok(path) = Path::parse_mod_style.parse2(path.iter().cloned().collect())
            && !(names.len() == 1 && matches!(names[0].as_str(), "self" | "super" | "crate"))
        {
            self.add(path, cfgs, false);
        }
    }

    fn add(&mut self, path: Path, cfgs: &[TokenStream], is_wait: bool) {
        let cfgs = if cfgs.is_empty() { Vec::new() } else { vec![cfgs.to_vec()] };
        add(&mut self.found.calls, Call { path, cfgs, is_wait });
    }
}

fn ident(tokens: &[TokenTree], at: usize) -> Option<Ident> {
    match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.clone()),
        _ => None,
    }
}

/// Whether what starts here is a field or method of what stands before it: a dot, but not a range.
fn is_field(tokens: &[TokenTree], at: usize) -> bool {
    let back = |by: usize| at.checked_sub(by).and_then(|at| tokens.get(at));
    is_punct(back(1), '.') && !is_punct(back(2), '.')
}

pub(crate) fn is_punct(token: Option<&TokenTree>, what: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == what)
}

pub(crate) fn is_word(token: Option<&TokenTree>, what: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == what)
}

pub(crate) fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

/// Where a `::<..>` that starts here ends; the same place if there is none.
fn after_turbofish(tokens: &[TokenTree], at: usize) -> usize {
    if !is_colons(tokens, at) || !is_punct(tokens.get(at + 2), '<') {
        return at;
    }
    let mut depth = 0_usize;
    for (offset, token) in tokens[at + 2..].iter().enumerate() {
        if is_punct(Some(token), '<') {
            depth += 1;
        } else if is_punct(Some(token), '>') && !is_punct(tokens.get(at + 1 + offset), '-') {
            depth -= 1;
            if depth == 0 {
                return at + 3 + offset;
            }
        }
    }
    at
}

/// The predicate of a `#[cfg(..)]` that starts here, and where it ends.
fn cfg(tokens: &[TokenTree], at: usize) -> Option<(TokenStream, usize)> {
    let (true, Some(TokenTree::Group(group))) = (is_punct(tokens.get(at), '#'), tokens.get(at + 1)) else {
        return None;
    };
    let text: TokenStream = tokens[at..at + 2].iter().cloned().collect();
    let attrs = Attribute::parse_outer.parse2(text).ok()?;
    let list = attrs.first()?.meta.require_list().ok()?;
    (group.delimiter() == Delimiter::Bracket && list.path.is_ident("cfg")).then(|| (list.tokens.clone(), at + 2))
}

/// Where the statement, match arm or list element that starts here ends.
fn end_of_statement(tokens: &[TokenTree], start: usize) -> usize {
    let is_let = is_word(tokens[start..].iter().find(|token| matches!(token, TokenTree::Ident(_))), "let");
    for at in start..tokens.len() {
        if is_punct(tokens.get(at), ';') || (!is_let && is_punct(tokens.get(at), ',')) {
            return at + 1;
        }
        let is_block = matches!(&tokens[at], TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        let goes_on = is_word(tokens.get(at + 1), "else")
            || ['.', '?', '=', ',', ';'].iter().any(|punct| is_punct(tokens.get(at + 1), *punct));
        if !is_let && is_block && !goes_on {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Vec<String> {
        let ctx = Ident::new("ctx", proc_macro2::Span::call_site());
        let found = scan(body.parse().unwrap(), &ctx);
        found
            .calls
            .iter()
            .map(|call| {
                let cfgs: Vec<String> = call
                    .cfgs
                    .iter()
                    .map(|all| all.iter().map(|cfg| cfg.to_string().replace(' ', "")).collect::<Vec<_>>().join("&"))
                    .collect();
                if cfgs.is_empty() { call.key() } else { format!("{} if {}", call.key(), cfgs.join("|")) }
            })
            .collect()
    }

    #[test]
    fn calls_are_found_wherever_they_stand() {
        assert_eq!(found("charge(ctx, 1).await?; steps::ship(ctx)"), ["charge", "steps::ship"]);
        assert_eq!(found("tokio::join!(a(ctx, x), b(ctx))"), ["a", "b"]);
        assert_eq!(found("select! { biased; x = a(ctx) => { b(ctx).await? } }"), ["a", "b"]);
        assert_eq!(found("v.iter().map(|x| crate::a::b(ctx, x))"), ["crate::a::b"]);
        assert_eq!(found("Box::pin(::other::a(ctx)).await; notify::<T, fn() -> u8>(ctx, x)"), ["::other::a", "notify"]);
        assert_eq!(found("for i in 0..count(ctx).await? {}; super::up(ctx,)"), ["count", "super::up"]);
        assert_eq!(found("if (a)(ctx) { return b(ctx).await }"), ["b"]);
    }

    #[test]
    fn calls_in_a_saga_are_found_whatever_its_closure_calls_the_context() {
        assert_eq!(found("ctx.saga(async |ctx| { a(ctx, 1).await?; Ok(()) }).await; b(ctx)"), ["a", "b"]);
        assert_eq!(found("ctx.saga(async move |tx| { a(tx).await?; b(ctx) })"), ["a", "b"]);
        assert_eq!(found("ctx.saga::<_, E, _>(async |tx| tx.saga(async |deep| a(deep).await).await)"), ["a"]);
        assert_eq!(found("ctx.saga(async |tx| tx.wait_for_event::<A>().await)"), ["A"]);
        assert_eq!(found("ctx.saga(async |tx| a(tx).await).await; b(tx); other.saga(async |tx| b(tx))"), ["a"]);
    }

    #[test]
    fn a_path_is_named_once() {
        assert_eq!(found("a(ctx).await; self::a(ctx).await; a(ctx).await"), ["a"]);
        assert_eq!(found("r#type(ctx).await"), ["r#type"]);
    }

    #[test]
    fn what_only_looks_like_a_call_is_left_alone() {
        assert_eq!(
            found("Some(ctx); Type::method(ctx); x.method(ctx, 1); my!(ctx, 2); drop(ctx); mem::drop(ctx)"),
            [""; 0]
        );
        assert_eq!(
            found("<T as Trait>::f(ctx); a::<T>::f(ctx); if (ctx) {}; f(other, ctx); f(ctx.run_id()); f(&ctx)"),
            [""; 0]
        );
        assert_eq!(found("let f = |c| c; f(ctx); let mut g = f; g(ctx); fn h(ctx: u8) {} h(ctx)"), [""; 0]);
    }

    #[test]
    fn a_cfg_reaches_to_the_end_of_its_statement() {
        assert_eq!(found("#[cfg(a)] x(ctx).await?; y(ctx).await"), ["x if a", "y"]);
        assert_eq!(found("#[cfg(a)] { x(ctx).await } y(ctx).await"), ["x if a", "y"]);
        assert_eq!(found("#[cfg(a)] if b { x(ctx) } else { z(ctx) } y(ctx)"), ["x if a", "z if a", "y"]);
        assert_eq!(found("#[cfg(a)] let v = if b { x(ctx) } else { z(ctx) }; y(ctx)"), ["x if a", "z if a", "y"]);
        assert_eq!(
            found("match v { #[cfg(a)] 1 => x(ctx), #[cfg(b)] 2 => { z(ctx) } _ => y(ctx) }"),
            ["x if a", "z if b", "y"]
        );
        assert_eq!(found("#[cfg(a)] { #[cfg(b)] x(ctx); }"), ["x if a&b"]);
    }

    #[test]
    fn a_callee_whose_type_has_another_name_is_renamed_with_its_cfgs() {
        let ctx = Ident::new("ctx", proc_macro2::Span::call_site());
        let mut found = scan("#[cfg(a)] a::x(ctx); y(ctx)".parse().unwrap(), &ctx).calls;
        let path = |text| syn::parse_str::<Path>(text).unwrap();
        rename(&mut found, &path("self::a::x"), &path("a::X"));
        assert_eq!(found.iter().map(Call::key).collect::<Vec<_>>(), ["a::X", "y"]);
        assert_eq!(found[0].cfgs.len(), 1);
    }

    #[test]
    fn waits_are_found_by_the_type_of_their_event() {
        assert_eq!(found("ctx.wait_for_event::<Approved>().await?; self::Approved"), ["Approved"]);
        assert_eq!(
            found("join!(ctx\n.wait_for_event::<a::B>(), c(ctx, ctx.wait_for_event::<D>()))"),
            ["a::B", "c", "D"]
        );
        assert_eq!(found("|| ctx.wait_for_event::<::a::B>().timeout(days(3))"), ["::a::B"]);
        assert_eq!(found("#[cfg(a)] ctx.wait_for_event::<A>().await?; b(ctx)"), ["A if a", "b"]);
        assert_eq!(found("ctx.wait_for_event::<A>(); ctx.wait_for_event::<self::A>(); A(ctx)"), ["A"]);
        assert_eq!(found("0..ctx.wait_for_event::<A>()"), ["A"]);
    }

    #[test]
    fn what_only_looks_like_a_wait_is_left_alone() {
        assert_eq!(found("ctx.wait_for_event(); ctx.wait_for_event::<_>(); ctx.wait_for_event::<(A, B)>()"), [""; 0]);
        assert_eq!(found("other.wait_for_event::<A>(); x.ctx.wait_for_event::<A>(); ctx.other::<A>()"), [""; 0]);
        assert_eq!(found("ctx.wait_for_event_named::<A>(\"a\"); ctx; ctx."), [""; 0]);
    }

    #[test]
    fn waits_by_name_are_found_where_the_name_is_written_out() {
        let ctx = Ident::new("ctx", proc_macro2::Span::call_site());
        let text = r#"join!(ctx.wait_for_event_named::<HashMap<A, B>>("one"), ctx.wait_for_event_named("two").await?);
                      ctx.wait_for_event_named::<A>(name); ctx.wait_for_event_named::<A>(&format!("x"))"#;
        let waits = scan(text.parse().unwrap(), &ctx).named_waits;
        assert_eq!(waits.iter().map(|wait| wait.name.value()).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(waits.iter().map(|wait| wait.ty.is_some()).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn waits_that_leave_the_type_to_inference_are_told_apart() {
        let ctx = Ident::new("ctx", proc_macro2::Span::call_site());
        let text =
            "ctx.wait_for_event().await?; ctx.wait_for_event::<_>(); ctx.wait_for_event::<A>(); x.wait_for_event()";
        assert_eq!(scan(text.parse().unwrap(), &ctx).untyped_waits, ["wait_for_event"]);
    }

    #[test]
    fn the_same_call_under_several_cfgs_is_there_under_any_of_them() {
        assert_eq!(found("#[cfg(a)] x(ctx); #[cfg(not(a))] x(ctx);"), ["x if a|not(a)"]);
        assert_eq!(found("#[cfg(a)] x(ctx); x(ctx);"), ["x"]);
    }
}
