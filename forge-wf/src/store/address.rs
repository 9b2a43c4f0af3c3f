//! Where a database is, and how a program opens it.

use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::error::BoxError;
use crate::model::panic::caught;

/// Returns the address for one new connection.
pub type AskUrl = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>> + Send + Sync>;

/// Where a database is.
#[derive(Clone)]
pub enum Address {
    /// The same address for every connection.
    Url(String),
    /// An address that is asked for before each new connection, so that a password may change meanwhile.
    Asked(AskUrl),
}

impl Address {
    /// An address that `ask` returns.
    pub fn asked<F, U>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = U> + Send + 'static,
        U: IntoUrl,
    {
        Self::Asked(Arc::new(move || {
            let url = ask();
            Box::pin(async move { url.await.into_url() })
        }))
    }

    /// The address as it is now.
    ///
    /// # Errors
    /// What the program's own function returned, or that it panicked.
    pub async fn now(&self) -> Result<String, BoxError> {
        match self {
            Self::Url(url) => Ok(url.clone()),
            Self::Asked(ask) => match caught(async { ask().await }).await {
                Ok(address) => address,
                Err(panic) => {
                    Err(format!("the function that gives the address of the database panicked: {panic}").into())
                }
            },
        }
    }
}

impl fmt::Debug for Address {
    /// Never the address itself: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url(_) => "Url",
            Self::Asked(_) => "Asked",
        })
    }
}

/// What a function that returns an address may return: a `String` or `&'static str`, or a `Result` with one of them.
pub trait IntoUrl {
    /// The address, or why there is none.
    ///
    /// # Errors
    /// What the program's own function returned.
    fn into_url(self) -> Result<String, BoxError>;
}

impl IntoUrl for String {
    fn into_url(self) -> Result<String, BoxError> {
        Ok(self)
    }
}

impl IntoUrl for &'static str {
    fn into_url(self) -> Result<String, BoxError> {
        Ok(self.into())
    }
}

impl<U: Into<String>, E: Display> IntoUrl for Result<U, E> {
    fn into_url(self) -> Result<String, BoxError> {
        self.map(Into::into).map_err(|error| error.to_string().into())
    }
}

/// How a program opens a database.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Where it is.
    pub address: Address,
    /// How many connections the program may hold to a server. A file has none.
    pub connections: u32,
    /// How long to wait for a server that is not up yet.
    pub wait: Duration,
}

impl Opening {
    /// How many connections a program holds to a server unless it says otherwise.
    pub const CONNECTIONS_DEFAULT: u32 = 13;
    /// The fewest connections a worker works with: three lanes, the lease, the hints, and one for everything else.
    pub const CONNECTIONS_MIN: u32 = 6;

    /// The default way to open the database at `url`.
    pub fn at(url: impl Into<String>) -> Self {
        Self::of(Address::Url(url.into()))
    }

    /// The default way to open the database at `address`.
    pub fn of(address: Address) -> Self {
        Self { address, connections: Self::CONNECTIONS_DEFAULT, wait: Duration::ZERO }
    }
}
