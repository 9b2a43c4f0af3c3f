//! sqlx lives here and nowhere else.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod acknowledged;
mod bags;
mod migrate;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod refusals;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod singly;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use crate::model::panic::panic_message;
use crate::store::StoreError;

/// Runs a database call in a task of its own, so that a caller who is dropped (by a `select!` or a timeout) cannot
/// drop a statement half-way. A call that panics, in the driver say, has no answer; its caller goes on.
async fn detached<T: Send + 'static>(
    call: &'static str,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(answer) => answer,
        Err(error) => {
            let source = match error.try_into_panic() {
                Ok(panic) => format!("the call panicked: {}", panic_message(&*panic)).into(),
                Err(error) => error.into(),
            };
            Err(StoreError::Unavailable { call, source })
        }
    }
}
