//! Bags of mail from what a backend read: one mail more than a page, if there is that much. Pure.

use uuid::Uuid;

use crate::model::RunId;
use crate::store::{MAIL_PAGE, Mail, MailKind, Mailbag, StoreError};

/// How many events are shown to a person at the most.
pub(super) const EVENTS_SHOWN_MAX: i64 = 1_000;

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

/// A bag of mail of all kinds: the oldest page, and what is un-noticed beyond.
pub(super) fn page_of_all(run: RunId, mail: Vec<Mail>) -> Mailbag {
    let complete = mail.len() <= MAIL_PAGE;
    let oldest = |place: usize| place < MAIL_PAGE;
    let mail = mail.into_iter().enumerate().filter(|(place, mail)| oldest(*place) || !mail.noticed);
    Mailbag { run, mail: mail.map(|(_, mail)| mail).collect(), complete }
}

/// A bag of mail about events, of which only the events are counted.
pub(super) fn page_of_events(run: RunId, mut mail: Vec<Mail>) -> Mailbag {
    let mut events = 0;
    mail.retain(|mail| {
        events += usize::from(mail.mail.kind == MailKind::Event);
        mail.mail.kind != MailKind::Event || events <= MAIL_PAGE
    });
    Mailbag { run, mail, complete: events <= MAIL_PAGE }
}
