//! Why `firstline handle` ended, and its exit code.

/// Why the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A signal ended it. Since then, no task was left half done, and every answer reached the server.
    Finished,
    /// The server refuses to give it tasks.
    Denied,
    /// A signal ended it, and a task may be half done, or an answer may not have reached the sender.
    HalfDone,
    /// The program cannot be started.
    NotStarted,
    /// A second signal, with this number, ended it at once.
    Interrupted(u8),
}

const DENIED: u8 = 1;
const HALF_DONE: u8 = 3;
const NOT_STARTED: u8 = 4;
/// The exit code is this plus the number of the signal, as in shells.
const INTERRUPTED: u8 = 128;

impl Verdict {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::Finished => 0,
            Self::Denied => DENIED,
            Self::HalfDone => HALF_DONE,
            Self::NotStarted => NOT_STARTED,
            Self::Interrupted(signal) => INTERRUPTED.saturating_add(*signal),
        }
    }
}
