//! The promises of the example `reminder`, kept by the program as processes.

mod support;

use std::time::{Duration, Instant};

use support::{Home, Running, wait_until};

/// Adds a reminder; gives its run.
fn add(home: &Home, arguments: &[&str]) -> String {
    let said = home.run(&[&["add", "stretch"], arguments].concat());
    assert_eq!(said.code, Some(0), "{said:#?}");
    said.line("added run ").split(':').next().unwrap().to_owned()
}

/// The numbers of the reminders in the log.
fn delivered(home: &Home) -> Vec<u32> {
    let number = |line: &String| line.split_once('(').unwrap().1.split(' ').next().unwrap().parse().unwrap();
    home.lines("reminder.txt").iter().map(number).collect()
}

fn crash(home: &Home, variable: &str, point: &str) {
    let mut command = home.command(&["run"]);
    command.env(variable, point);
    assert_eq!(Running::of(command).end(), None, "it should have been aborted");
}

/// Serves until this run has ended, and stops.
fn serve(home: &Home, run: &str) {
    let mut server = home.spawn(&["run"]);
    wait_until("all is delivered", || home.run(&["show", run]).line(&format!("run {run} is ")) == "completed");
    server.signal("INT");
    server.line("stopped");
    assert_eq!(server.end(), Some(0));
}

on_every_database!("reminder", each_comes_once_and_no_journal_grows_long, |home| {
    let run = add(home, &["--every", "100ms", "--times", "23"]);
    assert!(home.run(&["show", &run]).out.contains("not begun"));
    serve(home, &run);
    assert_eq!(delivered(home), (1..=23).collect::<Vec<_>>());
    let shown = home.run(&["show", &run]);
    assert_eq!(shown.line("delivered: "), "23 of 23", "{shown:#?}");
    let sleeps =
        "SELECT CAST(count(*) AS TEXT) FROM JOURNAL WHERE key = 'sleep' GROUP BY generation ORDER BY generation";
    assert_eq!(home.texts(sleeps), ["10", "10", "3"]);
});

on_every_database!("reminder", after_a_crash_none_that_was_recorded_comes_again_and_the_times_stay, |home| {
    let run = add(home, &["--every", "100ms", "--times", "12"]);
    for point in ["deliver:4", "deliver:7"] {
        crash(home, "FORGE_WF_CRASH_AFTER", point);
    }
    assert_eq!(home.run(&["show", &run]).line("delivered: "), "11 of 12");
    serve(home, &run);
    assert_eq!(delivered(home), (1..=12).collect::<Vec<_>>());
    let micros =
        if home.url.starts_with("sqlite:") { "due_at" } else { "CAST(extract(epoch FROM due_at) * 1000000 AS bigint)" };
    let spread = format!("SELECT CAST(max({micros}) - min({micros}) AS TEXT) FROM JOURNAL WHERE key = 'sleep'");
    assert_eq!(
        home.texts(&spread),
        ["1100000"],
        "the last is due eleven times 100 ms after the first, to the microsecond"
    );
});

on_every_database!("reminder", a_crash_before_it_is_recorded_reminds_twice_rather_than_never, |home| {
    let run = add(home, &["--every", "100ms", "--times", "3"]);
    crash(home, "FORGE_WF_CRASH_BEFORE", "deliver:2");
    serve(home, &run);
    assert_eq!(delivered(home), [1, 2, 2, 3]);
});

on_every_database!("reminder", what_was_due_while_nothing_ran_comes_at_once, |home| {
    let (begin, wait) = (Instant::now(), Duration::from_secs(8));
    let run = add(home, &["--in", "8s", "--every", "1h", "--times", "2"]);
    let server = home.spawn(&["run"]);
    wait_until("it sleeps", || !home.texts("SELECT key FROM JOURNAL WHERE key = 'sleep'").is_empty());
    server.kill();
    assert!(begin.elapsed() < wait, "this machine is too slow to kill it before it is due");
    wait_until("it is due", || begin.elapsed() > wait + Duration::from_secs(2));
    let mut server = home.spawn(&["run"]);
    server.line("stretch (1 of 2, ");
    wait_until("it is recorded", || home.run(&["show", &run]).line("delivered: ") == "1 of 2");
    server.kill();
    assert_eq!(delivered(home), [1]);
});

#[test]
fn what_cannot_be_is_refused() {
    let home = Home::on_sqlite("reminder");
    for (arguments, words) in [
        (&["add", "x"][..], "--in"),
        (&["add", "x", "--every", "1s"], "--times"),
        (&["add", "x", "--every", "1s", "--times", "0"], "1.."),
        (&["add", "x", "--in", "0s"], "between 100ms and 9 years"),
        (&["add", "x", "--in", "20y"], "between 100ms and 9 years"),
        (&["add", "x", "--at", "noon"], "write it like 09:00"),
        (&["add", "x", "--at", "2020-01-31 09:00"], "in the past"),
        (&["add", "x", "--at", "2200-01-31 09:00"], "within 9 years"),
    ] {
        let said = home.run(arguments);
        assert!(said.code == Some(2) && said.err.contains(words), "{arguments:?}: {said:#?}");
    }
    for (arguments, words) in [
        (&["show", "01a20d2a-022b-7083-9a1c-4ba7c9658e2b"][..], "there is no run"),
        (&["run", "--log", "no/such/folder"], "name another file with --log"),
    ] {
        let said = home.run(arguments);
        assert!(said.code == Some(1) && said.err.contains(words), "{arguments:?}: {said:#?}");
    }
}
