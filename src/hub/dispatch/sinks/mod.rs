//! What has each message before it is acknowledged.

pub mod journal;
pub mod stdout;
