//! The promises of the example `mirror`, kept by the program as a process.

#[path = "support/mirror.rs"]
mod folders;
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use folders::{Mirror, everything, open_again};
use support::{Postgres, said, signal, wait_until};

#[test]
fn a_copy_is_equal_whatever_the_files_are() {
    let mirror = Mirror::new();
    everything(&mirror);
    let said = mirror.run();
    assert_eq!(said.code, Some(0), "{said:#?}");
    mirror.assert_equal();
    let (from_journal, run_now) = said.steps();
    assert_eq!((from_journal, run_now), (0, mirror.recorded("%")));
    open_again(&mirror);
}

#[test]
fn a_listing_of_several_pages_has_every_file_once() {
    let mirror = Mirror::with_files(2_150);
    let said = mirror.run();
    assert_eq!(said.code, Some(0), "{said:#?}");
    mirror.assert_equal();
    // 2,150 files and 5 folders.
    assert_eq!(mirror.completed("list_page"), 3);
    assert_eq!(mirror.completed("copy_file"), 2_150);
}

#[test]
fn a_crash_right_after_a_commit_runs_no_recorded_step_again() {
    crash_and_resume(&mut Mirror::with_files(60), "FORGE_WF_CRASH_AFTER", |recorded| recorded >= 25);
}

#[test]
fn a_crash_right_before_a_commit_loses_only_that_commit() {
    crash_and_resume(&mut Mirror::with_files(60), "FORGE_WF_CRASH_BEFORE", |recorded| recorded < 25);
}

#[test]
#[cfg_attr(skip_postgres, ignore = "FORGE_WF_SKIP_POSTGRES is set")]
fn a_crash_is_resumed_on_postgres_too() {
    let postgres = Postgres::create();
    let mut mirror = Mirror::with_files(60);
    mirror.database = Some(postgres.url.clone());
    crash_and_resume(&mut mirror, "FORGE_WF_CRASH_AFTER", |recorded| recorded >= 25);
}

fn crash_and_resume(mirror: &mut Mirror, variable: &str, fits: fn(u64) -> bool) {
    let crashed = mirror.run_with(variable, "copy_file:25");
    assert_eq!(crashed.code, None, "it should have been aborted: {crashed:#?}");
    assert!(fits(mirror.recorded("copy_file")), "{}", mirror.recorded("copy_file"));
    let recorded = mirror.recorded("%");

    let resumed = mirror.run();
    assert_eq!(resumed.code, Some(0), "{resumed:#?}");
    mirror.assert_equal();
    assert_eq!(resumed.run("resuming"), crashed.run("started"));
    assert_eq!(resumed.steps(), (recorded, mirror.recorded("%") - recorded));
    assert_eq!((mirror.runs(), mirror.completed("copy_file")), (1, 60));
}

#[test]
fn killed_again_and_again_it_ends_with_an_equal_copy_in_one_run() {
    /// So many that none of the looks, up to 50 ms apart while a lease runs out, comes after the run's end.
    const FILES: usize = 2_000;
    let mirror = Mirror::with_files(FILES);
    let mut recorded = 0;
    for kill in 1..=5 {
        let mut child = mirror.spawn();
        // Some way into the rest, a different one each time; the moment within a step is left to chance.
        let goal = recorded + 1 + kill * 13;
        wait_until("some steps are recorded", || mirror.recorded("%") >= goal);
        child.kill().unwrap();
        child.wait().unwrap();
        recorded = mirror.recorded("%");
    }
    let last = mirror.run();
    assert_eq!(last.code, Some(0), "{last:#?}");
    mirror.assert_equal();
    assert_eq!(last.steps(), (recorded, mirror.recorded("%") - recorded));
    assert_eq!((mirror.runs(), mirror.completed("copy_file")), (1, FILES as u64));
}

#[test]
fn told_to_stop_it_says_how_to_go_on_and_leaves_the_run_at_once() {
    let mirror = Mirror::with_files(400);
    for name in ["INT", "TERM"] {
        let before = mirror.recorded("%");
        let child = mirror.spawn();
        wait_until("some copies are recorded", || mirror.recorded("%") >= before + 20);
        signal(&child, name);
        let stopped = said(child.wait_with_output().unwrap());
        assert_eq!(stopped.code, Some(130), "{stopped:#?}");
        assert!(stopped.line("interrupted; ").contains("the same command resumes run"));
        let (from_journal, run_now) = stopped.steps();
        assert_eq!((from_journal, from_journal + run_now), (before, mirror.recorded("%")));
    }
    let recorded = mirror.recorded("%");
    let resumed = mirror.run();
    assert_eq!(resumed.code, Some(0), "{resumed:#?}");
    assert!(!resumed.out.contains("still held"), "{resumed:#?}");
    assert_eq!(resumed.steps(), (recorded, mirror.recorded("%") - recorded));
    mirror.assert_equal();
}

#[test]
fn a_second_start_writes_only_what_changed() {
    let mirror = Mirror::with_files(20);
    assert_eq!(mirror.run().code, Some(0));
    let inode = |name: &str| fs::metadata(mirror.dest.join(name)).unwrap().ino();
    let untouched = inode("folder 0/file 0");
    mirror.write("folder 1/file 1", b"THIS IS FILE 1");
    mirror.write("folder 2/file 2", b"of another size");
    let again = mirror.run();
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.out.contains("copied 2 files and links, 18 were equal already"), "{again:#?}");
    assert!(again.line("started run ").contains("(number 2)"));
    assert_eq!(inode("folder 0/file 0"), untouched);
    mirror.assert_equal();
    assert_eq!(mirror.runs(), 2);
}

#[test]
fn a_file_that_vanishes_is_reported_and_the_rest_goes_on() {
    let mirror = Mirror::with_files(20);
    let crashed = mirror.run_with("FORGE_WF_CRASH_AFTER", "list_page:1");
    assert_eq!(crashed.code, None, "{crashed:#?}");
    fs::remove_file(mirror.source.join("folder 3/file 8")).unwrap();
    let resumed = mirror.run();
    assert_eq!(resumed.code, Some(1), "{resumed:#?}");
    assert!(resumed.line("  folder 3/file 8: ").contains("cannot be read"), "{resumed:#?}");
    assert_eq!((mirror.recorded("copy_file"), mirror.completed("copy_file")), (20, 19));
    mirror.assert_equal();
    // The next run is another one, and has nothing to complain about.
    assert_eq!(mirror.run().code, Some(0));
}

#[test]
fn special_files_are_skipped_and_told() {
    let mirror = Mirror::with_files(3);
    assert!(Command::new("mkfifo").arg(mirror.source.join("folder 1/pipe")).status().unwrap().success());
    let said = mirror.run();
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.line("skipped ").starts_with("1 pipes"));
    said.line("  folder 1/pipe");
    mirror.assert_equal();
}

#[test]
fn nothing_is_written_through_a_link_in_dest() {
    let mirror = Mirror::with_files(10);
    let outside = mirror.source.with_file_name("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&mirror.dest).unwrap();
    symlink(&outside, mirror.dest.join("folder 3")).unwrap();
    let said = mirror.run();
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.line("  folder 3/file 3: ").contains("symbolic link"));
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn what_cannot_end_well_is_refused() {
    let refused = |mirror: &Mirror, words: &str| {
        let said = mirror.run();
        assert_eq!(said.code, Some(2), "{said:#?}");
        assert!(said.err.contains(words), "{said:#?}");
    };
    let mut mirror = Mirror::with_files(3);
    let (source, dest) = (mirror.source.clone(), mirror.dest.clone());

    mirror.dest = source.join("folder 1/inside/not yet there");
    refused(&mirror, "is inside SOURCE");
    mirror.dest = source.clone();
    refused(&mirror, "is inside SOURCE");
    let link = source.with_file_name("link");
    symlink(&source, &link).unwrap();
    mirror.dest = link.join("inside");
    refused(&mirror, "is inside SOURCE");
    assert!(!source.join("folder 1/inside").exists() && !source.join("inside").exists());
    mirror.dest = source.parent().unwrap().to_path_buf();
    refused(&mirror, "is inside DEST");

    mirror.dest = dest;
    fs::write(&mirror.dest, b"a file").unwrap();
    refused(&mirror, "DEST");
    fs::remove_file(&mirror.dest).unwrap();
    mirror.write(".mirrored", b"");
    refused(&mirror, "SOURCE has .mirrored at its top");
    mirror.source = source.join("nowhere");
    refused(&mirror, "SOURCE");
    assert!(!mirror.dest.exists());
}
