//! Sockets: the only module that makes them and calls the kernel about them.
//!
//! It knows no clients, no lines and no queue. Everything here that may be called after "ready" is non-blocking and
//! allocates nothing.

pub mod allowed;
pub mod listener;
pub mod local;
pub mod netlink;
pub mod socket;

pub use allowed::Allowed;
pub use listener::{Listener, listen};
