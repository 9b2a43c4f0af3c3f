//! What an operator, or a parent, asks of a run: the body of that mail. Pure.

use serde::{Deserialize, Serialize};

use crate::model::{Failure, FailureKind, Payload};
use crate::store::{MailKind, NewMail};

/// The body of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who gave it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The call it is about, as in `step:charge#0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// What to take that as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
}

/// As what an operator takes an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It is not undone, and need not be.
    Skipped,
    /// It was undone by hand.
    Done,
}

impl Order {
    /// What this mail asks for.
    pub fn of(mail: &NewMail) -> Self {
        let body = mail.body.as_ref().and_then(|body: &Payload| body.decode::<Self>().ok());
        body.unwrap_or_else(|| Self { who: mail.name.to_string(), ..Self::default() })
    }

    /// The failure of a run that ends because of this order.
    pub fn failure(&self, kind: MailKind) -> Failure {
        let (what, code) = match kind {
            MailKind::Kill => ("killed", "killed"),
            MailKind::Retire => ("retired", "retired"),
            _ => ("cancelled", "cancelled"),
        };
        let by = if self.who.is_empty() { String::new() } else { format!(" by {}", self.who) };
        let why = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        Failure::permanent(format!("{what}{by}{why}")).of_kind(FailureKind::Cancelled).with_code(code)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::RunId;

    #[test]
    fn an_order_says_who_and_why_and_one_without_a_body_names_its_sender() {
        let mail = |body: Option<&str>| NewMail {
            id: Uuid::nil(),
            run: RunId::new(),
            kind: MailKind::Cancel,
            name: "parent".into(),
            body: body.map(Payload::from_json_text),
        };
        let order = Order::of(&mail(Some(r#"{"who":"ada","reason":"fraud"}"#)));
        assert_eq!(order.failure(MailKind::Cancel).message(), "cancelled by ada: fraud");
        assert_eq!(Order::of(&mail(None)).failure(MailKind::Kill).message(), "killed by parent");
    }
}
