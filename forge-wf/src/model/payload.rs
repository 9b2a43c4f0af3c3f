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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits that look random, the same in each run of the test.
    fn bits(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
    }

    #[test]
    fn a_million_random_doubles_come_back_bit_by_bit() {
        let limits = Limits { payload_bytes: usize::MAX };
        let doubles = bits(88_172_645_463_325_252).map(f64::from_bits).filter(|double| double.is_finite());
        let prices = (0..10_000).map(|cents| f64::from(cents) * 0.01 * 1.1);
        let doubles: Vec<f64> = doubles.take(1_000_000).chain(prices).collect();
        let floats: Vec<f32> =
            bits(7).map(|bits| f32::from_bits(bits as u32)).filter(|float| float.is_finite()).take(10_000).collect();
        let payload = Payload::encode(&(&doubles, &floats), &limits).unwrap();
        let (back, small): (Vec<f64>, Vec<f32>) = payload.decode().unwrap();
        let changed = doubles.iter().zip(&back).filter(|(sent, back)| sent.to_bits() != back.to_bits()).count();
        assert_eq!(changed, 0, "of {} doubles", doubles.len());
        let changed = floats.iter().zip(&small).filter(|(sent, back)| sent.to_bits() != back.to_bits()).count();
        assert_eq!(changed, 0, "of {} floats", floats.len());
        // What is read by way of a `Value`, as untyped callers do, is the same.
        let value: serde_json::Value = Payload::encode(&doubles[..1_000], &limits).unwrap().decode().unwrap();
        let back = value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap().to_bits());
        assert!(back.eq(doubles[..1_000].iter().map(|double| double.to_bits())));
    }
}
