//! What `inventory` collected and what was registered by hand; duplicates are refused before any work starts.

use std::collections::HashMap;
use std::sync::Arc;

use super::definition::{Place, Registration, StepDefinition, WorkflowDefinition};
use super::states::States;
use crate::contract::digest;
use crate::model::Digest;
use crate::model::limits::{NAME_BYTES_MAX, check_name};
use crate::store::{DefinitionRow, Offer};

/// Every definition this process has.
pub struct Registry {
    workflows: HashMap<Digest, &'static WorkflowDefinition>,
    steps: Vec<&'static StepDefinition>,
}

/// What is wrong with the definitions of this process; each sentence names the places in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError(pub Vec<String>);

impl Registry {
    /// Everything `inventory` collected in this process, and `extra`.
    ///
    /// # Errors
    /// All that is wrong, at once: nothing registered, two steps of one name, two workflows of one name and
    /// version, two versions of one name, a step whose state nobody gave, a name that cannot be stored.
    pub fn collect(extra: &[Registration], states: &States) -> Result<Self, RegistryError> {
        Self::of(inventory::iter::<Registration>.into_iter().copied().chain(extra.iter().copied()), states)
    }

    fn of(registrations: impl Iterator<Item = Registration>, states: &States) -> Result<Self, RegistryError> {
        let mut wrong = Vec::new();
        let mut steps: HashMap<&str, &'static StepDefinition> = HashMap::new();
        let mut workflows: HashMap<&str, &'static WorkflowDefinition> = HashMap::new();
        for registration in registrations {
            match registration {
                Registration::Step(step) => {
                    if let Some(first) = steps.insert(step.key, step)
                        && first.place != step.place
                    {
                        wrong.push(twice("step", step.key.trim_start_matches("step:"), first.place, step.place));
                    }
                }
                Registration::Workflow(workflow) => {
                    if let Some(first) = workflows.insert(workflow.name, workflow)
                        && first.place != workflow.place
                    {
                        wrong.push(if first.version == workflow.version {
                            let what = format!("{} version {}", workflow.name, workflow.version);
                            twice("workflow", &what, first.place, workflow.place)
                        } else {
                            format!(
                                "workflow {} has two versions, {} at {} and {} at {}; versions side by side are not \
                                 supported yet: keep one",
                                workflow.name, first.version, first.place, workflow.version, workflow.place
                            )
                        });
                    }
                }
            }
        }
        for workflow in workflows.values() {
            for (what, text) in [("workflow name", workflow.name), ("workflow version", workflow.version)] {
                if let Err(sentence) = check_name(what, text, NAME_BYTES_MAX) {
                    wrong.push(format!("{sentence} ({})", workflow.place));
                }
            }
        }
        for step in steps.values() {
            if let Err(sentence) = check_name("step name", step.key, NAME_BYTES_MAX) {
                wrong.push(format!("{sentence} ({})", step.place));
            }
            for need in step.states.iter().filter(|need| !states.meets(need)) {
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
        let workflows = workflows.into_values().map(|workflow| (workflow.signature, workflow)).collect();
        Ok(Self { workflows, steps: steps.into_values().collect() })
    }

    /// The workflow with this signature.
    pub fn workflow(&self, definition: Digest) -> Option<&'static WorkflowDefinition> {
        self.workflows.get(&definition).copied()
    }

    /// How many workflows and steps there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.workflows.len(), self.steps.len())
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
            })
            .collect()
    }

    /// What this process can claim: runs bound to its definitions, and unbound runs of their names.
    pub fn offers(&self) -> Arc<[Offer]> {
        self.workflows
            .values()
            .flat_map(|workflow| {
                let needs = [
                    workflow.signature,
                    digest::of_name(workflow.name),
                    digest::of_version(workflow.name, workflow.version),
                ];
                needs.map(|needs| Offer { needs, definition: workflow.signature, version: workflow.version.into() })
            })
            .collect()
    }
}

fn twice(what: &str, name: &str, first: Place, second: Place) -> String {
    format!("{what} {name} is defined twice, at {first} and at {second}: rename one, or give it `name = \"..\"`")
}
