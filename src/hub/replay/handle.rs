//! The interface of the other threads to the reader: they begin replays, wake the reader, and publish the committed
//! part of the journal.

use super::request::{Replay, Request};
use crate::conn_id::{ConnId, ConnSet, PerConn};
use crate::journal::committed::Committed;
use crate::journal::headers::Headers;
use crate::limits::{CLIENTS, ROTATION_MS_MAX};
use crate::protocol::Priority;
use crate::queue::Slot;
use crate::sync::{Condvar, Mutex};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The replay of each connection, while the reader does not work on it.
pub type Replays = PerConn<Mutex<Option<Replay>>>;

pub(super) static REPLAYS: Replays = PerConn([const { Mutex::new(None) }; CLIENTS]);

/// The state that the other threads share with the reader.
pub struct Handle {
    directory: PathBuf,
    committed: Mutex<Committed>,
    published: Condvar,
    /// The connections with a replay in progress.
    busy: ConnSet,
    /// The connections whose replays can continue.
    woken: ConnSet,
    is_woken: Mutex<bool>,
    wakes: Condvar,
}

impl Handle {
    /// The handle for the journal in `directory`. `committed` is its committed part.
    pub fn new(directory: PathBuf, committed: Committed) -> Self {
        Self {
            directory,
            committed: Mutex::new(committed),
            published: Condvar::new(),
            busy: ConnSet::new(),
            woken: ConnSet::new(),
            is_woken: Mutex::new(false),
            wakes: Condvar::new(),
        }
    }

    /// For the consumer, before it delivers: publishes the committed part of the journal.
    pub fn publish(&self, committed: Committed) {
        *self.committed.lock() = committed;
        self.published.notify_all();
    }

    /// The committed part of the journal.
    pub(super) fn committed(&self) -> Committed {
        *self.committed.lock()
    }

    /// The ID of the next message that will be committed.
    pub fn next_id(&self) -> u64 {
        self.committed.lock().next_id
    }

    /// The journal's directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until the consumer publishes a rotation that is newer than `headers`, at most [`ROTATION_MS_MAX`]. The
    /// writer writes to the new segment, and syncs it, before the consumer publishes it. Until then the reader would
    /// spin if it did not wait.
    pub(super) fn await_rotation(&self, headers: &Headers) {
        let timeout = Duration::from_millis(ROTATION_MS_MAX);
        let is_old = |committed: &mut Committed| committed.headers == *headers;
        drop(self.published.wait_timeout_while(self.committed.lock(), timeout, is_old));
    }

    /// The ID of the newest message, if `position` is ahead of the history. The next ID does not count as ahead: a
    /// client that requests the messages after it has miscounted by one, and also receives the message with that ID.
    pub fn newest_if_ahead(&self, position: u64) -> Option<u64> {
        let next_id = self.next_id();
        (position > next_id).then(|| next_id.saturating_sub(1))
    }

    /// Begins the replay that the client requested in line number `line`, in `slot`. A connection has one replay at a
    /// time.
    pub fn begin(&self, request: Request, conn: ConnId, line: u64, slot: &'static mut Slot) {
        self.start(conn, Replay::new(request, self.next_id(), line, slot));
    }

    /// Begins a replay from that ID on, for a client that joined with [`Request::JoinSince`] and fell behind.
    pub fn resume(&self, id: u64, min: Priority, conn: ConnId, slot: &'static mut Slot) {
        self.start(conn, Replay::resume(id, min, slot));
    }

    fn start(&self, conn: ConnId, replay: Replay) {
        self.busy.insert(conn);
        *REPLAYS[conn].lock() = Some(replay);
        self.wake(conn);
    }

    /// Whether a replay of that connection is in progress.
    pub fn is_busy(&self, conn: ConnId) -> bool {
        self.busy.contains(conn)
    }

    /// Records that the replay of that connection has ended. Call it with the outbox locked.
    pub(super) fn finish(&self, conn: ConnId) {
        self.busy.remove(conn);
    }

    /// Wakes the reader for that connection: its outbox has room, or its client is gone.
    pub fn wake(&self, conn: ConnId) {
        if self.woken.insert(conn) {
            *self.is_woken.lock() = true;
            self.wakes.notify_one();
        }
    }

    /// For the reader: waits until a thread wakes it, at most for that time in nanoseconds.
    pub(super) fn await_wake_up(&self, timeout_ns: Option<u64>) {
        let (is_woken, is_quiet) = (self.is_woken.lock(), |is_woken: &mut bool| !*is_woken);
        let mut is_woken = match timeout_ns.map(Duration::from_nanos) {
            Some(timeout) => self.wakes.wait_timeout_while(is_woken, timeout, is_quiet).0,
            None => self.wakes.wait_while(is_woken, is_quiet),
        };
        *is_woken = false;
    }

    /// For the reader: calls `visit` with each connection that it was woken for.
    pub(super) fn for_each_woken(&self, visit: impl FnMut(ConnId)) {
        self.woken.drain(0..CLIENTS, visit);
    }
}
