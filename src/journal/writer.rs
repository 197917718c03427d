//! The writer: appends records to the active segment, commits them, and rotates to the next segment.
//!
//! Records are appended one by one and committed together (group commit). If a commit fails, the writer rolls back all
//! its records: it never writes to the segment again, and begins the next one. The header of the next segment says
//! where the valid records of the failed one end. The writer does not retry the sync, because after a failed sync the
//! content of the disk is unknown, and a second sync that succeeds says nothing about it ("fsyncgate", 2018).
//!
//! If the disk refuses the header of the next segment, the segment begins in the file after that one. The next
//! rotation tries the refused file first.
//!
//! At the start the writer looks for the end of the last segment: see [`tail`](super::tail). All whole records before
//! that end are valid; damage between them costs only the damaged records. If only bytes of an earlier segment follow
//! the last record, the writer continues after it. If there are signs of more records, a power cut tore them: they stay
//! where they are, and the next segment begins.
//!
//! The writer never issues an ID twice. It skips IDs that the server may have acknowledged without their messages being
//! on the disk. If the server acknowledges messages before it syncs them, the writer knows these IDs from
//! [`mark`](super::mark)s. It also skips IDs if the newest segments may be lost together with their headers: as many as
//! fit in them.

use super::active_segment::ActiveSegment;
use super::disk::Disk;
use super::headers::{FIRST_OFFSET, Headers};
use super::last_segment::LastSegment;
use super::mark::{IssuedIds, ids_in};
use super::pages::Pages;
use super::record::Record;
use super::recovery::Recovery;
use super::ring::ForeignFiles;
use super::rotation::{CommittedEnd, Refusals, Rotation};
use super::scan::Window;
use super::segment::{Header, Identity, Origin, SegmentKey};
use super::store::WriteStats;
use crate::limits::{
    JOURNAL_BATCH_BYTES, JOURNAL_READ_BYTES, JOURNAL_SEGMENTS, JOURNAL_STRETCH_BYTES, PAGE_BYTES,
};
use nix::errno::Errno;

/// The buffers of the writer.
pub struct Buffers {
    /// Records that are not written yet.
    out: Pages,
    /// The buffer for the reads of the recovery, and for the page of a mark.
    window: Window,
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { out: Pages::new(), window: [0; JOURNAL_READ_BYTES] }
    }

    /// The part of the window in which a mark is prepared.
    fn page(&mut self) -> &mut [u8; PAGE_BYTES] {
        self.window.first_chunk_mut().expect("a read is longer than a page")
    }
}

const _: () = assert!(JOURNAL_READ_BYTES >= PAGE_BYTES, "the page of a mark fits in the window");

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends to a journal. Each journal has one writer.
pub struct Writer<'a, D> {
    rotation: Rotation<D>,
    /// How many bytes the writer leaves unsynced at most, apart from one batch.
    stretch_bytes: u32,
    buffers: &'a mut Buffers,
    /// The segment that the writer appends to. `None` before the first segment begins, and after a failure if the
    /// next one cannot begin.
    active: Option<ActiveSegment>,
    /// The end of the valid records in the last segment.
    committed: CommittedEnd,
    /// The least ID of the next record.
    next_id: u64,
    /// `next_id` at the last commit.
    committed_id: u64,
    /// How often the writer has reopened the files.
    reopenings: u64,
    /// Why the records appended since the last commit cannot be committed.
    fault: Option<Errno>,
}

impl<'a, D: Disk> Writer<'a, D> {
    /// Opens the journal on that disk, whose files have that length, and recovers it.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(disk: D, segment_bytes: u32, buffers: &'a mut Buffers) -> Result<(Self, Recovery), Errno> {
        Self::open_as(disk, segment_bytes, JOURNAL_STRETCH_BYTES, buffers, None)
    }

    /// As [`open`](Self::open), with other stretches: see [`tail`](super::tail).
    #[cfg(test)]
    pub fn open_with(
        disk: D,
        segment_bytes: u32,
        stretch_bytes: u32,
        buffers: &'a mut Buffers,
    ) -> Result<(Self, Recovery), Errno> {
        Self::open_as(disk, segment_bytes, stretch_bytes, buffers, None)
    }

    /// Begins a journal with the identity of another one, for a copy of that journal.
    ///
    /// # Errors
    /// The disk's.
    pub fn open_copy(
        disk: D,
        segment_bytes: u32,
        buffers: &'a mut Buffers,
        identity: Identity,
    ) -> Result<Self, Errno> {
        let opened = Self::open_as(disk, segment_bytes, JOURNAL_STRETCH_BYTES, buffers, Some(identity));
        opened.map(|(writer, _)| writer)
    }

    fn open_as(
        disk: D,
        segment_bytes: u32,
        stretch_bytes: u32,
        buffers: &'a mut Buffers,
        identity: Option<Identity>,
    ) -> Result<(Self, Recovery), Errno> {
        let mut writer = Self {
            rotation: Rotation::open(disk, segment_bytes, identity)?,
            stretch_bytes,
            buffers,
            active: None,
            committed: CommittedEnd { sequence: 0, end: FIRST_OFFSET },
            next_id: 1,
            committed_id: 1,
            reopenings: 0,
            fault: None,
        };
        let recovery = writer.recover()?;
        Ok((writer, recovery))
    }

    /// Reads the last segment, and continues it or begins the next one.
    fn recover(&mut self) -> Result<Recovery, Errno> {
        let Rotation { store, ring, .. } = &self.rotation;
        let segments = ring.headers().iter().flatten().count();
        let unreadable_segments = ring.unreadable_segments(&store.disk)?;
        let lost_segments = ring.lost_segments(unreadable_segments);
        let last = LastSegment::read(&store.disk, ring, self.stretch_bytes, &mut self.buffers.window)?;
        let Some(last) = last else { return self.begin_journal(unreadable_segments) };
        let LastSegment { header, tail, .. } = last;
        self.set_next_id(last.next_id(lost_segments));
        // The sequences of the lost segments stay unused. So the next start sees that their IDs are skipped already.
        self.committed = CommittedEnd { sequence: header.sequence + lost_segments, end: tail.end };
        self.resume_or_begin(&last, lost_segments)?;
        if lost_segments > 0 && header.origin.is_some() {
            match self.mark_skipped_ids(&last) {
                // A bad page must not keep the journal from continuing. The mark only matters if the next file is
                // lost too.
                Err(_) if self.is_disk_working(last.segment) => {}
                marked => marked?,
            }
        }
        Ok(Recovery {
            next_id: self.next_id,
            segments,
            damaged_bytes: tail.damaged_bytes,
            torn_bytes: tail.torn_bytes,
            skipped: self.next_id - tail.next_id,
            unreadable_segments,
            lost_segments,
        })
    }

    /// Continues the last segment if its end is not torn, no newer segment is lost, and it has room; otherwise begins
    /// the next one.
    fn resume_or_begin(&mut self, last: &LastSegment, lost_segments: u64) -> Result<(), Errno> {
        let is_whole = last.tail.torn_bytes == 0 && lost_segments == 0;
        let has_room = last.tail.end <= self.with_origin(last.header).records_end();
        if !is_whole || !has_room {
            return self.begin_segment();
        }
        match self.resume(last) {
            Err(_) if self.is_disk_working(last.segment) => self.begin_segment(),
            resumed => resumed,
        }
    }

    /// Continues the last segment after its records.
    fn resume(&mut self, last: &LastSegment) -> Result<(), Errno> {
        let LastSegment { segment, tail, marks, .. } = *last;
        let header = self.with_origin(last.header);
        self.rotation.store.repair_header(segment, &header)?;
        self.rotation.ring.insert(segment, header);
        self.buffers.out.resume(&self.rotation.store.disk, segment, tail.end)?;
        self.active = Some(ActiveSegment::resume(segment, header, tail.end, marks));
        if marks.issued().is_unsynced {
            // The next start must not skip the same IDs again.
            self.write_mark(IssuedIds { next_id: self.next_id, is_unsynced: false })?;
        }
        Ok(())
    }

    /// The header of a segment as this version writes it.
    fn with_origin(&self, header: Header) -> Header {
        let ring = &self.rotation.ring;
        let oldest = ring.oldest().unwrap_or(self.committed.sequence + 1);
        let origin = Origin { identity: ring.identity(), is_unsynced: false, oldest, attempt: 0 };
        Header { origin: header.origin.or(Some(origin)), ..header }
    }

    /// Marks the skipped IDs in the last readable segment. Otherwise a later start would issue them again if the
    /// segment that begins now was lost too.
    fn mark_skipped_ids(&mut self, last: &LastSegment) -> Result<(), Errno> {
        let LastSegment { segment, header, mut marks, .. } = *last;
        let issued = IssuedIds { next_id: self.next_id, ..marks.issued() };
        let page = self.buffers.page();
        self.rotation.store.write_mark(segment, &header, &mut marks, issued, page)?;
        self.rotation.store.sync(segment)
    }

    /// Begins a journal of which no segment can be read.
    fn begin_journal(&mut self, lost_segments: u64) -> Result<Recovery, Errno> {
        let key = SegmentKey { tag: 0, salt: 0 };
        let header = self.rotation.next_header(key, self.committed, self.next_id);
        let skipped = lost_segments * ids_in(&header, FIRST_OFFSET);
        self.set_next_id(1 + skipped);
        self.committed.sequence = lost_segments;
        self.begin_segment()?;
        Ok(Recovery {
            next_id: self.next_id,
            skipped,
            unreadable_segments: lost_segments,
            lost_segments,
            ..Recovery::default()
        })
    }

    fn set_next_id(&mut self, id: u64) {
        (self.next_id, self.committed_id) = (id, id);
    }

    /// The ID of the next message.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Identifies this journal.
    pub fn identity(&self) -> Identity {
        self.rotation.ring.identity()
    }

    /// The capacity of the ring, in bytes of its files.
    pub fn capacity_bytes(&self) -> u64 {
        u64::from(self.rotation.ring.segment_bytes()) * JOURNAL_SEGMENTS as u64
    }

    /// The statistics of the writer since the start.
    pub fn stats(&self) -> WriteStats {
        self.rotation.store.stats
    }

    /// The headers of all segments, and the end of the committed records in the last one.
    pub fn extent(&self) -> (&Headers, u32) {
        (self.rotation.ring.headers(), self.committed.end)
    }

    /// Why the disk refused a header in each file at the last try.
    pub fn refusals(&self) -> &Refusals {
        self.rotation.refusals()
    }

    /// Which files hold messages of another journal. The writer overwrites them after the empty files, and before its
    /// own segments.
    pub fn foreign_files(&self) -> &ForeignFiles {
        self.rotation.ring.foreign_files()
    }

    /// Whether records can be committed.
    pub fn is_writable(&self) -> bool {
        self.active.is_some()
    }

    /// Whether committed records are not synced yet.
    pub fn is_unsynced(&self) -> bool {
        self.active.is_some_and(|active| active.synced_end() < self.committed.end)
    }

    /// Begins a commit group. Rotates to the next segment if a batch may not fit in the current one. With `is_synced`,
    /// it syncs the current segment before.
    pub fn begin_group(&mut self, is_synced: bool) {
        debug_assert!(self.buffers.out.waiting() == 0);
        // A group without records may have left a fault. The next commit reports it.
        if self.fault.is_none() && self.is_writable() && !self.has_room() {
            self.fault = self.rotate(is_synced).err();
        }
    }

    /// Whether another batch fits in the current commit group. It always does right after [`Writer::begin_group`].
    pub fn has_room(&self) -> bool {
        let waiting = self.buffers.out.waiting();
        self.active.is_none_or(|active| active.has_room(waiting))
    }

    fn rotate(&mut self, is_synced: bool) -> Result<(), Errno> {
        if is_synced && self.is_unsynced() {
            self.sync()?;
        }
        self.begin_segment()
    }

    /// Appends a record. It becomes valid when the next [`Writer::commit`] succeeds. Its ID must be at least
    /// [`Writer::next_id`].
    pub fn append(&mut self, record: &Record<'_>) {
        debug_assert!(record.id >= self.next_id);
        if self.fault.is_none() {
            self.fault = self.try_append(record).err();
        }
    }

    fn try_append(&mut self, record: &Record<'_>) -> Result<(), Errno> {
        let key = self.active.ok_or(Errno::EIO)?.key();
        let bytes = record.bytes();
        if self.buffers.out.waiting() + bytes > JOURNAL_BATCH_BYTES {
            self.write()?;
        }
        let room = self.buffers.out.extend(bytes);
        room.and_then(|room| record.write(&key, room)).ok_or(Errno::EMSGSIZE)?;
        self.next_id = record.id + 1;
        Ok(())
    }

    /// Writes the appended records, so that the buffer is free for the next batch.
    pub fn flush(&mut self) {
        if self.fault.is_none() {
            self.fault = self.write().err();
        }
    }

    /// Commits all records appended since the last commit. With `is_synced`, it waits until they are on the disk.
    ///
    /// # Errors
    /// The disk's. Then the writer rolls back all of them, and continues with the next segment if it can begin one.
    pub fn commit(&mut self, is_synced: bool) -> Result<(), Errno> {
        self.flush();
        let has_written = self.active.is_some_and(|active| active.end() > self.committed.end);
        let result = match self.fault.take() {
            Some(fault) => Err(fault),
            None if is_synced => self.sync(),
            None if has_written => self.expect_unsynced(),
            None => Ok(()),
        };
        match (result, self.active) {
            (Ok(()), Some(active)) => {
                self.rotation.store.stats.record_bytes += u64::from(active.end() - self.committed.end);
                self.committed.end = active.end();
                self.committed_id = self.next_id;
            }
            _ => self.roll_back(),
        }
        result
    }

    /// Prepares for messages that are acknowledged before they are synced: the active segment says so on the disk,
    /// and each later one in its header. Otherwise the first commit without a sync does that.
    ///
    /// # Errors
    /// The disk's.
    pub fn expect_unsynced(&mut self) -> Result<(), Errno> {
        self.rotation.expect_unsynced();
        match self.active {
            Some(active) if !active.expects_unsynced_ids() => {
                self.write_mark(IssuedIds { next_id: self.committed_id, is_unsynced: true })
            }
            _ => Ok(()),
        }
    }

    /// Shuts down in order: syncs all committed records, and marks the next ID, so that the next start skips none.
    /// The writer may still continue after that.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(&mut self) -> Result<(), Errno> {
        self.sync_committed()?;
        match self.active {
            Some(active) if active.expects_unsynced_ids() => {
                self.write_mark(IssuedIds { next_id: self.committed_id, is_unsynced: false })
            }
            _ => Ok(()),
        }
    }

    /// Skips IDs, so that the next one is at least `id`.
    pub fn skip_to(&mut self, id: u64) {
        self.set_next_id(self.committed_id.max(id));
    }

    /// Writes a mark to the active segment, and syncs it.
    fn write_mark(&mut self, issued: IssuedIds) -> Result<(), Errno> {
        let page = self.buffers.page();
        let active = self.active.as_mut().ok_or(Errno::EIO)?;
        let written = active.write_mark(&mut self.rotation.store, issued, page);
        self.retire_if_failed(written)
    }

    /// Abandons the active segment after an error: the content of the disk is unknown, and a second sync would return
    /// `Ok`.
    fn retire_if_failed(&mut self, result: Result<(), Errno>) -> Result<(), Errno> {
        if result.is_err() {
            self.active = None;
        }
        result
    }

    /// Syncs committed records that are not synced yet.
    ///
    /// # Errors
    /// The disk's. Then these records may be lost, and the writer continues with the next segment if it can begin one.
    pub fn sync_committed(&mut self) -> Result<(), Errno> {
        let result = if self.is_unsynced() { self.sync() } else { Ok(()) };
        if result.is_err() {
            self.roll_back();
        }
        result
    }

    /// Rolls back the records of a failed commit, and tries to continue with the next segment.
    fn roll_back(&mut self) {
        self.rotation.store.stats.failures += 1;
        self.buffers.out.reset();
        self.next_id = self.committed_id;
        // Earlier commits may still wait for a sync. No later sync covers this segment.
        if self.is_unsynced() {
            let _ = self.sync();
        }
        self.active = None;
        // The failed call reports the first error. `reopen_segment` tries again.
        let _ = self.begin_segment();
    }

    /// Tries to continue after a failure. The caller repeats it from time to time until the writer is
    /// [writable](Self::is_writable).
    ///
    /// # Errors
    /// The disk's. `EMEDIUMTYPE`: the files in the journal's place belong to another journal.
    pub fn reopen_segment(&mut self) -> Result<(), Errno> {
        self.rotation.reopen()?;
        self.reopenings += 1;
        self.begin_segment()
    }

    /// How often the writer has reopened the files. Each time, other files may be in their place.
    pub fn reopenings(&self) -> u64 {
        self.reopenings
    }

    /// Writes the buffered records to the active segment. If more than a stretch would then be unsynced, it syncs the
    /// written records first.
    fn write(&mut self) -> Result<(), Errno> {
        let waiting = self.buffers.out.waiting();
        if self.active.is_some_and(|active| active.is_sync_due(waiting, self.stretch_bytes)) {
            self.sync()?;
        }
        let active = self.active.as_mut().ok_or(Errno::EIO)?;
        active.write(&mut self.rotation.store, &mut self.buffers.out)
    }

    /// Waits until everything written to the active segment is on the disk.
    fn sync(&mut self) -> Result<(), Errno> {
        let active = self.active.as_mut().ok_or(Errno::EIO)?;
        let synced = active.sync(&mut self.rotation.store);
        self.retire_if_failed(synced)
    }

    /// Begins the next segment.
    fn begin_segment(&mut self) -> Result<(), Errno> {
        self.active = None;
        self.buffers.out.reset();
        let begun = self.rotation.begin_segment(self.committed, self.next_id, self.buffers.page())?;
        self.committed = CommittedEnd { sequence: begun.sequence(), end: begun.end() };
        self.active = Some(begun);
        Ok(())
    }

    fn is_disk_working(&mut self, failed: usize) -> bool {
        self.rotation.is_disk_working(failed, self.buffers.page())
    }
}
