//! The newest segment at a start.

use super::disk::Source;
use super::headers::FIRST_OFFSET;
use super::mark::{IssuedIds, Marks, ids_in};
use super::ring::Ring;
use super::scan::Window;
use super::segment::Header;
use super::tail::Tail;
use nix::errno::Errno;

/// The newest segment, as the recovery needs it.
#[derive(Clone, Copy)]
pub(super) struct LastSegment {
    /// The index of its file.
    pub(super) segment: usize,
    /// Its header.
    pub(super) header: Header,
    /// Where its records end.
    pub(super) tail: Tail,
    /// Its marks, which say which IDs were issued.
    pub(super) marks: Marks,
}

impl LastSegment {
    /// Reads the newest segment. Returns `None` if no file holds a segment.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn read(
        disk: &impl Source,
        ring: &Ring,
        stretch_bytes: u32,
        window: &mut Window,
    ) -> Result<Option<Self>, Errno> {
        let newest = ring.newest().and_then(|segment| Some((segment, ring.header(segment)?)));
        let Some((segment, header)) = newest else { return Ok(None) };
        let tail = Tail::read(disk, segment, &header, stretch_bytes, window)?;
        let marks = Marks::read(disk, segment, &header)?;
        Ok(Some(Self { segment, header, tail, marks }))
    }

    /// The least ID that the server has certainly not issued, if that many newer segments are lost.
    pub(super) fn next_id(&self, lost_segments: u64) -> u64 {
        let issued = self.marks.issued();
        let is_unsynced = issued.is_unsynced || lost_segments > 0;
        let by_tail = self.tail.next_id_after(issued.next_id);
        let next_id = IssuedIds { is_unsynced, ..issued }.next_id(&self.header, self.tail.end, by_tail);
        next_id.saturating_add(lost_segments * ids_in(&self.header, FIRST_OFFSET))
    }
}
