//! Every bound of the client, each with its reason. The server's bounds are in [`crate::limits`]. This client also
//! talks to servers that were built for other boards. So at run time it uses only those bounds of the server that all
//! boards share: the default port, the length of a token, and the messages in flight.

use crate::limits;

/// Messages in flight on one connection: sent and not yet answered. A server of any board stops reading from a client
/// that has this many. Further messages would only wait in the kernel, and have an unknown outcome if the connection
/// breaks.
pub const IN_FLIGHT: usize = limits::IN_FLIGHT;

/// The bytes of those messages. They all fit the socket's send buffer, so the kernel does not take only part of a line.
pub const IN_FLIGHT_BYTES: usize = 48 * 1024;

/// The size requested for the socket's send buffer, in bytes. Linux also counts its own overhead for each packet, which
/// is several times the text of a short line.
pub const SEND_BUFFER_BYTES: usize = 4 * IN_FLIGHT_BYTES;

/// The longest text that the client sends, in bytes: several times what the server of any board takes. A server refuses
/// a text that is too long for it. The client itself refuses a text longer than this, so that it need not store it.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The longest line that the client sends, in bytes: the longest prefix, the longest text and the line end.
pub const SENT_LINE_BYTES_MAX: usize = "/9 ".len() + TEXT_BYTES_MAX + "\r\n".len();

/// The longest line of a server, without its LF: a `MSG` whose text has every byte escaped as `\xNN`, and room for its
/// other fields. A peer that sends longer ones does not speak this protocol.
pub const RECEIVED_LINE_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX + 256;

/// The room for one receive call, in bytes: hundreds of replies.
pub const RECEIVE_BYTES: usize = 16 * 1024;

/// How many servers a list may name. For each address that does not answer, the client waits for [`ATTEMPT_MS`].
pub const SERVERS_MAX: usize = 8;

/// How long a lookup may take, in milliseconds: mDNS and DNS give up earlier.
pub const LOOKUP_MS: u64 = 10_000;

/// How much of the output of `getent` the client reads, in bytes: more than [`ADDRESSES_MAX`] addresses take.
pub const GETENT_BYTES_MAX: usize = 16 * 1024;

/// How many addresses of one name the client tries. A name of one machine has a few.
pub const ADDRESSES_MAX: usize = 16;

/// The longest host name, in bytes: the limit of DNS (RFC 1035, section 2.3.4).
pub const HOST_BYTES_MAX: usize = 255;

/// How long the client waits for one address to accept the connection and answer the greeting `/ping`, in milliseconds.
/// The server answers `/ping` at once, and keeps a new client pending for 3 s at most while all connections are in use.
/// The client waits equally long for the lookup of a name.
pub const ATTEMPT_MS: u64 = 5_000;

/// How long the client waits for the reply to its token after the connection is established, in milliseconds. After
/// wrong tokens from an address, the server delays the check of every token from it, by up to 16 s with the default
/// `--per-address`. A client that connects again goes to the end of the queue.
pub const TOKEN_ATTEMPT_MS: u64 = 20_000;

/// How long a server may send nothing while it searches its journal for a client, in milliseconds. It may read up to 8
/// GB from a slow card, and find no message that is urgent enough.
pub const SEARCH_MS_MAX: u64 = 15 * 60 * 1_000;

/// If nothing was received for this time, in milliseconds, the client checks the connection with `/ping` before it
/// sends a message. So if the peer lost its power, or a router dropped the connection, the message is late, but its
/// outcome is not unknown.
pub const PROBE_MS: u64 = 10_000;

/// The first pause between attempts, in milliseconds: a restart of the server takes about as long.
pub const BACKOFF_MS_MIN: u64 = 100;

/// The longest pause between attempts, in milliseconds. With one server, the client tries again at most this long after
/// the server is back.
pub const BACKOFF_MS_MAX: u64 = 5_000;

/// The shortest time-out that a command accepts, in milliseconds: with a shorter one, the commands would give up a
/// board that is only busy.
pub const TIMEOUT_MS_MIN: u64 = 100;

/// The longest time-out that a command accepts, in milliseconds: a day. For a longer wait, the time-out can be off.
pub const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The default time-out, in milliseconds. A board boots in that time. With its default settings, a server answers
/// within 60 s: 30 s until a handler takes the message and 30 s for the handler, unless that sends `/extend`. If no
/// message gets its outcome for this time, the client gives up all messages that wait.
pub const TIMEOUT_MS_DEFAULT: u64 = 75_000;

/// The kernel probes a connection that has been silent for this time, in seconds, and then every
/// [`KEEPALIVE_INTERVAL_S`]. After [`KEEPALIVE_PROBES`] probes without an answer, it breaks the connection.
pub const KEEPALIVE_IDLE_S: u32 = 25;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_INTERVAL_S: u32 = 5;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_PROBES: u32 = 3;

/// The kernel breaks the connection if the peer's kernel acknowledges nothing for this time, in milliseconds. If the
/// caller sets no time-out, only this detects that the peer lost its power while messages were in flight.
pub const UNACKNOWLEDGED_MS_MAX: u32 = 40_000;

/// How many events may wait for the caller. At this bound the client stops reading, so the rest stays in the server or
/// its journal.
pub const EVENTS_MAX: usize = 256;

/// How many positions the client keeps, one for each journal. Each server of a list has one journal, and gets another
/// one if its directory is replaced.
pub const JOURNALS_MAX: usize = 4 * SERVERS_MAX;

/// If no message of at least its priority comes for this time, in seconds, a watcher asks for the newest ID and moves
/// its position there. Otherwise it would report the less urgent messages before that ID as lost when the journal
/// overwrites them.
pub const REFRESH_S: u64 = 600;

/// How much of a server's text is shown, in bytes: one or two lines of a terminal.
pub const SHOWN_BYTES_MAX: usize = 160;

/// The longest token file, in bytes: the longest token, with blanks and line ends around it.
pub const TOKEN_FILE_BYTES_MAX: usize = 256;

const _: () = {
    assert!(TEXT_BYTES_MAX >= limits::TEXT_BYTES, "the client must not refuse what the server takes");
    assert!(RECEIVED_LINE_BYTES_MAX >= limits::MSG_BYTES_MAX);
    assert!(SENT_LINE_BYTES_MAX <= IN_FLIGHT_BYTES, "the longest line must be sent at all");
    assert!(TOKEN_FILE_BYTES_MAX > limits::TOKEN_BYTES_MAX);
};
