//! Holds nothing yet.
