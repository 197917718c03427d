//! An open connection: it receives and executes lines, sends replies, and decides what it waits for next.

use crate::hub::connection::blocker::{Blocker, HeldUp};
use crate::hub::connection::closing::{Manner, Reason};
use crate::hub::connection::deadlines::Waits;
use crate::hub::connection::link::{Link, Locked, needs_poll};
use crate::hub::connection::poll_at::PollAt;
use crate::hub::egress::flush;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::wake_on::WakeOn;
use crate::hub::rate_limit::RateLimiter;
use crate::hub::workers::context::WorkerContext;
use crate::limits::RATE_PAUSE_MS;
use crate::protocol::foreign;
use nix::errno::Errno;

/// The open phase of a connection.
#[derive(Default)]
pub struct Open {
    /// Limits how many lines the client may send.
    lines: RateLimiter,
    /// The server refuses the lines that the client has sent, for this reason, and then closes the connection.
    refusing: Option<Reason>,
    /// The error of a failed send. The session still receives the bytes that have arrived.
    unsendable: Option<Errno>,
}

impl Open {
    /// Does the work that is possible now.
    ///
    /// # Errors
    /// The reason, if the connection must be closed. If the [manner](Manner::Refuse) of the reason says so, every line
    /// that the client has sent is refused by then.
    pub fn poll(
        &mut self,
        link: &mut Link,
        mut outbox: Locked,
        context: &mut WorkerContext,
    ) -> Result<PollAt, Reason> {
        if link.check_due(&mut outbox, context)
            && let Some(reason) = link.overdue(&self.waits(link, &outbox, context), context)
        {
            drop(outbox);
            return self.close(reason, link, context);
        }
        if outbox.idleness.is_eviction_requested() && !link.receiver.is_readable() {
            return Err(Reason::GaveWay);
        }
        self.note_broken(link, &outbox);
        outbox.grant(link.commands.credits());
        drop(outbox);
        self.advance(link, context);
        self.take_lines(link, context);
        let received = if self.may_receive(link, context) { link.receive(context) } else { Ok(()) };
        self.take_lines(link, context);
        context.admit_all();
        received.map_err(Reason::Broken)?;
        let is_leaving = self.is_leaving(link);
        link.commands.tasks_mut().advance(is_leaving, context);
        let mut outbox = link.outbox(context);
        let status = flush::flush(&mut outbox);
        self.wait(status, link, outbox, context)
    }

    /// Continues the work in progress. Checks before and after that whether the client is still permitted to do
    /// anything.
    fn advance(&mut self, link: &mut Link, context: &WorkerContext) {
        if link.commands.is_withdrawn(context) {
            self.refuse_all(Reason::TokenWithdrawn, link, context);
        }
        // Other clients from the address wait for this place, and for the check of their own tokens.
        if self.unsendable == Some(Errno::ETIMEDOUT) && link.commands.login().is_under_way() {
            self.refuse_all(Reason::Abandoned, link, context);
        }
        link.commands.advance(context);
        if self.refusing.is_none() && link.commands.login().has_used_up_tries() {
            self.refuse_all(Reason::WrongToken, link, context);
        }
    }

    fn take_lines(&mut self, link: &mut Link, context: &mut WorkerContext) {
        while self.may_take_line(link, context) {
            if link.commands.opening().is_under_way()
                && let Some(foreign) = foreign::detect(&mut link.receiver.framer)
            {
                return link.commands.opening().set_foreign(foreign);
            }
            let Some(frame) = link.receiver.framer.next() else { return };
            context.count_line();
            link.deadlines.stop_line();
            let ended = link.commands.tasks().ended();
            link.commands.take(frame, context);
            // A line that ends a task does not count: the client does not choose when it gets tasks.
            let is_counted = link.commands.tasks().ended() == ended;
            if let Some(rate) = context.hub.settings.rate.filter(|_| is_counted) {
                self.lines.take(rate, context.now_ns);
            }
        }
    }

    fn may_take_line(&self, link: &Link, context: &WorkerContext) -> bool {
        !link.commands.is_blocked() && !link.commands.is_closing() && self.paced_until_ns(context).is_none()
    }

    fn may_receive(&self, link: &Link, context: &WorkerContext) -> bool {
        has_more(link, context) && self.may_take_line(link, context)
    }

    /// If the client was too fast, when its next line is taken, in nanoseconds. Lines that the server refuses anyway do
    /// not wait.
    fn paced_until_ns(&self, context: &WorkerContext) -> Option<u64> {
        let is_refused = context.draining || self.refusing.is_some();
        let rate = context.hub.settings.rate.filter(|_| !is_refused)?;
        Some(self.lines.ready_ns(rate)).filter(|ready_ns| *ready_ns > context.now_ns)
    }

    /// Records that nothing can be sent any more. The session still takes the lines that have arrived, until a receive
    /// returns nothing.
    fn note_broken(&mut self, link: &mut Link, outbox: &Outbox) {
        if self.unsendable.is_none() && outbox.endpoint.broken_by().is_some() {
            self.unsendable = outbox.endpoint.broken_by();
            link.receiver.note_broken();
        }
    }

    // ---- The reasons to close --------------------------------------------------------------------------

    /// Closes the connection. If the manner of the reason is [`Manner::Refuse`], the session first refuses the lines
    /// that the client has sent.
    fn close(&mut self, reason: Reason, link: &mut Link, context: &WorkerContext) -> Result<PollAt, Reason> {
        if reason.manner() != Manner::Refuse {
            return Err(reason);
        }
        self.refuse_all(reason, link, context);
        Ok(PollAt::Now)
    }

    /// From now on refuses each line that the client has sent by now. Then the session closes the connection for
    /// `reason`, which the client gets as its last line.
    fn refuse_all(&mut self, reason: Reason, link: &mut Link, context: &WorkerContext) {
        context.hub.revoke_reading(link.conn);
        link.wake_replay(context);
        link.commands.refuse_all(context);
        self.refusing = Some(reason);
        link.receiver.limit_to_arrived(link.socket.as_ref());
    }

    /// Whether it is known that the connection is about to end. It still takes the lines that have arrived.
    fn is_leaving(&self, link: &Link) -> bool {
        let has_left = link.commands.is_closing() || link.receiver.is_ending();
        has_left || self.refusing.is_some() || self.unsendable.is_some()
    }

    /// The reason to close the connection, if no further line will be taken. Call it only after
    /// [`take_lines`](Self::take_lines) has left no whole line.
    fn end_reason(&self, link: &Link, context: &WorkerContext) -> Option<Reason> {
        if link.commands.quit().is_some() {
            Some(Reason::Quit)
        } else if let Some(foreign) = link.commands.foreign() {
            Some(Reason::Foreign(foreign))
        } else if self.refusing.is_some() && !has_more(link, context) {
            self.refusing
        } else if link.receiver.has_ended() {
            Some(Reason::End)
        } else if !link.receiver.is_readable() && self.unsendable.is_some() {
            self.unsendable.map(Reason::Unsendable)
        } else if context.draining && !link.commands.tasks().has_some() {
            Some(Reason::ShuttingDown)
        } else {
            None
        }
    }

    /// What the connection waits for.
    fn waits(&self, link: &Link, outbox: &Outbox, context: &WorkerContext) -> Waits {
        let is_subscribed = outbox.subscriber.joined().is_some() || link.commands.tasks().is_handling();
        let must_speak = !is_subscribed && self.refusing.is_none();
        let must_log_in =
            link.commands.must_log_in(context) && !link.commands.login().is_first_token_queued();
        // Nothing wakes the worker when the last listing is sent. So a client that waits for a listing, or whose bytes
        // are not received yet, counts as heard now, and its idle time-out is checked again later.
        let idle_since_ns = outbox.idle_since_ns().filter(|_| !link.receiver.is_readable());
        Waits {
            stalled_since_ns: outbox.sending.stalled_ns(),
            is_shutdown_rest: false,
            must_log_in: must_speak && must_log_in,
            idle_since_ns: must_speak.then(|| idle_since_ns.unwrap_or(context.now_ns)),
        }
    }

    // ---- What blocks -----------------------------------------------------------------------------------

    /// Decides what to wait for, after all possible work is done.
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
        let lacks_task_room = link.commands.tasks().lacks_room();
        let can_be_given = lacks_task_room && outbox.has_room_for_task();
        let lacks_room = held_up.is_some() && !can_go_on
            || is_replaying && !can_replay
            || lacks_task_room && !can_be_given;
        outbox.wake_on = if lacks_room { WakeOn::Room } else { WakeOn::Nothing };
        let blocker = if can_go_on || can_be_given || needs_poll(status) {
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
            // The replay sends by itself. It wakes this worker when the socket or the outbox is full, and when it has
            // ended.
            link.wake_replay(context);
        }
        next
    }

    /// What blocks the connection, if nothing lacks room in the outbox.
    fn blocker(&self, link: &mut Link, context: &WorkerContext) -> Blocker {
        if let Some(until_ns) = self.paced_until_ns(context)
            && has_line(link, context)
        {
            // Not one wake for each line: the worker has to serve others meanwhile.
            Blocker::Rate(until_ns.max(context.now_ns + RATE_PAUSE_MS * 1_000_000))
        } else if !link.commands.awaits_reply()
            && let Some(reason) = self.end_reason(link, context)
        {
            Blocker::End(reason)
        } else if link.commands.is_blocked() || link.commands.awaits_reply() {
            Blocker::Line
        } else {
            Blocker::Client
        }
    }

    /// When to poll again, or the reason to close the connection. The time-out of a begun line runs only if the
    /// connection waits only for its client.
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

    /// Waits for the client. The client is idle from now on, unless bytes may have arrived.
    fn await_client(
        &self,
        link: &mut Link,
        outbox: &mut Outbox,
        context: &WorkerContext,
    ) -> Result<PollAt, Reason> {
        await_line(link, context)?;
        let is_busy = self.may_receive(link, context) || outbox.idleness.is_eviction_requested();
        let is_handling = link.commands.tasks().is_handling();
        let waits_for_nothing = !is_busy && !is_handling && link.commands.login().due_ns().is_none();
        outbox.idleness.set_at_worker(waits_for_nothing.then_some(link.commands.credits().len()));
        Ok(if is_busy { PollAt::Now } else { self.timer(link, outbox, context) })
    }

    fn timer(&self, link: &mut Link, outbox: &Outbox, context: &WorkerContext) -> PollAt {
        link.timer(&self.waits(link, outbox, context), context)
    }
}

/// The work that continues once the outbox has room: a listing, a line that has arrived, or the replay of the messages
/// that the client missed.
///
/// The lack of a slot does not count while no line needs one: a client often keeps as many messages in flight as it
/// may. A line that waits for the replay does not count either, because the replay wakes this worker when it ends; nor
/// does an `/auth` that waits for its time.
fn held_up(link: &mut Link, outbox: &Outbox, context: &WorkerContext) -> Option<HeldUp> {
    let misses = outbox.subscriber.is_behind() && !link.commands.is_replaying();
    let lacks_slot = link.commands.lacks_slot() && !link.commands.is_closing();
    if link.commands.is_listing() {
        Some(HeldUp::Listing)
    // The time-out of a begun line starts only when there is a slot for the line.
    } else if misses || lacks_slot && (has_line(link, context) || link.receiver.framer.has_begun()) {
        Some(HeldUp::Slot)
    } else {
        None
    }
}

/// Whether a line has arrived and waits, or the socket may have bytes that are not received yet.
fn has_line(link: &mut Link, context: &WorkerContext) -> bool {
    !link.commands.is_closing() && (link.receiver.framer.has_next() || has_more(link, context))
}

/// Whether the socket may have bytes that the session will receive.
fn has_more(link: &Link, context: &WorkerContext) -> bool {
    // In a shutdown, the server still takes the commands of handlers about their tasks.
    let takes_lines = !context.draining || link.commands.tasks().has_some();
    link.receiver.has_more() && takes_lines && !link.commands.is_closing()
}

/// Waits for the end of a line, if one has begun. The time-out does not run for whole lines that wait for a slot or for
/// the rate limit, nor for the bytes after them. It does not expire while bytes have arrived that are not received yet,
/// unless the line is already too long.
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
