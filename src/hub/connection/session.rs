//! One connection, as its worker sees it: from the arrival over reading, answering and the farewell to the moment
//! when nothing of it is left and the seat is free for the next.
//!
//! A session never waits. Its [`poll`](Session::poll) does a bounded piece of whatever can be done now, and says when to
//! come back.

use crate::conn_id::ConnId;
use crate::hub::connection::commands::Commands;
use crate::hub::connection::poll_at::PollAt;
use crate::hub::connection::rate_limit::RateLimiter;
use crate::hub::egress::flush;
use crate::hub::egress::outbox::{FlushStatus, Outbox, WakeOn};
use crate::hub::workers::context::WorkerContext;
use crate::limits::{
    ANSWER_LINE_BYTES_MAX, AUTHENTICATION_MS_MAX, CLIENTS, DISCARDS_PER_TURN_MAX, FAREWELL_MS_MAX,
    KEY_BYTES_MAX, RATE_PAUSE_MS, RECEIVE_BYTES, TYPED_LINE_TIMEOUTS, TYPIST_KEYS_MIN, UNOWED_MS_MAX,
    WRITE_LOOKS,
};
use crate::net::socket::{self, Received};
use crate::protocol::foreign::{self, Foreign};
use crate::protocol::framing::Framer;
use crate::protocol::reply::{self, Farewell};
use crate::queue::Chain;
use crate::sync::MutexGuard;
use log::Level;
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use std::fmt;
use std::mem;
use std::os::fd::OwnedFd;

/// The session's outbox, locked.
type Locked = MutexGuard<'static, Outbox>;

/// Where a session stands. Each phase leads to a later one, and [`Phase::Gone`] back to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody is here.
    Vacant,
    /// Lines are taken.
    Open,
    /// No line is taken any more; what is outstanding is answered.
    Finishing(Reason),
    /// All is answered; what is left is sent.
    Flushing(Reason),
    /// All is sent; the client has until then, in nanoseconds, to read it.
    Lingering(Reason, u64),
    /// The connection is over; what is still on its way in the hub is waited for.
    Gone,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The client sends nothing more.
    End,
    /// It said `/quit`.
    Quit,
    /// The server ends.
    ShuttingDown,
    /// It said nothing for too long.
    Idle,
    /// It said nothing for a while, and another wanted its seat.
    GaveWay,
    /// It did not read for too long.
    TooSlow,
    /// It did not end a line that it had begun.
    LineTimeout,
    /// It speaks another protocol.
    Foreign(Foreign),
    /// It tried wrong tokens.
    WrongToken,
    /// It showed no token in time.
    NotAuthenticated,
    /// The token that it has shown gives no right any more to what it gave.
    TokenWithdrawn,
    /// The connection broke.
    Broken(Errno),
}

impl Reason {
    /// Whether the client just went away.
    fn is_of_client(self) -> bool {
        matches!(self, Self::End | Self::Broken(Errno::ECONNRESET | Errno::EPIPE))
    }

    /// The line that tells it to the client.
    fn farewell(self) -> Option<Farewell> {
        match self {
            Self::End | Self::Broken(_) => None,
            Self::Quit => Some(Farewell::Quit),
            Self::ShuttingDown => Some(Farewell::ShuttingDown),
            Self::Idle => Some(Farewell::Idle),
            Self::GaveWay => Some(Farewell::GaveWay),
            Self::TooSlow => Some(Farewell::TooSlow),
            Self::LineTimeout => Some(Farewell::LineTimeout),
            Self::Foreign(foreign) => Some(Farewell::Foreign(foreign)),
            Self::WrongToken => Some(Farewell::WrongToken),
            Self::NotAuthenticated => Some(Farewell::NotAuthenticated),
            Self::TokenWithdrawn => Some(Farewell::TokenWithdrawn),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("it closed the connection"),
            Self::Quit => f.write_str("it quit"),
            Self::ShuttingDown => f.write_str("shutting down"),
            Self::Idle => f.write_str("idle"),
            Self::GaveWay => f.write_str("idle, and its seat was wanted"),
            Self::TooSlow => f.write_str("too slow: it did not read"),
            Self::LineTimeout => f.write_str("it did not end a line that it had begun"),
            Self::Foreign(foreign) => write!(f, "it is {}", foreign.client()),
            Self::WrongToken => f.write_str("it tried wrong tokens"),
            Self::NotAuthenticated => f.write_str("it showed no token in time"),
            Self::TokenWithdrawn => f.write_str("its line in the auth file is gone or changed"),
            Self::Broken(errno) => f.write_str(errno.desc()),
        }
    }
}

/// What the kernel holds for a client whose socket takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Untaken {
    /// Since when it takes no more, in nanoseconds.
    since_ns: u64,
    /// When that was looked at last, in nanoseconds.
    looked_ns: u64,
    /// How many bytes the kernel held then.
    bytes: usize,
}

/// A seat's connection.
pub struct Session {
    conn: ConnId,
    phase: Phase,
    socket: Option<OwnedFd>,
    framer: Framer<'static, RECEIVE_BYTES>,
    commands: Commands,
    /// The socket may have something to receive.
    readable: bool,
    /// The socket reported that it takes more.
    writable: bool,
    /// No more will come after what is there, and the socket will report nothing again.
    at_last: bool,
    /// The socket reported urgent data: what is received ends at their mark, and more may be behind it.
    has_mark: bool,
    /// The client has ended its side.
    ended: bool,
    /// What broke the connection for whoever was sending. What has come is received all the same.
    unsendable: Option<Errno>,
    /// The client may do nothing any more, for that reason: what it had sent by then is refused.
    dismissed: Option<Reason>,
    /// How many bytes had come when it was dismissed, and are not received yet.
    owed_bytes: usize,
    /// Whether the kernel [takes more](socket::raise_receive_buffer) from it, because it has to read first.
    is_overdrawn: bool,
    /// How many lines it may still send.
    lines: RateLimiter,
    /// Since when the end of a line is waited for that has begun, in nanoseconds.
    line_since_ns: Option<u64>,
    /// How many receives in a row have brought a single key, but for ends of lines: somebody types, and each key is sent by itself.
    keys: u8,
    /// When the last of them came, in nanoseconds.
    key_ns: u64,
    /// What the client's socket has not taken, while it takes no more.
    untaken: Option<Untaken>,
    /// When a time-out is to be looked at, in nanoseconds: no later than the first that can be over.
    look_ns: u64,
    /// When it arrived, in nanoseconds.
    arrived_ns: u64,
    /// Whether the client has sent anything.
    has_spoken: bool,
    /// When the session stopped taking lines, in nanoseconds.
    parted_ns: u64,
}

impl Session {
    /// A vacant seat, with its receive buffer.
    pub fn new(conn: ConnId, buffer: &'static mut [u8; RECEIVE_BYTES]) -> Self {
        Self {
            conn,
            phase: Phase::Vacant,
            socket: None,
            framer: Framer::new(buffer),
            commands: Commands::new(conn),
            readable: false,
            writable: false,
            at_last: false,
            has_mark: false,
            ended: false,
            unsendable: None,
            dismissed: None,
            owed_bytes: 0,
            is_overdrawn: false,
            lines: RateLimiter::FULL,
            line_since_ns: None,
            keys: 0,
            key_ns: 0,
            untaken: None,
            look_ns: u64::MAX,
            arrived_ns: 0,
            has_spoken: false,
            parted_ns: 0,
        }
    }

    /// Notes what the socket reported.
    pub fn note(&mut self, events: EpollFlags) {
        let last = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        self.at_last |= events.intersects(last);
        self.has_mark |= events.contains(EpollFlags::EPOLLPRI);
        self.readable |= events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | last);
        self.writable |= events.intersects(EpollFlags::EPOLLOUT | last);
    }

    /// Does what can be done now.
    pub fn poll(&mut self, context: &mut WorkerContext) -> PollAt {
        let mut outbox = context.hub.outboxes[self.conn].lock();
        if mem::take(&mut self.writable) {
            outbox.writable();
        }
        let turn = match self.phase {
            Phase::Vacant => self.arrive(outbox, context),
            Phase::Open => self.converse(outbox, context),
            Phase::Finishing(reason) => self.finish(reason, outbox, context),
            Phase::Flushing(reason) => self.flush(reason, outbox, context),
            Phase::Lingering(reason, until_ns) => {
                drop(outbox);
                self.linger(reason, until_ns, context)
            }
            Phase::Gone => self.vacate(outbox, context),
        };
        self.look_ns = if let PollAt::Time(deadline_ns) = turn { deadline_ns } else { self.look_ns };
        turn
    }

    fn arrive(&mut self, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        let arrival = outbox.take_arrival();
        drop(outbox);
        let Some(socket) = arrival else { return PollAt::Ingress };
        self.readable = false;
        self.writable = false;
        self.at_last = false;
        self.has_mark = false;
        self.ended = false;
        self.unsendable = None;
        self.dismissed = None;
        self.is_overdrawn = false;
        self.lines = RateLimiter::FULL;
        self.line_since_ns = None;
        self.keys = 0;
        self.untaken = None;
        self.look_ns = 0;
        self.arrived_ns = context.now_ns;
        self.has_spoken = false;
        let watched = context.watch(self.conn, &socket);
        self.socket = Some(socket);
        self.phase = Phase::Open;
        match watched {
            Ok(()) => PollAt::Now,
            Err(errno) => self.end(Reason::Broken(errno), context),
        }
    }

    /// Logs a client that speaks for the first time.
    fn log_first_words(&mut self, context: &WorkerContext) {
        if !mem::replace(&mut self.has_spoken, true) {
            let (taken, _) = context.hub.clients.lock().taken();
            log::info!("{} connected: {taken} of {CLIENTS}", context.hub.name(self.conn));
        }
    }

    // ---- Open ------------------------------------------------------------------------------------------

    fn converse(&mut self, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        if let Some(reason) = self.is_lost(&mut outbox, context) {
            drop(outbox);
            return self.give_up(reason, context);
        }
        if outbox.is_eviction_requested() && !self.readable {
            drop(outbox);
            return self.part(Reason::GaveWay, context);
        }
        self.note_break(&outbox);
        outbox.grant(self.commands.credits());
        drop(outbox);
        if self.commands.is_withdrawn(context) {
            self.dismiss(Reason::TokenWithdrawn, context);
        }
        // Others of its address wait for the seat, and for their turn in the queue of tokens.
        if self.unsendable == Some(Errno::ETIMEDOUT) && self.commands.is_authenticating() {
            self.dismiss(Reason::Broken(Errno::ETIMEDOUT), context);
        }
        self.commands.go_on(context);
        if self.dismissed.is_none() && self.commands.is_given_up() {
            self.dismiss(Reason::WrongToken, context);
        }
        self.take_lines(context);
        let received = if self.may_receive(context) { self.receive(context) } else { Ok(()) };
        self.take_lines(context);
        context.admit_all();
        if let Err(errno) = received {
            return self.end(Reason::Broken(errno), context);
        }
        let mut outbox = context.hub.outboxes[self.conn].lock();
        let status = flush::flush(&mut outbox, &mut context.chunk);
        self.rest(status, outbox, context)
    }

    fn take_lines(&mut self, context: &mut WorkerContext) {
        while self.may_take_line(context) {
            if self.commands.is_opening()
                && let Some(foreign) = foreign::meet(&mut self.framer)
            {
                return self.commands.meet(foreign);
            }
            let Some(frame) = self.framer.next() else { return };
            self.line_since_ns = None;
            if let Some(rate) = context.hub.settings.rate {
                self.lines.take(rate, context.now_ns);
            }
            self.commands.take(frame, context);
        }
    }

    fn may_take_line(&self, context: &WorkerContext) -> bool {
        !self.commands.is_stalled() && !self.is_parting() && self.paced_until_ns(context).is_none()
    }

    /// Nothing can be sent any more: nobody hears the replies. What has come is taken all the same, until a receive finds no more.
    fn note_break(&mut self, outbox: &Outbox) {
        if self.unsendable.is_none() && outbox.broken_by().is_some() {
            self.unsendable = outbox.broken_by();
            self.at_last = true;
            self.readable = true;
        }
    }

    /// From now on the client may do nothing. What it has sent until then is refused line by line, and it is told why.
    fn dismiss(&mut self, reason: Reason, context: &WorkerContext) {
        context.hub.bar(self.conn);
        self.wake_replay(context);
        self.commands.dismiss(context);
        self.dismissed = Some(reason);
        self.owed_bytes = self.socket.as_ref().map_or(0, socket::unreceived);
        self.readable |= self.owed_bytes > 0;
    }

    /// Until when the client has to wait for its next line, in nanoseconds, if it was too fast. What is refused anyway does not wait.
    fn paced_until_ns(&self, context: &WorkerContext) -> Option<u64> {
        let is_refused = context.draining || self.dismissed.is_some();
        let rate = context.hub.settings.rate.filter(|_| !is_refused)?;
        Some(self.lines.ready_ns(rate)).filter(|ready_ns| *ready_ns > context.now_ns)
    }

    fn may_receive(&self, context: &WorkerContext) -> bool {
        self.has_more(context) && self.may_take_line(context)
    }

    /// Whether the socket may have something that is to be received.
    fn has_more(&self, context: &WorkerContext) -> bool {
        self.readable && !self.ended && !self.is_deaf(context)
    }

    /// Whether an listing goes on once there is room, or lines that have come, or what it missed, wait for a slot. No slot left and
    /// no line that needs one is nothing to be woken for: a client that keeps as many messages in flight as it may is the usual
    /// case. Nor is a line that waits for the historian, which calls when it is done, or for the time when an `/auth` goes on.
    fn is_held_up(&mut self, outbox: &Outbox, context: &WorkerContext) -> bool {
        let commands = &self.commands;
        let misses = outbox.is_behind() && !commands.is_replaying();
        let lacks_slot = commands.lacks_slot() && !self.is_parting();
        // The rest of a line is waited for once there is a slot for it, not before.
        let has_any = |session: &mut Self| session.has_line(context) || session.framer.has_begun();
        commands.is_answering() || misses || lacks_slot && has_any(self)
    }

    /// Whether a line waits that has come, or something may have come that is not received yet.
    fn has_line(&mut self, context: &WorkerContext) -> bool {
        !self.is_parting() && (self.framer.has_next() || self.has_more(context))
    }

    /// Whether no more is received from this client, whatever it sends.
    fn is_deaf(&self, context: &WorkerContext) -> bool {
        context.draining || self.is_parting() || self.dismissed.is_some() && self.owed_bytes == 0
    }

    /// Whether the client will be told goodbye for what it said.
    fn is_parting(&self) -> bool {
        self.commands.quit().is_some() || self.commands.foreign().is_some()
    }

    fn receive(&mut self, context: &WorkerContext) -> Result<(), Errno> {
        let Some(socket) = &self.socket else { return Ok(()) };
        if mem::take(&mut self.is_overdrawn) {
            socket::settle(socket);
        }
        let free = self.framer.free();
        let room = if self.dismissed.is_some() { free.len().min(self.owed_bytes) } else { free.len() };
        match socket::receive(socket, &mut free[..room]) {
            Received::Bytes(bytes) => {
                self.framer.commit(bytes);
                self.log_first_words(context);
                self.note_keys(bytes, context);
                self.owed_bytes = self.owed_bytes.saturating_sub(bytes);
                // A short one has taken all there was, unless it ends at a mark; what comes later is reported, but for the end.
                self.readable = bytes == room || self.at_last || self.has_mark;
                // Now, for among these lines may be one that asks for the counters.
                let stays = context.hub.outboxes[self.conn].lock().heard(bytes, context.now_ns);
                if stays {
                    context.hub.vacancies.tell();
                }
            }
            Received::Nothing => {
                self.readable = false;
                self.has_mark = false;
            }
            Received::End => self.end_receiving(),
            Received::Broken(Some(errno)) => return Err(errno),
            Received::Broken(None) => return self.ask_sender(context),
        }
        Ok(())
    }

    /// Notes whether what came are keys. Somebody who types may erase, and has new time for the line with each key.
    fn note_keys(&mut self, bytes: usize, context: &WorkerContext) {
        let is_key = bytes <= KEY_BYTES_MAX && self.framer.last_byte().is_some_and(|byte| byte != b'\n');
        if is_key {
            self.keys = self.keys.saturating_add(1);
            self.key_ns = context.now_ns;
        } else if bytes > KEY_BYTES_MAX {
            self.keys = 0;
        }
        if self.is_typist() {
            self.framer.erase(bytes);
        }
    }

    fn is_typist(&self) -> bool {
        self.keys >= TYPIST_KEYS_MIN
    }

    fn end_receiving(&mut self) {
        self.ended = true;
        self.framer.end();
    }

    /// Whoever was sending was told what broke the connection. That is EPIPE if the client had ended its side before, and then what came
    /// last is a line, LF or not.
    fn ask_sender(&mut self, context: &WorkerContext) -> Result<(), Errno> {
        let outbox = context.hub.outboxes[self.conn].lock();
        let (told, is_sending) = (outbox.broken_by(), outbox.is_sending());
        drop(outbox);
        match told {
            Some(Errno::EPIPE) => self.end_receiving(),
            // It has not said so yet, and calls when it has.
            None if is_sending => self.readable = false,
            _ => return Err(told.unwrap_or(Errno::ECONNRESET)),
        }
        Ok(())
    }

    /// What is left to wait for, after all that could be done was done.
    fn rest(&mut self, status: FlushStatus, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        outbox.set_idle(None);
        let is_held_up = self.is_held_up(&outbox, context);
        let can_go_on = is_held_up && self.has_room_to_go_on(&outbox);
        let is_read_for = self.commands.is_replaying();
        let can_read_on = is_read_for && outbox.has_room_for_history();
        let lacks_room = is_held_up && !can_go_on || is_read_for && !can_read_on;
        outbox.set_wake_on(if lacks_room { WakeOn::Room } else { WakeOn::Nothing });
        let next = match () {
            () if can_go_on || wants_turn(status) => Ok(PollAt::Now),
            () if is_held_up => {
                self.line_since_ns = None;
                Ok(self.timer(&outbox, context))
            }
            () => self.next(&mut outbox, context),
        };
        drop(outbox);
        if lacks_room {
            self.raise_receive_buffer();
        }
        if can_read_on || is_read_for && context.draining {
            // It calls when it has put something in, and when it is done.
            self.wake_replay(context);
        }
        next.unwrap_or_else(|reason| self.part(reason, context))
    }

    /// Nothing is received until the client reads.
    fn raise_receive_buffer(&mut self) {
        if let Some(socket) = &self.socket
            && !mem::replace(&mut self.is_overdrawn, true)
        {
            socket::raise_receive_buffer(socket);
        }
    }

    /// When it goes on where nothing holds it up, or why it ends.
    fn next(&mut self, outbox: &mut Outbox, context: &WorkerContext) -> Result<PollAt, Reason> {
        if self.commands.is_stalled() {
            self.line_since_ns = None;
        }
        if let Some(until_ns) = self.paced_until_ns(context)
            && self.has_line(context)
        {
            self.line_since_ns = None;
            // Not for each line: others have to be served meanwhile.
            let until_ns = until_ns.max(context.now_ns + RATE_PAUSE_MS * 1_000_000);
            return Ok(self.timer(outbox, context).at_latest(until_ns));
        }
        if !self.commands.awaits_closing()
            && let Some(reason) = self.is_over(context)
        {
            return Err(reason);
        }
        if self.is_line_overdue(context) {
            return Err(Reason::LineTimeout);
        }
        let is_busy = self.may_receive(context) || outbox.is_eviction_requested();
        let waits_for_nothing = !is_busy && self.commands.due_ns().is_none();
        outbox.set_idle(waits_for_nothing.then_some(self.commands.credit_count()));
        Ok(if is_busy { PollAt::Now } else { self.timer(outbox, context) })
    }

    /// Whether a line has begun and should have ended by now. Whole lines that wait for a slot or for their time, and what is behind them,
    /// are not waited for; nor is what has come and is not received yet, unless the line is too long already.
    fn is_line_overdue(&mut self, context: &WorkerContext) -> bool {
        if !self.framer.is_within_line() {
            self.line_since_ns = None;
            return false;
        }
        self.line_since_ns.get_or_insert(context.now_ns);
        let is_overdue =
            self.line_deadline_ns(context).is_some_and(|deadline_ns| deadline_ns <= context.now_ns);
        is_overdue && (!self.readable || self.framer.is_dropping())
    }

    /// Whether there is room for what [holds it up](Self::is_held_up).
    fn has_room_to_go_on(&self, outbox: &Outbox) -> bool {
        if self.commands.is_answering() { outbox.has_room(ANSWER_LINE_BYTES_MAX) } else { outbox.can_grant() }
    }

    fn wake_replay(&self, context: &WorkerContext) {
        if let Some(handle) = &context.hub.replay {
            handle.wake(self.conn);
        }
    }

    /// Why no line will come any more, if so. Only after [`take_lines`](Self::take_lines) left no whole line.
    fn is_over(&self, context: &WorkerContext) -> Option<Reason> {
        match () {
            () if self.commands.quit().is_some() => Some(Reason::Quit),
            () if self.is_parting() => self.commands.foreign().map(Reason::Foreign),
            () if self.dismissed.is_some() && !self.has_more(context) => self.dismissed,
            () if self.ended => Some(Reason::End),
            () if !self.readable && self.unsendable.is_some() => self.unsendable.map(Reason::Broken),
            () if context.draining => Some(Reason::ShuttingDown),
            () => None,
        }
    }

    /// Why it cannot go on, if the connection is broken or a time is up.
    fn is_lost(&mut self, outbox: &mut Outbox, context: &WorkerContext) -> Option<Reason> {
        // As long as it is open, what has come is taken first.
        if self.phase != Phase::Open
            && let Some(errno) = outbox.broken_by()
        {
            return Some(Reason::Broken(errno));
        }
        if context.now_ns < self.look_ns {
            return None;
        }
        if self.has_read_some(context) {
            outbox.is_read(context.now_ns);
        }
        let is_up = |(deadline_ns, _): &(u64, Reason)| *deadline_ns <= context.now_ns;
        self.time_up(outbox, context).filter(is_up).map(|(_, reason)| reason)
    }

    /// Whether the client has taken some of what the kernel holds for it since that was looked at last. The kernel reports a socket only
    /// when a third of that is gone, which may take long where the client, or the network, is slow.
    fn has_read_some(&mut self, context: &WorkerContext) -> bool {
        let Some(then) = self.untaken else { return false };
        let now = self.socket.as_ref().and_then(socket::untaken).unwrap_or(then.bytes);
        self.untaken = Some(Untaken { looked_ns: context.now_ns, bytes: now, ..then });
        now < then.bytes
    }

    /// Notes what the kernel holds for the client, once for each time from which on it is waited for.
    fn note_untaken(&mut self, outbox: &Outbox, context: &WorkerContext) {
        let since_ns = outbox.stalled_ns();
        if self.untaken.map(|untaken| untaken.since_ns) == since_ns {
            return;
        }
        let bytes = since_ns.and_then(|_| self.socket.as_ref().and_then(socket::untaken));
        self.untaken = since_ns.zip(bytes).map(|(since_ns, bytes)| Untaken {
            since_ns,
            looked_ns: context.now_ns,
            bytes,
        });
    }

    /// When it is looked again whether the client reads, in nanoseconds. The client's kernel takes something at first though nobody reads:
    /// that is seen in the first of these looks, and costs no more than it.
    fn read_look_ns(&self, context: &WorkerContext) -> Option<u64> {
        Some(self.untaken?.looked_ns + context.hub.settings.write_timeout_ns? / WRITE_LOOKS)
    }

    /// Does what follows from [`is_lost`](Self::is_lost).
    fn give_up(&mut self, reason: Reason, context: &mut WorkerContext) -> PollAt {
        match reason {
            Reason::NotAuthenticated => {
                self.dismiss(reason, context);
                PollAt::Now
            }
            Reason::Idle => self.part(reason, context),
            Reason::TooSlow | Reason::ShuttingDown => self.cut_short(reason, context),
            _ => self.end(reason, context),
        }
    }

    /// When the next turn is due of itself: when a time is up, or an `/auth` goes on.
    fn timer(&mut self, outbox: &Outbox, context: &WorkerContext) -> PollAt {
        self.note_untaken(outbox, context);
        let time_up_ns = self.time_up(outbox, context).map(|(deadline_ns, _)| deadline_ns);
        let read_look_ns = self.read_look_ns(context);
        let deadlines = [time_up_ns, read_look_ns, self.commands.due_ns(), self.line_deadline_ns(context)];
        deadlines.into_iter().flatten().min().map_or(PollAt::Ingress, PollAt::Time)
    }

    /// The deadline of a line that has begun, in nanoseconds. Of one that is typed, each key puts it off, up to a bound.
    fn line_deadline_ns(&self, context: &WorkerContext) -> Option<u64> {
        let (since_ns, timeout_ns) = (self.line_since_ns?, context.hub.settings.line_timeout_ns?);
        if !self.is_typist() {
            return Some(since_ns + timeout_ns);
        }
        Some((self.key_ns.max(since_ns) + timeout_ns).min(since_ns + TYPED_LINE_TIMEOUTS * timeout_ns))
    }

    /// The deadline that holds now, and why it ends then: it does not read, or else it does not say who it is, or nothing.
    fn time_up(&self, outbox: &Outbox, context: &WorkerContext) -> Option<(u64, Reason)> {
        let settings = &context.hub.settings;
        if let Some(since_ns) = outbox.stalled_ns() {
            let is_unowed = context.draining && self.phase != Phase::Open && outbox.owes_nothing();
            let unowed_ns = is_unowed.then_some(self.unowed_until_ns());
            let unowed = unowed_ns.map(|deadline_ns| (deadline_ns, Reason::ShuttingDown));
            let slow = settings.write_timeout_ns.map(|timeout_ns| (since_ns + timeout_ns, Reason::TooSlow));
            return unowed.into_iter().chain(slow).min_by_key(|(deadline_ns, _)| *deadline_ns);
        }
        if self.phase != Phase::Open || outbox.joined().is_some() || self.dismissed.is_some() {
            return None;
        }
        let must_log_in = self.commands.must_log_in(context) && !self.commands.awaits_turn();
        let shown_ns = must_log_in.then_some(self.arrived_ns + AUTHENTICATION_MS_MAX * 1_000_000);
        let idle_ns =
            settings.idle_timeout_ns.map(|timeout_ns| self.idle_since_ns(outbox, context) + timeout_ns);
        let shown = shown_ns.map(|deadline_ns| (deadline_ns, Reason::NotAuthenticated));
        let idle = idle_ns.map(|deadline_ns| (deadline_ns, Reason::Idle));
        shown.into_iter().chain(idle).min_by_key(|(deadline_ns, _)| *deadline_ns)
    }

    /// The deadline, in nanoseconds, for everything but replies when the server ends.
    fn unowed_until_ns(&self) -> u64 {
        self.parted_ns + UNOWED_MS_MAX * 1_000_000
    }

    /// Since when it says nothing and waits for nothing. Nobody calls when its last listing goes out: while it waits for one, it is
    /// looked at again later. So does one whose bytes have come and are not received yet.
    fn idle_since_ns(&self, outbox: &Outbox, context: &WorkerContext) -> u64 {
        outbox.idle_since_ns().filter(|_| !self.readable).unwrap_or(context.now_ns)
    }

    // ---- The end ---------------------------------------------------------------------------------------

    /// Takes no more lines, and wants no more of others.
    fn part(&mut self, reason: Reason, context: &WorkerContext) -> PollAt {
        context.hub.leave(self.conn);
        // What it reads is not wanted any more.
        self.wake_replay(context);
        self.line_since_ns = None;
        self.parted_ns = context.now_ns;
        self.phase = Phase::Finishing(reason);
        PollAt::Now
    }

    fn finish(&mut self, reason: Reason, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        self.release_credits(&mut outbox);
        if let Some(reason) = self.is_lost(&mut outbox, context) {
            drop(outbox);
            return self.give_up(reason, context);
        }
        let status = flush::flush(&mut outbox, &mut context.chunk);
        if outbox.is_quiescent() && self.say_farewell(reason, &mut outbox) {
            self.phase = Phase::Flushing(reason);
            return PollAt::Now;
        }
        // Slots are on their way, or somebody sends; or there is no room, and the socket will tell.
        let wake_on = if outbox.is_quiescent() { WakeOn::Room } else { WakeOn::Quiescence };
        outbox.set_wake_on(wake_on);
        self.await_reader(status, outbox, context)
    }

    /// Puts the last words in; false: there is no room now.
    fn say_farewell(&self, reason: Reason, outbox: &mut Outbox) -> bool {
        let mut words = reply::Line::new();
        if let Some(line) = self.commands.quit() {
            // Both fit: they are shorter than the line of an listing.
            reply::ok(&mut words, line);
        }
        if let Some(farewell) = reason.farewell() {
            let _ = words.extend_from_slice(farewell.line().as_bytes());
        }
        !outbox.owes_lost() && outbox.push_line(&words)
    }

    fn flush(&mut self, reason: Reason, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        if let Some(reason) = self.is_lost(&mut outbox, context) {
            drop(outbox);
            return self.give_up(reason, context);
        }
        let status = flush::flush(&mut outbox, &mut context.chunk);
        if outbox.is_empty() && !outbox.is_sending() {
            drop(outbox);
            return self.linger_on(reason, context);
        }
        outbox.set_wake_on(WakeOn::Room);
        self.await_reader(status, outbox, context)
    }

    /// What is left to wait for, of one from which nothing is received any more.
    fn await_reader(&mut self, status: FlushStatus, outbox: Locked, context: &WorkerContext) -> PollAt {
        let is_stalled = outbox.stalled_ns().is_some();
        let turn = if wants_turn(status) { PollAt::Now } else { self.timer(&outbox, context) };
        drop(outbox);
        if is_stalled {
            self.raise_receive_buffer();
        }
        turn
    }

    /// Everything is sent. Closing while something is unread would reset the connection and could take the last
    /// words from the client; so, unless it has ended its side too, it gets some time to do so.
    fn linger_on(&mut self, reason: Reason, context: &mut WorkerContext) -> PollAt {
        // Before its end, so that who has seen that finds it counted.
        if let Some(farewell) = reason.farewell() {
            context.hub.counters.lock().said_farewell(farewell);
        }
        if let Some(socket) = &self.socket {
            socket::end_sending(socket);
        }
        if self.ended {
            return self.end(reason, context);
        }
        let until_ns = if context.draining {
            self.unowed_until_ns()
        } else {
            context.now_ns + FAREWELL_MS_MAX * 1_000_000
        };
        self.phase = Phase::Lingering(reason, until_ns);
        self.readable = true;
        PollAt::Now
    }

    /// Closes the connection at once, of one that does not read or is sent what it may not read any more, with what can be sent: the
    /// kernel takes what is left, what was lost and the reason, if it takes anything, and keeps it for a while should the client
    /// come back.
    fn cut_short(&mut self, reason: Reason, context: &mut WorkerContext) -> PollAt {
        if let Some(socket) = &self.socket {
            socket::raise_send_buffer(socket);
        }
        context.hub.leave(self.conn);
        // Who was told goodbye already is told nothing more.
        let is_told = matches!(self.phase, Phase::Flushing(_));
        let mut outbox = context.hub.outboxes[self.conn].lock();
        self.release_credits(&mut outbox);
        outbox.writable();
        flush::flush(&mut outbox, &mut context.chunk);
        flush::flush_last(&mut outbox, &mut context.chunk, |outbox| {
            !is_told && self.say_farewell(reason, outbox)
        });
        drop(outbox);
        context.hub.abort(self.conn);
        self.linger_on(reason, context)
    }

    /// At the end of the server it is not waited for what the client does, only for its system to have heard the last words: it tells
    /// that by a change of the socket's state.
    fn linger(&mut self, reason: Reason, until_ns: u64, context: &mut WorkerContext) -> PollAt {
        // Received first: what is unread when the socket is closed resets the connection.
        if self.discard() || context.now_ns >= until_ns {
            return self.end(reason, context);
        }
        match () {
            () if self.readable => PollAt::Now,
            () if context.draining && self.has_told_all() => self.end(reason, context),
            () => PollAt::Time(until_ns),
        }
    }

    /// Whether the client's system has acknowledged all that was sent, and that nothing more comes.
    fn has_told_all(&self) -> bool {
        let transmission = self.socket.as_ref().and_then(socket::transmission);
        transmission.is_some_and(|transmission| !transmission.is_ending)
    }

    /// Receives and forgets; true: nothing more will come.
    fn discard(&mut self) -> bool {
        let Some(socket) = &self.socket else { return true };
        self.framer.reset();
        for _ in 0..DISCARDS_PER_TURN_MAX {
            match socket::receive(socket, self.framer.free()) {
                Received::Bytes(_) => {}
                Received::Nothing => {
                    self.readable = false;
                    return false;
                }
                Received::End | Received::Broken(_) => return true,
            }
        }
        false
    }

    /// The connection is over.
    fn end(&mut self, reason: Reason, context: &mut WorkerContext) -> PollAt {
        if self.is_cut_off(reason) {
            context.hub.counters.lock().lines_cut_off += 1;
        }
        context.hub.abort(self.conn);
        context.hub.clients.lock().leave(self.conn);
        // A health check opens a connection and closes it, some times a minute.
        let level = if self.has_spoken || !reason.is_of_client() { Level::Info } else { Level::Debug };
        log::log!(level, "{} disconnected: {reason}", context.hub.name(self.conn));
        self.phase = Phase::Gone;
        self.commands.leave_queue(context);
        // It finds that nobody is here.
        self.wake_replay(context);
        let mut outbox = context.hub.outboxes[self.conn].lock();
        self.release_credits(&mut outbox);
        self.vacate(outbox, context)
    }

    /// Whether the connection broke in the middle of a line. That is not taken: nobody knows how it would have gone on.
    fn is_cut_off(&mut self, reason: Reason) -> bool {
        matches!(reason, Reason::Broken(_))
            && self.phase == Phase::Open
            && !self.framer.has_next()
            && self.framer.has_begun()
    }

    /// Brings all slots home that the commands holds.
    fn release_credits(&mut self, outbox: &mut Outbox) {
        let mut credits = self.commands.take_credits();
        outbox.release_all(&mut credits);
        if let Some(slot) = self.commands.break_off() {
            outbox.release_slots(Chain::of(slot));
        }
    }

    /// Closes the socket once nobody sends on it, and gives the seat back once its messages are processed.
    fn vacate(&mut self, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        let is_sending = outbox.is_sending();
        let is_quiescent = outbox.is_quiescent();
        outbox.set_wake_on(if is_quiescent { WakeOn::Nothing } else { WakeOn::Quiescence });
        drop(outbox);
        if !is_sending {
            self.socket = None;
        }
        if is_quiescent {
            self.framer.reset();
            self.commands.reset();
            self.phase = Phase::Vacant;
            context.hub.release(self.conn);
        }
        PollAt::Ingress
    }
}

/// Whether a session has more to do because of what a send came to.
fn wants_turn(status: FlushStatus) -> bool {
    matches!(status, FlushStatus::Again | FlushStatus::Broken)
}
