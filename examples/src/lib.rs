//! The examples of forge-wf, one folder each. Try the flagship: `cargo run --release --example mirror -- SOURCE DEST`.
