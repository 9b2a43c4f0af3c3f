//! What tests need of the library: crash points, stores that fail on cue, the promises every store keeps.

pub mod crash;
mod faulty;

pub use faulty::{Fault, FaultyStore, Plan};
