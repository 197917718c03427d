//! A connection that takes no more lines, until it is over: its lines are answered, the replies are sent, and the
//! client reads them.

use crate::hub::connection::closing::{Manner, Reason};
use crate::hub::connection::deadlines::Waits;
use crate::hub::connection::link::{Link, Locked, needs_poll};
use crate::hub::connection::poll_at::PollAt;
use crate::hub::egress::flush;
use crate::hub::egress::outbox::{FlushStatus, Outbox, WakeOn};
use crate::hub::workers::context::WorkerContext;
use crate::limits::FAREWELL_MS_MAX;
use crate::net::socket;
use crate::protocol::reply;

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What is outstanding is answered.
    Finishing,
    /// All is answered; what is left is sent.
    Flushing,
    /// All is sent; the client has until then, in nanoseconds, to read it.
    Lingering(u64),
}

/// The end of a connection.
#[derive(Debug)]
pub struct Departure {
    reason: Reason,
    stage: Stage,
}

impl Departure {
    /// Takes no more lines, and leaves what the client had joined.
    pub fn part(reason: Reason, link: &mut Link, context: &WorkerContext) -> Self {
        context.hub.leave(link.conn);
        // What the replay reads for the client is not wanted any more.
        link.wake_replay(context);
        link.deadlines.part(context.now_ns);
        Self { reason, stage: Stage::Finishing }
    }

    /// [Cuts short](Manner::CutShort) a connection that takes lines.
    ///
    /// # Errors
    /// Why the connection is over, if it is.
    pub fn cut_short(reason: Reason, link: &mut Link, context: &mut WorkerContext) -> Result<Self, Reason> {
        let mut departure = Self { reason, stage: Stage::Finishing };
        departure.cut(reason, link, context)?;
        Ok(departure)
    }

    /// Does what can be done now.
    ///
    /// # Errors
    /// Why the connection is over, if it is.
    pub fn poll(
        &mut self,
        link: &mut Link,
        outbox: Locked,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        match self.stage {
            Stage::Finishing => self.finish(link, outbox, context),
            Stage::Flushing => self.flush(link, outbox, context),
            Stage::Lingering(until_ns) => {
                drop(outbox);
                self.linger(until_ns, link, context)
            }
        }
    }

    fn finish(
        &mut self,
        link: &mut Link,
        mut outbox: Locked,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        link.release_credits(&mut outbox);
        if let Some(reason) = lost(link, &mut outbox, context) {
            drop(outbox);
            return self.give_up(reason, link, context);
        }
        let status = flush::flush(&mut outbox, &mut context.chunk);
        if outbox.is_quiescent() && say_farewell(self.reason, link, &mut outbox) {
            self.stage = Stage::Flushing;
            return Ok(PollAt::Now);
        }
        // Either slots are outstanding or a thread sends; or there is no room, and the socket reports when there is.
        let wake_on = if outbox.is_quiescent() { WakeOn::Room } else { WakeOn::Quiescence };
        outbox.set_wake_on(wake_on);
        Ok(await_reader(status, link, outbox, context))
    }

    fn flush(
        &mut self,
        link: &mut Link,
        mut outbox: Locked,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        if let Some(reason) = lost(link, &mut outbox, context) {
            drop(outbox);
            return self.give_up(reason, link, context);
        }
        let status = flush::flush(&mut outbox, &mut context.chunk);
        if outbox.is_empty() && !outbox.sending.is_in_progress() {
            drop(outbox);
            return self.begin_lingering(link, context);
        }
        outbox.set_wake_on(WakeOn::Room);
        Ok(await_reader(status, link, outbox, context))
    }

    /// Closes for another reason than that for which it began.
    fn give_up(
        &mut self,
        reason: Reason,
        link: &mut Link,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        if reason.manner() == Manner::CutShort { self.cut(reason, link, context) } else { Err(reason) }
    }

    /// Closes at once, with what can be sent, the connection of a client that does not read. The kernel gets the
    /// rest: the count of lost messages and the reason. It may take them, and keeps them for a while in case the
    /// client comes back.
    fn cut(
        &mut self,
        reason: Reason,
        link: &mut Link,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        self.reason = reason;
        if let Some(socket) = &link.socket {
            socket::raise_send_buffer(socket);
        }
        context.hub.leave(link.conn);
        // A client that was told goodbye already is told nothing more.
        let is_told = self.stage == Stage::Flushing;
        let mut outbox = link.outbox(context);
        link.release_credits(&mut outbox);
        outbox.sending.set_writable();
        flush::flush(&mut outbox, &mut context.chunk);
        flush::flush_last(&mut outbox, &mut context.chunk, |outbox| {
            !is_told && say_farewell(reason, link, outbox)
        });
        drop(outbox);
        context.hub.abort(link.conn);
        self.begin_lingering(link, context)
    }

    /// All is sent. To close while something is unread would reset the connection, and could take the last words from
    /// the client. So the client gets some time to end its side too, unless it has.
    fn begin_lingering(&mut self, link: &mut Link, context: &WorkerContext) -> Result<PollAt, Reason> {
        // Before the end of the connection: a client that has seen its end finds it counted.
        if let Some(farewell) = self.reason.farewell() {
            context.hub.counters.lock().said_farewell(farewell);
        }
        if let Some(socket) = &link.socket {
            socket::end_sending(socket);
        }
        if link.receiver.has_ended() {
            return Err(self.reason);
        }
        let until_ns = if context.draining {
            link.deadlines.unowed_until_ns()
        } else {
            context.now_ns + FAREWELL_MS_MAX * 1_000_000
        };
        self.stage = Stage::Lingering(until_ns);
        link.receiver.resume();
        Ok(PollAt::Now)
    }

    /// Waits until the client has ended its side. When the server ends, it is enough that the client's system has the
    /// last words: a change of the socket's state reports that.
    fn linger(&self, until_ns: u64, link: &mut Link, context: &WorkerContext) -> Result<PollAt, Reason> {
        // Received first: what is unread when the socket is closed resets the connection.
        let has_ended = link.socket.as_ref().is_none_or(|socket| link.receiver.discard(socket));
        if has_ended || context.now_ns >= until_ns {
            Err(self.reason)
        } else if link.receiver.is_readable() {
            Ok(PollAt::Now)
        } else if context.draining && has_told_all(link) {
            Err(self.reason)
        } else {
            Ok(PollAt::Time(until_ns))
        }
    }
}

/// Why the connection cannot go on, if it is broken or a time-out is over.
fn lost(link: &mut Link, outbox: &mut Outbox, context: &WorkerContext) -> Option<Reason> {
    if let Some(errno) = outbox.endpoint.broken_by() {
        return Some(Reason::Broken(errno));
    }
    if link.look(outbox, context) { link.overdue(&waits(outbox, context), context) } else { None }
}

/// What a connection waits for that takes no more lines: for its client to read.
fn waits(outbox: &Outbox, context: &WorkerContext) -> Waits {
    let is_unowed = context.draining && outbox.owes_nothing();
    Waits { stalled_since_ns: outbox.sending.stalled_ns(), is_unowed, ..Waits::default() }
}

/// Puts the last words in; false: there is no room now.
fn say_farewell(reason: Reason, link: &Link, outbox: &mut Outbox) -> bool {
    let mut words = reply::Line::new();
    if let Some(line) = link.commands.quit() {
        // Both fit: together they are shorter than a line of a listing.
        reply::ok(&mut words, line);
    }
    if let Some(farewell) = reason.farewell() {
        let _ = words.extend_from_slice(farewell.line().as_bytes());
    }
    outbox.subscriber.lost() == 0 && outbox.push_line(&words)
}

/// What is left to wait for if nothing is received any more.
fn await_reader(status: FlushStatus, link: &mut Link, outbox: Locked, context: &WorkerContext) -> PollAt {
    let waits = waits(&outbox, context);
    let poll_at = if needs_poll(status) { PollAt::Now } else { link.timer(&waits, context) };
    drop(outbox);
    if waits.stalled_since_ns.is_some() {
        link.raise_receive_buffer();
    }
    poll_at
}

/// Whether the client's system has acknowledged all that was sent, and that nothing more comes.
fn has_told_all(link: &Link) -> bool {
    let transmission = link.socket.as_ref().and_then(socket::transmission);
    transmission.is_some_and(|transmission| !transmission.is_ending)
}
