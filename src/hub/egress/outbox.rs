//! What goes to one client: its replies and MSG lines on their way out, its slots while nobody uses them, and the
//! rules of who sends.
//!
//! An outbox belongs to a seat, is fixed in size, and stands behind the seat's mutex. The consumer and the
//! seat's worker both put lines in; whoever comes first takes the *send_state* and sends. The send_state is what keeps bytes in
//! order while nobody holds the mutex over a system call: only its holder takes bytes out, he copies them first, and
//! he looks again before he lays it down, so what others put in meanwhile is not left behind.
//!
//! Room is given away in advance: every slot that is not at home has [`REPLY_BYTES_MAX`] reserved for its reply. MSG
//! lines leave the whole reply room free, so they can never keep a client from being answered.
//!
//! This module does no input or output: see [`crate::hub::egress::flush`].

use crate::limits::{IN_FLIGHT, OUTBOX_BYTES, REPLAY_ROOM_BYTES, REPLY_BYTES_MAX, REPLY_ROOM_BYTES};
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

/// Who may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendState {
    /// No thread is sending.
    Idle,
    /// A thread is sending. It looks for more bytes before it ends.
    InProgress,
    /// A thread is sending, and the socket became writable meanwhile: if its send found the socket full, that is no longer true.
    InProgressWritable,
    /// The socket takes no more until it reports that it is writable.
    WouldBlock,
}

/// What other threads wake the worker for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeOn {
    /// Not at all: its socket wakes it.
    Nothing,
    /// When a slot was returned or bytes were sent: it has something to do and lacked the room.
    Room,
    /// When no slot is outstanding and no thread sends.
    Quiescence,
}

/// What a send came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were taken.
    Bytes(usize),
    /// The socket is full.
    Full,
    /// The connection is broken.
    Broken(Errno),
}

/// What whoever sends does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushStatus {
    /// There is more to send: take the send_state again.
    Again,
    /// Nothing: all is sent, or nothing can be sent any more.
    Nothing,
    /// Wait for the socket to be writable.
    WouldBlock,
    /// The connection has just turned out to take nothing more: its worker has to know.
    Broken,
}

/// What an outbox has of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// None, or one that is over.
    Closed,
    /// One that is not known to be broken.
    Open,
    /// One that takes nothing more. What the client sent before is still received; the replies to it are dropped.
    ReceiveOnly,
}

/// The outbox of one seat. All zeroes when new, so that the static ones take no room in the binary.
pub struct Outbox {
    bytes: Vec<u8, OUTBOX_BYTES>,
    /// So many of `bytes` are sent already.
    sent: usize,
    /// Up to here there are replies among `bytes`; what is behind is of others.
    owed: usize,
    /// Slots that nobody uses.
    free: Slots,
    send_state: SendState,
    wake_on: WakeOn,
    connection: Connection,
    socket: RawFd,
    /// A new connection, until the worker takes it. A vector, for an empty one is all zeroes.
    arrival: Vec<OwnedFd, 1>,
    /// The errno that broke the connection, of one that is [`Connection::ReceiveOnly`].
    broken_by: i32,
    /// Since when the socket takes nothing, in nanoseconds; 0: it does.
    stalled_ns: u64,
    /// When a line was last received, in nanoseconds.
    heard_ns: u64,
    /// How many slots the worker had at hand when it last found nothing to do for the client; none: there is something to do.
    at_worker: Option<usize>,
    /// The client is to give up its seat, unless it says something before its worker comes to that.
    is_eviction_requested: bool,
    /// It is sent no more of the history: it may not read it any more.
    is_barred: bool,
    joined: Option<Priority>,
    /// The ID of the first message that it is sent because it joined.
    live_from: u64,
    /// Whether it goes back to the history where it is too slow for what comes live.
    resumes: bool,
    /// Where it was too slow: from which ID on it is to be sent the history, of that priority and above. A vector, for an empty
    /// one is all zeroes.
    behind: Vec<(u64, Priority), 1>,
    /// It is sent the history, of that priority and above, until it has caught up and is one who joined.
    follows: Option<Priority>,
    /// That is to stand aside for something else that it asked for.
    is_aside: bool,
    /// MSG lines not sent and not yet told of.
    lost: u64,
    /// Bytes received and sent at this seat since the start, whoever sat there.
    pub bytes_in: u64,
    /// See [`Outbox::bytes_in`].
    pub bytes_out: u64,
    /// Closing replies that were dropped, for their connection was over or took nothing more, since the start.
    pub replies_unsent: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// The outbox of a seat that nobody has yet. Its slots are to be brought home.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            owed: 0,
            free: Slots::new(),
            send_state: SendState::Idle,
            wake_on: WakeOn::Nothing,
            connection: Connection::Closed,
            socket: 0,
            arrival: Vec::new(),
            broken_by: 0,
            stalled_ns: 0,
            heard_ns: 0,
            at_worker: None,
            is_eviction_requested: false,
            is_barred: false,
            joined: None,
            live_from: 0,
            resumes: false,
            behind: Vec::new(),
            follows: None,
            is_aside: false,
            lost: 0,
            bytes_in: 0,
            bytes_out: 0,
            replies_unsent: 0,
        }
    }

    // ---- The tenant ------------------------------------------------------------------------------------

    /// Begins a connection on `socket`, for the worker to take with [`Outbox::take_arrival`].
    ///
    /// # Panics
    /// If the seat is not at rest: something of the former tenant would be left.
    pub fn open(&mut self, socket: OwnedFd, now_ns: u64) {
        use std::os::fd::AsRawFd;
        assert!(self.connection == Connection::Closed && self.is_quiescent());
        assert!(self.bytes.is_empty() && self.arrival.is_empty());
        assert!(self.joined.is_none() && self.lost == 0);
        self.connection = Connection::Open;
        self.wake_on = WakeOn::Nothing;
        self.socket = socket.as_raw_fd();
        self.broken_by = 0;
        self.stalled_ns = 0;
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

    /// Ends the connection: from now on nothing is put in and no send begins. Slots still come home. Once
    /// [`Outbox::is_sending`] is false the socket may be closed, once [`Outbox::is_quiescent`] the seat is free.
    pub fn abort(&mut self) {
        self.empty(Connection::Closed);
    }

    /// The connection takes nothing more.
    fn break_off(&mut self, errno: Errno) {
        self.empty(Connection::ReceiveOnly);
        self.broken_by = errno as i32;
    }

    /// Drops all that is not sent, for a connection that is that from now on.
    fn empty(&mut self, connection: Connection) {
        self.connection = connection;
        self.clear();
        self.leave();
        self.lost = 0;
        if self.send_state == SendState::WouldBlock {
            self.send_state = SendState::Idle;
        }
    }

    /// Whether somebody is connected here and the connection is not known to be broken.
    pub fn is_alive(&self) -> bool {
        self.connection == Connection::Open
    }

    /// What broke the connection, if it takes nothing more and is not over: what has come on it is still to be received.
    pub fn broken_by(&self) -> Option<Errno> {
        (self.connection == Connection::ReceiveOnly).then(|| Errno::from_raw(self.broken_by))
    }

    /// Notes that `bytes` were received. True: the client was asked to go, and stays.
    #[must_use = "whoever waits for the seat has to know"]
    pub fn heard(&mut self, bytes: usize, now_ns: u64) -> bool {
        self.bytes_in += bytes as u64;
        self.heard_ns = now_ns;
        mem::take(&mut self.is_eviction_requested)
    }

    /// Notes that the worker has nothing to do for the client, and so many slots at hand; none: that it has.
    pub fn set_idle(&mut self, at_worker: Option<usize>) {
        self.at_worker = at_worker;
    }

    /// Since when the client has said nothing, in nanoseconds; none: something is to be done for it or sent to it, or it joined and
    /// listens.
    pub fn idle_since_ns(&self) -> Option<u64> {
        let listens = self.joined.is_some() || self.is_behind() || self.follows.is_some();
        // A slot that is neither at home nor with the worker has a message that is not answered yet.
        let is_idle = self.at_worker == Some(self.outstanding()) && self.is_empty();
        (self.is_alive() && is_idle && !listens).then_some(self.heard_ns)
    }

    /// Asks the client to go that is idle since then; false: it is not any more, or was asked before.
    pub fn request_eviction(&mut self, idle_since_ns: u64) -> bool {
        let is_still = !self.is_eviction_requested && self.idle_since_ns() == Some(idle_since_ns);
        self.is_eviction_requested |= is_still;
        is_still
    }

    /// Whether the peer's system does not answer any more or has reset the connection, as far as ours knows by now.
    #[cfg(not(loom))]
    #[expect(unsafe_code, reason = "the worker owns the socket")]
    pub fn is_gone(&self) -> bool {
        if self.connection == Connection::Closed {
            return false;
        }
        // SAFETY: the worker closes the socket only after the connection was cut, and that takes the lock that is held here.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        socket::transmission(&socket).is_some_and(|transmission| transmission.is_gone)
    }

    /// Does not wait any longer for a peer that is gone: as if the system had said so already.
    pub fn time_out(&mut self) {
        if self.is_alive() {
            self.break_off(Errno::ETIMEDOUT);
        }
    }

    /// Whether the client is on its way out: asked to give up its seat, or nobody hears it any more.
    pub fn is_leaving(&self) -> bool {
        self.is_eviction_requested || self.connection == Connection::ReceiveOnly
    }

    /// Whether the client is to give up its seat.
    pub fn is_eviction_requested(&self) -> bool {
        self.is_eviction_requested
    }

    /// When something was last received, in nanoseconds.
    pub fn heard_ns(&self) -> u64 {
        self.heard_ns
    }

    /// The least priority of the messages that the client wants to be sent, if it joined.
    pub fn joined(&self) -> Option<Priority> {
        self.joined
    }

    /// The client joins: wants to be sent messages of that priority and above, from now on.
    pub fn join(&mut self, min: Priority) {
        self.leave();
        self.joined = self.is_alive().then_some(min);
        self.live_from = 0;
    }

    /// The client joins who has been sent the history up to before that ID, and goes back to it where it is too slow.
    pub fn join_from(&mut self, live_from: u64, min: Priority) {
        self.join(min);
        self.live_from = live_from;
        self.resumes = true;
    }

    /// The client goes on with what comes live from that ID on, so many having been lost to it. It does not go back to the
    /// history again.
    pub fn join_after_loss(&mut self, lost: u64, live_from: u64, min: Priority) {
        self.join(min);
        self.live_from = live_from;
        self.lost += lost;
        self.tell_lost();
    }

    /// For one who joined with [`Outbox::join_from`] and has no room for that message: it is sent no more of what comes live.
    /// False: it is another, and messages are lost to it.
    pub fn fall_behind(&mut self, id: u64) -> bool {
        let Some(min) = self.joined.filter(|_| self.resumes) else { return false };
        self.leave();
        // It was just emptied.
        let _ = self.behind.push((id, min));
        true
    }

    /// Where the client fell behind, if it did: for the worker, who has it sent the history from there. It follows that now.
    pub fn take_behind(&mut self) -> Option<(u64, Priority)> {
        let (id, min) = self.behind.pop()?;
        self.follow(min);
        Some((id, min))
    }

    /// Whether the client fell behind.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// The client is to be sent the history, of that priority and above, until it has caught up.
    pub fn follow(&mut self, min: Priority) {
        self.leave();
        self.follows = self.is_alive().then_some(min);
    }

    /// Of which priority on it is sent the history; none: it has left, or has caught up.
    pub fn follows(&self) -> Option<Priority> {
        self.follows
    }

    /// The history that it follows is to stand aside: the client asked for another part of it.
    pub fn set_aside(&mut self) {
        self.is_aside = self.follows.is_some();
    }

    /// For the historian: stands aside, with what the client has until then; so many messages were lost to it. False: there is no
    /// need.
    pub fn stand_aside(&mut self, id: u64, lost: u64) -> bool {
        let Some(min) = self.follows.filter(|_| self.is_aside) else { return false };
        self.leave();
        self.lost += lost;
        // It was just emptied.
        let _ = self.behind.push((id, min));
        true
    }

    /// The ID of the first message that one who joined is sent.
    pub fn live_from(&self) -> u64 {
        self.live_from
    }

    /// The client leaves. It is still told of what it lost.
    pub fn leave(&mut self) {
        self.joined = None;
        self.resumes = false;
        self.behind.clear();
        self.follows = None;
        self.is_aside = false;
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

    /// Brings slots home that were used for nothing.
    pub fn release_slots(&mut self, chain: Chain) {
        self.free.put(chain);
    }

    /// Brings all slots home that are in `credits`.
    pub fn release_all(&mut self, credits: &mut Slots) {
        self.free.take(credits, IN_FLIGHT);
    }

    /// Brings slots home with the replies that close their lines. Nobody there to read them: they are dropped. `reply`
    /// writes them, [`REPLY_BYTES_MAX`] a slot at most.
    pub fn reply(&mut self, chain: Chain, reply: impl FnOnce(&mut VecView<u8>)) {
        let replies = chain.len();
        self.release_slots(chain);
        if !self.is_alive() {
            self.replies_unsent += replies as u64;
            return;
        }
        self.make_room(replies * REPLY_BYTES_MAX);
        let before = self.bytes.len();
        reply(&mut self.bytes);
        debug_assert!(self.bytes.len() - before <= replies * REPLY_BYTES_MAX);
        self.owed = self.bytes.len();
    }

    /// Moves slots from home to `credits`, as many as there is room for their replies.
    pub fn grant(&mut self, credits: &mut Slots) {
        let room = self.room().saturating_sub(self.reserved());
        credits.take(&mut self.free, room / REPLY_BYTES_MAX);
    }

    /// Whether [`Outbox::grant`] would give something.
    pub fn can_grant(&self) -> bool {
        !self.free.is_empty() && self.has_room(REPLY_BYTES_MAX)
    }

    /// How many slots are not at home: granted, in the queue, or being processed.
    pub fn outstanding(&self) -> usize {
        IN_FLIGHT - self.free.len()
    }

    /// Whether all slots are at home and nobody sends.
    pub fn is_quiescent(&self) -> bool {
        self.free.is_full() && !self.is_sending()
    }

    // ---- Lines -----------------------------------------------------------------------------------------

    /// Puts in a line that no room was reserved for; false: there is no room now.
    pub fn push_line(&mut self, line: &[u8]) -> bool {
        let fits = self.has_room(line.len());
        if fits {
            self.append(line);
            self.owed = self.bytes.len();
        }
        fits
    }

    /// Puts in a line of the history; false: there is no room now. It leaves the whole reply room free, so that a client that is sent
    /// the history can speak.
    pub fn put_history(&mut self, line: &[u8]) -> bool {
        let fits = self.room() >= REPLY_ROOM_BYTES + line.len();
        if fits {
            self.append(line);
        }
        fits
    }

    /// Whether there is room for any line of the history.
    pub fn has_room_for_history(&self) -> bool {
        self.room() >= REPLY_ROOM_BYTES + REPLAY_ROOM_BYTES
    }

    /// Puts in a MSG line, or several that fit, or counts one as lost; false: it is not put in. A client that has not joined is
    /// sent nothing, and loses nothing.
    pub fn deliver(&mut self, line: &[u8]) -> bool {
        if self.joined.is_none() {
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
        self.lost == 0 && self.room() >= REPLY_ROOM_BYTES + line.len()
    }

    /// Tells what was lost, once half of the room for MSG lines is free again: so a client that reads
    /// slowly gets runs of lines with one LOST between them, and not one after each.
    fn tell_lost(&mut self) {
        const ROOM_TO_RESUME: usize = REPLY_ROOM_BYTES + (OUTBOX_BYTES - REPLY_ROOM_BYTES) / 2;
        if self.lost > 0 && self.room() >= ROOM_TO_RESUME {
            self.append(&reply::lost(self.lost));
            self.lost = 0;
        }
    }

    /// Whether MSG lines were lost and that is not told yet.
    pub fn owes_lost(&self) -> bool {
        self.lost > 0
    }

    /// Whether [`Outbox::push_line`] would take a line of that length.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.room() >= self.reserved() + bytes
    }

    /// Whether all slots are at home and their replies are sent; what may be left are messages of others.
    pub fn owes_nothing(&self) -> bool {
        self.free.is_full() && self.owed <= self.sent
    }

    /// Whether nothing is left to send.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn room(&self) -> usize {
        OUTBOX_BYTES - (self.bytes.len() - self.sent)
    }

    /// What is kept free for the replies of the slots that are out.
    fn reserved(&self) -> usize {
        self.outstanding() * REPLY_BYTES_MAX
    }

    /// Brings what is not sent yet to the front if there are not so many bytes free behind it.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() + bytes > OUTBOX_BYTES {
            self.bytes.copy_within(self.sent.., 0);
            self.bytes.truncate(self.bytes.len() - self.sent);
            self.owed = self.owed.saturating_sub(self.sent);
            self.sent = 0;
        }
    }

    /// Forgets what is sent, or is not sent any more.
    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.owed = 0;
    }

    /// Puts a line in; where nobody can be sent it, it is dropped.
    fn append(&mut self, line: &[u8]) {
        if !self.is_alive() {
            return;
        }
        self.make_room(line.len());
        let appended = self.bytes.extend_from_slice(line);
        debug_assert!(appended.is_ok(), "room is checked, or reserved");
    }

    // ---- The send_state ---------------------------------------------------------------------------------------

    /// Takes the send_state if it is free and there is something to send: copies the first of it to `chunk`, and says
    /// where to send how much. Then [`Outbox::end_send`] must follow.
    pub fn begin_send(&mut self, chunk: &mut [u8]) -> Option<(RawFd, usize)> {
        if self.send_state != SendState::Idle || !self.is_alive() || self.is_empty() {
            return None;
        }
        self.send_state = SendState::InProgress;
        let rest = &self.bytes[self.sent..];
        let len = rest.len().min(chunk.len());
        chunk[..len].copy_from_slice(&rest[..len]);
        Some((self.socket, len))
    }

    /// Lays down the send_state after a send, and says what to do next.
    pub fn end_send(&mut self, sent: Sent, now_ns: impl FnOnce() -> u64) -> FlushStatus {
        let writable = self.send_state == SendState::InProgressWritable;
        self.send_state = SendState::Idle;
        if !self.is_alive() {
            return FlushStatus::Nothing;
        }
        match sent {
            Sent::Bytes(bytes) => self.progress(bytes),
            Sent::Full if writable => FlushStatus::Again,
            Sent::Full => {
                self.send_state = SendState::WouldBlock;
                if self.stalled_ns == 0 {
                    self.stalled_ns = now_ns();
                }
                FlushStatus::WouldBlock
            }
            Sent::Broken(errno) => {
                self.break_off(errno);
                FlushStatus::Broken
            }
        }
    }

    fn progress(&mut self, bytes: usize) -> FlushStatus {
        self.sent += bytes;
        self.bytes_out += bytes as u64;
        self.stalled_ns = 0;
        if self.is_empty() {
            self.clear();
        }
        self.tell_lost();
        if self.is_empty() { FlushStatus::Nothing } else { FlushStatus::Again }
    }

    /// Notes that the socket is writable.
    pub fn writable(&mut self) {
        self.send_state = match self.send_state {
            SendState::Idle | SendState::WouldBlock => SendState::Idle,
            SendState::InProgress | SendState::InProgressWritable => SendState::InProgressWritable,
        }
    }

    /// Whether somebody is sending.
    pub fn is_sending(&self) -> bool {
        matches!(self.send_state, SendState::InProgress | SendState::InProgressWritable)
    }

    /// Since when the socket takes nothing, in nanoseconds; none: it does, or nothing is to be sent.
    pub fn stalled_ns(&self) -> Option<u64> {
        (self.send_state == SendState::WouldBlock).then_some(self.stalled_ns)
    }

    /// The client has read some of what the socket holds, if not enough for it to take more: it is waited for anew.
    pub fn is_read(&mut self, now_ns: u64) {
        if self.send_state == SendState::WouldBlock {
            self.stalled_ns = now_ns;
        }
    }

    // ---- Waking the worker -----------------------------------------------------------------------------

    /// Sets what other threads wake the worker for.
    pub fn set_wake_on(&mut self, wake_on: WakeOn) {
        self.wake_on = wake_on;
    }

    /// For others than the worker, after they brought something home or sent: whether to wake the worker now.
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
