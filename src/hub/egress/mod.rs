//! The state for sending to one client. Several threads use it.
//!
//! [`outbox`] composes [`buffer`], [`credits`], [`endpoint`], [`idleness`], [`send_state`], [`subscription`] and
//! [`wake_on`], which do not know each other; [`shared_outbox`] adds the locks, [`flush`] sends, [`send_waits`]
//! limits how long it waits for other threads, and [`text_reply`] makes room for a handler's text.

pub mod buffer;
pub mod credits;
pub mod endpoint;
pub mod flush;
pub mod idleness;
pub mod outbox;
pub mod send_state;
#[cfg(not(loom))]
pub mod send_waits;
pub mod shared_outbox;
pub mod subscription;
#[cfg(not(loom))]
pub mod text_reply;
pub mod wake_on;
