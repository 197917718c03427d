//! What a message is known by while it is on its way.

use super::spool::Name;
use crate::client::Message;

/// What a message is known by while it is on its way.
#[derive(Debug)]
pub struct Tag {
    /// Which message it is.
    pub which: Which,
    /// What to keep of it, if there is a spool.
    pub message: Option<Message>,
}

/// Which message it is.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// The only one.
    Only,
    /// The line of that number.
    Line(u64),
    /// One of the spool.
    Kept {
        /// Its name there.
        name: Name,
        /// It may have been sent before.
        is_doubtful: bool,
    },
}
