//! A user's own connection, through which mail joins the transaction that is open on it.
//!
//! Sends single statements and never begins, ends or leaves anything: whether they count is the user's to decide.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Row, query_with};
use uuid::Uuid;

use super::columns::Columns;
use super::error::{sort, sorted, state};
use super::mail::send_columns;
use super::rows::posted;
use crate::model::RunId;
use crate::store::{Join, NewMail, Posted, StoreError};

#[async_trait]
impl Join for PgConnection {
    async fn find_run(&mut self, workflow: &str, key: &str) -> Result<Option<RunId>, StoreError> {
        const CALL: &str = "find_run";
        const HOLDER: &str = "SELECT id FROM forge_wf.runs WHERE workflow = $1 AND key = $2 AND holds_key";
        let arguments = Columns::new().with(workflow).with(key).finish(CALL)?;
        let row = fetch(self, CALL, HOLDER, arguments).await?;
        row.map(|row| row.try_get::<Uuid, _>(0).map(RunId).map_err(sorted(CALL))).transpose()
    }

    async fn send_mail(&mut self, mail: &NewMail) -> Result<Posted, StoreError> {
        const CALL: &str = "send_mail";
        let arguments = send_columns(mail).finish(CALL)?;
        posted(fetch(self, CALL, include_str!("sql/join_mail.sql"), arguments).await?.as_ref())
    }
}

async fn fetch(
    connection: &mut PgConnection,
    call: &'static str,
    sql: &'static str,
    arguments: PgArguments,
) -> Result<Option<PgRow>, StoreError> {
    let row = query_with(sql, arguments).fetch_optional(connection).await;
    row.map_err(|error| match state(&error).as_deref() {
        Some("42P01" | "3F000") => StoreError::Misconfigured {
            what: format!(
                "{call}: {error}; the connection leads to a database without the tables of forge-wf, \
                 use one to the database the runs are kept in"
            ),
        },
        _ => sort(call, error),
    })
}
