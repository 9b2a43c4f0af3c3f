//! A URL becomes a store: the only place outside `db` that names a backend.

use std::sync::Arc;

use super::error::Error;
use crate::store::Store;
use crate::store::address::Opening;

/// Opens the database, applying the migrations it lacks.
///
/// `postgres://` and `postgresql://` mean PostgreSQL; `sqlite:` and plain paths mean a SQLite file, which is
/// created if it is not there. An address that is asked for is asked for once to see which of them it is; PostgreSQL asks
/// again for each connection.
///
/// # Errors
/// `Misconfigured` with what to change; `Store` if the schema is newer than this build.
pub(crate) async fn connect(opening: Opening) -> Result<Arc<dyn Store>, Error> {
    let url = opening.address.now().await.map_err(|error| {
        Error::Misconfigured(format!("the program's function that returns the address of the database failed: {error}"))
    })?;
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("postgres" | "postgresql") => postgres(opening).await,
        Some("sqlite") => sqlite(&url).await,
        // A drive letter of Windows is no scheme.
        Some(other) if url.contains("://") && other.len() > 1 => Err(Error::Misconfigured(format!(
            "{other}:// is not a database forge-wf knows; use postgres://user@host/database or sqlite:path/to/file.db"
        ))),
        _ if url.is_empty() => Err(Error::Misconfigured(
            "the database URL is empty; use postgres://user@host/database or sqlite:path/to/file.db".into(),
        )),
        _ => sqlite(&format!("sqlite:{url}")).await,
    }
}

#[cfg(feature = "sqlite")]
async fn sqlite(url: &str) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(crate::db::sqlite::SqliteStore::open(url).await?))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_: &str) -> Result<Arc<dyn Store>, Error> {
    Err(Error::Misconfigured("this build has no SQLite: turn on the feature `sqlite` of forge-wf".into()))
}

#[cfg(feature = "postgres")]
async fn postgres(opening: Opening) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(crate::db::postgres::PgStore::open(opening).await?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: Opening) -> Result<Arc<dyn Store>, Error> {
    Err(Error::Misconfigured("this build has no PostgreSQL: turn on the feature `postgres` of forge-wf".into()))
}
