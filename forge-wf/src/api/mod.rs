//! What users write against.

pub mod builder;
pub mod bulk;
pub mod call;
pub mod child;
pub mod client;
pub mod compensate;
pub(crate) mod connect;
pub mod context;
pub mod definition;
pub mod error;
pub mod failure;
pub mod fork;
pub mod handle;
pub mod list;
pub mod order;
mod pace;
pub mod runtime;
pub mod saga;
pub mod send;
pub mod show;
mod slot;
pub mod start;
pub mod step_context;
pub mod time;
pub mod timeout;
pub mod wait;
mod why;
