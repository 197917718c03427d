//! A small journal for tests that damage every bit of it, or a certain file.

use super::message::Message;
use super::reader::Reader;
use crate::journal::headers::{FIRST_OFFSET, read_headers};
use crate::journal::recovery::Recovery;
use crate::journal::scan::{Scan, Step};
use crate::journal::simulated::{Fault, SimulatedDisk};
use crate::journal::writer::{Buffers, Writer};
use crate::limits::{BATCH, JOURNAL_READ_BYTES};
use core::ops::Range;
use nix::errno::Errno;

/// A small journal of three segments with 24 synced records. The last segment is the third.
pub(super) fn small_journal() -> SimulatedDisk {
    let disk = SimulatedDisk::new(SMALL_BYTES, 1);
    let mut buffers = Box::new(Buffers::new());
    let (mut writer, _) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    for serial in 0..24 {
        writer.begin_group(true);
        writer.append(&Message::new(serial).record(serial + 1));
        writer.commit(true).unwrap();
        // A failed commit begins the next segment before this one is full.
        if serial % 8 == 7 && serial < 23 {
            disk.fail_after(0, Fault::Write(Errno::EIO));
            writer.begin_group(true);
            writer.append(&Message::new(1_000).record(serial + 2));
            writer.commit(true).unwrap_err();
        }
    }
    assert_eq!(writer.extent().0.iter().flatten().count(), 3);
    disk
}

pub(super) const SMALL_BYTES: u32 = 56 * 1024;

/// Opens the small journal. Returns all IDs in it, and what the writer recovered.
pub(super) fn start(disk: &SimulatedDisk) -> (Vec<u64>, Recovery) {
    let mut buffers = Box::new(Buffers::new());
    let (writer, recovery) = Writer::open(disk.clone(), SMALL_BYTES, &mut buffers).unwrap();
    let (headers, end) = writer.extent();
    let seen = Reader::new().read(disk, headers, end).unwrap();
    assert!(seen.iter().all(|(id, serial)| *id == serial + 1), "{seen:?}");
    (seen.iter().map(|(id, _)| *id).collect(), recovery)
}

/// The records of the small journal: the file, the ID, and the bytes of each.
pub(super) fn places(disk: &SimulatedDisk) -> Vec<(usize, u64, Range<u32>)> {
    let headers = read_headers(&disk.fault_free(), SMALL_BYTES).unwrap();
    let mut places = Vec::new();
    for (segment, header) in headers.iter().enumerate().filter_map(|(at, header)| Some((at, (*header)?))) {
        let mut window = Box::new([0; JOURNAL_READ_BYTES]);
        let mut scan = Scan::new(segment, header.key, FIRST_OFFSET..SMALL_BYTES, &mut window);
        let mut begin = FIRST_OFFSET;
        while let Step::Record(record) = scan.next(&disk.fault_free()).unwrap() {
            let (id, serial) = (record.id, record.time_ms);
            if id == serial + 1 {
                places.push((segment, id, begin..scan.at()));
            }
            begin = scan.at();
        }
    }
    places
}

/// Commits messages in batches. The result is an error if a commit fails.
pub(super) fn write_batches(
    writer: &mut Writer<'_, SimulatedDisk>,
    serials: Range<u64>,
    is_synced: bool,
) -> Result<(), Errno> {
    let serials: Vec<u64> = serials.collect();
    serials.chunks(BATCH).try_for_each(|batch| {
        writer.begin_group(is_synced);
        batch.iter().for_each(|serial| writer.append(&Message::new(*serial).record(writer.next_id())));
        writer.commit(is_synced)
    })
}
