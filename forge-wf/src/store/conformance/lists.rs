//! Promises of `list_runs`: what fits, newest first, page by page.

use std::sync::Arc;

use super::support::*;
use crate::model::{RunId, State};
use crate::store::{ListRuns, Listed, NewRun, Store};

async fn list(store: &Arc<dyn Store>, list: ListRuns) -> Listed {
    store.list_runs(&ListRuns { limit: 3, look_at: 1_000, ..list }, LONG).await.unwrap()
}

fn ids(listed: &Listed) -> Vec<RunId> {
    listed.runs.iter().map(|run| run.id).collect()
}

/// So many runs, newest first.
async fn many(store: &Arc<dyn Store>, count: usize) -> Vec<RunId> {
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(start(store, checkout()).await);
    }
    runs.sort();
    runs.reverse();
    runs
}

pub async fn pages_follow_one_another_without_a_gap(store: Arc<dyn Store>) {
    let runs = many(&store, 8).await;
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = list(&store, ListRuns { before, ..ListRuns::default() }).await;
        assert!(page.runs.len() <= 3);
        listed.extend(ids(&page));
        // What is started meanwhile is newer, and on no later page.
        many(&store, 1).await;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, runs);
}

pub async fn a_list_looks_at_no_more_than_it_is_told_to(store: Arc<dyn Store>) {
    let runs = many(&store, 5).await;
    let nothing = ListRuns { workflow: Some("nobody".into()), limit: 3, look_at: 2, ..ListRuns::default() };
    let first = store.list_runs(&nothing, LONG).await.unwrap();
    assert_eq!((first.runs.len(), first.next), (0, Some(runs[1])), "and says where to go on");
    let second = store.list_runs(&ListRuns { before: first.next, ..nothing.clone() }, LONG).await.unwrap();
    assert_eq!((second.runs.len(), second.next), (0, Some(runs[3])));
    let third = store.list_runs(&ListRuns { before: second.next, ..nothing }, LONG).await.unwrap();
    assert_eq!((third.runs.len(), third.next), (0, None));
}

pub async fn a_list_holds_what_fits(store: Arc<dyn Store>) {
    let tagged = |tags: &str| NewRun { tags: Some(json(tags)), owner: Some("ada".into()), ..checkout() };
    let seventeen = start(&store, tagged("{\"n\":\"17\",\"$.x\":\"a\"}")).await;
    let number = start(&store, tagged("{\"n\":17}")).await;
    let keyed = start(&store, NewRun { version: Some("2".into()), ..keyed("k") }).await;
    let mut worker = Hand::new(&store).await;
    let ended = left(&mut worker).await;
    let tag = |name: &str, value: &str| ListRuns { tag: Some((name.into(), value.into())), ..ListRuns::default() };
    assert_eq!(ids(&list(&store, tag("n", "17")).await), [seventeen], "a tag is text");
    assert_eq!(ids(&list(&store, tag("$.x", "a")).await), [seventeen]);
    assert!(list(&store, tag("n", "1")).await.runs.is_empty());
    let mut of_ada = ids(&list(&store, ListRuns { owner: Some("ada".into()), ..ListRuns::default() }).await);
    of_ada.sort();
    let mut both = [seventeen, number];
    both.sort();
    assert_eq!(of_ada, both);
    assert_eq!(ids(&list(&store, ListRuns { key: Some("k".into()), ..ListRuns::default() }).await), [keyed]);
    assert_eq!(ids(&list(&store, ListRuns { version: Some("2".into()), ..ListRuns::default() }).await), [keyed]);
    let states = Some(vec![State::Completed, State::Failed]);
    let completed = list(&store, ListRuns { states, ..ListRuns::default() }).await;
    assert_eq!(ids(&completed), [ended]);
    assert!(completed.runs[0].output.is_none(), "a list carries no payloads");
    assert!(view(&store, ended).await.output.is_some());
    let created = view(&store, keyed).await.created_at;
    let none = ListRuns { created_from: Some(created), created_until: Some(created), ..ListRuns::default() };
    assert!(list(&store, none).await.runs.is_empty());
    let until = ListRuns { created_until: Some(created), key: Some("k".into()), ..ListRuns::default() };
    assert!(list(&store, until).await.runs.is_empty());
    let from = ListRuns { created_from: Some(created), key: Some("k".into()), ..ListRuns::default() };
    assert_eq!(ids(&list(&store, from).await), [keyed]);
}

/// A run that has completed.
async fn left(worker: &mut Hand) -> RunId {
    let run = bound();
    let id = run.id;
    worker.bear(run).await;
    worker.append(id, vec![end(1, "17")]).await;
    worker.update(id, 0, ended(State::Completed)).await;
    id
}
