//! Mail as it goes into a store and comes out of it, and what an operator writes besides.

use std::sync::Arc;

use uuid::Uuid;

use super::ClaimedRun;
use crate::model::{Payload, RunId, State, Timestamp};

/// What mail asks of a run's owner. The number is its frozen form in the database.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i16)]
pub enum MailKind {
    /// A named payload from outside.
    Event = 0,
    /// A child run has ended.
    ChildResult = 1,
    /// Cancel the run.
    Cancel = 2,
    /// Start no new step.
    Pause = 3,
    /// Go on after a pause.
    Resume = 4,
    /// End it without undoing.
    Kill = 5,
    /// Try it again.
    Retry = 6,
    /// Forget an event that nobody has taken yet; its body names it.
    DropEvent = 7,
    /// Put another payload in place of an event that nobody has taken yet; its body names it and holds the payload.
    ReplaceEvent = 8,
    /// Take an undo that gave up as skipped or as done; its body names it.
    Settle = 9,
    /// End it as one that nothing can resume.
    Retire = 10,
    /// Its deadline has passed.
    Deadline = 11,
}

impl MailKind {
    /// The last kind this build knows. Numbers are given one after the other, so all from 0 to this are known, and mail of a
    /// higher one waits for the build that wrote it.
    pub const LAST: Self = Self::Deadline;

    /// The kind kept as this number.
    pub fn from_wire(number: i16) -> Option<Self> {
        use MailKind::*;
        [Event, ChildResult, Cancel, Pause, Resume, Kill, Retry, DropEvent, ReplaceEvent, Settle, Retire, Deadline]
            .into_iter()
            .find(|kind| *kind as i16 == number)
    }

    /// Whether it is an event or about one: these stay in the inbox until a wait of the same name takes them.
    pub fn is_about_events(self) -> bool {
        matches!(self, Self::Event | Self::DropEvent | Self::ReplaceEvent)
    }

    /// Whether any worker can obey it, with or without the run's workflow. The statement that claims says the same.
    pub fn ends_the_run(self) -> bool {
        matches!(self, Self::Cancel | Self::Kill | Self::Retire | Self::Deadline)
    }

    /// Whether it makes a run due whatever state it is in, unlike events and answers. The migration `orders` says the same.
    pub fn is_order(self) -> bool {
        !self.is_about_events() && self != Self::ChildResult
    }
}

/// Mail about to be put into an inbox.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// Its id, made by the sender so that sending can be repeated.
    pub id: Uuid,
    /// The run it is for.
    pub run: RunId,
    /// What it asks.
    pub kind: MailKind,
    /// Name of the event or the child call it answers.
    pub name: Arc<str>,
    /// The payload.
    pub body: Option<Payload>,
}

/// Who did what to a run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Who.
    pub who: Arc<str>,
    /// What, as in `cancel`.
    pub action: Arc<str>,
    /// Why, and about what.
    pub details: Arc<str>,
}

/// A run that is to begin anew.
#[derive(Clone, Debug)]
pub struct RetryRun {
    /// The run.
    pub run: RunId,
    /// The generation it has ended in.
    pub generation: i32,
    /// Whether to keep its entries up to the first whose undo was started, but neither the last failure before that nor what
    /// came after it.
    pub keep: bool,
    /// Its seed, if nothing is kept.
    pub seed: i64,
}

/// A run that is to go on as another one.
#[derive(Clone, Debug)]
pub struct ForkRun {
    /// The run that is copied.
    pub original: RunId,
    /// The last entry that is copied.
    pub up_to: i32,
    /// Whether the new run has to undo from now on what the copied one had to, which has ended.
    pub takes_undos: bool,
    /// The new run, made by the caller so that this can be repeated.
    pub id: RunId,
}

/// What became of a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The new run is there.
    Made,
    /// The run that is to be copied has not ended, so what it has to undo stays with it; nothing was written.
    NotEnded,
    /// There is no run that could be copied.
    Unknown,
}

/// Mail of a run.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Order of arrival: later mail has a higher one.
    pub no: i64,
    /// What was sent.
    pub mail: NewMail,
    /// When the database received it.
    pub sent_at: Timestamp,
    /// Whether a turn has noticed it.
    pub noticed: bool,
    /// For a command: how often its run had been retried when the command was given. The run obeys it only while that is so.
    /// `None` for other mail, and for a command that an older build has written.
    pub retries: Option<i32>,
}

impl Mail {
    /// Whether it is a command that was given to the run before its last retry, and so is not to be obeyed.
    pub fn is_void(&self, run: &ClaimedRun) -> bool {
        self.mail.kind.is_order() && self.retries.is_some_and(|retries| retries != run.retries)
    }
}

/// A mark on mail, made by its run's owner. Marks are only ever added, so a batch can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The mail; it counts as noticed from now on, and makes its run due no more.
    pub mail: Uuid,
    /// Whether it is used up too, and never handed to a turn again.
    pub taken: bool,
}

/// Mail of one run that is not taken, oldest first.
#[derive(Clone, Debug)]
pub struct Mailbag {
    /// The run.
    pub run: RunId,
    /// The oldest of it, noticed or not.
    pub mail: Vec<Mail>,
    /// Whether that is all there was.
    pub complete: bool,
}

/// What is loaded of a run's inbox when the run is claimed.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// The oldest of what is not taken, without a gap.
    pub page: Mailbag,
    /// If that is not all, of what stands behind it the oldest that nobody has noticed, and commands and answers of children.
    /// Between them may be more events.
    pub beyond: Vec<Mail>,
    /// What the database says of mail that it cannot read, and that was left out here.
    pub unreadable: Option<String>,
}

/// What became of mail that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is in the inbox, from now on or since it was sent before under the same id.
    Sent,
    /// The run has ended in this state; nothing was written, unless it was there before.
    Ended(State),
    /// There is no such run; nothing was written.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_mail_up_to_the_last_is_known() {
        for number in 0..=MailKind::LAST as i16 {
            assert_eq!(MailKind::from_wire(number).map(|kind| kind as i16), Some(number));
        }
        assert_eq!(MailKind::from_wire(MailKind::LAST as i16 + 1), None);
    }
}
