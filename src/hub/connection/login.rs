//! Who a client is and what it may do, where clients need a token: `/auth TOKEN` gives it one of the names of the
//! auth file.
//!
//! An `/auth` may take a while: the reply to a wrong token is delayed, and after a wrong token the next one from the
//! same address waits for its turn. Only the client itself waits: none of its lines is taken meanwhile.

use crate::auth::authenticator::{Authenticator, Verdict};
use crate::auth::{Entry, Rights, Token};
use crate::conn_id::ConnId;
use crate::hub::workers::context::WorkerContext;
use crate::limits::{LOG_THROTTLE_ADDRESSES_MAX, NICK_BYTES_MAX, WRONG_TOKENS_MAX};
use crate::logger::throttle::LogDecision;
use crate::protocol::command::{BAD_TOKEN, Command, Request};
use crate::protocol::reply::{Nak, Refusal};
use core::mem;
use heapless::String;

/// Who the client of a connection is.
pub struct Login {
    conn: ConnId,
    state: State,
    /// How many wrong tokens it has shown.
    wrong: u8,
}

enum State {
    /// The client has shown no valid token.
    LoggedOut,
    /// The client is dismissed: no token is valid.
    Dismissed,
    /// The client has shown a token, which is checked at that time, in nanoseconds.
    Shown(Token, u64),
    /// The client has shown a wrong token, and gets the reply at that time, in nanoseconds.
    Wrong(u64),
    /// The client has that entry of the auth file, as that edition of the file had it.
    Known(Entry, u32),
}

/// The result of an `/auth`: the client's name, or why it is refused.
pub type Outcome = Result<String<NICK_BYTES_MAX>, Refusal>;

impl Login {
    /// A client that has shown no token.
    pub fn new(conn: ConnId) -> Self {
        Self { conn, state: State::LoggedOut, wrong: 0 }
    }

    /// What the client may do. While the client has to show a token first, nothing of it is
    /// [authorized](Self::authorize).
    pub fn rights(&self) -> Rights {
        if let State::Known(entry, _) = &self.state { entry.rights } else { Rights::ALL }
    }

    /// Whether the client has to show a token first.
    pub fn must_log_in(&self, authenticator: Option<&Authenticator>) -> bool {
        authenticator.is_some() && !matches!(self.state, State::Known(..))
    }

    /// The request, if the client may do that; otherwise its refusal.
    pub fn authorize<'a>(&self, request: Request<'a>, authenticator: Option<&Authenticator>) -> Request<'a> {
        let must_log_in = self.must_log_in(authenticator);
        match request {
            Request::Message { .. } | Request::Nak(_) if must_log_in => Request::Nak(Nak::NotAuthenticated),
            Request::Command(Command::Auth(_)) if authenticator.is_none() => {
                Request::Refused(Refusal::NoAuth)
            }
            Request::Command(Command::Auth(_)) if self.is_dismissed() => {
                Request::Refused(Refusal::NotAuthenticated)
            }
            Request::Command(command) if authenticator.is_some() => {
                let refusal = if must_log_in { before(command) } else { self.after(command) };
                refusal.map_or(request, Request::Refused)
            }
            Request::Refused(reason) if must_log_in && reason != BAD_TOKEN => {
                Request::Refused(Refusal::NotAuthenticated)
            }
            request => request,
        }
    }

    /// Why a client that has shown its token may not do that, if so.
    fn after(&self, command: Command<'_>) -> Option<Refusal> {
        match command {
            Command::Auth(_) => Some(Refusal::NotPermitted("you have shown a token already")),
            Command::Nick(_) => Some(Refusal::NotPermitted("your token says your name")),
            Command::Join { .. } | Command::Last(_) | Command::Since(_) if !self.rights().may_join => {
                Some(Refusal::NotPermitted("your token is not for reading"))
            }
            _ => None,
        }
    }

    /// The client shows a token.
    pub fn show(&mut self, token: &[u8]) {
        // The parser lets nothing else pass.
        if let Some(token) = Token::new(token) {
            self.state = State::Shown(token, 0);
        }
    }

    /// Whether an `/auth` is under way.
    pub fn is_under_way(&self) -> bool {
        self.due_ns().is_some()
    }

    /// When an `/auth` that is under way goes on, in nanoseconds.
    pub fn due_ns(&self) -> Option<u64> {
        match self.state {
            State::Shown(_, due_ns) | State::Wrong(due_ns) => Some(due_ns),
            State::LoggedOut | State::Dismissed | State::Known(..) => None,
        }
    }

    /// Goes on with the `/auth` that is under way, if it is time; returns its result once there is one.
    pub fn go_on(&mut self, context: &WorkerContext) -> Option<Outcome> {
        let (due_ns, authenticator) = (self.due_ns()?, context.hub.authenticator.as_ref()?);
        if context.draining {
            return self.break_off(Refusal::ShuttingDown, Some(authenticator));
        }
        if context.now_ns < due_ns {
            return None;
        }
        match mem::replace(&mut self.state, State::LoggedOut) {
            State::Shown(token, _) => self.check(token, authenticator, context),
            State::Wrong(_) => Some(Err(Refusal::WrongToken)),
            State::LoggedOut | State::Dismissed | State::Known(..) => None,
        }
    }

    fn check(
        &mut self,
        token: Token,
        authenticator: &Authenticator,
        context: &WorkerContext,
    ) -> Option<Outcome> {
        // Read before the token is checked: a change in between is noticed later.
        let edition = authenticator.edition();
        match authenticator.show(&token, self.conn, context.hub.address(self.conn), context.now_ns) {
            Verdict::Known(entry) => {
                let name = entry.name.clone();
                self.state = State::Known(entry, edition);
                Some(Ok(name))
            }
            Verdict::Wrong(due_ns, decision) => {
                self.wrong += 1;
                self.state = State::Wrong(due_ns);
                context.hub.counters.lock().wrong_tokens += 1;
                self.log_wrong_token(decision, context);
                None
            }
            Verdict::Wait(due_ns) => {
                self.state = State::Shown(token, due_ns);
                None
            }
        }
    }

    fn log_wrong_token(&self, decision: LogDecision, context: &WorkerContext) {
        match decision {
            LogDecision::Address => log::warn!("{} tries wrong tokens", context.hub.name(self.conn)),
            LogDecision::Overflow => log::warn!(
                "more than {LOG_THROTTLE_ADDRESSES_MAX} addresses try wrong tokens in a minute; /stats counts how many"
            ),
            LogDecision::Nothing => {}
        }
    }

    /// Whether the client has shown its first token, and others of its address have their turn before.
    pub fn awaits_turn(&self) -> bool {
        self.wrong == 0 && matches!(self.state, State::Shown(..))
    }

    /// The token waits for no turn any more: it will not be checked.
    pub fn leave_queue(&self, authenticator: Option<&Authenticator>) {
        if let (State::Shown(..), Some(authenticator)) = (&self.state, authenticator) {
            authenticator.leave(self.conn);
        }
    }

    /// Ends the `/auth` that is under way with that refusal; none: no `/auth` is.
    pub fn break_off(&mut self, refusal: Refusal, authenticator: Option<&Authenticator>) -> Option<Outcome> {
        self.due_ns()?;
        self.leave_queue(authenticator);
        self.state = State::LoggedOut;
        Some(Err(refusal))
    }

    /// From now on the client is unauthenticated, and no token is valid. An `/auth` must not be under way.
    pub fn dismiss(&mut self) {
        self.state = State::Dismissed;
    }

    fn is_dismissed(&self) -> bool {
        matches!(self.state, State::Dismissed)
    }

    /// Whether the client has shown as many wrong tokens as it may, and has the reply to each.
    pub fn is_given_up(&self) -> bool {
        self.wrong >= WRONG_TOKENS_MAX && !self.is_under_way()
    }

    /// Whether the client's line in the auth file is gone or says something else. True once for each change of the
    /// file.
    pub fn is_withdrawn(&mut self, authenticator: Option<&Authenticator>) -> bool {
        let (Some(authenticator), State::Known(entry, edition)) = (authenticator, &mut self.state) else {
            return false;
        };
        let now = authenticator.edition();
        mem::replace(edition, now) != now && !authenticator.has(entry)
    }
}

/// Why a client that has not shown its token may not do that, if so.
fn before(command: Command<'_>) -> Option<Refusal> {
    match command {
        Command::Auth(_) | Command::Help | Command::Ping | Command::Quit => None,
        _ => Some(Refusal::NotAuthenticated),
    }
}
