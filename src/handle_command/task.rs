//! A task of the server.

use super::limits::EXTEND_PAUSE;
use crate::protocol::Priority;
use std::time::{Duration, Instant};

/// Identifies a task among those of all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskKey {
    /// The number of the connection of this process.
    pub connection: u64,
    /// The number of the task on that connection.
    pub number: u64,
}

/// A message that a program must process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which task it is.
    pub key: TaskKey,
    /// The priority of the message.
    pub priority: Priority,
    /// The sender's name, escaped as in `MSG`.
    pub from: String,
    /// The text, escaped as in `MSG`.
    pub text: String,
    /// The server's time for it; `None`: the connection is lost.
    pub time: Option<ServerTime>,
}

/// The time that the server allows for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTime {
    /// When it is over.
    pub until: Instant,
    /// When to ask for more time.
    pub extend_at: Instant,
}

impl ServerTime {
    /// The time of a server that allows `left` from now on.
    pub fn new(left: Duration, now: Instant) -> Self {
        Self { until: now + left, extend_at: now + (left / 2).max(EXTEND_PAUSE) }
    }
}
