//! Reads `retry(..)` of a step.

use std::time::Duration;

use syn::{Lit, Path};

use super::entry::{Entry, Value, entries};
use crate::check::Errors;

/// `retry(..)`.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) max: u32,
    /// The first and the longest wait.
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) jitter: Option<f64>,
    /// `if = path`
    pub(crate) condition: Option<Path>,
}

/// Reads it.
pub(super) fn retry(entry: &Entry, errors: &mut Errors) -> Option<Retry> {
    let Value::List(tokens) = &entry.value else {
        errors.add(&entry.key, "expected a list: write `retry(max = 5)`");
        return None;
    };
    let (mut max, mut backoff, mut jitter, mut condition) = (None, None, None, None);
    let mut max_was_given = false;
    for entry in entries(tokens.clone(), &["max", "backoff", "jitter", "if"], &[], errors) {
        match entry.key.to_string().as_str() {
            "max" => {
                max_was_given = true;
                max = attempts(&entry, errors);
            }
            "backoff" => backoff = entry.duration("\"200ms..30s\" or \"1s\"", errors),
            "jitter" => jitter = share(&entry, errors),
            _ => condition = entry.path("the path of a `fn(&E) -> bool`", errors),
        }
    }
    if !max_was_given {
        errors.add(&entry.key, "how often? Write `retry(max = 5)`: the number of attempts, the first included");
    }
    Some(Retry { max: max.unwrap_or(1), backoff, jitter, condition })
}

fn attempts(entry: &Entry, errors: &mut Errors) -> Option<u32> {
    let expected = "a number of attempts such as `5`";
    match entry.value::<Lit>(expected, errors)? {
        Lit::Int(lit) => match lit.base10_parse::<u32>() {
            Ok(0) => errors.add(lit, "`max` counts every attempt, so it is at least 1"),
            Ok(max) => return Some(max),
            Err(error) => errors.add(lit, format!("expected {expected}: {error}")),
        },
        other => errors.add(other, format!("expected {expected}")),
    }
    None
}

fn share(entry: &Entry, errors: &mut Errors) -> Option<f64> {
    let expected = "a share of the wait, from 0 to 1, such as `0.2`";
    let lit = entry.value::<Lit>(expected, errors)?;
    let number = match &lit {
        Lit::Int(lit) => lit.base10_parse().ok(),
        Lit::Float(lit) => lit.base10_parse::<f64>().ok(),
        _ => None,
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    if number.is_none() {
        errors.add(lit, format!("expected {expected}"));
    }
    number
}
