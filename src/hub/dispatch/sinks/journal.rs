//! The sink of `--journal`. It commits each group, with or without a sync as `--sync` says, and resumes after a failure
//! of the disk.

use super::journal_log::JournalLog;
use super::opening::{self, Error};
use crate::clock;
use crate::hub::counters::JournalState;
use crate::hub::shared::Hub;
use crate::journal::committed::Committed;
use crate::journal::error::Error as JournalError;
use crate::journal::files::{self, Files};
use crate::journal::policy::Sync;
use crate::journal::record::Record;
use crate::journal::writer::{Buffers, Writer};
use crate::limits::{JOURNAL_RETRY_MS, PIPELINE_SYNC_US_MAX};
use crate::options::Options;
use crate::protocol::Priority;
use nix::errno::Errno;
use static_cell::ConstStaticCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The buffers of the journal.
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());

/// Whether the sink waits for the disk now.
static IS_WAITING_FOR_DISK: AtomicBool = AtomicBool::new(false);

/// Whether the sink waits for the disk now. If the consumer makes no progress meanwhile, the disk hangs, and not the
/// server.
pub fn is_waiting_for_disk() -> bool {
    IS_WAITING_FOR_DISK.load(Ordering::Relaxed)
}

/// Writes the processed messages to the journal.
pub struct JournalSink {
    writer: Writer<'static, Files>,
    sync: Sync,
    interval: Duration,
    /// Whether the next commit is synced.
    is_urgent: bool,
    /// The time of the messages of this group, in milliseconds since 1970.
    time_ms: u64,
    /// By when the sink must sync the committed messages, in nanoseconds.
    due_ns: Option<u64>,
    /// While the disk does not work: when to reopen the journal, in nanoseconds.
    retry_ns: u64,
    /// Logs the changes of the journal's state.
    log: JournalLog,
    /// How long the disk has taken since [`JournalSink::begin`], in nanoseconds.
    took_ns: u64,
    /// How long the disk takes before an ACK, in nanoseconds: a moving average. `None` if it is not known, or if the
    /// last commit failed.
    disk_ns: Option<u64>,
}

impl JournalSink {
    /// Opens the journal, if the options name one.
    ///
    /// # Errors
    /// Why the server cannot write to the journal.
    ///
    /// # Panics
    /// When called twice: there is only one set of buffers.
    pub fn open(options: &Options) -> Result<Option<Self>, Error> {
        let Some(directory) = &options.journal else { return Ok(None) };
        let error = |error| Error { directory: directory.clone(), error };
        let segment_bytes = files::segment_bytes(options.journal_size);
        let files = Files::open(directory, segment_bytes).map_err(error)?;
        opening::log_short_files(directory, files.cut_bytes());
        let opened = Writer::open(files, segment_bytes, BUFFERS.take());
        let (writer, recovery) =
            opened.map_err(|errno| error(JournalError::System("the last segment cannot be read", errno)))?;
        opening::log_recovery(directory, &recovery, writer.identity());
        let mut journal_sink = Self {
            writer,
            sync: options.sync,
            interval: options.sync_interval,
            is_urgent: false,
            time_ms: 0,
            due_ns: None,
            retry_ns: 0,
            log: JournalLog::new(),
            took_ns: 0,
            disk_ns: None,
        };
        journal_sink.log.foreign_files(journal_sink.writer.foreign_files());
        Ok(Some(journal_sink))
    }

    /// The ID of the next message.
    pub fn next_id(&self) -> u64 {
        self.writer.next_id()
    }

    /// Begins a group of messages that are committed together.
    pub fn begin(&mut self) {
        // A board's clock may be set at any time, and may be before 1970.
        self.time_ms = clock::utc_ns() / 1_000_000;
        if !self.writer.is_writable() && self.retry_ns <= clock::now_ns() {
            self.retry_ns = clock::now_ns() + JOURNAL_RETRY_MS * 1_000_000;
            let reopened = self.timed(Writer::reopen_segment);
            self.log.after_reopening(reopened);
        }
        (self.is_urgent, self.took_ns) = (false, 0);
        let is_synced = self.sync != Sync::None;
        self.timed(|writer| writer.begin_group(is_synced));
    }

    /// Calls `action` with the writer, and adds up the time that it takes.
    fn timed<R>(&mut self, action: impl FnOnce(&mut Writer<'static, Files>) -> R) -> R {
        let since_ns = clock::now_ns();
        IS_WAITING_FOR_DISK.store(true, Ordering::Relaxed);
        let result = action(&mut self.writer);
        IS_WAITING_FOR_DISK.store(false, Ordering::Relaxed);
        self.took_ns += clock::now_ns() - since_ns;
        result
    }

    /// Whether another batch can join the group.
    pub fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    /// Adds a message to the group.
    pub fn record(&mut self, id: u64, priority: Priority, from: &[u8], text: &[u8]) {
        self.is_urgent |= self.sync.covers(priority);
        self.writer.append(&Record { id, time_ms: self.time_ms, priority, from, text });
    }

    /// Writes the recorded messages, so that there is room for another batch.
    pub fn flush(&mut self) {
        self.timed(Writer::flush);
    }

    /// Commits the group. Returns false if none of its messages is in the journal.
    pub fn commit(&mut self, hub: &Hub) -> bool {
        let is_synced = self.is_urgent;
        let committed = self.timed(|writer| writer.commit(is_synced));
        self.record_disk_time(committed.is_ok(), is_synced, hub);
        self.log_result(committed);
        self.schedule_sync();
        self.update_counters(hub);
        // Before the delivery: the replay relies on that order.
        if let Some(replay) = &hub.replay {
            replay.publish(self.committed());
        }
        committed.is_ok()
    }

    /// Whether the disk is so quick that clients do not notice a wait for it. An unknown disk counts as slow.
    pub fn is_quick(&self) -> bool {
        self.disk_ns.is_some_and(|disk_ns| disk_ns < PIPELINE_SYNC_US_MAX * 1_000)
    }

    /// Records how long the disk has taken, as a moving average, so that a change is noticed soon. If some groups are
    /// synced and some are not, a group without a sync counts only if it took longer than the average.
    fn record_disk_time(&mut self, is_ok: bool, is_synced: bool, hub: &Hub) {
        let took_ns = self.took_ns;
        if is_ok && is_synced {
            hub.counters.lock().record_sync(took_ns);
        }
        let counts =
            is_synced || self.sync == Sync::None || self.disk_ns.is_some_and(|disk_ns| took_ns > disk_ns);
        self.disk_ns = match self.disk_ns {
            _ if !is_ok => None,
            disk_ns if !counts => disk_ns,
            Some(disk_ns) => Some(disk_ns - disk_ns / 8 + took_ns / 8),
            None => Some(took_ns),
        };
    }

    /// The committed part of the journal.
    pub fn committed(&self) -> Committed {
        let (headers, end) = self.writer.extent();
        Committed {
            headers: *headers,
            end,
            next_id: self.writer.next_id(),
            openings: self.writer.reopenings(),
        }
    }

    /// Skips IDs that were given to messages that are not in the journal: the next ID is at least `id`.
    pub fn skip_to(&mut self, id: u64) {
        self.writer.skip_to(id);
    }

    /// When [`JournalSink::sync_due`] has something to do, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Syncs the messages that were acknowledged without a sync, if that is due. With `is_end`, syncs even if it is not
    /// due yet, and closes the journal.
    pub fn sync_due(&mut self, is_end: bool, hub: &Hub) {
        if self.due_ns.is_some_and(|due_ns| is_end || due_ns <= clock::now_ns()) {
            self.took_ns = 0;
            let synced = self.timed(Writer::sync_committed);
            self.record_disk_time(synced.is_ok(), true, hub);
            self.log_result(synced);
            self.schedule_sync();
        }
        // If this fails, the next start skips IDs.
        if is_end && let Err(errno) = self.writer.close() {
            log::warn!("--journal: it was not closed properly: {}", errno.desc());
        }
    }

    fn schedule_sync(&mut self) {
        let is_owed = self.sync != Sync::None && self.writer.is_unsynced();
        let due_ns = || clock::now_ns() + self.interval.as_nanos() as u64;
        self.due_ns = if is_owed { self.due_ns.or_else(|| Some(due_ns())) } else { None };
    }

    /// The state of the journal, for the counters.
    pub fn state(&self) -> JournalState {
        JournalState {
            identity: self.writer.identity(),
            capacity_bytes: self.writer.capacity_bytes(),
            written: self.writer.stats(),
            works: self.writer.is_writable() && !self.log.is_failing(),
        }
    }

    /// Updates the counters.
    pub fn update_counters(&self, hub: &Hub) {
        hub.counters.lock().set_journal(self.state());
    }

    /// Logs the result of a commit or a sync, if it is a change.
    fn log_result(&mut self, result: Result<(), Errno>) {
        self.log.after_commit(result);
        self.log.foreign_files(self.writer.foreign_files());
        if result.is_ok() {
            self.log.unwritable_files(self.writer.refusals());
        }
    }
}
