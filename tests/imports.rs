//! Imports go down, never up: which rooms of `forge-wf/src` each of its files names.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tidy::sources;

/// The rooms, lowest first; `contract` stands beside `journal`, `db` beside the engine, `testing` beside the door for expanded code.
const RANKS: &[(&str, u8)] = &[
    ("model", 0),
    ("journal", 1),
    ("contract", 1),
    ("store", 2),
    ("db", 3),
    ("engine", 3),
    ("api", 4),
    ("macro_support", 5),
    ("testing", 5),
];

/// What the crate re-exports at its root belongs to `api`.
const ROOT: (&str, u8) = ("api", 4);

/// A name at the root of the crate that a file uses, and the line.
type Use = (String, usize);

/// Reads the code of a file, but not that of its tests.
struct Reader {
    /// How deep the file's module stands below the root: 2 for `engine/turn.rs`.
    depth: usize,
    uses: Vec<Use>,
    /// Modules in files of their own that exist for tests only.
    test_modules: Vec<String>,
}

impl Reader {
    fn read(&mut self, stream: TokenStream) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if let Some(item) = item_for_tests(&tokens[at..]) {
                if let [.., TokenTree::Ident(module), TokenTree::Ident(name), TokenTree::Punct(_)] = item
                    && module == "mod"
                {
                    self.test_modules.push(name.to_string());
                }
                // After the two tokens of the attribute.
                at += 2 + item.len();
                continue;
            }
            match &tokens[at] {
                TokenTree::Group(group) => self.read(group.stream()),
                TokenTree::Ident(word) if word == "crate" || word == "forge_wf" => self.root_of(&tokens[at + 1..]),
                TokenTree::Ident(word) if word == "super" => {
                    let supers = tokens[at..].chunks(3).take_while(|step| is_super(step)).count();
                    // The path of a `use` without its leading `self::`.
                    if supers >= self.depth {
                        self.root_of(&tokens[at + 3 * supers - 2..]);
                    }
                    at += (3 * supers).saturating_sub(1);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Notes what stands at the root: the name after `::`, or the first names in the group that follows.
    fn root_of(&mut self, rest: &[TokenTree]) {
        let [TokenTree::Punct(first), TokenTree::Punct(second), name, rest @ ..] = rest else { return };
        if first.as_char() != ':' || second.as_char() != ':' {
            return;
        }
        match name {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let names: Vec<_> = group.stream().into_iter().collect();
                for path in names.split(|token| is_punct(token, ',')) {
                    if let Some(TokenTree::Ident(name)) = path.first() {
                        self.note(name);
                    }
                }
            }
            // A macro is named at the root, wherever it is defined.
            TokenTree::Ident(_) if rest.first().is_some_and(|next| is_punct(next, '!')) => {}
            TokenTree::Ident(name) => self.note(name),
            _ => {}
        }
    }

    fn note(&mut self, name: &proc_macro2::Ident) {
        self.uses.push((name.to_string(), name.span().start().line));
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// `super` and the `::` behind it.
fn is_super(step: &[TokenTree]) -> bool {
    matches!(step, [TokenTree::Ident(word), colon, other] if word == "super" && is_punct(colon, ':') && is_punct(other, ':'))
}

/// If `#[cfg(test)]` or the like stands here: the item behind it, up to its `;` or its body.
fn item_for_tests(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    let [hash, TokenTree::Group(attribute), rest @ ..] = tokens else { return None };
    let words: Vec<_> = attribute.stream().into_iter().collect();
    let [TokenTree::Ident(cfg), TokenTree::Group(condition)] = words.as_slice() else { return None };
    let for_tests =
        cfg == "cfg" && ["test", "all (test"].iter().any(|it| condition.stream().to_string().starts_with(it));
    if !is_punct(hash, '#') || !for_tests {
        return None;
    }
    let body = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let end = rest.iter().position(|token| is_punct(token, ';') || body(token));
    Some(&rest[..end.map_or(rest.len(), |end| end + 1)])
}

/// The names of the modules of a file, from the root: `["engine", "turn"]`.
fn module_of(file: &str) -> Vec<&str> {
    let mut path: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    if path.last() == Some(&"mod") {
        path.pop();
    }
    path
}

fn read(file: &str, text: &str) -> Reader {
    let mut reader = Reader { depth: module_of(file).len(), uses: Vec::new(), test_modules: Vec::new() };
    reader.read(text.parse().unwrap_or_else(|error| panic!("{file}: {error}")));
    reader
}

/// The arrows of this file that climb, as in "engine/mod.rs:12: engine uses api".
fn climbing(file: &str, text: &str) -> Vec<String> {
    let room = module_of(file)[0];
    let rank = |name: &str| RANKS.iter().find(|(room, _)| *room == name).copied();
    let Some((_, own)) = rank(room) else { return Vec::new() };
    let mut found = Vec::new();
    for (name, line) in read(file, text).uses {
        // The macros of the crate are found at its root.
        if name.starts_with("__forge_wf") {
            continue;
        }
        let name = if name == "__private" { "macro_support".to_owned() } else { name };
        let (target, other) = rank(&name).unwrap_or(ROOT);
        let climbs = other > own || (other == own && target != room);
        // It joins the two: the one file beside `db` that names a backend.
        if climbs && file != "api/connect.rs" {
            found.push(format!("{file}:{line}: {room} uses {name}"));
        }
    }
    found
}

#[test]
fn imports_never_climb() {
    let sources = sources();
    let mut for_tests = Vec::new();
    for (file, text) in &sources {
        let module = module_of(file).join("/");
        for_tests.extend(read(file, text).test_modules.into_iter().map(|name| format!("{module}/{name}")));
    }
    assert!(for_tests.iter().any(|module| module == "db/postgres/tests"), "such modules are found: {for_tests:?}");
    let is_for_tests = |file: &str| {
        let module = module_of(file).join("/");
        for_tests.iter().any(|tests| module == *tests || module.starts_with(&format!("{tests}/")))
    };
    let found: Vec<_> =
        sources.iter().filter(|(file, _)| !is_for_tests(file)).flat_map(|(file, text)| climbing(file, text)).collect();
    assert!(found.is_empty(), "imports go down, never up:\n{}", found.join("\n"));
}

/// An arrow that climbs is found wherever it is put, and however it is written.
#[test]
fn an_import_that_climbs_is_found_in_every_file() {
    let climbs = |file: &str, line: &str, expected: &str| {
        let (_, text) = sources().into_iter().find(|(name, _)| name == file).expect("the file is there");
        let found = climbing(file, &format!("{text}\n{line}\n"));
        assert!(found.iter().any(|it| it.ends_with(expected)), "{line} in {file} is not found: {found:?}");
    };
    climbs("engine/mod.rs", "use crate::api::client::Client;", "engine uses api");
    climbs("engine/mod.rs", "use crate::__private::Arguments;", "engine uses macro_support");
    climbs("engine/mod.rs", "use crate::{store::Store, testing::{FaultyStore, Plan}};", "engine uses testing");
    climbs("engine/mod.rs", "use super::api::client;", "engine uses api");
    climbs("engine/turn/begin.rs", "fn f() -> super::super::super::db::X { loop {} }", "engine uses db");
    climbs("engine/turn/begin.rs", "use crate::Runtime;", "engine uses Runtime");
    climbs("db/postgres/mod.rs", "use crate::engine::Engine;", "db uses engine");
    climbs("db/postgres/mod.rs", "mod inner { fn f() { let _ = forge_wf::engine::CLAIM_MAX; } }", "db uses engine");
    climbs("model/mod.rs", "pub use crate::journal::Entry;", "model uses journal");
    // Code for tests may reach for anything, and names of the same room are no arrow.
    let quiet =
        "#[cfg(test)] mod tests { use crate::api::client::Client; } use super::super::claim::f; use crate::engine::f;";
    assert_eq!(climbing("engine/turn/begin.rs", quiet), Vec::<String>::new());
}
