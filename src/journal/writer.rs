//! The writer: appends records to the current segment, and knows up to where they count.
//!
//! Records are appended and then committed together (group commit). A commit that fails takes all of them back: the segment
//! is left as it is, never to be written to or believed behind the last commit again, and the next one begins, whose header
//! says where belief in the former ends. For after a failed sync nobody knows what is on the disk, and a second sync that
//! succeeds says nothing about it ("fsyncgate", 2018).
//!
//! If the header of the next segment cannot be written, its file is given up for now, and the segment begins in the file after that one.
//! The next rotation tries that file again, before all others.
//!
//! At the start the end of the last segment is looked for: see [`tail`](super::tail). All whole records before it count: damage between
//! them costs itself. If nothing but bytes of a former use follow the last one, the journal goes on behind it. If there are signs of
//! more, what follows was torn by a power cut: it is kept where it is, and the next segment begins.
//!
//! No ID is given twice. Those that may have been acknowledged though their messages are on no disk are skipped: [`mark`](super::mark)
//! says how they are known where messages are acknowledged before they are synced. The same where the newest segments may be lost
//! with their headers: as many IDs are skipped as find room in them.

use super::disk::{Disk, Source};
use super::headers::{FIRST_OFFSET, Headers, copied_from, is_used, read_header, read_headers};
use super::mark::{Given, Marks, ids_in};
use super::number::number;
use super::pages::Pages;
use super::record::Record;
use super::scan::Window;
use super::segment::{HEADER_OFFSETS, Header, Identity, Origin, SegmentKey};
use super::tail::Tail;
use crate::limits::{
    JOURNAL_BATCH_BYTES, JOURNAL_READ_BYTES, JOURNAL_SEGMENTS, JOURNAL_STRETCH_BYTES, PAGE_BYTES,
    SEGMENT_HEADER_BYTES,
};
use heapless::Vec;
use nix::errno::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Why a segment could not begin in each file, by their numbers. None: it could, or that was not tried.
pub type Refusals = [Option<Errno>; JOURNAL_SEGMENTS];

/// Which files hold another journal's messages.
pub type Strangers = [bool; JOURNAL_SEGMENTS];

/// What the writer needs besides the disk.
pub struct Buffers {
    /// Records that are not written yet.
    out: Pages,
    /// What is read at the start, and the page of a header.
    window: Window,
}

impl Buffers {
    /// Empty ones.
    pub const fn new() -> Self {
        Self { out: Pages::new(), window: [0; JOURNAL_READ_BYTES] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// What was found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The ID of the next message.
    pub next_id: u64,
    /// Segments with something in them.
    pub segments: usize,
    /// Bytes in the last one that are damaged, with whole records behind them.
    pub damaged_bytes: u32,
    /// Bytes behind the last record of the last one that were to be a record: a power cut tore it, or it is damaged. They stay where
    /// they are.
    pub torn_bytes: u32,
    /// IDs before the next one that no message has: they may have been given.
    pub skipped: u64,
    /// Segments that were used and cannot be read: their headers are damaged, or those of another journal.
    pub unreadable_segments: u64,
    /// Segments that may have come after the last one that can be read: their headers are lost.
    pub lost_segments: u64,
}

impl Recovery {
    /// Whether the journal begins now.
    pub fn is_new(&self) -> bool {
        *self == Self { next_id: 1, ..Self::default() }
    }
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WriteStats {
    /// Bytes of records that were committed.
    pub record_bytes: u64,
    /// Bytes that the disk had to take for them: whole pages, again with each sync that found a page not full.
    pub page_bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Commits that failed.
    pub failures: u64,
}

/// Appends to the journal. There is one for each journal.
pub struct Writer<'a, D> {
    disk: D,
    segment_bytes: u32,
    /// What is written without a sync at most, but for one batch.
    stretch_bytes: u32,
    identity: Identity,
    headers: Headers,
    buffers: &'a mut Buffers,
    /// The segment that records are written to; none before the first, and after one that was given up and has no successor.
    current: Option<Place>,
    /// Up to where the last segment that was begun is believed; what the header of the next one says.
    last: End,
    /// How many headers of the next segment could not be written so far.
    attempt: u32,
    /// Why the header could not be written to each file when that was last tried.
    refusals: Refusals,
    /// The files that hold another journal's messages.
    strangers: Strangers,
    /// The ID that the next record has at least, and the same at the last commit.
    next_id: u64,
    committed_id: u64,
    /// Whether messages are acknowledged before they are synced: each segment that begins says so.
    is_unsynced_run: bool,
    /// The files in their place are another journal's, to which nothing is written.
    is_anothers: bool,
    /// How often the files were opened anew.
    reopenings: u64,
    /// Why what was appended since the last commit cannot be committed.
    fault: Option<Errno>,
    done: WriteStats,
}

/// The segment that records are written to, and up to where that is done.
#[derive(Clone, Copy)]
struct Place {
    segment: usize,
    key: SegmentKey,
    /// Where the next record goes, once what waits in the buffer is written.
    end: u32,
    /// The end of what is on the disk for sure.
    synced: u32,
    /// What it says of the IDs that were given.
    marks: Marks,
}

/// Up to where a segment is believed.
#[derive(Clone, Copy)]
struct End {
    sequence: u64,
    end: u32,
}

impl<'a, D: Disk> Writer<'a, D> {
    /// Opens the journal on that disk, whose files have that length, and makes it ready to be written to.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(disk: D, segment_bytes: u32, buffers: &'a mut Buffers) -> Result<(Self, Recovery), Errno> {
        Self::open_as(disk, segment_bytes, JOURNAL_STRETCH_BYTES, buffers, None)
    }

    /// The same with other stretches: see [`tail`](super::tail).
    #[cfg(test)]
    pub fn open_with(
        disk: D,
        segment_bytes: u32,
        stretch_bytes: u32,
        buffers: &'a mut Buffers,
    ) -> Result<(Self, Recovery), Errno> {
        Self::open_as(disk, segment_bytes, stretch_bytes, buffers, None)
    }

    /// Begins a journal that is another one carried over: it has the same identity.
    ///
    /// # Errors
    /// Those of the disk.
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
        mut disk: D,
        segment_bytes: u32,
        stretch_bytes: u32,
        buffers: &'a mut Buffers,
        identity: Option<Identity>,
    ) -> Result<(Self, Recovery), Errno> {
        // What is believed from now on is shown, and must not be lost by the next power cut.
        (0..JOURNAL_SEGMENTS).try_for_each(|segment| disk.settle(segment))?;
        let headers = read_headers(&disk, segment_bytes)?;
        let newest = headers.iter().flatten().filter(|header| header.origin.is_some());
        let identity = newest.max_by_key(|header| header.turn()).and_then(Header::identity).or(identity);
        let identity = identity.map_or_else(new_identity, Ok)?;
        let mut writer = Self {
            disk,
            segment_bytes,
            stretch_bytes,
            identity,
            headers,
            buffers,
            current: None,
            last: End { sequence: 0, end: FIRST_OFFSET },
            attempt: 0,
            refusals: [None; JOURNAL_SEGMENTS],
            strangers: [false; JOURNAL_SEGMENTS],
            next_id: 1,
            committed_id: 1,
            is_unsynced_run: false,
            is_anothers: false,
            reopenings: 0,
            fault: None,
            done: WriteStats::default(),
        };
        let found = writer.recover()?;
        Ok((writer, found))
    }

    /// Reads the last segment, and goes on with it or begins the next.
    fn recover(&mut self) -> Result<Recovery, Errno> {
        let last = self.newest();
        let segments = self.headers.iter().flatten().count();
        self.strangers = self.find_strangers()?;
        let unreadable_segments = self.unreadable_segments()?;
        let lost_segments = self.lost_segments(unreadable_segments);
        let Some((segment, header)) = last.and_then(|segment| Some((segment, self.headers[segment]?))) else {
            return self.begin_anew(unreadable_segments);
        };
        let tail = Tail::read(&self.disk, segment, &header, self.stretch_bytes, &mut self.buffers.window)?;
        let marks = Marks::read(&self.disk, segment, &header)?;
        let given = marks.given();
        let is_unsynced = given.is_unsynced || lost_segments > 0;
        let next_id = Given { is_unsynced, ..given }.next_id(&header, tail.end, tail.next_id);
        self.set_next_id(next_id.saturating_add(lost_segments * ids_in(&header, FIRST_OFFSET)));
        // The sequences of what is lost are left out: so it is known that they are accounted for.
        self.last = End { sequence: header.sequence + lost_segments, end: tail.end };
        let is_whole = tail.torn_bytes == 0 && lost_segments == 0;
        let has_room = tail.end <= self.with_origin(header).records_end();
        if is_whole && has_room {
            match self.resume(segment, header, tail.end, marks) {
                Err(_) if self.does_disk_work(segment) => self.begin_segment()?,
                resumed => resumed?,
            }
        } else {
            self.begin_segment()?;
        }
        if lost_segments > 0 && header.origin.is_some() {
            match self.note_skip(segment, &header, marks) {
                // A bad page there must not keep the journal from going on: the note is needed only if the next file is lost too.
                Err(_) if self.does_disk_work(segment) => {}
                noted => noted?,
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

    /// Has the last segment that could be read say which IDs were skipped. Otherwise the same ones would be given again if the segment that
    /// begins now was lost too.
    fn note_skip(&mut self, segment: usize, header: &Header, mut marks: Marks) -> Result<(), Errno> {
        let page = self.buffers.window.first_chunk_mut().ok_or(Errno::EIO)?;
        let given = Given { next_id: self.next_id, ..marks.given() };
        marks.write(&mut self.disk, segment, header, page, given)?;
        self.disk.sync(segment)?;
        self.done.page_bytes += PAGE_BYTES as u64;
        self.done.syncs += 1;
        Ok(())
    }

    /// Begins where no segment can be read.
    fn begin_anew(&mut self, lost_segments: u64) -> Result<Recovery, Errno> {
        let header = self.next_header(SegmentKey { mark: 0, salt: 0 });
        let skipped = lost_segments * ids_in(&header, FIRST_OFFSET);
        self.set_next_id(1 + skipped);
        self.last.sequence = lost_segments;
        self.begin_segment()?;
        Ok(Recovery {
            next_id: self.next_id,
            skipped,
            unreadable_segments: lost_segments,
            lost_segments,
            ..Recovery::default()
        })
    }

    /// Goes on with a segment whose records end there.
    fn resume(&mut self, segment: usize, header: Header, end: u32, marks: Marks) -> Result<(), Errno> {
        let header = self.renew_header(segment, header)?;
        self.buffers.out.resume(&self.disk, segment, end)?;
        self.current = Some(Place { segment, key: header.key, end, synced: end, marks });
        if marks.given().is_unsynced {
            // What is skipped now is not skipped again.
            self.mark(Given { next_id: self.next_id, is_unsynced: false })?;
        }
        Ok(())
    }

    /// Has a segment of version 1 be of this version, and one whose header's page is not as it was written whole again. In two steps:
    /// after each of them, whatever a power cut leaves, one of the headers is whole.
    fn renew_header(&mut self, segment: usize, header: Header) -> Result<Header, Errno> {
        let header = self.with_origin(header);
        let (mut page, whole) = ([0; SEGMENT_HEADER_BYTES], header.to_page());
        self.disk.read(segment, 0, &mut page)?;
        if page != whole {
            for offset in HEADER_OFFSETS {
                let sector = offset..offset + SEGMENT_HEADER_BYTES / 8;
                page[sector.clone()].copy_from_slice(&whole[sector]);
            }
            for page in [page, whole] {
                self.disk.write(segment, 0, &page)?;
                self.disk.sync(segment)?;
                self.done.syncs += 1;
                self.done.page_bytes += SEGMENT_HEADER_BYTES as u64;
            }
        }
        self.headers[segment] = Some(header);
        Ok(header)
    }

    /// The header of a segment as this version has it.
    fn with_origin(&self, header: Header) -> Header {
        let origin =
            Origin { identity: self.identity, is_unsynced: false, oldest: self.oldest(), attempt: 0 };
        Header { origin: header.origin.or(Some(origin)), ..header }
    }

    /// How many segments were used and cannot be read.
    fn unreadable_segments(&self) -> Result<u64, Errno> {
        let mut unreadable = 0;
        for segment in 0..JOURNAL_SEGMENTS {
            if self.headers[segment].is_none()
                && !self.is_superseded(segment)?
                && is_used(&self.disk, segment)?
            {
                unreadable += 1;
            }
        }
        Ok(unreadable)
    }

    /// Whether a segment has a header of this journal and does not count any more all the same. A copy of another file is none: what stood
    /// there before is lost.
    fn is_superseded(&self, segment: usize) -> Result<bool, Errno> {
        let header = read_header(&self.disk, segment, self.segment_bytes)?;
        let is_copy = copied_from(&self.disk, segment, self.segment_bytes, &self.headers)?.is_some();
        Ok(self.headers[segment].is_none() && header.is_some() && !self.strangers[segment] && !is_copy)
    }

    /// Which segments have a whole header that is not this journal's. One of version 1 does not say whose it is: then it is one that
    /// could not be older than all that counts.
    fn find_strangers(&self) -> Result<Strangers, Errno> {
        let mut strangers = [false; JOURNAL_SEGMENTS];
        for (segment, is_stranger) in strangers.iter_mut().enumerate() {
            let header = read_header(&self.disk, segment, self.segment_bytes)?;
            let is_ours = |header: &Header| match header.identity() {
                Some(identity) => identity == self.identity,
                None => header.sequence < self.oldest(),
            };
            *is_stranger = self.headers[segment].is_none() && header.is_some_and(|header| !is_ours(&header));
        }
        Ok(strangers)
    }

    /// How many segments may have come after the last one that can be read: those that cannot, but for as many as are missing between
    /// others, and before them in the first round.
    fn lost_segments(&self, unreadable: u64) -> u64 {
        let sequences = || self.headers.iter().flatten().map(|header| header.sequence);
        let (Some(first), Some(last)) = (sequences().min(), sequences().max()) else { return unreadable };
        let readable = sequences().count() as u64;
        let between = (last - first).saturating_add(1).saturating_sub(readable);
        let before = if last < JOURNAL_SEGMENTS as u64 { first.saturating_sub(1) } else { 0 };
        unreadable.saturating_sub(between.saturating_add(before))
    }

    fn set_next_id(&mut self, id: u64) {
        (self.next_id, self.committed_id) = (id, id);
    }

    fn sequence_of(&self, segment: usize) -> u64 {
        self.headers[segment].map_or(0, |header| header.sequence)
    }

    /// The segment that was begun last; none: none holds anything.
    fn newest(&self) -> Option<usize> {
        let used = (0..JOURNAL_SEGMENTS).filter(|segment| self.headers[*segment].is_some());
        used.max_by_key(|segment| self.sequence_of(*segment))
    }

    /// The sequence of the oldest segment that counts; that of the next one if none does.
    fn oldest(&self) -> u64 {
        let sequences = self.headers.iter().flatten().map(|header| header.sequence);
        sequences.min().unwrap_or(self.last.sequence + 1)
    }

    /// The ID of the next message.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// What tells this journal from all others.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What has been done so far.
    pub fn done(&self) -> WriteStats {
        self.done
    }

    /// What the segments hold, and where the last one's committed records end.
    pub fn extent(&self) -> (&Headers, u32) {
        (&self.headers, self.last.end)
    }

    /// Why a segment could not begin in each file when that was last tried.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Which files hold another journal's messages. They are written over before this journal's own, and after those that are empty.
    pub fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// Whether records can be committed.
    pub fn works(&self) -> bool {
        self.current.is_some()
    }

    /// Whether something was committed that is not synced.
    pub fn is_unsynced(&self) -> bool {
        self.current.is_some_and(|place| place.synced < self.last.end)
    }

    /// Begins to append what is to be committed together. Rotates to the next segment if this one might not hold a batch;
    /// what is in this one is synced before, if `is_synced`.
    pub fn begin_group(&mut self, is_synced: bool) {
        debug_assert!(self.buffers.out.waiting() == 0);
        // A group that came to nothing may have left a fault: the next commit tells it.
        if self.fault.is_none() && self.works() && !self.has_room() {
            self.fault = self.rotate(is_synced).err();
        }
    }

    /// Whether another batch can be committed together with what was appended. Always so right after
    /// [`Writer::begin_group`].
    pub fn has_room(&self) -> bool {
        self.current.is_none_or(|place| {
            place.end as usize + self.buffers.out.waiting() + JOURNAL_BATCH_BYTES
                <= self.records_end(place.segment) as usize
        })
    }

    fn records_end(&self, segment: usize) -> u32 {
        self.headers[segment].map_or(0, |header| header.records_end())
    }

    fn rotate(&mut self, is_synced: bool) -> Result<(), Errno> {
        if is_synced && self.is_unsynced() {
            self.sync()?;
        }
        self.begin_segment()
    }

    /// Appends a record, which counts from the next [`Writer::commit`] on, if that succeeds. Its ID must be
    /// [`Writer::next_id`] or above.
    pub fn append(&mut self, record: &Record<'_>) {
        debug_assert!(record.id >= self.next_id);
        if self.fault.is_none() {
            self.fault = self.try_append(record).err();
        }
    }

    fn try_append(&mut self, record: &Record<'_>) -> Result<(), Errno> {
        let key = self.current.ok_or(Errno::EIO)?.key;
        let bytes = record.bytes();
        if self.buffers.out.waiting() + bytes > JOURNAL_BATCH_BYTES {
            self.write()?;
        }
        let room = self.buffers.out.extend(bytes);
        room.and_then(|room| record.write(&key, room)).ok_or(Errno::EMSGSIZE)?;
        self.next_id = record.id + 1;
        Ok(())
    }

    /// Writes what was appended, so that the buffer is free for the next batch.
    pub fn flush(&mut self) {
        if self.fault.is_none() {
            self.fault = self.write().err();
        }
    }

    /// Makes all that was appended since the last commit count, and with `is_synced` waits until it is on the disk.
    ///
    /// # Errors
    /// Those of the disk: then none of it counts. It goes on with the next segment, if that can be had.
    pub fn commit(&mut self, is_synced: bool) -> Result<(), Errno> {
        self.flush();
        let result = match self.fault.take() {
            Some(fault) => Err(fault),
            None if is_synced => self.sync(),
            None if self.current.is_some_and(|place| place.end > self.last.end) => self.expect_unsynced(),
            None => Ok(()),
        };
        match (result, self.current) {
            (Ok(()), Some(place)) => {
                self.done.record_bytes += u64::from(place.end - self.last.end);
                self.last.end = place.end;
                self.committed_id = self.next_id;
            }
            _ => self.give_up(),
        }
        result
    }

    /// Prepares to acknowledge messages before they are synced: has the segment say so, on the disk, and each that begins later. Else
    /// the first commit without a sync does that.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn expect_unsynced(&mut self) -> Result<(), Errno> {
        self.is_unsynced_run = true;
        match self.current {
            Some(place) if !place.marks.given().is_unsynced => {
                self.mark(Given { next_id: self.committed_id, is_unsynced: true })
            }
            _ => Ok(()),
        }
    }

    /// Ends in order: syncs what was committed without it, and has the segment say which ID is next, so that the next start skips none.
    /// It may go on after that all the same.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn close(&mut self) -> Result<(), Errno> {
        self.sync_rest()?;
        match self.current {
            Some(place) if place.marks.given().is_unsynced => {
                self.mark(Given { next_id: self.committed_id, is_unsynced: false })
            }
            _ => Ok(()),
        }
    }

    /// Leaves out IDs: the next one is that one at least.
    pub fn skip_to(&mut self, id: u64) {
        self.set_next_id(self.committed_id.max(id));
    }

    /// Has the current segment say that of the IDs that were given, on the disk.
    fn mark(&mut self, given: Given) -> Result<(), Errno> {
        let place = self.current.as_mut().ok_or(Errno::EIO)?;
        let header = self.headers[place.segment].ok_or(Errno::EIO)?;
        let page = self.buffers.window.first_chunk_mut().ok_or(Errno::EIO)?;
        if let Err(errno) = place.marks.write(&mut self.disk, place.segment, &header, page, given) {
            // Nobody knows what it says now.
            self.current = None;
            return Err(errno);
        }
        self.done.page_bytes += PAGE_BYTES as u64;
        self.sync()
    }

    /// Syncs what was committed without it.
    ///
    /// # Errors
    /// Those of the disk: then what was not synced may be lost, and it goes on with the next segment, if that can be had.
    pub fn sync_rest(&mut self) -> Result<(), Errno> {
        let result = if self.is_unsynced() { self.sync() } else { Ok(()) };
        if result.is_err() {
            self.give_up();
        }
        result
    }

    /// Takes back what was not committed, and tries to go on with the next segment.
    fn give_up(&mut self) {
        self.done.failures += 1;
        self.buffers.out.reset();
        self.next_id = self.committed_id;
        // What was acknowledged before, and promised to the next sync: no later one comes here.
        if self.is_unsynced() {
            let _ = self.sync();
        }
        self.current = None;
        // Told by the one whose call failed; tried again by `reopen_segment`.
        let _ = self.begin_segment();
    }

    /// Tries to go on after a failure; to be called now and then while it does not [work](Self::works).
    ///
    /// # Errors
    /// Those of the disk: it does not go on. `EMEDIUMTYPE`: the files in their place are another journal's.
    pub fn reopen_segment(&mut self) -> Result<(), Errno> {
        self.disk.reopen()?;
        self.reopenings += 1;
        self.forget_what_is_gone();
        self.begin_segment()
    }

    /// Forgets what the segments held if another disk is in their place, and notes whether it holds another journal, and nothing of
    /// this one. A segment of version 1 does not say whose it is: it is this journal's if it is known.
    fn forget_what_is_gone(&mut self) {
        let (mut is_ours, mut is_anothers) = (false, false);
        for segment in 0..JOURNAL_SEGMENTS {
            // What cannot be read now is taken to be as it was.
            let Ok(header) = read_header(&self.disk, segment, self.segment_bytes) else { continue };
            let is_known = |header: &Header| {
                self.headers.contains(&Some(*header)) || header.identity() == Some(self.identity)
            };
            let is_strangers = header.is_some_and(|header| !is_known(&header));
            is_ours |= header.is_some() && !is_strangers;
            is_anothers |= is_strangers;
            self.strangers[segment] = is_strangers;
            if header != self.headers[segment] {
                self.headers[segment] = None;
            }
        }
        self.is_anothers = is_anothers && !is_ours;
    }

    /// How often the files were opened anew: they may be others since.
    pub fn reopenings(&self) -> u64 {
        self.reopenings
    }

    /// Writes what waits in the buffer to the current segment. What is written is synced before it is more than a stretch.
    fn write(&mut self) -> Result<(), Errno> {
        let unsynced = |place: Place| place.end - place.synced + self.buffers.out.waiting() as u32;
        if self.current.is_some_and(|place| place.end > place.synced && unsynced(place) > self.stretch_bytes)
        {
            self.sync()?;
        }
        let place = self.current.as_mut().ok_or(Errno::EIO)?;
        place.end = self.buffers.out.write(&mut self.disk, place.segment, place.end)?;
        Ok(())
    }

    /// Waits until what was written to the current segment is on the disk.
    fn sync(&mut self) -> Result<(), Errno> {
        let place = self.current.as_mut().ok_or(Errno::EIO)?;
        if let Err(errno) = self.disk.sync(place.segment) {
            // Nobody may ask again: the answer would be `Ok`.
            self.current = None;
            return Err(errno);
        }
        self.done.syncs += 1;
        self.done.page_bytes += page_bytes(place.synced, place.end);
        place.synced = place.end;
        Ok(())
    }

    /// Begins the next segment: in a file that holds nothing, or else in that of the oldest. If its header cannot be written though the
    /// disk works, in the file after that one. Each is tried once, but never that of the newest segment.
    fn begin_segment(&mut self) -> Result<(), Errno> {
        self.current = None;
        self.buffers.out.reset();
        if self.is_anothers {
            return Err(Errno::EMEDIUMTYPE);
        }
        let mut result = Err(Errno::ENODEV);
        for segment in self.files_to_begin_in() {
            result = self.begin_in(segment);
            // While the disk takes nothing, each further try would cost a segment in vain.
            if result.is_ok() || !self.does_disk_work(segment) {
                break;
            }
        }
        result
    }

    /// All files but that of the newest segment, in the order of their use.
    fn files_to_begin_in(&self) -> Vec<usize, JOURNAL_SEGMENTS> {
        let newest = self.newest();
        let mut files: Vec<usize, JOURNAL_SEGMENTS> =
            (0..JOURNAL_SEGMENTS).filter(|segment| Some(*segment) != newest).collect();
        files
            .sort_unstable_by_key(|segment| (self.sequence_of(*segment), self.strangers[*segment], *segment));
        files
    }

    /// Whether the disk takes, for any file but one that failed, what changes nothing: the mark of a segment once more. Where no other
    /// holds anything, nothing is lost by another try.
    fn does_disk_work(&mut self, failed: usize) -> bool {
        let is_other = |segment: &usize| *segment != failed && self.headers[*segment].is_some();
        let others: Vec<usize, JOURNAL_SEGMENTS> = (0..JOURNAL_SEGMENTS).filter(is_other).collect();
        others.is_empty() || others.into_iter().any(|segment| self.rewrite_mark(segment).is_ok())
    }

    fn rewrite_mark(&mut self, segment: usize) -> Result<(), Errno> {
        let header = self.headers[segment].ok_or(Errno::EIO)?;
        let page = self.buffers.window.first_chunk_mut().ok_or(Errno::EIO)?;
        Marks::read(&self.disk, segment, &header)?.rewrite(&mut self.disk, segment, &header, page)?;
        self.done.page_bytes += PAGE_BYTES as u64;
        self.disk.sync(segment)?;
        self.done.syncs += 1;
        Ok(())
    }

    /// Begins the next segment in that file. Its header is on the disk then, and says what of all that was written before is never
    /// believed again: what was not committed of the segment before it, and what is older than the oldest that is left. A header that
    /// cannot be written is noticed here, before anything is put behind it.
    fn begin_in(&mut self, segment: usize) -> Result<(), Errno> {
        // Whatever comes of it: what it held is gone.
        (self.headers[segment], self.strangers[segment]) = (None, false);
        let header = self.next_header(new_seal()?);
        let written = self.write_header(segment, &header);
        self.refusals[segment] = written.err();
        if written.is_err() {
            self.attempt = self.attempt.saturating_add(1);
            return written;
        }
        self.attempt = 0;
        self.headers[segment] = Some(header);
        self.last = End { sequence: header.sequence, end: FIRST_OFFSET };
        let (key, marks) = (header.key, Marks::of_header(&header));
        self.current = Some(Place { segment, key, end: FIRST_OFFSET, synced: FIRST_OFFSET, marks });
        Ok(())
    }

    fn write_header(&mut self, segment: usize, header: &Header) -> Result<(), Errno> {
        self.disk.write(segment, 0, &header.to_page())?;
        self.disk.sync(segment)?;
        self.done.syncs += 1;
        self.done.page_bytes += SEGMENT_HEADER_BYTES as u64;
        Ok(())
    }

    /// The header of the segment that begins next.
    fn next_header(&self, key: SegmentKey) -> Header {
        let origin = Origin {
            identity: self.identity,
            is_unsynced: self.is_unsynced_run,
            oldest: self.oldest(),
            attempt: self.attempt,
        };
        Header {
            segment_bytes: self.segment_bytes,
            sequence: self.last.sequence + 1,
            key,
            previous_end: self.last.end,
            first_id: self.next_id,
            origin: Some(origin),
        }
    }
}

/// The ID that comes next where that is the last segment, as far as one can know who only reads.
///
/// # Errors
/// Those of the disk.
pub fn read_next_id(
    disk: &impl Source,
    segment: usize,
    header: &Header,
    window: &mut Window,
) -> Result<u64, Errno> {
    let tail = Tail::read(disk, segment, header, JOURNAL_STRETCH_BYTES, window)?;
    let given = Marks::read(disk, segment, header)?.given();
    Ok(given.next_id.max(tail.next_id).max(1))
}

/// Two random numbers that no client knows.
fn new_seal() -> Result<SegmentKey, Errno> {
    let bytes = random::<12>()?;
    Ok(SegmentKey { mark: number(&bytes[..4]) as u32, salt: number(&bytes[4..]) })
}

/// The identity of a new journal.
fn new_identity() -> Result<Identity, Errno> {
    random::<8>().map(|bytes| Identity(u64::from_le_bytes(bytes)))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Errno> {
    let mut bytes = [0; BYTES];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    let filled = filled.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
    if filled == BYTES { Ok(bytes) } else { Err(Errno::EAGAIN) }
}

/// The bytes of the pages that hold what stands between two places.
fn page_bytes(start: u32, end: u32) -> u64 {
    let page = PAGE_BYTES as u64;
    if start == end { 0 } else { u64::from(end).next_multiple_of(page) - u64::from(start) / page * page }
}
