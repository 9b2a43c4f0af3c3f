//! Rows that a later build wrote.

use std::sync::Arc;

use sqlx::query;

use super::support::Scratch;
use crate::store::conformance::newer;

#[tokio::test]
async fn mail_of_a_later_build_waits_for_one_that_can_read_it() {
    let Some(scratch) = Scratch::new().await else { return };
    let mut rows = scratch.connection().await;
    let set_kind = async |mail, kind: i16| {
        let set = query("UPDATE forge_wf.inbox SET kind = $2 WHERE id = $1").bind(mail).bind(kind);
        assert_eq!(set.execute(&mut rows).await.unwrap().rows_affected(), 1);
    };
    newer::mail_of_a_later_build_waits_for_one_that_can_read_it(Arc::new(scratch.store().await), set_kind).await;
}
