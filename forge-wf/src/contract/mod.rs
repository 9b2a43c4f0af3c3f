//! What runs in flight rely on: hashes the compiler computes, and the file in which a project keeps what they are made of.
//!
//! Users need [`assert_lock!`] of it; the rest is public for expanded code.

#[doc(hidden)]
pub mod digest;
#[doc(hidden)]
pub mod lockfile;
#[doc(hidden)]
pub mod message;
#[doc(hidden)]
pub mod parts;
#[doc(hidden)]
pub mod schema;

#[doc(inline)]
pub use crate::__forge_wf_assert_lock as assert_lock;
