//! What a signature is made of, part by part, so that a changed one can say what changed.
//!
//! Takes the parts as the macros list them, and those of the lock file; hands on the differences, while compiling and afterwards.

use super::message::Message;

/// What kind of thing runs in flight rely on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartKind {
    /// The type of the input.
    Input,
    /// The type of the output.
    Output,
    /// How a completed run is undone by its parent.
    Compensation,
    /// A step, with its types and how it is undone.
    Step,
    /// A helper. What it calls stands beside it.
    Helper,
    /// An event that is waited for.
    Event,
    /// A workflow that is called.
    Child,
}

impl PartKind {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Compensation => "compensation",
            Self::Step => "step",
            Self::Helper => "helper",
            Self::Event => "event",
            Self::Child => "child",
        }
    }
}

/// One thing that runs in flight rely on.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its name, as in `charge`; of an input or output nothing.
    pub name: &'static str,
    /// Its types in words, as in `(order: Order) -> Receipt`.
    pub text: &'static str,
    /// What it adds to the signature.
    pub digest: u128,
    /// What a helper calls.
    pub parts: &'static [Part],
}

impl Part {
    /// As much of the digest as a lock file keeps.
    pub const fn short(&self) -> u64 {
        (self.digest >> 64) as u64
    }
}

/// A part as the lock file has it.
#[derive(Clone, Copy, Debug)]
pub struct LockedPart<'a> {
    /// See [`Part`].
    pub kind: PartKind,
    /// See [`Part`].
    pub name: &'a str,
    /// See [`Part`].
    pub text: &'a str,
    /// See [`Part::short`].
    pub digest: u64,
}

/// What a workflow relies on, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// The cargo package it was compiled in; empty without cargo.
    pub package: &'static str,
    /// The target of that package, as lock files name it: `lib`, `bin shop`, `test shop`.
    pub target: &'static str,
    /// What it relies on.
    pub parts: &'static [Part],
}

/// How many parts there are, those of helpers included.
pub const fn count(parts: &[Part]) -> usize {
    let (mut all, mut at) = (0, 0);
    while at < parts.len() {
        all += 1 + count(parts[at].parts);
        at += 1;
    }
    all
}

/// One of the parts, those of a helper after itself.
///
/// # Panics
/// If there are not that many.
pub const fn nth(parts: &[Part], mut n: usize) -> &Part {
    let mut at = 0;
    while n > 0 {
        let inside = count(parts[at].parts);
        if n <= inside {
            return nth(parts[at].parts, n - 1);
        }
        n -= 1 + inside;
        at += 1;
    }
    &parts[at]
}

/// Whether the same part came earlier: what a body and its helper both call is one part.
pub const fn is_again(parts: &[Part], n: usize) -> bool {
    let (part, mut at) = (nth(parts, n), 0);
    while at < n {
        let other = nth(parts, at);
        if is(other.kind, other.name, part.kind, part.name) {
            return true;
        }
        at += 1;
    }
    false
}

/// How many numbers [`difference`] is to be asked for.
pub const fn differences(parts: &[Part], locked: &[LockedPart<'_>]) -> usize {
    count(parts) + locked.len()
}

/// The difference number `n`, in pieces of one sentence; `None` if this number stands for none.
pub const fn difference<'a>(parts: &'a [Part], locked: &'a [LockedPart<'a>], n: usize) -> Option<[&'a str; 8]> {
    let all = count(parts);
    if n >= all {
        let was = &locked[n - all];
        let mut at = 0;
        while at < all {
            let part = nth(parts, at);
            if is(part.kind, part.name, was.kind, was.name) {
                return None;
            }
            at += 1;
        }
        return Some(["removed: ", was.kind.name(), " ", was.name, was.text, "", "", ""]);
    }
    if is_again(parts, n) {
        return None;
    }
    let part = nth(parts, n);
    let mut at = 0;
    while at < locked.len() {
        let was = &locked[at];
        if is(part.kind, part.name, was.kind, was.name) {
            return changed(part, was);
        }
        at += 1;
    }
    Some(["added: ", part.kind.name(), " ", part.name, part.text, "", "", ""])
}

const fn changed<'a>(part: &'a Part, was: &'a LockedPart<'a>) -> Option<[&'a str; 8]> {
    let (kind, gap) = (part.kind.name(), if part.name.is_empty() { "" } else { " " });
    if part.short() == was.digest {
        return None;
    }
    Some(match part.kind {
        PartKind::Helper => ["changed: ", kind, gap, part.name, ", in what it calls", "", "", ""],
        _ if is_text(part.text, was.text) => {
            ["changed: ", kind, " ", part.name, part.text, ", in which a type has another form", "", ""]
        }
        _ => ["changed: ", kind, gap, part.name, " from ", was.text, " to ", part.text],
    })
}

const fn is(kind: PartKind, name: &str, other: PartKind, other_name: &str) -> bool {
    kind as u8 == other as u8 && is_text(name, other_name)
}

const fn is_text(text: &str, other: &str) -> bool {
    let (text, other) = (text.as_bytes(), other.as_bytes());
    if text.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < text.len() {
        if text[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// What the lock file says of a version of a workflow.
pub struct Locked<'a> {
    /// By which algorithm its signature was computed. One by another says nothing of a change.
    pub algorithm: i16,
    /// Its signature.
    pub signature: u128,
    /// What that was made of.
    pub parts: &'a [LockedPart<'a>],
}

/// Says what is not as the lock file has it, between two texts; nothing if it is.
pub const fn broken<const N: usize>(
    locked: &Locked<'_>,
    signature: u128,
    parts: &[Part],
    before: &str,
    after: &str,
) -> Message<N> {
    let mut message = Message::new();
    if locked.algorithm != super::digest::ALGORITHM || locked.signature == signature {
        return message;
    }
    message.put(before);
    let (length, mut n) = (message.len(), 0);
    while n < differences(parts, locked.parts) {
        if let Some(pieces) = difference(parts, locked.parts, n) {
            message.put("\n    ");
            let mut piece = 0;
            while piece < pieces.len() {
                message.put(pieces[piece]);
                piece += 1;
            }
        }
        n += 1;
    }
    if message.len() == length {
        message.put("\n    changed: the signature is ");
        message.put_hex(signature);
    }
    message.put(after);
    message
}

/// Whether code stands in this crate: a documentation test is compiled as part of another one.
pub const fn is_in_crate(module_path: &str, name: &str) -> bool {
    let (path, name) = (module_path.as_bytes(), name.as_bytes());
    let mut at = 0;
    while at < name.len() {
        if at >= path.len() || path[at] != name[at] {
            return false;
        }
        at += 1;
    }
    path.len() == at || path[at] == b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn part(kind: PartKind, name: &'static str, text: &'static str, digest: u128) -> Part {
        Part { kind, name, text, digest: digest << 64, parts: &[] }
    }

    const fn locked(kind: PartKind, name: &'static str, text: &'static str, digest: u64) -> LockedPart<'static> {
        LockedPart { kind, name, text, digest }
    }

    const PARTS: &[Part] = &[
        part(PartKind::Input, "", "Order", 1),
        part(PartKind::Step, "charge", "(cents: u64) -> Receipt", 2),
        Part {
            parts: &[
                part(PartKind::Step, "charge", "(cents: u64) -> Receipt", 2),
                part(PartKind::Step, "tell", "()", 4),
            ],
            ..part(PartKind::Helper, "tell_all", "", 3)
        },
        part(PartKind::Event, "approved", "(Approved)", 5),
    ];

    fn rows(was: &[LockedPart<'_>]) -> Vec<String> {
        (0..differences(PARTS, was)).filter_map(|n| difference(PARTS, was, n)).map(|pieces| pieces.concat()).collect()
    }

    #[test]
    fn what_is_as_it_was_makes_no_row_though_a_helper_calls_it_too() {
        let was = [
            locked(PartKind::Input, "", "Order", 1),
            locked(PartKind::Step, "charge", "(cents: u64) -> Receipt", 2),
            locked(PartKind::Step, "tell", "()", 4),
            locked(PartKind::Helper, "tell_all", "", 3),
            locked(PartKind::Event, "approved", "(Approved)", 5),
        ];
        assert_eq!(rows(&was), Vec::<String>::new());
        assert_eq!(
            (0..count(PARTS)).map(|n| nth(PARTS, n).name).collect::<Vec<_>>(),
            ["", "charge", "tell_all", "charge", "tell", "approved"]
        );
    }

    #[test]
    fn each_difference_is_one_row() {
        let was = [
            locked(PartKind::Input, "", "u64", 9),
            locked(PartKind::Step, "charge", "(cents: u64) -> Receipt", 9),
            locked(PartKind::Step, "score", "() -> u8", 9),
            locked(PartKind::Helper, "tell_all", "", 9),
            locked(PartKind::Event, "tell", "()", 4),
        ];
        assert_eq!(
            rows(&was),
            [
                "changed: input from u64 to Order",
                "changed: step charge(cents: u64) -> Receipt, in which a type has another form",
                "changed: helper tell_all, in what it calls",
                "added: step tell()",
                "added: event approved(Approved)",
                "removed: step score() -> u8",
                "removed: event tell()",
            ]
        );
    }

    #[test]
    fn a_broken_contract_is_told_while_compiling_and_a_kept_one_is_silent() {
        const WAS: &[LockedPart<'_>] = &[];
        const LOCKED: Locked<'_> = Locked { algorithm: super::super::digest::ALGORITHM, signature: 1, parts: WAS };
        const FEW: &[Part] = &[part(PartKind::Step, "tell", "()", 4)];
        const LEN: usize = broken::<0>(&LOCKED, 2, FEW, "<", ">").len();
        const MESSAGE: Message<LEN> = broken(&LOCKED, 2, FEW, "<", ">");
        assert_eq!(MESSAGE.text(), "<\n    added: step tell()>");
        assert_eq!(broken::<0>(&LOCKED, 1, FEW, "<", ">").len(), 0);
        assert_eq!(broken::<0>(&Locked { algorithm: 0, ..LOCKED }, 2, FEW, "<", ">").len(), 0);
        assert!(broken::<200>(&LOCKED, 2, &[], "<", ">").text().contains("the signature is 0000"));
    }

    #[test]
    fn a_documentation_test_is_another_crate() {
        assert!(is_in_crate("shop", "shop") && is_in_crate("shop::orders", "shop"));
        assert!(!is_in_crate("shopping", "shop") && !is_in_crate("rust_out", "shop"));
    }
}
