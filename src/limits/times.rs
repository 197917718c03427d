//! The times that options choose, and those of a shutdown.

/// The part of the drain time-out that is reserved for the last replies, in milliseconds, but at most a quarter of it:
/// the server refuses the messages that are not processed by then, and sends the refusals. Half a second was too short
/// on a board with twenty processes on two processors.
pub const LAST_WORDS_MS: u64 = 2_000;

/// How long a client that has all its replies may take in a shutdown to read the rest, in milliseconds: the messages
/// of other clients that are left, and the farewell. The kernel still sends what it has accepted by then.
pub const SHUTDOWN_REST_MS_MAX: u64 = 500;

/// How long a client may take to read the farewell before the server closes the socket, in milliseconds. If the server
/// closed it at once, the kernel could reset the connection, and the client might never see the reason.
pub const FAREWELL_MS_MAX: u64 = 2_000;

/// The longest timed sleep, in seconds: the largest time of a 32-bit kernel, 68 years. A longer sleep has no time-out.
pub const SLEEP_SECONDS_MAX: u64 = i32::MAX as u64;

/// The longest `--aging`, in milliseconds: a day for one step of priority has practically no effect.
pub const AGING_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The shortest of all time-outs, in milliseconds: less would close healthy clients on a radio link.
pub const TIMEOUT_MS_MIN: u64 = 100;

/// `--idle-timeout`, unless set, in milliseconds: an hour, longer than a device that reports sleeps.
pub const IDLE_TIMEOUT_MS_DEFAULT: u64 = 60 * 60 * 1_000;

/// The longest `--idle-timeout`, in milliseconds: a year. For more there is `off`.
pub const IDLE_TIMEOUT_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;

/// `--write-timeout`, unless set, in milliseconds: longer than a radio link is usually lost.
pub const WRITE_TIMEOUT_MS_DEFAULT: u64 = 30 * 1_000;

/// The longest `--write-timeout`, in milliseconds: an hour. For more there is `off`.
pub const WRITE_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--line-timeout`, unless set, in milliseconds: longer than a radio link is usually lost. Most programs send a typed
/// line as a whole, so pauses while typing do not matter.
pub const LINE_TIMEOUT_MS_DEFAULT: u64 = 30 * 1_000;

/// The longest `--line-timeout`, in milliseconds: an hour. For more there is `off`.
pub const LINE_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--idle-grace`, unless set, in milliseconds: a client that reports each minute keeps its place.
pub const IDLE_GRACE_MS_DEFAULT: u64 = 60 * 1_000;

/// The longest `--idle-grace`, in milliseconds: a day. For more there is `off`.
pub const IDLE_GRACE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// `--drain-timeout`, unless set, in milliseconds; from the protocol.
pub const DRAIN_TIMEOUT_MS_DEFAULT: u64 = 5 * 1_000;

/// The longest `--drain-timeout`, in milliseconds: an hour. It cannot be off, because the server promises to end.
pub const DRAIN_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;
