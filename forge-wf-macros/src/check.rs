//! Judges a function: each rule names the token it blames and says what to write instead.
//!
//! Takes a [`Function`] as it was read; hands on an [`Errors`] with everything that is wrong at once.
//! Never changes what it judges.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{GenericParam, Pat, Safety, Type};

use crate::args::{Args, Kind, similar};
use crate::model::{Function, Parameter, Role};
use crate::scan::{Found, NamedWait};
use crate::shape::{self, Shape};

/// What is wrong, all of it.
#[derive(Default)]
pub(crate) struct Errors {
    list: Vec<syn::Error>,
    broken: bool,
}

impl Errors {
    /// Blames these tokens; the item can be expanded all the same.
    pub(crate) fn add(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.list.push(syn::Error::new_spanned(tokens, message));
    }

    /// Blames these tokens; the item cannot be expanded as it stands.
    pub(crate) fn fatal(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.add(tokens, message);
        self.broken = true;
    }

    /// Says what a parser says.
    pub(crate) fn add_error(&mut self, error: &syn::Error) {
        self.list.push(error.clone());
    }

    /// Whether the item needs the fallback.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.list.iter().map(ToString::to_string).collect()
    }

    /// The messages, as tokens that make the compiler print them.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.list.iter().map(syn::Error::to_compile_error).collect()
    }
}

/// Every rule about the function's signature.
pub(crate) fn signature(kind: Kind, function: &Function, errors: &mut Errors) {
    qualifiers(kind, function, errors);
    generics(kind, function, errors);
    for attr in function.params.iter().flat_map(|param| &param.unknown_attrs) {
        let expected = if kind == Kind::Step { "; expected `#[state]`" } else { "" };
        errors.add(attr, format!("not supported on a parameter of a {kind}{expected}"));
    }
    match kind {
        Kind::Step => step_parameters(function, errors),
        Kind::Workflow | Kind::Helper => context_first(kind, function, errors),
    }
    if kind == Kind::Workflow {
        workflow_input(function, errors);
    }
    if kind != Kind::Helper {
        output(kind, function, errors);
    }
}

/// Every rule about the waits for events in a body: what they wait for is written out, or declared in the attribute.
///
/// The type check would refuse the same waits, but cannot say the names.
pub(crate) fn waits(kind: Kind, args: &Args, function: &Function, found: &Found, errors: &mut Errors) {
    let is_generic = |ident: &syn::Ident| function.sig.generics.type_params().any(|param| param.ident == *ident);
    for wait in found.calls.iter().filter(|call| call.is_wait && call.path.get_ident().is_some_and(is_generic)) {
        let message = format!("a {kind} cannot wait for a generic event, since its signature names it: write the type");
        errors.add(&wait.path, message);
    }
    for method in found.untyped_waits.iter().filter(|_| args.events.is_empty()) {
        errors.add(method, "which event? Write its type: `ctx.wait_for_event::<Approved>()`");
    }
    for NamedWait { name, ty } in &found.named_waits {
        let text = name.value();
        if args.named_events.iter().all(|event| event.name != text) {
            let ty = ty.as_ref().map_or_else(|| String::from("Type"), shape::readable);
            let write = format!("`#[{kind}(events({}: {ty}))]`", name.token());
            let known: Vec<&str> = args.named_events.iter().map(|event| &*event.name).collect();
            let hint = similar(&text, &known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            errors.add(name, format!("this wait is not in the signature: write {write}{hint}"));
        }
    }
}

/// The rule about the names that the call in `compensate = refund(output.id)` may use.
pub(crate) fn compensation(args: &Args, function: &Function, errors: &mut Errors) {
    if args.compensate.as_ref().is_none_or(|compensate| compensate.call.is_none()) {
        return;
    }
    for name in function.of_role(Role::Argument).filter_map(Parameter::name).filter(|name| *name == "output") {
        errors.fatal(
            name,
            "in `compensate = ..(..)` the name `output` is what was returned: give this argument another name",
        );
    }
}

fn qualifiers(kind: Kind, function: &Function, errors: &mut Errors) {
    let sig = &function.sig;
    if sig.asyncness.is_none() {
        errors.add(sig.fn_token, format!("a {kind} is an async function: write `async fn`"));
    }
    if let Some(token) = &sig.constness {
        errors.fatal(token, format!("a {kind} cannot be a `const fn`: remove `const`"));
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.fatal(token, format!("a {kind} cannot be an `unsafe fn`: move the unsafe code into a block inside"));
    }
    if let Some(token) = &sig.abi {
        errors.add(token, format!("a {kind} cannot be an `extern` function: remove `extern`"));
    }
    if let Some(token) = &sig.variadic {
        errors.fatal(token, format!("a {kind} cannot be variadic"));
    }
}

fn generics(kind: Kind, function: &Function, errors: &mut Errors) {
    if kind == Kind::Helper {
        return;
    }
    for param in &function.sig.generics.params {
        let message = match param {
            GenericParam::Lifetime(_) => format!("a {kind} has no lifetime parameters: leave the lifetimes out"),
            _ => format!("a {kind} cannot be generic: the journal names its types, so write a {kind} for each type"),
        };
        errors.fatal(param, message);
    }
}

fn step_parameters(function: &Function, errors: &mut Errors) {
    let mut context = None;
    for param in &function.params {
        match &param.role {
            Role::WorkflowContext => errors.fatal(
                &param.ty,
                "a step cannot call steps, so it takes no `&WorkflowContext`: write `&StepContext`, or make this a `#[helper]`",
            ),
            Role::StepContext if context.replace(()).is_some() => {
                errors.fatal(&param.ty, "a second context: a step takes one `&StepContext`");
            }
            Role::StepContext => step_context(param, errors),
            Role::State => state(param, errors),
            Role::Argument => argument(param, errors),
        }
    }
}

fn step_context(param: &Parameter, errors: &mut Errors) {
    match shape::peel(&param.ty) {
        Type::Reference(reference) if reference.mutability.is_none() => {}
        _ => errors.fatal(&param.ty, "a step borrows its context: write `&StepContext`"),
    }
}

fn state(param: &Parameter, errors: &mut Errors) {
    let message = match shape::peel(&param.ty) {
        Type::Reference(reference) if reference.mutability.is_some() => {
            "state is shared by all steps, so it is never `&mut`: write `&T`"
        }
        Type::Reference(reference) => match shape::peel(&reference.elem) {
            Type::Slice(_) => "a slice cannot be given as state: write `&Vec<..>`, or better a type of its own",
            Type::Path(path) if path.path.is_ident("str") => {
                "`str` cannot be given as state: wrap it in a type of its own"
            }
            Type::ImplTrait(_) => "state is found by its type, which `impl Trait` does not name: write `&dyn Trait`",
            _ => return,
        },
        Type::ImplTrait(_) => "state is found by its type, which `impl Trait` does not name: write `&dyn Trait`",
        Type::TraitObject(_) => "a trait object needs a reference: write `&dyn Trait`",
        _ => return,
    };
    errors.fatal(&param.ty, message);
}

fn argument(param: &Parameter, errors: &mut Errors) {
    if !matches!(&param.pat, Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none()) {
        errors
            .fatal(&param.pat, "the journal keeps arguments by name: write a name here, and take it apart in the body");
    }
    if let Some(found) = shape::impl_trait_within(&param.ty) {
        return errors.fatal(found, "a step cannot be generic: name the type instead of `impl Trait`");
    }
    if let Type::Reference(reference) = shape::peel(&param.ty)
        && reference.mutability.is_some()
    {
        let message = if param.first {
            "a transactional step (a first parameter behind `&mut`) is not supported yet"
        } else {
            "an argument of a step is never `&mut`: take it by value and return what changed"
        };
        return errors.fatal(&param.ty, message);
    }
    let shape = Shape::of(&param.ty);
    if let Some(borrow) = shape::borrow_within(&shape.owned) {
        errors.fatal(
            borrow,
            "an attempt reads its arguments back from the journal, so nothing inside them is borrowed: \
             write the owned type (`&str`, `&T`, `&[T]` and `Option` of these may stand outermost)",
        );
    }
    if let Some(lifetime) = shape::lifetime_of(&param.ty) {
        errors.fatal(lifetime, "an argument is borrowed for the call only: leave the lifetime out");
    }
}

fn context_first(kind: Kind, function: &Function, errors: &mut Errors) {
    let mut params = function.params.iter();
    let write = "write `ctx: &WorkflowContext`";
    match params.next() {
        None => errors.fatal(&function.sig.ident, format!("a {kind} takes its context first: {write}")),
        Some(first) => {
            match shape::peel(&first.ty) {
                Type::Reference(reference) if !shape::is_context(&reference.elem) => {
                    errors.fatal(&first.ty, format!("a {kind} takes its context first: {write} before it"));
                }
                Type::Reference(reference) if reference.mutability.is_some() => {
                    errors.fatal(&first.ty, format!("a {kind} shares its context: {write}"));
                }
                Type::Reference(_) if shape::ends_with(&first.ty, "StepContext") => {
                    errors.fatal(&first.ty, format!("this is the context of a step: {write}"));
                }
                Type::Reference(_) => {}
                ty if shape::is_context(ty) => errors.fatal(ty, format!("a {kind} borrows its context: {write}")),
                ty => errors.fatal(ty, format!("a {kind} takes its context first: {write} before it")),
            }
            if !matches!(&first.pat, Pat::Ident(_) | Pat::Wild(_)) {
                errors.fatal(&first.pat, "the context needs a name: write `ctx`");
            }
        }
    }
    for param in params {
        if matches!(param.role, Role::WorkflowContext | Role::StepContext) {
            errors.fatal(&param.ty, format!("a second context: a {kind} takes one `&WorkflowContext`, first"));
        }
        if param.role == Role::State {
            errors.fatal(&param.pat, format!("a {kind} has no state: only a `#[step]` may reach outside"));
        }
    }
}

fn workflow_input(function: &Function, errors: &mut Errors) {
    for (at, param) in function.params.iter().enumerate().skip(1) {
        if param.role != Role::Argument {
            // Refused already: a second context, or state.
        } else if at > 1 {
            errors.fatal(&param.pat, "a workflow takes one input: put these into a struct");
        } else if let Some(found) = shape::impl_trait_within(&param.ty) {
            errors.fatal(found, "a workflow cannot be generic: name the type instead of `impl Trait`");
        } else if let Some(borrow) = shape::borrow_within(&param.ty) {
            errors
                .fatal(borrow, "a workflow owns its input, which is read back from the journal: write the owned type");
        }
    }
}

fn output(kind: Kind, function: &Function, errors: &mut Errors) {
    match function.returns.as_ref() {
        None => {
            let end = &function.sig.ident;
            errors.fatal(end, format!("a {kind} returns a `Result`: write `-> forge_wf::Result<()>`"));
        }
        Some(ty) if !shape::names_a_result(ty) => {
            let text = shape::readable(ty);
            errors.fatal(ty, format!("a {kind} returns a `Result`: write `forge_wf::Result<{text}>`"));
        }
        Some(ty) => {
            if let Some(found) = shape::impl_trait_within(ty) {
                errors.fatal(found, format!("a {kind} cannot be generic: name the type instead of `impl Trait`"));
            }
            if let Some(borrow) = shape::borrow_within(ty) {
                errors.fatal(
                    borrow,
                    "what is returned is kept in the journal, so it cannot be borrowed: return an owned value",
                );
            }
        }
    }
}
