//! The messages that damage to the small journal costs: to bits, ends of files and headers, and by pages that cannot be
//! written.

use super::reader::Reader;
use super::small_journal::{SMALL_BYTES, places, small_journal, start, write_batches};
use crate::journal::headers::{FIRST_OFFSET, read_headers};
use crate::journal::segment::{HEADER_BYTES, Header};
use crate::journal::simulated::{Fault, SimulatedDisk};
use crate::journal::writer::{Buffers, Writer};
use crate::limits::JOURNAL_SEGMENTS;
use core::ops::Range;

/// Enough messages for the writer of the small journal to rotate to each file several times.
const MANY: u64 = 1_500;

#[test]
fn file_whose_first_page_cannot_be_written_costs_no_message() {
    let disk = SimulatedDisk::new(SMALL_BYTES, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    // One of the files is not used yet, and the other one is in use already.
    disk.break_header_page(5);
    write_batches(&mut writer, 0..MANY, true).unwrap();
    disk.break_header_page(2);
    write_batches(&mut writer, MANY..2 * MANY, true).unwrap();
    assert_eq!(writer.stats().failures, 0);
    assert_eq!(writer.extent().0.iter().flatten().count(), JOURNAL_SEGMENTS - 2);
    drop(writer);
    disk.cut();
    let (ids, recovery) = start(&disk);
    assert_eq!(
        (recovery.next_id, recovery.skipped, recovery.unreadable_segments),
        (2 * MANY + 1, 0, 0),
        "{recovery:?}"
    );
    assert_eq!(recovery.segments, JOURNAL_SEGMENTS - 2);
    assert!(ids.iter().copied().eq(ids[0]..=2 * MANY), "{ids:?}");
}

#[test]
fn outage_costs_the_oldest_segment_and_rarely_one_more() {
    let disk = SimulatedDisk::new(SMALL_BYTES, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    write_batches(&mut writer, 0..MANY, true).unwrap();
    drop(writer);
    // The length of the outage decides during which operation it ends.
    let costs = (200..300).map(|operations| {
        let disk = disk.copy();
        let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
        let before = writer.extent().0.map(|header| header.unwrap().first_id);
        disk.fail_after(0, Fault::Outage(operations));
        write_batches(&mut writer, MANY..MANY + 1, true).unwrap_err();
        while writer.reopen_segment().is_err() {}
        let (headers, end) = writer.extent();
        let first = Reader::new().read(&disk, headers, end).unwrap()[0].0;
        before.iter().filter(|id| **id < first).count()
    });
    let costs: Vec<usize> = costs.collect();
    assert!(costs.iter().all(|cost| (1..=2).contains(cost)), "{costs:?}");
    assert!(costs.contains(&1), "{costs:?}");
}

#[test]
fn every_flipped_bit_costs_one_record() {
    let disk = small_journal();
    let places = places(&disk);
    assert_eq!(places.len(), 24);
    let flip = |segment: usize, bit: u32| {
        let flipped = if segment == 2 { disk.copy() } else { disk.clone() };
        let damage = |bytes: &mut [u8]| bytes[bit as usize / 8] ^= 1 << (bit % 8);
        flipped.damage(segment, damage);
        let started = start(&flipped);
        flipped.damage(segment, damage);
        started
    };
    let all: Vec<u64> = (1..=24).collect();
    for (segment, id, part) in &places {
        for bit in 8 * part.start..8 * part.end {
            let (ids, recovery) = flip(*segment, bit);
            let is_padding = ids == all && bit >= 8 * (part.end - 7);
            let expected: Vec<u64> = all.iter().copied().filter(|kept| kept != id).collect();
            assert!(is_padding || ids == expected, "segment {segment}, ID {id}, bit {bit}: {ids:?}");
            assert!(recovery.next_id >= 25, "segment {segment}, ID {id}, bit {bit}: {recovery:?}");
            let is_found = *segment == 2 && !is_padding;
            let (is_last, length) = (*id == 24, part.end - part.start);
            let expected = |is_found: bool| if is_found { 1..=length } else { 0..=0 };
            assert!(expected(is_found && is_last).contains(&recovery.torn_bytes), "bit {bit}: {recovery:?}");
            assert!(
                expected(is_found && !is_last).contains(&recovery.damaged_bytes),
                "bit {bit}: {recovery:?}"
            );
        }
    }
    for segment in 0..3 {
        for bit in 0..8 * FIRST_OFFSET {
            let (ids, recovery) = flip(segment, bit);
            assert!(ids == all && recovery.next_id == 25, "segment {segment}, bit {bit}: {ids:?}");
        }
    }
}

#[test]
fn segment_truncated_at_any_byte_keeps_the_records_before() {
    let disk = small_journal();
    let places = places(&disk);
    for segment in 0..3 {
        let last_end =
            places.iter().filter(|(at, ..)| *at == segment).map(|(.., part)| part.end).max().unwrap();
        // A shorter file would lose the second copy of the header too.
        for length in FIRST_OFFSET / 2 + HEADER_BYTES as u32..=last_end {
            let (cut, mut changed) = (disk.copy(), Vec::new());
            cut.damage(segment, |bytes| {
                let tail = &mut bytes[length as usize..];
                // A byte that was zero already is not lost.
                changed.extend((length..).zip(&*tail).filter(|(_, byte)| **byte != 0).map(|(at, _)| at));
                tail.fill(0);
            });
            let (ids, recovery) = start(&cut);
            let is_kept =
                |at: usize, part: &Range<u32>| at != segment || !changed.iter().any(|at| part.contains(at));
            let kept = places.iter().filter(|(at, _, part)| is_kept(*at, part)).map(|(_, id, _)| *id);
            let kept: Vec<u64> = kept.collect();
            assert_eq!(ids, kept, "segment {segment}, {length} bytes");
            assert!(
                recovery.next_id > *ids.last().unwrap(),
                "segment {segment}, {length} bytes: {recovery:?}"
            );
        }
    }
}

#[test]
fn segment_without_header_repeats_no_id_and_its_ids_are_skipped_once() {
    let disk = small_journal();
    for segment in 0..3 {
        let headless = disk.copy();
        headless.damage(segment, |bytes| bytes[..FIRST_OFFSET as usize].fill(0));
        let (ids, recovery) = start(&headless);
        assert_eq!((ids.len(), recovery.unreadable_segments), (16, 1), "segment {segment}");
        assert!(recovery.next_id >= 25, "segment {segment}: {recovery:?}");
        // If other segments follow the damaged one, no ID beyond theirs can be lost.
        assert_eq!(recovery.skipped > 0, segment == 2, "segment {segment}: {recovery:?}");
        let (_, again) = start(&headless);
        assert_eq!((again.next_id, again.skipped), (recovery.next_id, 0), "segment {segment}");
    }
}

#[test]
fn power_cut_during_the_conversion_of_version_1_loses_nothing() {
    let disk = small_journal();
    let headers = read_headers(&disk.fault_free(), SMALL_BYTES).unwrap();
    for (segment, header) in headers.iter().enumerate().filter_map(|(at, header)| Some((at, (*header)?))) {
        let page = Header { origin: None, ..header }.to_page();
        disk.damage(segment, |bytes| bytes[..FIRST_OFFSET as usize].copy_from_slice(&page));
    }
    let open = |disk: &SimulatedDisk| {
        let mut buffers = Box::new(Buffers::new());
        Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).is_ok()
    };
    let mut is_converted = false;
    for operations in 0.. {
        let cut = disk.copy();
        cut.fail_after(operations, Fault::Off);
        is_converted = open(&cut);
        cut.cut();
        let (ids, recovery) = start(&cut);
        assert!(ids.into_iter().eq(1..=24), "after {operations} operations");
        assert_eq!((recovery.next_id, recovery.skipped), (25, 0), "after {operations} operations");
        let headers = read_headers(&cut.fault_free(), SMALL_BYTES).unwrap();
        assert_eq!(headers.iter().flatten().filter(|header| header.origin.is_some()).count(), 1);
        if is_converted {
            break;
        }
    }
    assert!(is_converted);
}
