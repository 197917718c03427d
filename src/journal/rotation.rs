//! Rotation: begins the next segment in a file of the ring.

use super::active_segment::ActiveSegment;
use super::disk::Disk;
use super::random::new_segment_key;
use super::ring::Ring;
use super::segment::{Header, Identity, Origin, SegmentKey};
use super::store::Store;
use crate::limits::{JOURNAL_SEGMENTS, PAGE_BYTES};
use nix::errno::Errno;

/// The error with which the disk refused the header of a segment, for each file. `None` if the disk accepted the
/// header, or if the writer did not try that file.
pub type Refusals = [Option<Errno>; JOURNAL_SEGMENTS];

/// The end of the valid records of a segment, which the header of the next one contains.
#[derive(Clone, Copy)]
pub(super) struct CommittedEnd {
    /// The segment's sequence.
    pub(super) sequence: u64,
    /// The offset.
    pub(super) end: u32,
}

/// Begins segments.
pub(super) struct Rotation<D> {
    /// The disk.
    pub(super) store: Store<D>,
    /// The files.
    pub(super) ring: Ring,
    /// How often the disk has refused the header of the next segment.
    attempt: u32,
    refusals: Refusals,
    /// Whether the server acknowledges messages before they are synced. Each new segment says so.
    is_unsynced: bool,
    /// Whether the files in the journal's place belong to another journal. Nothing is written to them.
    is_replaced: bool,
}

impl<D: Disk> Rotation<D> {
    /// Opens the journal on that disk. If no segment has an identity, the journal gets the given one, or else a new
    /// one.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(disk: D, segment_bytes: u32, identity: Option<Identity>) -> Result<Self, Errno> {
        let mut store = Store::new(disk);
        // Readers see the records that the recovery takes for valid, so the next power cut must not lose them.
        store.sync_and_evict_all()?;
        let ring = Ring::read(&store.disk, segment_bytes, identity)?;
        let refusals = [None; JOURNAL_SEGMENTS];
        Ok(Self { store, ring, attempt: 0, refusals, is_unsynced: false, is_replaced: false })
    }

    /// Why the disk refused a header in each file at the last try.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Makes the header of each new segment say that the server acknowledges messages before they are synced.
    pub(super) fn expect_unsynced(&mut self) {
        self.is_unsynced = true;
    }

    /// Reopens the files that are no longer in their place.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn reopen(&mut self) -> Result<(), Errno> {
        self.store.disk.reopen()?;
        self.is_replaced = self.ring.refresh(&self.store.disk);
        Ok(())
    }

    /// Begins the segment after `committed`: in an empty file, or else in that of the oldest segment. If the disk
    /// refuses its header but works otherwise, the segment begins in the next file. Each file is tried once, but never
    /// that of the newest segment.
    ///
    /// # Errors
    /// The disk's; `EMEDIUMTYPE`: the files belong to another journal.
    pub(super) fn begin_segment(
        &mut self,
        committed: CommittedEnd,
        first_id: u64,
        page: &mut [u8; PAGE_BYTES],
    ) -> Result<ActiveSegment, Errno> {
        if self.is_replaced {
            return Err(Errno::EMEDIUMTYPE);
        }
        let mut result = Err(Errno::ENODEV);
        for segment in self.ring.rotation_order() {
            result = self.begin_in(segment, committed, first_id);
            // If the disk accepts no writes at all, each further try would only cost a segment.
            if result.is_ok() || !self.is_disk_working(segment, page) {
                break;
            }
        }
        result
    }

    /// Whether the disk accepts a write that changes nothing, in any file except the one that failed: it rewrites the
    /// mark of a segment. If no other file holds a segment, another try loses nothing, so this returns true.
    pub(super) fn is_disk_working(&mut self, failed: usize, page: &mut [u8; PAGE_BYTES]) -> bool {
        let others = self.ring.used_except(failed);
        let mut headers = others.iter().filter_map(|segment| Some((*segment, self.ring.header(*segment)?)));
        others.is_empty()
            || headers.any(|(segment, header)| self.store.rewrite_mark(segment, &header, page).is_ok())
    }

    /// Begins the next segment in that file, and syncs its header. The header permanently invalidates everything after
    /// the committed records of the previous segment, and everything older than the oldest remaining segment. If the
    /// disk refuses the header, the sync shows that before the writer puts records after it.
    fn begin_in(
        &mut self,
        segment: usize,
        committed: CommittedEnd,
        first_id: u64,
    ) -> Result<ActiveSegment, Errno> {
        // Whether or not this succeeds, the former content of the file is gone.
        self.ring.remove(segment);
        let header = self.next_header(new_segment_key()?, committed, first_id);
        let written = self.store.write_header(segment, &header);
        self.refusals[segment] = written.err();
        if let Err(errno) = written {
            self.attempt = self.attempt.saturating_add(1);
            return Err(errno);
        }
        self.attempt = 0;
        self.ring.insert(segment, header);
        Ok(ActiveSegment::new(segment, header))
    }

    /// The header of the segment after `committed`.
    pub(super) fn next_header(&self, key: SegmentKey, committed: CommittedEnd, first_id: u64) -> Header {
        let origin = Origin {
            identity: self.ring.identity(),
            is_unsynced: self.is_unsynced,
            oldest: self.ring.oldest().unwrap_or(committed.sequence + 1),
            attempt: self.attempt,
        };
        Header {
            segment_bytes: self.ring.segment_bytes(),
            sequence: committed.sequence + 1,
            key,
            previous_end: committed.end,
            first_id,
            origin: Some(origin),
        }
    }
}
