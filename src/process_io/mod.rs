//! What the commands share: output that does not block, signals as a descriptor, one poll for all descriptors, and the
//! reason why a command cannot start. Knows no messages.
//!
//! | file | owns |
//! | --- | --- |
//! | [`output`] | lines that wait for standard output or standard error |
//! | [`interruption`] | the signals that end a command |
//! | [`progress`] | the progress of a command, on a terminal |
//! | [`ready`] | the poll of several descriptors |
//! | [`file_lock`] | locks of files between processes |
//! | [`awaited_lock`] | a file lock as a descriptor to poll |
//! | [`regular_file`] | opening a file that has to be a regular one |
//! | [`standard_error`] | single lines on standard error |
//! | [`failure`] | why a command cannot start |
//! | [`advice`] | what the user can do about a server's reason |

pub mod advice;
pub mod awaited_lock;
pub mod failure;
pub mod file_lock;
pub mod interruption;
pub mod output;
pub mod progress;
pub mod ready;
pub mod regular_file;
pub mod standard_error;
