//! Why a measurement ended early.

use crate::client::shown::{described, shown};
use crate::counted::Counted;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a measurement ended early.
#[derive(Debug)]
pub enum Trouble {
    /// A system call failed; most often the connection is gone.
    System(io::Error),
    /// The server closed the connection or refused this client; its last line, or empty.
    Closed(String),
    /// The server answered nothing for that long.
    Silent(Duration),
    /// What answers is no firstline server; this was its first line.
    Foreign(String),
    /// It refused that many messages, for that reason.
    Refused(u64, String),
    /// It gave that many urgent messages a lower priority.
    Lowered(u64),
    /// That many messages did not reach a reader.
    Lost(u64),
    /// Nothing was answered during the measurement.
    Nothing,
    /// It is in use; how.
    InUse(String),
    /// It takes so few connections from this machine that nothing can be measured.
    NoRoom(usize),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<nix::errno::Errno> for Trouble {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::System(errno.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => f.write_str(&described(error)),
            Self::Closed(line) if line.is_empty() => f.write_str("the server closed a connection"),
            Self::Closed(line) => write!(f, "the server does not serve this client: {}", shown(line)),
            Self::Silent(time) => write!(f, "no answer for {} s", time.as_secs()),
            Self::Foreign(line) => write!(f, "not a firstline server; it says: {}", shown(line)),
            Self::Refused(count, reason) => write!(f, "it refused {}: {reason}", Counted(*count, "line")),
            Self::Lowered(count) => write!(
                f,
                "it lowered {}: start it without --urgent-rate, or show a token of priority 9",
                Counted(*count, "urgent line")
            ),
            Self::Lost(count) => write!(f, "a reader lost {} of the server", Counted(*count, "message")),
            Self::Nothing => f.write_str("it answered nothing during a measurement; give more --seconds"),
            Self::InUse(how) => write!(
                f,
                "{how}; a measurement floods it with messages. Measure another server, or give --force"
            ),
            Self::NoRoom(connections) => write!(
                f,
                "it takes {} from this machine, and 3 are needed; start it with a larger --per-address, or end other \
                 clients",
                Counted(*connections as u64, "connection")
            ),
        }
    }
}

impl std::error::Error for Trouble {}
