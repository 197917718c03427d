//! The outbox of one client: the replies and MSG lines that wait to be sent, the client's free slots, and which thread
//! sends.
//!
//! An outbox belongs to a connection, has a fixed size, and is guarded by the mutex of its
//! [`SharedOutbox`](super::shared_outbox::SharedOutbox). The consumer, the connection's worker and the reader of the
//! history put lines in. Each of them then sends, unless a send is already in progress.
//! [`SendState`](super::send_state::SendState) keeps the bytes in order although no thread has the outbox locked during
//! a system call: only the sending thread takes bytes out. That thread copies the bytes before it sends them. Before it
//! ends it looks for more, so that bytes that other threads put in meanwhile are sent, too.
//!
//! Room is reserved in advance: every outstanding slot reserves [`REPLY_BYTES_MAX`] bytes for its reply. MSG lines
//! leave the whole reply room free, so they never keep a client from its replies.
//!
//! This module does no input or output: see [`crate::hub::egress::flush`].

use super::buffer::Buffer;
use super::credits::Credits;
use super::endpoint::Endpoint;
use super::idleness::Idleness;
use super::send_state::{FlushStatus, Sending, Sent};
use super::subscription::{Subscriber, Subscription};
use super::wake_on::WakeOn;
use crate::limits::{OUTBOX_BYTES, REPLAY_ROOM_BYTES, REPLY_BYTES_MAX, REPLY_ROOM_BYTES, TASK_BYTES_MAX};
use crate::protocol::reply;
use crate::queue::{Chain, Run, Slots};
use heapless::VecView;
use nix::errno::Errno;
use std::os::fd::{OwnedFd, RawFd};

/// The outbox of one connection. A new one is all zeroes, so that the static outboxes take no space in the binary.
pub struct Outbox {
    /// Stored apart from the other fields, so that the outboxes of all clients fit in a few pages. `None` until startup
    /// attaches it.
    buffer: Option<&'static mut Buffer>,
    credits: Credits,
    /// The event at which other threads wake the worker.
    pub wake_on: WakeOn,
    /// Which thread sends.
    pub sending: Sending,
    /// The connection. Only the outbox changes it.
    pub endpoint: Endpoint,
    /// How long the client has sent nothing, and whether its eviction is requested.
    pub idleness: Idleness,
    /// Which messages of other clients the client receives, and how many of them it lost.
    pub subscriber: Subscriber,
    /// Bytes received since the start, from all connections that have had this ID.
    pub bytes_in: u64,
    /// Bytes sent, counted as [`Outbox::bytes_in`].
    pub bytes_out: u64,
    /// Closing replies dropped since the start, because their connection had ended or was broken.
    pub replies_unsent: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An outbox without connection, buffer or slots. All slots count as outstanding. Startup
    /// [attaches](Self::attach) the buffer and releases the slots; without the buffer, methods that use it panic.
    pub const fn new() -> Self {
        Self {
            buffer: None,
            credits: Credits::new(),
            sending: Sending::new(),
            wake_on: WakeOn::Nothing,
            endpoint: Endpoint::new(),
            idleness: Idleness::new(0),
            subscriber: Subscriber::new(),
            bytes_in: 0,
            bytes_out: 0,
            replies_unsent: 0,
        }
    }

    /// Attaches the buffer.
    ///
    /// # Panics
    /// If there is one already.
    pub fn attach(&mut self, buffer: &'static mut Buffer) {
        assert!(self.buffer.is_none());
        self.buffer = Some(buffer);
    }

    /// Takes the buffer back.
    #[cfg(loom)]
    pub fn detach(&mut self) -> Option<&'static mut Buffer> {
        self.buffer.take()
    }

    fn buffer(&self) -> &Buffer {
        self.buffer.as_deref().expect("startup attaches it")
    }

    fn buffer_mut(&mut self) -> &mut Buffer {
        self.buffer.as_deref_mut().expect("startup attaches it")
    }

    // ---- The connection --------------------------------------------------------------------------------

    /// Begins a connection on `socket`. The worker takes the socket with [`Endpoint::take_arrival`].
    ///
    /// # Panics
    /// If something of the previous connection is left.
    pub fn open(&mut self, socket: OwnedFd, now_ns: u64) {
        assert!(self.is_quiescent() && self.buffer().is_empty());
        self.endpoint.open(socket);
        self.subscriber.open();
        self.idleness = Idleness::new(now_ns);
        self.sending = Sending::new();
        self.wake_on = WakeOn::Nothing;
    }

    /// Ends the connection: from now on no line is put in and no send begins. Slots are still released. The socket may
    /// be closed once [`Sending::is_in_progress`] is false. The place is free once [`Outbox::is_quiescent`] is true.
    pub fn abort(&mut self) {
        self.endpoint.close();
        self.discard();
    }

    /// Records that the connection is broken.
    fn set_broken(&mut self, errno: Errno) {
        self.endpoint.set_broken(errno);
        self.discard();
    }

    /// Drops everything that is not sent.
    fn discard(&mut self) {
        self.buffer_mut().clear();
        self.subscriber.close();
        self.sending.cancel_wait();
    }

    /// Whether there is a connection that is not known to be broken.
    pub fn is_alive(&self) -> bool {
        self.endpoint.is_alive()
    }

    /// Gives up a peer that no longer answers: acts as if the kernel had already reported a time-out.
    pub fn time_out(&mut self) {
        if self.is_alive() {
            self.set_broken(Errno::ETIMEDOUT);
        }
    }

    /// Records that `bytes` were received. Returns true if that cancels a requested eviction.
    #[must_use = "if this returns true, tell the acceptor: a pending connection waits for the place"]
    pub fn note_received(&mut self, bytes: usize, now_ns: u64) -> bool {
        self.bytes_in += bytes as u64;
        self.idleness.note_received(now_ns)
    }

    /// Since when the client has been idle, in nanoseconds. Returns `None` if the server has work for it or bytes to
    /// send to it, or if the client is subscribed.
    pub fn idle_since_ns(&self) -> Option<u64> {
        let has_nothing = self.is_empty() && self.subscriber.state() == Subscription::Off;
        self.idleness.since_ns(self.outstanding()).filter(|_| self.is_alive() && has_nothing)
    }

    /// Requests the eviction of a client that has been idle since `idle_since_ns`. Returns false if it is no longer
    /// idle, or if the eviction was already requested.
    pub fn request_eviction(&mut self, idle_since_ns: u64) -> bool {
        self.idle_since_ns() == Some(idle_since_ns) && self.idleness.request_eviction()
    }

    /// Whether the connection is about to end: its eviction is requested, or it is broken.
    pub fn is_leaving(&self) -> bool {
        self.idleness.is_eviction_requested() || self.endpoint.broken_by().is_some()
    }

    // ---- Slots -----------------------------------------------------------------------------------------

    /// Releases slots without a reply.
    pub fn release_slots(&mut self, chain: Chain) {
        self.credits.release(chain);
    }

    /// Releases all slots in `granted` without a reply.
    pub fn release_all(&mut self, granted: &mut Slots) {
        self.credits.release_all(granted);
    }

    /// Releases slots with the replies that close their lines. If the connection has ended or is broken, the replies
    /// are dropped. `reply` writes at most [`REPLY_BYTES_MAX`] bytes for each slot.
    pub fn reply(&mut self, chain: Chain, reply: impl FnOnce(&mut VecView<u8>)) {
        let replies = chain.len();
        self.release_slots(chain);
        if self.is_alive() {
            self.buffer_mut().append_replies(replies * REPLY_BYTES_MAX, reply);
        } else {
            self.replies_unsent += replies as u64;
        }
    }

    /// As [`Outbox::reply`], for one slot and a reply that may be longer than the reserved room: `reply` also gets the
    /// number of bytes that fit, from [`REPLY_BYTES_MAX`] to `bytes_max`.
    pub fn reply_at_length(
        &mut self,
        chain: Chain,
        bytes_max: usize,
        reply: impl FnOnce(&mut VecView<u8>, usize),
    ) {
        debug_assert_eq!(chain.len(), 1);
        self.release_slots(chain);
        if self.is_alive() {
            let room = (self.buffer().room() - self.credits.reserved_bytes()).min(bytes_max);
            self.buffer_mut().append_replies(room, |out| reply(out, room));
        } else {
            self.replies_unsent += 1;
        }
    }

    /// Grants free slots: moves as many to `granted` as the buffer has room for replies.
    pub fn grant(&mut self, granted: &mut Slots) {
        self.credits.grant(granted, self.buffer().room());
    }

    /// Whether [`Outbox::grant`] would grant a slot.
    pub fn can_grant(&self) -> bool {
        self.credits.can_grant(self.buffer().room())
    }

    /// How many slots are granted, in the queue, or being processed.
    pub fn outstanding(&self) -> usize {
        self.credits.outstanding()
    }

    /// Whether no slot is outstanding and no thread sends.
    pub fn is_quiescent(&self) -> bool {
        self.credits.are_all_free() && !self.sending.is_in_progress()
    }

    // ---- Lines -----------------------------------------------------------------------------------------

    /// Puts in a line without reserved room. Returns false if there is no room now.
    pub fn push_line(&mut self, line: &[u8]) -> bool {
        let fits = self.has_room(line.len());
        if fits {
            self.append(line);
            self.buffer_mut().mark_reply();
        }
        fits
    }

    /// Puts in a line of the history. Returns false if there is no room now. It leaves the whole reply room free, so
    /// that the client gets replies to its own lines meanwhile.
    pub fn put_history(&mut self, line: &[u8]) -> bool {
        let fits = self.buffer().room() >= REPLY_ROOM_BYTES + line.len();
        if fits {
            self.append(line);
        }
        fits
    }

    /// Puts in the line of a task. Returns false if there is no room now, or if nothing can be sent. It leaves the
    /// whole reply room free, so that the handler gets replies to its own lines meanwhile.
    pub fn put_task(&mut self, line: &[u8]) -> bool {
        self.is_alive() && self.put_history(line)
    }

    /// Whether [`Outbox::put_task`] would put in the line of any task.
    pub fn has_room_for_task(&self) -> bool {
        self.is_alive() && self.buffer().room() >= REPLY_ROOM_BYTES + TASK_BYTES_MAX
    }

    /// Whether there is room for any line of the history.
    pub fn has_room_for_history(&self) -> bool {
        self.buffer().room() >= REPLY_ROOM_BYTES + REPLAY_ROOM_BYTES
    }

    /// Puts in one MSG line, or several at once if they fit. Otherwise counts one message as lost and returns false. A
    /// client that has not joined loses nothing; for it this returns false, too.
    pub fn deliver(&mut self, line: &[u8]) -> bool {
        if self.subscriber.joined().is_none() {
            return false;
        }
        self.push_lost();
        let fits = self.has_room_for_msg(line);
        if fits {
            self.append(line);
        } else {
            self.subscriber.count_one_lost();
        }
        fits
    }

    /// Whether [`Outbox::deliver`] would put `line` in.
    pub fn has_room_for_msg(&self, line: &[u8]) -> bool {
        self.subscriber.lost() == 0 && self.buffer().room() >= REPLY_ROOM_BYTES + line.len()
    }

    /// Puts in a LOST line if messages were lost and half of the room for MSG lines is free again. So a slow reader
    /// gets runs of lines with one LOST line between them, and not a LOST line after each line.
    pub fn push_lost(&mut self) {
        const ROOM_TO_RESUME: usize = REPLY_ROOM_BYTES + (OUTBOX_BYTES - REPLY_ROOM_BYTES) / 2;
        if self.subscriber.lost() > 0 && self.buffer().room() >= ROOM_TO_RESUME {
            let lost = self.subscriber.take_lost();
            self.append(&reply::lost(lost));
        }
    }

    /// Whether [`Outbox::push_line`] would put in a line of that length.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.buffer().room() >= self.credits.reserved_bytes() + bytes
    }

    /// Whether no slot is outstanding and all replies are sent. Messages of other clients may be left.
    pub fn owes_nothing(&self) -> bool {
        self.credits.are_all_free() && self.buffer().has_sent_replies()
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.buffer().is_empty()
    }

    /// Puts a line in. If the connection has ended or is broken, the line is dropped.
    fn append(&mut self, line: &[u8]) {
        if self.is_alive() {
            self.buffer_mut().append(line);
        }
    }

    // ---- Sending ---------------------------------------------------------------------------------------

    /// Begins a send if no send is in progress, the socket is not known to be full, and there is something to send.
    /// Copies the first bytes to `chunk`, as many as it can hold, and returns the socket. The caller must then call
    /// [`Outbox::end_send`].
    pub fn begin_send(&mut self, chunk: &mut VecView<u8>) -> Option<RawFd> {
        if !self.is_alive() || self.is_empty() || !self.sending.begin() {
            return None;
        }
        let unsent = self.buffer().unsent();
        let len = unsent.len().min(chunk.capacity());
        chunk.clear();
        // It has room for these.
        let _ = chunk.extend_from_slice(&unsent[..len]);
        Some(self.endpoint.socket())
    }

    /// Ends a send, and returns what to do next.
    pub fn end_send(&mut self, sent: Sent, now_ns: impl FnOnce() -> u64) -> FlushStatus {
        let became_writable = self.sending.end();
        if !self.is_alive() {
            return FlushStatus::Nothing;
        }
        match sent {
            Sent::Bytes(bytes) => self.progress(bytes),
            Sent::Full if became_writable => FlushStatus::Again,
            Sent::Full => {
                self.sending.block(now_ns);
                FlushStatus::WouldBlock
            }
            Sent::Broken(errno) => {
                self.set_broken(errno);
                FlushStatus::Broken
            }
        }
    }

    fn progress(&mut self, bytes: usize) -> FlushStatus {
        self.buffer_mut().advance(bytes);
        self.bytes_out += bytes as u64;
        self.sending.progress();
        self.push_lost();
        if self.is_empty() { FlushStatus::Nothing } else { FlushStatus::Again }
    }

    // ---- Waking the worker -----------------------------------------------------------------------------

    /// Whether to wake the worker now. Threads other than the worker ask this after they have released slots or sent.
    pub fn is_worker_wanted(&mut self) -> bool {
        let is_quiescent = self.is_quiescent();
        self.wake_on.take(is_quiescent)
    }
}
