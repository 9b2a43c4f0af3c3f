//! The promises of [`Store`](super::Store) as tests, one function each, named in plain words.
//!
//! Each takes a store over a fresh, empty database. A backend runs them all with one line,
//! [`conformance_suite!`](crate::conformance_suite). No promise waits for a clock by sleeping: a lease of zero length has
//! expired at once, and what must become true is asked for until it is.

// The name of a promise says what it promises; a doc comment would say it twice.
#![allow(missing_docs)]

pub mod claims;
pub mod commits;
pub mod inbox;
pub mod leases;
pub mod lists;
pub mod mail;
pub mod moves;
pub mod newer;
pub mod orders;
pub mod owners;
pub mod reads;
pub mod refusing;
pub mod starts;
pub mod support;

/// Expands to one `#[tokio::test]` for each promise of the store.
///
/// Takes the path of an `async fn` without arguments that returns an `Arc<dyn Store>` over an empty database, and a guard
/// that is kept until the test ends (a temporary directory, say). Attributes before the path stand before each test.
#[macro_export]
macro_rules! conformance_suite {
    ($(#[$attribute:meta])? $make:path) => {
        $crate::conformance_suite! { @each [$(#[$attribute])?] $make;
            starts: [
                a_timeout_counts_by_the_databases_clock_from_when_the_run_is_due,
                a_start_with_a_held_key_returns_the_first_run,
                the_same_key_of_another_workflow_is_free,
                many_starts_of_one_key_create_one_run,
                a_start_repeated_with_the_same_id_creates_once,
                an_ended_run_still_holds_its_key,
                a_started_run_keeps_its_input,
            ],
            commits: [
                a_batch_sent_twice_is_applied_once,
                an_empty_batch_that_touches_all_tables_only_moves_its_lane,
                an_empty_batch_in_the_place_of_another_settles_whether_that_was_applied,
                a_lane_behind_the_number_before_has_lost_commits,
                an_older_batch_counts_as_applied,
                a_refused_batch_writes_nothing_and_leaves_the_number_free,
                an_outcome_without_a_row_is_refused,
                a_run_born_claimed_is_owned_and_not_claimable,
                a_run_born_released_can_be_claimed,
                a_run_born_and_ended_in_one_batch_keeps_its_output,
                an_ended_run_is_never_claimed,
                a_failed_run_keeps_its_failure,
                payloads_come_back_equal,
                every_column_of_an_entry_comes_back_equal,
                an_entry_with_a_seq_keeps_its_outcome,
                a_started_entry_gets_its_outcome,
                journals_are_sorted_by_seq_with_the_rest_last,
                generations_are_kept_apart,
                a_new_generation_may_change_the_seed,
                three_hundred_operations_fit_one_batch,
                every_lane_counts_for_itself,
                a_call_that_was_dropped_can_be_sent_again,
            ],
            owners: [
                one_lost_run_does_not_fail_its_neighbours,
                an_update_under_an_old_claim_is_not_yours,
                nothing_of_a_run_is_written_by_a_worker_that_does_not_own_it,
                nothing_of_a_run_is_written_whose_row_cannot_be_updated,
                a_child_that_the_new_owner_has_started_refuses_nothing,
            ],
            claims: [
                many_claimers_never_share_a_run,
                a_claim_takes_no_more_than_its_slots,
                higher_priority_goes_first_then_the_longest_waiting,
                a_delayed_run_is_not_due_yet,
                nothing_but_time_begins_a_delayed_run,
                a_waiting_run_is_claimed_when_it_is_due,
                a_claim_takes_only_what_it_offers,
                a_claim_binds_an_unbound_run,
                a_run_that_is_bound_by_a_claim_has_the_timeout_of_the_offer,
                a_released_run_may_be_unbound_again,
                a_repeated_claim_returns_the_same_runs,
                a_claim_that_found_nothing_may_be_repeated_or_skipped,
                a_worker_adopts_only_what_it_owns,
                paused_and_blocked_runs_are_not_claimed,
                owned_runs_are_listed,
                an_idle_claim_says_when_the_next_run_is_due,
                a_claim_tells_the_databases_time,
                a_child_comes_with_its_parent,
                a_detached_child_answers_nobody,
                a_claim_leaves_the_runs_it_avoids_to_others,
            ],
            moves: [
                a_run_is_moved_by_its_owner_only_and_says_so_once,
                a_run_nobody_owns_is_moved_if_nobody_wrote_to_it_and_it_is_told_once,
                a_move_wakes_what_waits_or_was_blocked_by_its_code_and_ends_no_pause,
                a_moved_run_that_is_unbound_asks_for_the_version_it_was_moved_to,
                strays_are_due_runs_that_nobody_else_is_needed_for,
                a_signature_outlives_the_workers_that_had_it,
            ],
            mail: [
                a_waiting_run_with_mail_is_claimed,
                mail_that_was_noticed_is_not_shown_again,
                mail_is_sent_once_by_its_id,
                mail_is_shown_to_the_owner_only,
                mail_sent_by_a_batch_arrives,
                mail_for_a_run_nobody_knows_says_so,
                mail_for_a_run_nobody_knows_is_harmless,
                mail_for_an_ended_run_says_so,
                a_flood_to_one_run_does_not_hide_the_mail_of_others,
                no_more_than_four_pages_of_mail_are_shown_at_once,
                mail_of_excepted_runs_takes_no_room,
                mail_of_one_run_is_shown_by_the_page,
                runs_with_mail_are_told_from_those_without,
                mail_of_an_ended_run_is_noticed_by_the_sweep,
                events_that_make_nothing_due_are_noticed_by_the_sweep,
            ],
            inbox: [
                taken_mail_is_loaded_no_more,
                noticed_mail_is_loaded_until_it_is_taken,
                bags_come_back_in_the_order_asked_for,
                a_bag_says_whether_it_is_complete,
                answers_and_commands_that_are_not_taken_are_loaded_however_far_behind,
                a_page_of_mail_is_bounded_by_its_bytes,
                mail_longer_than_a_page_is_a_page,
                four_pages_of_mail_are_bounded_by_their_bytes,
                events_of_one_name_are_loaded_in_order_with_what_is_about_them,
                what_drops_an_event_is_loaded_behind_any_flood,
                events_are_listed_until_taken,
            ],
            orders: [
                an_order_makes_a_paused_or_blocked_run_due,
                what_ends_a_run_is_claimed_by_whoever_offers_nothing_it_needs,
                an_order_for_a_run_that_never_began_binds_it_to_nothing,
                an_order_that_was_noticed_makes_nothing_due,
                a_paused_run_is_known_as_paused_by_whoever_brings_it_an_order,
                an_order_is_told_once_with_who_and_why,
                an_order_nobody_can_obey_is_not_told,
                who_is_late_and_would_not_be_claimed_is_reminded_once,
                a_delayed_run_is_late_before_it_is_due,
                a_command_is_void_once_its_run_was_retried,
                a_command_counts_for_a_run_that_has_continued_as_new,
                a_command_that_ends_a_run_is_loaded_whatever_stands_before_it,
            ],
            leases: [
                nothing_is_written_after_the_lease_is_taken,
                a_live_worker_is_not_taken_over,
                an_expired_worker_may_renew_until_it_is_taken_over,
                a_worker_never_takes_itself_over,
                only_executing_runs_count_takeovers,
                takeovers_without_progress_are_counted,
                progress_resets_the_takeovers,
                a_new_generation_is_progress_and_older_ones_are_not_counted,
                a_run_with_only_its_start_is_unbound_when_taken_over,
                a_run_with_progress_stays_bound_when_taken_over,
                a_taken_over_run_keeps_its_journal,
                a_removed_worker_frees_its_runs,
                renewing_after_removal_is_a_lost_lease,
                a_renewal_tells_of_an_expired_worker,
                registering_twice_is_harmless,
                a_run_blocked_by_its_code_waits_for_another_build,
                a_run_blocked_by_a_compensation_waits_for_an_operator,
                many_workers_may_take_over_at_once,
                a_run_that_was_executed_beside_a_suspect_is_not_counted,
                many_runs_of_a_dead_worker_are_freed_in_pieces,
            ],
            lists: [
                pages_follow_one_another_without_a_gap,
                a_list_looks_at_no_more_than_it_is_told_to,
                a_list_holds_what_fits,
            ],
            reads: [
                a_run_nobody_has_is_none,
                a_view_shows_what_was_stored,
                a_run_is_found_by_its_key,
                the_status_follows_the_run,
                a_run_that_waits_for_an_event_is_not_asleep,
                saved_state_is_read_back,
                a_run_is_unserved_only_after_the_grace,
                a_run_is_missing_its_handler,
                a_run_is_missing_its_version,
                a_run_is_missing_its_signature,
                a_waiting_run_with_mail_is_missing_what_nobody_has,
                a_dead_worker_serves_nothing,
                versions_of_live_workers_are_known_with_what_they_are_for,
                unserved_runs_are_grouped_and_say_so_in_words,
                journals_come_back_in_the_order_asked_for,
                journals_come_back_as_far_as_they_fit,
                a_journal_that_can_be_read_is_not_unreadable,
            ],
        }
    };
    (@each $attribute:tt $make:path; $($room:ident: [$($promise:ident),* $(,)?]),* $(,)?) => {
        $(
            mod $room {
                #[allow(unused_imports)]
                use super::*;
                $($crate::conformance_suite! { @test $attribute $make, $room, $promise })*
            }
        )*
    };
    (@test [$($attribute:tt)*] $make:path, $room:ident, $promise:ident) => {
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($attribute)*
        async fn $promise() {
            let (store, _guard) = $make().await;
            $crate::store::conformance::$room::$promise(store).await;
        }
    };
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The Rust files below this folder of the crate.
    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "rs"))
            .collect()
    }

    fn texts(folder: &str) -> String {
        files(folder).into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// A promise left out of the list above would be kept by nobody. One that takes a hand on the rows is in no list: each backend
    /// has to call it.
    #[test]
    fn every_promise_is_in_the_suite() {
        let (list, _) = include_str!("mod.rs")
            .split_once("(@each $attribute:tt $make:path;")
            .expect("the list, then how it is expanded");
        let (postgres, sqlite) = (texts("src/db/postgres/tests"), texts("tests") + &texts("src/db/sqlite"));
        let mut rooms = 0;
        for path in files("src/store/conformance") {
            let room = path.file_stem().unwrap().to_string_lossy().into_owned();
            if room == "mod" || room == "support" {
                continue;
            }
            rooms += 1;
            let listed = list.split_once(&format!(" {room}: [")).and_then(|(_, rest)| rest.split_once(']'));
            for line in fs::read_to_string(&path).unwrap().lines() {
                let Some((name, arguments)) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split_once('('))
                else {
                    continue;
                };
                if arguments.starts_with("store: Arc<dyn Store>)") {
                    let is_listed = listed.is_some_and(|(names, _)| names.contains(&format!(" {name},\n")));
                    assert!(is_listed, "{name} is not in {room} of conformance_suite!");
                } else {
                    let call = format!("{room}::{name}(");
                    assert!(postgres.contains(&call), "{call}..) is not called for PostgreSQL");
                    assert!(sqlite.contains(&call), "{call}..) is not called for SQLite");
                }
            }
        }
        assert!(rooms > 10, "the rooms were found");
    }
}
