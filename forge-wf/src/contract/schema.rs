//! [`Schema`]: what a type looks like in a journal, as a digest computed while compiling.
//!
//! Takes what `#[derive(Schema)]` reads of a type and of its serde attributes; hands on a [`Structure`], which becomes part of
//! the digests of steps, events and workflows that carry the type. Frozen like [`digest`](super::digest): the tests hold its
//! results.

use std::marker::PhantomData;

use super::digest;

/// A type whose form in a journal is known while compiling: `#[derive(Schema)]`.
///
/// With it, a changed field changes the signature of every workflow that carries the type, in whatever crate either is; without
/// it, a type counts by its name. Types of the standard library, `uuid`, `chrono` and `serde_json` have it, and so do tuples,
/// options, lists and maps of types that have it. What serde's attributes change of the form counts as they do (`rename`,
/// `rename_all`, `default`, `skip`, `flatten`, `tag`, `content`, `untagged`, `transparent`, `from`, `into`, `with`); the names of
/// Rust types do not, nor does the order of named fields.
///
/// ```
/// use forge_wf::prelude::*;
///
/// #[derive(Serialize, Deserialize, Schema)]
/// #[serde(rename_all = "camelCase")]
/// pub struct Order {
///     pub order_id: String,
///     #[serde(default)]
///     pub lines: Vec<(String, u32)>,
/// }
/// ```
///
/// A type may hold itself. Of two that hold each other one field has to say `#[schema(opaque)]`, which has it count by the name of
/// its type.
pub trait Schema {
    /// Its form.
    const STRUCTURE: Structure;
}

/// The form of a type in a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Structure {
    digest: u128,
    derived: bool,
}

impl Structure {
    /// Something known by its name.
    pub const fn of(name: &str) -> Self {
        Self { digest: digest::text(name), derived: false }
    }

    /// A number that belongs to a form.
    pub const fn number(number: u128) -> Self {
        Self { digest: digest::sequence(&[number]), derived: false }
    }

    /// Something made of these parts, whose order counts.
    pub const fn list<const N: usize>(what: &str, parts: [Self; N]) -> Self {
        let (digests, derived) = Self::taken_apart(parts);
        Self { digest: digest::sequence(&[digest::text(what), digest::sequence(&digests)]), derived }
    }

    /// Something made of these parts in whatever order.
    pub const fn set<const N: usize>(what: &str, parts: [Self; N]) -> Self {
        let (digests, derived) = Self::taken_apart(parts);
        Self { digest: digest::sequence(&[digest::text(what), digest::set(digests)]), derived }
    }

    const fn taken_apart<const N: usize>(parts: [Self; N]) -> ([u128; N], bool) {
        let (mut digests, mut derived, mut at) = ([0; N], false, 0);
        while at < N {
            digests[at] = parts[at].digest;
            derived |= parts[at].derived;
            at += 1;
        }
        (digests, derived)
    }

    /// The form of a user's own type.
    pub const fn derived(self) -> Self {
        Self { derived: true, ..self }
    }

    /// The form that was found; of a type without one, its name as it is written.
    pub const fn or_name(found: Option<Self>, name: &str) -> Self {
        match found {
            Some(found) => found,
            None => Self::of(name),
        }
    }

    /// Its digest.
    pub const fn digest(self) -> u128 {
        self.digest
    }
}

/// The digest of something named `name` that carries a type: by its form, if the user said what that is; otherwise by `text`, in
/// which the type stands as it is written.
pub const fn typed(text: &str, name: &str, found: Option<Structure>) -> u128 {
    match found {
        Some(Structure { digest, derived: true }) => digest::sequence(&[digest::text(name), digest]),
        _ => digest::text(text),
    }
}

/// The form of `T`, if it has one. Of a type without [`Schema`] it is [`NoSchema`]'s: `None`.
pub struct SchemaOf<T: ?Sized>(PhantomData<T>);

impl<T: Schema + ?Sized> SchemaOf<T> {
    /// Its form.
    pub const STRUCTURE: Option<Structure> = Some(T::STRUCTURE);
}

/// See [`SchemaOf`]; its own constant goes first where there is one.
pub trait NoSchema {
    /// None.
    const STRUCTURE: Option<Structure> = None;
}

impl<T: ?Sized> NoSchema for SchemaOf<T> {}

/// Stands for a type within itself.
pub enum SelfReference {}

impl Schema for SelfReference {
    const STRUCTURE: Structure = Structure::of("the type itself");
}

macro_rules! leaves {
    ($($name:literal: $($ty:ty),+;)*) => {
        $($(
            impl Schema for $ty {
                const STRUCTURE: Structure = Structure::of($name);
            }
        )+)*
    };
}

leaves! {
    "()": ();
    "bool": bool;
    "u8": u8, std::num::NonZeroU8;
    "u16": u16, std::num::NonZeroU16;
    "u32": u32, std::num::NonZeroU32;
    "u64": u64, std::num::NonZeroU64;
    "u128": u128, std::num::NonZeroU128;
    "usize": usize, std::num::NonZeroUsize;
    "i8": i8, std::num::NonZeroI8;
    "i16": i16, std::num::NonZeroI16;
    "i32": i32, std::num::NonZeroI32;
    "i64": i64, std::num::NonZeroI64;
    "i128": i128, std::num::NonZeroI128;
    "isize": isize, std::num::NonZeroIsize;
    "f32": f32;
    "f64": f64;
    "char": char;
    "string": str, String;
    "path": std::path::Path, std::path::PathBuf;
    "duration": std::time::Duration;
    "system time": std::time::SystemTime;
    "ip": std::net::IpAddr;
    "ip v4": std::net::Ipv4Addr;
    "ip v6": std::net::Ipv6Addr;
    "socket": std::net::SocketAddr;
    "uuid": uuid::Uuid, crate::model::RunId;
    "date": chrono::NaiveDate;
    "time of day": chrono::NaiveTime;
    "date and time": chrono::NaiveDateTime;
    "json": serde_json::Value, serde_json::value::RawValue;
    "json object": serde_json::Map<String, serde_json::Value>;
    "json number": serde_json::Number;
    "failure": crate::model::Failure;
}

impl<Tz: chrono::TimeZone> Schema for chrono::DateTime<Tz> {
    const STRUCTURE: Structure = Structure::of("point in time");
}

impl<T: ?Sized> Schema for PhantomData<T> {
    const STRUCTURE: Structure = Structure::of("()");
}

/// Whose form is that of what they hold.
macro_rules! transparent {
    ($($ty:ty),+) => {
        $(
            impl<T: Schema + ?Sized> Schema for $ty {
                const STRUCTURE: Structure = T::STRUCTURE;
            }
        )+
    };
}

transparent!(&T, &mut T, Box<T>, std::rc::Rc<T>, std::sync::Arc<T>, std::sync::Mutex<T>, std::sync::RwLock<T>);

impl<T: Schema> Schema for std::cell::Cell<T> {
    const STRUCTURE: Structure = T::STRUCTURE;
}

impl<T: Schema> Schema for std::cmp::Reverse<T> {
    const STRUCTURE: Structure = T::STRUCTURE;
}

impl<T: Schema> Schema for std::num::Wrapping<T> {
    const STRUCTURE: Structure = T::STRUCTURE;
}

impl<T: Schema + ToOwned + ?Sized> Schema for std::borrow::Cow<'_, T> {
    const STRUCTURE: Structure = T::STRUCTURE;
}

impl<T: Schema> Schema for Option<T> {
    const STRUCTURE: Structure = Structure::list("option", [T::STRUCTURE]);
}

impl<T: Schema, E: Schema> Schema for Result<T, E> {
    const STRUCTURE: Structure = Structure::list("result", [T::STRUCTURE, E::STRUCTURE]);
}

macro_rules! many {
    ($what:literal: $($ty:ty $(, $hasher:ident)?;)+) => {
        $(
            impl<T: Schema $(, $hasher)?> Schema for $ty {
                const STRUCTURE: Structure = Structure::list($what, [T::STRUCTURE]);
            }
        )+
    };
}

many! { "list": [T]; Vec<T>; std::collections::VecDeque<T>; std::collections::LinkedList<T>; }
many! { "set": std::collections::BTreeSet<T>; std::collections::HashSet<T, S>, S; std::collections::BinaryHeap<T>; }

impl<K: Schema, V: Schema, S> Schema for std::collections::HashMap<K, V, S> {
    const STRUCTURE: Structure = Structure::list("map", [K::STRUCTURE, V::STRUCTURE]);
}

impl<K: Schema, V: Schema> Schema for std::collections::BTreeMap<K, V> {
    const STRUCTURE: Structure = Structure::list("map", [K::STRUCTURE, V::STRUCTURE]);
}

impl<T: Schema, const N: usize> Schema for [T; N] {
    const STRUCTURE: Structure = Structure::list("array", [Structure::number(N as u128), T::STRUCTURE]);
}

impl<T: Schema> Schema for std::ops::Range<T> {
    const STRUCTURE: Structure = Structure::list("range", [T::STRUCTURE]);
}

impl<T: Schema> Schema for std::ops::RangeInclusive<T> {
    const STRUCTURE: Structure = Structure::list("range", [T::STRUCTURE]);
}

macro_rules! tuples {
    ($(($($part:ident),+))+) => {
        $(
            impl<$($part: Schema),+> Schema for ($($part,)+) {
                const STRUCTURE: Structure = Structure::list("tuple", [$($part::STRUCTURE),+]);
            }
        )+
    };
}

tuples! {
    (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) (A, B, C, D, E, F, G) (A, B, C, D, E, F, G, H)
    (A, B, C, D, E, F, G, H, I) (A, B, C, D, E, F, G, H, I, J) (A, B, C, D, E, F, G, H, I, J, K)
    (A, B, C, D, E, F, G, H, I, J, K, L)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_frozen() {
        let frozen = [
            (<Vec<(String, u32)>>::STRUCTURE, 184160050958072161141037530993420763700),
            (<Option<std::collections::HashMap<String, [f64; 3]>>>::STRUCTURE, 335819118288271003585559857573876348533),
            (
                Structure::set("struct", [Structure::of("a"), Structure::of("b")]),
                258086205744232887261831118929378613054,
            ),
        ];
        assert_eq!(frozen.map(|(structure, _)| structure.digest()), frozen.map(|(_, digest)| digest));
    }

    #[test]
    fn what_is_read_back_alike_has_one_form() {
        assert_eq!(<&str>::STRUCTURE, String::STRUCTURE);
        assert_eq!(<Box<[u8]>>::STRUCTURE, <std::collections::VecDeque<u8>>::STRUCTURE);
        assert_ne!(<[u8; 2]>::STRUCTURE, <[u8; 3]>::STRUCTURE);
        assert_ne!(<Option<u8>>::STRUCTURE, u8::STRUCTURE);
        assert_eq!(
            Structure::set("x", [Structure::of("a"), Structure::of("b")]),
            Structure::set("x", [Structure::of("b"), Structure::of("a")])
        );
    }

    #[test]
    fn a_type_counts_by_its_form_only_if_a_user_said_what_that_is() {
        let text = typed("input:u64", "input", Some(u64::STRUCTURE));
        assert_eq!(text, digest::text("input:u64"));
        assert_eq!(typed("input:u64", "input", None), text);
        let derived = Structure::list("tuple", [u64::STRUCTURE.derived()]);
        assert_ne!(typed("input:u64", "input", Some(derived)), text);
    }
}
