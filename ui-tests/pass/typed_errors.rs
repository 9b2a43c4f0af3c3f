use forge_wf::prelude::*;

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum CardError {
    #[error("declined: {0}")]
    Declined(String),
    #[error("try again")]
    Busy,
}

impl CardError {
    fn passes(&self) -> bool {
        matches!(self, Self::Busy)
    }
}

type CardResult<T> = std::result::Result<T, CardError>;

#[step(retry(max = 5, backoff = "200ms..30s", jitter = 0.2, if = CardError::passes))]
pub async fn charge(cents: u64) -> std::result::Result<u64, CardError> {
    if cents > 100 { Err(CardError::Declined(cents.to_string())) } else { Ok(cents) }
}

#[step(name = "refund-card", marker = Refund)]
pub async fn refund(cents: u64) -> CardResult<()> {
    let _ = cents;
    Err(CardError::Busy)
}

#[workflow]
pub async fn checkout(ctx: &WorkflowContext, cents: u64) -> Result<u64> {
    use self::Refund as refund_type;
    let _ = std::any::type_name::<refund_type>();
    match charge(ctx, cents).attempt_timeout(std::time::Duration::from_secs(1)).retry(Retry::new(2)).await {
        Ok(cents) => Ok(cents),
        Err(StepError::Failed(CardError::Declined(_))) => Ok(0),
        Err(other) => Err(other.into()),
    }
}

fn main() {}
