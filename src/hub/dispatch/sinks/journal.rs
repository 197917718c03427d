//! The sink behind `--journal`: has what is processed together committed together, with or without a sync as `--sync` says, and
//! sees to the disk when it fails.

use crate::clock;
use crate::counted::{Counted, Size};
use crate::hub::Hub;
use crate::hub::replay::Committed;
use crate::journal::files::{self, Files, NAMES};
use crate::journal::policy::Sync;
use crate::journal::record::Record;
use crate::journal::segment::Identity;
use crate::journal::writer::{Buffers, Recovery, Refusals, Strangers, WriteStats, Writer};
use crate::limits::{JOURNAL_RETRY_MS, JOURNAL_SEGMENTS, PIPELINE_SYNC_US_MAX};
use crate::options::Options;
use crate::protocol::Priority;
use core::fmt;
use nix::errno::Errno;
use static_cell::ConstStaticCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The buffers of the one journal_sink.
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());

/// Whether the one journal_sink waits for the disk.
static IS_AT_DISK: AtomicBool = AtomicBool::new(false);

/// Whether the journal_sink waits for the disk now: what does not move then is the disk, and not the server.
pub fn is_at_disk() -> bool {
    IS_AT_DISK.load(Ordering::Relaxed)
}

/// Why the journal cannot be written to at the start.
#[derive(Debug)]
pub struct Error {
    directory: PathBuf,
    error: files::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        write!(f, "--journal {directory}: {}", self.error)?;
        match self.error {
            files::Error::System(_, Errno::ENOENT) => {
                let above = self.directory.parent().unwrap_or(Path::new("/")).display();
                write!(f, "; make the one above it: mkdir -p {above}")
            }
            files::Error::System(_, errno) => f.write_str(way_out(errno)),
            files::Error::OtherSize { is, asked } => write!(
                f,
                "; start it with --journal-size {}, give another directory, or carry it over: firstline journal {directory} \
                 --resize {}",
                Size(is),
                Size(asked)
            ),
            _ => Ok(()),
        }
    }
}

/// What to do about an error of the system, for people: it stands behind that.
fn way_out(errno: Errno) -> &'static str {
    match errno {
        Errno::EROFS => "; mount its disk for writing, or give another directory",
        Errno::EACCES | Errno::EPERM => "; let the server's user write there, or give another directory",
        Errno::ENOTDIR | Errno::EEXIST => "; give the path of a directory",
        _ => "",
    }
}

/// Records what is processed.
pub struct JournalSink {
    writer: Writer<'static, Files>,
    sync: Sync,
    interval: Duration,
    /// Whether what was appended since the last commit is to be synced.
    is_urgent: bool,
    /// The time of what is processed now, in milliseconds since 1970.
    time_ms: u64,
    /// When what is not synced must be, in nanoseconds.
    due_ns: Option<u64>,
    /// When it is tried again to go on, in nanoseconds, while the disk does not work.
    retry_ns: u64,
    /// The last commit failed, and that was told.
    failing: bool,
    /// The files in the journal's place are another's, and that was told.
    is_anothers: bool,
    /// The files that cannot be written, as they were told.
    refusals: Refusals,
    /// The files of another journal, as they were told.
    strangers: Strangers,
    /// How long the disk took so far for what was recorded since [`JournalSink::begin`], in nanoseconds.
    took_ns: u64,
    /// How long it lately took for what is asked of it before an ACK, in nanoseconds; none: nothing was, or it failed.
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
        tell_cut(directory, files.cut_bytes());
        let opened = Writer::open(files, segment_bytes, BUFFERS.take());
        let (writer, found) =
            opened.map_err(|errno| error(files::Error::System("the last segment cannot be read", errno)))?;
        tell_found(directory, &found, writer.identity());
        let mut journal_sink = Self {
            writer,
            sync: options.sync,
            interval: options.sync_interval,
            is_urgent: false,
            time_ms: 0,
            due_ns: None,
            retry_ns: 0,
            failing: false,
            is_anothers: false,
            refusals: [None; JOURNAL_SEGMENTS],
            strangers: [false; JOURNAL_SEGMENTS],
            took_ns: 0,
            disk_ns: None,
        };
        journal_sink.tell_strangers();
        Ok(Some(journal_sink))
    }

    /// The ID of the next message.
    pub fn next_id(&self) -> u64 {
        self.writer.next_id()
    }

    /// Begins with what is to be committed together.
    pub fn begin(&mut self) {
        // A board's clock may be set at any time, and may be before 1970.
        self.time_ms = clock::utc_ns() / 1_000_000;
        if !self.writer.works() && self.retry_ns <= clock::now_ns() {
            self.retry_ns = clock::now_ns() + JOURNAL_RETRY_MS * 1_000_000;
            let revived = self.timed(Writer::reopen_segment);
            self.tell_another(revived);
        }
        (self.is_urgent, self.took_ns) = (false, 0);
        let is_synced = self.sync != Sync::None;
        self.timed(|writer| writer.begin_group(is_synced));
    }

    /// Has the disk do something, and counts the time that it takes.
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
        // Before it is delivered: see the historian.
        if let Some(history) = &hub.replay {
            history.publish(self.committed());
        }
        committed.is_ok()
    }

    /// Whether the disk is so quick that nobody notices a wait for it. An unknown disk is taken to be slow.
    pub fn is_quick(&self) -> bool {
        self.disk_ns.is_some_and(|disk_ns| disk_ns < PIPELINE_SYNC_US_MAX * 1_000)
    }

    /// Learns how quick the disk is from what it was asked: a moving average, so that a slow disk is known soon, and for as
    /// long as it is slow. Where some is synced and some is not, what was not tells only whether it is slower than thought.
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

    /// What is committed so far.
    pub fn committed(&self) -> Committed {
        let (headers, end) = self.writer.extent();
        Committed {
            headers: *headers,
            end,
            next_id: self.writer.next_id(),
            openings: self.writer.reopenings(),
        }
    }

    /// Leaves out IDs that were given to what was not recorded: the next one is that one at least.
    pub fn skip_to(&mut self, id: u64) {
        self.writer.skip_to(id);
    }

    /// When [`JournalSink::sync_due`] has something to do, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Syncs what was acknowledged without that, if it is time, or else if the end has come: then the journal is closed too.
    pub fn sync_due(&mut self, is_end: bool, hub: &Hub) {
        if self.due_ns.is_some_and(|due_ns| is_end || due_ns <= clock::now_ns()) {
            self.took_ns = 0;
            let synced = self.timed(Writer::sync_rest);
            self.learn(synced.is_ok(), true, hub);
            self.tell(synced);
            self.schedule_sync();
        }
        // A failure was told, and skips IDs at the next start.
        if is_end && let Err(errno) = self.writer.close() {
            log::warn!("--journal: it is not closed in order: {}", errno.desc());
        }
    }

    fn schedule_sync(&mut self) {
        let is_owed = self.sync != Sync::None && self.writer.is_unsynced();
        let due_ns = || clock::now_ns() + self.interval.as_nanos() as u64;
        self.due_ns = if is_owed { self.due_ns.or_else(|| Some(due_ns())) } else { None };
    }

    /// What the counters has of the journal: which one it is, what was done so far, and whether it works.
    pub fn state(&self) -> (Identity, WriteStats, bool) {
        (self.writer.identity(), self.writer.done(), self.writer.works() && !self.failing)
    }

    /// Tells the counters what was done so far.
    pub fn count(&self, hub: &Hub) {
        hub.counters.lock().journal = Some(self.state());
    }

    /// Tells that the files in the journal's place are another journal's, once for each time. All else shows when it is written to.
    fn tell_another(&mut self, revived: Result<(), Errno>) {
        let is_anothers = revived == Err(Errno::EMEDIUMTYPE);
        if is_anothers && !self.is_anothers {
            log::error!(
                "--journal: this disk holds another journal, which stays as it is; put the right one there, or start again to go \
                 on with that one"
            );
        }
        self.is_anothers = is_anothers;
    }

    fn tell(&mut self, result: Result<(), Errno>) {
        match result {
            Err(errno) if !self.failing => {
                self.failing = true;
                log::error!("--journal: {}; messages get NAK journal-failed until it works", errno.desc());
            }
            Ok(()) if self.failing => {
                self.failing = false;
                log::warn!("--journal: the disk works again");
            }
            _ => {}
        }
        self.tell_strangers();
        if result.is_ok() {
            self.tell_refusals();
        }
    }

    /// Tells which files hold another journal's messages, and when one is written over.
    fn tell_strangers(&mut self) {
        let strangers = *self.writer.strangers();
        for ((name, told), is_stranger) in NAMES.iter().zip(self.strangers).zip(strangers) {
            match (told, is_stranger) {
                (false, true) => log::warn!(
                    "--journal: {name} holds messages of another journal; move it away to keep them: it is written over when no file \
                     is empty any more"
                ),
                (true, false) => {
                    log::warn!("--journal: {name} held messages of another journal, and is written over now");
                }
                _ => {}
            }
        }
        self.strangers = strangers;
    }

    /// Tells which files the journal does without, each once.
    fn tell_refusals(&mut self) {
        let refusals = *self.writer.refusals();
        for ((name, told), refusal) in NAMES.iter().zip(self.refusals).zip(refusals) {
            match refusal {
                Some(errno) if told.is_none() => log::error!(
                    "--journal: {name} cannot be written: {}; the next file takes its place, and the history is shorter by it",
                    errno.desc()
                ),
                None if told.is_some() => log::warn!("--journal: {name} can be written again"),
                _ => {}
            }
        }
        self.refusals = refusals;
    }
}

fn tell_cut(directory: &Path, bytes: u64) {
    if bytes > 0 {
        log::warn!(
            "journal {}: its files are short of {}, and what stood there is lost",
            directory.display(),
            Counted(bytes, "byte")
        );
    }
}

fn tell_found(directory: &Path, found: &Recovery, identity: Identity) {
    let directory = directory.display();
    match found.is_new() {
        true => log::info!("journal {directory}: it is new; its identity is {identity}"),
        false => log::info!(
            "journal {directory}: goes on with message {}; its identity is {identity}",
            found.next_id
        ),
    }
    if found.unreadable_segments > 0 {
        log::warn!(
            "journal {directory}: cannot read {}: damaged, or another journal's; firstline journal --check tells which",
            Counted(found.unreadable_segments, "file")
        );
    }
    if found.lost_segments > 0 {
        log::warn!("journal {directory}: the newest messages may be lost with their files");
    }
    if found.skipped > 0 {
        log::warn!(
            "journal {directory}: IDs {} to {} are skipped: they may have been given to messages that are not on the disk",
            found.next_id - found.skipped,
            found.next_id - 1
        );
    }
    if found.damaged_bytes > 0 {
        log::warn!(
            "journal {directory}: damage among its last messages costs what stood in {}; firstline journal --check tells where",
            Counted(u64::from(found.damaged_bytes), "byte")
        );
    }
    if found.torn_bytes > 0 {
        log::warn!(
            "journal {directory}: its end is torn, as after a power cut: the messages in the last {} are lost; the bytes stay where \
             they are",
            Counted(u64::from(found.torn_bytes), "byte")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_it_cannot_be_written_to_is_told_with_what_to_do() {
        for (errno, way_out) in [
            (Errno::EROFS, "Read-only file system; mount its disk for writing, or give another directory"),
            (
                Errno::EACCES,
                "Permission denied; let the server's user write there, or give another directory",
            ),
            (Errno::ENOENT, "No such file or directory; make the one above it: mkdir -p /mnt"),
            (Errno::ENOTDIR, "Not a directory; give the path of a directory"),
            (Errno::EIO, "I/O error"),
        ] {
            let error = files::Error::System("the directory cannot be made", errno);
            let said = Error { directory: "/mnt/journal".into(), error }.to_string();
            assert_eq!(said, format!("--journal /mnt/journal: the directory cannot be made: {way_out}"));
        }
        let error = files::Error::OtherSize { is: 2 << 20, asked: 1 << 20 };
        let said = Error { directory: "/mnt/journal".into(), error }.to_string();
        assert_eq!(
            said,
            "--journal /mnt/journal: it was made with --journal-size 2M, not 1M; start it with --journal-size 2M, give another \
             directory, or carry it over: firstline journal /mnt/journal --resize 1M"
        );
    }
}
