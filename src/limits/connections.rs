//! The connections of clients: their sockets, and what each poll does for one.

use super::CLIENTS;

/// How many bytes of an outbox one `send` takes at most. The sending thread copies them first, so that the
/// outbox is unlocked during the system call.
pub const SEND_BYTES_MAX: usize = 4096;

/// Sends for one client in each poll of its session.
pub const SENDS_PER_POLL_MAX: usize = 4;

/// The delivery waits for sends of other threads for at most one part in this many of the time. Such a wait takes long
/// only if the scheduler does not run the sending thread. But a client that floods the server with commands keeps its
/// thread sending, and without a limit it would delay the messages of all others. Other threads wait up to
/// [`SEND_WAIT_BURST_MS`] each time.
pub const SEND_WAIT_DIVISOR: u64 = 32;

/// How long a thread may wait for sends at once, in milliseconds, before that share applies: many times as long as
/// the scheduler of a busy board keeps a thread waiting.
pub const SEND_WAIT_BURST_MS: u64 = 1_000;

/// How much the kernel may hold for one connection in each direction, in bytes. Without this bound, Linux lets the
/// buffers of a client that does not read grow to megabytes. The kernel doubles the value for its own bookkeeping.
pub const SOCKET_BUFFER_BYTES: usize = 64 * 1024;

/// The receive buffer of a client from which the server receives nothing until the client reads, in bytes; in
/// addition, the kernel accepts what its window has let the client send before: see
/// [`socket::raise_receive_buffer`](crate::net::socket::raise_receive_buffer). It is larger by a quarter, so that the
/// client can send a little more.
pub const RAISED_RECEIVE_BUFFER_BYTES: usize = SOCKET_BUFFER_BYTES / 4 * 5;

/// After how many seconds of silence the kernel first probes a connection. It repeats the probe every
/// [`KEEPALIVE_INTERVAL_S`], and after [`KEEPALIVE_PROBES`] without an answer the connection is broken.
///
/// The server detects within 90 s that a board has lost its power. If nothing was being sent, the probes take 40 s
/// from the board's last sign of life. If something was being sent, [`UNACKNOWLEDGED_MS_MAX`] takes 40 s from the
/// first attempt. The worst case is both: just before the last probe the server sends something, and meanwhile the
/// kernel does not probe; that takes 80 s. The rest is for the kernel's timers, which may be late by an eighth of
/// their time, and for the first retransmission.
pub const KEEPALIVE_IDLE_S: u32 = 25;
/// The time between two probes, in seconds: see [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_INTERVAL_S: u32 = 5;
/// How many probes without an answer break a connection: see [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_PROBES: u32 = 3;

/// After how many unanswered probes or retransmissions a connection may lose its place to a new connection. A single
/// one may be lost on a radio link, or may still be in transit on a slow link.
pub const UNANSWERED_MIN: u8 = 2;

/// How long sent bytes may stay unacknowledged by the peer's kernel, in milliseconds. It also applies to a peer whose
/// kernel acknowledges but has no room, because the client does not read. So if `--write-timeout` is longer, the time
/// is that time-out plus one of the [`WRITE_CHECKS`] and [`WRITE_MARGIN_MS`]. If that time-out is off, it is the
/// system's default, a quarter of an hour.
pub const UNACKNOWLEDGED_MS_MAX: u32 = 40_000;

/// How often within the write time-out the server checks whether a client whose socket accepts nothing still reads.
pub const WRITE_CHECKS: u64 = 8;

/// How much later than the write time-out, plus one of the [`WRITE_CHECKS`], the kernel ends a connection, in
/// milliseconds: so the server closes it first, and can tell the client why.
pub const WRITE_MARGIN_MS: u32 = 5_000;

/// Receives from a lingering connection in each poll. The bytes are discarded.
pub const DISCARDS_PER_POLL_MAX: usize = 8;

/// How many bytes one key sends at most: a character of UTF-8. The server recognizes a program that sends each key by
/// itself, as telnet of Windows does, by receives that have at most this many bytes and do not end a line.
pub const KEY_BYTES_MAX: usize = 4;

/// How many such receives in a row mean that a person types: a single one may be the beginning of a line that came in
/// two parts.
pub const TYPIST_KEYS_MIN: u8 = 2;

/// How many times `--line-timeout` a typed line may take if each key comes within one `--line-timeout` of the key
/// before.
pub const TYPED_LINE_TIMEOUTS: u64 = 10;

/// `--per-address`, unless set: a quarter of the places of the usual board, so that one host cannot keep others out.
/// On a small board, all places.
pub const PER_ADDRESS_DEFAULT: usize = if CLIENTS < 16 { CLIENTS } else { 16 };

/// The highest `--rate`, in lines a second: more than such a board processes from all clients together.
pub const RATE_MAX: usize = 1_000_000;

/// The burst of `--rate`, in milliseconds: a client may send as many lines at once as the rate gives in this time.
pub const RATE_BURST_MS: u64 = 1_000;

/// The highest `--urgent-rate`, in messages a minute: a thousand alarms a second are not plausible.
pub const URGENT_RATE_MAX: usize = 60_000;

/// How long a client under `--rate` that was too fast waits at least, in milliseconds; then the server takes all the
/// lines that the rate gives in that time. One wake for each line would keep the processor busy.
pub const RATE_PAUSE_MS: u64 = 10;

/// The burst of `--urgent-rate`, in milliseconds: a client may send as many urgent messages at once as the rate gives
/// in this time. It is a minute, because an alarm seldom comes alone.
pub const URGENT_BURST_MS: u64 = 60_000;
