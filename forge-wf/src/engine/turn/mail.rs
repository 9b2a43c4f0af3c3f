//! The mail of a turn: opened with its run, taken as it comes, used up with what it leads to.
//!
//! A mark goes with each mail: noticed once the turn knows of it, so that it makes the run due no more; taken in the same
//! commit as what it led to. A turn that leaves takes no mail: what it did not notice makes its run due again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uuid::Uuid;

use super::waits::Ready;
use super::{Course, Message, Turn};
use crate::engine::child::{self, ChildResult};
use crate::engine::config::DATABASE_RETRY;
use crate::engine::mailbox::Mailbox;
use crate::engine::request::EventRequest;
use crate::engine::waits::WaitsFor;
use crate::engine::writer::Along;
use crate::model::panic::panic_message;
use crate::model::{CallId, Failure, Payload, Timestamp};
use crate::store::{Mail, MailKind, Mailbag, Mark, NewMail};

/// Whether a payload fits. Reading it runs code of the user's, and a panic there must not take the turn with it.
fn fits(request: EventRequest, payload: &Payload) -> Result<(), String> {
    let read = catch_unwind(AssertUnwindSafe(|| (request.fits)(payload)));
    read.unwrap_or_else(|panic| Err(format!("reading it panicked: {}", panic_message(panic.as_ref()))))
}

/// Up to when all mail that came is known to be here.
#[derive(Clone, Copy)]
pub(super) enum Looked {
    /// Up to then.
    Until(Timestamp),
    /// A look was asked for then, and is not over.
    Waiting(Timestamp),
    /// A look has found as much as one page holds: once the marks on that are written, another one finds the rest.
    Page,
}

impl Turn {
    /// Opens what was there when the run was claimed.
    pub(super) fn open_mail(&mut self, bag: Mailbag) {
        for mail in &bag.mail {
            self.woken_by_mail |= !mail.noticed;
            if mail.mail.kind.is_about_events() {
                self.notice(mail);
            } else if mail.mail.kind.is_order() {
                if !self.is_void(mail) {
                    self.waiting_orders.push(mail.clone());
                }
            } else if !mail.noticed || mail.mail.kind == MailKind::ChildResult {
                // After the body has run: only then is it known who waits for it.
                let _ = self.outbox.send(Message::Mail(Box::new(mail.clone())));
            }
        }
        let (mailbox, used) = Mailbox::load(bag);
        self.mailbox = mailbox;
        self.use_up(used);
    }

    /// What stands beyond the page that was opened, as if it came just now: what is between is looked for when it is waited for.
    pub(in crate::engine) fn add_mail(&mut self, beyond: Vec<Mail>) {
        for mail in beyond {
            if mail.mail.kind.is_order() {
                if !self.is_void(&mail) {
                    self.waiting_orders.push(mail);
                }
            } else {
                let _ = self.outbox.send(Message::Mail(Box::new(mail)));
            }
        }
    }

    /// Mail has come.
    pub(super) fn take_mail(&mut self, mail: Mail) {
        if self.draining || self.leaving.is_some() && !mail.mail.kind.is_order() {
            return;
        }
        if self.used.contains(&mail.mail.id) {
            return;
        }
        // Only a body that has begun says who waits for what. The look that follows the end of a pause finds it again.
        if !self.begun && !mail.mail.kind.is_order() {
            return;
        }
        match mail.mail.kind {
            MailKind::Event | MailKind::DropEvent | MailKind::ReplaceEvent => {
                self.notice(&mail);
                let used = self.mailbox.push(mail);
                self.use_up(used);
            }
            MailKind::ChildResult => self.take_answer(&mail.mail, mail.sent_at),
            _ => {
                self.take_order(&mail);
                self.unwind();
            }
        }
    }

    /// A child has answered. Only the answer of the child that this very call made counts.
    fn take_answer(&mut self, mail: &NewMail, at: Timestamp) {
        self.used.insert(mail.id);
        let along = Along { marks: vec![Mark { mail: mail.id, taken: true }], ..Along::default() };
        let call = mail.name.parse::<CallId>().ok().filter(|call| {
            self.waits
                .get(call)
                .is_some_and(|wait| matches!(wait.waits_for, WaitsFor::Child { answer, .. } if answer == mail.id))
        });
        let Some(call) = call else {
            self.note_ended_child(mail);
            return self.along.extend(along);
        };
        let ChildResult { outcome, recipe } = child::read_result(mail).unwrap_or_else(|| {
            let failure = Failure::permanent(format!("the answer of {call} cannot be read"));
            ChildResult { outcome: Err(failure.to_payload(&self.engine.config.limits)), recipe: None }
        });
        self.arrived.push_back((call, Ready { at, outcome, along, recipe }));
    }

    /// The answer of a child nobody waits for: it has ended, as it was asked to, and what is older may be undone.
    fn note_ended_child(&mut self, mail: &NewMail) {
        let Ok(call) = mail.name.parse::<CallId>() else { return };
        if mail.id != child::result_mail_id(child::child_id(self.run.id, self.run.generation, &call)) {
            return;
        }
        let recipe = child::read_result(mail).and_then(|result| result.recipe);
        let ended = match &mut self.course {
            Course::Forward(drive) => drive.child_ended(&call, recipe),
            Course::Undo(unwinding) => unwinding.child_ended(&call, recipe),
        };
        if let Some(entry) = ended {
            let staged = self.entry(entry, false);
            self.stage(staged);
            self.dropped.look_again();
            self.unwind();
        }
    }

    /// Events of a name were looked for.
    pub(super) fn take_loaded(&mut self, name: &Arc<str>, bag: Option<Box<Mailbag>>) {
        match bag {
            Some(bag) => {
                bag.mail.iter().for_each(|mail| self.notice(mail));
                let used = self.mailbox.loaded(name, *bag, |id| self.used.contains(&id));
                self.use_up(used);
            }
            None => {
                self.mailbox.not_loaded(name);
                // It may take long, and a run that only looks for its mail keeps nobody else from working.
                if self.steps.all_wait() {
                    self.free_slot();
                }
            }
        }
    }

    /// Whether mail that came before this point in time is sure to be here. If not, asks for a look that begins now; the turn
    /// is told when that is over.
    pub(super) fn has_mail_until(&mut self, due: Timestamp) -> bool {
        // Of nobody's answer can it be said that it came first.
        if !self.waits.any_open_ended() {
            return true;
        }
        match self.looked {
            Looked::Until(time) if time >= due => !self.mailbox.is_loading(),
            Looked::Until(_) => {
                self.look_for_all_mail();
                false
            }
            Looked::Waiting(_) | Looked::Page => false,
        }
    }

    /// Asks for a look for the mail of this run alone, which begins now.
    pub(super) fn look_for_all_mail(&mut self) {
        self.looked = Looked::Waiting(self.engine.clock.now());
        self.engine.look_for_mail_of(self.run.id, self.outbox.clone());
    }

    /// The look that was asked for is over: what it found came before this message.
    pub(super) fn take_looked(&mut self, more: bool) {
        if let Looked::Waiting(since) = self.looked {
            self.looked = if more { Looked::Page } else { Looked::Until(since) };
        }
    }

    /// Whether it is on its way to what came before a timer that is due.
    pub(super) fn is_looking(&self) -> bool {
        matches!(self.looked, Looked::Waiting(_) | Looked::Page) || self.mailbox.is_loading()
    }

    /// Whether nothing is on its way to the database.
    fn has_written_all(&self) -> bool {
        self.staged.is_empty() && self.along.is_empty() && self.acked >= self.ticket
    }

    /// Once the marks on the mail it has taken are written: asks for the mail behind a full page of its own look, and reports
    /// that looks for all runs need not skip this one any more. A run that is paused leaves most mail where it is, so more of it
    /// is looked for at the end of the pause.
    pub(super) fn go_on_with_mail(&mut self) {
        let nothing = self.handed_over.is_none() && !matches!(self.looked, Looked::Page);
        let unmarked = !self.paused && !self.arrived.is_empty();
        if nothing || self.leaving.is_some() || self.draining {
            return;
        }
        if unmarked && matches!(self.looked, Looked::Page) && self.only_late_answers() {
            return self.look_past_answers();
        }
        if unmarked || !self.has_written_all() {
            return;
        }
        match self.looked {
            Looked::Page if self.paused => self.looked = Looked::Until(Timestamp::MIN_UTC),
            Looked::Page => self.look_for_all_mail(),
            _ => {}
        }
        if let Some(more) = self.handed_over.take() {
            self.engine.mail_is_marked(self.run.id, &self.outbox, more && !self.paused);
        }
    }

    /// Whether the answers that are there wait for a timer: it is due, and was before they came.
    fn only_late_answers(&mut self) -> bool {
        let due = self.timer_due().map(|(_, due)| due);
        due.zip(self.arrived.front()).is_some_and(|(due, (_, ready))| ready.at > due)
    }

    /// Makes room on the next page for what may have come before them: these are noticed now, and taken when they are handed over.
    /// As long as that is not written, a look finds the same page, and this is done again.
    fn look_past_answers(&mut self) {
        let answers = self.arrived.iter().flat_map(|(_, ready)| &ready.along.marks).map(|mark| mark.mail);
        let unwritten = answers.filter(|mail| self.noticing.insert(*mail));
        self.along.marks.extend(unwritten.map(|mail| Mark { mail, taken: false }));
        self.looked = Looked::Until(Timestamp::MIN_UTC);
        self.flush();
    }

    fn notice(&mut self, mail: &Mail) {
        if !mail.noticed && self.noticing.insert(mail.mail.id) {
            self.along.marks.push(Mark { mail: mail.mail.id, taken: false });
        }
    }

    fn use_up(&mut self, used: Vec<Uuid>) {
        self.along.marks.extend(used.iter().map(|mail| Mark { mail: *mail, taken: true }));
        self.used.extend(used);
    }

    /// The first wait for an event that can have one, with that event. An event whose payload does not fit is kept, and keeps
    /// its place: those behind it wait until somebody drops or replaces it.
    ///
    /// Only an event that came in time is looked at.
    pub(super) fn next_event(&mut self, in_time: impl Fn(Timestamp) -> bool) -> Option<(CallId, Ready)> {
        let mut found = None;
        let mut missing = Vec::new();
        for (call, name, request) in self.waits.events() {
            if self.mailbox.must_load(name) {
                missing.push(name.clone());
                continue;
            }
            let first = self.mailbox.first(name).filter(|first| in_time(first.sent_at) && !first.is_unfit_for(call));
            let Some(first) = first else { continue };
            match fits(request, &first.payload) {
                Ok(()) => {
                    found = Some((call.clone(), name.clone()));
                    break;
                }
                Err(message) => {
                    tracing::warn!(
                        run = %self.run.id, event = %name, id = %first.id, %message,
                        "an event does not fit what the run waits for; drop or replace it"
                    );
                    first.unfit.push((call.clone(), message));
                }
            }
        }
        missing.into_iter().for_each(|name| self.load_events(name));
        let (call, name) = found?;
        let event = self.mailbox.take(&name)?;
        let used = event.mail();
        self.used.extend(&used);
        let marks = used.into_iter().map(|mail| Mark { mail, taken: true }).collect();
        let along = Along { marks, ..Along::default() };
        Some((call, Ready { at: event.sent_at, outcome: Ok(event.payload), along, recipe: None }))
    }

    /// What keeps the run waiting though an event it waits for has come: its payload does not fit.
    pub(super) fn unfit_event(&mut self) -> Option<Payload> {
        let (name, id, message) = self.waits.events().find_map(|(call, name, _)| {
            let first = self.mailbox.first(name)?;
            Some((name.clone(), first.id, first.misfit_of(call)?.to_owned()))
        })?;
        let failure = Failure::permanent(format!(
            "event {name} (id {id}) does not fit what the run waits for: {message}; it is kept, and the run waits on until \
             somebody drops or replaces it"
        ));
        Some(failure.with_code("event_unfit").to_payload(&self.engine.config.limits))
    }

    fn load_events(&self, name: Arc<str>) {
        let (engine, session, turn, run) =
            (self.engine.clone(), self.session.clone(), self.outbox.clone(), self.run.id);
        tokio::spawn(async move {
            let look = || engine.store.load_events(run, &name);
            let bag = match session.until_answered("loading events", look).await {
                Some(Ok(bag)) => Some(Box::new(bag)),
                Some(Err(error)) => {
                    tracing::error!(%run, event = %name, %error, "events could not be loaded; trying again");
                    tokio::time::sleep(DATABASE_RETRY.1).await;
                    None
                }
                None => None,
            };
            let _ = turn.send(Message::Loaded(name, bag));
        });
    }
}
