//! Options that have no effect with the values of others.

use super::*;
use crate::journal::policy::Sync;
use crate::protocol::Priority;

/// Arguments and variables with such an option, and the error message.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

const WITHOUT_EFFECT: [Case; 14] = [
    (&["--sync=all"], &[], "--sync: does nothing without --journal DIR; give that too"),
    (&["--sync-interval", "2"], &[], "--sync-interval: does nothing without --journal DIR; give that too"),
    (&["--journal-size=1M"], &[], "--journal-size: does nothing without --journal DIR; give that too"),
    (&["--log-size=1M"], &[], "--log-size: does nothing without --log-file PATH; give that too"),
    (
        &["--journal=d", "--sync-interval=2"],
        &[],
        "--sync-interval: does nothing unless --sync is a priority from 1 to 9, which lets less urgent messages wait \
         for it; give --sync 7, for example",
    ),
    (
        &["--journal=d", "--sync=none", "--sync-interval=2"],
        &[],
        "--sync-interval: does nothing unless --sync is a priority from 1 to 9, which lets less urgent messages wait \
         for it; give --sync 7, for example",
    ),
    (
        &["--sync=0", "--sync-interval=2"],
        &[("FIRSTLINE_JOURNAL", "d")],
        "--sync-interval: does nothing unless --sync is a priority from 1 to 9, which lets less urgent messages wait \
         for it; give --sync 7, for example",
    ),
    (
        &["--log-file=f", "--log-level=OFF"],
        &[],
        "--log-file: does nothing with --log-level off; leave one of them out",
    ),
    (
        &["--allow=any", "--allow=10.0.0.0/8"],
        &[],
        "--allow: does nothing beside any, which allows all; leave one of them out",
    ),
    (
        &["--allow", "10.0.0.0/8 any"],
        &[],
        "--allow: does nothing beside any, which allows all; leave one of them out",
    ),
    (
        &["--idle-grace=3600"],
        &[],
        "--idle-grace: does nothing unless it is shorter than --idle-timeout; give less, or --idle-timeout off",
    ),
    (
        &["--idle-grace=5"],
        &[("FIRSTLINE_IDLE_TIMEOUT", "4")],
        "--idle-grace: does nothing unless it is shorter than --idle-timeout; give less, or --idle-timeout off",
    ),
    (
        &["--urgent-rate=60", "--rate=1"],
        &[],
        "--urgent-rate: does nothing unless it is less than --rate lets through, 60 times that a minute; give less",
    ),
    (
        &["--sync", "3", "--journal", "off"],
        &[("FIRSTLINE_JOURNAL", "d")],
        "--sync: does nothing without --journal DIR; give that too",
    ),
];

#[test]
fn option_without_effect_is_refused() {
    for (args, env, expected) in WITHOUT_EFFECT {
        assert_eq!(refusal(args, env), expected);
    }
}

#[test]
fn option_with_an_effect_is_allowed() {
    for args in [
        &["--sync=3", "--sync-interval=2", "--journal=d"][..],
        &["--log-file=f", "--log-level=off,hub=info"],
        &["--allow=any"],
        &["--idle-grace=5", "--idle-timeout=5.1"],
        // The default of --idle-grace is longer than this --idle-timeout, but only an option that is given is refused.
        &["--idle-timeout=5"],
        &["--idle-grace=off", "--idle-timeout=5"],
        &["--urgent-rate=59", "--rate=1"],
    ] {
        options(args, &[]);
    }
    assert!(options(&["--sync=3", "--journal=d"], &[]).journal.is_some());
    assert!(options(&["--sync=3"], &[("FIRSTLINE_JOURNAL", "d")]).journal.is_some());
    let file = [("FIRSTLINE_JOURNAL_SIZE", "1M"), ("FIRSTLINE_SYNC", "3"), ("FIRSTLINE_LOG_SIZE", "1M")];
    assert_eq!(options(&["--journal=off"], &file).sync, Sync::From(Priority::new(3).unwrap()));
}
