//! Versions of one workflow side by side in one process.

use std::collections::HashMap;

use forge_wf::prelude::*;
use forge_wf::{Error, Schema};
use forge_wf_tests::billing::*;
use forge_wf_tests::on_every_backend;

use crate::quick;

#[derive(Serialize, Deserialize, Schema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parcel {
    parcel_id: uuid::Uuid,
    #[serde(default)]
    lines: Vec<(String, u32)>,
    #[serde(rename = "inside")]
    parcels: Vec<Self>,
    labels: HashMap<String, Option<Label>>,
}

#[derive(Serialize, Deserialize, Schema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Label {
    Fragile,
    UseBefore {
        day: forge_wf::Timestamp,
    },
    #[serde(other)]
    Unknown,
}

#[test]
fn forms_of_derived_types_are_frozen() {
    let digests = [Parcel::STRUCTURE.digest(), Label::STRUCTURE.digest()].map(|digest| format!("{digest:032x}"));
    assert_eq!(
        digests,
        ["460ce8318f7cee890c2e67ebfebc36f4", "256ed3b7f76ad7e03fb8109d143371a0"],
        "databases hold signatures made of these"
    );
}

on_every_backend!(new_runs_are_of_the_active_version_unless_they_ask_for_another, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let by_name = || client.start_by_name("billing", serde_json::Value::Null);
    assert_eq!(by_name().await.unwrap().result().await.unwrap(), "two after one");
    assert_eq!(by_name().version("3").await.unwrap().result().await.unwrap(), "three");
    assert_eq!(rt.start(billing, ()).await.unwrap().result().await.unwrap(), "two after one");
    assert_eq!(rt.start(billing_3, ()).await.unwrap().result().await.unwrap(), "three", "the function is one version");
    for error in [by_name().version("1").await.unwrap_err(), rt.start(billing_1, ()).await.unwrap_err()] {
        assert!(matches!(error, Error::VersionDeprecated { .. }), "{error}");
        let words = "workflow billing version 1 is deprecated and takes no new runs: start version 2";
        assert_eq!(error.to_string(), words);
    }
    // A start that is only repeated finds its run, though no other run could be of that version now.
    let first = rt.start(billing, ()).key("k").await.unwrap();
    let again = rt.start(billing_1, ()).key("k").await.unwrap();
    assert_eq!((again.id(), again.created()), (first.id(), false));
    assert!(rt.start(billing_1, ()).key("other").await.is_err());
    rt.shutdown().await;
});
