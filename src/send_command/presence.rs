//! Whether the server is there.

use crate::client::limits::IN_FLIGHT;

/// Whether the server is there. It matters only with a spool: without one, the call ends when it gives the server up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Messages go to the server.
    There,
    /// Messages go to the spool: the sender has given up the server, or a signal came.
    Away,
    /// The server was away and answers again. It gets one message at a time until it has processed one: if it takes
    /// messages and does not answer them, few become unknown.
    OnTrial,
}

impl Presence {
    /// How many messages may be in flight.
    pub fn in_flight_max(self) -> usize {
        match self {
            Self::There => IN_FLIGHT,
            Self::Away => 0,
            Self::OnTrial => 1,
        }
    }
}
