//! The values given to `Runtime::builder().state(..)`, found again by type when a step asks for them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// Every value of state, by its type.
#[derive(Default, Clone)]
pub struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

/// A type of state that a step asks for.
#[derive(Clone, Copy)]
pub struct StateNeed {
    /// The type, or (for a trait object) one of the holders that `state(..)` takes.
    pub types: fn() -> Vec<TypeId>,
    /// Its name, for people.
    pub name: fn() -> &'static str,
    /// What to write to provide it.
    pub hint: &'static str,
}

impl States {
    /// Adds a value; returns whether its type is new.
    pub fn add<T: Send + Sync + 'static>(&mut self, value: T) -> bool {
        self.0.insert(TypeId::of::<T>(), Arc::new(value)).is_none()
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    /// Whether this need can be met.
    pub fn meets(&self, need: &StateNeed) -> bool {
        (need.types)().iter().any(|id| self.0.contains_key(id))
    }
}
