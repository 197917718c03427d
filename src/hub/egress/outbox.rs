//! What goes to one client: its replies and MSG lines on their way out, its free slots, and which thread sends.
//!
//! An outbox belongs to a connection, is fixed in size, and is guarded by the connection's mutex. The consumer and the connection's worker
//! both put lines in; the first of them to find no send in progress sends. [`SendState`](super::send_state::SendState) keeps the bytes in
//! order although no thread holds the mutex over a system call: only the sending thread takes bytes out. It copies them first, and it
//! looks for more before it ends, so bytes that other threads put in meanwhile are not left behind.
//!
//! Room is reserved in advance: every outstanding slot has [`REPLY_BYTES_MAX`] reserved for its reply. MSG lines leave the whole reply
//! room free, so they can never keep a client from being answered.
//!
//! This module does no input or output: see [`crate::hub::egress::flush`].

pub use super::send_state::{FlushStatus, Sent};

use super::buffer::Buffer;
use super::credits::Credits;
use super::endpoint::Endpoint;
use super::idleness::Idleness;
use super::send_state::Sending;
use super::subscription::{Subscriber, Subscription};
use crate::limits::{OUTBOX_BYTES, REPLAY_ROOM_BYTES, REPLY_BYTES_MAX, REPLY_ROOM_BYTES};
use crate::protocol::reply;
use crate::queue::{Chain, Run, Slots};
use heapless::VecView;
use nix::errno::Errno;
use std::os::fd::{OwnedFd, RawFd};

/// What other threads wake the worker for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeOn {
    /// Nothing: the socket wakes the worker.
    Nothing,
    /// A slot was released or bytes were sent: the worker has something to do and lacked the room.
    Room,
    /// No slot is outstanding and no thread sends.
    Quiescence,
}

/// The outbox of one connection. All zeroes when new, so that the static ones take no room in the binary.
pub struct Outbox {
    buffer: Buffer,
    credits: Credits,
    wake_on: WakeOn,
    /// Which thread sends.
    pub sending: Sending,
    /// The connection; its changes go by the outbox.
    pub endpoint: Endpoint,
    /// Since when the client has sent nothing.
    pub idleness: Idleness,
    /// Which messages of other clients the client is sent, and how many of them it lost.
    pub subscriber: Subscriber,
    /// Bytes received at this place of the table since the start, from all its connections.
    pub bytes_in: u64,
    /// Bytes sent, see [`Outbox::bytes_in`].
    pub bytes_out: u64,
    /// Closing replies that were dropped since the start, because their connection had ended or took nothing more.
    pub replies_unsent: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An outbox without a connection. Its slots are outstanding: release them first.
    pub const fn new() -> Self {
        Self {
            buffer: Buffer::new(),
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

    // ---- The connection --------------------------------------------------------------------------------

    /// Begins a connection on `socket`, for the worker to take with [`Endpoint::take_arrival`].
    ///
    /// # Panics
    /// If something of the connection before is left.
    pub fn open(&mut self, socket: OwnedFd, now_ns: u64) {
        assert!(self.is_quiescent() && self.buffer.is_empty());
        self.endpoint.open(socket);
        self.subscriber.open();
        self.idleness = Idleness::new(now_ns);
        self.sending = Sending::new();
        self.wake_on = WakeOn::Nothing;
    }

    /// Ends the connection: from now on no line is put in and no send begins. Slots are still released. Once [`Sending::is_in_progress`] is
    /// false the socket may be closed, once [`Outbox::is_quiescent`] is true the place is free.
    pub fn abort(&mut self) {
        self.endpoint.close();
        self.discard();
    }

    /// Notes that the connection takes nothing more.
    fn break_off(&mut self, errno: Errno) {
        self.endpoint.break_off(errno);
        self.discard();
    }

    /// Drops all that is not sent.
    fn discard(&mut self) {
        self.buffer.clear();
        self.subscriber.close();
        self.sending.cancel_wait();
    }

    /// Whether there is a connection that is not known to be broken.
    pub fn is_alive(&self) -> bool {
        self.endpoint.is_alive()
    }

    /// Does not wait any longer for a peer that is gone: acts as if the kernel had reported it already.
    pub fn time_out(&mut self) {
        if self.is_alive() {
            self.break_off(Errno::ETIMEDOUT);
        }
    }

    /// Notes that `bytes` were received. True: the eviction that was requested is off, and the client stays.
    #[must_use = "a client that waits for the place has to know"]
    pub fn heard(&mut self, bytes: usize, now_ns: u64) -> bool {
        self.bytes_in += bytes as u64;
        self.idleness.heard(now_ns)
    }

    /// Since when the client has sent nothing, in nanoseconds; none: the server has something to do for it or to send to it, or the client
    /// is subscribed.
    pub fn idle_since_ns(&self) -> Option<u64> {
        let has_nothing = self.is_empty() && self.subscriber.state() == Subscription::Off;
        self.idleness.since_ns(self.outstanding()).filter(|_| self.is_alive() && has_nothing)
    }

    /// Requests the eviction of a client that is idle since `idle_since_ns`; false: it no longer is, or the eviction was requested before.
    pub fn request_eviction(&mut self, idle_since_ns: u64) -> bool {
        self.idle_since_ns() == Some(idle_since_ns) && self.idleness.request_eviction()
    }

    /// Whether the connection is about to end: its eviction is requested, or it takes nothing more.
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

    /// Releases slots with the replies that close their lines. Without a connection that takes them, the replies are dropped. `reply`
    /// writes at most [`REPLY_BYTES_MAX`] for each slot.
    pub fn reply(&mut self, chain: Chain, reply: impl FnOnce(&mut VecView<u8>)) {
        let replies = chain.len();
        self.release_slots(chain);
        if self.is_alive() {
            self.buffer.append_replies(replies * REPLY_BYTES_MAX, reply);
        } else {
            self.replies_unsent += replies as u64;
        }
    }

    /// Grants free slots: moves them to `granted`, as many as there is room for their replies.
    pub fn grant(&mut self, granted: &mut Slots) {
        self.credits.grant(granted, self.buffer.room());
    }

    /// Whether [`Outbox::grant`] grants a slot.
    pub fn can_grant(&self) -> bool {
        self.credits.can_grant(self.buffer.room())
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

    /// Puts in a line without reserved room; false: there is no room now.
    pub fn push_line(&mut self, line: &[u8]) -> bool {
        let fits = self.has_room(line.len());
        if fits {
            self.append(line);
            self.buffer.mark_reply();
        }
        fits
    }

    /// Puts in a line of the history; false: there is no room now. It leaves the whole reply room free, so that a client that is sent the
    /// history can send lines and be answered.
    pub fn put_history(&mut self, line: &[u8]) -> bool {
        let fits = self.buffer.room() >= REPLY_ROOM_BYTES + line.len();
        if fits {
            self.append(line);
        }
        fits
    }

    /// Whether there is room for any line of the history.
    pub fn has_room_for_history(&self) -> bool {
        self.buffer.room() >= REPLY_ROOM_BYTES + REPLAY_ROOM_BYTES
    }

    /// Puts in a MSG line, or several that fit, or counts one as lost; false: it is not put in. A client that is not sent live messages
    /// loses nothing.
    pub fn deliver(&mut self, line: &[u8]) -> bool {
        if self.subscriber.joined().is_none() {
            return false;
        }
        self.tell_lost();
        let fits = self.has_room_for_msg(line);
        if fits {
            self.append(line);
        } else {
            self.subscriber.lose_one();
        }
        fits
    }

    /// Whether [`Outbox::deliver`] would put that line in.
    pub fn has_room_for_msg(&self, line: &[u8]) -> bool {
        self.subscriber.lost() == 0 && self.buffer.room() >= REPLY_ROOM_BYTES + line.len()
    }

    /// Tells the client what was lost, once half of the room for MSG lines is free again. So a client that reads slowly gets runs of lines
    /// with one LOST between them, and not one after each line.
    pub fn tell_lost(&mut self) {
        const ROOM_TO_RESUME: usize = REPLY_ROOM_BYTES + (OUTBOX_BYTES - REPLY_ROOM_BYTES) / 2;
        if self.subscriber.lost() > 0 && self.buffer.room() >= ROOM_TO_RESUME {
            let lost = self.subscriber.tell_lost();
            self.append(&reply::lost(lost));
        }
    }

    /// Whether [`Outbox::push_line`] would take a line of that length.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.buffer.room() >= self.credits.reserved_bytes() + bytes
    }

    /// Whether no slot is outstanding and all replies are sent; messages of other clients may be left.
    pub fn owes_nothing(&self) -> bool {
        self.credits.are_all_free() && self.buffer.has_sent_replies()
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Puts a line in; without a connection that takes it, the line is dropped.
    fn append(&mut self, line: &[u8]) {
        if self.is_alive() {
            self.buffer.append(line);
        }
    }

    // ---- Sending ---------------------------------------------------------------------------------------

    /// Begins a send if no send is in progress, the socket is not known to be full, and there is something to send. It copies the first
    /// bytes to `chunk`, and returns the socket and how many bytes to send. Then [`Outbox::end_send`] must follow.
    pub fn begin_send(&mut self, chunk: &mut [u8]) -> Option<(RawFd, usize)> {
        if !self.is_alive() || self.is_empty() || !self.sending.begin() {
            return None;
        }
        let unsent = self.buffer.unsent();
        let len = unsent.len().min(chunk.len());
        chunk[..len].copy_from_slice(&unsent[..len]);
        Some((self.endpoint.socket(), len))
    }

    /// Ends a send, and says what to do next.
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
                self.break_off(errno);
                FlushStatus::Broken
            }
        }
    }

    fn progress(&mut self, bytes: usize) -> FlushStatus {
        self.buffer.advance(bytes);
        self.bytes_out += bytes as u64;
        self.sending.progress();
        self.tell_lost();
        if self.is_empty() { FlushStatus::Nothing } else { FlushStatus::Again }
    }

    // ---- Waking the worker -----------------------------------------------------------------------------

    /// Sets what other threads wake the worker for.
    pub fn set_wake_on(&mut self, wake_on: WakeOn) {
        self.wake_on = wake_on;
    }

    /// For threads other than the worker, after they released slots or sent: whether to wake the worker now.
    pub fn is_worker_wanted(&mut self) -> bool {
        let wanted = match self.wake_on {
            WakeOn::Nothing => false,
            WakeOn::Room => true,
            WakeOn::Quiescence => self.is_quiescent(),
        };
        if wanted {
            self.wake_on = WakeOn::Nothing;
        }
        wanted
    }
}
