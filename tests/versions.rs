//! Versions of one workflow side by side in one process.

use forge_wf::Error;
use forge_wf_tests::billing::*;
use forge_wf_tests::on_every_backend;

use crate::quick;

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
    rt.shutdown().await;
});
