//! The sink behind `--journal`. It has each group committed, with a sync or without as `--sync` says, and goes on after the disk failed.

use super::journal_log::JournalLog;
use super::opening::{self, Error};
use crate::clock;
use crate::hub::Hub;
use crate::journal::committed::Committed;
use crate::journal::files::{self, Files};
use crate::journal::policy::Sync;
use crate::journal::record::Record;
use crate::journal::segment::Identity;
use crate::journal::writer::{Buffers, WriteStats, Writer};
use crate::limits::{JOURNAL_RETRY_MS, PIPELINE_SYNC_US_MAX};
use crate::options::Options;
use crate::protocol::Priority;
use nix::errno::Errno;
use static_cell::ConstStaticCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The buffers of the journal.
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());

/// Whether the sink waits for the disk.
static IS_AT_DISK: AtomicBool = AtomicBool::new(false);

/// Whether the sink waits for the disk now. If nothing is processed then, it is the disk that hangs, and not the server.
pub fn is_at_disk() -> bool {
    IS_AT_DISK.load(Ordering::Relaxed)
}

/// Records what is processed in the journal.
pub struct JournalSink {
    writer: Writer<'static, Files>,
    sync: Sync,
    interval: Duration,
    /// Whether the next commit is synced.
    is_urgent: bool,
    /// The time of the messages that are processed now, in milliseconds since 1970.
    time_ms: u64,
    /// By when what is committed must be synced, in nanoseconds.
    due_ns: Option<u64>,
    /// When the journal is opened anew, in nanoseconds, while the disk does not work.
    retry_ns: u64,
    /// What the log has told of it.
    log: JournalLog,
    /// How long the disk took since [`JournalSink::begin`], in nanoseconds.
    took_ns: u64,
    /// How long the disk takes before an ACK, in nanoseconds: a moving average; none: that is not known, or it failed.
    disk_ns: Option<u64>,
}

impl JournalSink {
    /// Opens the journal, if there is to be one.
    ///
    /// # Errors
    /// Why it cannot be written to.
    ///
    /// # Panics
    /// When called twice: there is one.
    pub fn open(options: &Options) -> Result<Option<Self>, Error> {
        let Some(directory) = &options.journal else { return Ok(None) };
        let error = |error| Error { directory: directory.clone(), error };
        let segment_bytes = files::segment_bytes(options.journal_size);
        let files = Files::open(directory, segment_bytes).map_err(error)?;
        opening::tell_cut(directory, files.cut_bytes());
        let opened = Writer::open(files, segment_bytes, BUFFERS.take());
        let (writer, recovery) =
            opened.map_err(|errno| error(files::Error::System("the last segment cannot be read", errno)))?;
        opening::tell_recovery(directory, &recovery, writer.identity());
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
        journal_sink.log.strangers(journal_sink.writer.strangers());
        Ok(Some(journal_sink))
    }

    /// The ID of the next message.
    pub fn next_id(&self) -> u64 {
        self.writer.next_id()
    }

    /// Begins a group, which is committed together.
    pub fn begin(&mut self) {
        // A board's clock may be set at any time, and may be before 1970.
        self.time_ms = clock::utc_ns() / 1_000_000;
        if !self.writer.works() && self.retry_ns <= clock::now_ns() {
            self.retry_ns = clock::now_ns() + JOURNAL_RETRY_MS * 1_000_000;
            let reopened = self.timed(Writer::reopen_segment);
            self.log.reopened(reopened);
        }
        (self.is_urgent, self.took_ns) = (false, 0);
        let is_synced = self.sync != Sync::None;
        self.timed(|writer| writer.begin_group(is_synced));
    }

    /// Has the writer do something, and adds up the time that it takes.
    fn timed<R>(&mut self, ask: impl FnOnce(&mut Writer<'static, Files>) -> R) -> R {
        let since_ns = clock::now_ns();
        IS_AT_DISK.store(true, Ordering::Relaxed);
        let result = ask(&mut self.writer);
        IS_AT_DISK.store(false, Ordering::Relaxed);
        self.took_ns += clock::now_ns() - since_ns;
        result
    }

    /// Whether another batch can be committed together with what was recorded since [`JournalSink::begin`].
    pub fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    /// Records a message.
    pub fn record(&mut self, id: u64, priority: Priority, from: &[u8], text: &[u8]) {
        self.is_urgent |= self.sync.covers(priority);
        self.writer.append(&Record { id, time_ms: self.time_ms, priority, from, text });
    }

    /// Has what was recorded written, so that there is room for another batch.
    pub fn flush(&mut self) {
        self.timed(Writer::flush);
    }

    /// Commits what was recorded since [`JournalSink::begin`]; false: none of it is in the journal.
    pub fn commit(&mut self, hub: &Hub) -> bool {
        let is_synced = self.is_urgent;
        let committed = self.timed(|writer| writer.commit(is_synced));
        self.learn(committed.is_ok(), is_synced, hub);
        self.tell(committed);
        self.schedule_sync();
        self.count(hub);
        // Before it is delivered: the replay relies on that order.
        if let Some(replay) = &hub.replay {
            replay.publish(self.committed());
        }
        committed.is_ok()
    }

    /// Whether the disk is so quick that nobody notices a wait for it. An unknown disk is taken to be slow.
    pub fn is_quick(&self) -> bool {
        self.disk_ns.is_some_and(|disk_ns| disk_ns < PIPELINE_SYNC_US_MAX * 1_000)
    }

    /// Learns how quick the disk is. It is a moving average, so that a slow disk is noticed soon, and a quick one again. If some groups are
    /// synced and some are not, one that is not counts only if it took longer than the average.
    fn learn(&mut self, is_done: bool, is_synced: bool, hub: &Hub) {
        let took_ns = self.took_ns;
        if is_done && is_synced {
            hub.counters.lock().synced(took_ns);
        }
        let tells =
            is_synced || self.sync == Sync::None || self.disk_ns.is_some_and(|disk_ns| took_ns > disk_ns);
        self.disk_ns = match self.disk_ns {
            _ if !is_done => None,
            disk_ns if !tells => disk_ns,
            Some(disk_ns) => Some(disk_ns - disk_ns / 8 + took_ns / 8),
            None => Some(took_ns),
        };
    }

    /// What is committed.
    pub fn committed(&self) -> Committed {
        let (headers, end) = self.writer.extent();
        Committed {
            headers: *headers,
            end,
            next_id: self.writer.next_id(),
            openings: self.writer.reopenings(),
        }
    }

    /// Skips IDs that were given to messages that are not recorded: the next one is at least `id`.
    pub fn skip_to(&mut self, id: u64) {
        self.writer.skip_to(id);
    }

    /// When [`JournalSink::sync_due`] has something to do, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Syncs what was acknowledged without a sync, if that is due. At the end it syncs in any case, and closes the journal.
    pub fn sync_due(&mut self, is_end: bool, hub: &Hub) {
        if self.due_ns.is_some_and(|due_ns| is_end || due_ns <= clock::now_ns()) {
            self.took_ns = 0;
            let synced = self.timed(Writer::sync_rest);
            self.learn(synced.is_ok(), true, hub);
            self.tell(synced);
            self.schedule_sync();
        }
        // If this fails, the next start skips IDs.
        if is_end && let Err(errno) = self.writer.close() {
            log::warn!("--journal: it is not closed in order: {}", errno.desc());
        }
    }

    fn schedule_sync(&mut self) {
        let is_owed = self.sync != Sync::None && self.writer.is_unsynced();
        let due_ns = || clock::now_ns() + self.interval.as_nanos() as u64;
        self.due_ns = if is_owed { self.due_ns.or_else(|| Some(due_ns())) } else { None };
    }

    /// What the counters say of the journal: its identity, what it has done, and whether it works.
    pub fn state(&self) -> (Identity, WriteStats, bool) {
        (self.writer.identity(), self.writer.done(), self.writer.works() && !self.log.is_failing())
    }

    /// Updates the counters.
    pub fn count(&self, hub: &Hub) {
        hub.counters.lock().journal = Some(self.state());
    }

    /// Has the log tell what a commit or a sync came to.
    fn tell(&mut self, result: Result<(), Errno>) {
        self.log.committed(result);
        self.log.strangers(self.writer.strangers());
        if result.is_ok() {
            self.log.refusals(self.writer.refusals());
        }
    }
}
