//! Mail → turns: what is un-noticed in the database for the runs this worker has in memory.
//!
//! Two loops. [`Engine::deliver_mail`] looks for the mail of all runs after a hint, or when it is time, and hands each mail to
//! its turn; [`Engine::answer_turns`] looks for the mail of single runs whose turns wait for that. Neither waits for a turn, so
//! a run with much mail or with a body that computes delays no other run. Mail of a run without a turn is left where it is: it
//! makes the run due, or is read when the run is claimed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc::UnboundedSender;

use super::Engine;
use super::config::DATABASE_RETRY;
use super::mailroom::{Look, Mailroom, Routed};
use super::pauses::Pauses;
use super::session::Session;
use super::turn::Message;
use crate::model::RunId;
use crate::model::limits::{MAIL_PAGE, MAIL_PAGE_BYTES};
use crate::store::{Mail, NewMail, StoreError};

/// Turns that are answered by one query at the most.
const ANSWERED_AT_ONCE: usize = 1_000;
/// Pages of single runs that are read at the same time.
const PAGES_AT_ONCE: usize = 4;

/// A turn that waits for the un-noticed mail of its run, as it is from now on.
pub(super) struct Asks {
    pub(super) run: RunId,
    pub(super) turn: UnboundedSender<Message>,
}

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
            match self.look_for_mail(&session).await {
                Ok(()) => pauses.start_again(),
                Err(error) => {
                    tracing::warn!(worker = %session.worker, %error, "could not look for mail; trying again");
                    tokio::time::sleep(pauses.take()).await;
                    // The hint for this mail does not come again.
                    self.mail.notify_one();
                }
            }
        }
    }

    /// Hands over what is un-noticed: a page of each run at the most. A turn whose page was not all of it asks for another look
    /// once its marks are written.
    async fn look_for_mail(&self, session: &Session) -> Result<(), StoreError> {
        let mut seen = HashSet::new();
        loop {
            // A worker without turns asks the database nothing.
            let Some(mut look) = self.begin_look() else { return Ok(()) };
            look.except.extend(&seen);
            let mail = self.store.unnoticed_mail(session.worker, &look.except).await?;
            let cut = is_full(&mail, 4);
            let before = seen.len();
            for (run, mail) in by_run(mail) {
                seen.insert(run);
                self.route(&look, run, mail, cut);
            }
            // The mail of other runs may stand behind these pages; what was handed out is skipped the next time.
            if !cut || seen.len() == before || session.is_lost() {
                return Ok(());
            }
        }
    }

    fn begin_look(&self) -> Option<Look> {
        let left_behind = self.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        self.mailroom().begin_look(&left_behind)
    }

    fn route(&self, look: &Look, run: RunId, mail: Vec<Mail>, cut: bool) {
        let more = cut || is_full(&mail, 1);
        match self.mailroom().route(look, run, mail, more) {
            Routed::HandedOver | Routed::Later => {}
            Routed::LookAgain => self.mail.notify_one(),
            // It has left meanwhile, and may be due again by this mail.
            Routed::NotHere => self.nudge(),
        }
    }

    /// The runs that take mail now. Locked for moments only, and never while another lock of the engine is taken inside.
    pub(super) fn mailroom(&self) -> MutexGuard<'_, Mailroom> {
        self.mailroom.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run has its turn: mail that came between the reading of its mail and now is looked for again.
    pub(super) fn takes_mail(&self, run: RunId, turn: UnboundedSender<Message>) {
        if self.mailroom().begins(run, turn) {
            self.mail.notify_one();
        }
    }

    /// A turn has written its marks on the mail it was handed.
    pub(super) fn mail_is_marked(&self, run: RunId, turn: &UnboundedSender<Message>, more: bool) {
        if self.mailroom().marked(run, turn, more) {
            self.mail.notify_one();
        }
    }

    /// Sends the turn of this run all mail that is un-noticed from now on, or a page of it, and then [`Message::Looked`].
    pub(super) fn look_for_mail_of(&self, run: RunId, turn: UnboundedSender<Message>) {
        self.asks().push(Asks { run, turn });
        self.asked.notify_one();
    }

    fn asks(&self) -> MutexGuard<'_, Vec<Asks>> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers turns that wait for the mail of their own run, until the session is over. Turns that ask while a query is under
    /// way share the next one.
    pub(super) async fn answer_turns(self: Arc<Self>, session: Arc<Session>) {
        let mut pauses = Pauses::new(DATABASE_RETRY);
        while !session.is_lost() {
            tokio::select! {
                () = self.asked.notified() => {}
                () = session.lost() => return,
            }
            loop {
                let asks: Vec<_> = {
                    let mut asks = self.asks();
                    let count = asks.len().min(ANSWERED_AT_ONCE);
                    asks.drain(..count).collect()
                };
                if asks.is_empty() {
                    break;
                }
                let Err(error) = self.answer(asks).await else {
                    pauses.start_again();
                    continue;
                };
                // Turns of an earlier session wait for nothing any more.
                self.asks().retain(|ask| !ask.turn.is_closed());
                tracing::warn!(worker = %session.worker, %error, "could not look for the mail of a run; trying again");
                tokio::select! {
                    () = tokio::time::sleep(pauses.take()) => {}
                    () = session.lost() => return,
                }
            }
        }
    }

    /// Answers these turns; those that could not be answered ask again. Most runs have no mail when their timer is due, so many
    /// are asked about in one query that returns only those that have some.
    async fn answer(&self, asks: Vec<Asks>) -> Result<(), StoreError> {
        let runs: Vec<_> = asks.iter().map(|ask| ask.run).collect();
        let with_mail: HashSet<_> = match runs[..] {
            [run] => HashSet::from([run]),
            _ => match self.store.runs_with_mail(&runs).await {
                Ok(found) => found.into_iter().collect(),
                Err(error) => {
                    self.asks().extend(asks);
                    return Err(error);
                }
            },
        };
        let (found, without): (Vec<_>, Vec<_>) = asks.into_iter().partition(|ask| with_mail.contains(&ask.run));
        for ask in without {
            let _ = ask.turn.send(Message::Looked { more: false });
        }
        let read = |ask: Asks| async move {
            let mail = self.store.unnoticed_mail_of(ask.run).await;
            (ask, mail)
        };
        let mut pages = stream::iter(found).map(read).buffer_unordered(PAGES_AT_ONCE);
        let mut failed = Ok(());
        while let Some((ask, page)) = pages.next().await {
            match page {
                Ok(page) => {
                    let more = is_full(&page, 1);
                    for mail in page {
                        let _ = ask.turn.send(Message::Mail(Box::new(mail)));
                    }
                    let _ = ask.turn.send(Message::Looked { more });
                }
                Err(error) => {
                    self.asks().push(ask);
                    failed = Err(error);
                }
            }
        }
        failed
    }

    /// Mail that runs of this worker have sent is durable. Most of it is for runs that are here too.
    pub(super) fn posted(&self, sent: Vec<NewMail>) {
        let mut elsewhere = false;
        for mail in sent {
            let sent_at = self.clock.now();
            // A command is for a child as it was begun.
            let retries = mail.kind.is_order().then_some(0);
            elsewhere |= !self.mailroom().post(Mail { no: 0, mail, sent_at, noticed: false, retries });
        }
        if elsewhere {
            self.announce();
        }
    }
}

/// Whether this is as much mail as `pages` pages hold, so that there may be more.
fn is_full(mail: &[Mail], pages: usize) -> bool {
    let bytes: usize = mail.iter().filter_map(|mail| Some(mail.mail.body.as_ref()?.as_str().len())).sum();
    mail.len() >= pages * MAIL_PAGE || bytes >= pages * MAIL_PAGE_BYTES
}

/// The mail of each run, in order of arrival.
fn by_run(mail: Vec<Mail>) -> HashMap<RunId, Vec<Mail>> {
    let mut runs: HashMap<_, Vec<_>> = HashMap::new();
    for mail in mail {
        runs.entry(mail.mail.run).or_default().push(mail);
    }
    runs
}
