//! What an operator sees: lists, one sentence about each run, and orders to many.

use forge_wf::prelude::*;
use forge_wf::{Filter, RunId, Status, Timestamp};
use forge_wf_tests::family::*;
use forge_wf_tests::undoing::*;
use forge_wf_tests::waiting::*;
use forge_wf_tests::{eventually, on_every_backend};

use crate::quick;

async fn why(client: &Client, run: RunId, status: Status) -> String {
    let details = eventually(status.name(), async || {
        let details = client.show(run).await.unwrap();
        (details.status == status).then_some(details)
    })
    .await;
    details.why
}

on_every_backend!(each_run_says_in_one_sentence_what_it_is_about, |database| {
    let folder = tempfile::tempdir().unwrap();
    let plan = |name: &str, legs, end| {
        let log = folder.path().join(name).display().to_string();
        Trip { log, legs, end }
    };
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let asleep = rt.start(sleeps_for_days, ()).await.unwrap();
    let waiting = rt.start(approvals, 1).await.unwrap();
    let done = rt.start(trip, plan("done", 1, TripEnd::Arrives)).await.unwrap();
    let failed = rt.start(trip, plan("failed", 0, TripEnd::Fails)).await.unwrap();
    let undone = rt.start(trip, plan("undone", 1, TripEnd::Fails)).await.unwrap();
    let log = folder.path().join("stuck").display().to_string();
    let stuck = rt.start(silent_trip, (log, 1)).await.unwrap();
    let begins = [
        (asleep.id(), Status::Sleeping, "waits until 20"),
        (waiting.id(), Status::Waiting, "waits for event:approved#0"),
        (done.id(), Status::Completed, "completed"),
        (failed.id(), Status::Failed, "failed, with nothing to undo: no seat is left"),
        (undone.id(), Status::Compensated, "failed, and what it did was undone: no seat is left"),
        (stuck.id(), Status::BlockedCompensation, "blocked_compensation: step:book_into_the_void#0 cannot be undone"),
    ];
    for (run, status, begin) in begins {
        let sentence = why(&client, run, status).await;
        assert!(sentence.starts_with(begin), "{status}: {sentence}");
        let listed = client.list(&Filter::new().status(status)).await.unwrap();
        assert_eq!(listed.runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run], "{status}");
        assert_eq!((listed.runs[0].status, listed.next), (status, None));
    }
    let entries = client.show(undone.id()).await.unwrap().entries;
    let booked = entries.iter().find(|entry| entry.call == "step:book#0").unwrap();
    assert_eq!((booked.compensation.as_deref(), booked.undo), (Some("step:give_back"), Some("done")));
    assert_eq!(booked.output, Some(serde_json::json!("seat 1")));
    let newest_first: Vec<_> = begins.iter().rev().map(|(run, ..)| *run).collect();
    let all = client.list(&Filter::new()).await.unwrap();
    assert_eq!(all.runs.iter().map(|run| run.id).collect::<Vec<_>>(), newest_first);
    let trips = client.list(&Filter::new().workflow("trip").status(Status::Failed).status(Status::Completed)).await;
    assert_eq!(trips.unwrap().runs.len(), 2);
    rt.shutdown().await;
});

on_every_backend!(what_a_run_was_started_with_and_what_it_is_told_is_shown, |database| {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let deadline = chrono::DateTime::from_timestamp_micros(chrono::Utc::now().timestamp_micros()).unwrap() + days(7);
    let plan = Trip { log, legs: 600_000, end: TripEnd::Arrives };
    let start = rt.start(deliver_in_time, plan).key("k").owner("ada").tag("town", "Oslo").priority(3);
    let run = start.deadline(deadline).await.unwrap();
    let child = eventually("the child", async || {
        let page = client.list(&Filter::new().workflow("dispatch_when_told")).await.unwrap();
        page.runs.into_iter().find(|child| child.status == Status::Waiting)
    })
    .await;
    assert_eq!((child.parent, child.parent_call.as_deref()), (Some(run.id()), Some("child:dispatch_when_told#0")));
    for n in 0..3 {
        rt.send_event(&run, Approved { by: n.to_string() }).await.unwrap();
    }
    let details = client.show(run.id()).await.unwrap();
    assert_eq!((details.events, details.owner.as_deref(), details.priority), (3, Some("ada"), 3));
    assert_eq!((details.deadline_at, details.takeovers, details.parent), (Some(deadline), 0, None));
    let listed = client.list(&Filter::new().key("k")).await.unwrap().runs.remove(0);
    assert_eq!((listed.tags, listed.deadline_at), ([("town".into(), "Oslo".into())].into(), Some(deadline)));
    let json = serde_json::to_value(&details).unwrap();
    assert_eq!((&json["key"], &json["tags"]["town"]), (&serde_json::json!("k"), &serde_json::json!("Oslo")));
    assert_eq!(json["entries"][1]["compensation"], "step:give_back", "{json}");
    assert_eq!(json["entries"][1]["compensation_args"]["seat"], "seat 1", "{json}");
    rt.shutdown().await;
});

on_every_backend!(pages_hold_every_run_once_while_others_are_started, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    let mut expected = Vec::new();
    for _ in 0..25 {
        expected.push(rt.start(sleeps_for_days, ()).await.unwrap().id());
    }
    let mut filter = Filter::new().workflow("sleeps_for_days").page_size(4);
    let mut listed = Vec::new();
    loop {
        let page = client.list(&filter).await.unwrap();
        assert!(page.runs.len() <= 4);
        listed.extend(page.runs.iter().map(|run| run.id));
        rt.start(sleeps_for_days, ()).await.unwrap();
        let Some(next) = page.next else { break };
        let text = serde_json::to_string(&next).unwrap();
        filter = filter.from(serde_json::from_str(&text).unwrap());
    }
    expected.reverse();
    assert_eq!(listed, expected);
    let from = client.show(expected[10]).await.unwrap().created_at;
    let later = client.list(&Filter::new().created_from(from).created_until(from + hours(1)).page_size(1_000)).await;
    assert!(later.unwrap().runs.iter().any(|run| run.id == expected[10]));
    for (from, until) in [(Timestamp::MIN_UTC, Timestamp::MAX_UTC), (Timestamp::MAX_UTC, Timestamp::MIN_UTC)] {
        let page = client.list(&Filter::new().created_from(from).created_until(until)).await.unwrap();
        assert_eq!(page.runs.is_empty(), from > until);
    }
    let earlier = client.list(&Filter::new().created_until(from)).await.unwrap();
    assert!(earlier.runs.iter().all(|run| run.created_at < from) && !earlier.runs.is_empty());
    rt.shutdown().await;
});

on_every_backend!(one_order_reaches_many_runs_up_to_a_number, |database| {
    let rt = quick(database).build().await.unwrap();
    let client = rt.client();
    for n in 0..30 {
        rt.start(sleeps_for_days, ()).key(format!("k{n}")).tag("n", format!("{n}")).owner("ada").await.unwrap();
    }
    let other = rt.start(approvals, 1).await.unwrap();
    let sleepers = Filter::new().workflow("sleeps_for_days").page_size(7);
    let paused = client.pause_all(sleepers.clone(), 10, "too many").by("ada").await.unwrap();
    assert_eq!((paused.given, paused.ended), (10, 0));
    let count = async |status| {
        let filter = Filter::new().workflow("sleeps_for_days").status(status).page_size(1_000);
        client.list(&filter).await.unwrap().runs.len()
    };
    eventually("ten that are paused", async || (count(Status::Paused).await == 10).then_some(())).await;
    let resumed = client.resume_all(sleepers.clone().status(Status::Paused), 1_000, "go on").await.unwrap();
    assert!(resumed.failed.is_empty());
    eventually("all asleep again", async || (count(Status::Sleeping).await == 30).then_some(())).await;
    let cancelled = client.cancel_all(sleepers.clone(), 1_000, "all of them").await.unwrap();
    assert_eq!(cancelled.given, 30);
    eventually("all cancelled", async || (count(Status::Cancelled).await == 30).then_some(())).await;
    let again = client.cancel_all(sleepers, 1_000, "once more").await.unwrap();
    assert_eq!((again.given, again.ended), (0, 30));
    assert_ne!(other.status().await.unwrap(), Status::Cancelled);
    let one = client.list(&Filter::new().key("k7")).await.unwrap();
    assert_eq!(one.runs.len(), 1);
    let tagged = client.list(&Filter::new().tag("n", "7").owner("ada")).await.unwrap();
    assert_eq!((tagged.runs.len(), tagged.runs[0].id), (1, one.runs[0].id));
    assert!(client.list(&Filter::new().tag("n", "7").owner("bob")).await.unwrap().runs.is_empty());
    assert_eq!(client.audit(one.runs[0].id).await.unwrap().last().unwrap().action, "cancel");
    rt.shutdown().await;
});
