//! SQLite keeps every promise of the store.
#![cfg(all(feature = "sqlite", feature = "testing"))]

use std::sync::Arc;

use forge_wf::db::sqlite::SqliteStore;
use forge_wf::store::Store;

/// A store over an empty file; the directory goes when the test ends.
async fn fresh() -> (Arc<dyn Store>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let store = SqliteStore::open(&format!("sqlite:{}", path.display())).await.unwrap();
    (Arc::new(store), directory)
}

forge_wf::conformance_suite!(fresh);
