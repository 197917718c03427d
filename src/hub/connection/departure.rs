//! The end of a connection: the server takes no more lines, answers those that it has taken, sends the replies, and
//! gives the client time to read them.

use crate::hub::connection::closing::{Manner, Reason};
use crate::hub::connection::deadlines::Waits;
use crate::hub::connection::link::{Link, Locked, needs_poll};
use crate::hub::connection::poll_at::PollAt;
use crate::hub::egress::flush;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::send_waits::SendWaits;
use crate::hub::egress::wake_on::WakeOn;
use crate::hub::workers::context::WorkerContext;
use crate::limits::FAREWELL_MS_MAX;
use crate::net::socket;
use crate::protocol::reply;

/// The stages of a departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Messages and replies are outstanding.
    Finishing,
    /// Every line has its reply. The outbox still holds bytes to send.
    Flushing,
    /// Everything is sent. The client has until this time, in nanoseconds, to read it.
    Lingering(u64),
}

/// A departing connection.
#[derive(Debug)]
pub struct Departure {
    reason: Reason,
    stage: Stage,
}

impl Departure {
    /// Stops taking lines, and ends the client's subscription and replay.
    pub fn begin(reason: Reason, link: &mut Link, context: &WorkerContext) -> Self {
        match reason.manner() {
            Manner::CutShort => context.hub.cut_short(link.conn),
            _ => context.hub.leave(link.conn),
        }
        // The client no longer wants its replay.
        link.wake_replay(context);
        link.deadlines.stop_taking_lines(context.now_ns);
        Self { reason, stage: Stage::Finishing }
    }

    /// [Cuts short](Manner::CutShort) an open connection.
    ///
    /// # Errors
    /// The reason, if the connection has ended.
    pub fn cut_short(reason: Reason, link: &mut Link, context: &mut WorkerContext) -> Result<Self, Reason> {
        let mut departure = Self::begin(reason, link, context);
        departure.cut(reason, link, context)?;
        Ok(departure)
    }

    /// Does the work that is possible now.
    ///
    /// # Errors
    /// The reason, if the connection has ended.
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
        if let Some(reason) = failure(link, &mut outbox, context) {
            drop(outbox);
            return self.end_for(reason, link, context);
        }
        let status = flush::flush(&mut outbox);
        if outbox.is_quiescent() && push_farewell(self.reason, link, &mut outbox) {
            self.stage = Stage::Flushing;
            return Ok(PollAt::Now);
        }
        // Not quiescent: the thread that makes it quiescent wakes this worker. Quiescent: the farewell lacks room, and
        // the socket reports when it is writable.
        let wake_on = if outbox.is_quiescent() { WakeOn::Room } else { WakeOn::Quiescence };
        outbox.wake_on = wake_on;
        Ok(await_reader(status, link, outbox, context))
    }

    fn flush(
        &mut self,
        link: &mut Link,
        mut outbox: Locked,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        if let Some(reason) = failure(link, &mut outbox, context) {
            drop(outbox);
            return self.end_for(reason, link, context);
        }
        let status = flush::flush(&mut outbox);
        if outbox.is_empty() && !outbox.sending.is_in_progress() {
            drop(outbox);
            return self.begin_lingering(link, context);
        }
        outbox.wake_on = WakeOn::Room;
        Ok(await_reader(status, link, outbox, context))
    }

    /// Ends a departing connection for a reason other than that of the departure.
    fn end_for(
        &mut self,
        reason: Reason,
        link: &mut Link,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        if reason.manner() == Manner::CutShort { self.cut(reason, link, context) } else { Err(reason) }
    }

    /// Closes the connection of a client that does not read. The kernel gets as much of the outbox as it accepts, with
    /// the count of lost messages and the reason. The kernel keeps these bytes for a while in case the client reads
    /// again.
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
        // The farewell is in the outbox already, and is not sent twice.
        let has_farewell = self.stage == Stage::Flushing;
        let mut outbox = link.outbox(context);
        link.release_credits(&mut outbox);
        outbox.sending.set_writable();
        flush::flush_or_await(Outbox::is_empty, &mut SendWaits::default(), &mut outbox);
        flush::flush_last(&mut outbox, |outbox| !has_farewell && push_farewell(reason, link, outbox));
        drop(outbox);
        context.hub.abort(link.conn);
        self.begin_lingering(link, context)
    }

    /// Everything is sent. If the server closed a socket that has unread bytes, the kernel would reset the connection,
    /// and the client could lose the farewell. So the client gets some time to close its sending side, unless it has.
    fn begin_lingering(&mut self, link: &mut Link, context: &WorkerContext) -> Result<PollAt, Reason> {
        // Counted before the sending side is closed, so that a client that has seen the end also sees the count.
        if let Some(farewell) = self.reason.farewell() {
            context.hub.counters.lock().count_farewell(farewell);
        }
        if let Some(socket) = &link.socket {
            socket::end_sending(socket);
        }
        if link.receiver.has_ended() {
            return Err(self.reason);
        }
        let until_ns = if context.draining {
            link.deadlines.shutdown_rest_end_ns()
        } else {
            context.now_ns + FAREWELL_MS_MAX * 1_000_000
        };
        self.stage = Stage::Lingering(until_ns);
        link.receiver.set_readable();
        Ok(PollAt::Now)
    }

    /// Waits until the client has closed its sending side. In a shutdown it is enough that the client's system has
    /// acknowledged the farewell: epoll reports that as a change of the socket's state.
    fn linger(&self, until_ns: u64, link: &mut Link, context: &WorkerContext) -> Result<PollAt, Reason> {
        // Received first: a socket that is closed with unread bytes resets the connection.
        let has_ended = link.socket.as_ref().is_none_or(|socket| link.receiver.discard(socket));
        if has_ended || context.now_ns >= until_ns {
            Err(self.reason)
        } else if link.receiver.is_readable() {
            Ok(PollAt::Now)
        } else if context.draining && is_all_acknowledged(link) {
            Err(self.reason)
        } else {
            Ok(PollAt::Time(until_ns))
        }
    }
}

/// The reason to end the connection now, if it is broken or a time-out has expired.
fn failure(link: &mut Link, outbox: &mut Outbox, context: &WorkerContext) -> Option<Reason> {
    if let Some(errno) = outbox.endpoint.broken_by() {
        return Some(Reason::Broken(errno));
    }
    if link.check_due(outbox, context) { link.overdue(&waits(outbox, context), context) } else { None }
}

/// The [`Waits`] of a departing connection: its client has to read.
fn waits(outbox: &Outbox, context: &WorkerContext) -> Waits {
    let is_shutdown_rest = context.draining && outbox.owes_nothing();
    Waits { stalled_since_ns: outbox.sending.stalled_ns(), is_shutdown_rest, ..Waits::default() }
}

/// Puts the farewell into the outbox. Returns false if there is no room now.
fn push_farewell(reason: Reason, link: &Link, outbox: &mut Outbox) -> bool {
    let mut lines = reply::Line::new();
    if let Some(line) = link.commands.quit() {
        // Both lines fit: together they are shorter than a line of a listing.
        reply::ok(&mut lines, line);
    }
    if let Some(farewell) = reason.farewell() {
        let _ = lines.extend_from_slice(farewell.line().as_bytes());
    }
    outbox.subscriber.lost() == 0 && outbox.push_line(&lines)
}

/// When to poll a departing connection again.
fn await_reader(status: FlushStatus, link: &mut Link, outbox: Locked, context: &WorkerContext) -> PollAt {
    let waits = waits(&outbox, context);
    let poll_at = if needs_poll(status) { PollAt::Now } else { link.timer(&waits, context) };
    drop(outbox);
    if waits.stalled_since_ns.is_some() {
        link.raise_receive_buffer();
    }
    poll_at
}

/// Whether the client's system has acknowledged everything that was sent, and the end of the connection.
fn is_all_acknowledged(link: &Link) -> bool {
    let transmission = link.socket.as_ref().and_then(socket::transmission);
    transmission.is_some_and(|transmission| !transmission.is_ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn_id::ConnId;
    use crate::hub::dispatch::consumer::Consumer;
    use crate::hub::dispatch::dispatcher::Dispatcher;
    use crate::hub::dispatch::policy::Policy;
    use crate::hub::shared::Hub;
    use crate::hub::workers::worker_id::WorkerId;
    use crate::limits::{RECEIVE_BYTES, SHUTDOWN_REST_MS_MAX};
    use crate::options::Options;
    use nix::sys::epoll::{Epoll, EpollCreateFlags};
    use std::net::TcpListener;

    const SECOND_NS: u64 = 1_000_000_000;

    /// The only context among the unit tests: it takes the static commit groups, slots and buffers.
    fn context() -> WorkerContext {
        let policy = Policy::new(false, false, true);
        let hub: &'static Hub =
            Box::leak(Box::new(Hub::new(&Options::default(), policy, None, None).unwrap()));
        hub.fill_outboxes();
        let pipeline = Consumer::new(None, None).into_pipeline();
        let dispatcher = Box::leak(Box::new(Dispatcher::new(hub, pipeline)));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        WorkerContext::new(hub, dispatcher, WorkerId::new(0), epoll)
    }

    #[test]
    fn slow_reader_lingers_during_a_shutdown() {
        let mut context = context();
        context.now_ns = 9 * SECOND_NS;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let mut link = Link::new(ConnId::FIRST, Box::leak(Box::new([0; RECEIVE_BYTES])));
        link.open(socket.into(), &context).unwrap();
        context.draining = true;
        context.now_ns = 40 * SECOND_NS;
        let departure = Departure::cut_short(Reason::TooSlow, &mut link, &mut context).unwrap();
        let end_ns = context.now_ns + SHUTDOWN_REST_MS_MAX * 1_000_000;
        assert_eq!(departure.stage, Stage::Lingering(end_ns));
    }
}
