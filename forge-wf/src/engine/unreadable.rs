//! Sets claimed runs apart whose journal or mail cannot be read.
//!
//! Takes a run and what is known of the fault; blocks it with words for an operator. Never reads the journal.

use super::Engine;
use super::drive::Stuck;
use super::load::LEFT_TO_OTHERS;
use super::session::Session;
use crate::model::BlockReason;
use crate::store::{ClaimedRun, MailKind, Mark};

impl Engine {
    /// Blocks a claimed run whose journal or mail cannot be read. What asked to retry it is done with: it was tried.
    pub(super) async fn set_unreadable(&self, session: &Session, run: &ClaimedRun, what: &str) {
        // A worker that was frozen between its claim and here reads what a new owner wrote since: none of its business.
        if !session.is_fresh() {
            return;
        }
        let message = format!(
            "the journal or the mail of run {} ({}) cannot be read, while other runs can: {what}; repair the database or restore the \
             run's rows from a backup, then retry the run",
            run.id, run.workflow
        );
        tracing::error!(run = %run.id, workflow = %run.workflow, "{message}");
        let inboxes = self.store.load_mail(&[run.id]).await.unwrap_or_default();
        let mail = inboxes.iter().flat_map(|inbox| inbox.page.mail.iter().chain(&inbox.beyond));
        let (retries, others): (Vec<_>, Vec<_>) =
            mail.filter(|mail| mail.mail.kind.is_order()).partition(|mail| mail.mail.kind == MailKind::Retry);
        let marks = retries.iter().map(|mail| Mark { mail: mail.mail.id, taken: true }).collect();
        if !others.is_empty() || inboxes.iter().all(|inbox| inbox.unreadable.is_some()) {
            // Other commands stay, and make it due: it is tried again now and then.
            self.avoid(run.id, LEFT_TO_OTHERS);
        }
        self.block(session, run, &Stuck { reason: BlockReason::Unreadable, message }, marks).await;
    }
}
