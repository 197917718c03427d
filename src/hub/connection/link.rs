//! What the open phase of a connection and its end both use: the socket, and the types that each know one thing about
//! it.

use crate::conn_id::ConnId;
use crate::hub::connection::closing::Reason;
use crate::hub::connection::commands::Commands;
use crate::hub::connection::deadlines::{Deadlines, Timeout, Waits};
use crate::hub::connection::poll_at::PollAt;
use crate::hub::connection::receive::Receiver;
use crate::hub::egress::outbox::{FlushStatus, Outbox};
use crate::hub::workers::context::WorkerContext;
use crate::limits::{CLIENTS, RECEIVE_BYTES};
use crate::net::socket::{self, Received};
use crate::queue::Chain;
use crate::sync::MutexGuard;
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use std::mem;
use std::os::fd::OwnedFd;

/// The outbox of a connection, locked.
pub type Locked = MutexGuard<'static, Outbox>;

/// One connection: its socket, what it receives, what its lines ask for, and its time-outs.
pub struct Link {
    /// Which connection.
    pub conn: ConnId,
    /// Its socket, until it is closed.
    pub socket: Option<OwnedFd>,
    /// What it receives.
    pub receiver: Receiver,
    /// What its lines ask for.
    pub commands: Commands,
    /// Its time-outs.
    pub deadlines: Deadlines,
    /// The socket reported that it takes more.
    is_writable: bool,
    /// Whether the client has sent anything.
    has_spoken: bool,
}

impl Link {
    /// No connection yet. Lines lie in `buffer`.
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
    /// If the kernel lacks the memory to watch it: nothing will be reported of it.
    pub fn open(&mut self, socket: OwnedFd, context: &WorkerContext) -> nix::Result<()> {
        self.receiver.open();
        self.deadlines = Deadlines::new(context.now_ns);
        self.is_writable = false;
        self.has_spoken = false;
        let watched = context.watch(self.conn, &socket);
        self.socket = Some(socket);
        watched
    }

    /// Forgets the connection, of which nothing is left.
    pub fn reset(&mut self) {
        self.receiver.framer.reset();
        self.commands.reset();
    }

    /// Notes what the socket reported.
    pub fn note(&mut self, events: EpollFlags) {
        let last = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        self.receiver.note(events, last);
        self.is_writable |= events.intersects(EpollFlags::EPOLLOUT | last);
    }

    /// Whether the client has sent anything.
    pub fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    // ---- The outbox ------------------------------------------------------------------------------------

    /// The outbox. It must not be locked already.
    pub fn outbox(&self, context: &WorkerContext) -> Locked {
        context.hub.outboxes[self.conn].lock()
    }

    /// Tells the outbox that the socket takes more, if the socket reported that.
    pub fn report_writable(&mut self, outbox: &mut Outbox) {
        if mem::take(&mut self.is_writable) {
            outbox.sending.set_writable();
        }
    }

    /// Releases all slots that the commands hold.
    pub fn release_credits(&mut self, outbox: &mut Outbox) {
        let mut credits = self.commands.take_credits();
        outbox.release_all(&mut credits);
        if let Some(slot) = self.commands.break_off() {
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
            Received::Broken(None) => return self.ask_sender(context),
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
        // Before the lines are taken: one of them may ask for the counters.
        let stays = self.outbox(context).heard(bytes, context.now_ns);
        if stays {
            context.hub.vacancies.tell();
        }
    }

    /// Finds out what broke the connection: the kernel has told that to the thread that was sending. It is EPIPE if
    /// the client had ended its side before. Then what came last is a line, LF or not.
    fn ask_sender(&mut self, context: &WorkerContext) -> Result<(), Errno> {
        let outbox = self.outbox(context);
        let (told, is_sending) = (outbox.endpoint.broken_by(), outbox.sending.is_in_progress());
        drop(outbox);
        match told {
            Some(Errno::EPIPE) => self.receiver.end(),
            // The sender has not noted it yet, and wakes this worker when it has.
            None if is_sending => self.receiver.pause(),
            _ => return Err(told.unwrap_or(Errno::ECONNRESET)),
        }
        Ok(())
    }

    /// Lets the kernel take more from a client that has to read before anything is received from it.
    pub fn raise_receive_buffer(&mut self) {
        if let Some(socket) = &self.socket {
            self.receiver.raise_buffer(socket);
        }
    }

    // ---- Time-outs -------------------------------------------------------------------------------------

    /// Whether it is time to look at time-outs. If so, tells the outbox whether the client has read some since the
    /// last look.
    pub fn look(&mut self, outbox: &mut Outbox, context: &WorkerContext) -> bool {
        let is_due = self.deadlines.is_look_due(context.now_ns);
        let held_bytes = || self.socket.as_ref().and_then(socket::untaken);
        if is_due && self.deadlines.has_read_some(held_bytes, context.now_ns) {
            outbox.sending.restart_stall(context.now_ns);
        }
        is_due
    }

    /// Why the connection is closed, if a time-out is over.
    pub fn overdue(&self, waits: &Waits, context: &WorkerContext) -> Option<Reason> {
        let timeout = self.deadlines.overdue(waits, &context.hub.settings, context.now_ns)?;
        Some(match timeout {
            Timeout::Unowed => Reason::Unowed,
            Timeout::TooSlow => Reason::TooSlow,
            Timeout::NotAuthenticated => Reason::NotAuthenticated,
            Timeout::Idle => Reason::Idle,
            Timeout::Line => Reason::LineTimeout,
        })
    }

    /// When to poll the connection if nothing wakes it: when a time-out ends, or an `/auth` goes on.
    pub fn timer(&mut self, waits: &Waits, context: &WorkerContext) -> PollAt {
        let held_bytes = || self.socket.as_ref().and_then(socket::untaken);
        self.deadlines.note_stall(waits.stalled_since_ns, held_bytes, context.now_ns);
        let timeout_ns = self.deadlines.next_ns(waits, &context.hub.settings);
        PollAt::time(timeout_ns.into_iter().chain(self.commands.login().due_ns()).min())
    }

    // ---- The replay ------------------------------------------------------------------------------------

    /// Makes the replay look at this connection: there is room, or what it reads for the client is not wanted any
    /// more.
    pub fn wake_replay(&self, context: &WorkerContext) {
        if let Some(handle) = &context.hub.replay {
            handle.wake(self.conn);
        }
    }
}

/// Whether there is more to do at once because of what a flush came to.
pub fn needs_poll(status: FlushStatus) -> bool {
    matches!(status, FlushStatus::Again | FlushStatus::Broken)
}
