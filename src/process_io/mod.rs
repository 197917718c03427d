//! Parts that the commands share: standard output and standard error without waiting, signals as a descriptor, one wait
//! for all of them, and why a command cannot begin. Knows no messages.
//!
//! | file | owns |
//! | --- | --- |
//! | [`output`] | lines that wait for standard output or standard error |
//! | [`interruption`] | the signals that end a command |
//! | [`progress`] | how far a command is, on a terminal |
//! | [`ready`] | the wait |
//! | [`file_lock`] | locks of files between processes |
//! | [`awaited_lock`] | the wait for one of them together with other events |
//! | [`standard_error`] | single lines for people |
//! | [`failure`] | why a command cannot begin |
//! | [`advice`] | what its user can do about a server's reason |

pub mod advice;
pub mod awaited_lock;
pub mod failure;
pub mod file_lock;
pub mod interruption;
pub mod output;
pub mod progress;
pub mod ready;
pub mod standard_error;
