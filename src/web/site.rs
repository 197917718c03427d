//! The state that all connections share, and the rights of viewers.

use crate::guard::Guard;
use crate::limits::{HISTORIES_MAX, VIEWERS_MAX};
use crate::login_gate::LoginGate;
use crate::page;
use crate::sessions::{Session, Sessions};
use crate::state::State;
use crate::submission::Submitter;
use firstline::client::Token;
use hyper::header::HeaderValue;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The state that all connections share.
pub struct Site {
    /// The data about the hub.
    pub state: Arc<State>,
    /// Which requests the server answers.
    pub guard: Guard,
    /// The viewers that have shown the token.
    pub sessions: Sessions,
    /// The token that viewers show to read names and texts, and to send.
    pub viewer_token: Option<Token>,
    /// Whether viewers with a session may send.
    pub allows_send: bool,
    /// Takes messages to the hub.
    pub submitter: Submitter,
    /// Places for live events.
    viewers: Arc<Semaphore>,
    /// Places for answers with the history.
    pub histories: Arc<Semaphore>,
    /// The `Content-Security-Policy` of the page.
    pub policy: HeaderValue,
    /// Limits how fast viewers can try tokens.
    pub login_gate: LoginGate,
}

/// The rights of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rights {
    /// It may read names and texts.
    pub reads: bool,
    /// It may send messages.
    pub sends: bool,
    /// It may show the token to get more rights.
    pub may_log_in: bool,
    /// It has shown the token.
    pub has_logged_in: bool,
}

impl Site {
    /// A site without viewers.
    pub fn new(
        state: Arc<State>,
        guard: Guard,
        viewer_token: Option<Token>,
        allows_send: bool,
        submitter: Submitter,
        sessions: Sessions,
    ) -> Self {
        Self {
            state,
            guard,
            sessions,
            viewer_token,
            allows_send,
            submitter,
            viewers: Arc::new(Semaphore::new(VIEWERS_MAX)),
            histories: Arc::new(Semaphore::new(HISTORIES_MAX)),
            policy: page::policy(),
            login_gate: LoginGate::new(),
        }
    }

    /// Takes a place for live events until it is dropped. Returns `None` if all are taken.
    pub fn take_viewer_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.viewers).try_acquire_owned().ok()
    }

    /// How many viewers have live events.
    pub fn viewers_count(&self) -> usize {
        VIEWERS_MAX - self.viewers.available_permits()
    }

    /// The session that the cookies name.
    pub fn session(&self, cookies: &str) -> Option<Session> {
        self.sessions.find(cookies, Instant::now())
    }

    /// The rights of a viewer with those cookies. Without a token for viewers, all viewers may read names and texts if
    /// the hub asks for no tokens, and none may if it does.
    pub fn rights(&self, cookies: &str) -> Rights {
        let has_logged_in = self.session(cookies).is_some();
        let is_open = self.viewer_token.is_none() && !self.state.known().has_tokens;
        Rights {
            reads: has_logged_in || is_open,
            sends: has_logged_in && self.allows_send,
            may_log_in: self.viewer_token.is_some() && !has_logged_in,
            has_logged_in,
        }
    }
}
