//! The real server, started afresh for each test, and what its clients and its users see of it.
//!
//! One program, so that what waits in one test leaves the processor to the others. `cargo test --test server access::` runs those of
//! one module.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod bounds;
mod foreign;
mod journal;
mod journal_command;
mod journal_command_last;
mod journal_command_resize;
mod leaving;
mod logging;
mod names;
mod netcat;
mod printing;
mod priority;
mod protocol;
mod service;
mod sharing;
mod shutdown;
mod system;
