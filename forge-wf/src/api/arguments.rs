//! The arguments of a step call, as the wrapper of a step writes them and as an attempt reads them back.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::definition::Argument;
use super::failure::Failure;
use crate::engine::definition::StepOutcome;
use crate::model::failure::ARGUMENTS_UNUSABLE;
use crate::model::fingerprint::fingerprint;
use crate::model::{Limits, Payload, PayloadError};

/// The arguments of a call, by name, as they are written.
pub struct Arguments {
    text: String,
    hash: u64,
    wrong: Option<(&'static str, PayloadError)>,
}

impl Arguments {
    /// No arguments yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { text: String::from("{"), hash: 0, wrong: None }
    }

    /// Adds one; the names are Rust identifiers, so they need no escaping.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        let hash = fingerprint(value).map_err(|error| PayloadError::Encode(error.to_string()));
        let text = serde_json::to_string(value).map_err(|error| PayloadError::Encode(error.to_string()));
        match hash.and_then(|hash| Ok((hash, text?))) {
            Ok((hash, text)) => {
                if self.text.len() > 1 {
                    self.text.push(',');
                }
                self.text.extend(["\"", name, "\":", &text]);
                self.hash = self.hash.rotate_left(5) ^ hash;
            }
            Err(error) => {
                self.wrong.get_or_insert((name, error));
            }
        }
    }

    /// Adds argument `N` of the step `S`, given by value or by reference.
    pub fn value<S: Argument<N>, const N: usize>(&mut self, name: &'static str, value: &S::Owned) {
        self.put(name, value);
    }

    /// Adds argument `N` of the step `S`, given as a slice.
    pub fn slice<S: Argument<N>, const N: usize>(&mut self, name: &'static str, value: &[S::Owned]) {
        self.put(name, value);
    }

    /// Adds argument `N` of the step `S`, given as an optional reference.
    pub fn option<S: Argument<N>, const N: usize>(&mut self, name: &'static str, value: Option<&S::Owned>) {
        self.put(name, &value);
    }

    /// Adds argument `N` of the step `S`, given as an optional slice.
    pub fn option_slice<S: Argument<N>, const N: usize>(&mut self, name: &'static str, value: Option<&[S::Owned]>) {
        self.put(name, &value);
    }

    pub(crate) fn finish(mut self, limits: &Limits) -> (Result<Payload, Box<Failure>>, u64) {
        let unusable = |message| Err(Box::new(Failure::unusable(ARGUMENTS_UNUSABLE, message)));
        if let Some((name, error)) = self.wrong {
            return (unusable(format!("argument `{name}` cannot be journaled: {error}")), 0);
        }
        self.text.push('}');
        match Payload::within(self.text, limits) {
            Ok(payload) => (Ok(payload), self.hash),
            Err(error) => (unusable(format!("the arguments cannot be journaled: {error}")), self.hash),
        }
    }
}

/// The arguments of an attempt, as they are read back.
pub struct ReadArguments<'p>(HashMap<&'p str, &'p RawValue>);

impl<'p> ReadArguments<'p> {
    /// Takes the text apart.
    ///
    /// # Errors
    /// An outcome for the step, if it is not what [`Arguments`] writes.
    pub fn of(args: &'p Payload) -> Result<Self, StepOutcome> {
        serde_json::from_str(args.as_str()).map(Self).map_err(|error| unreadable(&error))
    }

    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, StepOutcome> {
        let text = self.0.get(name).map_or("null", |raw| raw.get());
        serde_json::from_str(text).map_err(|error| unreadable(&format!("argument `{name}`: {error}")))
    }

    /// Argument `N` of the step `S`.
    ///
    /// # Errors
    /// An outcome for the step, if it does not fit.
    pub fn value<S: Argument<N>, const N: usize>(&mut self, name: &str) -> Result<S::Owned, StepOutcome> {
        self.take(name)
    }

    /// Argument `N` of the step `S`, which takes it as a slice.
    ///
    /// # Errors
    /// An outcome for the step, if it does not fit.
    pub fn slice<S: Argument<N>, const N: usize>(&mut self, name: &str) -> Result<Vec<S::Owned>, StepOutcome> {
        self.take(name)
    }

    /// Argument `N` of the step `S`, which takes it as an optional reference.
    ///
    /// # Errors
    /// An outcome for the step, if it does not fit.
    pub fn option<S: Argument<N>, const N: usize>(&mut self, name: &str) -> Result<Option<S::Owned>, StepOutcome> {
        self.take(name)
    }

    /// Argument `N` of the step `S`, which takes it as an optional slice.
    ///
    /// # Errors
    /// An outcome for the step, if it does not fit.
    pub fn option_slice<S: Argument<N>, const N: usize>(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<S::Owned>>, StepOutcome> {
        self.take(name)
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> StepOutcome {
    let failure = Failure::unusable(ARGUMENTS_UNUSABLE, format!("the recorded arguments do not fit the step: {error}"));
    StepOutcome::Failed { failure: Box::new(failure), retryable: false, undo: None }
}
