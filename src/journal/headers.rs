//! Reads the headers of all segments, and decides which of them belong to one journal.

use super::disk::Source;
use super::segment::{Header, Identity};
use crate::limits::{JOURNAL_SEGMENTS, JOURNAL_SNAPSHOT_READS_MAX, PAGE_BYTES, SEGMENT_HEADER_BYTES};
use core::cmp::Reverse;
use nix::errno::Errno;

/// The offset of the first record in a segment.
pub const FIRST_OFFSET: u32 = SEGMENT_HEADER_BYTES as u32;

/// The valid header in each file, or `None` if the file is empty or contains no valid segment of the journal.
pub type Headers = [Option<Header>; JOURNAL_SEGMENTS];

/// The headers of all valid segments of one journal. It leaves out files of another journal (`drop_foreign`), segments
/// that are no longer valid (`drop_superseded`), and copies (`drop_copies`).
///
/// If the two copies of a header differ, the later one is valid: the writer had begun its segment in the file.
/// Otherwise the earlier header would be valid again if the later one was damaged after the journal had continued.
///
/// # Errors
/// The disk's.
pub fn read_headers(disk: &impl Source, segment_bytes: u32) -> Result<Headers, Errno> {
    let mut headers: Headers = [None; JOURNAL_SEGMENTS];
    for (segment, header) in headers.iter_mut().enumerate() {
        *header = read_header(disk, segment, segment_bytes)?;
    }
    drop_foreign(&mut headers);
    drop_superseded(&mut headers);
    drop_copies(&mut headers);
    Ok(headers)
}

/// Drops copies of a file, which are files with the same segment key. The original is the one in its regular file (see
/// `is_in_order`), or else the last one.
fn drop_copies(headers: &mut Headers) {
    let all = *headers;
    for (segment, header) in headers.iter_mut().enumerate() {
        *header = header.filter(|header| {
            let same = (0..JOURNAL_SEGMENTS).filter(|other| all[*other] == Some(*header));
            same.max_by_key(|other| (is_in_order(*other, header), *other)) == Some(segment)
        });
    }
}

/// The file that an invalid segment is a copy of; `None` if it is no copy.
///
/// # Errors
/// The disk's.
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

/// Drops segments that are older than the oldest one according to a later header, and segments with the sequence of a
/// later one. The writer rotated to their files, but the disk refused the new headers. So the files may still have
/// their former content, and no header says where that ends.
fn drop_superseded(headers: &mut Headers) {
    let oldest = headers.iter().flatten().map(Header::oldest).max().unwrap_or(0);
    let all = *headers;
    let has_later = |header: &Header| {
        let mut same = all.iter().flatten().filter(|other| other.sequence == header.sequence);
        same.any(|other| other.generation() > header.generation())
    };
    for header in headers.iter_mut() {
        *header = header.filter(|header| header.sequence >= oldest && !has_later(header));
    }
}

/// Drops files that somebody put among those of another journal. The journal with the most files stays. If several have
/// equally many, the journal with the fewest missing files stays, and of these the one with the most files in their
/// regular places.
pub(super) fn drop_foreign(headers: &mut Headers) {
    let all = *headers;
    let identities = all.iter().flatten().map(Header::identity);
    let journals = identities.map(|identity| files_of(&all, identity));
    *headers = journals.max_by_key(weight).unwrap_or(all);
}

/// The files that may belong to the journal with that identity; `None` is a journal of version 1.
fn files_of(all: &Headers, identity: Option<Identity>) -> Headers {
    let of_identity = || all.iter().flatten().filter(|header| header.identity() == identity);
    // The segments of version 1 precede all others of their journal. `last` is the greatest sequence that one of them
    // may have, and `next` the segment that follows it.
    let (last, next) = match identity {
        Some(_) => {
            let first = of_identity().min_by_key(|header| header.generation());
            (first.map_or(0, |first| first.sequence.saturating_sub(1)), first)
        }
        None => (last_of_first_version(all), None),
    };
    let ring = last.saturating_sub(JOURNAL_SEGMENTS as u64 - 1)..=last;
    let may_belong = |header: &Header| {
        let is_before = next.is_none_or(|next| header.first_id <= next.first_id);
        let is_first_version = header.identity().is_none() && ring.contains(&header.sequence) && is_before;
        (header.identity().is_some() && header.identity() == identity) || is_first_version
    };
    all.map(|header| header.filter(may_belong))
}

/// The last sequence of the ring that contains the most files of version 1.
fn last_of_first_version(all: &Headers) -> u64 {
    let sequences =
        || all.iter().flatten().filter(|header| header.identity().is_none()).map(|header| header.sequence);
    let ring = |last: u64| last.saturating_sub(JOURNAL_SEGMENTS as u64 - 1)..=last;
    let files_up_to = |last: u64| sequences().filter(|sequence| ring(last).contains(sequence)).count();
    sequences().max_by_key(|last| (files_up_to(*last), *last)).unwrap_or(0)
}

/// How likely it is that these files are the journal: how many they are, how few are missing, how many are in their
/// regular files, and how new they are.
fn weight(files: &Headers) -> (usize, Reverse<u64>, usize, u64) {
    let count = files.iter().flatten().count();
    let newest = files.iter().flatten().max_by_key(|header| header.generation());
    let (last, oldest) = newest.map_or((0, 1), |newest| (newest.sequence, newest.oldest()));
    // Version 1 does not say which segment is the oldest.
    let oldest = oldest.max(last.saturating_add(1).saturating_sub(JOURNAL_SEGMENTS as u64)).max(1);
    let missing = last.saturating_add(1).saturating_sub(oldest).saturating_sub(count as u64);
    let placed = files.iter().enumerate().filter_map(|(segment, header)| Some((segment, header.as_ref()?)));
    let in_order = placed.filter(|(segment, header)| is_in_order(*segment, header)).count();
    (count, Reverse(missing), in_order, last)
}

/// Whether a segment is in its regular file, which is its file if the disk never refused a header.
fn is_in_order(segment: usize, header: &Header) -> bool {
    header.sequence.wrapping_sub(1) % JOURNAL_SEGMENTS as u64 == segment as u64
}

/// The part of a file that shows whether it was ever used: the page of the header, which may be gone, and the first
/// page of records.
pub const FIRST_PAGES: u32 = FIRST_OFFSET + PAGE_BYTES as u32;

/// Whether anything was ever written to a file before that offset, which is a multiple of [`PAGE_BYTES`].
///
/// # Errors
/// The disk's.
pub fn is_used(disk: &impl Source, segment: usize, end: u32) -> Result<bool, Errno> {
    for offset in (0..end).step_by(PAGE_BYTES) {
        let mut page = [0; PAGE_BYTES];
        disk.read(segment, offset, &mut page)?;
        if page.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The headers of all segments at one moment, although another process may rotate meanwhile. It reads all headers until
/// two reads agree. That is enough because no header ever comes back ("double collect": Afek et al., "Atomic Snapshots
/// of Shared Memory", JACM 40(4), 1993).
///
/// # Errors
/// The disk's; `EAGAIN` if no two reads of [`JOURNAL_SNAPSHOT_READS_MAX`] agree.
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

/// The header of one segment: the later of its two copies, or `None` if no copy is whole or the file has another
/// length.
///
/// # Errors
/// The disk's.
pub fn read_header(disk: &impl Source, segment: usize, segment_bytes: u32) -> Result<Option<Header>, Errno> {
    let mut page = [0; SEGMENT_HEADER_BYTES];
    disk.read(segment, 0, &mut page)?;
    // A copy is `None` if it is not whole; of an unknown version, no copy is known.
    let both = Header::from_page(&page).unwrap_or([None; 2]);
    let of_that_length = both.into_iter().flatten().filter(|header| header.segment_bytes == segment_bytes);
    // If both copies are equal, this takes the first one.
    Ok(of_that_length
        .reduce(|first, second| if second.generation() > first.generation() { second } else { first }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::segment::{Origin, SegmentKey};
    use std::cell::{Cell, RefCell};

    const FILE: u32 = 8_192;

    /// The headers of a journal. Before each read that `is_time` chooses, it rotates `segments` times.
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
        let key = SegmentKey { tag: 1, salt: sequence };
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
    fn snapshot_shows_one_moment_whenever_the_writer_rotates() {
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
    fn snapshot_of_headers_that_keep_changing_fails() {
        let disk = Rotating::new(1, |_| true);
        assert_eq!(snapshot_headers(&disk, FILE), Err(Errno::EAGAIN));
    }

    /// The header of a segment in a journal of version 2 whose ring is full, or not yet.
    fn of(identity: u64, sequence: u64) -> Option<Header> {
        let oldest = sequence.saturating_sub(JOURNAL_SEGMENTS as u64 - 1).max(1);
        let origin = Origin { identity: Identity(identity), is_unsynced: false, oldest, attempt: 0 };
        Some(Header { origin: Some(origin), ..header(sequence) })
    }

    /// Which files `drop_foreign` keeps.
    fn kept(files: &[(usize, Option<Header>)]) -> std::vec::Vec<usize> {
        let mut headers = [None; JOURNAL_SEGMENTS];
        files.iter().for_each(|(segment, header)| headers[*segment] = *header);
        drop_foreign(&mut headers);
        (0..JOURNAL_SEGMENTS).filter(|segment| headers[*segment].is_some()).collect()
    }

    #[test]
    fn files_of_the_journal_with_the_most_files_are_kept() {
        let first_version = |sequence| Some(header(sequence));
        // A newer file of another journal.
        assert_eq!(kept(&[(0, of(1, 1)), (1, of(1, 2)), (2, of(2, 30))]), [0, 1]);
        // One file of each journal: the one from a full ring lacks seven others.
        assert_eq!(kept(&[(0, of(1, 1)), (1, of(2, 10))]), [0]);
        assert_eq!(kept(&[(0, of(2, 10)), (1, of(1, 1))]), [1]);
        assert_eq!(kept(&[(0, of(1, 1)), (1, first_version(5))]), [0]);
        // Neither journal lacks files, but one of them was the first file and is now the second.
        assert_eq!(kept(&[(0, of(1, 1)), (1, of(2, 1))]), [0]);
        assert_eq!(kept(&[(0, of(1, 1)), (1, first_version(1))]), [0]);
        // A file of version 1 among others of version 1, and among files of version 2.
        assert_eq!(kept(&[(0, first_version(1)), (1, first_version(2)), (2, first_version(90))]), [0, 1]);
        assert_eq!(kept(&[(0, of(1, 17)), (1, of(1, 18)), (2, first_version(90))]), [0, 1]);
        // A file of version 2 among files of version 1.
        assert_eq!(kept(&[(0, first_version(1)), (1, first_version(2)), (2, of(2, 1))]), [0, 1]);
        assert_eq!(kept(&[(0, first_version(1)), (1, first_version(2)), (2, of(2, 30))]), [0, 1]);
    }

    #[test]
    fn files_of_version_1_are_kept_until_the_ring_has_rotated_past_them() {
        for rotations in 1..=JOURNAL_SEGMENTS as u64 {
            let files: std::vec::Vec<_> = (1..=JOURNAL_SEGMENTS as u64)
                .map(|place| {
                    let sequence = if place <= rotations { 20 + place } else { 12 + place };
                    (
                        place as usize - 1,
                        if place <= rotations { of(1, sequence) } else { Some(header(sequence)) },
                    )
                })
                .collect();
            assert_eq!(kept(&files).len(), JOURNAL_SEGMENTS, "{rotations}");
        }
    }
}
