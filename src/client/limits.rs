//! Every bound of the client, each with its reason. The server's bounds are in [`crate::limits`]. This client speaks
//! to servers of other boards too, so it uses only three of them: the default port and the length of a token, which
//! are part of the protocol, and the messages in flight, which are the same in all files of `targets/boards`.

use crate::limits;

/// Messages in flight on one connection: sent and not yet answered. A server of any board takes no more from one
/// client and then stops reading. More would only wait in the kernel, and have an unknown outcome if the connection
/// breaks.
pub const IN_FLIGHT: usize = limits::IN_FLIGHT;

/// The bytes of those messages. They all fit the socket's send buffer, so the kernel does not take a line in part.
pub const IN_FLIGHT_BYTES: usize = 48 * 1024;

/// The size requested for the socket's send buffer, in bytes. Linux also counts its own bookkeeping of each packet,
/// which for short lines is several times the text.
pub const SEND_BUFFER_BYTES: usize = 4 * IN_FLIGHT_BYTES;

/// The longest text that the client sends, in bytes: several times what the server of any board takes. The server
/// refuses a text that is too long for it; the client refuses a text longer than this itself, so that it need not keep
/// it.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The longest line with its end: the widest prefix and the longest text.
pub const SENT_LINE_BYTES_MAX: usize = "/9 ".len() + TEXT_BYTES_MAX + "\r\n".len();

/// The longest line of a server, without its LF: a `MSG` whose text has every byte escaped as `\xNN`, and room for its
/// other fields. A peer that sends longer ones does not speak this protocol.
pub const RECEIVED_LINE_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX + 256;

/// The room for one receive call, in bytes: hundreds of replies.
pub const RECEIVE_BYTES: usize = 16 * 1024;

/// How many servers a list may name. For each address that does not answer, the client waits for [`ATTEMPT_MS`].
pub const SERVERS_MAX: usize = 8;

/// How long a lookup may take, in ms: mDNS and DNS give up earlier.
pub const LOOKUP_MS: u64 = 10_000;

/// What the client reads of the output of `getent`, in bytes: more than [`ADDRESSES_MAX`] addresses take.
pub const GETENT_BYTES_MAX: usize = 16 * 1024;

/// How many addresses of one name the client tries. A name of one machine has a few.
pub const ADDRESSES_MAX: usize = 16;

/// The longest name of a host: that of DNS (RFC 1035, section 2.3.4).
pub const HOST_BYTES_MAX: usize = 255;

/// How long the client waits for one address to accept and to answer the greeting. The server answers `/ping` at once,
/// and lets a new client wait for 3 s at most while all connections are in use. The client waits as long for the
/// lookup of a name.
pub const ATTEMPT_MS: u64 = 5_000;

/// How long a server may say nothing while it reads its journal for a client, in milliseconds. It reads up to 8 GB,
/// from a slow card, and perhaps no message there is urgent enough.
pub const SEARCH_MS_MAX: u64 = 15 * 60 * 1_000;

/// After this silence the client checks a connection with `/ping` before it sends a message. So if the peer lost its
/// power, or a router forgot the connection, the message is late, but its outcome is not unknown.
pub const PROBE_MS: u64 = 10_000;

/// The first pause between attempts: a restart of the server takes about as long.
pub const BACKOFF_MS_MIN: u64 = 100;

/// The longest pause between attempts. With one server, the client tries again at most this long after the server is
/// back.
pub const BACKOFF_MS_MAX: u64 = 5_000;

/// The shortest time-out that a command takes: with a shorter one, a loaded board counts as away.
pub const TIMEOUT_MS_MIN: u64 = 100;

/// The longest time-out that a command takes, a day: a longer wait needs no time-out.
pub const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The default time-out: without a reply for so long, the client gives up all messages that wait. A board boots in
/// that time.
pub const TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// The kernel probes a connection that has been silent for this time, in seconds, then again after each
/// [`KEEPALIVE_INTERVAL_S`]. After [`KEEPALIVE_PROBES`] without an answer the connection is broken.
pub const KEEPALIVE_IDLE_S: u32 = 25;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_INTERVAL_S: u32 = 5;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_PROBES: u32 = 3;

/// The connection is broken if the other kernel acknowledges nothing for this time, in milliseconds. If the caller
/// sets no time-out, only this detects a peer that lost its power while messages were in flight.
pub const UNACKNOWLEDGED_MS_MAX: u32 = 40_000;

/// The most events that wait for the caller. At this bound the client stops reading, so the server, or its journal,
/// keeps the rest.
pub const EVENTS_MAX: usize = 256;

/// How many journals the client keeps a position of. Each server of a list has one journal, and a new one when it
/// starts afresh.
pub const JOURNALS_MAX: usize = 4 * SERVERS_MAX;

/// After this time without a message of at least its priority, a watcher asks for the newest ID and moves its position
/// there. So the less urgent messages before it do not count as lost when the journal overwrites them.
pub const REFRESH_S: u64 = 600;

/// How much of a server's text is shown, in bytes: a line or two of a terminal.
pub const SHOWN_BYTES_MAX: usize = 160;

/// The longest token file: the longest token, with blanks and line ends around it.
pub const TOKEN_FILE_BYTES_MAX: usize = 256;

const _: () = {
    assert!(TEXT_BYTES_MAX >= limits::TEXT_BYTES, "the client must not refuse what the server takes");
    assert!(RECEIVED_LINE_BYTES_MAX >= limits::MSG_BYTES_MAX);
    assert!(SENT_LINE_BYTES_MAX <= IN_FLIGHT_BYTES, "the longest line must be sent at all");
    assert!(TOKEN_FILE_BYTES_MAX > limits::TOKEN_BYTES_MAX);
};
