//! Parts that the commands share which speak to a server: standard output and standard error without waiting, signals
//! as a descriptor, and one wait for all of them. Knows no server.
//!
//! | file | owns |
//! | --- | --- |
//! | [`output`] | lines that wait for standard output or standard error |
//! | [`interruption`] | the signals that end a command |
//! | [`progress`] | how far a command is, on a terminal |
//! | [`ready`] | the wait |

pub mod interruption;
pub mod output;
pub mod progress;
pub mod ready;
