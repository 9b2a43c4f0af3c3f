//! Payloads: JSON text that the engine and the databases carry without looking inside.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::limits::Limits;

/// One value as JSON text.
///
/// Text and not a JSON type of the database: those renumber floats, refuse `\u0000` and cost more to write.
/// `#[serde]` is not derived on purpose; a payload is stored as its own text, never inside another document.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Arc<str>);

/// Why a value cannot become a payload, or a payload no longer becomes the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value's own `Serialize` refused, or it holds what JSON cannot say (NaN, infinities).
    #[error("it cannot be written as JSON: {0}")]
    Encode(String),
    /// The text does not fit the type.
    #[error("it does not fit the type {type_name}: {message}")]
    Decode {
        /// The Rust type that was asked for.
        type_name: &'static str,
        /// What serde said.
        message: String,
    },
    /// Larger than [`Limits::payload_bytes`].
    #[error(
        "it is {bytes} bytes of JSON, above the limit of {limit}; keep large data elsewhere and pass a reference, or raise `payload_limit`"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
}

impl Payload {
    /// `null`, the payload of `()`.
    pub fn null() -> Self {
        Self(Arc::from("null"))
    }

    /// Wraps text that is known to be JSON, such as what a database gave back.
    pub fn from_json_text(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Writes `value` as JSON within `limits`.
    ///
    /// # Errors
    /// What JSON cannot say (NaN and infinities, which serde_json would quietly turn into `null`), nesting
    /// beyond 127 levels (which could not be read back), or a text above the limit.
    pub fn encode<T: Serialize + ?Sized>(value: &T, limits: &Limits) -> Result<Self, PayloadError> {
        super::fingerprint::check(value).map_err(|error| PayloadError::Encode(error.to_string()))?;
        let text = serde_json::to_string(value).map_err(|error| PayloadError::Encode(error.to_string()))?;
        Self::within(text, limits)
    }

    /// Takes JSON text within `limits`.
    ///
    /// # Errors
    /// `TooLarge` if the text is above the limit.
    pub fn within(text: String, limits: &Limits) -> Result<Self, PayloadError> {
        if text.len() > limits.payload_bytes {
            return Err(PayloadError::TooLarge { bytes: text.len(), limit: limits.payload_bytes });
        }
        Ok(Self(text.into()))
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// `Decode` if the text does not fit `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        serde_json::from_str(&self.0)
            .map_err(|error| PayloadError::Decode { type_name: std::any::type_name::<T>(), message: error.to_string() })
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows the size only: payloads must not end up in logs by way of `{:?}`.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}
