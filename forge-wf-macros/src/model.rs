//! Understands a function: its parameters and their roles, what it returns, and where its attributes belong.
//!
//! Takes a parsed item; hands on a [`Function`]. Never judges it: that is [`check`](crate::check).

use proc_macro2::Ident;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Block, FnArg, ItemFn, Pat, ReturnType, Signature, Type, Visibility};

use crate::shape;

/// What a parameter is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// `&WorkflowContext`
    WorkflowContext,
    /// `&StepContext`
    StepContext,
    /// `#[state] x: ..`
    State,
    /// Everything else.
    Argument,
}

/// A parameter.
pub(crate) struct Parameter {
    /// Its attributes, without `#[state]`.
    pub(crate) attrs: Vec<Attribute>,
    /// Those that have no place on a parameter of a step.
    pub(crate) unknown_attrs: Vec<Attribute>,
    pub(crate) pat: Pat,
    pub(crate) ty: Type,
    pub(crate) role: Role,
    /// Whether it is the first one that has no role.
    pub(crate) first: bool,
}

impl Parameter {
    /// Its name, if it is a plain one.
    pub(crate) fn name(&self) -> Option<&Ident> {
        match &self.pat {
            Pat::Ident(pat) => Some(&pat.ident),
            _ => None,
        }
    }
}

/// A function under one of our attributes.
pub(crate) struct Function {
    /// `#[cfg]`: onto everything we emit.
    pub(crate) cfgs: Vec<Attribute>,
    /// What tells users about the function: onto the function they call.
    pub(crate) outer: Vec<Attribute>,
    /// What is about its code: onto the body.
    pub(crate) inner: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) params: Vec<Parameter>,
    /// What it returns, if it says so.
    pub(crate) returns: Option<Type>,
    pub(crate) block: Box<Block>,
}

impl Function {
    /// Reads an item that has no receiver.
    pub(crate) fn read(item: ItemFn) -> Self {
        let ItemFn { attrs, vis, sig, block, .. } = item;
        let mut function = Self {
            cfgs: Vec::new(),
            outer: Vec::new(),
            inner: Vec::new(),
            vis,
            params: Vec::new(),
            returns: match &sig.output {
                ReturnType::Default => None,
                ReturnType::Type(_, ty) => Some((**ty).clone()),
            },
            sig,
            block,
        };
        for attr in attrs {
            function.place(attr);
        }
        for input in &function.sig.inputs {
            if let FnArg::Typed(input) = input {
                let first = function.params.is_empty();
                function.params.push(parameter(input, first));
            }
        }
        function
    }

    fn place(&mut self, attr: Attribute) {
        let name = attr.path().segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        match name.as_str() {
            "cfg" => self.cfgs.push(attr),
            "doc" | "deprecated" => self.outer.push(attr),
            "allow" | "warn" | "deny" | "forbid" => {
                self.outer.push(attr.clone());
                self.inner.push(attr);
            }
            // `expect`, `must_use`, `inline`, and attribute macros such as `tracing::instrument`.
            _ => self.inner.push(attr),
        }
    }

    /// Its name, without `r#`.
    pub(crate) fn name(&self) -> String {
        self.sig.ident.unraw().to_string()
    }

    /// Its parameters of this role, in order.
    pub(crate) fn of_role(&self, role: Role) -> impl Iterator<Item = &Parameter> {
        self.params.iter().filter(move |param| param.role == role)
    }
}

fn parameter(input: &syn::PatType, first: bool) -> Parameter {
    let (mut attrs, mut unknown_attrs, mut is_state) = (Vec::new(), Vec::new(), false);
    for attr in &input.attrs {
        let path = attr.path().to_token_stream().to_string();
        match path.as_str() {
            "state" => is_state = true,
            "allow" | "expect" | "warn" | "deny" | "doc" => attrs.push(attr.clone()),
            _ => unknown_attrs.push(attr.clone()),
        }
    }
    let ty = (*input.ty).clone();
    let role = if is_state {
        Role::State
    } else if shape::ends_with(&ty, "WorkflowContext") {
        Role::WorkflowContext
    } else if shape::ends_with(&ty, "StepContext") {
        Role::StepContext
    } else {
        Role::Argument
    };
    Parameter { attrs, unknown_attrs, pat: (*input.pat).clone(), ty, role, first }
}
