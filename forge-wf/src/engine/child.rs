//! Child runs: their ids, what they are started with, and the mail in which they answer.
//!
//! Everything about a child follows from its parent's call, so a crash never makes a second child and no mail is taken
//! twice. Pure.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::{Builder, Uuid};
use xxhash_rust::xxh3::xxh3_128;

use super::definition::WorkflowDefinition;
use super::order::Order;
use crate::contract::digest;
use crate::journal::{Entry, Recipe, Undo, UndoState};
use crate::model::{CallId, Digest, Payload, RunId, Timestamp};
use crate::store::{MailKind, NewMail, NewRun, Parent};

/// The id of the child that this call of a run's generation makes. A UUID of version 7 with its parent's time, so that
/// children lie beside their parent in an index.
pub fn child_id(parent: RunId, generation: i32, call: &CallId) -> RunId {
    let hash = xxh3_128(format!("{parent}/{generation}/{call}").as_bytes()).to_be_bytes();
    let millis = (parent.0.as_u128() >> 80) as u64;
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    RunId(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// A child about to be inserted.
pub fn new_child(id: RunId, parent: Parent, workflow: &WorkflowDefinition, input: Payload, at: Timestamp) -> NewRun {
    NewRun {
        id,
        seed: seed_of(id),
        workflow: workflow.name.into(),
        version: Some(workflow.version.into()),
        definition: Some(workflow.signature),
        needs: workflow.signature,
        start_needs: digest::of_version(workflow.name, workflow.version),
        key: None,
        queue: "default".into(),
        priority: 0,
        delay: Duration::ZERO,
        at,
        tags: None,
        owner: None,
        trace_parent: None,
        deadline_at: None,
        timeout: workflow.timeout,
        parent: Some(parent),
        input,
    }
}

/// The seed of a new run: its id's own bits are random enough, and need no second source of chance.
pub fn seed_of(id: RunId) -> i64 {
    xxhash_rust::xxh3::xxh3_64(id.0.as_bytes()).cast_signed()
}

fn mail_id(child: RunId, what: &str) -> Uuid {
    Builder::from_custom_bytes(xxh3_128(format!("{child}/{what}").as_bytes()).to_be_bytes()).into_uuid()
}

/// The id of the mail in which a child answers its parent.
pub fn result_mail_id(child: RunId) -> Uuid {
    mail_id(child, "result")
}

/// The mail that asks a child to end, whose parent no longer waits for it.
pub fn cancel_mail(child: RunId) -> NewMail {
    NewMail { id: mail_id(child, "cancel"), run: child, kind: MailKind::Cancel, name: "parent".into(), body: None }
}

/// The mail that ends a child because its parent was killed or retired, as `kind` says.
pub fn end_mail(child: RunId, kind: MailKind, parent: RunId) -> NewMail {
    let (what, was) = if kind == MailKind::Kill { ("kill", "killed") } else { ("retire", "retired") };
    let reason = format!("run {parent}, which called it, was {was}");
    let order = Order { who: "parent".into(), reason, ..Order::default() };
    let body = serde_json::to_string(&order).ok().map(Payload::from_json_text);
    NewMail { id: mail_id(child, what), run: child, kind, name: "parent".into(), body }
}

/// How a child ended, as its mail says it: with an output or with a failure.
#[derive(Default, Serialize, Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    failure: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<UndoneBy>,
}

/// How its parent undoes a child; without arguments if these could not be found out.
#[derive(Serialize, Deserialize)]
struct UndoneBy {
    step: String,
    digest: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Box<RawValue>>,
}

/// What stands there is there, `null` included.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl UndoneBy {
    fn of(recipe: Recipe) -> Self {
        let Recipe { undo, state } = recipe;
        let args = (state == UndoState::Open).then(|| raw(&undo.args));
        Self { step: undo.step, digest: undo.digest.to_uuid(), args }
    }

    fn recipe(self) -> Recipe {
        let state = if self.args.is_some() { UndoState::Open } else { UndoState::Failed };
        let args = self.args.as_deref().map_or_else(Payload::null, text);
        Recipe { undo: Undo { step: self.step, digest: Digest::from_uuid(self.digest), args }, state }
    }
}

fn raw(payload: &Payload) -> Box<RawValue> {
    RawValue::from_string(payload.as_str().to_owned()).unwrap_or_default()
}

fn text(raw: &RawValue) -> Payload {
    Payload::from_json_text(Arc::<str>::from(raw.get()))
}

/// The mail in which a run that ended with this entry answers whoever called it, if somebody waits.
pub fn result_mail(run: RunId, parent: Option<&Parent>, end: &Entry) -> Option<NewMail> {
    let Parent { run: to, call: Some(call) } = parent? else { return None };
    let answer = match (&end.output, &end.failure) {
        (Some(output), _) => {
            Answer { output: Some(raw(output)), undo: end.recipe().map(UndoneBy::of), ..Answer::default() }
        }
        (None, failure) => Answer { failure: Some(failure.as_ref().map(raw).unwrap_or_default()), ..Answer::default() },
    };
    let body = serde_json::to_string(&answer).ok().map(Payload::from_json_text);
    Some(NewMail { id: result_mail_id(run), run: *to, kind: MailKind::ChildResult, name: call.clone(), body })
}

/// How a child ended.
#[derive(Debug)]
pub struct ChildResult {
    /// Its output or its failure.
    pub outcome: Result<Payload, Payload>,
    /// How it is undone, if it has done its work.
    pub recipe: Option<Recipe>,
}

/// What stands in a child's answer; `None` if it is neither an output nor a failure.
pub fn read_result(mail: &NewMail) -> Option<ChildResult> {
    let Answer { output, failure, undo } = mail.body.as_ref()?.decode().ok()?;
    let outcome = match (output, failure) {
        (Some(output), None) => Ok(text(&output)),
        (None, Some(failure)) => Err(text(&failure)),
        _ => return None,
    };
    Some(ChildResult { outcome, recipe: undo.map(UndoneBy::recipe) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{EntryKind, EntryState};
    use crate::model::time::from_micros;

    fn run(number: u128) -> RunId {
        RunId(Uuid::from_u128(number))
    }

    #[test]
    fn a_child_is_known_by_its_parent_its_generation_and_its_call() {
        let (parent, call) = (RunId::new(), CallId::new("child:ship", 0));
        let id = child_id(parent, 0, &call);
        assert_eq!(id, child_id(parent, 0, &call));
        assert_eq!((id.0.get_version_num(), id.0.as_u128() >> 80), (7, parent.0.as_u128() >> 80));
        let others = [child_id(parent, 1, &call), child_id(parent, 0, &CallId::new("child:ship", 1))];
        assert!(!others.contains(&id) && others[0] != others[1]);
    }

    #[test]
    fn ids_are_frozen() {
        let parent = run(0x0192_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(
            child_id(parent, 0, &CallId::new("child:ship", 0)).to_string(),
            "01920000-0000-7e98-afb8-48cd99bbc931"
        );
        assert_eq!(result_mail_id(parent).to_string(), "058c7a7c-d21f-8b85-a513-6b6299448fd3");
    }

    #[test]
    fn the_end_of_a_parent_is_sent_once_and_says_why() {
        let (kill, retire) = (end_mail(run(7), MailKind::Kill, run(8)), end_mail(run(7), MailKind::Retire, run(8)));
        assert_eq!(kill.id, end_mail(run(7), MailKind::Kill, run(8)).id);
        assert!(kill.id != retire.id && kill.id != cancel_mail(run(7)).id);
        let failure = Order::of(&kill).failure(MailKind::Kill);
        assert_eq!(failure.message(), format!("killed by parent: run {}, which called it, was killed", run(8)));
        assert!(Order::of(&retire).reason.ends_with("was retired"));
    }

    #[test]
    fn an_answer_comes_back_as_it_was_given() {
        let parent = Parent { run: run(7), call: Some("child:ship#0".into()) };
        let mut end = Entry::new(CallId::new("end", 0), EntryKind::End, EntryState::Completed, from_micros(1));
        end.output = Some(Payload::from_json_text("{\"a\":[1.0,null]}"));
        let mail = result_mail(run(8), Some(&parent), &end).unwrap();
        assert_eq!((mail.run, &*mail.name), (run(7), "child:ship#0"));
        assert_eq!(mail.body.as_ref().unwrap().as_str(), "{\"output\":{\"a\":[1.0,null]}}", "frozen");
        assert_eq!(read_result(&mail).unwrap().outcome.unwrap(), *end.output.as_ref().unwrap());
        end.failure = end.output.take();
        let mail = result_mail(run(8), Some(&parent), &end).unwrap();
        assert!(read_result(&mail).unwrap().outcome.is_err());
        end.failure = None;
        end.output = Some(Payload::null());
        let mail = result_mail(run(8), Some(&parent), &end).unwrap();
        assert_eq!(read_result(&mail).unwrap().outcome.unwrap(), Payload::null(), "null is an output too");
        assert!(result_mail(run(8), Some(&Parent { call: None, ..parent }), &end).is_none());
    }

    #[test]
    fn an_answer_says_how_to_undo_the_child() {
        let parent = Parent { run: run(7), call: Some("child:ship#0".into()) };
        let mut end = Entry::new(CallId::new("end", 0), EntryKind::End, EntryState::Completed, from_micros(1));
        end.output = Some(Payload::null());
        for (args, state) in [("{\"parcel\":1.50}", UndoState::Open), ("null", UndoState::Failed)] {
            let undo =
                Undo { step: "step:recall".into(), digest: Digest(7 << 90), args: Payload::from_json_text(args) };
            end.set_recipe(Some(Recipe { undo, state }));
            let mail = result_mail(run(8), Some(&parent), &end).unwrap();
            assert_eq!(read_result(&mail).unwrap().recipe, end.recipe());
        }
    }
}
