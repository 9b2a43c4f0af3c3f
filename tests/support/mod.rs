//! What the tests share: a fresh database on each backend, and workflows to run on it.

pub mod backend;
pub mod billing;
pub mod eventually;
pub mod family;
pub mod keepsake;
pub mod log;
pub mod pgbouncer;
pub mod proxy;
pub mod undoing;
pub mod waiting;
pub mod workflows;

pub use backend::Database;
pub use eventually::{eventually, in_time};
pub use log::Log;
