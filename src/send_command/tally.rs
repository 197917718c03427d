//! The counts of the outcomes, and the exit code.

use crate::client::Outcome;
use std::fmt;

/// The number of messages with each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Of those, how many were sent more than once, so that the server may have processed them twice.
    pub maybe_doubled: u64,
    /// Refused.
    pub refused: u64,
    /// Sent, with an unknown outcome.
    pub unknown: u64,
    /// Not sent.
    pub not_sent: u64,
    /// Not sent, but kept in the spool. This is not a failure.
    pub kept: u64,
    /// The input could not be read, the receipts could not be written, or the spool could not be used.
    pub has_failed: bool,
}

impl Tally {
    /// Counts the outcome of one message.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Acknowledged(receipt) => {
                self.acknowledged += 1;
                self.maybe_doubled += u64::from(receipt.may_be_doubled);
            }
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Unknown(_) => self.unknown += 1,
            Outcome::NotSent(_) => self.not_sent += 1,
        }
    }

    /// Whether no message was refused, unknown or not sent, and nothing else failed.
    pub fn is_well(&self) -> bool {
        self.refused + self.unknown + self.not_sent == 0 && !self.has_failed
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, refused, unknown, not_sent, kept, .. } = self;
        write!(f, "{acknowledged} acknowledged, {refused} refused, {unknown} unknown, {not_sent} not sent")?;
        if *kept > 0 { write!(f, ", {kept} kept") } else { Ok(()) }
    }
}

/// The result of the call. Of several failures, the one with the least certain outcome determines the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    tally: Tally,
    /// The signal that ended it.
    signal: Option<u8>,
}

/// Some messages were refused.
const REFUSED: u8 = 1;
/// Some messages have an unknown outcome.
const UNKNOWN: u8 = 3;
/// Some messages were not sent, or something else failed.
const NOT_SENT: u8 = 4;
/// A signal ended the call: the exit code is this plus the number of the signal, as in shells.
const INTERRUPTED: u8 = 128;

impl Verdict {
    /// The result of a call with that tally. `signal` is the signal that ended the call, if one did.
    pub fn new(tally: Tally, signal: Option<u8>) -> Self {
        Self { tally, signal }
    }

    /// Whether the call had no message, no failure and no signal.
    pub fn is_of_nothing(&self) -> bool {
        self.tally == Tally::default() && self.signal.is_none()
    }

    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        let Tally { refused, unknown, not_sent, has_failed, .. } = self.tally;
        if unknown > 0 {
            UNKNOWN
        } else if not_sent > 0 || has_failed {
            NOT_SENT
        } else if refused > 0 {
            REFUSED
        } else {
            self.signal.map_or(0, |signal| INTERRUPTED.saturating_add(signal))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_is_that_of_the_least_certain_failure() {
        let of = |refused, unknown, not_sent, signal| {
            Verdict::new(Tally { acknowledged: 1, refused, unknown, not_sent, ..Tally::default() }, signal)
                .code()
        };
        assert_eq!(of(0, 0, 0, None), 0);
        assert_eq!(of(1, 0, 0, None), 1);
        assert_eq!(of(1, 0, 1, None), 4);
        assert_eq!(of(1, 1, 1, Some(2)), 3);
        assert_eq!(of(0, 0, 0, Some(15)), 143);
        let unread = Tally { has_failed: true, ..Tally::default() };
        assert_eq!((Verdict::new(unread, None).code(), unread.is_well()), (4, false));
    }

    #[test]
    fn call_that_had_no_messages_and_no_signal_did_nothing() {
        assert!(Verdict::new(Tally::default(), None).is_of_nothing());
        assert!(!Verdict::new(Tally::default(), Some(2)).is_of_nothing());
    }
}
