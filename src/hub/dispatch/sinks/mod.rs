//! What has each message before it is acknowledged.

pub mod journal;
pub mod journal_log;
pub mod opening;
pub mod stdout;
