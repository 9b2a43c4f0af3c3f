//! Drives runs; sees bytes, never SQL, a backend or a user's type.

pub mod calls;
pub mod definition;
pub mod retry;
pub mod states;
