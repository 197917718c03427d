//! Thousands of power cuts, kills and disk failures, and the promises of the journal for each kind of sync.
//!
//! A model records which messages were acknowledged and which were refused. After each cut the trial opens the
//! journal again, reads all of it, and compares it with the model. Then the trial continues with the same journal, so
//! that the damage adds up.

mod damage;
mod lost_syncs;
mod message;
mod model;
mod reader;
mod small_journal;
mod trial;

use trial::{CUTS, LONG, Mode, SHORT, Size, Trial};

/// Runs a trial with power cuts.
fn check_cuts(mode: Mode, seed: u64) {
    let mut trial = Trial::new(mode, seed);
    if let Err(what) = trial.run(CUTS) {
        panic!("{mode:?}, seed {seed}: {what}");
    }
    // Otherwise the trial checked nothing.
    assert!(
        trial.model.top_id > CUTS as u64 && trial.model.known_sequence > CUTS as u64 / 20,
        "{mode:?}, seed {seed}"
    );
}

#[test]
fn cuts_with_each_message_synced_1() {
    check_cuts(Mode::All, 1);
}

#[test]
fn cuts_with_each_message_synced_2() {
    check_cuts(Mode::All, 2);
}

#[test]
fn cuts_with_each_message_synced_3() {
    check_cuts(Mode::All, 3);
}

#[test]
fn cuts_with_each_message_synced_4() {
    check_cuts(Mode::All, 107);
}

#[test]
fn cuts_with_urgent_messages_synced_1() {
    check_cuts(Mode::From(9), 5);
}

#[test]
fn cuts_with_urgent_messages_synced_2() {
    check_cuts(Mode::From(9), 6);
}

#[test]
fn cuts_with_urgent_messages_synced_3() {
    check_cuts(Mode::From(7), 7);
}

#[test]
fn cuts_with_urgent_messages_synced_4() {
    check_cuts(Mode::From(7), 8);
}

#[test]
fn cuts_with_no_message_synced_1() {
    check_cuts(Mode::None, 9);
}

#[test]
fn cuts_with_no_message_synced_2() {
    check_cuts(Mode::None, 10);
}

#[test]
fn cuts_with_no_message_synced_3() {
    check_cuts(Mode::None, 11);
}

#[test]
fn cuts_with_no_message_synced_4() {
    check_cuts(Mode::None, 12);
}

/// The same with bits that flip.
fn check_flips(size: Size, mode: Mode, seed: u64) {
    let mut trial = Trial::of_size(size, mode, seed);
    trial.has_flips = true;
    if let Err(what) = trial.run(CUTS) {
        panic!("{size:?}, {mode:?}, seed {seed}, {} flips: {what}", trial.flips);
    }
    assert!(trial.flips > CUTS / 10 && trial.model.top_id > CUTS as u64, "{} flips", trial.flips);
}

#[test]
fn cuts_and_flipped_bits_with_each_message_synced() {
    check_flips(SHORT, Mode::All, 13);
    check_flips(LONG, Mode::All, 14);
}

#[test]
fn cuts_and_flipped_bits_with_urgent_messages_synced() {
    check_flips(SHORT, Mode::From(9), 15);
    check_flips(LONG, Mode::From(7), 16);
}

#[test]
fn cuts_and_flipped_bits_with_no_message_synced() {
    check_flips(SHORT, Mode::None, 17);
    check_flips(LONG, Mode::None, 18);
}

/// The same with a file whose first page cannot be written.
fn check_bad_page(mode: Mode, seed: u64) {
    let mut trial = Trial::new(mode, seed);
    trial.disk.break_header_page(3);
    if let Err(what) = trial.run(CUTS) {
        panic!("{mode:?}, seed {seed}: {what}");
    }
    assert!(trial.model.known_sequence > CUTS as u64 / 20, "{mode:?}, seed {seed}");
}

#[test]
fn cuts_with_a_first_page_that_cannot_be_written() {
    check_bad_page(Mode::All, 19);
    check_bad_page(Mode::From(9), 20);
    check_bad_page(Mode::None, 21);
}
