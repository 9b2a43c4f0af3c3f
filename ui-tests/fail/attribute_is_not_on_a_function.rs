use forge_wf::prelude::*;

#[step]
struct Charge;

#[workflow]
trait Checkout {}

fn main() {
    let _ = Charge;
}
