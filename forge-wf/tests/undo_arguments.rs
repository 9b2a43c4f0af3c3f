//! What the attributes write for `compensate = ..`: the arguments of the undo, from those of the step and its output.

use forge_wf::__private::{Callee, Payload, Step, StepDefinition};
use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
struct Order {
    id: String,
    cents: u64,
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    id: i64,
}

#[step]
async fn release(hold: String) -> Result<()> {
    let _ = hold;
    Ok(())
}

#[step(compensate = release)]
async fn reserve(sku: &str, sizes: &[u8]) -> Result<String> {
    Ok(format!("{sku} {sizes:?}"))
}

#[step]
async fn unship(street: String, r#type: &[u8], parcel: Option<&str>) -> Result<()> {
    let _ = (street, r#type, parcel);
    Ok(())
}

#[step(compensate = unship)]
async fn ship(to: &str, r#sizes: Vec<u8>) -> Result<String> {
    let _ = r#sizes;
    Ok(to.to_owned())
}

#[step]
async fn refund(id: i64, cents: u64, note: &str) -> Result<()> {
    let _ = (id, cents, note);
    Ok(())
}

#[step(compensate = refund(output.id, order.cents / divisor, &format!("{note:?} {}", order.id)))]
async fn charge(order: Order, note: Option<&str>, divisor: u64) -> Result<Receipt> {
    let _ = (order, note, divisor);
    Ok(Receipt { id: 1 })
}

fn undo<S: Step>(args: &str, output: Option<&str>) -> Option<std::result::Result<String, String>> {
    let output = output.map(Payload::from_json_text);
    let undo = S::DEFINITION.undo.as_ref().expect("the step has a compensation");
    let found = (undo.args)(&Payload::from_json_text(args), output.as_ref())?;
    Some(found.map(|args| args.as_str().to_owned()))
}

fn given(json: &str) -> Option<std::result::Result<String, String>> {
    Some(Ok(json.to_owned()))
}

fn undo_of<S: Step>() -> &'static StepDefinition {
    (S::DEFINITION.undo.as_ref().expect("the step has a compensation").step)()
}

const RESERVED: &str = r#"{"sku":"a","sizes":[1]}"#;
const SHIPPED: &str = r#"{"to":"B\"ern","sizes":[1, 2]}"#;
const CHARGED: &str = r#"{"order":{"id":"o","cents":700},"note":"thanks","divisor":7}"#;

#[test]
fn a_path_is_given_the_output_under_its_own_name() {
    assert_eq!(undo::<reserve>(RESERVED, Some(r#""a [1]""#)), given(r#"{"hold":"a [1]"}"#));
    assert_eq!(undo_of::<reserve>().key, "step:release");
    assert!(release::DEFINITION.undo.is_none());
}

#[test]
fn a_path_is_given_the_inputs_and_the_output_and_nothing_is_read() {
    let expected = r#"{"street":"B\"ern","type":[1, 2],"parcel":{"un" :"known"}}"#;
    assert_eq!(undo::<ship>(SHIPPED, Some(r#"{"un" :"known"}"#)), given(expected));
    let without = r#"{"street":"B\"ern","type":null,"parcel":"p"}"#;
    assert_eq!(undo::<ship>(r#"{"to":"B\"ern"}"#, Some(r#""p""#)), given(without));
}

#[test]
fn without_an_output_only_a_step_that_can_do_without_is_called() {
    assert_eq!(undo::<ship>(SHIPPED, None), given(r#"{"street":"B\"ern","type":[1, 2],"parcel":null}"#));
    assert_eq!(undo::<reserve>(RESERVED, None), None);
    assert_eq!(undo::<charge>(CHARGED, None), None);
}

#[test]
fn a_call_is_evaluated() {
    assert_eq!(
        undo::<charge>(CHARGED, Some(r#"{"id":5}"#)),
        given(r#"{"id":5,"cents":100,"note":"Some(\"thanks\") o"}"#)
    );
    assert_eq!(undo_of::<charge>().key, "step:refund");
}

#[test]
fn what_cannot_be_read_is_told() {
    let told = |found: Option<std::result::Result<String, String>>| found.unwrap().unwrap_err();
    let output = told(undo::<charge>(CHARGED, Some(r#"{"id":"five"}"#)));
    assert!(output.contains("the recorded output cannot be read") && output.contains("expected i64"), "{output}");
    let argument = told(undo::<charge>(r#"{"order":7}"#, Some(r#"{"id":5}"#)));
    assert!(argument.contains("argument `order`"), "{argument}");
    let arguments = told(undo::<ship>("[]", Some(r#""p""#)));
    assert!(arguments.contains("the recorded arguments cannot be read"), "{arguments}");
}

#[test]
fn callers_rely_on_the_compensation_and_workers_are_found_without_it() {
    mod changed {
        use forge_wf::prelude::*;

        use super::release;

        #[step]
        pub async fn reserve(sku: &str, sizes: &[u8]) -> Result<String> {
            Ok(format!("{sku} {sizes:?}"))
        }

        pub mod by_call {
            use super::*;

            #[step(compensate = release(output))]
            pub async fn reserve(sku: &str, sizes: &[u8]) -> Result<String> {
                Ok(format!("{sku} {sizes:?}"))
            }
        }
    }
    let digests = [
        <reserve as Callee>::DIGEST,
        <changed::reserve as Callee>::DIGEST,
        <changed::by_call::reserve as Callee>::DIGEST,
        <release as Callee>::DIGEST,
    ];
    assert!((1..digests.len()).all(|n| !digests[..n].contains(&digests[n])), "{digests:x?}");
    assert_eq!(reserve::INTERFACE, changed::reserve::INTERFACE);
    assert_eq!(reserve::INTERFACE, <changed::reserve as Callee>::DIGEST, "without a compensation both are the same");
    assert_eq!(reserve::DEFINITION.digest.0, changed::by_call::reserve::DEFINITION.digest.0);
}
