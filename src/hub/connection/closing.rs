//! Why a connection is closed, how, and what the client and the log are told: one table.

use crate::protocol::foreign::Foreign;
use crate::protocol::reply::Farewell;
use nix::errno::Errno;
use std::fmt;

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client has ended its side.
    End,
    /// It said `/quit`.
    Quit,
    /// The server ends.
    ShuttingDown,
    /// The server ends, and the client, which has all its replies, does not read the rest in time.
    Unowed,
    /// It said nothing for too long.
    Idle,
    /// It said nothing for a while, and another client wanted its place.
    GaveWay,
    /// It did not read for too long.
    TooSlow,
    /// It did not end a line in time.
    LineTimeout,
    /// It speaks another protocol.
    Foreign(Foreign),
    /// It tried wrong tokens.
    WrongToken,
    /// It showed no token in time.
    NotAuthenticated,
    /// Its token no longer gives the rights that it gave.
    TokenWithdrawn,
    /// The connection timed out while the client's token waited to be checked.
    Abandoned,
    /// Nothing can be sent any more, and all that had come is received.
    Unsendable(Errno),
    /// The connection broke.
    Broken(Errno),
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The client may do nothing more: what it has sent is refused, line by line. Then as [`Answer`](Self::Answer).
    Refuse,
    /// No line is taken any more. Every line that was taken gets its reply, then comes the farewell.
    Answer,
    /// At once, because the client does not read: the kernel gets what it takes, with the farewell.
    CutShort,
    /// At once: nothing more can be sent.
    Drop,
}

impl Reason {
    /// How the connection is closed, and the last line that the client gets.
    pub fn closing(self) -> (Manner, Option<Farewell>) {
        match self {
            Self::End | Self::Unsendable(_) => (Manner::Answer, None),
            Self::Quit => (Manner::Answer, Some(Farewell::Quit)),
            Self::ShuttingDown => (Manner::Answer, Some(Farewell::ShuttingDown)),
            Self::Idle => (Manner::Answer, Some(Farewell::Idle)),
            Self::GaveWay => (Manner::Answer, Some(Farewell::GaveWay)),
            Self::LineTimeout => (Manner::Answer, Some(Farewell::LineTimeout)),
            Self::Foreign(foreign) => (Manner::Answer, Some(Farewell::Foreign(foreign))),
            Self::WrongToken => (Manner::Refuse, Some(Farewell::WrongToken)),
            Self::NotAuthenticated => (Manner::Refuse, Some(Farewell::NotAuthenticated)),
            Self::TokenWithdrawn => (Manner::Refuse, Some(Farewell::TokenWithdrawn)),
            Self::Abandoned => (Manner::Refuse, None),
            Self::TooSlow => (Manner::CutShort, Some(Farewell::TooSlow)),
            Self::Unowed => (Manner::CutShort, Some(Farewell::ShuttingDown)),
            Self::Broken(_) => (Manner::Drop, None),
        }
    }

    /// How the connection is closed.
    pub fn manner(self) -> Manner {
        self.closing().0
    }

    /// The last line that the client gets.
    pub fn farewell(self) -> Option<Farewell> {
        self.closing().1
    }

    /// Whether the client just went away.
    pub fn is_of_client(self) -> bool {
        match self {
            Self::Unsendable(errno) | Self::Broken(errno) => {
                matches!(errno, Errno::ECONNRESET | Errno::EPIPE)
            }
            reason => reason == Self::End,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("it closed the connection"),
            Self::Quit => f.write_str("it quit"),
            Self::ShuttingDown | Self::Unowed => f.write_str("shutting down"),
            Self::Idle => f.write_str("idle"),
            Self::GaveWay => f.write_str("idle, and its place was wanted"),
            Self::TooSlow => f.write_str("too slow: it did not read"),
            Self::LineTimeout => f.write_str("it did not end a line in time"),
            Self::Foreign(foreign) => write!(f, "it is {}", foreign.client()),
            Self::WrongToken => f.write_str("it tried wrong tokens"),
            Self::NotAuthenticated => f.write_str("it showed no token in time"),
            Self::TokenWithdrawn => f.write_str("its line in the auth file is gone or changed"),
            Self::Abandoned => f.write_str(Errno::ETIMEDOUT.desc()),
            Self::Unsendable(errno) | Self::Broken(errno) => f.write_str(errno.desc()),
        }
    }
}
