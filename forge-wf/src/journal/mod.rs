//! What happened in a run; not who asked, not where it is kept.

pub mod entry;
pub mod history;

pub use entry::{Entry, EntryKind, EntryState, Recipe, Undo, UndoState};
pub use history::{Corrupt, History};
