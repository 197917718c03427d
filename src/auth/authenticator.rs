//! The authenticator checks tokens. It holds the entries of the auth file, and the addresses that have tried wrong
//! tokens recently. All workers and the acceptor share it.

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

/// The state of the authenticator.
pub struct State {
    tokens: Tokens,
    backoff: LoginBackoff,
    log_throttle: LogThrottle<()>,
}

/// The result of the check of a token.
pub enum Verdict {
    /// The token belongs to this entry.
    Known(Entry),
    /// The token is wrong: when to reply, in nanoseconds, and what to log now.
    Wrong(u64, LogDecision),
    /// The token is not checked yet: when to show it again, in nanoseconds.
    Wait(u64),
}

/// The authenticator.
pub struct Authenticator {
    state: &'static Mutex<State>,
    /// Increases each time the tokens are replaced.
    edition: AtomicU32,
}

impl Authenticator {
    /// Creates the authenticator, and moves the entries of `tokens` into it. Startup calls this once.
    pub fn new(tokens: &mut Tokens) -> Self {
        let authenticator = Self { state: &STATE, edition: AtomicU32::new(0) };
        authenticator.replace(tokens);
        authenticator
    }

    /// Swaps the current tokens for new ones. Afterwards, `tokens` holds the previous ones.
    pub fn replace(&self, tokens: &mut Tokens) {
        mem::swap(&mut self.state.lock().tokens, tokens);
        self.edition.fetch_add(1, Ordering::Release);
    }

    /// The edition of the current tokens.
    pub fn edition(&self) -> u32 {
        self.edition.load(Ordering::Acquire)
    }

    /// Whether the current tokens still have that entry.
    pub fn has(&self, entry: &Entry) -> bool {
        self.state.lock().tokens.has(entry)
    }

    /// Checks a token that a connection from that address shows, unless the address has to wait.
    pub fn show(&self, token: &Token, conn: ConnId, address: IpAddr, now_ns: u64) -> Verdict {
        let State { tokens, backoff, log_throttle } = &mut *self.state.lock();
        if let Some(until_ns) = backoff.waits_until(conn, address, now_ns) {
            return Verdict::Wait(until_ns);
        }
        match tokens.find(token) {
            Some(entry) => Verdict::Known(entry.clone()),
            None => Verdict::Wrong(backoff.note_wrong(address, now_ns), log_throttle.of(address, (), now_ns)),
        }
    }

    /// Removes a connection from the queue when its token no longer needs a check.
    pub fn leave(&self, conn: ConnId) {
        self.state.lock().backoff.leave(conn);
    }
}
