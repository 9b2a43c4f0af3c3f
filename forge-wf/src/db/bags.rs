//! Bags of mail from the rows a backend read. Pure.

use uuid::Uuid;

use crate::model::RunId;
use crate::store::{Inbox, Mail, Mailbag, StoreError};

/// How many events are shown to a person at the most.
pub(super) const EVENTS_SHOWN_MAX: i64 = 1_000;
/// How many lines of a run's audit are shown at the most.
pub(super) const AUDIT_SHOWN_MAX: i64 = 1_000;

/// The mail of one row, or nothing and a word in the log if it makes no sense to this build: mail of the same run, and that of
/// other runs read with it, shall not suffer.
pub(super) fn readable(read: Result<Mail, StoreError>, run: RunId, id: Uuid) -> Result<Option<Mail>, StoreError> {
    match read {
        Ok(mail) => Ok(Some(mail)),
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(%run, mail = %id, %error, "mail that this build cannot read is left in the inbox");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A row of mail that was read by the page.
pub(super) struct Row {
    /// If it is of the page, how many mails that was cut from.
    pub(super) there: Option<i64>,
    /// The mail, if this build can read it.
    pub(super) mail: Option<Mail>,
}

/// The page among these rows, with all that is not counted with it.
pub(super) fn bag(run: RunId, rows: Vec<Row>) -> Mailbag {
    let of_page = rows.iter().filter_map(|row| row.there);
    let complete = of_page.clone().max().unwrap_or_default() == of_page.count() as i64;
    Mailbag { run, mail: rows.into_iter().filter_map(|row| row.mail).collect(), complete }
}

/// The page among these rows, and apart from it what stands beyond.
pub(super) fn inbox(run: RunId, rows: Vec<Row>) -> Inbox {
    let (page, beyond): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.there.is_some());
    Inbox { page: bag(run, page), beyond: beyond.into_iter().filter_map(|row| row.mail).collect() }
}
