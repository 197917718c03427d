//! Why `firstline handle` ended.

/// Why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A signal ended it, and no task was left half done.
    Finished,
    /// The server gives it no tasks.
    Denied,
    /// A signal ended it, and a task may be half done.
    HalfDone,
    /// The program cannot be started.
    NotStarted,
    /// That signal, the second one, ended it at once.
    Interrupted(u8),
}

const DENIED: u8 = 1;
const HALF_DONE: u8 = 3;
const NOT_STARTED: u8 = 4;
/// This plus the number of the signal, as in shells.
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
