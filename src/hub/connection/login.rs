//! The login of a client: who it is, and what it may do. If the server has an auth file, `/auth TOKEN` gives the
//! client one of the names in that file.
//!
//! An `/auth` may take a while: the reply to a wrong token is delayed, and after a wrong token the next token from the
//! same address waits in a queue. Only the client itself waits: the server takes none of its lines meanwhile.

use crate::auth::authenticator::{Authenticator, Verdict};
use crate::auth::{Entry, Rights, Token};
use crate::conn_id::ConnId;
use crate::hub::workers::context::WorkerContext;
use crate::limits::{LOG_THROTTLE_ADDRESSES_MAX, NICK_BYTES_MAX, WRONG_TOKENS_MAX};
use crate::logger::throttle::LogDecision;
use crate::protocol::command::{BAD_TOKEN, Command, Request};
use crate::protocol::reply::{Nak, Refusal};
use crate::protocol::task_command::TaskCommand;
use core::mem;
use heapless::String;

/// The login state of one connection.
pub struct Login {
    conn: ConnId,
    state: State,
    /// How many wrong tokens the client has shown.
    wrong: u8,
}

enum State {
    /// The client has shown no valid token.
    LoggedOut,
    /// The login is revoked: no token is accepted any more.
    Revoked,
    /// The client has shown a token. It is checked at this time, in nanoseconds.
    Shown(Token, u64),
    /// The client has shown a wrong token, and gets the reply at this time, in nanoseconds.
    Wrong(u64),
    /// The client has this entry of the auth file. The entry was last compared with this edition of the file.
    Known(Entry, u32),
}

/// The reply to a request that the client may not make.
pub enum Denial {
    /// To a message.
    Message(Nak),
    /// To a command.
    Command(Refusal),
}

/// The result of an `/auth`: the client's name, or the refusal.
pub type Outcome = Result<String<NICK_BYTES_MAX>, Refusal>;

impl Login {
    /// The login of a client that has shown no token.
    pub fn new(conn: ConnId) -> Self {
        Self { conn, state: State::LoggedOut, wrong: 0 }
    }

    /// What the client may do. It does not apply while the client has to show a token first: see
    /// [`authorize`](Self::authorize).
    pub fn rights(&self) -> Rights {
        if let State::Known(entry, _) = &self.state { entry.rights } else { Rights::ALL }
    }

    /// Whether the client has to show a token first.
    pub fn must_log_in(&self, authenticator: Option<&Authenticator>) -> bool {
        authenticator.is_some() && !matches!(self.state, State::Known(..))
    }

    /// Checks whether the client may make a request. If this took the request and returned it, the compiler would copy it
    /// just after it was written, and each line would wait for that write.
    ///
    /// # Errors
    /// The refusal, if the client may not make it.
    pub fn authorize(
        &self,
        request: &Request<'_>,
        authenticator: Option<&Authenticator>,
    ) -> Result<(), Denial> {
        let must_log_in = self.must_log_in(authenticator);
        match request {
            Request::Message { .. } | Request::Nak(_) if must_log_in => {
                Err(Denial::Message(Nak::NotAuthenticated))
            }
            Request::Command(Command::Auth(_)) if authenticator.is_none() => {
                Err(Denial::Command(Refusal::NoAuth))
            }
            Request::Command(Command::Auth(_)) if self.is_revoked() => {
                Err(Denial::Command(Refusal::NotAuthenticated))
            }
            Request::Command(command) if must_log_in => before(command),
            Request::Command(command) if authenticator.is_some() => self.after(command),
            Request::Refused(reason) if must_log_in && *reason != BAD_TOKEN => {
                Err(Denial::Command(Refusal::NotAuthenticated))
            }
            _ => Ok(()),
        }
    }

    /// Checks a command of a client that has shown its token.
    fn after(&self, command: &Command<'_>) -> Result<(), Denial> {
        let not_permitted = |why| Err(Denial::Command(Refusal::NotPermitted(why)));
        match command {
            Command::Auth(_) => not_permitted("you have shown a token already"),
            Command::Nick(_) => not_permitted("your token says your name"),
            Command::Join { .. } | Command::Last(_) | Command::Since(_) if !self.rights().may_join => {
                not_permitted("your token is not for reading")
            }
            Command::Task(TaskCommand::Handle { .. }) if !self.rights().may_handle => {
                not_permitted("your token is not for handling")
            }
            _ => Ok(()),
        }
    }

    /// Starts an `/auth` with that token.
    pub fn show(&mut self, token: &[u8]) {
        // Always a valid token: the parser has checked it.
        if let Some(token) = Token::new(token) {
            self.state = State::Shown(token, 0);
        }
    }

    /// Whether an `/auth` is in progress.
    pub fn is_under_way(&self) -> bool {
        self.due_ns().is_some()
    }

    /// When the `/auth` in progress continues, in nanoseconds, or `None` if no `/auth` is in progress.
    pub fn due_ns(&self) -> Option<u64> {
        match self.state {
            State::Shown(_, due_ns) | State::Wrong(due_ns) => Some(due_ns),
            State::LoggedOut | State::Revoked | State::Known(..) => None,
        }
    }

    /// Continues the `/auth` in progress, if it is time, and returns its result once there is one.
    pub fn advance(&mut self, context: &WorkerContext) -> Option<Outcome> {
        let (due_ns, authenticator) = (self.due_ns()?, context.hub.authenticator.as_ref()?);
        if context.draining {
            return self.cancel(Refusal::ShuttingDown, Some(authenticator));
        }
        if context.now_ns < due_ns {
            return None;
        }
        match mem::replace(&mut self.state, State::LoggedOut) {
            State::Shown(token, _) => self.check(token, authenticator, context),
            State::Wrong(_) => Some(Err(Refusal::WrongToken)),
            State::LoggedOut | State::Revoked | State::Known(..) => None,
        }
    }

    fn check(
        &mut self,
        token: Token,
        authenticator: &Authenticator,
        context: &WorkerContext,
    ) -> Option<Outcome> {
        // Read before the check: if the file changes in between, a later comparison notices it.
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

    /// Whether the client's first token waits in the queue of its address.
    pub fn is_first_token_queued(&self) -> bool {
        self.wrong == 0 && matches!(self.state, State::Shown(..))
    }

    /// Removes the client's token from the queue of its address, if it waits there: it will not be checked.
    pub fn leave_queue(&self, authenticator: Option<&Authenticator>) {
        if let (State::Shown(..), Some(authenticator)) = (&self.state, authenticator) {
            authenticator.leave(self.conn);
        }
    }

    /// Ends the `/auth` in progress with `refusal`, and returns that as its result. Returns `None` if no `/auth` is in
    /// progress.
    pub fn cancel(&mut self, refusal: Refusal, authenticator: Option<&Authenticator>) -> Option<Outcome> {
        self.due_ns()?;
        self.leave_queue(authenticator);
        self.state = State::LoggedOut;
        Some(Err(refusal))
    }

    /// From now on the client is unauthenticated, and no token is accepted. No `/auth` may be in progress.
    pub fn revoke(&mut self) {
        self.state = State::Revoked;
    }

    fn is_revoked(&self) -> bool {
        matches!(self.state, State::Revoked)
    }

    /// Whether the client has shown [`WRONG_TOKENS_MAX`] wrong tokens, and has received the reply to each.
    pub fn has_used_up_tries(&self) -> bool {
        self.wrong >= WRONG_TOKENS_MAX && !self.is_under_way()
    }

    /// Whether the client's entry in the auth file is gone or has changed. Returns true once for each change of the
    /// file.
    pub fn is_withdrawn(&mut self, authenticator: Option<&Authenticator>) -> bool {
        let (Some(authenticator), State::Known(entry, edition)) = (authenticator, &mut self.state) else {
            return false;
        };
        let now = authenticator.edition();
        mem::replace(edition, now) != now && !authenticator.has(entry)
    }
}

/// Checks a command of a client that has not shown its token.
fn before(command: &Command<'_>) -> Result<(), Denial> {
    match command {
        Command::Auth(_) | Command::Help | Command::Ping | Command::Quit => Ok(()),
        _ => Err(Denial::Command(Refusal::NotAuthenticated)),
    }
}
