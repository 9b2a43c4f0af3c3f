//! [`FilePath`]: a path as the journal and the manifest keep it, whatever bytes it has.
//!
//! A journal holds JSON, and the name of a file is any bytes but `/` and NUL. What is not plain text is written as `%`
//! and two hex digits, at most three characters for a byte, so every path comes back as it was.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A path. A relative one is ordered by its bytes, as `LC_ALL=C sort` does.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePath(Vec<u8>);

impl FilePath {
    /// The path of these bytes.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the standard library has it.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

impl From<&Path> for FilePath {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

/// As text that [`parse`] reads back: control characters, `%` and what is not UTF-8 as `%` and two hex digits.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape =
            |f: &mut fmt::Formatter<'_>, bytes: &[u8]| bytes.iter().try_for_each(|byte| write!(f, "%{byte:02X}"));
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '%' => f.write_str("%25")?,
                    char if char.is_control() => escape(f, char.encode_utf8(&mut [0; 4]).as_bytes())?,
                    char => write!(f, "{char}")?,
                }
            }
            escape(f, chunk.invalid())?;
        }
        Ok(())
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse(text: &str) -> Option<FilePath> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let hex = part.get(..2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    Some(FilePath(bytes))
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not a path as the journal keeps it")))
    }
}
