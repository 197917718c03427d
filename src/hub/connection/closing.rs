//! Why and how a connection is closed, with the lines for the client and for the log: one table.

use crate::protocol::foreign::Foreign;
use crate::protocol::reply::Farewell;
use nix::errno::Errno;
use std::fmt;

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client has closed its sending side.
    End,
    /// The client sent `/quit`.
    Quit,
    /// The server shuts down.
    ShuttingDown,
    /// The server shuts down. The client has all its replies, but does not read the rest in time.
    ShutdownRest,
    /// The client sent nothing for too long.
    Idle,
    /// The client was idle, and another client needed its place.
    GaveWay,
    /// The client did not read for too long.
    TooSlow,
    /// The client did not end a line in time.
    LineTimeout,
    /// The client speaks another protocol.
    Foreign(Foreign),
    /// The client showed too many wrong tokens.
    WrongToken,
    /// The client showed no token in time.
    NotAuthenticated,
    /// The client's token no longer gives the rights that it gave.
    TokenWithdrawn,
    /// The connection timed out while the client's token waited for its check.
    Abandoned,
    /// Sending failed, and everything that had arrived is received.
    Unsendable(Errno),
    /// The connection broke.
    Broken(Errno),
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The server refuses each line that the client has sent. Then it closes as with [`Answer`](Self::Answer).
    Refuse,
    /// The server takes no more lines. Each line that it has taken gets its reply, then the client gets the farewell.
    Answer,
    /// At once, because the client does not read: the kernel gets as much as it accepts, with the farewell.
    CutShort,
    /// At once: nothing can be sent any more.
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
            Self::ShutdownRest => (Manner::CutShort, Some(Farewell::ShuttingDown)),
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

    /// Whether the client itself ended the connection.
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
            Self::ShuttingDown | Self::ShutdownRest => f.write_str("shutting down"),
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
