//! Every bound of `firstline handle`, each with its reason.

use crate::limits;
use std::time::Duration;

/// The longest text of an answer to the server, in bytes. The server keeps [`limits::HANDLER_TEXT_BYTES`] of a text,
/// and marks a longer one as cut. So a text that was cut here must still be longer than that.
pub const TEXT_BYTES_MAX: usize = limits::HANDLER_TEXT_BYTES + 16;

/// How much of a program's line is kept, in bytes: an answer with the longest text.
pub const LINE_BYTES_MAX: usize = "later ".len() + TEXT_BYTES_MAX;

/// The size of one read of a program's output, in bytes. A program that writes without a pause is read once in each
/// round, so that it cannot keep this process from its deadlines and signals.
pub const READ_BYTES: usize = 4096;

/// How often the output of a program that has ended is read at most. That makes 1 MiB, the largest pipe of an
/// unprivileged process (pipe(7)). Without a bound, a process that still has the pipe open could write without end.
pub const LAST_READS_MAX: usize = (1 << 20) / READ_BYTES;

/// How long a program may take to write `READY 1`: an interpreter starts from a slow card in that time.
pub const START: Duration = Duration::from_secs(30);

/// The time between SIGTERM and SIGKILL.
pub const TERM_GRACE: Duration = Duration::from_secs(2);

/// The first pause before a program is started again, in milliseconds.
pub const RESTART_MS_MIN: u64 = 100;

/// The longest pause before a program is started again, in milliseconds.
pub const RESTART_MS_MAX: u64 = 30_000;

/// How long running tasks may take after the signal that ends this process.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long this process waits at its end for the server's last replies, and then for standard error. On a LAN the
/// replies arrive in that time.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// The shortest time between two `/extend` for one task. Otherwise, `/extend` is sent when half of the server's time is
/// over.
pub const EXTEND_PAUSE: Duration = Duration::from_secs(1);

/// How many ignored lines of programs are logged in [`IGNORED_PAUSE`]; the others are only counted.
pub const IGNORED_LINES_MAX: u64 = 5;

/// See [`IGNORED_LINES_MAX`].
pub const IGNORED_PAUSE: Duration = Duration::from_secs(60);

const _: () = {
    assert!(
        "/refuse ".len() + limits::NUMBER_BYTES_MAX + " ".len() + TEXT_BYTES_MAX <= limits::LINE_BYTES_MAX,
        "the server must take a command with the longest text"
    );
    // A text that is cut here is still too long for the server, so the server marks the cut.
    assert!(TEXT_BYTES_MAX > limits::HANDLER_TEXT_BYTES);
};
