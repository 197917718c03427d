//! One connection, as its worker sees it: from its arrival until its place is free again.
//!
//! A session never waits. Its [`poll`](Session::poll) does a bounded amount of the work that is possible now, and
//! returns when to poll again.

use crate::conn_id::ConnId;
use crate::hub::connection::closing::{Manner, Reason};
use crate::hub::connection::departure::Departure;
use crate::hub::connection::link::{Link, Locked};
use crate::hub::connection::open::Open;
use crate::hub::connection::poll_at::PollAt;
use crate::hub::egress::wake_on::WakeOn;
use crate::hub::workers::context::WorkerContext;
use crate::limits::RECEIVE_BYTES;
use log::Level;
use nix::sys::epoll::EpollFlags;

/// The phase of a session. Each phase leads to a later one, and [`Phase::Gone`] back to the first.
enum Phase {
    /// There is no connection.
    Vacant,
    /// The session takes lines.
    Open(Open),
    /// The session takes no more lines, and the connection is being closed.
    Departing(Departure),
    /// The connection has ended. Slots are still outstanding, or a thread still sends.
    Gone,
}

/// A connection, or a vacant place for a connection.
pub struct Session {
    phase: Phase,
    link: Link,
}

impl Session {
    /// A vacant place, with its receive buffer.
    pub fn new(conn: ConnId, buffer: &'static mut [u8; RECEIVE_BYTES]) -> Self {
        Self { phase: Phase::Vacant, link: Link::new(conn, buffer) }
    }

    /// Whether the session takes lines.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether there is no connection.
    pub fn is_vacant(&self) -> bool {
        matches!(self.phase, Phase::Vacant)
    }

    /// Records the events that the socket reported.
    pub fn note_events(&mut self, events: EpollFlags) {
        self.link.note_events(events);
    }

    /// Does the work that is possible now.
    pub fn poll(&mut self, context: &mut WorkerContext) -> PollAt {
        let mut outbox = self.link.outbox(context);
        self.link.report_writable(&mut outbox);
        let poll_at = match &mut self.phase {
            Phase::Vacant => self.arrive(outbox, context),
            Phase::Open(open) => {
                let next = open.poll(&mut self.link, outbox, context);
                next.unwrap_or_else(|reason| self.close(reason, context))
            }
            Phase::Departing(departure) => {
                let next = departure.poll(&mut self.link, outbox, context);
                next.unwrap_or_else(|reason| self.end(reason, context))
            }
            Phase::Gone => self.vacate(outbox, context),
        };
        if let PollAt::Time(check_ns) = poll_at {
            self.link.deadlines.set_check_ns(check_ns);
        }
        poll_at
    }

    fn arrive(&mut self, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        let arrival = outbox.endpoint.take_arrival();
        drop(outbox);
        let Some(socket) = arrival else { return PollAt::Ingress };
        self.phase = Phase::Open(Open::default());
        match self.link.open(socket, context) {
            Ok(()) => PollAt::Now,
            Err(errno) => self.end(Reason::Broken(errno), context),
        }
    }

    /// Closes an open connection as its [reason](Reason::manner) says.
    fn close(&mut self, reason: Reason, context: &mut WorkerContext) -> PollAt {
        self.link.commands.tasks_mut().leave(reason == Reason::Quit, context);
        let departure = match reason.manner() {
            // Everything that had to be refused is refused by now.
            Manner::Refuse | Manner::Answer => Ok(Departure::begin(reason, &mut self.link, context)),
            Manner::CutShort => Departure::cut_short(reason, &mut self.link, context),
            Manner::Drop => {
                self.count_cut_off(context);
                Err(reason)
            }
        };
        match departure {
            Ok(departure) => {
                self.phase = Phase::Departing(departure);
                PollAt::Now
            }
            Err(reason) => self.end(reason, context),
        }
    }

    /// Counts a line that the end of the connection cut off. The session does not take such a line, because the rest
    /// of its text is unknown.
    fn count_cut_off(&mut self, context: &WorkerContext) {
        let framer = &mut self.link.receiver.framer;
        if !framer.has_next() && framer.has_begun() {
            context.hub.counters.lock().lines_cut_off += 1;
        }
    }

    /// Ends the connection.
    fn end(&mut self, reason: Reason, context: &mut WorkerContext) -> PollAt {
        let conn = self.link.conn;
        context.hub.abort(conn);
        context.hub.clients.lock().leave(conn);
        // A health check opens and closes a connection several times a minute: that is logged at debug level.
        let level = if self.link.has_spoken() || !reason.is_of_client() { Level::Info } else { Level::Debug };
        log::log!(level, "{} disconnected: {reason}", context.hub.name(conn));
        self.phase = Phase::Gone;
        self.link.commands.login().leave_queue(context.hub.authenticator.as_ref());
        // The replay then sees that the connection has ended.
        self.link.wake_replay(context);
        let mut outbox = self.link.outbox(context);
        self.link.release_credits(&mut outbox);
        self.vacate(outbox, context)
    }

    /// Closes the socket once no thread sends on it, and frees the place once no slot is outstanding.
    fn vacate(&mut self, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        let is_sending = outbox.sending.is_in_progress();
        let is_quiescent = outbox.is_quiescent();
        outbox.wake_on = if is_quiescent { WakeOn::Nothing } else { WakeOn::Quiescence };
        drop(outbox);
        if !is_sending {
            self.link.socket = None;
        }
        if is_quiescent {
            self.link.reset();
            self.phase = Phase::Vacant;
            context.hub.release(self.link.conn);
        }
        PollAt::Ingress
    }
}
