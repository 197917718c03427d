//! Handlers and their tasks.

use super::{
    HANDLER_TASKS, HANDLER_TEXT_BYTES, HANDLERS, MSG_BYTES_MAX, NUMBER_BYTES_MAX, REPLY_BYTES_MAX,
    TIMEOUT_MS_MIN,
};

/// The tasks that handlers have, and those that are done and not acknowledged yet: as many as all handlers may have at
/// once. So a free handler always gets a task, unless acknowledgements wait for the disk.
pub const TASKS_MAX: usize = HANDLERS * HANDLER_TASKS;

/// The longest `TASK` line with its LF, in bytes: a `MSG` line, with two numbers in place of the ID.
pub const TASK_BYTES_MAX: usize = MSG_BYTES_MAX + "K".len() + NUMBER_BYTES_MAX + " ".len();

/// The mark after a text that was cut. A reader that undoes the escapes from the left cannot mistake it for a part of
/// the text: its backslash is followed by neither a backslash nor `x`. An escaped text may end with the same bytes,
/// after one more backslash.
pub const CUT_MARK: &str = "\\...";

/// The longest closing reply with the text of a handler, with its LF, in bytes. Only [`REPLY_BYTES_MAX`] of it are
/// reserved in the sender's outbox: if the sender reads so slowly that there is no room for the rest, the text is cut.
pub const TEXT_REPLY_BYTES_MAX: usize = REPLY_BYTES_MAX + 4 * HANDLER_TEXT_BYTES;

/// How long a handler has for a task before it asks for more with `/extend`, in milliseconds, if `--handle-limit` is
/// not shorter: longer than a valve or a script takes, and short enough that the sender learns of a handler that hangs.
pub const TASK_MS: u64 = 30 * 1_000;

/// How long a task pauses after a `/later`, in milliseconds: long enough that a handler that is not ready does not get
/// the task again and again, and short enough that a handler that becomes ready soon gets it soon.
pub const TASK_PAUSE_MS: u64 = 1_000;

/// Deadlines of waiting tasks are rounded up to a multiple of this, in milliseconds: a scan of all waiting tasks then
/// serves all deadlines of that time. It is a tenth of the shortest `--handle-wait`.
pub const TASK_GRAIN_MS: u64 = TIMEOUT_MS_MIN / 10;

/// `--handle-wait`, unless set, in milliseconds.
pub const HANDLE_WAIT_MS_DEFAULT: u64 = 30 * 1_000;

/// The longest `--handle-wait`, in milliseconds: an hour. It cannot be off, because every message gets its reply.
pub const HANDLE_WAIT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--handle-limit`, unless set, in milliseconds: ten times [`TASK_MS`].
pub const HANDLE_LIMIT_MS_DEFAULT: u64 = 10 * TASK_MS;

/// The longest `--handle-limit`, in milliseconds: a day. It cannot be off, because every message gets its reply.
pub const HANDLE_LIMIT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The highest `--attempts`: if this many handlers have lost a message, that is no accident.
pub const ATTEMPTS_MAX: usize = 100;
