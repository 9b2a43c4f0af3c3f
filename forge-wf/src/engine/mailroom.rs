//! Which runs take mail now, and which of them must be looked at again. Pure.
//!
//! Takes what the claims, the turns and the looks for mail report; returns which runs a look skips, and whether another look is
//! needed. A hint is never used up before there is a turn to take the mail: a run is entered here before its mail is read, so
//! mail is either among what was read, or a look reaches the turn, or [`Mailroom::begins`] asks for another look.
//!
//! A turn that was handed mail is skipped until it reports that its marks are written. So a flood to one run, or a body that
//! computes for long, takes no room in the pages of the other runs, and its mail is read once.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc::UnboundedSender;

use super::turn::Message;
use crate::model::RunId;
use crate::store::Mail;

/// Where the mail of a run goes.
enum Place {
    /// It is claimed, its mail is being read, and it has no turn yet.
    Claimed {
        /// Whether a hint or mail came since.
        missed: bool,
    },
    /// It has a turn.
    Turn {
        /// The last look that had begun before: what it finds is as it was before this turn read its own mail.
        look: u64,
        turn: UnboundedSender<Message>,
        /// Whether it was handed mail and has not reported that it is marked.
        busy: bool,
        /// Whether a look has skipped it since.
        skipped: bool,
    },
}

/// One look for mail.
pub struct Look {
    number: u64,
    /// The runs to skip.
    pub except: Vec<RunId>,
}

/// What became of mail that was handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routed {
    /// The turn has it.
    HandedOver,
    /// Its run will be looked at again when its turn begins.
    Later,
    /// The turn began after this look, or its run has just been skipped: only another look can tell.
    LookAgain,
    /// This worker does not have the run.
    NotHere,
}

/// The runs of this worker that take mail.
#[derive(Default)]
pub struct Mailroom {
    looks: u64,
    places: HashMap<RunId, Place>,
}

impl Mailroom {
    /// These runs are claimed, and their mail is about to be read.
    pub fn claimed(&mut self, runs: impl IntoIterator<Item = RunId>) {
        self.places.extend(runs.into_iter().map(|run| (run, Place::Claimed { missed: false })));
    }

    /// The claim is over: runs of it that got no turn are not here.
    pub fn claim_is_over(&mut self, runs: impl IntoIterator<Item = RunId>) {
        for run in runs {
            if let Some(Place::Claimed { .. }) = self.places.get(&run) {
                self.places.remove(&run);
            }
        }
    }

    /// A new session: runs that were claimed by an earlier one and got no turn are not here.
    pub fn session_begins(&mut self) {
        self.places.retain(|_, place| matches!(place, Place::Turn { .. }));
    }

    /// The run has a turn now. Returns whether mail may have come that the turn has not read.
    #[must_use]
    pub fn begins(&mut self, run: RunId, turn: UnboundedSender<Message>) -> bool {
        let place = Place::Turn { look: self.looks, turn, busy: false, skipped: false };
        matches!(self.places.insert(run, place), Some(Place::Claimed { missed: true }))
    }

    /// This turn of the run is over.
    pub fn left(&mut self, run: RunId, left: &UnboundedSender<Message>) {
        if let Some(Place::Turn { turn, .. }) = self.places.get(&run)
            && turn.same_channel(left)
        {
            self.places.remove(&run);
        }
    }

    /// Begins a look for mail, because of a hint or because it is time. `None` if no run has a turn: what is claimed is looked
    /// at when its turn begins, and what is claimed later reads its mail later.
    pub fn begin_look(&mut self, left_behind: &HashSet<RunId>) -> Option<Look> {
        self.looks += 1;
        let mut except: Vec<_> = left_behind.iter().copied().collect();
        let mut turns = false;
        for (run, place) in &mut self.places {
            match place {
                Place::Claimed { missed } => *missed = true,
                Place::Turn { busy: false, .. } => turns = true,
                Place::Turn { skipped, .. } => {
                    *skipped = true;
                    except.push(*run);
                }
            }
        }
        turns.then_some(Look { number: self.looks, except })
    }

    /// Hands mail that a look found to the turn of its run. With the last mail of a run comes a word that it was the last, and
    /// whether there may be more.
    pub fn route(&mut self, look: &Look, run: RunId, mail: Vec<Mail>, more: bool) -> Routed {
        match self.places.get_mut(&run) {
            None => Routed::NotHere,
            Some(Place::Claimed { missed }) => {
                *missed = true;
                Routed::Later
            }
            // It has read its mail itself, and perhaps used this up already.
            Some(Place::Turn { look: begun, .. }) if *begun >= look.number => Routed::LookAgain,
            Some(Place::Turn { turn, busy, .. }) => {
                *busy = true;
                for mail in mail {
                    let _ = turn.send(Message::Mail(Box::new(mail)));
                }
                let _ = turn.send(Message::HandedOver { more });
                Routed::HandedOver
            }
        }
    }

    /// Hands over mail that a run of this worker has sent. Returns whether its run has a turn here.
    pub fn post(&mut self, mail: Mail) -> bool {
        match self.places.get_mut(&mail.mail.run) {
            None => false,
            // What it reads of its mail may be from before this.
            Some(Place::Claimed { missed }) => {
                *missed = true;
                false
            }
            Some(Place::Turn { turn, .. }) => turn.send(Message::Mail(Box::new(mail))).is_ok(),
        }
    }

    /// The turn has written its marks on what it was handed. Returns whether another look is needed: if there may be `more`, or
    /// if it was skipped meanwhile.
    #[must_use]
    pub fn marked(&mut self, run: RunId, by: &UnboundedSender<Message>, more: bool) -> bool {
        match self.places.get_mut(&run) {
            Some(Place::Turn { turn, busy, skipped, .. }) if turn.same_channel(by) => {
                *busy = false;
                std::mem::take(skipped) || more
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use uuid::Uuid;

    use super::*;
    use crate::model::time::from_micros;
    use crate::store::{MailKind, NewMail};

    fn mail(run: RunId, no: usize) -> Mail {
        let id = Uuid::from_u128(no as u128);
        let mail = NewMail { id, run, kind: MailKind::Event, name: "approved".into(), body: None };
        Mail { no: no as i64, mail, sent_at: from_micros(no as i64), noticed: false, retries: None }
    }

    /// What one look has come to.
    enum Looking {
        No,
        Begun(Look),
        Answered(Look, Vec<usize>),
    }

    /// One run, its inbox, and all that takes part in bringing the one to the other; each actor takes its next step when it is
    /// told to.
    struct World {
        run: RunId,
        room: Mailroom,
        hint: bool,
        owned: bool,
        inbox: BTreeSet<usize>,
        noticed: BTreeSet<usize>,
        sent: usize,
        sender: usize,
        claimer: usize,
        read: BTreeSet<usize>,
        turn: Option<(UnboundedSender<Message>, UnboundedReceiver<Message>)>,
        /// What the turn was sent and has not received: mail, or whether there is more.
        queue: VecDeque<Result<usize, bool>>,
        got: BTreeSet<usize>,
        handed_over: Option<bool>,
        looking: Looking,
        /// A page has one mail, so that there may be more behind every page.
        small_pages: bool,
        _other: Option<UnboundedReceiver<Message>>,
    }

    const ACTORS: usize = 5;

    impl World {
        fn new(sent: usize, another_turn: bool, small_pages: bool) -> Self {
            let mut room = Mailroom::default();
            let other = another_turn.then(|| {
                let (turn, inbox) = unbounded_channel();
                assert!(!room.begins(RunId::new(), turn));
                inbox
            });
            Self {
                run: RunId::new(),
                room,
                hint: false,
                owned: false,
                inbox: BTreeSet::new(),
                noticed: BTreeSet::new(),
                sent,
                sender: 0,
                claimer: 0,
                read: BTreeSet::new(),
                turn: None,
                queue: VecDeque::new(),
                got: BTreeSet::new(),
                handed_over: None,
                looking: Looking::No,
                small_pages,
                _other: other,
            }
        }

        fn can_step(&self, actor: usize) -> bool {
            match actor {
                0 => self.claimer < 5,
                1 => self.sender < 2 * self.sent,
                2 => self.hint || !matches!(self.looking, Looking::No),
                3 => !self.queue.is_empty(),
                _ => self.handed_over.is_some() || !self.got.is_subset(&self.noticed),
            }
        }

        fn step(&mut self, actor: usize) {
            match actor {
                0 => self.claim(),
                1 => self.send(),
                2 => self.look(),
                3 => match self.queue.pop_front().expect("it was sent something") {
                    Ok(no) => drop(self.got.insert(no)),
                    Err(more) => self.handed_over = Some(more),
                },
                _ => self.commit_marks(),
            }
            while let Some(Ok(message)) = self.turn.as_mut().map(|(_, inbox)| inbox.try_recv()) {
                self.queue.push_back(match message {
                    Message::Mail(mail) => Ok(mail.no as usize),
                    Message::HandedOver { more } => Err(more),
                    _ => unreachable!("a mailroom sends nothing else"),
                });
            }
        }

        /// All that decides what can happen from here on, in words.
        fn state(&self) -> String {
            let ago = |look: u64| self.room.looks - look;
            let place = match self.room.places.get(&self.run) {
                None => "none".to_owned(),
                Some(Place::Claimed { missed }) => format!("claimed {missed}"),
                Some(Place::Turn { look, busy, skipped, .. }) => format!("turn {} {busy} {skipped}", ago(*look)),
            };
            let looking = match &self.looking {
                Looking::No => "no".to_owned(),
                Looking::Begun(look) => format!("begun {} {}", ago(look.number), look.except.contains(&self.run)),
                Looking::Answered(look, found) => format!("answered {} {found:?}", ago(look.number)),
            };
            format!(
                "{place}; {looking}; {} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?}",
                self.hint,
                self.owned,
                self.sender,
                self.claimer,
                self.inbox,
                self.noticed,
                self.read,
                self.queue,
                self.got,
                self.handed_over
            )
        }

        fn claim(&mut self) {
            self.claimer += 1;
            match self.claimer {
                1 => self.owned = true,
                2 => self.room.claimed([self.run]),
                3 => self.read = &self.inbox - &self.noticed,
                4 => {
                    let (turn, inbox) = unbounded_channel();
                    self.hint |= self.room.begins(self.run, turn.clone());
                    self.turn = Some((turn, inbox));
                    self.got.extend(&self.read);
                }
                _ => self.room.claim_is_over([self.run]),
            }
        }

        fn send(&mut self) {
            self.sender += 1;
            match self.sender % 2 {
                1 => drop(self.inbox.insert(self.sender / 2)),
                _ => self.hint = true,
            }
        }

        fn look(&mut self) {
            self.looking = match std::mem::replace(&mut self.looking, Looking::No) {
                Looking::No => {
                    self.hint = false;
                    self.room.begin_look(&HashSet::new()).map_or(Looking::No, Looking::Begun)
                }
                Looking::Begun(look) => {
                    let shown = self.owned && !look.except.contains(&self.run);
                    let unnoticed = &self.inbox - &self.noticed;
                    let page = if self.small_pages { 1 } else { usize::MAX };
                    Looking::Answered(look, unnoticed.into_iter().take(if shown { page } else { 0 }).collect())
                }
                Looking::Answered(look, found) => {
                    let page = found.iter().map(|no| mail(self.run, *no)).collect();
                    let more = self.small_pages;
                    if !found.is_empty() && self.room.route(&look, self.run, page, more) == Routed::LookAgain {
                        self.hint = true;
                    }
                    Looking::No
                }
            };
        }

        fn commit_marks(&mut self) {
            self.noticed.extend(&self.got);
            if let Some(more) = self.handed_over.take() {
                let turn = &self.turn.as_ref().expect("it has a turn").0;
                self.hint |= self.room.marked(self.run, turn, more);
            }
        }
    }

    /// Brings the world into every state it can come to, by any order of the actors' steps, and checks it wherever nobody can
    /// take a step; returns how many states there are. From a state that was met before everything was tried already.
    fn every_order(make: impl Fn() -> World, check: impl Fn(&World, &[usize])) -> usize {
        let mut met = HashSet::new();
        let mut orders = vec![Vec::new()];
        while let Some(order) = orders.pop() {
            let mut world = make();
            order.iter().for_each(|actor| world.step(*actor));
            if !met.insert(world.state()) {
                continue;
            }
            assert!(order.len() < 200, "they come to no end: {order:?}");
            let able: Vec<_> = (0..ACTORS).filter(|actor| world.can_step(*actor)).collect();
            if able.is_empty() {
                check(&world, &order);
            }
            orders.extend(able.into_iter().map(|actor| [&order[..], &[actor]].concat()));
        }
        met.len()
    }

    #[test]
    fn no_mail_is_left_in_any_order_of_claim_turn_mail_and_look() {
        let check = |world: &World, order: &[usize]| {
            assert_eq!(world.got, world.inbox, "in this order of actors: {order:?}");
        };
        let mut states = 0;
        for sent in 1..=2 {
            for (another_turn, small_pages) in [(false, false), (false, true), (true, false), (true, true)] {
                states += every_order(|| World::new(sent, another_turn, small_pages), check);
            }
        }
        assert!(states > 1_000, "{states} states were met");
    }

    #[test]
    fn a_turn_that_has_not_marked_its_mail_is_skipped_and_looked_at_again_afterwards() {
        let mut room = Mailroom::default();
        let (busy, idle) = (RunId::new(), RunId::new());
        let ((busy_turn, mut inbox), (idle_turn, _idle)) = (unbounded_channel(), unbounded_channel());
        assert!(!room.begins(busy, busy_turn.clone()) && !room.begins(idle, idle_turn));
        let stuck = RunId::new();
        let left_behind = HashSet::from([stuck]);
        let look = room.begin_look(&left_behind).unwrap();
        assert_eq!(look.except, [stuck], "a run that was left behind is never looked at");
        assert_eq!(room.route(&look, busy, vec![mail(busy, 1), mail(busy, 2)], false), Routed::HandedOver);
        assert_eq!(inbox.len(), 3);
        let next = room.begin_look(&HashSet::new()).unwrap();
        assert_eq!(next.except, [busy]);
        while inbox.try_recv().is_ok() {}
        assert!(room.marked(busy, &busy_turn, false), "it was skipped");
        assert!(!room.marked(busy, &busy_turn, false), "and then no more");
        assert!(room.begin_look(&HashSet::new()).unwrap().except.is_empty());
    }

    #[test]
    fn what_an_old_turn_or_an_old_claim_reports_changes_nothing() {
        let mut room = Mailroom::default();
        let run = RunId::new();
        let ((old, _first), (new, _second)) = (unbounded_channel(), unbounded_channel());
        assert!(!room.begins(run, old.clone()));
        let look = room.begin_look(&HashSet::new()).unwrap();
        room.claimed([run]);
        room.left(run, &old);
        assert_eq!(room.route(&look, run, vec![mail(run, 1)], false), Routed::Later);
        assert!(room.begins(run, new.clone()));
        room.claim_is_over([run]);
        room.session_begins();
        room.left(run, &old);
        assert!(!room.marked(run, &old, true));
        assert_eq!(room.route(&look, run, vec![mail(run, 1)], false), Routed::LookAgain, "it is older than the turn");
        room.left(run, &new);
        assert_eq!(room.route(&look, run, vec![mail(run, 1)], false), Routed::NotHere);
        room.claimed([run]);
        room.session_begins();
        assert!(!room.post(mail(run, 1)) && room.begin_look(&HashSet::new()).is_none());
    }
}
