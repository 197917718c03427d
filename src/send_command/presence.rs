//! Whether messages go to the server or to the spool.

use crate::client::limits::IN_FLIGHT;

/// Whether messages go to the server or to the spool. Without a spool, the call ends when it gives up the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Messages go to the server.
    There,
    /// Messages go to the spool: the sender has given up the server, or a signal came.
    Away,
    /// The server was given up and answers again. It gets one message at a time until it has answered one. So if it
    /// takes messages and does not answer, only one becomes unknown.
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
