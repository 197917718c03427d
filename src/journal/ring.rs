//! The ring: which file holds which segment, and which file the writer rotates to next. It reads headers, and writes
//! nothing.

use super::disk::Source;
use super::headers::{FIRST_PAGES, Headers, copied_from, is_used, read_header, read_headers};
use super::random::new_identity;
use super::segment::{Header, Identity};
use crate::limits::JOURNAL_SEGMENTS;
use heapless::Vec;
use nix::errno::Errno;

/// Which files hold messages of another journal.
pub type ForeignFiles = [bool; JOURNAL_SEGMENTS];

/// The files of a journal as a ring of segments.
pub(super) struct Ring {
    segment_bytes: u32,
    identity: Identity,
    headers: Headers,
    foreign: ForeignFiles,
}

impl Ring {
    /// Reads the headers of the journal on that disk. If none of them has an identity, the journal gets the given
    /// one, or else a new one.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn read(
        disk: &impl Source,
        segment_bytes: u32,
        identity: Option<Identity>,
    ) -> Result<Self, Errno> {
        let headers = read_headers(disk, segment_bytes)?;
        let of_this_version = headers.iter().flatten().filter(|header| header.origin.is_some());
        let newest = of_this_version.max_by_key(|header| header.generation());
        let identity = newest.and_then(Header::identity).or(identity).map_or_else(new_identity, Ok)?;
        let mut ring = Self { segment_bytes, identity, headers, foreign: [false; JOURNAL_SEGMENTS] };
        ring.foreign = ring.find_foreign(disk)?;
        Ok(ring)
    }

    /// The length of a segment.
    pub(super) fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// The identity of the journal.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The headers of all segments.
    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header of the segment in that file, if the file holds one.
    pub(super) fn header(&self, segment: usize) -> Option<Header> {
        self.headers[segment]
    }

    /// Which files hold messages of another journal.
    pub(super) fn foreign_files(&self) -> &ForeignFiles {
        &self.foreign
    }

    /// Records that the file holds a segment with that header.
    pub(super) fn insert(&mut self, segment: usize, header: Header) {
        self.headers[segment] = Some(header);
    }

    /// Records that the file holds nothing any more.
    pub(super) fn remove(&mut self, segment: usize) {
        (self.headers[segment], self.foreign[segment]) = (None, false);
    }

    /// The file of the newest segment, or `None` if no file holds a segment.
    pub(super) fn newest(&self) -> Option<usize> {
        let used = (0..JOURNAL_SEGMENTS).filter(|segment| self.headers[*segment].is_some());
        used.max_by_key(|segment| self.sequence_of(*segment))
    }

    /// The sequence of the oldest valid segment, or `None` if no file holds a segment.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.sequences().min()
    }

    /// The files that the next segment may begin in, in the order in which the writer tries them: empty ones, foreign
    /// ones, and then the oldest segment first. The newest segment is never overwritten.
    pub(super) fn rotation_order(&self) -> Vec<usize, JOURNAL_SEGMENTS> {
        let newest = self.newest();
        let mut files: Vec<usize, JOURNAL_SEGMENTS> =
            (0..JOURNAL_SEGMENTS).filter(|segment| Some(*segment) != newest).collect();
        files.sort_unstable_by_key(|segment| (self.sequence_of(*segment), self.foreign[*segment], *segment));
        files
    }

    /// The files that hold a segment, except that one.
    pub(super) fn used_except(&self, segment: usize) -> Vec<usize, JOURNAL_SEGMENTS> {
        (0..JOURNAL_SEGMENTS).filter(|other| *other != segment && self.headers[*other].is_some()).collect()
    }

    /// How many used files cannot be read.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn unreadable_segments(&self, disk: &impl Source) -> Result<u64, Errno> {
        // Without any header, the journal would begin anew and issue its IDs again, so the files are read whole.
        let end = if self.newest().is_some() { FIRST_PAGES } else { self.segment_bytes };
        let mut unreadable = 0;
        for segment in 0..JOURNAL_SEGMENTS {
            if self.headers[segment].is_none()
                && !self.is_superseded(disk, segment)?
                && is_used(disk, segment, end)?
            {
                unreadable += 1;
            }
        }
        Ok(unreadable)
    }

    /// How many of the unreadable segments may have followed the last readable one. The others fill the gaps between
    /// readable segments, and in the first round through the files also the gap before them.
    pub(super) fn lost_segments(&self, unreadable: u64) -> u64 {
        let (Some(first), Some(last)) = (self.sequences().min(), self.sequences().max()) else {
            return unreadable;
        };
        let readable = self.sequences().count() as u64;
        let between = (last - first).saturating_add(1).saturating_sub(readable);
        let before = if last < JOURNAL_SEGMENTS as u64 { first.saturating_sub(1) } else { 0 };
        unreadable.saturating_sub(between.saturating_add(before))
    }

    /// Reads the headers again after the files were reopened, and removes segments whose headers have changed. Returns
    /// whether files belong to another journal, and none to this one. A segment of version 1 has no identity. It
    /// belongs to this journal if the ring already contains it.
    pub(super) fn refresh(&mut self, disk: &impl Source) -> bool {
        let (mut has_ours, mut has_foreign) = (false, false);
        for segment in 0..JOURNAL_SEGMENTS {
            // If a file cannot be read now, the ring keeps its known header.
            let Ok(header) = read_header(disk, segment, self.segment_bytes) else { continue };
            let is_ours = |header: &Header| {
                self.headers.contains(&Some(*header)) || header.identity() == Some(self.identity)
            };
            let is_foreign = header.is_some_and(|header| !is_ours(&header));
            has_ours |= header.is_some() && !is_foreign;
            has_foreign |= is_foreign;
            self.foreign[segment] = is_foreign;
            if header != self.headers[segment] {
                self.headers[segment] = None;
            }
        }
        has_foreign && !has_ours
    }

    /// Whether a file has a header of this journal that is no longer valid. A copy of another file does not count,
    /// because the former content of the file is lost.
    fn is_superseded(&self, disk: &impl Source, segment: usize) -> Result<bool, Errno> {
        let header = read_header(disk, segment, self.segment_bytes)?;
        let is_copy = copied_from(disk, segment, self.segment_bytes, &self.headers)?.is_some();
        Ok(self.headers[segment].is_none() && header.is_some() && !self.foreign[segment] && !is_copy)
    }

    /// Which files have a whole header of another journal. A header of version 1 has no identity. It is foreign if it
    /// is not older than all valid segments.
    fn find_foreign(&self, disk: &impl Source) -> Result<ForeignFiles, Errno> {
        let mut foreign = [false; JOURNAL_SEGMENTS];
        for (segment, is_foreign) in foreign.iter_mut().enumerate() {
            let header = read_header(disk, segment, self.segment_bytes)?;
            let is_ours = |header: &Header| match header.identity() {
                Some(identity) => identity == self.identity,
                None => header.sequence < self.oldest().unwrap_or(1),
            };
            *is_foreign = self.headers[segment].is_none() && header.is_some_and(|header| !is_ours(&header));
        }
        Ok(foreign)
    }

    fn sequence_of(&self, segment: usize) -> u64 {
        self.headers[segment].map_or(0, |header| header.sequence)
    }

    fn sequences(&self) -> impl Iterator<Item = u64> {
        self.headers.iter().flatten().map(|header| header.sequence)
    }
}
