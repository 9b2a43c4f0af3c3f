//! The events of one run that no wait has taken, by name, in order of arrival. Pure.
//!
//! Takes mail as it is loaded or noticed; hands out the oldest event of a name, once. Holds a bounded number: whatever
//! is beyond stays in the database, and [`Mailbox::must_load`] says when somebody has to look there again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::model::limits::MAIL_PAGE;
use crate::model::{CallId, Payload, Timestamp};
use crate::store::{Mail, MailKind, Mailbag, NewMail};

/// An event that nobody has taken.
#[derive(Debug)]
pub struct Buffered {
    /// Its id.
    pub id: Uuid,
    /// What it carries now.
    pub payload: Payload,
    /// When the database received it.
    pub sent_at: Timestamp,
    /// The waits whose type its payload does not fit, and in which words. Each wait judges for itself.
    pub unfit: Vec<(CallId, String)>,
    /// The mail that replaced its payload, used up with it.
    replaced_by: Vec<Uuid>,
}

impl Buffered {
    /// Whether this wait has found already that it does not fit.
    pub fn is_unfit_for(&self, call: &CallId) -> bool {
        self.misfit_of(call).is_some()
    }

    /// In which words this wait has found that it does not fit.
    pub fn misfit_of(&self, call: &CallId) -> Option<&str> {
        self.unfit.iter().find(|(judge, _)| judge == call).map(|(_, message)| message.as_str())
    }

    /// All mail that is used up when this event is.
    pub fn mail(&self) -> Vec<Uuid> {
        [&[self.id], &self.replaced_by[..]].concat()
    }
}

/// The body of mail that drops or replaces an event.
#[derive(Serialize, Deserialize)]
pub struct AboutEvent {
    /// The event.
    pub event: Uuid,
    /// The payload to put in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
}

/// Which events of a name are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    /// All of them.
    All,
    /// The oldest; there may be later ones in the database.
    Oldest,
    /// None: somebody looks into the database now. Whether mail came meanwhile that the look may have missed.
    Loading { missed: bool },
}

struct Named {
    events: VecDeque<Buffered>,
    held: Held,
}

/// The events of one run that no wait has taken.
pub struct Mailbox {
    named: HashMap<Arc<str>, Named>,
    count: usize,
    /// Whether names that were not met yet may have events in the database.
    partial: bool,
}

impl Mailbox {
    /// The mailbox of a run that was just born.
    pub fn empty() -> Self {
        Self { named: HashMap::new(), count: 0, partial: false }
    }

    /// What was loaded of a run's mail. Returns what of it is used up, too.
    ///
    /// Of a bag that is not complete nothing is held: what drops or replaces an event may stand beyond the page the event is
    /// in, and only a look for one name finds both.
    pub fn load(bag: Mailbag) -> (Self, Vec<Uuid>) {
        let mut mailbox = Self { partial: !bag.complete, ..Self::empty() };
        let mut used = Vec::new();
        if bag.complete {
            for mail in bag.mail.into_iter().filter(|mail| mail.mail.kind.is_about_events()) {
                used.extend(mailbox.push(mail));
            }
        }
        (mailbox, used)
    }

    /// Takes mail about an event that has come in. Returns what is used up by it.
    pub fn push(&mut self, Mail { mail, sent_at, .. }: Mail) -> Vec<Uuid> {
        let full = self.count >= MAIL_PAGE;
        if full && !self.named.contains_key(&mail.name) {
            // Names come from outside: a flood of them is not held either.
            self.partial = true;
            return Vec::new();
        }
        let held = if self.partial { Held::Oldest } else { Held::All };
        let list = self.named.entry(mail.name.clone()).or_insert_with(|| Named { events: VecDeque::new(), held });
        if mail.kind != MailKind::Event {
            let (used, removed) = list.change(&mail);
            self.count -= removed;
            return used;
        }
        match &mut list.held {
            Held::All if full => list.held = Held::Oldest,
            Held::All if list.events.iter().any(|known| known.id == mail.id) => {}
            Held::All => {
                list.events.push_back(Buffered::new(mail, sent_at));
                self.count += 1;
            }
            // It comes with the next look, in its place.
            Held::Oldest => {}
            Held::Loading { missed } => *missed = true,
        }
        Vec::new()
    }

    /// Whether events of this name must be loaded before it can be said that there is none; told once.
    pub fn must_load(&mut self, name: &Arc<str>) -> bool {
        let held = if self.partial { Held::Oldest } else { Held::All };
        let list = self.named.entry(name.clone()).or_insert_with(|| Named { events: VecDeque::new(), held });
        let must = list.events.is_empty() && list.held == Held::Oldest;
        if must {
            list.held = Held::Loading { missed: false };
        }
        must
    }

    /// Whether an event of this name may be there that this wait could take.
    pub fn may_have(&self, name: &str, call: &CallId) -> bool {
        match self.named.get(name) {
            None => self.partial,
            Some(named) => match named.events.front() {
                Some(first) => !first.is_unfit_for(call),
                None => named.held != Held::All,
            },
        }
    }

    /// Whether a look for some name is under way.
    pub fn is_loading(&self) -> bool {
        self.named.values().any(|named| matches!(named.held, Held::Loading { .. }))
    }

    /// What was loaded of this name; `known` says which mail was used up meanwhile. Returns what is used up by it.
    pub fn loaded(&mut self, name: &Arc<str>, bag: Mailbag, known: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        let Some(list) = self.named.get_mut(name) else { return Vec::new() };
        let missed = list.held == Held::Loading { missed: true };
        list.held = if bag.complete { Held::All } else { Held::Oldest };
        let mut used = Vec::new();
        for Mail { mail, sent_at, .. } in bag.mail.into_iter().filter(|mail| !known(mail.mail.id)) {
            match mail.kind {
                MailKind::Event => {
                    list.events.push_back(Buffered::new(mail, sent_at));
                    self.count += 1;
                }
                _ => {
                    let (more, removed) = list.change(&mail);
                    self.count -= removed;
                    used.extend(more);
                }
            }
        }
        if missed {
            list.held = Held::Oldest;
        }
        used
    }

    /// The look failed; it is to be repeated.
    pub fn not_loaded(&mut self, name: &Arc<str>) {
        if let Some(list) = self.named.get_mut(name) {
            list.held = Held::Oldest;
        }
    }

    /// The oldest event of this name that is held.
    pub fn first(&mut self, name: &str) -> Option<&mut Buffered> {
        self.named.get_mut(name)?.events.front_mut()
    }

    /// Hands out the oldest event of this name.
    pub fn take(&mut self, name: &str) -> Option<Buffered> {
        let event = self.named.get_mut(name)?.events.pop_front()?;
        self.count -= 1;
        Some(event)
    }
}

impl Named {
    /// Drops or replaces an event. Returns the mail that is used up, and how many events are gone.
    fn change(&mut self, mail: &NewMail) -> (Vec<Uuid>, usize) {
        let about = mail.body.as_ref().and_then(|body| body.decode::<AboutEvent>().ok());
        let Some(about) = about else { return (vec![mail.id], 0) };
        let place = self.events.iter().position(|event| event.id == about.event);
        match (place, &mut self.held) {
            (Some(place), _) => match (mail.kind, about.payload) {
                (MailKind::ReplaceEvent, Some(payload)) => {
                    let event = &mut self.events[place];
                    event.payload = Payload::from_json_text(payload.get());
                    event.unfit.clear();
                    if !event.replaced_by.contains(&mail.id) {
                        event.replaced_by.push(mail.id);
                    }
                    (Vec::new(), 0)
                }
                _ => {
                    let gone = self.events.remove(place).map(|event| event.mail()).unwrap_or_default();
                    ([&gone[..], &[mail.id]].concat(), 1)
                }
            },
            // The event was taken before, or there never was one.
            (None, Held::All) => (vec![mail.id], 0),
            (None, Held::Oldest) => (Vec::new(), 0),
            (None, Held::Loading { missed }) => {
                *missed = true;
                (Vec::new(), 0)
            }
        }
    }
}

impl Buffered {
    fn new(mail: NewMail, sent_at: Timestamp) -> Self {
        let payload = mail.body.unwrap_or_else(Payload::null);
        Self { id: mail.id, payload, sent_at, unfit: Vec::new(), replaced_by: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RunId;
    use crate::model::time::from_micros;

    fn name() -> Arc<str> {
        "approved".into()
    }

    fn event(number: u128) -> NewMail {
        let body = Some(Payload::from_json_text(number.to_string()));
        NewMail { id: Uuid::from_u128(number), run: RunId::new(), kind: MailKind::Event, name: name(), body }
    }

    fn about(number: u128, kind: MailKind, event: u128, payload: Option<&str>) -> NewMail {
        let payload = payload.map(|text| RawValue::from_string(text.into()).unwrap());
        let body = serde_json::to_string(&AboutEvent { event: Uuid::from_u128(event), payload }).unwrap();
        NewMail { kind, body: Some(Payload::from_json_text(body)), ..self::event(number) }
    }

    fn bag(mail: Vec<NewMail>, complete: bool) -> Mailbag {
        let mail =
            (1..).zip(mail).map(|(no, mail)| Mail { no, mail, sent_at: from_micros(no), noticed: true, retries: None });
        Mailbag { run: RunId::new(), mail: mail.collect(), complete }
    }

    fn came(mail: NewMail) -> Mail {
        Mail { no: 1, mail, sent_at: from_micros(1), noticed: false, retries: None }
    }

    fn taken(mailbox: &mut Mailbox) -> Vec<u128> {
        std::iter::from_fn(|| mailbox.take("approved")).map(|event| event.id.as_u128()).collect()
    }

    #[test]
    fn events_come_out_once_in_the_order_they_came_in() {
        let (mut mailbox, _) = Mailbox::load(bag(vec![event(5), event(2)], true));
        for mail in [event(2), event(9), event(9)] {
            mailbox.push(came(mail));
        }
        assert!(!mailbox.must_load(&name()));
        assert_eq!(taken(&mut mailbox), [5, 2, 9]);
        assert!(!mailbox.must_load(&name()), "all were held, so there is no other");
    }

    #[test]
    fn a_flood_is_held_in_part_and_loaded_in_order() {
        let mut mailbox = Mailbox::empty();
        let last = MAIL_PAGE as u128 + 44;
        for number in 1..=last {
            mailbox.push(came(event(number)));
        }
        for number in 0..1_000_u128 {
            mailbox.push(came(NewMail { name: format!("name {number}").into(), ..event(10_000 + number) }));
        }
        assert!(mailbox.named.len() == 1, "names are not collected either");
        assert!(!mailbox.must_load(&name()), "some are held");
        assert_eq!(taken(&mut mailbox).len(), MAIL_PAGE);
        assert!(mailbox.must_load(&name()) && !mailbox.must_load(&name()) && mailbox.is_loading());
        // The commit that takes the last ones is still under way, so they are loaded once more.
        let rest = (MAIL_PAGE as u128..=last).map(event).collect();
        mailbox.loaded(&name(), bag(rest, true), |id| id.as_u128() <= MAIL_PAGE as u128);
        assert_eq!(taken(&mut mailbox), (MAIL_PAGE as u128 + 1..=last).collect::<Vec<_>>());
        assert!(!mailbox.must_load(&name()));
        assert!(mailbox.must_load(&"name 7".into()), "another name may have events in the database");
    }

    #[test]
    fn what_comes_during_a_look_is_looked_for_again() {
        let (mut mailbox, _) = Mailbox::load(bag(Vec::new(), false));
        assert!(mailbox.must_load(&name()));
        mailbox.push(came(event(1)));
        mailbox.loaded(&name(), bag(Vec::new(), true), |_| false);
        assert!(mailbox.must_load(&name()), "the look may have missed it");
        mailbox.not_loaded(&name());
        assert!(mailbox.must_load(&name()), "a look that failed is repeated");
        mailbox.loaded(&name(), bag(vec![event(1)], true), |_| false);
        mailbox.push(came(event(2)));
        assert_eq!(taken(&mut mailbox), [1, 2]);
    }

    #[test]
    fn an_event_is_replaced_in_its_place_or_dropped() {
        let (mut mailbox, _) = Mailbox::load(bag(vec![event(1), event(2), event(3)], true));
        let (judge, other) = (CallId::new("event:approved", 0), CallId::new("event:approved", 1));
        mailbox.first("approved").unwrap().unfit.push((judge.clone(), "no".into()));
        assert!(!mailbox.may_have("approved", &judge) && mailbox.may_have("approved", &other));
        mailbox.first("approved").unwrap().unfit.push((other.clone(), "neither".into()));
        assert!(!mailbox.may_have("approved", &judge) && !mailbox.may_have("approved", &other), "each keeps its own");
        assert_eq!(mailbox.first("approved").unwrap().misfit_of(&other), Some("neither"));
        assert!(mailbox.push(came(about(7, MailKind::ReplaceEvent, 1, Some("{}")))).is_empty());
        assert_eq!(mailbox.push(came(about(8, MailKind::DropEvent, 2, None))), [2, 8].map(Uuid::from_u128));
        assert_eq!(
            mailbox.push(came(about(9, MailKind::DropEvent, 2, None))),
            [Uuid::from_u128(9)],
            "it is gone already"
        );
        let first = mailbox.take("approved").unwrap();
        assert_eq!((first.payload.as_str(), &first.unfit), ("{}", &Vec::new()));
        assert_eq!(first.mail(), [1, 7].map(Uuid::from_u128));
        assert_eq!(taken(&mut mailbox), [3]);
    }

    #[test]
    fn a_mailbox_loaded_anew_is_as_it_was() {
        let all =
            vec![event(1), about(7, MailKind::ReplaceEvent, 1, Some("8")), about(8, MailKind::DropEvent, 5, None)];
        let (mut mailbox, used) = Mailbox::load(bag(all.clone(), true));
        assert_eq!(used, [Uuid::from_u128(8)]);
        assert_eq!(mailbox.take("approved").unwrap().payload.as_str(), "8");
    }

    #[test]
    fn a_drop_that_stands_beyond_the_page_of_its_event_is_found_by_name() {
        let drop = about(8, MailKind::DropEvent, 1, None);
        let (mut mailbox, used) = Mailbox::load(bag(vec![event(1)], false));
        assert!(used.is_empty() && mailbox.may_have("approved", &CallId::new("event:approved", 0)));
        assert!(mailbox.first("approved").is_none(), "the event alone would be taken, though it is dropped");
        assert!(mailbox.must_load(&name()));
        let used = mailbox.loaded(&name(), bag(vec![event(1), event(2), drop], true), |_| false);
        assert_eq!(used, [1, 8].map(Uuid::from_u128));
        assert_eq!(taken(&mut mailbox), [2]);
    }
}
