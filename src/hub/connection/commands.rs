//! Executes a client's lines: turns each into a message to admit, or replies to it.
//!
//! Every line takes a slot, and the reply that closes the line releases the slot. So messages and commands have the
//! same bound, and there is always room for a reply. Knows no sockets: see [`crate::hub::connection::session`].

use crate::conn_id::ConnId;
use crate::hub::connection::listing::{Listing, Subject};
use crate::hub::connection::login::{Denial, Login, Outcome};
use crate::hub::connection::opening::Opening;
use crate::hub::connection::replaying::Replaying;
use crate::hub::connection::tasks::Tasks;
use crate::hub::rate_limit::RateLimiter;
use crate::hub::replay::Request as ReplayRequest;
use crate::hub::workers::context::WorkerContext;
use crate::limits::NICK_BYTES_MAX;
use crate::protocol::Priority;
use crate::protocol::command::{Command, Request};
use crate::protocol::foreign::Foreign;
use crate::protocol::framing::Frame;
use crate::protocol::reply::{self, Nak, Refusal};
use crate::protocol::task_command::TaskCommand;
use crate::queue::{Chain, Slot, Slots};
use core::mem;
use heapless::{String, VecView};

/// The state of one client's commands.
pub struct Commands {
    conn: ConnId,
    /// How many lines have been taken.
    lines: u64,
    /// The slots that the next lines may take.
    credits: Slots,
    /// The listing in progress.
    listing: Option<Listing>,
    /// The state of the client's replay.
    replaying: Replaying,
    /// The client as a handler.
    tasks: Tasks,
    /// Who the client is.
    login: Login,
    /// The client's nick, or the name of its token; empty if it has neither. Each message keeps the name that its
    /// sender had when it sent the message.
    nick: String<NICK_BYTES_MAX>,
    /// The number of the line with `/quit`.
    quit: Option<u64>,
    /// Limits how many of the client's messages keep an urgent priority.
    urgent: RateLimiter,
    /// Whether the client speaks another protocol.
    opening: Opening,
}

impl Commands {
    /// The commands of a connection on which no line has arrived.
    pub fn new(conn: ConnId) -> Self {
        Self {
            conn,
            lines: 0,
            credits: Slots::new(),
            listing: None,
            replaying: Replaying::new(conn),
            tasks: Tasks::new(conn),
            login: Login::new(conn),
            nick: String::new(),
            quit: None,
            urgent: RateLimiter::FULL,
            opening: Opening::new(),
        }
    }

    /// Resets everything except the connection's ID.
    ///
    /// # Panics
    /// In debug builds, if a slot is left: see [`take_credits`](Self::take_credits) and
    /// [`cancel`](Self::cancel).
    pub fn reset(&mut self) {
        debug_assert!(self.credits.is_empty() && self.listing.is_none() && !self.replaying.has_queued());
        *self = Self::new(self.conn);
    }

    /// The slots that the next lines may take; the outbox grants more into them.
    pub fn credits(&mut self) -> &mut Slots {
        &mut self.credits
    }

    /// Takes all credits away, once the client gets no more replies.
    pub fn take_credits(&mut self) -> Slots {
        mem::take(&mut self.credits)
    }

    /// Cancels the listing in progress, or the line that waits for the replay, and returns its slot.
    pub fn cancel(&mut self) -> Option<&'static mut Slot> {
        // Each of them blocks further lines, so they never exist at the same time.
        self.listing.take().map(Listing::into_slot).or_else(|| self.replaying.drop_queued())
    }

    // ---- What blocks -----------------------------------------------------------------------------------

    /// Whether no line can be taken now: a listing or an `/auth` is in progress, a line waits for the replay, or there
    /// is no slot.
    pub fn is_blocked(&self) -> bool {
        self.is_busy() || self.credits.is_empty()
    }

    /// Whether no line can be taken now only because there is no slot.
    pub fn lacks_slot(&self) -> bool {
        !self.is_busy() && self.credits.is_empty()
    }

    fn is_busy(&self) -> bool {
        self.listing.is_some() || self.replaying.has_queued() || self.login.is_under_way()
    }

    /// Whether a listing is in progress.
    pub fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    /// Whether the replay reads for the client.
    pub fn is_replaying(&self) -> bool {
        self.replaying.is_active()
    }

    /// Whether a line waits for its reply: from the replay, or from an `/auth` in progress.
    pub fn awaits_reply(&self) -> bool {
        self.replaying.awaits_reply() || self.login.is_under_way()
    }

    /// The client as a handler.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The client as a handler, to change it.
    pub fn tasks_mut(&mut self) -> &mut Tasks {
        &mut self.tasks
    }

    /// The number of the line with `/quit`. No line is taken after it.
    pub fn quit(&self) -> Option<u64> {
        self.quit
    }

    /// Whether the connection will be closed because of what the client sent.
    pub fn is_closing(&self) -> bool {
        self.quit.is_some() || self.opening.foreign().is_some()
    }

    /// The protocol that the client speaks, if it is another one.
    pub fn foreign(&self) -> Option<Foreign> {
        self.opening.foreign()
    }

    /// The beginning of the connection.
    pub fn opening(&mut self) -> &mut Opening {
        &mut self.opening
    }

    // ---- The login -------------------------------------------------------------------------------------

    /// Who the client is.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Whether the client has to show a token first.
    pub fn must_log_in(&self, context: &WorkerContext) -> bool {
        self.login.must_log_in(context.hub.authenticator.as_ref())
    }

    /// Whether the client's token no longer gives the rights that it gave when the client showed it. Returns true
    /// once.
    pub fn is_withdrawn(&mut self, context: &WorkerContext) -> bool {
        self.login.is_withdrawn(context.hub.authenticator.as_ref())
    }

    /// Refuses the line in progress and all further lines: the client has not shown its token in time, or the token
    /// is no longer valid.
    pub fn refuse_all(&mut self, context: &WorkerContext) {
        let authenticator = context.hub.authenticator.as_ref();
        if let Some(outcome) = self.login.cancel(Refusal::NotAuthenticated, authenticator) {
            self.close_auth(outcome, context);
        } else if let Some(slot) = self.cancel() {
            self.credits.put(Chain::of(slot));
            self.reject(Refusal::NotAuthenticated, context);
        }
        self.login.revoke();
        self.tasks.leave(false, context);
    }

    /// Replies to the `/auth` that was in progress.
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

    // ---- Lines -----------------------------------------------------------------------------------------

    /// Continues the work in progress.
    pub fn advance(&mut self, context: &WorkerContext) {
        if let Some(outcome) = self.login.advance(context) {
            self.close_auth(outcome, context);
        }
        self.replaying.advance(&mut self.credits, context);
        if let Some(listing) = self.listing.take() {
            self.listing = listing.advance(context.hub, self.conn);
        }
    }

    /// Takes the next line. The commands must not be [blocked](Self::is_blocked).
    pub fn take(&mut self, frame: Frame<'_>, context: &mut WorkerContext) {
        if self.opening.is_foreign(&frame) {
            return;
        }
        self.lines += 1;
        let request = Request::from(frame);
        self.opening.note(&request);
        match self.login.authorize(&request, context.hub.authenticator.as_ref()) {
            Ok(()) => self.execute_request(&request, context),
            Err(Denial::Message(reason)) => self.refuse(reason, context),
            Err(Denial::Command(reason)) => self.reject(reason, context),
        }
    }

    fn execute_request(&mut self, request: &Request<'_>, context: &mut WorkerContext) {
        match *request {
            Request::Blank => {}
            Request::Message { .. } if context.draining => self.refuse(Nak::ShuttingDown, context),
            Request::Message { priority, text } => self.admit(priority, text, context),
            Request::Nak(reason) => self.refuse(reason, context),
            Request::Command(Command::Task(command)) => self.execute_task(command, context),
            Request::Command(Command::Quit) if self.tasks.has_some() => self.quit = Some(self.lines),
            Request::Command(_) if context.draining => self.reject(Refusal::ShuttingDown, context),
            Request::Command(command) => self.execute(command, context),
            Request::Refused(reason) => self.reject(reason, context),
        }
    }

    fn admit(&mut self, priority: Priority, text: &[u8], context: &mut WorkerContext) {
        let Some(slot) = self.credits.pop() else { return };
        slot.fill(self.conn, self.lines, priority, text);
        slot.sign(&self.nick);
        self.lower(slot, context);
        context.admit(slot);
    }

    /// Lowers the priority of a message to the highest that its sender may use, and that of an urgent message that
    /// exceeds the sender's rate.
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

    fn execute(&mut self, command: Command<'_>, context: &WorkerContext) {
        match command {
            Command::Auth(token) => {
                self.login.show(token);
                self.advance(context);
            }
            Command::Join { min, since: Some(id) } => self.replay(ReplayRequest::JoinSince(id, min), context),
            Command::Join { min, since: None } => self.join(min, context),
            Command::Leave => {
                context.hub.leave(self.conn);
                self.replaying.stop(context);
                self.close(reply::ok, context);
            }
            Command::Nick(nick) => self.rename(nick, context),
            Command::Who => self.list(Subject::Who, context),
            Command::Stats { is_full } => self.list(Subject::Stats { is_full }, context),
            Command::Help => self.list(Subject::Help, context),
            Command::Last(count) => self.replay(ReplayRequest::Last(count), context),
            Command::Since(id) => self.replay(ReplayRequest::Since(id), context),
            Command::Task(_) => {}
            Command::Ping => self.close(reply::ok, context),
            Command::Quit => self.quit = Some(self.lines),
        }
    }

    fn execute_task(&mut self, command: TaskCommand<'_>, context: &mut WorkerContext) {
        match self.tasks.execute(command, context) {
            Ok(answer) if answer.is_empty() => self.close(reply::ok, context),
            Ok(answer) => self.close(|out, line| reply::ok_with(out, line, &answer), context),
            Err(refusal) => self.reject(refusal, context),
        }
    }

    fn join(&mut self, min: Priority, context: &WorkerContext) {
        if !self.replaying.reads_missed() {
            context.hub.join(self.conn, min);
            self.replaying.stop(context);
            self.close(reply::ok, context);
        } else if let Some(slot) = self.credits.pop() {
            self.replaying.queue_join(min, self.lines, slot, context);
            self.replaying.advance(&mut self.credits, context);
        }
    }

    fn rename(&mut self, nick: &str, context: &WorkerContext) {
        if !context.hub.clients.lock().rename(self.conn, nick) {
            return self.reject(Refusal::NickTaken, context);
        }
        // A nick fits: the parser has checked its length.
        self.nick = String::try_from(nick).unwrap_or_default();
        self.close(reply::ok, context);
    }

    fn list(&mut self, subject: Subject, context: &WorkerContext) {
        if let Some(slot) = self.credits.pop() {
            self.listing = Listing::new(subject, self.lines, slot).advance(context.hub, self.conn);
        }
    }

    /// Requests a part of the history from the replay. The replay reads it after the earlier request has ended.
    fn replay(&mut self, request: ReplayRequest, context: &WorkerContext) {
        let Some(handle) = &context.hub.replay else { return self.reject(Refusal::NoJournal, context) };
        if let Some(newest) = handle.newest_if_ahead(request.position()) {
            return self.reject(Refusal::AheadOfHistory(newest), context);
        }
        let Some(slot) = self.credits.pop() else { return };
        self.replaying.queue(request, self.lines, slot, context);
        self.replaying.advance(&mut self.credits, context);
    }

    // ---- Replies ---------------------------------------------------------------------------------------

    fn refuse(&mut self, reason: Nak, context: &WorkerContext) {
        context.hub.counters.lock().refused[reason.index()] += 1;
        self.close(|out, line| reply::nak(out, line, reason), context);
    }

    fn reject(&mut self, reason: Refusal, context: &WorkerContext) {
        context.hub.counters.lock().commands_refused += 1;
        self.close(|out, line| reply::err(out, line, reason), context);
    }

    /// Closes the current line: puts the reply to it into the outbox, and releases its slot.
    fn close(&mut self, reply: impl FnOnce(&mut VecView<u8>, u64), context: &WorkerContext) {
        if let Some(slot) = self.credits.pop() {
            context.hub.outboxes[self.conn].lock().reply(Chain::of(slot), |out| reply(out, self.lines));
        }
    }
}
