//! Sockets: the only module that makes them and speaks to them.
//!
//! It knows nothing of clients, lines or the queue. Everything here that may be called after "ready" is
//! non-blocking and allocates nothing.

pub mod allowed;
pub mod listener;
pub mod near;
pub mod netlink;
pub mod socket;

pub use allowed::Allowed;
pub use listener::{Listener, listen};
