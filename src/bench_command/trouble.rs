//! Why a measurement ended early.

use crate::client::shown::{described, shown};
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a measurement ended early.
#[derive(Debug)]
pub enum Trouble {
    /// A system call failed; most often the connection is gone.
    System(io::Error),
    /// The server closed a connection, or serves nobody here; this was its line, or nothing.
    Closed(String),
    /// The server answered nothing for that long.
    Silent(Duration),
    /// What answers is no firstline server; this was its first line.
    Foreign(String),
    /// It refused messages, for that reason.
    Refused(u64, String),
    /// It is in use: that way.
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
            Self::Refused(count, reason) => write!(f, "it refused {count} lines: {reason}"),
            Self::InUse(how) => write!(
                f,
                "{how}; a measurement floods it with messages. Measure another server, or give --force"
            ),
            Self::NoRoom(connections) => write!(
                f,
                "it takes {connections} connections from this machine, and 3 are needed; start it with a larger \
                 --per-address, or end other clients"
            ),
        }
    }
}

impl std::error::Error for Trouble {}
