//! Every bound of `firstline handle`, each with its reason.

use crate::limits;
use std::time::Duration;

/// The text of an answer that goes to the server, in bytes. The server keeps [`limits::HANDLER_TEXT_BYTES`] of it,
/// and marks a text that is longer than that as cut; so it must get some bytes more.
pub const TEXT_BYTES_MAX: usize = limits::HANDLER_TEXT_BYTES + 16;

/// How much of a program's line is kept, in bytes: an answer with its text.
pub const LINE_BYTES_MAX: usize = "later ".len() + TEXT_BYTES_MAX;

/// The size of one read of a program's output, in bytes. A program that never pauses is read once in each round, so
/// that it cannot keep this process from its deadlines and signals.
pub const READ_BYTES: usize = 4096;

/// How often the output of a program that has ended is read at most: 1 MiB, the largest pipe that a program can get
/// without a right (pipe(7)). A process that it left behind may write on.
pub const LAST_READS_MAX: usize = (1 << 20) / READ_BYTES;

/// How long a program has to write `READY 1`: an interpreter on a slow card starts in that time.
pub const START: Duration = Duration::from_secs(30);

/// The time between SIGTERM and SIGKILL.
pub const TERM_GRACE: Duration = Duration::from_secs(2);

/// The first pause before a program is started again, in milliseconds.
pub const RESTART_MS_MIN: u64 = 100;

/// The longest pause before a program is started again, in milliseconds.
pub const RESTART_MS_MAX: u64 = 30_000;

/// How long the tasks that run may take after the signal that ends this process.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long this process waits at its end for the server's last replies, and for standard error. On a LAN the replies
/// come in that time.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// The least time between two `/extend` for one task. It is asked for again when half of the time is over.
pub const EXTEND_PAUSE: Duration = Duration::from_secs(1);

/// How many lines of a program are told as ignored in [`IGNORED_PAUSE`]; the others are counted.
pub const IGNORED_LINES_MAX: u64 = 5;

/// See [`IGNORED_LINES_MAX`].
pub const IGNORED_PAUSE: Duration = Duration::from_secs(60);

const _: () = {
    assert!(
        "/refuse ".len() + limits::NUMBER_BYTES_MAX + " ".len() + TEXT_BYTES_MAX <= limits::LINE_BYTES_MAX,
        "the server must take a command with the longest text"
    );
    // Of the longest text, the server looks for the beginning of a character in the last four bytes that it keeps.
    assert!(TEXT_BYTES_MAX > limits::HANDLER_TEXT_BYTES);
};
