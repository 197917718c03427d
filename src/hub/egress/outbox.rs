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
use super::send_state::Sending;
use super::subscription::{Subscriber, Subscription};
use crate::limits::{OUTBOX_BYTES, REPLAY_ROOM_BYTES, REPLY_BYTES_MAX, REPLY_ROOM_BYTES};
#[cfg(not(loom))]
use crate::net::socket;
use crate::protocol::Priority;
use crate::protocol::reply;
use crate::queue::{Chain, Run, Slots};
use core::mem;
use heapless::{Vec, VecView};
use nix::errno::Errno;
#[cfg(not(loom))]
use std::os::fd::BorrowedFd;
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

/// The state of a connection, as far as the outbox is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// There is none, or it has ended.
    Closed,
    /// It is not known to be broken.
    Open,
    /// It takes nothing more. What the client sent before is still received; the replies to it are dropped.
    ReceiveOnly,
}

/// The outbox of one connection. All zeroes when new, so that the static ones take no room in the binary.
pub struct Outbox {
    buffer: Buffer,
    credits: Credits,
    sending: Sending,
    subscriber: Subscriber,
    wake_on: WakeOn,
    connection: Connection,
    socket: RawFd,
    /// A new connection, until the worker takes it. A vector, because an empty one is all zeroes.
    arrival: Vec<OwnedFd, 1>,
    /// The errno that broke a connection that is [`Connection::ReceiveOnly`].
    broken_by: i32,
    /// When a line was last received, in nanoseconds.
    heard_ns: u64,
    /// How many slots the worker held when it last found nothing to do for the client; none: it has something to do.
    at_worker: Option<usize>,
    /// The client is to give up its place, unless it sends something before its worker acts on this.
    is_eviction_requested: bool,
    /// The client is sent no more of the history: it may not read it any more.
    is_barred: bool,
    /// MSG lines that were not sent and of which the client has not been told.
    lost: u64,
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
            subscriber: Subscriber::new(),
            wake_on: WakeOn::Nothing,
            connection: Connection::Closed,
            socket: 0,
            arrival: Vec::new(),
            broken_by: 0,
            heard_ns: 0,
            at_worker: None,
            is_eviction_requested: false,
            is_barred: false,
            lost: 0,
            bytes_in: 0,
            bytes_out: 0,
            replies_unsent: 0,
        }
    }

    // ---- The connection --------------------------------------------------------------------------------

    /// Begins a connection on `socket`, for the worker to take with [`Outbox::take_arrival`].
    ///
    /// # Panics
    /// If something of the connection before is left.
    pub fn open(&mut self, socket: OwnedFd, now_ns: u64) {
        use std::os::fd::AsRawFd;
        assert!(self.connection == Connection::Closed && self.is_quiescent());
        assert!(self.buffer.is_empty() && self.arrival.is_empty());
        assert!(self.subscription() == Subscription::Off && self.lost == 0);
        self.connection = Connection::Open;
        self.wake_on = WakeOn::Nothing;
        self.socket = socket.as_raw_fd();
        self.broken_by = 0;
        self.sending = Sending::new();
        self.heard_ns = now_ns;
        self.at_worker = None;
        self.is_eviction_requested = false;
        self.is_barred = false;
        // It is empty: asserted above.
        let _ = self.arrival.push(socket);
    }

    /// The new connection, once.
    pub fn take_arrival(&mut self) -> Option<OwnedFd> {
        self.arrival.pop()
    }

    /// Ends the connection: from now on no line is put in and no send begins. Slots are still released. Once [`Outbox::is_sending`] is
    /// false the socket may be closed, once [`Outbox::is_quiescent`] is true the place is free.
    pub fn abort(&mut self) {
        self.discard(Connection::Closed);
    }

    /// Notes that the connection takes nothing more.
    fn break_off(&mut self, errno: Errno) {
        self.discard(Connection::ReceiveOnly);
        self.broken_by = errno as i32;
    }

    /// Drops all that is not sent, and changes the connection's state.
    fn discard(&mut self, connection: Connection) {
        self.connection = connection;
        self.buffer.clear();
        self.leave();
        self.lost = 0;
        self.sending.cancel_wait();
    }

    /// Whether there is a connection that is not known to be broken.
    pub fn is_alive(&self) -> bool {
        self.connection == Connection::Open
    }

    /// The error that broke the connection, if it takes nothing more but has not ended: what has arrived on it is still to be received.
    pub fn broken_by(&self) -> Option<Errno> {
        (self.connection == Connection::ReceiveOnly).then(|| Errno::from_raw(self.broken_by))
    }

    /// Notes that `bytes` were received. True: the eviction that was requested is off, and the client stays.
    #[must_use = "a client that waits for the place has to know"]
    pub fn heard(&mut self, bytes: usize, now_ns: u64) -> bool {
        self.bytes_in += bytes as u64;
        self.heard_ns = now_ns;
        mem::take(&mut self.is_eviction_requested)
    }

    /// Notes that the worker has nothing to do for the client and holds that many slots; none: it has something to do.
    pub fn set_idle(&mut self, at_worker: Option<usize>) {
        self.at_worker = at_worker;
    }

    /// Since when the client has sent nothing, in nanoseconds; none: the server has something to do for it or to send to it, or the client
    /// is subscribed.
    pub fn idle_since_ns(&self) -> Option<u64> {
        // A slot that is neither free nor with the worker has a message that is not answered yet.
        let is_idle = self.at_worker == Some(self.outstanding()) && self.is_empty();
        (self.is_alive() && is_idle && self.subscription() == Subscription::Off).then_some(self.heard_ns)
    }

    /// Requests the eviction of a client that is idle since `idle_since_ns`; false: it no longer is, or the eviction was requested before.
    pub fn request_eviction(&mut self, idle_since_ns: u64) -> bool {
        let is_still = !self.is_eviction_requested && self.idle_since_ns() == Some(idle_since_ns);
        self.is_eviction_requested |= is_still;
        is_still
    }

    /// Whether the peer's system does not answer any more or has reset the connection, as far as the kernel knows by now.
    #[cfg(not(loom))]
    #[expect(unsafe_code, reason = "the worker owns the socket")]
    pub fn is_gone(&self) -> bool {
        if self.connection == Connection::Closed {
            return false;
        }
        // SAFETY: the worker closes the socket only after the connection was aborted, and that takes the lock that is held here.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        socket::transmission(&socket).is_some_and(|transmission| transmission.is_gone)
    }

    /// Does not wait any longer for a peer that is gone: acts as if the kernel had reported it already.
    pub fn time_out(&mut self) {
        if self.is_alive() {
            self.break_off(Errno::ETIMEDOUT);
        }
    }

    /// Whether the connection is about to end: its eviction is requested, or it takes nothing more.
    pub fn is_leaving(&self) -> bool {
        self.is_eviction_requested || self.connection == Connection::ReceiveOnly
    }

    /// Whether the client is to give up its place.
    pub fn is_eviction_requested(&self) -> bool {
        self.is_eviction_requested
    }

    /// When something was last received, in nanoseconds.
    pub fn heard_ns(&self) -> u64 {
        self.heard_ns
    }

    // ---- The subscription ------------------------------------------------------------------------------

    /// Which messages of other clients the client is sent.
    pub fn subscription(&self) -> Subscription {
        self.subscriber.state()
    }

    /// Changes with each change of the subscription: see [`Subscriber::generation`].
    pub fn generation(&self) -> u32 {
        self.subscriber.generation()
    }

    /// Changes the subscription of a connection that is alive. Any other is subscribed to nothing.
    fn subscribe(&mut self, subscription: Subscription) {
        self.subscriber.set(if self.is_alive() { subscription } else { Subscription::Off });
    }

    /// The least priority of the live messages that the client is sent; none: it is sent none.
    pub fn joined(&self) -> Option<Priority> {
        if let Subscription::Live { min, .. } = self.subscription() { Some(min) } else { None }
    }

    /// The client joins: it is sent messages of that priority and above, from now on.
    pub fn join(&mut self, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from: 0, resumes: false });
    }

    /// The client joins. It has been sent the history before ID `live_from`, and returns to the history if it is too slow.
    pub fn join_from(&mut self, live_from: u64, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from, resumes: true });
    }

    /// The client continues with the live messages from ID `live_from` on; `lost` messages are lost to it. It does not return to the
    /// history again.
    pub fn join_after_loss(&mut self, lost: u64, live_from: u64, min: Priority) {
        self.subscribe(Subscription::Live { min, live_from, resumes: false });
        self.lost += lost;
        self.tell_lost();
    }

    /// See [`Subscriber::fall_behind`].
    pub fn fall_behind(&mut self, id: u64) -> bool {
        self.subscriber.fall_behind(id)
    }

    /// If the client lags: from which ID and priority on. The worker has it sent the history from there; it catches up from now on.
    pub fn take_behind(&mut self) -> Option<(u64, Priority)> {
        self.subscriber.take_behind()
    }

    /// Whether the client lags.
    pub fn is_behind(&self) -> bool {
        matches!(self.subscription(), Subscription::Lagging { .. })
    }

    /// The client is to be sent the history, of that priority and above, until it has caught up.
    pub fn follow(&mut self, min: Priority) {
        self.subscribe(Subscription::CatchingUp { min, is_aside: false });
    }

    /// The least priority of the history that the client is sent; none: it has left, or has caught up.
    pub fn follows(&self) -> Option<Priority> {
        if let Subscription::CatchingUp { min, .. } = self.subscription() { Some(min) } else { None }
    }

    /// Requests that the replay stands aside: the client asked for another part of the history.
    pub fn set_aside(&mut self) {
        self.subscriber.set_aside();
    }

    /// For the replay: stands aside if that is requested. The client lacks the messages from `id` on, and `lost` are lost to it. False: it
    /// is not requested.
    pub fn stand_aside(&mut self, id: u64, lost: u64) -> bool {
        let stands = self.subscriber.stand_aside(id);
        self.lost += if stands { lost } else { 0 };
        stands
    }

    /// The client leaves. It is still told what it lost.
    pub fn leave(&mut self) {
        self.subscriber.set(Subscription::Off);
    }

    /// The client leaves, and is sent no more of the history that it asked for.
    pub fn bar(&mut self) {
        self.leave();
        self.is_barred = true;
    }

    /// Whether the client is sent no more of the history.
    pub fn is_barred(&self) -> bool {
        self.is_barred
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
        self.credits.are_all_free() && !self.is_sending()
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
        if self.joined().is_none() {
            return false;
        }
        self.tell_lost();
        let fits = self.has_room_for_msg(line);
        if fits {
            self.append(line);
        } else {
            self.lost += 1;
        }
        fits
    }

    /// Whether [`Outbox::deliver`] would put that line in.
    pub fn has_room_for_msg(&self, line: &[u8]) -> bool {
        self.lost == 0 && self.buffer.room() >= REPLY_ROOM_BYTES + line.len()
    }

    /// Tells the client what was lost, once half of the room for MSG lines is free again. So a client that reads slowly gets runs of lines
    /// with one LOST between them, and not one after each line.
    fn tell_lost(&mut self) {
        const ROOM_TO_RESUME: usize = REPLY_ROOM_BYTES + (OUTBOX_BYTES - REPLY_ROOM_BYTES) / 2;
        if self.lost > 0 && self.buffer.room() >= ROOM_TO_RESUME {
            self.append(&reply::lost(self.lost));
            self.lost = 0;
        }
    }

    /// Whether MSG lines were lost and the client has not been told.
    pub fn owes_lost(&self) -> bool {
        self.lost > 0
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
        Some((self.socket, len))
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

    /// Notes that the socket is writable.
    pub fn writable(&mut self) {
        self.sending.set_writable();
    }

    /// Whether a thread is sending.
    pub fn is_sending(&self) -> bool {
        self.sending.is_in_progress()
    }

    /// Since when the socket takes nothing, in nanoseconds; none: it takes bytes, or there is nothing to send.
    pub fn stalled_ns(&self) -> Option<u64> {
        self.sending.stalled_ns()
    }

    /// Notes that the client has read some of what the socket holds, but not enough for the socket to take more: the time of the stall
    /// starts anew.
    pub fn is_read(&mut self, now_ns: u64) {
        self.sending.restart_stall(now_ns);
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
