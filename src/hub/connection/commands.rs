//! What one client says, line by line, and what becomes of it: a message to admit, or a reply at once.
//!
//! Every line takes a slot, and every closing reply brings one home; so messages and commands are bounded alike, and
//! a reply always has room. No sockets here: see [`crate::hub::connection::session`].

use crate::conn_id::ConnId;
use crate::hub::connection::listing::{Listing, Subject};
use crate::hub::connection::login::{Login, Outcome};
use crate::hub::connection::rate_limit::RateLimiter;
use crate::hub::replay::{self, Request as ReplayRequest};
use crate::hub::workers::context::WorkerContext;
use crate::limits::NICK_BYTES_MAX;
use crate::protocol::Priority;
use crate::protocol::command::{Command, Request};
use crate::protocol::foreign::{self, Foreign};
use crate::protocol::framing::Frame;
use crate::protocol::reply::{self, Nak, Refusal};
use crate::queue::{Chain, Slot, Slots};
use core::mem;
use heapless::{String, VecView};

/// What the historian reads for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplayState {
    /// Nothing.
    Nothing,
    /// What a line queued for that is not closed yet.
    Listing,
    /// What it missed where it fell behind.
    Missed,
}

/// A line that asks for some of the history.
struct Queued {
    request: ReplayRequest,
    line: u64,
    slot: &'static mut Slot,
}

/// The state of one client's commands.
pub struct Commands {
    conn: ConnId,
    /// Lines so far.
    lines: u64,
    /// Slots that may be filled.
    credits: Slots,
    /// An listing of many lines that is under way.
    listing: Option<Listing>,
    /// What the historian reads for it.
    replay: ReplayState,
    /// What it is queued to read next.
    queued: Option<Queued>,
    /// Who the client is.
    login: Login,
    /// What the client is called, as the clients has it; empty: it has no name. Each message is signed with it as it is said.
    nick: String<NICK_BYTES_MAX>,
    /// The line that said `/quit`.
    quit: Option<u64>,
    /// How many urgent messages it may still send.
    urgent: RateLimiter,
    /// No message and no command of its was taken yet: it may turn out to speak another protocol.
    is_opening: bool,
    /// The line before was too long to be seen.
    is_after_long: bool,
    /// The protocol that it speaks in place of ours.
    foreign: Option<Foreign>,
}

impl Commands {
    /// Nobody has said anything at that seat.
    pub fn new(conn: ConnId) -> Self {
        Self {
            conn,
            lines: 0,
            credits: Slots::new(),
            listing: None,
            replay: ReplayState::Nothing,
            queued: None,
            login: Login::new(conn),
            nick: String::new(),
            quit: None,
            urgent: RateLimiter::FULL,
            is_opening: true,
            is_after_long: false,
            foreign: None,
        }
    }

    /// Forgets everything but the seat. The credits must have been [taken](Self::take_credits).
    pub fn reset(&mut self) {
        debug_assert!(self.credits.is_empty() && self.listing.is_none() && self.queued.is_none());
        *self = Self::new(self.conn);
    }

    /// Where slots are put that may be filled.
    pub fn credits(&mut self) -> &mut Slots {
        &mut self.credits
    }

    /// How many slots may be filled.
    pub fn credit_count(&self) -> usize {
        self.credits.len()
    }

    /// Takes all credits, for a client that gets no more replies.
    pub fn take_credits(&mut self) -> Slots {
        mem::take(&mut self.credits)
    }

    /// Breaks off what is under way, for a connection that is over; gives back the slot it held.
    pub fn break_off(&mut self) -> Option<&'static mut Slot> {
        // No line is taken while there is one of them, so there is not the other.
        self.listing.take().map(Listing::into_slot).or_else(|| self.queued.take().map(|queued| queued.slot))
    }

    /// Whether no line can be taken now: an listing or an `/auth` is under way, or a line waits for the historian, or no slot is left.
    pub fn is_stalled(&self) -> bool {
        self.is_busy() || self.credits.is_empty()
    }

    /// Whether no line can be taken now, for want of a slot.
    pub fn lacks_slot(&self) -> bool {
        !self.is_busy() && self.credits.is_empty()
    }

    fn is_busy(&self) -> bool {
        self.listing.is_some() || self.queued.is_some() || self.login.is_under_way()
    }

    /// Whether an `/auth` is under way.
    pub fn is_authenticating(&self) -> bool {
        self.login.is_under_way()
    }

    /// When an `/auth` that is under way goes on, in nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        self.login.due_ns()
    }

    /// Whether the client has to show a token first.
    pub fn must_log_in(&self, context: &WorkerContext) -> bool {
        self.login.must_log_in(context.hub.authenticator.as_ref())
    }

    /// Whether the client has shown a token in time that is looked at later.
    pub fn awaits_turn(&self) -> bool {
        self.login.awaits_turn()
    }

    /// The token that it has shown is not to be looked at any more: the connection is over.
    pub fn leave_queue(&self, context: &WorkerContext) {
        self.login.leave_queue(context.hub.authenticator.as_ref());
    }

    /// Whether the client has tried as many wrong tokens as it may.
    pub fn is_given_up(&self) -> bool {
        self.login.is_given_up()
    }

    /// Whether the client's token is not what it was when it was shown.
    pub fn is_withdrawn(&mut self, context: &WorkerContext) -> bool {
        self.login.is_withdrawn(context.hub.authenticator.as_ref())
    }

    /// Whether the historian reads for it.
    pub fn is_replaying(&self) -> bool {
        self.replay != ReplayState::Nothing
    }

    /// Whether there is a line that the historian has to close, or that waits for its time.
    pub fn awaits_closing(&self) -> bool {
        self.replay == ReplayState::Listing || self.queued.is_some() || self.login.is_under_way()
    }

    /// Whether a listing is under way.
    pub fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    /// The line that said `/quit`; none after it is taken.
    pub fn quit(&self) -> Option<u64> {
        self.quit
    }

    /// Whether the client will be told goodbye for what it said.
    pub fn is_parting(&self) -> bool {
        self.quit.is_some() || self.foreign.is_some()
    }

    /// Whether it may still turn out that the client speaks another protocol.
    pub fn is_opening(&self) -> bool {
        self.is_opening
    }

    /// The client speaks another protocol: no line of it is taken.
    pub fn meet(&mut self, foreign: Foreign) {
        self.foreign = Some(foreign);
    }

    /// The protocol that the client speaks in place of ours.
    pub fn foreign(&self) -> Option<Foreign> {
        self.foreign
    }

    /// Goes on with what is under way.
    pub fn go_on(&mut self, context: &WorkerContext) {
        if let Some(outcome) = self.login.go_on(context) {
            self.close_auth(outcome, context);
        }
        if let Some(handle) = &context.hub.replay {
            self.go_on_replay(handle, context);
        }
        if let Some(listing) = self.listing.take() {
            self.listing = listing.go_on(context.hub, self.conn);
        }
    }

    /// Has the historian read what is queued for next, or missed, once it has done with what it reads.
    fn go_on_replay(&mut self, handle: &replay::Handle, context: &WorkerContext) {
        if handle.is_busy(self.conn) {
            return;
        }
        self.replay = ReplayState::Nothing;
        if let Some(Queued { request, line, slot }) = self.queued.take() {
            self.replay = ReplayState::Listing;
            if let ReplayRequest::JoinSince(_, min) = request {
                context.hub.follow(self.conn, min);
            }
            handle.begin(request, self.conn, line, slot);
        } else if let Some((id, min)) = self.take_behind(context)
            && let Some(slot) = self.credits.pop()
        {
            self.replay = ReplayState::Missed;
            handle.resume(id, min, self.conn, slot);
        }
    }

    /// Where the client fell behind, if it did and there is a slot for it. The outbox is not locked any more when the historian is called.
    fn take_behind(&self, context: &WorkerContext) -> Option<(u64, Priority)> {
        if self.credits.is_empty() {
            return None;
        }
        let mut outbox = context.hub.outboxes[self.conn].lock();
        outbox.take_behind()
    }

    /// Takes the next line. Not to be called when [stalled](Self::is_stalled).
    pub fn take(&mut self, frame: Frame<'_>, context: &mut WorkerContext) {
        if self.is_opening {
            let is_after_long = mem::replace(&mut self.is_after_long, matches!(frame, Frame::TooLong));
            if let Frame::Line(line) = frame
                && let Some(foreign) = foreign::in_line(line, is_after_long)
            {
                return self.meet(foreign);
            }
        }
        self.lines += 1;
        match self.login.authorize(Request::from(frame), context.hub.authenticator.as_ref()) {
            Request::Blank => {}
            Request::Message { .. } if context.draining => self.refuse(Nak::ShuttingDown, context),
            Request::Message { priority, text } => {
                let Some(slot) = self.credits.pop() else { return };
                slot.fill(self.conn, self.lines, priority, text);
                slot.sign(&self.nick);
                self.lower(slot, context);
                self.is_opening = false;
                context.admit(slot);
            }
            Request::Nak(reason) => self.refuse(reason, context),
            Request::Command(_) if context.draining => self.reject(Refusal::ShuttingDown, context),
            Request::Command(command) => self.obey(command, context),
            Request::Refused(reason) => self.reject(reason, context),
        }
    }

    /// Lowers a message that is more urgent than its sender may send, or one urgent one too many.
    fn lower(&mut self, slot: &mut Slot, context: &WorkerContext) {
        slot.lower_to(self.login.rights().priority_max);
        if slot.priority() >= Priority::HIGH
            && let Some(rate) = context.hub.settings.urgent_rate
            && !self.urgent.take(rate, context.now_ns)
        {
            slot.lower_to(Priority::NORMAL);
        }
        if slot.is_lowered() {
            context.hub.counters.lock().lowered += 1;
        }
    }

    fn obey(&mut self, command: Command<'_>, context: &WorkerContext) {
        self.is_opening = false;
        match command {
            Command::Auth(token) => {
                self.login.show(token);
                self.go_on(context);
            }
            Command::Join { min, since: Some(id) } => self.read(ReplayRequest::JoinSince(id, min), context),
            Command::Join { min, since: None } => {
                context.hub.join(self.conn, min);
                self.stop_replay(context);
                self.ok(context);
            }
            Command::Leave => {
                context.hub.leave(self.conn);
                self.stop_replay(context);
                self.ok(context);
            }
            Command::Nick(nick) => {
                if !context.hub.clients.lock().rename(self.conn, nick) {
                    return self.reject(Refusal::NickTaken, context);
                }
                // A name is no longer than a nick.
                self.nick = String::try_from(nick).unwrap_or_default();
                self.ok(context);
            }
            Command::Who => self.begin(Subject::Who, context),
            Command::Stats => self.begin(Subject::Stats, context),
            Command::Help => self.begin(Subject::Help, context),
            Command::Last(count) => self.read(ReplayRequest::Last(count), context),
            Command::Since(id) => self.read(ReplayRequest::Since(id), context),
            Command::Ping => self.ok(context),
            Command::Quit => self.quit = Some(self.lines),
        }
    }

    /// Answers the `/auth` that was under way.
    fn close_auth(&mut self, outcome: Outcome, context: &WorkerContext) {
        match outcome {
            Ok(name) => {
                log::info!("{} is {name}", context.hub.name(self.conn));
                context.hub.clients.lock().set_name(self.conn, &name);
                self.close(|out, line| reply::ok_with(out, line, &name), context);
                self.nick = name;
            }
            Err(refusal) => self.reject(refusal, context),
        }
    }

    /// The client has not shown its token in time, or it holds no longer: closes the line that is under way with that, and all that
    /// are taken from now on.
    pub fn dismiss(&mut self, context: &WorkerContext) {
        if let Some(outcome) =
            self.login.break_off(Refusal::NotAuthenticated, context.hub.authenticator.as_ref())
        {
            self.close_auth(outcome, context);
        } else if let Some(slot) = self.break_off() {
            self.credits.put(Chain::of(slot));
            self.reject(Refusal::NotAuthenticated, context);
        }
        self.login.dismiss();
    }

    fn begin(&mut self, subject: Subject, context: &WorkerContext) {
        if let Some(slot) = self.credits.pop() {
            self.listing = Listing::new(subject, self.lines, slot).go_on(context.hub, self.conn);
        }
    }

    /// Has the historian read, as soon as it has done with what was queued for before. What the client is sent because it joined stands
    /// aside for that.
    fn read(&mut self, request: ReplayRequest, context: &WorkerContext) {
        let Some(handle) = &context.hub.replay else { return self.reject(Refusal::NoJournal, context) };
        if let Some(newest) = handle.newest_before(request.position()) {
            return self.reject(Refusal::AheadOfHistory(newest), context);
        }
        let Some(slot) = self.credits.pop() else { return };
        if let ReplayRequest::JoinSince(..) = request {
            context.hub.leave(self.conn);
        } else if self.replay == ReplayState::Missed {
            context.hub.outboxes[self.conn].lock().set_aside();
        }
        self.stop_replay(context);
        self.queued = Some(Queued { request, line: self.lines, slot });
        self.go_on_replay(handle, context);
    }

    /// Has the historian look whether what it reads is wanted still.
    fn stop_replay(&self, context: &WorkerContext) {
        if let Some(handle) = context.hub.replay.as_ref().filter(|_| self.is_replaying()) {
            handle.wake(self.conn);
        }
    }

    fn ok(&mut self, context: &WorkerContext) {
        self.close(reply::ok, context);
    }

    fn refuse(&mut self, reason: Nak, context: &WorkerContext) {
        context.hub.counters.lock().refused[reason.index()] += 1;
        self.close(|out, line| reply::nak(out, line, reason), context);
    }

    fn reject(&mut self, reason: Refusal, context: &WorkerContext) {
        context.hub.counters.lock().commands_refused += 1;
        self.close(|out, line| reply::err(out, line, reason), context);
    }

    /// Puts the reply to the line in hand into the outbox.
    fn close(&mut self, reply: impl FnOnce(&mut VecView<u8>, u64), context: &WorkerContext) {
        if let Some(slot) = self.credits.pop() {
            context.hub.outboxes[self.conn].lock().reply(Chain::of(slot), |out| reply(out, self.lines));
        }
    }
}
