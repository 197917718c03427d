use super::*;
use crate::protocol::Priority;
use core::cell::Cell;

const KEY: SegmentKey = SegmentKey { tag: 0x5eed, salt: 7 };
const RECORDS: u64 = 4 * JOURNAL_READ_BYTES as u64 / 400;

/// A file that is empty at the first read. The writer fills it right after that.
struct Growing {
    bytes: std::vec::Vec<u8>,
    is_read: Cell<bool>,
}

impl Source for Growing {
    fn read(&self, _: usize, offset: u32, buffer: &mut [u8]) -> Result<(), Errno> {
        if self.is_read.replace(true) {
            buffer.copy_from_slice(&self.bytes[offset as usize..][..buffer.len()]);
        } else {
            buffer.fill(0);
        }
        Ok(())
    }
}

#[test]
fn records_written_between_two_reads_are_no_damage() {
    let mut bytes = std::vec::Vec::new();
    for id in 1..=RECORDS {
        let record = Record { id, time_ms: 0, priority: Priority::NORMAL, from: b"a", text: &[b'x'; 350] };
        let start = bytes.len();
        bytes.resize(start + record.bytes(), 0);
        record.write(&KEY, &mut bytes[start..]).unwrap();
    }
    let mut window = [0; JOURNAL_READ_BYTES];
    let mut scan = Scan::new(0, KEY, 0..bytes.len() as u32, &mut window);
    let file = Growing { bytes, is_read: Cell::new(false) };
    for expected in 1..=RECORDS {
        let step = scan.next(&file).unwrap();
        assert!(matches!(&step, Step::Record(record) if record.id == expected), "{expected}: {step:?}");
    }
    assert_eq!(scan.next(&file), Ok(Step::End));
}

/// A segment in memory.
struct File(std::vec::Vec<u8>);

impl Source for File {
    fn read(&self, _: usize, offset: u32, buffer: &mut [u8]) -> Result<(), Errno> {
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        Ok(())
    }
}

/// A segment with this many records of all lengths and with every second ID, and free space of the same size after
/// them. Returns the offset of each record too.
fn segment(records: u64) -> (File, std::vec::Vec<u32>) {
    let (mut bytes, mut offsets) = (std::vec::Vec::new(), std::vec::Vec::new());
    for index in 1..=records {
        let text = [b'x'; crate::limits::TEXT_BYTES];
        let text = &text[..(index * index) as usize % text.len()];
        let record = Record { id: 2 * index, time_ms: 0, priority: Priority::NORMAL, from: b"a", text };
        offsets.push(bytes.len() as u32);
        bytes.resize(bytes.len() + record.bytes(), 0);
        record.write(&KEY, &mut bytes[*offsets.last().unwrap() as usize..]).unwrap();
    }
    bytes.resize(2 * bytes.len() + 2 * JOURNAL_PROBE_BYTES, 0);
    (File(bytes), offsets)
}

/// Seeks that ID, and checks the bounds that `seek` promises.
fn seek(file: &File, id: u64) -> Option<RecordLocation> {
    let mut window = [0; JOURNAL_READ_BYTES];
    let mut scan = Scan::new(0, KEY, 0..file.0.len() as u32, &mut window);
    let mut budget = 32 * JOURNAL_PROBE_BYTES as u32;
    let location = scan.seek(file, id, &mut budget).unwrap();
    assert!(budget > 0, "it takes 32 probes at most");
    assert!(location.is_none_or(|location| location.id <= id));
    location
}

#[test]
fn seek_finds_a_close_record_in_few_probes() {
    for count in [1, 2, 3, 10, 1_000] {
        let (file, offsets) = segment(count);
        for id in 0..=2 * count + 1 {
            let expected = (id / 2).checked_sub(1).map(|index| offsets[index as usize]);
            let location = seek(&file, id);
            assert_eq!(location.is_some(), expected.is_some(), "{id} of {count}");
            if let (Some(location), Some(expected)) = (location, expected) {
                assert_eq!(location.offset, offsets[location.id as usize / 2 - 1]);
                assert!(expected - location.offset <= JOURNAL_PROBE_BYTES as u32, "{id} of {count}");
            }
        }
    }
}

#[test]
fn damage_makes_seek_less_close_but_never_wrong() {
    let (whole, offsets) = segment(300);
    let end = offsets[299] as usize;
    for start in (0..end).step_by(1_600) {
        let mut file = File(whole.0.clone());
        file.0[start..start + 20_000].fill(0xa5);
        for id in (1..601).step_by(7) {
            if let Some(location) = seek(&file, id) {
                assert_eq!(location.offset, offsets[location.id as usize / 2 - 1], "{id}, damage at {start}");
            }
        }
    }
}

#[test]
fn seek_in_an_empty_segment_finds_nothing() {
    assert_eq!(seek(&File(vec![0; 100_000]), 5), None);
    assert_eq!(seek(&File(vec![0; 8]), 5), None);
    assert_eq!(seek(&File(vec![]), 5), None);
}
