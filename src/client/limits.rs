//! Every bound of the client, each with its reason. The server's bounds are in [`crate::limits`]: this client speaks to servers of
//! other boards too, so it takes only the default port and the depth of the pipeline from there.

use crate::limits;

/// Messages on their way on one connection: sent and not yet answered. A server of any board takes no more from one client and then
/// stops reading, so more would only wait in the kernel, and become unknown if the connection breaks.
pub const IN_FLIGHT: usize = limits::IN_FLIGHT;

/// The bytes of those messages. The socket's send buffer takes all of them, so a line is never cut where the kernel is full.
pub const IN_FLIGHT_BYTES: usize = 48 * 1024;

/// What the socket's send buffer is asked to take: Linux counts its own books for each packet too, which for short lines are several
/// times the text.
pub const SEND_BUFFER_BYTES: usize = 4 * IN_FLIGHT_BYTES;

/// The longest text that is sent, in bytes: several times what the server of any board takes. The server says what is too long for it;
/// beyond this the client says so itself, and so need not keep the text.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The longest line with its end: the widest prefix and the longest text.
pub const SENT_LINE_BYTES_MAX: usize = "/9 ".len() + TEXT_BYTES_MAX + "\r\n".len();

/// The longest line of a server, without its LF: a `MSG` whose text has every byte escaped as `\xNN`, and room for its other fields.
/// What sends longer ones does not speak this protocol.
pub const RECEIVED_LINE_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX + 256;

/// What is received at a time, at least, in bytes: hundreds of replies.
pub const RECEIVE_BYTES: usize = 16 * 1024;

/// How many servers a list may name. Each that does not answer takes [`ATTEMPT_MS`] before the next is tried.
pub const SERVERS_MAX: usize = 8;

/// How many addresses of one name are tried. A name of one machine has a few.
pub const ADDRESSES_MAX: usize = 16;

/// The longest name of a host: that of DNS (RFC 1035, section 2.3.4).
pub const HOST_BYTES_MAX: usize = 255;

/// How long one address may take to accept and to answer the greeting: the server answers `/ping` at once, and makes a newcomer wait for
/// 3 s at most when all places are taken. A name may take as long to be looked up.
pub const ATTEMPT_MS: u64 = 5_000;

/// How long a server may say nothing while it reads its journal for a client, in milliseconds. It reads up to 8 GB, from
/// a slow card, in which perhaps no message is urgent enough.
pub const SEARCH_MS_MAX: u64 = 15 * 60 * 1_000;

/// After this silence a connection proves itself by `/ping` before a message is entrusted to it. Then a peer that lost its power, or a
/// router that forgot the connection, makes a message late and not unknown.
pub const PROBE_MS: u64 = 10_000;

/// The first pause between attempts: a restart of the server takes about as long.
pub const BACKOFF_MS_MIN: u64 = 100;

/// The longest pause between attempts: how late a message is, at most, after the server is back.
pub const BACKOFF_MS_MAX: u64 = 5_000;

/// How long nothing may be answered before what waits is given up, where nothing else is said. A board boots in that time.
pub const TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// When a silent connection is first probed by the kernel, and how often then, in seconds; after so many probes it is broken.
pub const KEEPALIVE_IDLE_S: u32 = 25;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_INTERVAL_S: u32 = 5;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_PROBES: u32 = 3;

/// How long the kernel may send without an acknowledgement of the other kernel before the connection is broken, in milliseconds. Without
/// a time-out of the caller's, nothing else would tell that the peer lost its power while messages were on their way.
pub const UNACKNOWLEDGED_MS_MAX: u32 = 40_000;

/// Messages that were received and not taken by the caller. Beyond that nothing is read, so the server, or its journal, keeps the rest.
pub const EVENTS_MAX: usize = 256;

/// How many journals a position is kept of: each server of a list has one, and one more each time a server gets a new one.
pub const JOURNALS_MAX: usize = 4 * SERVERS_MAX;

/// After this time without a message that is urgent enough, a watcher asks how far the history is. Then what is not urgent enough does
/// not count as lost when the journal overwrites it.
pub const REFRESH_S: u64 = 600;

/// What of a server's text is shown, in bytes: a line of a terminal or two.
pub const SHOWN_BYTES_MAX: usize = 160;

/// The longest token file: the longest token, with blanks and line ends around it.
pub const TOKEN_FILE_BYTES_MAX: usize = 256;

const _: () = {
    assert!(TEXT_BYTES_MAX >= limits::TEXT_BYTES, "the client must not refuse what the server takes");
    assert!(RECEIVED_LINE_BYTES_MAX >= limits::MSG_BYTES_MAX);
    assert!(SENT_LINE_BYTES_MAX <= IN_FLIGHT_BYTES, "the longest line must be sent at all");
    assert!(TOKEN_FILE_BYTES_MAX > limits::TOKEN_BYTES_MAX);
};
