//! The names of the messages in a spool.

use crate::protocol::Priority;
use std::cmp::Reverse;
use std::fmt;

/// The name of a message. Names sort in the order of sending: by priority, the most urgent first, and then by age, the
/// oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    priority: Reverse<Priority>,
    /// Its number in the spool, from 1.
    pub number: u64,
}

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was not sent.
    Kept,
    /// A process was about to send it, and its outcome is not recorded.
    Sent,
}

impl State {
    /// All states.
    pub const ALL: [Self; 2] = [Self::Kept, Self::Sent];
}

impl Name {
    /// The name of the message with that priority and number.
    pub fn new(priority: Priority, number: u64) -> Self {
        Self { priority: Reverse(priority), number }
    }

    /// The priority of the message.
    pub fn priority(&self) -> Priority {
        self.priority.0
    }

    /// Parses the name of a file into the name and the state of a message; `None`: the file is not a message.
    pub fn parse(file: &str) -> Option<(Self, State)> {
        let (rest, state) = match file.strip_suffix(".kept") {
            Some(rest) => (rest, State::Kept),
            None => (file.strip_suffix(".sent")?, State::Sent),
        };
        let (priority, number) = rest.strip_prefix('p')?.split_once('-')?;
        let [digit] = priority.as_bytes() else { return None };
        let name = Self::new(Priority::from_digit(*digit)?, number.parse().ok()?);
        // Accepts only the exact form that `file` produces: a number could be spelt differently, but then it would name
        // another file.
        (name.file(state) == file).then_some((name, state))
    }

    /// The name of the file of a message in that state.
    pub fn file(&self, state: State) -> String {
        let ending = if state == State::Kept { "kept" } else { "sent" };
        format!("{self}.{ending}")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:020}", self.priority.0, self.number)
    }
}
