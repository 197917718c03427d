//! Why `firstline watch` ended.

/// Why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has printed as many messages as were asked for.
    Counted,
    /// Nobody reads its output any more.
    Unread,
    /// The server will not let it watch, for this reason.
    Denied(String),
    /// No message came for as long as it was to wait.
    TimedOut,
    /// Its output or its state could not be written.
    Failed,
    /// That signal ended it.
    Interrupted(u8),
}

const DENIED: u8 = 1;
const TIMED_OUT: u8 = 3;
const FAILED: u8 = 4;
/// That plus the number of a signal, as shells have it.
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
