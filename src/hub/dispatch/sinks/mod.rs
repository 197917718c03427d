//! The sinks: each of them has a message before the server acknowledges the message.

pub mod journal;
pub mod journal_log;
pub mod opening;
pub mod stdout;
