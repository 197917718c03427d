use super::*;
use crate::journal::headers::read_headers;
use crate::journal::record::Record;
use crate::journal::simulated::{Random, SimulatedDisk};
use crate::journal::writer::{Buffers, Writer};
use crate::limits::{JOURNAL_PROBE_BYTES, JOURNAL_READ_BYTES, RECORD_HEADER_BYTES};
use crate::protocol::Priority;

const FILE: u32 = 128 * 1024;

/// A journal with this many messages. `gap` says how many IDs are left out before each of them.
fn journal(messages: u64, mut gap: impl FnMut(u64) -> u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(FILE, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), FILE, &mut buffers).unwrap();
    for index in 0..messages {
        writer.begin_group(true);
        let id = writer.next_id() + gap(index);
        let text = [b'x'; 300];
        writer.append(&Record {
            id,
            time_ms: index,
            priority: Priority::NORMAL,
            from: b"a",
            text: &text[..(index * 7) as usize % 300],
        });
        writer.commit(true).unwrap();
    }
    disk
}

fn catalog(disk: &SimulatedDisk) -> Catalog {
    Catalog::new(&read_headers(&disk.fault_free(), FILE).unwrap(), None)
}

/// The IDs from that cursor on, without the first `skipped` ones.
fn ids(disk: &SimulatedDisk, cursor: &mut Cursor, skipped: u64) -> Vec<u64> {
    let (catalog, mut window, mut ids) = (catalog(disk), [0; JOURNAL_READ_BYTES], Vec::new());
    let mut reading = cursor.read(&catalog, &mut window, u32::MAX);
    loop {
        match reading.next(&disk.fault_free()).unwrap() {
            Step::Record(record) => ids.push(record.id),
            Step::End => return ids.split_off(ids.len().min(skipped as usize)),
            _ => {}
        }
    }
}

/// The last messages below an ID according to the search, and how many calls it took.
fn search(disk: &SimulatedDisk, count: u64, end_id: u64, budget: u32) -> (Vec<u64>, usize) {
    search_on(disk, Last::new(count, end_id), end_id, budget)
}

/// The messages below an ID that a search finds, also those that do not count, and how many calls it took.
fn search_on(disk: &SimulatedDisk, mut last: Last, end_id: u64, budget: u32) -> (Vec<u64>, usize) {
    let (catalog, mut window, mut calls) = (catalog(disk), [0; JOURNAL_READ_BYTES], 0);
    loop {
        calls += 1;
        match last.search(&catalog, &disk.fault_free(), &mut window, budget).unwrap() {
            Progress::Complete(mut cursor, skipped) => {
                let mut ids = ids(disk, &mut cursor, skipped);
                ids.retain(|id| *id < end_id);
                return (ids, calls);
            }
            Progress::Pause => {}
            Progress::Overwritten => panic!("no writer runs"),
        }
    }
}

fn check(disk: &SimulatedDisk) {
    let all = ids(disk, &mut Cursor::oldest(), 0);
    let newest = *all.last().unwrap();
    for end_id in [newest + 1, newest, newest + 100_000, all[all.len() / 2] + 1] {
        let below: Vec<u64> = all.iter().copied().filter(|id| *id < end_id).collect();
        for count in [1, 2, 10, 100, 999, 1_000, 5_000] {
            let expected = &below[below.len().saturating_sub(count)..];
            for budget in [u32::MAX, 5_000] {
                let (last, _) = search(disk, count as u64, end_id, budget);
                assert_eq!(last, expected, "{count} below {end_id}");
            }
        }
    }
}

#[test]
fn search_counts_messages_and_not_ids() {
    check(&journal(1, |_| 0));
    check(&journal(1_500, |_| 0));
    // The writer has rotated through the whole ring.
    check(&journal(8_000, |_| 0));
    check(&journal(1_500, |index| if index % 400 == 399 { 1_000_000 } else { 0 }));
    let mut random = Random(5);
    check(&journal(1_500, |_| if random.once_in(5) { random.next() % 1_000 } else { 0 }));
}

#[test]
fn damage_hides_no_other_message() {
    let mut random = Random(6);
    for _ in 0..10 {
        let disk = journal(1_500, |_| 0);
        for _ in 0..5 {
            let (segment, start) = (random.below(3), random.below(FILE as usize - 20_000));
            let length = 1 + random.below(20_000);
            let first = FIRST_OFFSET as usize;
            disk.damage(segment, |bytes| bytes[start.max(first)..(start + length).max(first)].fill(0xa5));
        }
        check(&disk);
    }
}

#[test]
fn large_gap_at_the_beginning_hides_no_message_behind_it() {
    for percent in [30, 55, 80, 95] {
        let disk = journal(300, |_| 0);
        let first = FIRST_OFFSET as usize;
        let end = first + 300 * 190 * percent / 100;
        disk.damage(0, |bytes| bytes[first..end].fill(0));
        check(&disk);
    }
}

#[test]
fn one_round_is_enough_if_no_id_is_missing() {
    let disk = journal(1_500, |_| 0);
    for count in [1, 100, 1_400] {
        assert_eq!(search(&disk, count, 1_501, u32::MAX).1, 1, "{count}");
    }
}

/// A journal of 3,000 messages, of which each `every`-th is urgent.
fn journal_with_urgent(every: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(FILE, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), FILE, &mut buffers).unwrap();
    for id in 1..=3_000_u64 {
        writer.begin_group(true);
        let priority = if id.is_multiple_of(every) { Priority::URGENT } else { Priority::NORMAL };
        writer.append(&Record { id, time_ms: 0, priority, from: b"a", text: b"x" });
        writer.commit(true).unwrap();
    }
    disk
}

/// Searches that journal for the last `count` urgent messages from `first_id` on. Returns them, how many IDs the search
/// went back, and how many rounds it took.
fn urgent(disk: &SimulatedDisk, every: u64, count: u64, first_id: u64) -> (Vec<u64>, u64, usize) {
    let (catalog, mut window, mut rounds) = (catalog(disk), [0; JOURNAL_READ_BYTES], 0);
    let mut last = Last::new(count, 3_001).since(first_id).of(Priority::HIGH);
    loop {
        rounds += 1;
        if let Progress::Complete(mut cursor, skipped) =
            last.search(&catalog, &disk.fault_free(), &mut window, u32::MAX).unwrap()
        {
            let start = cursor.next_id().unwrap_or(1);
            let mut ids = ids(disk, &mut cursor, 0);
            ids.retain(|id| id.is_multiple_of(every));
            return (ids.split_off(skipped as usize), 3_000 - start, rounds);
        }
    }
}

#[test]
fn search_among_priorities_goes_at_most_twice_as_far_back_as_needed() {
    for every in [1, 2, 7, 100, 1_000, 10_000] {
        let disk = journal_with_urgent(every);
        for count in [1, 2, 10, 100, 3_000] {
            for first_id in [0, 1, 1_500, 2_999] {
                let all: Vec<u64> = (1..=3_000).filter(|id| *id >= first_id && id % every == 0).collect();
                let expected = &all[all.len().saturating_sub(count as usize)..];
                let (last, back, rounds) = urgent(&disk, every, count, first_id);
                assert_eq!(last, expected, "{count} of each {every}th from {first_id}");
                assert!(rounds <= 30, "{rounds}");
                let needed = if expected.len() as u64 == count { 3_001 - expected[0] } else { 3_000 };
                // A round begins with the record that a probe finds.
                let probe = JOURNAL_PROBE_BYTES.div_ceil(RECORD_HEADER_BYTES) as u64;
                assert!(back <= 2 * (needed.max(count) + probe), "{back} IDs back for {needed}");
            }
        }
    }
}
