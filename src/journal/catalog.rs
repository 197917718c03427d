//! Which segments a journal has, in the order of their sequence, and where the records of each end.

use super::headers::{FIRST_OFFSET, Headers};
use super::segment::{Header, SegmentKey};
use crate::limits::JOURNAL_SEGMENTS;
use heapless::Vec;

/// Where the valid records of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Exactly at this offset.
    Known(u32),
    /// At an offset that is not known yet: this one, or an earlier one.
    Open(u32),
}

impl Extent {
    /// The offset that a reader never reads beyond.
    pub fn end(self) -> u32 {
        match self {
            Self::Known(end) | Self::Open(end) => end,
        }
    }
}

/// A segment, and where its records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The index of its file.
    pub segment: usize,
    /// Its header.
    pub header: Header,
    /// Where its valid records end.
    pub extent: Extent,
}

/// The segments of a journal, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Catalog {
    spans: Vec<Span, JOURNAL_SEGMENTS>,
}

impl Catalog {
    /// The catalog of these headers. `last_end` is the end of the records in the last segment. Only the writer knows
    /// it; other callers pass `None`.
    pub fn new(headers: &Headers, last_end: Option<u32>) -> Self {
        let mut spans = Vec::<Span, JOURNAL_SEGMENTS>::new();
        for (segment, header) in headers.iter().enumerate() {
            if let Some(header) = *header {
                // The vector has room for all headers.
                let _ = spans.push(Span { segment, header, extent: Extent::Open(header.records_end()) });
            }
        }
        spans.sort_unstable_by_key(|span| (span.header.sequence, span.segment));
        for index in 0..spans.len() {
            // The header of the next segment says where the records of this one end.
            let sequence = spans[index].header.sequence;
            let successor =
                spans[index..].iter().find(|span| Some(span.header.sequence) == sequence.checked_add(1));
            let known = match successor {
                Some(successor) => Some(successor.header.previous_end),
                None if index + 1 == spans.len() => last_end,
                None => None,
            };
            if let Some(end) = known {
                spans[index].extent = Extent::Known(end.max(FIRST_OFFSET));
            }
        }
        Self { spans }
    }

    /// All segments, the oldest first.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The segment with that sequence and key; `None` if the journal no longer has it.
    pub fn find(&self, sequence: u64, key: SegmentKey) -> Option<&Span> {
        self.spans.iter().find(|span| (span.header.sequence, span.header.key) == (sequence, key))
    }

    /// The first segment with a higher sequence.
    pub fn after(&self, sequence: u64) -> Option<&Span> {
        self.spans.iter().find(|span| span.header.sequence > sequence)
    }

    /// Whether the next rotation overwrites the message with that ID: all files are in use, and it is in the oldest.
    pub fn is_overwritten_next(&self, id: u64) -> bool {
        let second = self.spans.get(1).filter(|_| self.spans.is_full());
        second.is_some_and(|second| id < second.header.first_id)
    }

    /// The segment in which a search for that ID begins: the last one that may contain it, or else the oldest one.
    pub fn holding(&self, id: u64) -> Option<&Span> {
        self.spans.iter().rev().find(|span| span.header.first_id <= id).or(self.spans.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u32 = 65_536;

    fn header(sequence: u64, previous_end: u32, first_id: u64) -> Option<Header> {
        let key = SegmentKey { tag: sequence as u32, salt: sequence };
        Some(Header { segment_bytes: FILE, sequence, key, previous_end, first_id, origin: None })
    }

    fn catalog(listed: &[(usize, Option<Header>)], last_end: Option<u32>) -> Catalog {
        let mut headers = [None; JOURNAL_SEGMENTS];
        for (segment, header) in listed {
            headers[*segment] = *header;
        }
        Catalog::new(&headers, last_end)
    }

    #[test]
    fn oldest_segment_is_first_and_each_ends_where_its_successor_says() {
        let listed = [(0, header(10, 9_000, 31)), (1, header(8, 7_000, 11)), (5, header(9, 8_000, 21))];
        let catalog = catalog(&listed, Some(10_000));
        let extents: Vec<_, 8> = catalog.spans().iter().map(|span| (span.segment, span.extent)).collect();
        assert_eq!(
            extents,
            [(1, Extent::Known(8_000)), (5, Extent::Known(9_000)), (0, Extent::Known(10_000))]
        );
    }

    #[test]
    fn segment_without_successor_has_an_open_extent() {
        let catalog = catalog(&[(0, header(3, 9_000, 31)), (1, header(1, 7_000, 11))], None);
        assert!(catalog.spans().iter().all(|span| span.extent == Extent::Open(FILE)));
    }

    #[test]
    fn search_for_an_id_begins_in_the_last_segment_that_may_hold_it() {
        // The writer left the segment before the last one without a record in it.
        let listed = [(0, header(1, 4_096, 5)), (1, header(2, 8_000, 20)), (2, header(3, 4_096, 20))];
        let catalog = catalog(&listed, None);
        for (id, sequence) in [(0, 1), (5, 1), (19, 1), (20, 3), (u64::MAX, 3)] {
            assert_eq!(catalog.holding(id).unwrap().header.sequence, sequence, "{id}");
        }
        assert_eq!(catalog.after(1).unwrap().header.sequence, 2);
        assert_eq!(catalog.after(3), None);
        assert!(catalog.find(2, SegmentKey { tag: 2, salt: 2 }).is_some());
        assert_eq!(catalog.find(2, SegmentKey { tag: 2, salt: 3 }), None, "that of another journal");
    }

    #[test]
    fn messages_of_the_oldest_segment_are_overwritten_next_once_all_are_in_use() {
        let all: Vec<_, JOURNAL_SEGMENTS> =
            (0..JOURNAL_SEGMENTS).map(|n| (n, header(n as u64 + 1, 4_096, 10 * n as u64 + 1))).collect();
        let full = catalog(&all, None);
        assert_eq!([1, 10, 11, 71].map(|id| full.is_overwritten_next(id)), [true, true, false, false]);
        assert!(!catalog(&all[1..], None).is_overwritten_next(11), "a file is free");
    }

    #[test]
    fn empty_catalog_holds_no_id() {
        assert_eq!(catalog(&[], None), Catalog::default());
        assert_eq!(Catalog::default().holding(1), None);
    }
}
