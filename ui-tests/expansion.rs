//! What the attributes write, run by hand.
fn main() {}
