//! Reads a journal whose bytes the fuzzer chooses, while they change: nothing may panic, run for ever, or read
//! out of bounds.
//!
//! The fuzzer writes a small program: where to read from, and operations that write headers, records and bytes
//! to segments. Headers and records get their checksums here, because no fuzzer guesses those. The second half
//! of the program runs in the middle of the reading, as a writer does.

#![no_main]

use firstline::journal::catalog::Catalog;
use firstline::journal::cursor::{Cursor, Step};
use firstline::journal::disk::Source;
use firstline::journal::headers::{FIRST_OFFSET, Headers, read_headers};
use firstline::journal::record::Record;
use firstline::journal::scan::{Scan, Step as ScanStep};
use firstline::journal::segment::{Header, Identity, Origin, SegmentKey};
use firstline::journal::tail::Tail;
use firstline::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENTS, SEGMENT_HEADER_BYTES};
use firstline::protocol::Priority;
use libfuzzer_sys::fuzz_target;
use nix::errno::Errno;
use program::Program;

mod program;

const SEGMENT_BYTES: u32 = 16 * 1024;

/// The most results of one segment, besides records: each takes 8 bytes or more.
const STEPS_MAX: usize = SEGMENT_BYTES as usize / 8;

/// Segments in memory, and where the next write to each goes.
struct Disk {
    segments: Vec<Vec<u8>>,
    ends: [usize; JOURNAL_SEGMENTS],
    keys: [SegmentKey; JOURNAL_SEGMENTS],
}

impl Source for Disk {
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        let range = offset as usize..offset as usize + bytes.len();
        bytes.copy_from_slice(self.segments[segment].get(range).ok_or(Errno::ENODATA)?);
        Ok(())
    }
}

impl Disk {
    fn new() -> Self {
        Self {
            segments: vec![vec![0; SEGMENT_BYTES as usize]; JOURNAL_SEGMENTS],
            ends: [FIRST_OFFSET as usize; JOURNAL_SEGMENTS],
            keys: [SegmentKey { tag: 0, salt: 0 }; JOURNAL_SEGMENTS],
        }
    }

    fn put(&mut self, segment: usize, offset: usize, bytes: &[u8]) {
        if let Some(room) = self.segments[segment].get_mut(offset..offset + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }

    /// Runs one operation of the program.
    fn change(&mut self, program: &mut Program<'_>) {
        let operation = program.byte();
        let segment = usize::from(operation >> 4) % JOURNAL_SEGMENTS;
        match operation & 15 {
            0 => self.begin(segment, program),
            1..=7 => self.append(segment, program),
            8..=9 => {
                // Bytes of the program itself, right after the last write.
                let count = usize::from(program.byte());
                let bytes = program.bytes(count).to_vec();
                self.put(segment, self.ends[segment], &bytes);
                self.ends[segment] += bytes.len().next_multiple_of(8);
            }
            10 => self.ends[segment] = FIRST_OFFSET as usize + 64 * usize::from(program.byte()),
            11 => self.segments[segment].truncate(64 * usize::from(program.byte())),
            _ => {
                let offset = usize::from(program.byte()) << 6 | usize::from(program.byte()) & 63;
                let byte = program.byte();
                self.put(segment, offset, &[byte]);
            }
        }
    }

    fn begin(&mut self, segment: usize, program: &mut Program<'_>) {
        let key = SegmentKey { tag: u32::from(program.byte()), salt: program.byte().into() };
        let header = Header {
            segment_bytes: SEGMENT_BYTES,
            sequence: program.number(),
            key,
            previous_end: u32::from(program.byte()) << 6 | u32::from(program.byte()),
            first_id: program.number(),
            origin: None,
        };
        let how = program.byte();
        let origin = Origin {
            identity: Identity(u64::from(how >> 6)),
            is_unsynced: how & 4 != 0,
            oldest: if how & 8 != 0 { program.number() } else { 0 },
            attempt: u32::from(how >> 4 & 3),
        };
        let header = Header { origin: (how & 2 != 0).then_some(origin), ..header };
        self.put(segment, 0, &header.to_page());
        if how & 1 != 0 {
            self.put(segment, SEGMENT_HEADER_BYTES / 2, &[0; SEGMENT_HEADER_BYTES / 2]);
        }
        self.keys[segment] = key;
        self.ends[segment] = FIRST_OFFSET as usize;
    }

    fn append(&mut self, segment: usize, program: &mut Program<'_>) {
        let id = program.number();
        let priority = Priority::new(program.byte() % 10).unwrap_or(Priority::NORMAL);
        let count = usize::from(program.byte());
        let text = program.bytes(count).to_vec();
        let record = Record { id, time_ms: id, priority, from: b"from", text: &text };
        let room = self.segments[segment].get_mut(self.ends[segment]..);
        let written = room.and_then(|room| record.write(&self.keys[segment], room));
        self.ends[segment] += written.unwrap_or(0);
    }

    fn headers(&self) -> Headers {
        // A file that ends within its header cannot be read.
        read_headers(self, SEGMENT_BYTES).unwrap_or([None; JOURNAL_SEGMENTS])
    }
}

/// Reads until there is nothing more, or the disk fails.
fn read(disk: &Disk, cursor: &mut Cursor, last_end: Option<u32>, at_a_time: u32, calls: usize) {
    let mut window = [0; JOURNAL_READ_BYTES];
    let catalog = Catalog::new(&disk.headers(), last_end);
    for _ in 0..calls {
        let mut reading = cursor.read(&catalog, &mut window, at_a_time);
        for count in 0.. {
            assert!(count <= 2 * JOURNAL_SEGMENTS * STEPS_MAX, "one call does not end");
            let wanted = std::hint::black_box(reading.next(disk));
            match wanted {
                Ok(Step::Pause | Step::Incomplete) => break,
                Ok(Step::End | Step::Overwritten) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

fuzz_target!(|program: &[u8]| {
    let mut program = Program(program);
    let (kind, since, at_a_time) = (program.byte(), program.number(), u32::from(program.byte()) << 5);
    let last_end = (kind & 1 == 1).then(|| FIRST_OFFSET + u32::from(program.byte()) * 48);
    let mut cursor = if kind & 2 == 2 { Cursor::since(since) } else { Cursor::oldest() };
    let mut disk = Disk::new();
    let half = program.0.len() / 2;
    while program.0.len() > half {
        disk.change(&mut program);
    }
    read(&disk, &mut cursor, last_end, at_a_time.max(1), usize::from(kind >> 2));
    while !program.0.is_empty() {
        disk.change(&mut program);
    }
    read(&disk, &mut cursor, last_end, at_a_time.max(1), JOURNAL_SEGMENTS * STEPS_MAX);
    let mut window = [0; JOURNAL_READ_BYTES];
    for (segment, header) in disk.headers().iter().enumerate() {
        if let Some(header) = header {
            let tail = Tail::read(&disk, segment, header, 4_096, &mut window);
            let is_cut = disk.segments[segment].len() < SEGMENT_BYTES as usize;
            assert!(is_cut || tail.is_ok_and(|tail| tail.end >= FIRST_OFFSET));
        }
    }
    let mut scan = Scan::new(0, disk.keys[0], u32::from(kind)..SEGMENT_BYTES, &mut window);
    for count in 0.. {
        assert!(count <= STEPS_MAX, "the scan does not end");
        if matches!(scan.next(&disk), Ok(ScanStep::End) | Err(_)) {
            break;
        }
    }
});
