//! What goes to one client. The threads share it, under one mutex.
//!
//! [`outbox`] composes [`buffer`], [`credits`], [`send_state`] and [`subscription`], which do not know each other; [`flush`] does the
//! input and output.

pub mod buffer;
pub mod credits;
pub mod flush;
pub mod outbox;
pub mod send_state;
pub mod subscription;
