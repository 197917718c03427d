//! One client, served by one worker: the session and the types that it is made of.
//!
//! ```text
//! session ─> open, departure ─> link ─> receive, deadlines, closing, commands
//! open ─> blocker ─> closing
//! commands ─> opening, listing, login, replaying, tasks
//! ```
//!
//! An arrow says what imports what; types at the same place do not know each other.

pub mod blocker;
pub mod closing;
pub mod commands;
pub mod deadlines;
pub mod departure;
pub mod link;
pub mod listing;
pub mod login;
pub mod open;
pub mod opening;
pub mod poll_at;
pub mod receive;
pub mod replaying;
pub mod session;
pub mod tasks;
