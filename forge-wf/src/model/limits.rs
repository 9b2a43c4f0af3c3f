//! Every bound in one place, with its default.

/// Bounds on what comes from outside. What exceeds one is a typed error, never a cut-off value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload (an input, a step's arguments or output), in bytes of JSON text. Default 4 MiB.
    pub payload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_bytes: 4 << 20 }
    }
}

/// Deepest nesting of a payload: serde_json refuses to read the 128th level.
pub const NESTING_MAX: usize = 127;
/// Longest wait of a durable timer, ten years: more is a slip of the pen, and would not fit every clock's arithmetic.
pub const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(3_650 * 86_400);
/// Longest name of a workflow, step or queue, in bytes: a journal key must fit an index row.
pub const NAME_BYTES_MAX: usize = 200;
/// Longest run key, in bytes: it must fit an index row beside the workflow's name.
pub const KEY_BYTES_MAX: usize = 1_000;
/// Operations one commit carries at the most; larger batches got slower when measured.
pub const BATCH_OPERATIONS_MAX: usize = 300;
/// Payload bytes one commit carries at the most (one larger operation still travels alone).
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Payload bytes that one run writes in one piece at the most (one larger entry still is a piece of its own). A server has a bound on
/// what one statement carries, 1 GB for PostgreSQL, and a run may begin hundreds of children at once.
pub const FLUSH_BYTES_MAX: usize = 16 << 20;

/// Bytes of journals that a worker holds at a time before their runs have replayed them; one that is longer is loaded alone.
pub const LOAD_BYTES_MAX: usize = 64 << 20;

/// Mails of one run (or events of one name) that are held in memory or read at a time; the rest waits in the inbox.
pub const MAIL_PAGE: usize = 256;
/// Bytes of payload after which such a page ends, before it has that many mails. The mail that takes it there is still part of
/// it, so no page of something is empty.
pub const MAIL_PAGE_BYTES: usize = 4 << 20;

/// Checks a name or key that comes from outside: not empty, not too long, no NUL (PostgreSQL cannot keep it in text).
///
/// # Errors
/// A sentence that says what is wrong with `what`.
pub fn check_name(what: &'static str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.is_empty() {
        Err(format!("the {what} is empty; give it at least one character"))
    } else if text.len() > bytes_max {
        Err(format!("the {what} is {} bytes long; at most {bytes_max} are allowed", text.len()))
    } else if text.contains('\0') {
        Err(format!("the {what} {text:?} contains a NUL character, which cannot be stored; remove it"))
    } else {
        Ok(())
    }
}
