//! Bags of mail from what a backend read: one mail more than a page, if there is that much. Pure.

use crate::model::RunId;
use crate::store::{MAIL_PAGE, Mail, MailKind, Mailbag};

/// How many events are shown to a person at the most.
pub(super) const EVENTS_SHOWN_MAX: i64 = 1_000;

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
