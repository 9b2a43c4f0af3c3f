//! Panics: what they say, and how one becomes an error of the code that it stopped.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// The words of a panic, if it has any.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// What `work` returns, or the words of the panic that it ended with.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| panic_message(&*panic).to_owned())
}
