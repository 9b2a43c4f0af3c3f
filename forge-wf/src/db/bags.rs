//! Bags of mail from the rows a backend read. Pure.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::model::RunId;
use crate::store::{Inbox, Mail, Mailbag, StoreError};

/// Mails that are known to have been told of, up to this number; then they are told of again.
const TOLD_MAX: usize = 10_000;
/// How many events are shown to a person at the most.
pub(super) const EVENTS_SHOWN_MAX: i64 = 1_000;
/// How many lines of a run's audit are shown at the most.
pub(super) const AUDIT_SHOWN_MAX: i64 = 1_000;

/// The mail of one row, or nothing and a word in the log if it makes no sense to this build: mail of the same run, and that of
/// other runs read with it, shall not suffer.
pub(super) fn readable(read: Result<Mail, StoreError>, run: RunId, id: Uuid) -> Result<Option<Mail>, StoreError> {
    match read {
        Ok(mail) => Ok(Some(mail)),
        Err(error @ (StoreError::Corrupt { .. } | StoreError::Unknown { .. })) => {
            if is_first_told(id) {
                tracing::error!(%run, mail = %id, %error, "mail that this build cannot read is left in the inbox");
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Says that the database cannot read the body of this mail.
pub(super) fn tell_of_unreadable(run: RunId, id: Uuid, error: &StoreError) {
    if is_first_told(id) {
        tracing::error!(%run, mail = %id, %error, "the database cannot read mail of this run; it is left in the inbox");
    }
}

/// Whether nothing was said of this mail in this process: it is read again and again, and one word is enough.
fn is_first_told(id: Uuid) -> bool {
    static TOLD: Mutex<BTreeSet<Uuid>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() >= TOLD_MAX {
        told.clear();
    }
    told.insert(id)
}

/// A row of mail that was read by the page.
pub(super) struct Row {
    /// If it is of the page, how many mails that was cut from.
    pub(super) there: Option<i64>,
    /// The mail, if this build and the database can read it.
    pub(super) mail: Option<Mail>,
    /// What the database says of it, if it cannot read it.
    pub(super) unreadable: Option<String>,
}

/// The page among these rows, with all that is not counted with it.
pub(super) fn bag(run: RunId, rows: Vec<Row>) -> Mailbag {
    let of_page = rows.iter().filter_map(|row| row.there);
    let complete = of_page.clone().max().unwrap_or_default() == of_page.count() as i64;
    Mailbag { run, mail: rows.into_iter().filter_map(|row| row.mail).collect(), complete }
}

/// The page among these rows, and apart from it what stands beyond.
pub(super) fn inbox(run: RunId, mut rows: Vec<Row>) -> Inbox {
    let unreadable = rows.iter_mut().find_map(|row| row.unreadable.take());
    let (page, beyond): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.there.is_some());
    Inbox { page: bag(run, page), beyond: beyond.into_iter().filter_map(|row| row.mail).collect(), unreadable }
}
