//! What a worker does behind PgBouncer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use forge_wf::{Client, Error};
use forge_wf_tests::pgbouncer::PgBouncer;
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, eventually};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, raw_sql};

use crate::quick;

/// Other programs that use the pooler, until it is dropped.
struct Load {
    ends: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Load {
    fn through(url: &str) -> Self {
        let (ends, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for n in 0..3 {
            let (ends, done, url) = (ends.clone(), done.clone(), url.to_owned());
            tokio::spawn(async move {
                // PgBouncer refuses settings that it does not know.
                let options: PgConnectOptions = url.parse().expect("an address");
                let options = options.extra_float_digits(None::<i8>);
                let mut connection = options.connect().await.expect("a connection through the pooler");
                while !ends.load(Ordering::SeqCst) {
                    let sleep = ["SELECT pg_sleep(0.001)", "SELECT pg_sleep(0.002)", "SELECT 1"][n];
                    raw_sql(sleep).execute(&mut connection).await.expect("an answer");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { ends, done }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
    }
}

/// Builds ten workers, two at a time, the latter five pairs beside other programs; all are refused, and told why.
async fn is_refused(settings: &str) {
    let database = Database::postgres().await;
    let bouncer = PgBouncer::before(database.url(), &[settings, PgBouncer::keeps_no_statements()].join("\n")).await;
    let mut load = None;
    for pair in 0..5 {
        if pair == 2 {
            let started = load.insert(Load::through(bouncer.url()));
            eventually("work of other programs", async || (started.done() > 20).then_some(())).await;
        }
        let build = || quick(&database).database(bouncer.url()).notifications(false).build();
        for told in <[_; 2]>::from(tokio::join!(build(), build())) {
            let told = told.map(drop).unwrap_err();
            assert!(
                matches!(&told, Error::Misconfigured(what) if what.contains("PgBouncer 1.21 or newer")),
                "{settings}: {told}"
            );
        }
    }
    let told = Client::connect(bouncer.url()).await.map(drop).unwrap_err();
    assert!(told.to_string().contains("PgBouncer 1.21 or newer"), "{told}");
    drop(load);
    let tables = database.texts("", "SELECT 'any' FROM pg_namespace WHERE nspname = 'forge_wf'").await;
    assert!(tables.is_empty(), "nothing was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(any(skip_postgres, skip_pgbouncer), ignore = "FORGE_WF_SKIP_POSTGRES is set, or there is no PgBouncer")]
async fn a_pooler_in_transaction_mode_that_does_not_keep_statements_is_refused_each_time() {
    is_refused("pool_mode = transaction").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(any(skip_postgres, skip_pgbouncer), ignore = "FORGE_WF_SKIP_POSTGRES is set, or there is no PgBouncer")]
async fn one_that_takes_its_connections_in_turn_is_refused_each_time() {
    is_refused("pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(any(skip_postgres, skip_pgbouncer), ignore = "FORGE_WF_SKIP_POSTGRES is set, or there is no PgBouncer")]
async fn one_in_statement_mode_is_refused_each_time() {
    is_refused("pool_mode = statement").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(any(skip_postgres, skip_pgbouncer), ignore = "FORGE_WF_SKIP_POSTGRES is set, or there is no PgBouncer")]
async fn a_pooler_in_session_mode_serves_a_worker() {
    let database = Database::postgres().await;
    for settings in ["pool_mode = session", "pool_mode = session\nignore_startup_parameters = options"] {
        let bouncer = PgBouncer::before(database.url(), settings).await;
        let load = Load::through(bouncer.url());
        eventually("work of other programs", async || (load.done() > 20).then_some(())).await;
        let rt = quick(&database).lease(Duration::from_secs(60)).database(bouncer.url()).build().await.unwrap();
        assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
        rt.shutdown().await;
    }
}
