//! Reads the headers of all segments, and tells which of them belong to one journal.

use super::disk::Source;
use super::segment::{Header, HeaderPage, Identity};
use crate::limits::{JOURNAL_SEGMENTS, JOURNAL_SNAPSHOT_READS_MAX, PAGE_BYTES, SEGMENT_HEADER_BYTES};
use core::cmp::Reverse;
use nix::errno::Errno;

/// Where the records of a segment begin.
pub const FIRST_OFFSET: u32 = SEGMENT_HEADER_BYTES as u32;

/// The header of the segment in each file. None: the file is empty, or its header is unknown.
pub type Headers = [Option<Header>; JOURNAL_SEGMENTS];

/// The headers of all segments of one journal. Where the two of a segment differ, the later one counts: its segment was given to it, and
/// the former one might come to light when the later is gone, after the journal has gone on. Left out are files of another journal, see
/// `leave_out_strangers`, segments that do not count any more, see `leave_out_superseded`, and copies, see `leave_out_copies`.
///
/// # Errors
/// Those of the disk.
pub fn read_headers(disk: &impl Source, segment_bytes: u32) -> Result<Headers, Errno> {
    let mut headers: Headers = [None; JOURNAL_SEGMENTS];
    for (segment, header) in headers.iter_mut().enumerate() {
        *header = read_header(disk, segment, segment_bytes)?;
    }
    leave_out_strangers(&mut headers);
    leave_out_superseded(&mut headers);
    leave_out_copies(&mut headers);
    Ok(headers)
}

/// Leaves out copies of a file: no two segments begin with the same key. The one in the place that the first rounds give it is taken for
/// the original, or else the last one.
fn leave_out_copies(headers: &mut Headers) {
    let all = *headers;
    for (segment, header) in headers.iter_mut().enumerate() {
        *header = header.filter(|header| {
            let same = (0..JOURNAL_SEGMENTS).filter(|other| all[*other] == Some(*header));
            same.max_by_key(|other| (is_in_order(*other, header), *other)) == Some(segment)
        });
    }
}

/// Which file a segment that does not count is a copy of, if it is one.
///
/// # Errors
/// Those of the disk.
pub fn copied_from(
    disk: &impl Source,
    segment: usize,
    segment_bytes: u32,
    headers: &Headers,
) -> Result<Option<usize>, Errno> {
    let header = read_header(disk, segment, segment_bytes)?;
    let is_copy = headers[segment].is_none() && header.is_some();
    Ok(headers.iter().position(|other| is_copy && *other == header))
}

/// Leaves out segments that are older than a later one says the oldest is, or that have the sequence of a later one. Their turn came, and
/// their headers could not be written then: they may hold what they held before, and nobody knows where that ends.
fn leave_out_superseded(headers: &mut Headers) {
    let oldest = headers.iter().flatten().map(Header::oldest).max().unwrap_or(0);
    let all = *headers;
    let has_later = |header: &Header| {
        let mut same = all.iter().flatten().filter(|other| other.sequence == header.sequence);
        same.any(|other| other.turn() > header.turn())
    };
    for header in headers.iter_mut() {
        *header = header.filter(|header| header.sequence >= oldest && !has_later(header));
    }
}

/// Leaves out files that somebody put among those of another journal. The journal that most files agree on is believed; of several, the
/// one that misses the fewest files and has the most in their order.
pub(super) fn leave_out_strangers(headers: &mut Headers) {
    let all = *headers;
    let identities = all.iter().flatten().map(Header::identity);
    let journals = identities.map(|identity| files_of(&all, identity));
    *headers = journals.max_by_key(weight).unwrap_or(all);
}

/// The files that may be those of the journal with that identity. None: of one of version 1.
fn files_of(all: &Headers, identity: Option<Identity>) -> Headers {
    let of_identity = || all.iter().flatten().filter(|header| header.identity() == identity);
    // Those of version 1 come before all others of their journal. The last of them, and one that has to be before that.
    let (last, next) = match identity {
        Some(_) => {
            let first = of_identity().min_by_key(|header| header.turn());
            (first.map_or(0, |first| first.sequence.saturating_sub(1)), first)
        }
        None => (last_of_first_version(all), None),
    };
    let ring = last.saturating_sub(JOURNAL_SEGMENTS as u64 - 1)..=last;
    let may_be = |header: &Header| {
        let is_before = next.is_none_or(|next| header.first_id <= next.first_id);
        let is_first_version = header.identity().is_none() && ring.contains(&header.sequence) && is_before;
        (header.identity().is_some() && header.identity() == identity) || is_first_version
    };
    all.map(|header| header.filter(may_be))
}

/// The last sequence of the ring that most files of version 1 are in.
fn last_of_first_version(all: &Headers) -> u64 {
    let sequences =
        || all.iter().flatten().filter(|header| header.identity().is_none()).map(|header| header.sequence);
    let ring = |last: u64| last.saturating_sub(JOURNAL_SEGMENTS as u64 - 1)..=last;
    let files_up_to = |last: u64| sequences().filter(|sequence| ring(last).contains(sequence)).count();
    sequences().max_by_key(|last| (files_up_to(*last), *last)).unwrap_or(0)
}

/// How much speaks for these files being the journal: their number, how few are missing, how many are where the first round puts them,
/// and how new they are.
fn weight(files: &Headers) -> (usize, Reverse<u64>, usize, u64) {
    let count = files.iter().flatten().count();
    let newest = files.iter().flatten().max_by_key(|header| header.turn());
    let (last, oldest) = newest.map_or((0, 1), |newest| (newest.sequence, newest.oldest()));
    // Version 1 does not say which the oldest is.
    let oldest = oldest.max(last.saturating_add(1).saturating_sub(JOURNAL_SEGMENTS as u64)).max(1);
    let missing = last.saturating_add(1).saturating_sub(oldest).saturating_sub(count as u64);
    let placed = files.iter().enumerate().filter_map(|(segment, header)| Some((segment, header.as_ref()?)));
    let in_order = placed.filter(|(segment, header)| is_in_order(*segment, header)).count();
    (count, Reverse(missing), in_order, last)
}

/// Whether a segment is in the file that the first rounds give it.
fn is_in_order(segment: usize, header: &Header) -> bool {
    header.sequence.wrapping_sub(1) % JOURNAL_SEGMENTS as u64 == segment as u64
}

/// Whether something was ever written to a segment: to its first page, or to the next one if its header is gone.
///
/// # Errors
/// Those of the disk.
pub fn is_used(disk: &impl Source, segment: usize) -> Result<bool, Errno> {
    for offset in [0, FIRST_OFFSET] {
        let mut page = [0; PAGE_BYTES];
        disk.read(segment, offset, &mut page)?;
        if page.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The headers of all segments as they were at one moment, though another process rotates to a segment while they are read: it reads
/// them until they are the same twice, for no header ever comes again ("double collect": Afek et al., "Atomic Snapshots of Shared
/// Memory", JACM 40(4), 1993).
///
/// # Errors
/// Those of the disk; `EAGAIN` if they were never the same, in [`JOURNAL_SNAPSHOT_READS_MAX`] times.
pub fn snapshot_headers(disk: &impl Source, segment_bytes: u32) -> Result<Headers, Errno> {
    let mut before = read_headers(disk, segment_bytes)?;
    for _ in 1..JOURNAL_SNAPSHOT_READS_MAX {
        let headers = read_headers(disk, segment_bytes)?;
        if headers == before {
            return Ok(headers);
        }
        before = headers;
    }
    Err(Errno::EAGAIN)
}

/// The header of one segment.
///
/// # Errors
/// Those of the disk.
pub fn read_header(disk: &impl Source, segment: usize, segment_bytes: u32) -> Result<Option<Header>, Errno> {
    let both = read_both_headers(disk, segment)?;
    let of_that_length = both.into_iter().flatten().filter(|header| header.segment_bytes == segment_bytes);
    // Of equals the first.
    Ok(of_that_length.reduce(|first, second| if second.turn() > first.turn() { second } else { first }))
}

/// A segment's header and its double, each if it is whole, and of a version that is known.
///
/// # Errors
/// Those of the disk.
pub fn read_both_headers(disk: &impl Source, segment: usize) -> Result<[Option<Header>; 2], Errno> {
    Ok(Header::from_page(&read_header_page(disk, segment)?).unwrap_or([None; 2]))
}

/// The page of a segment's header.
///
/// # Errors
/// Those of the disk.
pub fn read_header_page(disk: &impl Source, segment: usize) -> Result<HeaderPage, Errno> {
    let mut page = [0; SEGMENT_HEADER_BYTES];
    disk.read(segment, 0, &mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::segment::{Origin, SegmentKey};
    use std::cell::{Cell, RefCell};

    const FILE: u32 = 8_192;

    /// The headers of a journal whose oldest `segments` are replaced while they are read, before each read that `is_time` chooses.
    struct Rotating<F> {
        headers: RefCell<Headers>,
        reads: Cell<usize>,
        segments: usize,
        is_time: F,
    }

    impl<F: Fn(usize) -> bool> Rotating<F> {
        fn new(segments: usize, is_time: F) -> Self {
            let headers = core::array::from_fn(|segment| Some(header(segment as u64 + 1)));
            Self { headers: RefCell::new(headers), reads: Cell::new(0), segments, is_time }
        }

        fn rotate(&self) {
            let mut headers = self.headers.borrow_mut();
            let newest = headers.iter().flatten().map(|header| header.sequence).max().unwrap();
            headers[newest as usize % JOURNAL_SEGMENTS] = Some(header(newest + 1));
        }
    }

    impl<F: Fn(usize) -> bool> Source for Rotating<F> {
        fn read(&self, segment: usize, _: u32, bytes: &mut [u8]) -> Result<(), Errno> {
            if (self.is_time)(self.reads.replace(self.reads.get() + 1)) {
                (0..self.segments).for_each(|_| self.rotate());
            }
            bytes.copy_from_slice(&self.headers.borrow()[segment].unwrap().to_page());
            Ok(())
        }
    }

    fn header(sequence: u64) -> Header {
        let key = SegmentKey { mark: 1, salt: sequence };
        Header {
            segment_bytes: FILE,
            sequence,
            key,
            previous_end: FIRST_OFFSET,
            first_id: sequence,
            origin: None,
        }
    }

    #[test]
    fn a_snapshot_is_of_one_moment_whenever_the_writer_rotates() {
        let reads_of_all = JOURNAL_SEGMENTS;
        for (time, segments) in (0..3 * reads_of_all).flat_map(|time| (1..20).map(move |count| (time, count)))
        {
            let disk = Rotating::new(segments, |read| read == time || read == time + reads_of_all);
            let headers = snapshot_headers(&disk, FILE).unwrap();
            let mut sequences = headers.map(|header| header.unwrap().sequence);
            sequences.sort_unstable();
            let oldest = sequences[0];
            assert!(
                sequences.into_iter().eq(oldest..oldest + JOURNAL_SEGMENTS as u64),
                "{segments} before {time}"
            );
        }
    }

    #[test]
    fn a_snapshot_of_headers_that_keep_changing_gives_up() {
        let disk = Rotating::new(1, |_| true);
        assert_eq!(snapshot_headers(&disk, FILE), Err(Errno::EAGAIN));
    }

    /// The header of a segment in a journal of version 2 whose ring is full, or not yet.
    fn of(identity: u64, sequence: u64) -> Option<Header> {
        let oldest = sequence.saturating_sub(JOURNAL_SEGMENTS as u64 - 1).max(1);
        let origin = Origin { identity: Identity(identity), is_unsynced: false, oldest, attempt: 0 };
        Some(Header { origin: Some(origin), ..header(sequence) })
    }

    /// Which files are left.
    fn left(files: &[(usize, Option<Header>)]) -> std::vec::Vec<usize> {
        let mut headers = [None; JOURNAL_SEGMENTS];
        files.iter().for_each(|(segment, header)| headers[*segment] = *header);
        leave_out_strangers(&mut headers);
        (0..JOURNAL_SEGMENTS).filter(|segment| headers[*segment].is_some()).collect()
    }

    #[test]
    fn files_of_the_journal_that_most_agree_on_are_left() {
        let first_version = |sequence| Some(header(sequence));
        // Of another one, newer.
        assert_eq!(left(&[(0, of(1, 1)), (1, of(1, 2)), (2, of(2, 30))]), [0, 1]);
        // One of each: that from a full ring misses seven others.
        assert_eq!(left(&[(0, of(1, 1)), (1, of(2, 10))]), [0]);
        assert_eq!(left(&[(0, of(2, 10)), (1, of(1, 1))]), [1]);
        assert_eq!(left(&[(0, of(1, 1)), (1, first_version(5))]), [0]);
        // Neither misses any, but one was the first file, and is the second.
        assert_eq!(left(&[(0, of(1, 1)), (1, of(2, 1))]), [0]);
        assert_eq!(left(&[(0, of(1, 1)), (1, first_version(1))]), [0]);
        // One of version 1 among others of it, and among later ones.
        assert_eq!(left(&[(0, first_version(1)), (1, first_version(2)), (2, first_version(90))]), [0, 1]);
        assert_eq!(left(&[(0, of(1, 17)), (1, of(1, 18)), (2, first_version(90))]), [0, 1]);
        // One of version 2 among those of version 1.
        assert_eq!(left(&[(0, first_version(1)), (1, first_version(2)), (2, of(2, 1))]), [0, 1]);
        assert_eq!(left(&[(0, first_version(1)), (1, first_version(2)), (2, of(2, 30))]), [0, 1]);
    }

    #[test]
    fn files_of_version_1_stay_until_every_segment_was_rotated() {
        for turns in 1..=JOURNAL_SEGMENTS as u64 {
            let files: std::vec::Vec<_> = (1..=JOURNAL_SEGMENTS as u64)
                .map(|place| {
                    let sequence = if place <= turns { 20 + place } else { 12 + place };
                    (
                        place as usize - 1,
                        if place <= turns { of(1, sequence) } else { Some(header(sequence)) },
                    )
                })
                .collect();
            assert_eq!(left(&files).len(), JOURNAL_SEGMENTS, "{turns}");
        }
    }
}
