//! What `inventory` collected and what was registered by hand; duplicates are refused before any work starts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::config::FOR_EVER;
use super::definition::{EventDefinition, Place, Registration, StepDefinition, WorkflowDefinition};
use super::states::States;
use super::unwind::ANYONE;
use crate::contract::digest;
use crate::model::limits::{NAME_BYTES_MAX, check_name};
use crate::model::{Digest, VersionStatus};
use crate::store::{DefinitionRow, Offer, StrayVersion};

/// Every definition this process has.
pub struct Registry {
    workflows: HashMap<Digest, &'static WorkflowDefinition>,
    /// What replaces a definition.
    successors: HashMap<Digest, &'static WorkflowDefinition>,
    /// What goes on with runs of a version under a signature that is not there: those of a version that a newer one replaces, and
    /// those of its own whose signature was computed by an older algorithm.
    heirs: HashMap<(&'static str, &'static str), Heir>,
    steps: HashMap<Digest, &'static StepDefinition>,
}

/// What goes on with runs of a version.
#[derive(Clone, Copy)]
struct Heir {
    workflow: &'static WorkflowDefinition,
    is_replacement: bool,
}

/// What is wrong with the definitions of this process; each sentence names the places in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError(pub Vec<String>);

impl Registry {
    /// Everything `inventory` collected in this process, and `extra`.
    ///
    /// # Errors
    /// All that is wrong, at once: nothing registered, two steps of one name, two workflows of one name and
    /// version, two active versions of one name, a step whose state nobody gave, a name that cannot be stored.
    pub fn collect(extra: &[Registration], states: &States) -> Result<Self, RegistryError> {
        let all = inventory::iter::<Registration>.into_iter().copied().chain(extra.iter().copied());
        Self::of(all, Some(states))
    }

    /// Everything `inventory` collected in this process, to look at and not to run.
    ///
    /// # Errors
    /// As [`Registry::collect`], but for the state of steps.
    pub fn definitions_only() -> Result<Self, RegistryError> {
        Self::of(inventory::iter::<Registration>.into_iter().copied(), None)
    }

    fn of(registrations: impl Iterator<Item = Registration>, states: Option<&States>) -> Result<Self, RegistryError> {
        let mut wrong = Vec::new();
        let mut steps: HashMap<&str, &'static StepDefinition> = HashMap::new();
        let mut workflows: BTreeMap<(&str, &str), &'static WorkflowDefinition> = BTreeMap::new();
        let mut events: HashMap<&str, &'static EventDefinition> = HashMap::new();
        for registration in registrations {
            match registration {
                Registration::Step(step) => {
                    if let Some(first) = steps.insert(step.key, step)
                        && first.place != step.place
                    {
                        wrong.push(twice("step", step.key.trim_start_matches("step:"), first.place, step.place));
                    }
                }
                Registration::Event(event) => {
                    if let Some(first) = events.insert(event.name, event)
                        && first.place != event.place
                    {
                        wrong.push(format!(
                            "event {} is defined twice, by {} at {} and by {} at {}: give one another name, \
                             `#[event(name = \"..\")]`",
                            event.name, first.type_name, first.place, event.type_name, event.place
                        ));
                    }
                }
                Registration::Workflow(workflow) => {
                    if let Some(first) = workflows.insert((workflow.name, workflow.version), workflow)
                        && first.place != workflow.place
                    {
                        wrong.push(format!(
                            "workflow {} version {} is defined twice, at {} with signature {} and at {} with {}: give one \
                             another version, or another name, `name = \"..\"`",
                            workflow.name,
                            workflow.version,
                            first.place,
                            first.signature.short(),
                            workflow.place,
                            workflow.signature.short()
                        ));
                    }
                }
            }
        }
        let mut active: HashMap<&str, &WorkflowDefinition> = HashMap::new();
        for workflow in workflows.values().filter(|workflow| workflow.status == VersionStatus::Active) {
            if let Some(first) = active.insert(workflow.name, workflow) {
                wrong.push(format!(
                    "workflow {} has two active versions, {} at {} and {} at {}: mark the one that takes no new runs with \
                     `status = deprecated`, or the one that does not yet with `status = staging`",
                    workflow.name, first.version, first.place, workflow.version, workflow.place
                ));
            }
        }
        let mut successors: HashMap<(&str, &str), &WorkflowDefinition> = HashMap::new();
        for workflow in workflows.values() {
            let Some(replaced) = workflow.replaces else { continue };
            if replaced == workflow.version {
                wrong.push(format!(
                    "workflow {} version {replaced} ({}) replaces itself: name the version before it",
                    workflow.name, workflow.place
                ));
            }
            if let Some(first) = successors.insert((workflow.name, replaced), workflow) {
                wrong.push(format!(
                    "workflow {} version {replaced} is replaced by version {} at {} and by version {} at {}: remove one \
                     `replaces`",
                    workflow.name, first.version, first.place, workflow.version, workflow.place
                ));
            }
        }
        for workflow in workflows.values() {
            for (what, text) in [("workflow name", workflow.name), ("workflow version", workflow.version)] {
                if let Err(sentence) = check_name(what, text, NAME_BYTES_MAX) {
                    wrong.push(format!("{sentence} ({})", workflow.place));
                }
            }
        }
        for event in events.values() {
            if let Err(sentence) = check_name("event name", event.name, NAME_BYTES_MAX - "event:".len()) {
                wrong.push(format!("{sentence} ({})", event.place));
            }
        }
        for step in steps.values() {
            if let Err(sentence) = check_name("step name", step.key, NAME_BYTES_MAX) {
                wrong.push(format!("{sentence} ({})", step.place));
            }
            for need in step.states.iter().filter(|need| states.is_some_and(|states| !states.meets(need))) {
                wrong.push(format!(
                    "step {} ({}) needs state of type {}: add {} to the builder",
                    step.key.trim_start_matches("step:"),
                    step.place,
                    (need.name)(),
                    need.hint
                ));
            }
        }
        if workflows.is_empty() {
            wrong.push(
                "no workflow is registered: annotate an async function with #[workflow], link the crate it is in, or \
                 name it with `.register::<checkout>()`"
                    .into(),
            );
        }
        if !wrong.is_empty() {
            wrong.sort();
            return Err(RegistryError(wrong));
        }
        let successors = (workflows.iter())
            .filter_map(|((name, _), next)| Some((workflows.get(&(*name, next.replaces?))?.signature, *next)))
            .collect();
        let heir = |workflow, is_replacement| Heir { workflow, is_replacement };
        let mut heirs: HashMap<_, _> =
            (workflows.values()).filter_map(|next| Some(((next.name, next.replaces?), heir(*next, true)))).collect();
        heirs.extend(workflows.iter().map(|(version, workflow)| (*version, heir(*workflow, false))));
        let workflows = workflows.into_values().map(|workflow| (workflow.signature, workflow)).collect();
        let steps = steps.into_values().map(|step| (step.digest, step)).collect();
        Ok(Self { workflows, successors, heirs, steps })
    }

    /// The workflow with this signature.
    pub fn workflow(&self, definition: Digest) -> Option<&'static WorkflowDefinition> {
        self.workflows.get(&definition).copied()
    }

    /// What replaces this definition.
    pub fn successor(&self, definition: Digest) -> Option<&'static WorkflowDefinition> {
        self.successors.get(&definition).copied()
    }

    /// What goes on with a run of this version whose signature is not there, if its journal fits.
    pub fn heir(&self, name: &str, version: &str) -> Option<&'static WorkflowDefinition> {
        self.heirs.get(&(name, version)).map(|heir| heir.workflow)
    }

    /// The versions whose runs this process may go on with although it does not have their signature.
    pub fn stray_versions(&self) -> Arc<[StrayVersion]> {
        let version = |((workflow, version), heir): (&(&str, &str), &Heir)| StrayVersion {
            workflow: (*workflow).into(),
            version: (*version).into(),
            is_replaced: heir.is_replacement,
        };
        self.heirs.iter().map(version).collect()
    }

    /// This version of a workflow.
    pub fn version(&self, name: &str, version: &str) -> Option<&'static WorkflowDefinition> {
        self.workflows.values().find(|workflow| workflow.name == name && workflow.version == version).copied()
    }

    /// Whether there is a workflow of this version.
    pub fn has_version(&self, version: &str) -> bool {
        self.workflows.values().any(|workflow| workflow.version == version)
    }

    /// Whether there is a workflow of this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.workflows.values().any(|workflow| workflow.name == name)
    }

    /// Whether a run that is not bound may begin here: of this version or of what replaces it, or of an active one.
    pub fn may_start(&self, name: &str, version: Option<&str>) -> bool {
        match version {
            Some(version) => self.heir(name, version).is_some(),
            None => (self.workflows.values())
                .any(|workflow| workflow.name == name && workflow.status == VersionStatus::Active),
        }
    }

    /// The step with this digest.
    pub fn step(&self, digest: Digest) -> Option<&'static StepDefinition> {
        self.steps.get(&digest).copied()
    }

    /// What is written to the database for people and for routing.
    pub fn definitions(&self) -> Vec<DefinitionRow> {
        self.workflows
            .values()
            .map(|workflow| DefinitionRow {
                workflow: workflow.name.into(),
                version: workflow.version.into(),
                signature: workflow.signature,
                algorithm: digest::ALGORITHM,
                status: workflow.status,
            })
            .collect()
    }

    /// What this process can claim: runs bound to its definitions, unbound runs of their versions (also of a version that one of them
    /// replaces and that is not there), of active ones also those that asked for none, and runs whose next undo is one of its steps.
    pub fn offers(&self) -> Arc<[Offer]> {
        let steps = self.steps.keys().chain([&ANYONE]);
        let steps = steps.map(|step| Offer { needs: *step, definition: *step, version: "".into(), timeout: None });
        self.workflows
            .values()
            .flat_map(|workflow| {
                let by_name = (workflow.status == VersionStatus::Active).then(|| digest::of_name(workflow.name));
                let is_heir = |(_, heir): &(_, &Heir)| heir.workflow.signature == workflow.signature;
                let versions =
                    self.heirs.iter().filter(is_heir).map(|((name, version), _)| digest::of_version(name, version));
                let needs = std::iter::once(workflow.signature).chain(versions).chain(by_name);
                // One that databases cannot add to a time is none.
                let timeout = workflow.timeout.filter(|timeout| *timeout < FOR_EVER);
                let (definition, version) = (workflow.signature, Arc::<str>::from(workflow.version));
                needs.map(move |needs| Offer { needs, definition, version: version.clone(), timeout })
            })
            .chain(steps)
            .collect()
    }
}

fn twice(what: &str, name: &str, first: Place, second: Place) -> String {
    format!("{what} {name} is defined twice, at {first} and at {second}: rename one, or give it `name = \"..\"`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::parts::Contract;
    use crate::engine::definition::StepOptions;
    use crate::engine::states::StateNeed;

    const fn place(line: u32) -> Place {
        Place { file: "shop.rs", line, column: 1 }
    }

    const fn step(key: &'static str, line: u32, states: &'static [StateNeed]) -> StepDefinition {
        let options = StepOptions { retry: None, timeout: None };
        StepDefinition {
            key,
            place: place(line),
            digest: Digest(1),
            options,
            arguments: &[],
            undo: None,
            states,
            run: |_, _| unreachable!(),
        }
    }

    const fn workflow(name: &'static str, version: &'static str, line: u32) -> WorkflowDefinition {
        let signature = digest::of_version(name, version);
        let child_key = "child:checkout";
        let (place, run) = (place(line), |_| unreachable!());
        let status = VersionStatus::Active;
        WorkflowDefinition {
            name,
            version,
            status,
            replaces: None,
            child_key,
            place,
            signature,
            contract: Contract { package: "shop", target: "lib", parts: &[] },
            timeout: None,
            undo: None,
            run,
        }
    }

    const fn event(type_name: &'static str, line: u32) -> EventDefinition {
        EventDefinition { name: "approved", type_name, place: place(line) }
    }

    static CHARGE: StepDefinition = step("step:charge", 1, &[]);
    static OTHER_CHARGE: StepDefinition = step("step:charge", 2, &[]);
    static STOCKED: StepDefinition = step(
        "step:reserve",
        3,
        &[StateNeed {
            types: || vec![std::any::TypeId::of::<u8>()],
            name: std::any::type_name::<u8>,
            hint: "`.state(..)`",
        }],
    );
    static CHECKOUT: WorkflowDefinition = workflow("checkout", "1", 4);
    static OTHER_CHECKOUT: WorkflowDefinition = workflow("checkout", "1", 5);
    static APPROVED: EventDefinition = event("Approved", 7);
    static ALSO_APPROVED: EventDefinition = event("shop::Approved", 8);
    static NEXT_CHECKOUT: WorkflowDefinition = workflow("checkout", "2", 6);

    fn wrong(registrations: &[Registration]) -> String {
        match Registry::of(registrations.iter().copied(), Some(&States::default())) {
            Ok(_) => panic!("it was accepted"),
            Err(RegistryError(sentences)) => sentences.join("\n"),
        }
    }

    #[test]
    fn duplicates_are_refused_with_both_places() {
        use Registration::{Event, Step, Workflow};
        let sentences = wrong(&[Step(&CHARGE), Step(&OTHER_CHARGE), Workflow(&CHECKOUT), Workflow(&OTHER_CHECKOUT)]);
        assert!(sentences.contains("step charge is defined twice, at shop.rs:1:1 and at shop.rs:2:1"), "{sentences}");
        assert!(sentences.contains("workflow checkout version 1 is defined twice, at shop.rs:4:1"), "{sentences}");
        let sentences = wrong(&[Workflow(&CHECKOUT), Workflow(&NEXT_CHECKOUT)]);
        assert!(sentences.contains("has two active versions, 1 at shop.rs:4:1 and 2 at shop.rs:6:1"), "{sentences}");
        let sentences = wrong(&[Event(&APPROVED), Event(&ALSO_APPROVED), Event(&APPROVED)]);
        assert!(sentences.contains("event approved is defined twice, by Approved at shop.rs:7:1"), "{sentences}");
    }

    #[test]
    fn what_is_registered_by_hand_too_is_no_duplicate() {
        let both = [Registration::Workflow(&CHECKOUT), Registration::Workflow(&CHECKOUT)];
        let registry = Registry::of(both.into_iter(), Some(&States::default())).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(
            registry.offers().len(),
            4,
            "its definition, its name, its name with the version, and what everybody offers"
        );
    }

    #[test]
    fn versions_stand_side_by_side_and_one_of_them_is_started_by_name() {
        static OLD: WorkflowDefinition =
            WorkflowDefinition { status: VersionStatus::Deprecated, ..workflow("checkout", "1", 4) };
        static STAGED: WorkflowDefinition =
            WorkflowDefinition { status: VersionStatus::Staging, ..workflow("checkout", "3", 9) };
        let all = [&OLD, &NEXT_CHECKOUT, &STAGED].map(Registration::Workflow);
        let registry = Registry::of(all.into_iter(), Some(&States::default())).unwrap_or_else(|_| panic!("refused"));
        let offers = registry.offers();
        let bound_by = |needs| {
            let mut versions: Vec<_> =
                offers.iter().filter(|offer| offer.needs == needs).map(|offer| &*offer.version).collect();
            versions.sort_unstable();
            // The signature of these is the digest of their version.
            versions.dedup();
            versions
        };
        assert_eq!(bound_by(digest::of_name("checkout")), ["2"]);
        for version in ["1", "2", "3"] {
            assert_eq!(bound_by(digest::of_version("checkout", version)), [version]);
        }
    }

    #[test]
    fn what_replaces_a_version_is_known_and_only_one_does() {
        static OLD: WorkflowDefinition =
            WorkflowDefinition { status: VersionStatus::Deprecated, ..workflow("checkout", "1", 4) };
        static NEW: WorkflowDefinition = WorkflowDefinition { replaces: Some("1"), ..workflow("checkout", "2", 6) };
        static NEWER: WorkflowDefinition =
            WorkflowDefinition { replaces: Some("1"), status: VersionStatus::Staging, ..workflow("checkout", "3", 9) };
        let both = [&OLD, &NEW].map(Registration::Workflow);
        let registry = Registry::of(both.into_iter(), None).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(registry.successor(OLD.signature).map(|next| next.version), Some("2"));
        assert!(registry.successor(NEW.signature).is_none());
        let sentences = wrong(&[&OLD, &NEW, &NEWER].map(Registration::Workflow));
        assert!(
            sentences.contains("version 1 is replaced by version 2 at shop.rs:6:1 and by version 3"),
            "{sentences}"
        );
        static OWN: WorkflowDefinition = WorkflowDefinition { replaces: Some("1"), ..workflow("checkout", "1", 4) };
        let sentences = wrong(&[Registration::Workflow(&OWN)]);
        assert!(sentences.contains("checkout version 1 (shop.rs:4:1) replaces itself"), "{sentences}");
    }

    #[test]
    fn runs_of_a_version_that_is_not_there_go_to_what_replaces_it() {
        static NEW: WorkflowDefinition = WorkflowDefinition { replaces: Some("1"), ..workflow("checkout", "2", 6) };
        static OLD: WorkflowDefinition =
            WorkflowDefinition { status: VersionStatus::Deprecated, ..workflow("checkout", "1", 4) };
        let alone =
            Registry::of([Registration::Workflow(&NEW)].into_iter(), None).unwrap_or_else(|_| panic!("refused"));
        let both = [&OLD, &NEW].map(Registration::Workflow);
        let both = Registry::of(both.into_iter(), None).unwrap_or_else(|_| panic!("refused"));
        for (registry, heir, is_replaced) in [(&alone, "2", true), (&both, "1", false)] {
            assert_eq!(registry.heir("checkout", "1").map(|next| next.version), Some(heir));
            let mut versions = registry.stray_versions().to_vec();
            versions.sort_by(|a, b| a.version.cmp(&b.version));
            assert_eq!((&*versions[0].version, versions[0].is_replaced), ("1", is_replaced));
            assert_eq!((&*versions[1].version, versions[1].is_replaced), ("2", false));
        }
        assert!(alone.heir("checkout", "3").is_none() && alone.heir("ship", "1").is_none());
        // Also those that asked for the version and have not begun.
        let begins_with = |registry: &Registry| {
            let offers = registry.offers();
            let offer = offers.iter().find(|offer| offer.needs == digest::of_version("checkout", "1"));
            offer.map(|offer| offer.version.to_string())
        };
        assert_eq!((begins_with(&alone).as_deref(), begins_with(&both).as_deref()), (Some("2"), Some("1")));
        assert!(alone.may_start("checkout", Some("1")) && !alone.may_start("checkout", Some("3")));
    }

    #[test]
    fn state_nobody_gave_and_an_empty_registry_are_refused() {
        let sentences = wrong(&[Registration::Step(&STOCKED)]);
        assert!(sentences.contains("step reserve (shop.rs:3:1) needs state of type u8"), "{sentences}");
        assert!(sentences.contains("no workflow is registered"), "{sentences}");
        let mut states = States::default();
        states.add(7_u8);
        let enough = [Registration::Step(&STOCKED), Registration::Workflow(&CHECKOUT)];
        assert!(Registry::of(enough.into_iter(), Some(&states)).is_ok());
    }
}
