//! The log.

/// The log names an address that is rejected, or that tries wrong tokens, once in this time for each reason, in
/// milliseconds.
pub const LOG_THROTTLE_MS: u64 = 60_000;

/// How many addresses the log names in that time, for each kind. It reports once, without names, that there are more:
/// a client that connects from a whole network must not fill the log.
pub const LOG_THROTTLE_ADDRESSES_MAX: usize = 32;

/// How long the server waits at its end for the log to be written, in milliseconds: a stuck terminal must not keep it
/// from ending.
pub const LOG_DRAIN_MS_MAX: u64 = 1_000;

/// The text of one log record, in bytes. A longer text is cut and marked as cut.
pub const LOG_TEXT_BYTES_MAX: usize = 240;

/// The part of the text that module and line may take, if they are shown, in bytes.
pub const LOG_ORIGIN_BYTES_MAX: usize = 80;

/// The longest log line with its LF, in bytes: date, level, text. The seconds since the start, from 64-bit
/// nanoseconds, are shorter than a date.
pub const LOG_LINE_BYTES_MAX: usize =
    "2026-11-28T16:41:31.123Z ".len() + "ERROR ".len() + LOG_TEXT_BYTES_MAX + "\n".len();

/// The smallest jump of the wall clock that the log file reports, in milliseconds. A smaller one does not confuse a
/// reader that searches by date, and is usual when a clock is corrected.
pub const LOG_DATE_JUMP_MS: u64 = 1_000;

/// How much the log writer writes at a time at most, in bytes: one page, so that a burst of records costs an SD card
/// few writes.
pub const LOG_BATCH_BYTES: usize = 4096;

/// The pause after the log file could not be opened, in milliseconds.
pub const LOG_REOPEN_MS: u64 = 1_000;

/// The longest line on standard error about an error of the log file, in bytes: descriptions of errors have about 50.
pub const LOG_COMPLAINT_BYTES_MAX: usize = 160;

/// The smallest `--log-size`, in bytes: less would hold only the lines of a start.
pub const LOG_FILE_BYTES_MIN: u64 = 16 * 1024;

/// The stack of the log writer, in bytes.
pub const LOGGER_STACK_BYTES: usize = 64 * 1024;

/// `--log-size`, unless set, in bytes.
pub const LOG_FILE_BYTES_DEFAULT: u64 = 1024 * 1024;

/// The largest `--log-size`, in bytes: a file offset of 32 bits can still address it.
pub const LOG_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
