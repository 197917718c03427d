//! Why `firstline watch` ended, and its exit code.

/// Why the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has printed as many messages as `--count` says.
    Counted,
    /// The reader of its output is gone.
    Unread,
    /// The server does not permit it to watch, for this reason.
    Denied(String),
    /// No message came within the time-out.
    TimedOut,
    /// Its output or its state could not be written.
    Failed,
    /// This signal ended it.
    Interrupted(u8),
}

const DENIED: u8 = 1;
const TIMED_OUT: u8 = 3;
const FAILED: u8 = 4;
/// The exit code is this plus the number of the signal, as in shells.
const INTERRUPTED: u8 = 128;

impl Verdict {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::Counted | Self::Unread => 0,
            Self::Denied(_) => DENIED,
            Self::TimedOut => TIMED_OUT,
            Self::Failed => FAILED,
            Self::Interrupted(signal) => INTERRUPTED.saturating_add(*signal),
        }
    }
}
