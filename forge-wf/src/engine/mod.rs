//! Drives runs; sees bytes, never SQL, a backend or a user's type.

pub mod calls;
pub mod definition;
pub mod drive;
pub mod replay;
#[cfg(test)]
mod replay_properties;
pub mod retry;
pub mod states;
pub mod waker;
