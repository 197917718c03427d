//! The authenticator checks tokens: it has what the auth file says now, and which addresses tried wrong tokens lately. All workers and
//! the acceptor share it.

use crate::auth::{Entry, LoginBackoff, Token, Tokens};
use crate::conn_id::ConnId;
use crate::logger::throttle::{LogDecision, LogThrottle};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, Ordering};
use core::mem;
use std::net::IpAddr;

static STATE: Mutex<State> = Mutex::new(State {
    tokens: Tokens::new(),
    backoff: LoginBackoff::new(),
    log_throttle: LogThrottle::new(),
});

/// What the authenticator knows.
pub struct State {
    tokens: Tokens,
    backoff: LoginBackoff,
    log_throttle: LogThrottle<()>,
}

/// What becomes of a token that was shown.
pub enum Verdict {
    /// It is that one's.
    Known(Entry),
    /// No name has it. Answer it at that time, in nanoseconds, and log that now.
    Wrong(u64, LogDecision),
    /// It is not looked at before that time, in nanoseconds.
    Wait(u64),
}

/// The authenticator.
pub struct Authenticator {
    state: &'static Mutex<State>,
    /// Another number once the auth file says something else.
    edition: AtomicU32,
}

impl Authenticator {
    /// The authenticator to those tokens, which it takes over. For the start, once.
    pub fn new(tokens: &mut Tokens) -> Self {
        let authenticator = Self { state: &STATE, edition: AtomicU32::new(0) };
        authenticator.replace(tokens);
        authenticator
    }

    /// From now on those tokens are the right ones; those that were go back to the caller.
    pub fn replace(&self, tokens: &mut Tokens) {
        mem::swap(&mut self.state.lock().tokens, tokens);
        self.edition.fetch_add(1, Ordering::Release);
    }

    /// Which edition of the auth file holds now.
    pub fn edition(&self) -> u32 {
        self.edition.load(Ordering::Acquire)
    }

    /// Whether the auth file has that line still.
    pub fn has(&self, entry: &Entry) -> bool {
        self.state.lock().tokens.has(entry)
    }

    /// Checks a token that a connection from that address presents, unless the address has to wait.
    pub fn show(&self, token: &Token, conn: ConnId, address: IpAddr, now_ns: u64) -> Verdict {
        let State { tokens, backoff, log_throttle } = &mut *self.state.lock();
        if let Some(until_ns) = backoff.waits_until(conn, address, now_ns) {
            return Verdict::Wait(until_ns);
        }
        match tokens.find(token) {
            Some(entry) => Verdict::Known(entry.clone()),
            None => Verdict::Wrong(backoff.note(address, now_ns), log_throttle.of(address, (), now_ns)),
        }
    }

    /// The token that a connection presented is not to be checked any more.
    pub fn leave(&self, conn: ConnId) {
        self.state.lock().backoff.leave(conn);
    }
}
