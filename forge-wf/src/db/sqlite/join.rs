//! A user's own connection, through which mail joins the transaction that is open on it.
//!
//! Sends single statements and never begins, ends or leaves anything: whether they count is the user's to decide.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{query, query_scalar};
use uuid::Uuid;

use super::error::sorted;
use super::mail::post;
use crate::model::RunId;
use crate::store::{Join, NewMail, Posted, StoreError};

#[async_trait]
impl Join for SqliteConnection {
    async fn find_run(&mut self, workflow: &str, key: &str) -> Result<Option<RunId>, StoreError> {
        // A transaction that has read and then writes fails if somebody else wrote in between; one that begins with a write waits
        // its turn. This one changes nothing, and makes it begin so.
        const TURN: &str = "UPDATE forge_wf_inbox SET taken_at = taken_at WHERE no IS NULL";
        query(TURN).execute(&mut *self).await.map_err(sorted("find_run")).map_err(elsewhere)?;
        const HOLDER: &str = "SELECT id FROM forge_wf_runs WHERE workflow = ?1 AND key = ?2 AND holds_key = 1";
        let holder = query_scalar::<_, Uuid>(HOLDER).bind(workflow).bind(key).fetch_optional(self).await;
        holder.map(|id| id.map(RunId)).map_err(sorted("find_run")).map_err(elsewhere)
    }

    async fn send_mail(&mut self, mail: &NewMail) -> Result<Posted, StoreError> {
        post(self, mail).await.map_err(elsewhere)
    }
}

/// SQLite has no code of its own for a table that is not there.
fn elsewhere(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { call, source } if source.to_string().contains("no such table: forge_wf_") => {
            StoreError::Misconfigured {
                what: format!(
                    "{call}: {source}; the connection leads to a file without the tables of forge-wf, \
                     use one to the file the runs are kept in"
                ),
            }
        }
        error => error,
    }
}
