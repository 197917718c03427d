//! Each sync of the writer is needed: if the disk ignores it, a test fails.

use super::small_journal::{SMALL_BYTES, places, small_journal, write_batches};
use super::trial::{CUTS, Mode, Size, Trial, WHOLE};
use crate::journal::record::Record;
use crate::journal::simulated::{Call, SimulatedDisk, Target};
use crate::journal::writer::{Buffers, Writer};
use crate::limits::JOURNAL_SEGMENTS;
use crate::protocol::Priority;

/// Checks that a trial fails within this many cuts if these syncs do nothing but return `Ok`.
fn check_detected(syncs: (Call, Target), mode: Mode, cuts: usize) {
    let fails = |seed: u64| {
        let mut trial = Trial::of_size(WHOLE, mode, seed);
        trial.is_rough = true;
        trial.disk.ignore(syncs);
        trial.run(CUTS).is_err()
    };
    let count = cuts.div_ceil(CUTS) as u64;
    assert!((100..100 + count).any(fails), "{syncs:?} can be left out without a failure");
}

#[test]
fn lost_sync_at_a_commit_is_detected() {
    check_detected((Call::Commit, Target::Records), Mode::All, 2_500);
    check_detected((Call::Commit, Target::Records), Mode::From(9), 2_500);
}

#[test]
fn lost_sync_after_a_failed_write_is_detected() {
    check_detected((Call::Commit, Target::Rest), Mode::From(9), 5_000);
}

#[test]
fn lost_sync_of_the_header_after_a_failure_is_detected() {
    check_detected((Call::Commit, Target::Header), Mode::All, 5_000);
}

#[test]
fn lost_sync_of_the_header_after_an_outage_is_detected() {
    check_detected((Call::Reopen, Target::Header), Mode::All, 25_000);
}

#[test]
fn lost_sync_at_a_rotation_is_detected() {
    check_detected((Call::BeginGroup, Target::Records), Mode::From(9), 5_000);
}

/// Whether the writer issues IDs twice after a power cut just after a rotation in a full ring. The messages in the last
/// segment are acknowledged without a sync, and are so short that they have more IDs than fit in the rest of the
/// previous segment.
fn are_ids_repeated(seed: u64, ignored: Option<(Call, Target)>) -> bool {
    let Size { segment_bytes, stretch_bytes } = WHOLE;
    let disk = SimulatedDisk::new(segment_bytes, seed);
    ignored.into_iter().for_each(|syncs| disk.ignore(syncs));
    let mut buffers = Box::new(Buffers::new());
    let opened = Writer::open_with(disk.clone(), segment_bytes, stretch_bytes, &mut buffers);
    let (mut writer, _) = opened.unwrap();
    // From now on, only the headers say that there are unsynced messages.
    writer.append(&Record { id: 1, time_ms: 0, priority: Priority::LOW, from: b"", text: b"" });
    writer.commit(false).unwrap();
    for sequence in 1..=JOURNAL_SEGMENTS + 1 {
        let is_synced = sequence <= JOURNAL_SEGMENTS;
        disk.enter(Call::BeginGroup);
        writer.begin_group(is_synced);
        for id in (writer.next_id()..).take(3_000) {
            writer.append(&Record { id, time_ms: 0, priority: Priority::LOW, from: b"", text: b"" });
        }
        disk.enter(Call::Commit);
        writer.commit(is_synced).unwrap();
    }
    let issued = writer.next_id();
    disk.cut();
    let opened = Writer::open_with(disk, segment_bytes, stretch_bytes, &mut buffers);
    opened.unwrap().1.next_id < issued
}

#[test]
fn lost_sync_of_the_header_at_a_rotation_is_detected() {
    assert!(!(0..200).any(|seed| are_ids_repeated(seed, None)));
    let ignored = Some((Call::BeginGroup, Target::Header));
    assert!((0..200).any(|seed| are_ids_repeated(seed, ignored)), "the lost sync has no effect");
}

#[test]
fn lost_sync_at_a_start_is_detected() {
    check_detected((Call::Open, Target::Former), Mode::All, 25_000);
}

/// How many commits fail if a start begins a segment, and the first page of the next file cannot be written.
fn failures_after_a_start(ignored: Option<(Call, Target)>) -> u64 {
    let disk = small_journal();
    let (segment, _, last) = places(&disk).pop().unwrap();
    disk.damage(segment, |bytes| bytes[last.start as usize + 9] ^= 1);
    disk.break_header_page(segment + 1);
    ignored.into_iter().for_each(|syncs| disk.ignore(syncs));
    disk.enter(Call::Open);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, recovery) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    assert!(recovery.torn_bytes > 0, "{recovery:?}");
    disk.enter(Call::Commit);
    let _ = write_batches(&mut writer, 24..25, true);
    writer.stats().failures
}

#[test]
fn lost_sync_of_the_header_at_a_start_is_detected() {
    // A power cut does not show it, because the first commit syncs the header too. But then it is too late for the
    // writer to choose another file.
    assert_eq!(failures_after_a_start(None), 0);
    assert_eq!(failures_after_a_start(Some((Call::Open, Target::Header))), 1, "the lost sync has no effect");
}

#[test]
fn lost_sync_of_a_mark_is_detected() {
    // A start may lose its mark: then the next start skips the same IDs again, and no more.
    check_detected((Call::Commit, Target::Records), Mode::None, 5_000);
    check_detected((Call::Close, Target::Records), Mode::From(9), 5_000);
}

#[test]
fn lost_sync_of_committed_records_is_detected() {
    check_detected((Call::SyncCommitted, Target::Records), Mode::From(9), 2_500);
}
