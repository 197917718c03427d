//! What the commands that speak to a server share: standard output and standard error without waiting, signals that are read like a
//! file, and one wait for all of them. Knows no server.
//!
//! | file | owns |
//! | --- | --- |
//! | [`output`] | what waits to be written to standard output or standard error |
//! | [`interruption`] | the signals that end a command |
//! | [`progress`] | how far a command is, on a terminal |
//! | [`ready`] | the wait |

pub mod interruption;
pub mod output;
pub mod progress;
pub mod ready;
