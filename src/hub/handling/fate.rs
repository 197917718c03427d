//! Decides what happens next to a task that its handler has not done. Knows neither tables nor handlers.

use crate::hub::handling::past::{Loss, Past};
use crate::protocol::Priority;
use crate::protocol::reply::Nak;

/// The times and counts from the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a task waits for a handler at most, in nanoseconds.
    pub wait_ns: u64,
    /// How long a handler has for a task, from its start or from the last `/extend`, in nanoseconds: at most
    /// `limit_ns`.
    pub time_ns: u64,
    /// How long a handler may have a task in all, in nanoseconds.
    pub limit_ns: u64,
    /// The sender gets a NAK after handlers have lost a task this many times, or have given it back more often than
    /// this.
    pub attempts: u8,
}

/// Why a handler no longer has a task that it has not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The handler refuses it.
    Refused,
    /// The handler gives it back, for now.
    Later,
    /// The connection of the handler ended in order.
    Left,
    /// The connection of the handler broke.
    Lost,
    /// The handler exceeded the time for it.
    TimedOut,
}

/// The fate of a task that its handler has not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<T> {
    /// It waits again, and a handler may get it now. The value is its priority.
    PutBack(Priority),
    /// It waits again, and no handler gets it before its pause is over.
    Paused,
    /// Its sender gets this NAK.
    Refused(T, Nak),
}

impl Rules {
    /// Counts the end of a task. Returns why it is refused, or `None` if the task waits again.
    ///
    /// A handler may have done a task that was lost. So even in a shutdown the NAK says that the task was lost, not
    /// that the server shuts down. [`Past::reason`] applies the same rule to earlier losses.
    pub fn refusal(&self, past: &mut Past, why: Ended, is_draining: bool) -> Option<Nak> {
        let (reason, loss) = match why {
            Ended::Refused => return Some(Nak::HandlerRefused),
            Ended::Later | Ended::Left => {
                let is_refused = past.count_return() > self.attempts;
                let reason = if is_draining { Nak::ShuttingDown } else { Nak::HandlerRefused };
                return (is_draining || is_refused).then_some(reason);
            }
            Ended::Lost => (Nak::HandlerLost, Loss::Connection),
            Ended::TimedOut => (Nak::HandlerTimeout, Loss::Time),
        };
        let is_refused = past.count_loss(loss) >= self.attempts;
        (is_draining || is_refused).then_some(reason)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn refusals(attempts: u8, is_draining: bool, ends: &[Ended]) -> Vec<Option<Nak>> {
        let rules = Rules { wait_ns: 0, time_ns: 0, limit_ns: 0, attempts };
        let mut past = Past::NONE;
        ends.iter().map(|why| rules.refusal(&mut past, *why, is_draining)).collect()
    }

    #[test]
    fn loss_is_refused_when_no_attempts_are_left() {
        assert_eq!(refusals(1, false, &[Ended::Lost]), [Some(Nak::HandlerLost)]);
        assert_eq!(refusals(1, false, &[Ended::TimedOut]), [Some(Nak::HandlerTimeout)]);
        let ends = [Ended::Lost, Ended::TimedOut, Ended::Lost];
        assert_eq!(refusals(3, false, &ends), [None, None, Some(Nak::HandlerLost)]);
    }

    #[test]
    fn giving_back_costs_no_attempt_and_is_bounded() {
        let ends = [Ended::Later, Ended::Lost, Ended::Left, Ended::Later];
        assert_eq!(refusals(2, false, &ends), [None, None, None, Some(Nak::HandlerRefused)]);
        assert_eq!(refusals(9, false, &[Ended::Refused]), [Some(Nak::HandlerRefused)]);
    }

    #[test]
    fn shutdown_puts_nothing_back() {
        assert_eq!(refusals(9, true, &[Ended::Lost]), [Some(Nak::HandlerLost)]);
        assert_eq!(refusals(9, true, &[Ended::Later]), [Some(Nak::ShuttingDown)]);
    }
}
