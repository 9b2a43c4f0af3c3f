//! The promises of the example `order`, kept by the program as processes.

mod support;

use support::{Home, Running, wait_until};

/// Places an order that fails, in a process that is aborted at this point; gives its run.
fn crash(home: &Home, variable: &str, point: &str) -> String {
    let mut command = home.command(&["place", "a desk", "--lost"]);
    command.env(variable, point);
    let mut shop = Running::of(command);
    let run = shop.line("placed order ").split(' ').next_back().unwrap().to_owned();
    assert_eq!(shop.end(), None, "it should have been aborted");
    run
}

/// Serves until this order has ended, and stops.
fn serve(home: &Home, run: &str, status: &str) {
    let server = home.spawn(&["run"]);
    wait_until("the order has ended", || home.run(&["show", run]).out.contains(&format!("{run} is {status}: ")));
    server.signal("INT");
    assert_eq!(server.end(), Some(0));
}

const DONE: [&str; 3] = ["reserve a desk", "charge 129.00 €", "ship a desk from shelf 7"];
const UNDONE: [&str; 2] = ["refund 129.00 € of payment-1", "put a desk back on shelf 7"];

on_every_database!("order", an_order_is_delivered_and_undoes_nothing, |home| {
    let said = home.run(&["place", "a desk"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(said.line("delivered: "), "a desk from shelf 7, paid with payment-1");
    assert_eq!(home.lines("order.txt"), DONE);
});

on_every_database!("order", a_lost_parcel_undoes_all_of_it_and_the_journal_shows_it, |home| {
    let said = home.run(&["place", "a desk", "--lost"]);
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert_eq!(said.line("compensated: "), "the parcel is lost");
    assert_eq!(home.lines("order.txt"), [&DONE[..], &UNDONE[..]].concat());
    let undone = said.out.lines().filter(|line| line.contains(": done")).count();
    let order: Vec<_> = said.out.lines().filter(|line| line.contains("  undo:step:")).collect();
    assert_eq!(undone, 2, "{said:#?}");
    assert!(order[0].contains("undo:step:charge#0") && order[1].contains("undo:step:reserve#0"), "{said:#?}");
});

on_every_database!("order", a_rollback_that_was_killed_is_finished_by_the_next_process, |home| {
    let run = crash(home, "FORGE_WF_CRASH_AFTER", "undo:step:charge:1");
    assert_eq!(home.lines("order.txt"), [&DONE[..], &UNDONE[..1]].concat());
    let shown = home.run(&["show", &run]);
    assert!(shown.out.contains("is compensating: undoes step:reserve#0 by step:release"), "{shown:#?}");
    serve(home, &run, "compensated");
    assert_eq!(home.lines("order.txt"), [&DONE[..], &UNDONE[..]].concat(), "what was undone is not undone again");
});

on_every_database!("order", a_crash_before_an_undo_is_recorded_undoes_it_twice_rather_than_never, |home| {
    let run = crash(home, "FORGE_WF_CRASH_BEFORE", "undo:step:charge:1");
    serve(home, &run, "compensated");
    assert_eq!(home.lines("order.txt"), [&DONE[..], &[UNDONE[0]], &UNDONE[..]].concat());
});

on_every_database!("order", an_order_that_is_cancelled_undoes_what_it_did, |home| {
    let mut shop = home.spawn(&["place", "a desk", "--slow", "500ms"]);
    let run = shop.line("placed order ").split(' ').next_back().unwrap().to_owned();
    shop.line("  charge");
    let said = home.run(&["cancel", &run]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let line = shop.line("cancelled: ");
    assert_eq!(line, "cancelled: cancelled by the customer: changed my mind");
    assert_eq!(shop.end(), Some(1));
    assert_eq!(home.lines("order.txt").last().unwrap(), UNDONE[1]);
});
