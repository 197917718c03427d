//! One connection, as its worker sees it, from its arrival until nothing of it is left and its place is free for the
//! next.
//!
//! A session never waits. Its [`poll`](Session::poll) does a bounded piece of what can be done now, and says when to
//! poll again.

use crate::conn_id::ConnId;
use crate::hub::connection::closing::{Manner, Reason};
use crate::hub::connection::departure::Departure;
use crate::hub::connection::link::{Link, Locked};
use crate::hub::connection::open::Open;
use crate::hub::connection::poll_at::PollAt;
use crate::hub::egress::outbox::WakeOn;
use crate::hub::workers::context::WorkerContext;
use crate::limits::RECEIVE_BYTES;
use log::Level;
use nix::sys::epoll::EpollFlags;

/// Where a session is. Each phase leads to a later one, and [`Phase::Gone`] back to the first.
enum Phase {
    /// There is no connection.
    Vacant,
    /// Lines are taken.
    Open(Open),
    /// No line is taken any more.
    Departing(Departure),
    /// The connection is over. Some of its slots are outstanding, or a thread still sends.
    Gone,
}

/// A connection, or the place for one.
pub struct Session {
    phase: Phase,
    link: Link,
}

impl Session {
    /// A place without a connection, with its receive buffer.
    pub fn new(conn: ConnId, buffer: &'static mut [u8; RECEIVE_BYTES]) -> Self {
        Self { phase: Phase::Vacant, link: Link::new(conn, buffer) }
    }

    /// Notes what the socket reported.
    pub fn note(&mut self, events: EpollFlags) {
        self.link.note(events);
    }

    /// Does what can be done now.
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
        if let PollAt::Time(look_ns) = poll_at {
            self.link.deadlines.set_look_ns(look_ns);
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
        let departure = match reason.manner() {
            // What is to be refused has been.
            Manner::Refuse | Manner::Answer => Ok(Departure::part(reason, &mut self.link, context)),
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

    /// Counts a line in the middle of which the connection broke. The line is not taken: nobody knows how it would
    /// have gone on.
    fn count_cut_off(&mut self, context: &WorkerContext) {
        let framer = &mut self.link.receiver.framer;
        if !framer.has_next() && framer.has_begun() {
            context.hub.counters.lock().lines_cut_off += 1;
        }
    }

    /// The connection is over.
    fn end(&mut self, reason: Reason, context: &mut WorkerContext) -> PollAt {
        let conn = self.link.conn;
        context.hub.abort(conn);
        context.hub.clients.lock().leave(conn);
        // A health check opens a connection and closes it, some times a minute.
        let level = if self.link.has_spoken() || !reason.is_of_client() { Level::Info } else { Level::Debug };
        log::log!(level, "{} disconnected: {reason}", context.hub.name(conn));
        self.phase = Phase::Gone;
        self.link.commands.login().leave_queue(context.hub.authenticator.as_ref());
        // The replay finds that the connection is over.
        self.link.wake_replay(context);
        let mut outbox = self.link.outbox(context);
        self.link.release_credits(&mut outbox);
        self.vacate(outbox, context)
    }

    /// Closes the socket once no thread sends on it, and frees the place once no slot is outstanding.
    fn vacate(&mut self, mut outbox: Locked, context: &mut WorkerContext) -> PollAt {
        let is_sending = outbox.sending.is_in_progress();
        let is_quiescent = outbox.is_quiescent();
        outbox.set_wake_on(if is_quiescent { WakeOn::Nothing } else { WakeOn::Quiescence });
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
