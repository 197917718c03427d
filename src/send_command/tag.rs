//! Identifies a message while it is in flight.

use super::name::Name;
use crate::client::Message;

/// Identifies a message while it is in flight.
#[derive(Debug)]
pub struct Tag {
    /// Which message it is.
    pub which: Which,
    /// The message itself, to keep it in the spool if it is not sent; `None`: there is no spool.
    pub message: Option<Message>,
}

/// Which message it is.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// The only message of this call.
    Only,
    /// The line of standard input with that number.
    Line(u64),
    /// A message of the spool.
    Kept {
        /// Its name there.
        name: Name,
        /// An earlier process may have sent it.
        is_doubtful: bool,
    },
}
