//! Rows that a later build wrote.

use std::sync::Arc;

use sqlx::query;

use super::support::Scratch;
use crate::model::RunId;
use crate::store::conformance::newer;

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn mail_of_a_later_build_waits_for_one_that_can_read_it() {
    let scratch = Scratch::new().await;
    let mut rows = scratch.connection().await;
    let set_kind = async |mail, kind: i16| {
        let set = query("UPDATE forge_wf.inbox SET kind = $2 WHERE id = $1").bind(mail).bind(kind);
        assert_eq!(set.execute(&mut rows).await.unwrap().rows_affected(), 1);
    };
    newer::mail_of_a_later_build_waits_for_one_that_can_read_it(Arc::new(scratch.store().await), set_kind).await;
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_run_of_a_later_build_is_left_as_it_is_and_keeps_no_other_waiting() {
    let scratch = Scratch::new().await;
    let mut rows = scratch.connection().await;
    let set_phase = async |run: RunId, phase: i16| {
        let set = query("UPDATE forge_wf.runs SET phase = $2 WHERE id = $1").bind(run.0).bind(phase);
        assert_eq!(set.execute(&mut rows).await.unwrap().rows_affected(), 1);
    };
    let store = Arc::new(scratch.store().await);
    newer::a_run_of_a_later_build_is_left_as_it_is_and_keeps_no_other_waiting(store, set_phase).await;
}

#[tokio::test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn an_entry_of_a_later_build_is_told_from_one_that_makes_no_sense() {
    let scratch = Scratch::new().await;
    let mut rows = scratch.connection().await;
    let set_kind = async |run: RunId, kind: i16| {
        let set = query("UPDATE forge_wf.journal SET kind = $2 WHERE run_id = $1 AND key = 'step:charge'");
        assert_eq!(set.bind(run.0).bind(kind).execute(&mut rows).await.unwrap().rows_affected(), 1);
    };
    newer::an_entry_of_a_later_build_is_told_from_one_that_makes_no_sense(Arc::new(scratch.store().await), set_kind)
        .await;
}
