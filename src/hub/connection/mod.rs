//! One client, as its worker sees it.

pub mod commands;
pub mod listing;
pub mod login;
pub mod poll_at;
pub mod rate_limit;
pub mod session;
