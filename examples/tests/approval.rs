//! The promises of the example `approval`, kept by the program as processes.

mod support;

use support::{Home, Running, Said, wait_until};

const CHAIR: &str = "200 € for a new chair";

/// Asks in a process of its own; gives that, the run, the deadline, and the command to approve.
fn ask(home: &Home, arguments: &[&str]) -> (Running, String, String, String) {
    asked(home.spawn(&[&["request", CHAIR], arguments].concat()))
}

fn asked(mut request: Running) -> (Running, String, String, String) {
    let asked = request.line("as run ");
    let run = asked.split("as run ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let until = request.line("open until ").split(" (").next().unwrap().to_owned();
    let approve = request.line(" approve ").trim().replace("NAME", "Ada");
    (request, run, until, approve)
}

/// What is in the book, without the keys.
fn booked(home: &Home) -> Vec<String> {
    home.lines("approval.txt").iter().map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect()
}

fn refused(said: &Said, words: &str) {
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.err.starts_with("error: ") && said.err.contains(words), "{said:#?}");
}

on_every_database!("approval", an_approval_from_another_process_is_booked, |home| {
    let (mut request, run, until, approve) = ask(home, &[]);
    let shown = home.run(&["show", &run]);
    assert_eq!((shown.line("it asks: "), shown.code), (CHAIR, Some(0)));
    assert!(shown.out.contains(&until) && !shown.out.contains("problem"), "{shown:#?}");

    let approved = home.paste(&approve);
    assert_eq!((approved.code, approved.line("approved by ")), (Some(0), "Ada"), "{approved:#?}");
    request.line("booked in approval.txt");
    request.line("approved by Ada");
    assert_eq!(request.end(), Some(0));
    assert_eq!(booked(home), ["200 € for a new chair, approved by Ada"]);

    refused(&home.run(&["decline", &run]), "has ended (completed)");
    let shown = home.run(&["show", &run]);
    assert!(
        shown.line(&format!("run {run} is ")) == "completed" && shown.out.contains("approved by Ada"),
        "{shown:#?}"
    );
    let again = home.run(&["request", CHAIR]);
    assert_eq!((again.code, again.line("approved by ")), (Some(0), "Ada"), "{again:#?}");
    assert_eq!(booked(home).len(), 1);
});

on_every_database!("approval", what_is_declined_is_not_booked, |home| {
    let (mut request, run, ..) = ask(home, &[]);
    let declined = home.run(&["decline", &run, "--by", "Bob", "--reason", "too dear"]);
    assert_eq!((declined.code, declined.line("declined by ")), (Some(0), "Bob: too dear"), "{declined:#?}");
    request.line("declined by Bob: too dear");
    assert_eq!((request.end(), booked(home).len()), (Some(3), 0));
});

on_every_database!("approval", without_an_answer_in_time_nothing_is_booked, |home| {
    let (mut request, run, ..) = ask(home, &["--within", "300ms"]);
    request.line("nobody answered in time");
    assert_eq!((request.end(), booked(home).len()), (Some(3), 0));
    refused(&home.run(&["approve", &run]), "has ended");
    assert_eq!(home.run(&["request", CHAIR, "--within", "1h"]).code, Some(3));
});

on_every_database!("approval", killed_while_it_waits_it_takes_the_first_answer_and_keeps_the_deadline, |home| {
    let deadline = || home.texts("SELECT CAST(due_at AS TEXT) FROM JOURNAL WHERE key = 'timeout'");
    let (request, run, until, _) = ask(home, &[]);
    wait_until("the deadline is kept", || deadline().len() == 1);
    let kept = deadline();
    request.kill();
    let (request, same, still, _) = ask(home, &["--within", "1s"]);
    assert_eq!((&same, &still), (&run, &until));
    request.kill();

    // Nobody waits for them now, and each is given twice.
    let mut answers = Vec::new();
    for answer in ["approve", "approve", "decline", "decline"] {
        answers.push(home.spawn(&[answer, &run, "--by", "Ada"]));
        wait_until("it is sent", || home.texts("SELECT name FROM INBOX").len() == 1);
    }
    let (mut request, same, still, _) = asked(home.spawn(&["request", CHAIR]));
    assert_eq!((same, still), (run, until));
    request.line("approved by Ada");
    assert_eq!(request.end(), Some(0));
    assert_eq!((deadline(), booked(home).len()), (kept, 1));
    assert_eq!(home.texts("SELECT name FROM INBOX"), ["answer"]);
    // Whether they heard what became of it depends on how long the lease of the dead process ran.
    assert!(answers.into_iter().all(|answer| matches!(answer.end(), Some(0 | 1))));
});

on_every_database!("approval", a_deadline_that_passes_while_nothing_runs_is_over, |home| {
    let (request, ..) = ask(home, &["--within", "1s"]);
    request.kill();
    let again = home.run(&["request", CHAIR]);
    assert_eq!(again.code, Some(3), "{again:#?}");
    again.line("nobody answered in time");
});

on_every_database!("approval", a_crash_around_the_booking_books_once, |home| {
    for (n, variable) in ["FORGE_WF_CRASH_BEFORE", "FORGE_WF_CRASH_AFTER"].into_iter().enumerate() {
        let mut command = home.command(&["request", CHAIR, "--key", variable]);
        command.env(variable, "book");
        let (request, run, ..) = asked(Running::of(command));
        let answer = home.spawn(&["approve", &run, "--by", "Ada"]);
        assert_eq!(request.end(), None, "it should have been aborted");
        assert_eq!(booked(home).len(), n + 1);
        let again = home.run(&["request", CHAIR, "--key", variable]);
        assert_eq!((again.code, again.line("approved by ")), (Some(0), "Ada"), "{again:#?}");
        assert_eq!(booked(home).len(), n + 1, "{:?}", booked(home));
        assert_eq!(answer.end(), Some(0));
    }
});

on_every_database!("approval", told_to_stop_it_says_how_to_go_on, |home| {
    let (mut request, run, until, _) = ask(home, &[]);
    request.signal("INT");
    request.line("the same command waits on");
    assert_eq!(request.end(), Some(130));
    let (_request, same, still, approve) = ask(home, &[]);
    assert_eq!((same, still), (run, until));
    assert_eq!(home.paste(&approve).code, Some(0));
});

#[test]
fn what_cannot_be_is_refused() {
    let home = Home::on_sqlite("approval");
    let nobody = "01a20d2a-022b-7083-9a1c-4ba7c9658e2b";
    for command in ["approve", "decline", "show"] {
        refused(&home.run(&[command, nobody]), "there is no run");
        assert_eq!(home.run(&[command, "the chair"]).code, Some(2));
    }
    refused(&home.run(&["request", CHAIR, "--book", "no/such/folder"]), "name another file with --book");
    assert_eq!(home.run(&["request", CHAIR, "--within", "20y"]).code, Some(2));
    assert_eq!(home.texts("SELECT CAST(count(*) AS TEXT) FROM RUNS"), ["0"]);
}
