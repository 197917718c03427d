//! What goes to one client. The threads share it, under one mutex.

pub mod flush;
pub mod outbox;
