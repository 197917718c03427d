//! How often handlers have lost a task or given it back so far. Knows neither tables nor handlers.

use crate::protocol::reply::Nak;

/// How a handler loses a task. The handler may have done it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Loss {
    /// No handler has lost it.
    Never,
    /// The connection of the handler broke.
    Connection,
    /// The handler exceeded the time for it.
    Time,
}

/// How often handlers have lost a task, and how often they have given it back. A new one is all zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    losses: u8,
    returns: u8,
    last_loss: Loss,
}

impl Past {
    /// The past of a task that no handler has had.
    pub const NONE: Self = Self { losses: 0, returns: 0, last_loss: Loss::Never };

    /// Counts a loss. Returns the number of losses so far.
    pub fn count_loss(&mut self, loss: Loss) -> u8 {
        self.losses += 1;
        self.last_loss = loss;
        self.losses
    }

    /// Counts that a handler has given the task back. Returns how often that has happened.
    pub fn count_return(&mut self) -> u8 {
        self.returns += 1;
        self.returns
    }

    /// The reason that the sender gets if the task ends for `reason`. A handler that has lost the task may have done
    /// it, so a `reason` that says that the task was not done might be wrong. In that case the sender gets the last
    /// loss as the reason.
    pub fn reason(self, reason: Nak) -> Nak {
        match self.last_loss {
            Loss::Never => reason,
            Loss::Connection => Nak::HandlerLost,
            Loss::Time => Nak::HandlerTimeout,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn task_that_was_lost_once_is_never_told_as_not_done() {
        let mut past = Past::NONE;
        past.count_return();
        for reason in [Nak::NoHandler, Nak::HandlerRefused, Nak::ShuttingDown] {
            assert_eq!(past.reason(reason), reason);
        }
        for (loss, expected) in [(Loss::Connection, Nak::HandlerLost), (Loss::Time, Nak::HandlerTimeout)] {
            past.count_loss(loss);
            for reason in [Nak::NoHandler, Nak::HandlerRefused, Nak::ShuttingDown] {
                assert_eq!(past.reason(reason), expected);
            }
        }
        assert_eq!((past.count_loss(Loss::Time), past.count_return()), (3, 2));
    }
}
