//! Rows that SQLite cannot read: whether a row is at fault, or the file.
//!
//! Takes a run whose journal or mail could not be read; tells whether it alone is at fault. Writes nothing.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Row, query};
use uuid::Uuid;

use super::error::{code, sorted};
use super::mail;
use crate::model::RunId;
use crate::store::StoreError;

const CALL: &str = "find_unreadable";

/// SQLite's primary result codes for a page that cannot be read, or makes no sense.
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;

/// Whether this may be about the very rows that were asked for.
fn accuses_a_row(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(IOERR | CORRUPT))
}

/// Whether this answer may be about the very rows of a statement: they cannot be read, or a trigger refuses to change them.
pub(super) fn may_be_the_row(error: &StoreError) -> bool {
    match error {
        StoreError::Refused { .. } => true,
        StoreError::Unavailable { source, .. } => source.downcast_ref::<sqlx::Error>().is_some_and(accuses_a_row),
        _ => false,
    }
}

/// What SQLite says of this run's journal and mail, if it cannot read them while it can read another run's journal; each on a
/// connection of its own, which has kept no page in memory.
pub(super) async fn find(pool: &SqlitePool, run: RunId, generation: i32) -> Result<Option<String>, StoreError> {
    let options = pool.connect_options();
    let mut connection = options.connect().await.map_err(sorted(CALL))?;
    let Some(error) = try_to_read(&mut connection, run, generation).await else { return Ok(None) };
    if !accuses_a_row(&error) {
        return Err(sorted(CALL)(error));
    }
    let mut connection = options.connect().await.map_err(sorted(CALL))?;
    match read_another(&mut connection, run).await {
        true => Ok(Some(error.to_string())),
        false => Err(sorted(CALL)(error)),
    }
}

/// Why it cannot be read, if it cannot. Rows are looked at one by one and forgotten, however many there are.
async fn try_to_read(connection: &mut SqliteConnection, run: RunId, generation: i32) -> Option<sqlx::Error> {
    let journal = query(include_str!("sql/load_journal.sql")).bind(run.0).bind(generation);
    for query in [journal, mail::load_query(mail::LOAD, run)] {
        let mut rows = query.fetch(&mut *connection);
        loop {
            match rows.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Some(error),
            }
        }
    }
    None
}

/// Whether a part of some other run's journal can be read: one that stands before or behind this one's in the order of ids.
async fn read_another(connection: &mut SqliteConnection, run: RunId) -> bool {
    let others = query(include_str!("sql/others.sql")).bind(run.0).fetch_all(&mut *connection).await;
    for other in others.unwrap_or_default() {
        let (Ok(other), Ok(generation)) = (other.try_get::<Uuid, _>(0), other.try_get::<i32, _>(1)) else { continue };
        let part = query(include_str!("sql/part_of_journal.sql")).bind(other).bind(generation);
        if part.fetch_all(&mut *connection).await.is_ok_and(|rows| !rows.is_empty()) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use sqlx::{Connection, query};

    use crate::db::sqlite::SqliteStore;
    use crate::model::State;
    use crate::store::conformance::support::*;
    use crate::store::{Batch, Birth, Store};

    /// A text that fills pages of its own.
    fn long(word: &str) -> String {
        format!("\"{}\"", word.repeat(20_000 / word.len()))
    }

    /// Breaks the chain of pages that hold this word: the page that follows the first one is none.
    fn break_pages(path: &Path, word: &str) {
        const PAGE: usize = 4_096;
        let mut bytes = std::fs::read(path).unwrap();
        let page = bytes
            .chunks(PAGE)
            .position(|page| page[4..4 + 2 * word.len()].windows(word.len()).any(|part| part == word.as_bytes()));
        let at = page.expect("a page that is full of the word") * PAGE;
        bytes[at..at + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        std::fs::write(path, bytes).unwrap();
    }

    #[tokio::test]
    async fn a_damaged_page_of_a_journal_or_of_mail_is_told_from_a_damaged_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let open = async || SqliteStore::open(&path.display().to_string()).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(open().await);
        // Some runs before it and some behind it: SQLite passes long rows on its way to those that stand near.
        let mut runs: Vec<_> = (0..200).map(|_| bound()).collect();
        runs[100].input = json(&long("blotted"));
        let (fine, completed, id, with_mail) = (runs[0].id, runs[50].id, runs[100].id, runs[199].id);
        let births = runs.into_iter().map(|run| Birth { run, image: executing() }).collect();
        Hand::new(&store).await.commit(Batch { births, ..Batch::default() }).await;
        for body in ["1".to_owned(), long("smudged"), "3".to_owned()] {
            store.send_mail(&event(with_mail, &body)).await.unwrap();
        }
        store.close().await;
        // All of it goes from the log to its pages.
        let mut other = sqlx::SqliteConnection::connect(&path.display().to_string()).await.unwrap();
        let end = "INSERT INTO forge_wf_journal (args_hash, at, run_id, generation, n, scope, attempts, kind, state, key, output)
                   SELECT 0, 0, id, 0, 0, 0, 0, 9, 1, 'end', ?2 FROM forge_wf_runs WHERE id = ?1";
        query(end).bind(completed.0).bind(long("scorched")).execute(&mut other).await.unwrap();
        let row = "UPDATE forge_wf_runs SET state = 10, phase = 2, ended_at = 0, worker_id = NULL WHERE id = ?1";
        query(row).bind(completed.0).execute(&mut other).await.unwrap();
        query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        break_pages(&path, "blotted");
        break_pages(&path, "smudged");
        break_pages(&path, "scorched");

        let store: Arc<dyn Store> = Arc::new(open().await);
        let said = store.find_unreadable(id, 0).await.unwrap();
        assert!(said.as_ref().is_some_and(|said| said.contains("malformed")), "{said:?}");
        let said = store.find_unreadable(with_mail, 0).await.unwrap();
        assert!(said.as_ref().is_some_and(|said| said.contains("malformed")), "{said:?}");
        assert_eq!(store.find_unreadable(fine, 0).await.unwrap(), None);
        let seen = view(&store, completed).await;
        assert_eq!((seen.state, seen.output), (State::Completed, None), "its row can be read");
        assert!(seen.unread.as_ref().is_some_and(|said| said.contains("malformed")), "{:?}", seen.unread);
        assert_eq!(view(&store, fine).await.unread, None);
        store.close().await;
    }
}
