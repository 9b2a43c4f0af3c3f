//! What runs in flight rely on, as hashes the compiler computes.

pub mod digest;
pub mod schema;
