//! What can be read of a journal, and in which order.

use super::headers::{FIRST_OFFSET, Headers};
use super::segment::{Header, SegmentKey};
use crate::limits::JOURNAL_SEGMENTS;
use heapless::Vec;

/// Up to where the records of a segment count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Up to there, and all up to there is records.
    Known(u32),
    /// For as long as there are records, in a file of that length.
    Open(u32),
}

impl Extent {
    /// The offset that nothing is read behind.
    pub fn end(self) -> u32 {
        match self {
            Self::Known(end) | Self::Open(end) => end,
        }
    }
}

/// One use of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub segment: usize,
    /// What it says of itself.
    pub header: Header,
    /// Up to where it counts.
    pub extent: Extent,
}

/// The segments that hold something, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Catalog {
    spans: Vec<Span, JOURNAL_SEGMENTS>,
}

impl Catalog {
    /// The catalog by these headers. `last_end` is where the records of the last segment end; none: only the one who writes
    /// knows.
    pub fn new(headers: &Headers, last_end: Option<u32>) -> Self {
        let mut spans = Vec::<Span, JOURNAL_SEGMENTS>::new();
        for (segment, header) in headers.iter().enumerate() {
            if let Some(header) = *header {
                // There are as many places as headers.
                let _ = spans.push(Span { segment, header, extent: Extent::Open(header.records_end()) });
            }
        }
        spans.sort_unstable_by_key(|span| (span.header.sequence, span.segment));
        for index in 0..spans.len() {
            // A segment that was given up has a successor, which says where belief in it ends.
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

    /// All of it.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// That use of a segment, if it is still there.
    pub fn find(&self, sequence: u64, key: SegmentKey) -> Option<&Span> {
        self.spans.iter().find(|span| (span.header.sequence, span.header.key) == (sequence, key))
    }

    /// The one that comes after that sequence.
    pub fn after(&self, sequence: u64) -> Option<&Span> {
        self.spans.iter().find(|span| span.header.sequence > sequence)
    }

    /// Where to look for that ID: the last one that may hold it, or else the oldest.
    pub fn holding(&self, id: u64) -> Option<&Span> {
        self.spans.iter().rev().find(|span| span.header.first_id <= id).or(self.spans.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u32 = 65_536;

    fn header(sequence: u64, previous_end: u32, first_id: u64) -> Option<Header> {
        let key = SegmentKey { mark: sequence as u32, salt: sequence };
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
    fn the_oldest_comes_first_and_each_ends_where_its_successor_says() {
        let listed = [(0, header(10, 9_000, 31)), (1, header(8, 7_000, 11)), (5, header(9, 8_000, 21))];
        let catalog = catalog(&listed, Some(10_000));
        let told: Vec<_, 8> = catalog.spans().iter().map(|span| (span.segment, span.extent)).collect();
        assert_eq!(told, [(1, Extent::Known(8_000)), (5, Extent::Known(9_000)), (0, Extent::Known(10_000))]);
    }

    #[test]
    fn without_its_successor_a_segment_is_read_for_as_long_as_there_are_records() {
        let catalog = catalog(&[(0, header(3, 9_000, 31)), (1, header(1, 7_000, 11))], None);
        assert!(catalog.spans().iter().all(|span| span.extent == Extent::Open(FILE)));
    }

    #[test]
    fn an_id_is_looked_for_in_the_last_segment_that_may_hold_it() {
        // The one before the last was given up with nothing in it.
        let listed = [(0, header(1, 4_096, 5)), (1, header(2, 8_000, 20)), (2, header(3, 4_096, 20))];
        let catalog = catalog(&listed, None);
        for (id, sequence) in [(0, 1), (5, 1), (19, 1), (20, 3), (u64::MAX, 3)] {
            assert_eq!(catalog.holding(id).unwrap().header.sequence, sequence, "{id}");
        }
        assert_eq!(catalog.after(1).unwrap().header.sequence, 2);
        assert_eq!(catalog.after(3), None);
        assert!(catalog.find(2, SegmentKey { mark: 2, salt: 2 }).is_some());
        assert_eq!(catalog.find(2, SegmentKey { mark: 2, salt: 3 }), None, "another journal's");
    }

    #[test]
    fn nothing_is_read_of_nothing() {
        assert_eq!(catalog(&[], None), Catalog::default());
        assert_eq!(Catalog::default().holding(1), None);
    }
}
