//! Sets claimed runs apart whose journal or mail cannot be read, or ends them if a kill or a retire asks for that.
//!
//! Takes a run and what is known of the fault; blocks it with words for an operator, or writes its end. Never touches the journal: to
//! undo nothing takes no entries, and an entry would go to the very pages that may be damaged, where a server answers as if it were
//! away, and the lane would wait for that run. So the end stands in the row alone.

use std::time::Duration;

use super::Engine;
use super::child;
use super::drive::Stuck;
use super::leaving::owned_image;
use super::order::Order;
use super::session::Session;
use super::unwind::{Cause, Ending, Unwinding};
use super::waiters::Outcome;
use super::writer::Along;
use crate::model::{BlockReason, Phase};
use crate::store::{ClaimedRun, Due, Mail, MailKind, Mark, RunImage};

/// How long this worker leaves a run alone that could not be read, though commands wait for it.
const TRIED_AGAIN: Duration = Duration::from_secs(15);

impl Engine {
    /// Blocks a claimed run whose journal or mail cannot be read, or ends it as its mail asks. What asked to retry it is done with: it
    /// was tried.
    pub(super) async fn set_unreadable(&self, session: &Session, run: &ClaimedRun, what: &str) {
        // A worker that was frozen between its claim and here reads what a new owner wrote since: none of its business.
        if !session.is_fresh() {
            return;
        }
        let inboxes = self.store.load_mail(&[run.id]).await.unwrap_or_default();
        let mail = inboxes.iter().flat_map(|inbox| inbox.page.mail.iter().chain(&inbox.beyond));
        let commands: Vec<_> = mail.filter(|mail| mail.mail.kind.is_order()).collect();
        let counts = |mail: &&&Mail| !mail.is_void(run);
        let ends = |mail: &&&Mail| matches!(mail.mail.kind, MailKind::Kill | MailKind::Retire);
        if let Some(end) = commands.iter().filter(counts).find(ends) {
            return self.end_unreadable(session, run, what, end, &commands).await;
        }
        let message = format!(
            "the journal or the mail of run {} ({}) cannot be read, while other runs can: {what}; repair the database or restore the \
             run's rows from a backup, then retry the run; a kill ends it as it is, without undoing what it did",
            run.id, run.workflow
        );
        tracing::error!(run = %run.id, workflow = %run.workflow, "{message}");
        if commands.iter().filter(counts).any(|mail| mail.mail.kind == MailKind::Cancel) {
            tracing::warn!(
                run = %run.id, workflow = %run.workflow,
                "a cancel of this run waits until its journal can be read, which says what is to be undone"
            );
        }
        let (retries, others): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|mail| mail.mail.kind == MailKind::Retry);
        let marks = retries.into_iter().map(taken).collect();
        if !others.is_empty() || inboxes.iter().all(|inbox| inbox.unreadable.is_some()) {
            // Other commands stay, and make it due: it is tried again now and then.
            self.avoid(run.id, TRIED_AGAIN);
        }
        self.block(session, run, &Stuck { reason: BlockReason::Unreadable, message }, marks).await;
    }

    /// Ends a claimed run as `order` asks, which undoes nothing; with its end go the answer to the run that called it, and the marks on
    /// all its commands, so that none is found again.
    async fn end_unreadable(&self, session: &Session, run: &ClaimedRun, what: &str, order: &Mail, commands: &[&Mail]) {
        let kind = order.mail.kind;
        let cause = if kind == MailKind::Kill { Cause::Killed } else { Cause::Retired };
        let failure = Order::of(&order.mail).failure(kind);
        let payload = failure.to_payload(&self.config.limits);
        let ending = Ending::failed(cause, payload.clone());
        let answer = child::result_mail(run.id, run.parent.as_ref(), &ending.end_entry(0, self.clock.now()));
        let along = Along {
            sent: answer.into_iter().collect(),
            marks: commands.iter().copied().map(taken).collect(),
            ..Along::default()
        };
        let state = Unwinding::new(ending, []).end_state();
        let image = RunImage {
            phase: Phase::Ended,
            state,
            keep: false,
            due: Due::Never,
            needs: None,
            failure: Some(payload.clone()),
            ..owned_image(run)
        };
        if self.write_row(session, run, image, along).await {
            tracing::error!(
                run = %run.id, workflow = %run.workflow, error = what,
                "{failure}: the run has ended as it was, though its journal or its mail cannot be read. What it did was not undone, and \
                 runs that it called are not known: those that have not ended go on; end each by itself"
            );
            self.waiters.tell(run.id, Some(Outcome::Failed(state, payload)));
            // The answer to the run that called it.
            self.announce();
        }
    }
}

fn taken(mail: &Mail) -> Mark {
    Mark { mail: mail.mail.id, taken: true }
}
