//! What a worker does while its connections to PostgreSQL are bad, few, or lead through a pooler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use forge_wf::store::StoreError;
use forge_wf::store::conformance::support::{checkout, event, start, worker};
use forge_wf::testing::open_store;
use forge_wf::{Client, Error, RuntimeBuilder};
use forge_wf_tests::proxy::{Proxy, free_port, through};
use forge_wf_tests::waiting::*;
use forge_wf_tests::workflows::*;
use forge_wf_tests::{Database, eventually};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::quick;

/// Runs statements on a connection of its own.
async fn exec(url: &str, sql: impl Into<String>) {
    let mut connection = PgConnection::connect(url).await.expect("the database of this test");
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut connection).await.expect("a good statement");
    connection.close().await.expect("closed");
}

async fn number(url: &str, sql: impl Into<String>) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("the database of this test");
    sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_one(&mut connection).await.expect("one number")
}

/// The name of the database, which serves as that of a role too.
fn name(database: &Database) -> &str {
    database.url().rsplit_once('/').expect("an address with a database").1
}

/// Makes a role that may do all in this database, and returns its address.
async fn role(database: &Database, options: &str) -> String {
    let name = name(database);
    exec(database.url(), format!("CREATE ROLE {name} LOGIN {options}; GRANT CREATE ON DATABASE {name} TO {name}"))
        .await;
    database.url().replace("postgres@", &format!("{name}@"))
}

fn at(url: &str, database: &Database) -> RuntimeBuilder {
    quick(database).database(url)
}

/// A database on PostgreSQL, a test at a time: they measure, and need many connections.
async fn alone() -> (tokio::sync::MutexGuard<'static, ()>, Database) {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let turn = TURN.lock().await;
    (turn, Database::postgres().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn connections_that_a_server_made_read_only_are_not_kept() {
    let (_turn, database) = alone().await;
    let (url, name) = (database.url(), name(&database));
    let rt = quick(&database).lease(Duration::from_secs(60)).build().await.unwrap();
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    let read_only = |yes| format!("ALTER DATABASE {name} SET default_transaction_read_only = {yes}");
    exec(url, read_only("on")).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    exec(url, cut).await;
    // A start and a keyed start, so that a lane and the pool have met the server as it is now.
    let client = rt.client();
    let waiting = tokio::spawn({
        let rt = rt.client();
        async move { rt.start(three, Job::of(1)).await?.result().await }
    });
    eventually("a refusal", async || client.start(three, Job::of(1)).key("k").await.is_err().then_some(())).await;
    // By way of a database in which one may write.
    let elsewhere = url.replace(name, "postgres");
    exec(&elsewhere, read_only("off")).await;
    assert_eq!(waiting.await.unwrap().unwrap(), 4, "what was on its way");
    let again = eventually("a start", async || client.start(three, Job::of(1)).key("k").await.ok()).await;
    assert_eq!(again.result().await.unwrap(), 4);
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_worker_built_on_a_read_only_server_is_told_so() {
    let (_turn, database) = alone().await;
    let (url, name) = (database.url(), name(&database));
    open_store(url).await.unwrap().close().await;
    exec(url, format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let told = quick(&database).build().await.unwrap_err();
    assert!(matches!(&told, Error::Misconfigured(what) if what.contains("is read-only")), "{told}");
    // One that only reads is content.
    assert!(Client::connect(url).await.unwrap().unserved().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn what_loses_a_conflict_is_repeated_before_its_caller_hears_of_it() {
    let (_turn, database) = alone().await;
    let store = open_store(database.url()).await.unwrap();
    let run = start(&store, checkout()).await;
    // The first two fail; numbers of a sequence are not given back.
    exec(
        database.url(),
        "CREATE SEQUENCE tries;
         CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('tries') <= 2 THEN RAISE 'try again' USING ERRCODE = '40001'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER conflict BEFORE INSERT ON forge_wf.inbox FOR EACH ROW EXECUTE FUNCTION conflict()",
    )
    .await;
    store.send_mail(&event(run, "1")).await.unwrap();
    assert_eq!(number(database.url(), "SELECT last_value FROM tries").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn parameters_that_reached_another_statement_are_not_blamed_on_the_data() {
    let (_turn, database) = alone().await;
    let store = open_store(database.url()).await.unwrap();
    let run = start(&store, checkout()).await;
    exec(
        database.url(),
        "CREATE FUNCTION mix() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE 'incorrect binary data format in bind parameter 3' USING ERRCODE = '22P03';
         END $$;
         CREATE TRIGGER mix BEFORE INSERT ON forge_wf.inbox FOR EACH ROW EXECUTE FUNCTION mix()",
    )
    .await;
    let told = store.send_mail(&event(run, "1")).await.unwrap_err();
    let StoreError::Unavailable { source, .. } = &told else { panic!("{told:?}") };
    assert!(source.to_string().contains("a connection pooler in transaction or statement mode"), "{source}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_firewall_that_forgot_all_connections_costs_seconds() {
    let (_turn, database) = alone().await;
    let proxy = Proxy::to(database.url()).await;
    let rt = at(proxy.url(), &database).lease(Duration::from_secs(60)).build().await.unwrap();
    let waiting = rt.start(approvals, 1).await.unwrap();
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    let client = Client::connect(proxy.url()).await.unwrap();
    client.unserved().await.unwrap();
    // Connections that were just used, and those that were idle for a while.
    for idle in [Duration::ZERO, Duration::from_millis(1_500)] {
        tokio::time::sleep(idle).await;
        proxy.fall_silent();
        let begun = Instant::now();
        assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
        let keyed = rt.start(three, Job::of(1)).key(format!("after {idle:?}")).await.unwrap();
        assert_eq!(keyed.result().await.unwrap(), 4);
        // By far less than a lost answer used to cost, by far more than a slow machine needs.
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    }
    let begun = Instant::now();
    proxy.fall_silent();
    client.send_event(waiting.id(), Approved { by: "Ada".into() }).await.expect("sent on another connection");
    assert_eq!(waiting.result().await.unwrap(), ["Ada"]);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_statement_that_is_only_slow_is_not_given_up() {
    let (_turn, database) = alone().await;
    let proxy = Proxy::to(database.url()).await;
    let store = open_store(proxy.url()).await.unwrap();
    let run = start(&store, checkout()).await;
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE forge_wf.inbox").execute(&mut other).await.unwrap();
    let sending = tokio::spawn(async move { store.send_mail(&event(run, "1")).await });
    let waits = "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let first = eventually("a wait", async || Some(number(database.url(), waits).await).filter(|pid| *pid > 0)).await;
    // The server is asked about it, once and again.
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '-- is_idle%' \
                 AND state = 'idle' AND state_change > backend_start + interval '500 milliseconds'";
    eventually("questions about it", async || (number(database.url(), asked).await > 0).then_some(())).await;
    assert_eq!(number(database.url(), waits).await, first, "it is the same statement that waits");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    sending.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn two_workers_with_six_connections_each_share_a_role_with_twelve() {
    let (_turn, database) = alone().await;
    let url = role(&database, "CONNECTION LIMIT 12").await;
    let first = at(&url, &database).connections(6).build().await.unwrap();
    let second = at(&url, &database).connections(6).build().await.unwrap();
    let mut runs = Vec::new();
    for n in 0..40 {
        for rt in [&first, &second] {
            runs.push(rt.start(parent, Job::of(n)).key(format!("{n}")).await.unwrap());
        }
    }
    for run in &runs {
        run.result().await.unwrap();
    }
    let open = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", name(&database));
    assert!(number(database.url(), open).await <= 12);
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn fewer_connections_than_a_worker_needs_are_an_error_that_says_how_many_it_needs() {
    let (_turn, database) = alone().await;
    let told = quick(&database).connections(5).build().await.unwrap_err();
    assert!(told.to_string().contains("5 connections to PostgreSQL are too few; allow at least 6"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_worker_waits_for_a_server_that_is_not_up_yet() {
    let (_turn, database) = alone().await;
    let port = free_port().await;
    let url = through(database.url(), port);
    let told = at(&url, &database).build().await.unwrap_err();
    assert!(told.to_string().contains("cannot be reached"), "{told}");
    let building = tokio::spawn(at(&url, &database).wait_for_database(Duration::from_secs(600)).build());
    // First nobody listens there, then something that hangs up.
    let other = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    for _ in 0..2 {
        drop(other.accept().await.unwrap());
        assert!(!building.is_finished());
    }
    drop(other);
    let _up = Proxy::at(database.url(), port).await;
    let rt = building.await.unwrap().unwrap();
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn what_time_does_not_change_is_not_waited_for() {
    let (_turn, database) = alone().await;
    let nowhere = format!("{}_nowhere", database.url());
    let building = at(&nowhere, &database).wait_for_database(Duration::from_secs(600)).build();
    let told = tokio::time::timeout(Duration::from_secs(60), building).await.expect("an answer at once").unwrap_err();
    assert!(told.to_string().contains("there is no database"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_password_that_changes_is_asked_for_with_each_connection() {
    let (_turn, database) = alone().await;
    // scripts/postgres has the server ask this role for a password.
    let role = "forge_wf_password";
    exec(
        database.url(),
        format!(
            "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
             ALTER ROLE {role} PASSWORD 'first'; GRANT CREATE ON DATABASE {} TO {role}",
            name(&database)
        ),
    )
    .await;
    let password = Arc::new(std::sync::Mutex::new("first"));
    let address = {
        let (password, url) = (password.clone(), database.url().to_owned());
        move || {
            let url = url.replace("postgres@", &format!("{role}:{}@", password.lock().unwrap()));
            async move { url }
        }
    };
    let rt = quick(&database).lease(Duration::from_secs(60)).database_with(address.clone()).build().await.unwrap();
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    *password.lock().unwrap() = "second";
    exec(
        database.url(),
        format!(
            "ALTER ROLE {role} PASSWORD 'second';
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        ),
    )
    .await;
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    let client = Client::connect_with(address).await.unwrap();
    assert_eq!(client.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_of_a_file_is_asked_for_once_and_a_failure_to_tell_is_told() {
    let database = Database::sqlite();
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, url) = (asked.clone(), database.url().to_owned());
    let address = move || {
        count.fetch_add(1, Ordering::SeqCst);
        let url = url.clone();
        async move { Ok::<_, std::io::Error>(url) }
    };
    let rt = quick(&database).database_with(address).build().await.unwrap();
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    rt.shutdown().await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let fails = || async { Err::<String, _>(std::io::Error::other("the vault is sealed")) };
    let told = quick(&database).database_with(fails).build().await.unwrap_err();
    assert!(told.to_string().contains("the vault is sealed"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn nothing_is_set_on_a_connection_that_a_pooler_shares() {
    let (_turn, database) = alone().await;
    open_store(database.url()).await.unwrap().close().await;
    exec(
        database.url(),
        "CREATE TABLE seen (settings text);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO seen VALUES (concat_ws(' ', TG_TABLE_NAME, current_setting('enable_seqscan'), current_setting('plan_cache_mode'),
                 current_setting('jit'), current_setting('statement_timeout')));
             RETURN NEW;
         END $$;
         CREATE TRIGGER see BEFORE INSERT ON forge_wf.journal FOR EACH ROW EXECUTE FUNCTION see()",
    )
    .await;
    let pooler = Proxy::like_a_pooler(database.url()).await;
    let rds_proxy = Proxy::like_rds_proxy(database.url()).await;
    for (url, seen) in [
        (database.url(), "journal off force_generic_plan off 1min"),
        (pooler.url(), "journal on auto on 0"),
        (rds_proxy.url(), "journal on auto on 0"),
    ] {
        exec(database.url(), "TRUNCATE seen").await;
        let rt = at(url, &database).build().await.unwrap();
        assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
        let found = database.texts("", "SELECT DISTINCT settings FROM seen").await;
        assert_eq!(found, [seen]);
        rt.shutdown().await;
    }
    assert!(pooler.opened() > 1 && rds_proxy.opened() > 1, "connections were opened on that way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn the_pool_takes_the_connections_that_lanes_lease_and_hints_leave() {
    let (_turn, database) = alone().await;
    let url = role(&database, "CONNECTION LIMIT 7").await;
    let store = open_store(&url).await.unwrap();
    let me = worker(Duration::from_secs(60));
    store.register_worker(&me).await.unwrap();
    let me = me.id;
    // The pool, which may open eight, has all seven.
    let mut other = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE forge_wf.inbox").execute(&mut other).await.unwrap();
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.unnoticed_mail(me, &[]).await })
        })
        .collect();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let full = async || (number(database.url(), waiting).await == 7).then_some(());
    eventually("a pool that has taken all", full).await;
    let renewal = tokio::spawn({
        let store = store.clone();
        async move { store.renew_lease(me).await }
    });
    let hints = tokio::spawn({
        let store = store.clone();
        async move { store.wait_for_hint().await }
    });
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    renewal.await.unwrap().expect("the lease has its connection");
    hints.await.unwrap().expect("so has who waits for hints");
    for call in calls {
        call.await.unwrap().expect("and the pool goes on with those it has");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_worker_whose_role_has_few_connections_serves_again_after_an_outage() {
    let (_turn, database) = alone().await;
    let (url, name) = (role(&database, "CONNECTION LIMIT 7").await, name(&database));
    let rt = Arc::new(at(&url, &database).lease(Duration::from_secs(60)).build().await.unwrap());
    let ended = Arc::new(AtomicUsize::new(0));
    let mut load = tokio::task::JoinSet::new();
    for client in 0..16 {
        let (rt, ended) = (rt.clone(), ended.clone());
        load.spawn(async move {
            for n in 0_u64.. {
                // What an outage makes of a start is not of interest here.
                if let Ok(run) = rt.start(three, Job::of(n)).key(format!("{client} {n}")).await {
                    let _ = run.result().await;
                    ended.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    let more = async |what: &str| {
        let before = ended.load(Ordering::SeqCst);
        eventually(what, async || (ended.load(Ordering::SeqCst) > before + 64).then_some(())).await;
    };
    more("work before the outage").await;
    for _ in 0..2 {
        exec(database.url(), format!("ALTER ROLE {name} NOLOGIN")).await;
        let cut = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{name}'");
        eventually("nobody connected", async || (number(database.url(), &cut).await == 0).then_some(())).await;
        exec(database.url(), format!("ALTER ROLE {name} LOGIN")).await;
        let begun = Instant::now();
        more("work after the outage").await;
        // No key, so by a lane; and a renewal, so by the line of the lease.
        let lane = eventually("a start by a lane", async || rt.start(three, Job::of(1)).await.ok()).await;
        assert_eq!(lane.result().await.unwrap(), 4);
        let renewed = "SELECT count(*) FROM forge_wf.workers WHERE lease_until > now() + interval '58 seconds'";
        eventually("a renewal", async || (number(database.url(), renewed).await == 1).then_some(())).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
    load.shutdown().await;
    Arc::into_inner(rt).expect("nobody else has it").shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_limit_below_what_a_worker_needs_is_named_by_build() {
    let (_turn, database) = alone().await;
    let (url, name) = (role(&database, "CONNECTION LIMIT 5").await, name(&database));
    let told = at(&url, &database).build().await.unwrap_err();
    let is = |told: &Error, says: &str| matches!(told, Error::Misconfigured(what) if what.contains(says));
    assert!(is(&told, "the role may hold 5 connections, and a worker needs at least 6"), "{told}");
    assert!(Client::connect(&url).await.unwrap().unserved().await.unwrap().is_empty(), "a client needs fewer");
    exec(database.url(), format!("ALTER ROLE {name} CONNECTION LIMIT -1; ALTER DATABASE {name} CONNECTION LIMIT 5"))
        .await;
    let told = at(&url, &database).build().await.unwrap_err();
    assert!(is(&told, "the database allows 5 connections, and a worker needs at least 6"), "{told}");
    // No limit holds for a superuser.
    let rt = quick(&database).build().await.unwrap();
    assert_eq!(rt.start(three, Job::of(1)).await.unwrap().result().await.unwrap(), 4);
    rt.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
async fn a_database_that_lets_nobody_in_is_waited_for() {
    let (_turn, database) = alone().await;
    let (url, name) = (database.url(), name(&database));
    let elsewhere = url.replace(name, "postgres");
    let allow = |yes| format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {yes}");
    exec(&elsewhere, allow("false")).await;
    let told = quick(&database).build().await.unwrap_err();
    assert!(matches!(&told, Error::Misconfigured(what) if what.contains("lets nobody in")), "{told}");
    let proxy = Proxy::to(url).await;
    let building = tokio::spawn(at(proxy.url(), &database).wait_for_database(Duration::from_secs(600)).build());
    eventually("a second try", async || (proxy.opened() > 1).then_some(())).await;
    exec(&elsewhere, allow("true")).await;
    building.await.unwrap().unwrap().shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_and_never_answers_is_named() {
    // Its connections are accepted by the system, and nobody reads them.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://ada:very-secret@{}/shop", silent.local_addr().unwrap());
    let told = Client::connect(&url).await.map(drop).unwrap_err();
    let says = "the server accepted the connection and did not answer within 10 s";
    assert!(matches!(&told, Error::Misconfigured(what) if what.contains(says)), "{told}");
}
