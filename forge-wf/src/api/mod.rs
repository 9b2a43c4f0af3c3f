//! What users write against.

pub mod call;
pub mod context;
pub mod definition;
pub mod failure;
pub mod step_context;
