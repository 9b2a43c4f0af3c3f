//! sqlx lives here and nowhere else.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod acknowledged;
mod bags;
mod migrate;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod singly;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use crate::store::StoreError;

/// Runs a database call in a task of its own, so that a caller who is dropped (by a `select!` or a timeout) cannot
/// drop a statement half-way.
async fn detached<T: Send + 'static>(
    call: &'static str,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(StoreError::Unavailable { call, source: error.into() }),
    }
}
