//! The real server, started anew for each test, as its clients and its users see it.
//!
//! All modules are one program, so that tests that wait leave the processor to the others. `cargo test --test
//! server access::` runs the tests of one module.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod bench_command;
mod bounds;
mod foreign;
mod handle_command;
mod handle_schedules;
mod handlers;
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
mod send;
mod send_spool;
mod service;
mod sharing;
mod shutdown;
mod system;
mod terminal;
mod watch;
mod watch_schedules;
