//! A connection that takes lines: receives, takes, answers, and says what it waits for next.

use crate::hub::connection::blocker::{Blocker, HeldUp};
use crate::hub::connection::closing::{Manner, Reason};
use crate::hub::connection::deadlines::Waits;
use crate::hub::connection::link::{Link, Locked, needs_poll};
use crate::hub::connection::poll_at::PollAt;
use crate::hub::connection::rate_limit::RateLimiter;
use crate::hub::egress::flush;
use crate::hub::egress::outbox::{FlushStatus, Outbox, WakeOn};
use crate::hub::workers::context::WorkerContext;
use crate::limits::RATE_PAUSE_MS;
use crate::protocol::foreign;
use nix::errno::Errno;

/// The open phase of a connection.
#[derive(Default)]
pub struct Open {
    /// How many lines the client may still send.
    lines: RateLimiter,
    /// The client may do nothing any more, for that reason: what it had sent by then is refused.
    dismissed: Option<Reason>,
    /// What broke the connection for the thread that was sending. What has come is received all the same.
    unsendable: Option<Errno>,
}

impl Open {
    /// Does what can be done now.
    ///
    /// # Errors
    /// Why the connection is to be closed, if so. What the [reason](Manner::Refuse) refuses has been refused by then.
    pub fn poll(
        &mut self,
        link: &mut Link,
        mut outbox: Locked,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        if link.look(&mut outbox, context)
            && let Some(reason) = link.overdue(&self.waits(link, &outbox, context), context)
        {
            drop(outbox);
            return self.close(reason, link, context);
        }
        if outbox.idleness.is_eviction_requested() && !link.receiver.is_readable() {
            return Err(Reason::GaveWay);
        }
        self.note_break(link, &outbox);
        outbox.grant(link.commands.credits());
        drop(outbox);
        self.go_on(link, context);
        self.take_lines(link, context);
        let received = if self.may_receive(link, context) { link.receive(context) } else { Ok(()) };
        self.take_lines(link, context);
        context.admit_all();
        received.map_err(Reason::Broken)?;
        let mut outbox = link.outbox(context);
        let status = flush::flush(&mut outbox, &mut context.chunk);
        self.wait(status, link, outbox, context)
    }

    /// Goes on with what is under way. Looks whether the client may still do something before that, and after.
    fn go_on(&mut self, link: &mut Link, context: &WorkerContext) {
        if link.commands.is_withdrawn(context) {
            self.dismiss(Reason::TokenWithdrawn, link, context);
        }
        // Other clients of its address wait for its place, and for their turn to have a token checked.
        if self.unsendable == Some(Errno::ETIMEDOUT) && link.commands.login().is_under_way() {
            self.dismiss(Reason::Abandoned, link, context);
        }
        link.commands.go_on(context);
        if self.dismissed.is_none() && link.commands.login().is_given_up() {
            self.dismiss(Reason::WrongToken, link, context);
        }
    }

    fn take_lines(&mut self, link: &mut Link, context: &mut WorkerContext) {
        while self.may_take_line(link, context) {
            if link.commands.is_opening()
                && let Some(foreign) = foreign::meet(&mut link.receiver.framer)
            {
                return link.commands.meet(foreign);
            }
            let Some(frame) = link.receiver.framer.next() else { return };
            link.deadlines.stop_line();
            if let Some(rate) = context.hub.settings.rate {
                self.lines.take(rate, context.now_ns);
            }
            link.commands.take(frame, context);
        }
    }

    fn may_take_line(&self, link: &Link, context: &WorkerContext) -> bool {
        !link.commands.is_stalled() && !link.commands.is_parting() && self.paced_until_ns(context).is_none()
    }

    fn may_receive(&self, link: &Link, context: &WorkerContext) -> bool {
        has_more(link, context) && self.may_take_line(link, context)
    }

    /// Until when the client has to wait for its next line, in nanoseconds, if it was too fast. What is refused
    /// anyway does not wait.
    fn paced_until_ns(&self, context: &WorkerContext) -> Option<u64> {
        let is_refused = context.draining || self.dismissed.is_some();
        let rate = context.hub.settings.rate.filter(|_| !is_refused)?;
        Some(self.lines.ready_ns(rate)).filter(|ready_ns| *ready_ns > context.now_ns)
    }

    /// Notes that nothing can be sent any more: nobody reads the replies. What has come is taken all the same, until
    /// a receive finds no more.
    fn note_break(&mut self, link: &mut Link, outbox: &Outbox) {
        if self.unsendable.is_none() && outbox.endpoint.broken_by().is_some() {
            self.unsendable = outbox.endpoint.broken_by();
            link.receiver.note_break();
        }
    }

    // ---- The reasons to close --------------------------------------------------------------------------

    /// Begins to close: refuses first, if the reason says so.
    fn close(&mut self, reason: Reason, link: &mut Link, context: &WorkerContext) -> Result<PollAt, Reason> {
        if reason.manner() != Manner::Refuse {
            return Err(reason);
        }
        self.dismiss(reason, link, context);
        Ok(PollAt::Now)
    }

    /// From now on the client may do nothing. What it has sent until then is refused line by line, and then the
    /// client is told why.
    fn dismiss(&mut self, reason: Reason, link: &mut Link, context: &WorkerContext) {
        context.hub.bar(link.conn);
        link.wake_replay(context);
        link.commands.dismiss(context);
        self.dismissed = Some(reason);
        link.receiver.close(link.socket.as_ref());
    }

    /// Why no line will come any more, if so. Only after [`take_lines`](Self::take_lines) left no whole line.
    fn end_reason(&self, link: &Link, context: &WorkerContext) -> Option<Reason> {
        if link.commands.quit().is_some() {
            Some(Reason::Quit)
        } else if let Some(foreign) = link.commands.foreign() {
            Some(Reason::Foreign(foreign))
        } else if self.dismissed.is_some() && !has_more(link, context) {
            self.dismissed
        } else if link.receiver.has_ended() {
            Some(Reason::End)
        } else if !link.receiver.is_readable() && self.unsendable.is_some() {
            self.unsendable.map(Reason::Unsendable)
        } else if context.draining {
            Some(Reason::ShuttingDown)
        } else {
            None
        }
    }

    /// What the connection waits for.
    fn waits(&self, link: &Link, outbox: &Outbox, context: &WorkerContext) -> Waits {
        let must_speak = outbox.subscriber.joined().is_none() && self.dismissed.is_none();
        let must_log_in = link.commands.must_log_in(context) && !link.commands.login().awaits_turn();
        // Nothing wakes the worker when the last listing is sent: while the client waits for one, it is looked at
        // again later. The same holds while its bytes have come and are not received yet.
        let idle_since_ns = outbox.idle_since_ns().filter(|_| !link.receiver.is_readable());
        Waits {
            stalled_since_ns: outbox.sending.stalled_ns(),
            is_unowed: false,
            must_log_in: must_speak && must_log_in,
            idle_since_ns: must_speak.then(|| idle_since_ns.unwrap_or(context.now_ns)),
        }
    }

    // ---- What blocks -----------------------------------------------------------------------------------

    /// What is left to wait for, after all that could be done was done.
    fn wait(
        &self,
        status: FlushStatus,
        link: &mut Link,
        mut outbox: Locked,
        context: &WorkerContext,
    ) -> Result<PollAt, Reason> {
        outbox.idleness.set_at_worker(None);
        let held_up = held_up(link, &outbox, context);
        let can_go_on = held_up.is_some_and(|held_up| held_up.has_room(&outbox));
        let is_replaying = link.commands.is_replaying();
        let can_replay = is_replaying && outbox.has_room_for_history();
        let lacks_room = held_up.is_some() && !can_go_on || is_replaying && !can_replay;
        outbox.set_wake_on(if lacks_room { WakeOn::Room } else { WakeOn::Nothing });
        let blocker = if can_go_on || needs_poll(status) {
            Blocker::Nothing
        } else if held_up.is_some() {
            Blocker::Reader
        } else {
            self.blocker(link, context)
        };
        let next = self.next(blocker, link, &mut outbox, context);
        drop(outbox);
        if lacks_room {
            link.raise_receive_buffer();
        }
        if can_replay || is_replaying && context.draining {
            // The replay wakes this worker when it has put something in, and when it is done.
            link.wake_replay(context);
        }
        next
    }

    /// What keeps the connection from going on where the client reads.
    fn blocker(&self, link: &mut Link, context: &WorkerContext) -> Blocker {
        if let Some(until_ns) = self.paced_until_ns(context)
            && has_line(link, context)
        {
            // Not for each line: the worker has to serve others meanwhile.
            Blocker::Rate(until_ns.max(context.now_ns + RATE_PAUSE_MS * 1_000_000))
        } else if !link.commands.awaits_closing()
            && let Some(reason) = self.end_reason(link, context)
        {
            Blocker::End(reason)
        } else if link.commands.is_stalled() {
            Blocker::Line
        } else {
            Blocker::Client
        }
    }

    /// When to poll again, or why the connection is closed. The end of a line that has begun is waited for only if
    /// nothing else blocks.
    fn next(
        &self,
        blocker: Blocker,
        link: &mut Link,
        outbox: &mut Outbox,
        context: &WorkerContext,
    ) -> Result<PollAt, Reason> {
        match blocker {
            Blocker::Nothing => Ok(PollAt::Now),
            Blocker::End(reason) => Err(reason),
            Blocker::Reader => {
                link.deadlines.stop_line();
                Ok(self.timer(link, outbox, context))
            }
            Blocker::Rate(until_ns) => {
                link.deadlines.stop_line();
                Ok(self.timer(link, outbox, context).at_latest(until_ns))
            }
            Blocker::Line => {
                link.deadlines.stop_line();
                self.await_client(link, outbox, context)
            }
            Blocker::Client => self.await_client(link, outbox, context),
        }
    }

    /// Waits for the client, which is idle from now on unless something may have come.
    fn await_client(
        &self,
        link: &mut Link,
        outbox: &mut Outbox,
        context: &WorkerContext,
    ) -> Result<PollAt, Reason> {
        await_line(link, context)?;
        let is_busy = self.may_receive(link, context) || outbox.idleness.is_eviction_requested();
        let waits_for_nothing = !is_busy && link.commands.login().due_ns().is_none();
        outbox.idleness.set_at_worker(waits_for_nothing.then_some(link.commands.credit_count()));
        Ok(if is_busy { PollAt::Now } else { self.timer(link, outbox, context) })
    }

    fn timer(&self, link: &mut Link, outbox: &Outbox, context: &WorkerContext) -> PollAt {
        link.timer(&self.waits(link, outbox, context), context)
    }
}

/// What goes on once there is room: a listing, or a line that has come, or what the client missed.
///
/// No slot and no line that needs one does not count: a client often keeps as many messages in flight as it may. Nor
/// does a line that waits for the replay, which wakes this worker when it is done, or for the time when an `/auth`
/// goes on.
fn held_up(link: &mut Link, outbox: &Outbox, context: &WorkerContext) -> Option<HeldUp> {
    let misses = outbox.subscriber.is_behind() && !link.commands.is_replaying();
    let lacks_slot = link.commands.lacks_slot() && !link.commands.is_parting();
    if link.commands.is_listing() {
        Some(HeldUp::Listing)
    // The rest of a line is waited for once there is a slot for it, not before.
    } else if misses || lacks_slot && (has_line(link, context) || link.receiver.framer.has_begun()) {
        Some(HeldUp::Slot)
    } else {
        None
    }
}

/// Whether a line waits that has come, or something may have come that is not received yet.
fn has_line(link: &mut Link, context: &WorkerContext) -> bool {
    !link.commands.is_parting() && (link.receiver.framer.has_next() || has_more(link, context))
}

/// Whether the socket may have something that is to be received.
fn has_more(link: &Link, context: &WorkerContext) -> bool {
    link.receiver.has_more() && !context.draining && !link.commands.is_parting()
}

/// Waits for the end of a line, if one has begun. Whole lines that wait for a slot or for their time, and what is
/// behind them, are not waited for. Nor is what has come and is not received yet, unless the line is too long
/// already.
fn await_line(link: &mut Link, context: &WorkerContext) -> Result<(), Reason> {
    if !link.receiver.framer.is_within_line() {
        link.deadlines.stop_line();
        return Ok(());
    }
    link.deadlines.await_line(context.now_ns);
    let is_overdue = link.deadlines.is_line_overdue(&context.hub.settings, context.now_ns);
    let is_over = is_overdue && (!link.receiver.is_readable() || link.receiver.framer.is_dropping());
    if is_over { Err(Reason::LineTimeout) } else { Ok(()) }
}
