//! Whatever bytes are on a disk, the reader of the journal neither panics nor hangs nor makes up a message.

use firstline::journal::catalog::Catalog;
use firstline::journal::cursor::{Cursor, Step};
use firstline::journal::disk::Source;
use firstline::journal::headers::{FIRST_OFFSET, read_headers};
use firstline::journal::record::Record;
use firstline::journal::scan::{Scan, Step as ScanStep};
use firstline::journal::segment::{Header, Identity, Origin, SegmentKey};
use firstline::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENTS, SEGMENT_HEADER_BYTES, TEXT_BYTES};
use firstline::protocol::Priority;
use nix::errno::Errno;
use proptest::collection::vec;
use proptest::prelude::*;

const SEGMENT_BYTES: u32 = 64 * 1024;

const ORIGIN: Origin = Origin { identity: Identity(1), is_unsynced: false, oldest: 0, attempt: 0 };

/// How many records a segment can hold at most, with the shortest records.
const RECORDS_MAX: usize = SEGMENT_BYTES as usize / 32;

/// Segments in memory.
#[derive(Clone, Debug)]
struct Memory(Vec<Vec<u8>>);

impl Source for Memory {
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        let range = offset as usize..offset as usize + bytes.len();
        bytes.copy_from_slice(self.0[segment].get(range).ok_or(Errno::ENODATA)?);
        Ok(())
    }
}

/// A part of a segment.
#[derive(Clone, Debug)]
enum Piece {
    Message(u64, Vec<u8>),
    /// A message of an earlier use of the segment.
    Former(u64),
    /// The segment's tag and these bytes after it: looks like a record, and is none.
    Tagged(Vec<u8>),
    Noise(Vec<u8>),
}

/// The content of a segment: a header, and pieces.
type Segment = (Option<Header>, Vec<Piece>);

fn header() -> impl Strategy<Value = Option<Header>> {
    let numbers = prop_oneof![4 => 0..20_u64, 1 => any::<u64>()];
    let previous_end = prop_oneof![FIRST_OFFSET..=SEGMENT_BYTES, any::<u32>()];
    let header = (numbers.clone(), numbers, any::<u32>(), previous_end).prop_map(
        |(sequence, first_id, mark, previous_end)| Header {
            segment_bytes: SEGMENT_BYTES,
            sequence,
            key: SegmentKey { tag: mark, salt: mark.into() },
            previous_end,
            first_id,
            origin: mark.is_multiple_of(2).then_some(Origin {
                oldest: u64::from(mark / 2 % 8),
                attempt: mark / 16 % 3,
                ..ORIGIN
            }),
        },
    );
    prop::option::weighted(0.9, header)
}

fn piece() -> impl Strategy<Value = Piece> {
    let id = prop_oneof![8 => 0..200_u64, 1 => any::<u64>()];
    prop_oneof![
        8 => (id, vec(any::<u8>(), 0..TEXT_BYTES)).prop_map(|(id, text)| Piece::Message(id, text)),
        1 => any::<u64>().prop_map(Piece::Former),
        1 => vec(any::<u8>(), 0..64).prop_map(Piece::Tagged),
        1 => vec(any::<u8>(), 0..2_000).prop_map(Piece::Noise),
    ]
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    vec((header(), vec(piece(), 0..40)), JOURNAL_SEGMENTS)
}

/// Bytes that are overwritten.
fn flips() -> impl Strategy<Value = Vec<(usize, usize, u8)>> {
    vec((0..JOURNAL_SEGMENTS, 0..2 * SEGMENT_HEADER_BYTES, any::<u8>()), 0..4)
}

fn record(id: u64, text: &[u8]) -> Record<'_> {
    Record { id, time_ms: id, priority: Priority::NORMAL, from: b"from", text }
}

fn bytes_of((header, pieces): &Segment) -> Vec<u8> {
    let mut bytes = vec![0; SEGMENT_BYTES as usize];
    let key = header.map_or(SegmentKey { tag: 0, salt: 0 }, |header| header.key);
    if let Some(header) = header {
        bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.to_page());
    }
    let mut at = FIRST_OFFSET as usize;
    for piece in pieces {
        let room = &mut bytes[at..];
        let length = match piece {
            Piece::Message(id, text) => record(*id, text).write(&key, room),
            Piece::Former(id) => record(*id, b"former").write(&SegmentKey { salt: !key.salt, ..key }, room),
            Piece::Tagged(tail) => put(room, &[&[0; 4], &key.tag.to_le_bytes()[..], tail].concat()),
            Piece::Noise(noise) => put(room, noise),
        };
        at += length.unwrap_or(0);
    }
    bytes
}

fn put(room: &mut [u8], bytes: &[u8]) -> Option<usize> {
    room.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len().next_multiple_of(8).min(room.len()))
}

/// Reads everything, `at_a_time` bytes at a time, as often as a follower does. Returns the messages.
fn read(memory: &Memory, mut cursor: Cursor, last_end: Option<u32>, at_a_time: u32) -> Vec<(u64, Vec<u8>)> {
    let mut window = [0; JOURNAL_READ_BYTES];
    let (mut all, mut ends, mut lost) = (Vec::new(), 0, 0_u64);
    let catalog = Catalog::new(&read_headers(memory, SEGMENT_BYTES).unwrap(), last_end);
    // Each call advances by at least 8 bytes; a damaged part of the last segment is searched again in each of
    // three passes.
    for _ in 0..4 * JOURNAL_SEGMENTS * (SEGMENT_BYTES / 8) as usize {
        let mut reading = cursor.read(&catalog, &mut window, at_a_time);
        for count in 0.. {
            assert!(count <= at_a_time as usize / 8 + JOURNAL_SEGMENTS + 2, "one call does not end");
            match reading.next(memory).unwrap() {
                Step::Record(record) => all.push((record.id, record.text.to_vec())),
                Step::Lost(count) => lost = lost.checked_add(count).expect("more is lost than there are IDs"),
                Step::Damage(damage) => {
                    assert!(damage.offset >= FIRST_OFFSET && damage.offset + damage.bytes <= SEGMENT_BYTES);
                }
                Step::RolledBack(_) => lost = 0,
                Step::Overwritten => panic!("there is no writer"),
                Step::Pause | Step::Incomplete => break,
                Step::End => {
                    ends += 1;
                    break;
                }
            }
        }
        if ends == 3 {
            return all;
        }
    }
    panic!("the reader does not end")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_disk_is_read_to_an_end_and_yields_only_written_messages(
        segments in segments(),
        flips in flips(),
        since in prop::option::of(0..100_u64),
        last_end in prop::option::of(FIRST_OFFSET..=SEGMENT_BYTES),
        at_a_time in prop_oneof![1..64_u32, Just(1_000), Just(u32::MAX - 7)],
    ) {
        let mut memory = Memory(segments.iter().map(bytes_of).collect());
        for (segment, offset, byte) in flips {
            memory.0[segment][offset] = byte;
        }
        let cursor = since.map_or_else(Cursor::oldest, Cursor::since);
        for (id, text) in read(&memory, cursor, last_end, at_a_time) {
            prop_assert!(since.is_none_or(|since| id >= since));
            let was_written = segments.iter().any(|(header, pieces)| {
                header.is_some() && pieces.iter().any(|piece| {
                    matches!(piece, Piece::Message(one, other) if *one == id && *other == text)
                })
            });
            prop_assert!(was_written, "message {} was made up", id);
        }
    }

    #[test]
    fn undamaged_journal_is_read_completely_and_in_order(
        lengths in vec(0..40_u64, 1..JOURNAL_SEGMENTS),
        sequence in 1..1_000_u64,
        at_a_time in prop_oneof![1..64_u32, Just(u32::MAX)],
    ) {
        let (mut id, mut previous_end, mut segments) = (1, FIRST_OFFSET, Vec::new());
        for (length, sequence) in lengths.iter().zip(sequence..) {
            let key = SegmentKey { tag: sequence as u32, salt: sequence };
            let header = Header { segment_bytes: SEGMENT_BYTES, sequence, key, previous_end, first_id: id, origin: Some(ORIGIN) };
            let pieces: Vec<_> = (id..id + length).map(|id| Piece::Message(id, vec![b'x'; id as usize % 300])).collect();
            let bytes: usize = (id..id + length).map(|id| record(id, &[b'x'; 300][..id as usize % 300]).bytes()).sum();
            (id, previous_end) = (id + length, FIRST_OFFSET + bytes as u32);
            segments.push((Some(header), pieces));
        }
        segments.resize(JOURNAL_SEGMENTS, (None, Vec::new()));
        // The order of the files is not the order of their use.
        segments.rotate_right(sequence as usize % JOURNAL_SEGMENTS);
        let memory = Memory(segments.iter().map(bytes_of).collect());
        for last_end in [None, Some(previous_end)] {
            let ids: Vec<_> = read(&memory, Cursor::oldest(), last_end, at_a_time).iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(ids, (1..id).collect::<Vec<_>>());
            for wanted in [1, id / 3, id / 2, id.saturating_sub(2)].map(|wanted| wanted.max(1)) {
                let since = read(&memory, Cursor::since(wanted), last_end, at_a_time);
                let since: Vec<_> = since.iter().map(|(id, _)| *id).collect();
                prop_assert_eq!(since, (wanted..id).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn scan_of_noise_ends(
        noise in vec(any::<u8>(), 0..SEGMENT_BYTES as usize),
        start in 0..2 * SEGMENT_BYTES,
        end in 0..SEGMENT_BYTES,
    ) {
        let mut bytes = noise;
        bytes.resize(2 * SEGMENT_BYTES as usize, 0);
        let (memory, mut window) = (Memory(vec![bytes]), [0; JOURNAL_READ_BYTES]);
        let mut scan = Scan::new(0, SegmentKey { tag: 0, salt: 0 }, start..end, &mut window);
        let mut steps = 0;
        while scan.next(&memory).unwrap() != ScanStep::End {
            steps += 1;
            prop_assert!(steps <= RECORDS_MAX + 2);
        }
    }
}
