//! [`RuntimeBuilder`]: the settings of a runtime, and what it checks before any work starts.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use super::connect::connect;
use super::definition::Registered;
use super::error::Error;
use super::runtime::Runtime;
use crate::engine::Engine;
use crate::engine::config::Config;
use crate::engine::definition::Registration;
use crate::engine::registry::{Registry, RegistryError};
use crate::engine::states::States;
use crate::store::Store;
use crate::store::address::{Address, IntoUrl, Opening};

/// The settings of a [`Runtime`]. Every one but the database has a default that suits most programs.
#[must_use = "a builder does nothing until `.build().await`"]
pub struct RuntimeBuilder {
    opening: Opening,
    store: Option<Arc<dyn Store>>,
    states: States,
    twice: Vec<&'static str>,
    extra: Vec<Registration>,
    config: Config,
    build_id: Option<String>,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Self {
            opening: Opening::at("sqlite:forge-wf.db"),
            store: None,
            states: States::default(),
            twice: Vec::new(),
            extra: Vec::new(),
            config: Config::default(),
            build_id: None,
        }
    }
}

impl RuntimeBuilder {
    /// The database: `sqlite:path/to/file.db` (created if it is not there) or `postgres://user@host/database`.
    /// Default: `sqlite:forge-wf.db` in the working directory.
    ///
    /// To put a backup in the place of a SQLite file, also under running workers, move it over the file in one step, and delete nothing
    /// after that: a `-wal` beside it may hold commits of the new file by then. Workers put the log of the former file aside.
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.opening.address = Address::Url(url.into());
        self
    }

    /// The database, at an address that `ask` returns: a `String`, or a `Result` with one.
    ///
    /// On PostgreSQL it is asked for each new connection, so a password or certificate may change under a running program:
    /// connections that are open go on, and each new one is opened with the address as it is then. The answer is waited for as
    /// long as for the connection, 10 s. It may come from any runtime of this process (the lease is renewed on one of its own),
    /// so `ask` must not rely on things of another runtime. When `ask` fails later, it is asked again as if the database gave no
    /// answer. On SQLite it is asked once.
    ///
    /// ```no_run
    /// # async fn read_password() -> std::io::Result<String> { Ok(String::new()) }
    /// # async fn example() -> Result<(), forge_wf::Error> {
    /// let runtime = forge_wf::Runtime::builder()
    ///     .database_with(|| async {
    ///         read_password().await.map(|password| format!("postgres://app:{password}@db/shop"))
    ///     })
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn database_with<F, U>(mut self, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = U> + Send + 'static,
        U: IntoUrl,
    {
        self.opening.address = Address::asked(ask);
        self
    }

    /// How many connections to PostgreSQL this worker may hold. Default 13, at least 6. A SQLite file has no such bound.
    ///
    /// Three are for the worker's lanes, one each for its lease and for hints; these stay open. What is left is for everything
    /// else, opened as it is needed and given back when it was idle for half a minute. While a connection gives no answer, one
    /// more is opened for a moment to ask the server about it; a server or role without room for that finds a dead connection
    /// later, after half a minute, when the server itself ends it.
    ///
    /// Where the server, the database or the role has room for fewer, the lanes, the lease and the hints come first: the pool of the
    /// rest gives back what it does not use, and goes on with what it gets. A limit of the role, the database or the server below six is
    /// an error of [`RuntimeBuilder::build`], unless a pooler stands between.
    pub fn connections(mut self, most: u32) -> Self {
        self.opening.connections = most;
        self
    }

    /// How long [`RuntimeBuilder::build`] waits for a PostgreSQL server that is not up yet: nobody listens at the address, its name
    /// is not known yet, the server is starting, or the database lets nobody in. It says so in the log once a second. What time does
    /// not change (a wrong password, a database that does not exist) is an error at once. Default: not at all.
    pub fn wait_for_database(mut self, most: Duration) -> Self {
        self.opening.wait = most;
        self
    }

    /// Uses this store instead of opening a database; for tests of stores.
    #[doc(hidden)]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// A value that steps take by `#[state]`, one for each type. For `&dyn Trait` give an `Arc<dyn Trait>`.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        if !self.states.add(value) {
            self.twice.push(std::any::type_name::<T>());
        }
        self
    }

    /// Registers a step or workflow by its type, as in `.register::<checkout>()`. Only needed on platforms where the
    /// linker drops what nothing calls; otherwise everything linked is registered already.
    pub fn register<D: Registered>(mut self) -> Self {
        self.extra.push(D::REGISTRATION);
        self
    }

    /// How many runs execute at once. A run that only waits does not count. Default 256.
    pub fn concurrency(mut self, turns: usize) -> Self {
        self.config.concurrency = turns;
        self
    }

    /// How many runs are in memory at once, those that only wait included. Default 10,000.
    pub fn max_resident(mut self, turns: usize) -> Self {
        self.config.max_resident = turns;
        self
    }

    /// How long this worker may go without renewing before others take its runs over. Default 15 s, at least three
    /// heartbeats.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// How often the lease is renewed. Default 5 s.
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.config.heartbeat = every;
        self
    }

    /// How often a worker looks for due runs and mail of other processes while it gets no hints from the database. Default
    /// 250 ms.
    pub fn poll_interval(mut self, every: Duration) -> Self {
        self.config.poll = every;
        self
    }

    /// Whether this worker takes the hints of others through the database (LISTEN on PostgreSQL, a look at the file's version
    /// on SQLite), so that it notices runs, events and child results of other processes at once. Default: yes.
    ///
    /// Without, it looks each `poll_interval`; nothing else changes. It gives hints all the same (NOTIFY, which any connection
    /// can carry), so workers with and without may share a database, and those with notice at once what the others do.
    ///
    /// Switch it off behind a connection pooler in transaction mode, which cannot carry LISTEN. Such a pooler must also keep
    /// prepared statements: PgBouncer does from version 1.21 on, with `max_prepared_statements` above 0. An older one only serves
    /// in session mode. A pooler that does not keep them is an error of [`RuntimeBuilder::build`].
    ///
    /// Behind any pooler forge-wf sets nothing on its connections, since other programs get them next. (It sends its settings
    /// with the message that opens a connection. A pooler refuses or ignores them there, and that is how it is noticed.) Its
    /// statements are written for plans that walk indexes; without these settings the server may choose other plans, which are
    /// as right and get slow as tables grow, and nothing bounds how long a statement may run. So give the settings to the role
    /// the pooler connects as, once:
    ///
    /// ```sql
    /// ALTER ROLE app SET plan_cache_mode = force_generic_plan;
    /// ALTER ROLE app SET enable_seqscan = off;
    /// ALTER ROLE app SET enable_hashjoin = off;
    /// ALTER ROLE app SET enable_mergejoin = off;
    /// ALTER ROLE app SET enable_bitmapscan = off;
    /// ALTER ROLE app SET jit = off;
    /// ALTER ROLE app SET statement_timeout = '60s';
    /// ALTER ROLE app SET idle_in_transaction_session_timeout = '10s';
    /// ```
    ///
    /// The log says at the first connection whether the plans are as they should be. Which connection gave no answer cannot be
    /// asked of the server through a pooler: a statement that is on its way when the connection to the pooler dies is given up
    /// after 70 s, an idle connection is found dead within 2 s, as without a pooler.
    pub fn notifications(mut self, yes: bool) -> Self {
        self.config.notifications = yes;
        self
    }

    /// How many entries a run's journal may have. A run that comes near it warns in the log; one that reaches it is blocked
    /// (`blocked_journal_limit`), since its journal would eat the memory of every worker that takes it over. Default 100,000.
    pub fn journal_limit(mut self, entries: usize) -> Self {
        self.config.journal_limit = entries;
        self
    }

    /// How many workers in a row may die while they execute a run without getting further. From the second on it is executed by a
    /// worker that executes nothing else if one is idle, and otherwise beside other runs, which are not counted if that worker dies;
    /// the last time it is executed alone. Beyond this it is not executed any more: it fails with code `poison`, what it did is undone, and a step that nobody
    /// knows the outcome of waits for an operator. Default 5.
    pub fn takeovers_max(mut self, deaths: u16) -> Self {
        self.config.takeovers_max = deaths.into();
        self
    }

    /// A run that only waits leaves memory after this long, and is rebuilt by replay when it is due; at once if half of
    /// `max_resident` is taken, or if it is known to be due later than that. Zero: at every wait, which is for tests. Default
    /// 10 s.
    pub fn park_for(mut self, wait: Duration) -> Self {
        self.config.park_for = wait;
        self
    }

    /// How long running steps are let finish that nobody waits for any more: at a shutdown, when their run is stopped, and, if they
    /// can be undone, when the workflow has dropped them. Default 10 s.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// How long a run may be due before its status says that no live worker can run it. Default 10 s.
    pub fn unserved_grace(mut self, grace: Duration) -> Self {
        self.config.unserved_grace = grace;
        self
    }

    /// How long a start waits for the database before it is an error. A start that was not sent by then is withdrawn; one that may
    /// have been sent is [`Error::StartUnanswered`]. Default 30 s.
    pub fn start_timeout(mut self, wait: Duration) -> Self {
        self.config.start_timeout = wait;
        self
    }

    /// Largest input, argument list, output or failure, in bytes of JSON. Default 4 MiB.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.config.limits.payload_bytes = bytes;
        self
    }

    /// Names this build. A run that was blocked by its code is tried again by every new build. Default: a hash of the
    /// running executable.
    pub fn build_id(mut self, build: impl Into<String>) -> Self {
        self.build_id = Some(build.into());
        self
    }

    /// Checks the definitions, opens the database (applying the migrations it lacks), registers as a worker and begins to
    /// serve.
    ///
    /// # Errors
    /// `Definitions` with all that is wrong at once (nothing registered, duplicates, state nobody gave);
    /// `Misconfigured` for settings and databases that cannot be used; `Store` if the schema is newer than this build.
    pub async fn build(mut self) -> Result<Runtime, Error> {
        self.check_settings()?;
        let registry =
            Registry::collect(&self.extra, &self.states).map_err(|RegistryError(wrong)| Error::Definitions(wrong))?;
        self.config.build = match self.build_id.take() {
            Some(build) => build.into(),
            None => tokio::task::spawn_blocking(executable_hash).await.unwrap_or_else(|_| Arc::from("unknown")),
        };
        let store = match self.store.take() {
            Some(store) => store,
            None => connect(self.opening).await?,
        };
        let engine = Engine::new(store, registry, self.states, self.config);
        let life = engine.register().await?;
        let serving = tokio::spawn(engine.clone().serve(life));
        Ok(Runtime::new(engine, serving))
    }

    fn check_settings(&self) -> Result<(), Error> {
        let config = &self.config;
        let wrong = if let Some(name) = self.twice.first() {
            format!("state of type {name} was given twice; give each type once, or wrap one in a type of its own")
        } else if config.concurrency == 0 || config.max_resident == 0 {
            "concurrency and max_resident must be at least 1".into()
        } else if config.heartbeat.is_zero() || config.lease < config.heartbeat.saturating_mul(2) {
            format!(
                "a lease of {:?} with a heartbeat of {:?} would be lost by one late renewal; make the lease at least \
                 three heartbeats",
                config.lease, config.heartbeat
            )
        } else if config.poll.is_zero() {
            "the poll interval must not be zero".into()
        } else if config.journal_limit < 10 {
            "a journal limit below 10 entries leaves no room for a workflow".into()
        } else if config.limits.payload_bytes < 1024 {
            "a payload limit below 1024 bytes leaves no room for failures".into()
        } else {
            return Ok(());
        };
        Err(Error::Misconfigured(wrong))
    }
}

/// The xxh3 of a file, which may be large.
fn hash_of(file: PathBuf) -> std::io::Result<u64> {
    let (mut file, mut hash, mut piece) = (File::open(file)?, Xxh3::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.digest()),
            bytes => hash.update(&piece[..bytes]),
        }
    }
}

/// The xxh3 of the running executable: the same file is the same build, on every machine.
fn executable_hash() -> Arc<str> {
    static HASH: OnceLock<Arc<str>> = OnceLock::new();
    HASH.get_or_init(|| match std::env::current_exe().and_then(hash_of) {
        Ok(hash) => format!("{hash:016x}").into(),
        Err(error) => {
            tracing::warn!(%error, "the executable cannot be read, so this build has no id; set `build_id`");
            "unknown".into()
        }
    })
    .clone()
}
