//! Names of things: runs, workers, lanes, calls and contracts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id: a UUID of version 7 (RFC 9562), so ids made later sort later.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// One durable life of a workflow.
    RunId
}
uuid_id! {
    /// One registration of a worker process; a worker that lost its lease registers under a new id.
    WorkerId
}

/// A 128-bit contract hash: of a definition, a step or a name that a run needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// The same bits as a UUID, which is how both databases keep them.
    pub fn to_uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }

    /// The digest kept in this UUID.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.as_u128())
    }

    /// The first eight hexadecimal digits, enough to tell two contracts apart in a sentence.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 96)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A numbered stream of one worker's writes. Lane 0 carries claims, lanes from 1 carry commits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lane(pub i16);

impl Lane {
    /// The lane of `claim_runs`.
    pub const CLAIMS: Self = Self(0);
}

/// A durable call of one run: its key and how many calls of that key came before it in this generation.
///
/// The key starts with its kind, as in `step:charge`. The number is given when the call is *written*, not when
/// it is polled, so it is the same on every replay of the same body.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Kind and name, as in `step:charge`.
    pub key: Arc<str>,
    /// 0 for the first call of this key.
    pub n: u32,
}

impl CallId {
    /// The `n`-th call of `key`.
    pub fn new(key: impl Into<Arc<str>>, n: u32) -> Self {
        Self { key: key.into(), n }
    }
}

impl FromStr for CallId {
    type Err = ();

    /// As it is displayed, as in `child:ship#0`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (key, n) = text.rsplit_once('#').ok_or(())?;
        Ok(Self::new(key, n.parse().map_err(|_| ())?))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.key, self.n)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
