//! The socket of a connection and the parts around it. Both the open phase and the departure use them.

use crate::conn_id::ConnId;
use crate::hub::connection::closing::Reason;
use crate::hub::connection::commands::Commands;
use crate::hub::connection::deadlines::{Deadlines, Timeout, Waits};
use crate::hub::connection::poll_at::PollAt;
use crate::hub::connection::receive::Receiver;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::shared_outbox::LockedOutbox;
use crate::hub::workers::context::WorkerContext;
use crate::limits::{CLIENTS, RECEIVE_BYTES};
use crate::net::socket::{self, Received};
use crate::queue::Chain;
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use std::mem;
use std::os::fd::OwnedFd;

/// The outbox of a connection, locked.
pub type Locked = LockedOutbox<'static>;

/// One connection: its socket, its receiver, its commands, and its time-outs.
pub struct Link {
    /// The connection's ID.
    pub conn: ConnId,
    /// The socket, until it is closed.
    pub socket: Option<OwnedFd>,
    /// Receives and frames the client's lines.
    pub receiver: Receiver,
    /// Executes the client's lines.
    pub commands: Commands,
    /// The connection's time-outs.
    pub deadlines: Deadlines,
    /// The socket reported that it is writable.
    is_writable: bool,
    /// Whether the client has sent anything.
    has_spoken: bool,
}

impl Link {
    /// A link without a connection. It receives into `buffer`.
    pub fn new(conn: ConnId, buffer: &'static mut [u8; RECEIVE_BYTES]) -> Self {
        Self {
            conn,
            socket: None,
            receiver: Receiver::new(buffer),
            commands: Commands::new(conn),
            deadlines: Deadlines::new(0),
            is_writable: false,
            has_spoken: false,
        }
    }

    /// Begins a connection on `socket`.
    ///
    /// # Errors
    /// If the kernel lacks the memory to watch the socket: epoll will report none of its events.
    pub fn open(&mut self, socket: OwnedFd, context: &WorkerContext) -> nix::Result<()> {
        self.receiver.open();
        self.deadlines = Deadlines::new(context.now_ns);
        self.is_writable = false;
        self.has_spoken = false;
        let watched = context.watch(self.conn, &socket);
        self.socket = Some(socket);
        watched
    }

    /// Clears what is left of an ended connection.
    pub fn reset(&mut self) {
        self.receiver.framer.reset();
        self.commands.reset();
    }

    /// Records the events that the socket reported.
    pub fn note_events(&mut self, events: EpollFlags) {
        let last = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        self.receiver.note_events(events, last);
        self.is_writable |= events.intersects(EpollFlags::EPOLLOUT | last);
    }

    /// Whether the client has sent anything.
    pub fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    // ---- The outbox ------------------------------------------------------------------------------------

    /// Locks the outbox. This thread must not hold its lock already.
    pub fn outbox(&self, context: &WorkerContext) -> Locked {
        context.hub.outboxes[self.conn].lock()
    }

    /// If the socket has reported that it is writable, tells the outbox.
    pub fn report_writable(&mut self, outbox: &mut Outbox) {
        if mem::take(&mut self.is_writable) {
            outbox.sending.set_writable();
        }
    }

    /// Releases all slots that the commands hold, without replies.
    pub fn release_credits(&mut self, outbox: &mut Outbox) {
        let mut credits = self.commands.take_credits();
        outbox.release_all(&mut credits);
        if let Some(slot) = self.commands.cancel() {
            outbox.release_slots(Chain::of(slot));
        }
    }

    // ---- Receiving -------------------------------------------------------------------------------------

    /// Receives once.
    ///
    /// # Errors
    /// What broke the connection.
    pub fn receive(&mut self, context: &WorkerContext) -> Result<(), Errno> {
        let Some(socket) = &self.socket else { return Ok(()) };
        match self.receiver.receive(socket) {
            Received::Bytes(bytes) => self.note_received(bytes, context),
            Received::Nothing | Received::End => {}
            Received::Broken(Some(errno)) => return Err(errno),
            Received::Broken(None) => return self.find_break_cause(context),
        }
        Ok(())
    }

    fn note_received(&mut self, bytes: usize, context: &WorkerContext) {
        if !mem::replace(&mut self.has_spoken, true) {
            let (taken, _) = context.hub.clients.lock().taken();
            log::info!("{} connected: {taken} of {CLIENTS}", context.hub.name(self.conn));
        }
        let ends_line = self.receiver.framer.last_byte().is_none_or(|byte| byte == b'\n');
        if self.deadlines.note_keys(bytes, ends_line, context.now_ns) {
            self.receiver.framer.erase(bytes);
        }
        // Counted before the lines are executed: one of them may request the counters.
        let cancels_eviction = self.outbox(context).note_received(bytes, context.now_ns);
        if cancels_eviction {
            context.hub.vacancies.notify();
        }
    }

    /// Finds the error that broke the connection: the kernel has reported it to the sending thread only. EPIPE means
    /// that the client closed its sending side before. Then the last bytes are a line, even without LF.
    fn find_break_cause(&mut self, context: &WorkerContext) -> Result<(), Errno> {
        let outbox = self.outbox(context);
        let (broken_by, is_sending) = (outbox.endpoint.broken_by(), outbox.sending.is_in_progress());
        drop(outbox);
        match broken_by {
            Some(Errno::EPIPE) => self.receiver.end(),
            // The sending thread has not recorded the error yet. It wakes this worker after that.
            None if is_sending => self.receiver.clear_readable(),
            _ => return Err(broken_by.unwrap_or(Errno::ECONNRESET)),
        }
        Ok(())
    }

    /// Raises the kernel's receive buffer for a client from which nothing is received until it reads.
    pub fn raise_receive_buffer(&mut self) {
        if let Some(socket) = &self.socket {
            self.receiver.raise_buffer(socket);
        }
    }

    // ---- Time-outs -------------------------------------------------------------------------------------

    /// Whether it is time to check the time-outs. If so, and if the client has read something since the last check,
    /// restarts the outbox's stall.
    pub fn check_due(&mut self, outbox: &mut Outbox, context: &WorkerContext) -> bool {
        let is_due = self.deadlines.is_check_due(context.now_ns);
        let held_bytes = || self.socket.as_ref().and_then(socket::untaken);
        if is_due && self.deadlines.has_progressed(held_bytes, context.now_ns) {
            outbox.sending.restart_stall(context.now_ns);
        }
        is_due
    }

    /// The reason to close the connection, if a time-out has expired.
    pub fn overdue(&self, waits: &Waits, context: &WorkerContext) -> Option<Reason> {
        let timeout = self.deadlines.overdue(waits, &context.hub.settings, context.now_ns)?;
        Some(match timeout {
            Timeout::ShutdownRest => Reason::ShutdownRest,
            Timeout::TooSlow => Reason::TooSlow,
            Timeout::NotAuthenticated => Reason::NotAuthenticated,
            Timeout::Idle => Reason::Idle,
            Timeout::Line => Reason::LineTimeout,
        })
    }

    /// When to poll the connection if nothing wakes it before: when a time-out expires, when an `/auth` in progress
    /// continues, or when the time of a task ends.
    pub fn timer(&mut self, waits: &Waits, context: &WorkerContext) -> PollAt {
        let held_bytes = || self.socket.as_ref().and_then(socket::untaken);
        self.deadlines.note_stall(waits.stalled_since_ns, held_bytes, context.now_ns);
        let timeout_ns = self.deadlines.next_ns(waits, &context.hub.settings);
        let of_commands = [self.commands.login().due_ns(), self.commands.tasks().due_ns()];
        PollAt::time(timeout_ns.into_iter().chain(of_commands.into_iter().flatten()).min())
    }

    // ---- The replay ------------------------------------------------------------------------------------

    /// Wakes the replay for this connection: the outbox has room again, or the client no longer wants its replay.
    pub fn wake_replay(&self, context: &WorkerContext) {
        if let Some(handle) = &context.hub.replay {
            handle.wake(self.conn);
        }
    }
}

/// Whether the session must be polled again at once after a flush with this result.
pub fn needs_poll(status: FlushStatus) -> bool {
    matches!(status, FlushStatus::Again | FlushStatus::Broken)
}
