//! Mail → turns: what is un-noticed in the database for the runs this worker has in memory.
//!
//! Takes a nudge or a look now and then; hands each mail to its turn. Mail for a run without a turn is left where it is: it
//! makes the run due, or comes along when the run is claimed.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Engine;
use super::config::DATABASE_RETRY;
use super::pauses::Pauses;
use super::session::Session;
use super::turn::Message;
use crate::model::limits::{MAIL_PAGE, MAIL_PAGE_BYTES};
use crate::store::{Mail, NewMail, StoreError};

/// Pause before the next page of a flood: the marks on this one are under way meanwhile.
const PAGE_PAUSE: Duration = Duration::from_millis(2);

impl Engine {
    /// Looks for mail until the session is over.
    pub(super) async fn deliver_mail(self: Arc<Self>, session: Arc<Session>) {
        let mut pauses = Pauses::new(DATABASE_RETRY);
        while !session.is_lost() {
            tokio::select! {
                () = self.mail.notified() => {}
                () = tokio::time::sleep(self.look_anyway()) => {}
                () = session.lost() => return,
            }
            // A worker without runs has no mail, and an idle one asks nothing.
            if self.turns().is_empty() {
                continue;
            }
            match self.look_for_mail(&session).await {
                Ok(()) => pauses.start_again(),
                Err(error) => {
                    tracing::warn!(worker = %session.worker, %error, "could not look for mail; trying again");
                    tokio::time::sleep(pauses.take()).await;
                    // What told of this mail will not tell again.
                    self.mail.notify_one();
                }
            }
        }
    }

    /// Tells `turn`, once all mail is handed over that is there now.
    pub(super) fn look_for_mail_of(&self, turn: mpsc::UnboundedSender<Message>) {
        self.want_look().push(turn);
        self.mail.notify_one();
    }

    fn want_look(&self) -> MutexGuard<'_, Vec<mpsc::UnboundedSender<Message>>> {
        self.want_look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what is un-noticed, page by page, until a page holds nothing new: then its marks are under way, or its turn
    /// is about to leave and does not take it.
    async fn look_for_mail(&self, session: &Session) -> Result<(), StoreError> {
        let mut handed_over = HashSet::new();
        let mut waiting = Vec::new();
        loop {
            waiting.append(&mut self.want_look());
            let look = self.looks.fetch_add(1, Ordering::AcqRel) + 1;
            let mail = match self.store.unnoticed_mail(session.worker).await {
                Ok(mail) => mail,
                Err(error) => {
                    self.want_look().append(&mut waiting);
                    return Err(error);
                }
            };
            let bytes: usize = mail.iter().filter_map(|mail| Some(mail.mail.body.as_ref()?.as_str().len())).sum();
            let full = mail.len() >= MAIL_PAGE || bytes >= MAIL_PAGE_BYTES;
            let mut more = false;
            for mail in mail {
                let id = mail.mail.id;
                if !handed_over.contains(&id) && self.route(look, mail) {
                    handed_over.insert(id);
                    more = true;
                }
            }
            if !full {
                waiting.drain(..).for_each(|turn| drop(turn.send(Message::Looked)));
                return Ok(());
            }
            // Whoever waits has to know of the last page too.
            if (!more && waiting.is_empty()) || session.is_lost() {
                return Ok(());
            }
            tokio::time::sleep(PAGE_PAUSE).await;
        }
    }

    /// Hands mail to the turn of its run, if that began before this look. A turn that began since has opened its mail itself,
    /// and perhaps used this up already: only a look that begins now can tell.
    fn route(&self, look: u64, mail: Mail) -> bool {
        match self.turns().get(&mail.mail.run) {
            Some(resident) if resident.look < look => resident.turn.send(Message::Mail(Box::new(mail))).is_ok(),
            Some(_) => {
                self.mail.notify_one();
                false
            }
            // Its turn is about to begin, or the run is nobody's by now.
            None => {
                self.unrouted.store(true, Ordering::Release);
                self.nudge();
                false
            }
        }
    }

    /// Turns have begun: what came for them in between is looked for again.
    pub(super) fn turns_have_begun(&self) {
        if self.unrouted.swap(false, Ordering::AcqRel) {
            self.mail.notify_one();
        }
    }

    /// Mail that runs of this worker have sent is durable. Most of it is for runs that are here too.
    pub(super) fn posted(&self, sent: Vec<NewMail>) {
        let mut elsewhere = false;
        for mail in sent {
            let sent_at = self.clock.now();
            match self.turns().get(&mail.run) {
                Some(resident) => {
                    // A command is for a child as it was begun.
                    let retries = mail.kind.is_order().then_some(0);
                    let mail = Mail { no: 0, mail, sent_at, noticed: false, retries };
                    drop(resident.turn.send(Message::Mail(Box::new(mail))));
                }
                None => {
                    // Its run may be claimed just now, with the mail there was before.
                    self.unrouted.store(true, Ordering::Release);
                    elsewhere = true;
                }
            }
        }
        if elsewhere {
            self.announce();
        }
    }
}
