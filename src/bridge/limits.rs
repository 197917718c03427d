//! Every bound of the bridge, each with its reason. The hub's are in [`crate::limits`].

use crate::limits::RECORD_BYTES_MAX;

/// The messages of one class that are read ahead of what is sent: more than a round trip takes at the default depth,
/// and a sync for each group rather than for each message.
pub const READ_AHEAD: usize = 32;

/// The bytes of the journal that one look reads for one class, so that a long search for urgent messages leaves the
/// other class its turn.
pub const LOOK_BYTES: u32 = 4 * 1024 * 1024;

/// Messages on their way without an acknowledgement, unless set: enough for a round trip of 100 ms at 200 messages a
/// second, and few enough that an urgent one overtakes the rest within them.
pub const IN_FLIGHT_DEFAULT: usize = 20;

/// The largest `--in-flight`: it bounds the memory, and what arrives twice after a loss of the connection.
pub const IN_FLIGHT_MAX: usize = 200;

/// Of the slots in flight, one in this many is kept for urgent messages.
pub const RESERVED_FRACTION: usize = 4;

/// Messages of one class whose places are kept, as a multiple of what is in flight: those behind an unacknowledged one
/// may be acknowledged, but the cursor cannot pass it.
pub const WINDOW_FACTOR: usize = 4;

/// What a packet has besides a text and its sender, in bytes, in the default form: names of fields, time, key and
/// topic.
pub const ENVELOPE_BYTES: usize = 256;

/// What an item counts for at most, in the turns of the classes.
pub const ITEM_BYTES_MAX: usize = RECORD_BYTES_MAX + ENVELOPE_BYTES;

/// The longest topic or template of one. Brokers take at least this much.
pub const TOPIC_BYTES_MAX: usize = 256;

/// The longest name of a node.
pub const NODE_BYTES_MAX: usize = 64;

/// The largest packet that a broker may send: a command with its properties. The library closes the connection on a
/// larger one before it reserves memory for it.
pub const RECEIVED_PACKET_BYTES_MAX: u32 = 64 * 1024;

/// What is received at a time.
pub const RECEIVE_BYTES: usize = 16 * 1024;

/// How many times [`RECEIVE_BYTES`] are received before everything else has its turn: a broker that sends without end
/// stops nothing, and what it sent is dealt with before more is taken.
pub const RECEIVES_MAX: usize = 4;

/// Answers to commands that wait for the socket, in bytes. Beyond it they are dropped: the broker does not read.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What the kernel holds unsent. An urgent message waits behind this and no more on its way into the network.
pub const UNSENT_BYTES: u32 = 4 * 1024;

/// What TLS holds unsent.
pub const TLS_UNSENT_BYTES: usize = 16 * 1024;

/// The least time between two looks that a write of the server causes, in ms: so a server that writes without pause
/// costs 200 looks a second at most.
pub const LOOK_PAUSE_MS: u64 = 5;

/// When the journal is looked at again after nothing was new, in ms, without word of a write: how late an urgent
/// message is at most. A look at an idle journal reads some pages from the cache.
pub const LOOK_MS: u64 = 100;

/// The same while no connection is up.
pub const LOOK_OFFLINE_MS: u64 = 1_000;

/// How long a record that is not whole may take to become whole, in ms: the server may be writing it, and a slow card
/// can hold up a write for seconds. Then it counts as damaged, and messages behind it are read.
pub const INCOMPLETE_MS: u64 = 3_000;

/// How often the cursors are written at most, in ms: each write wears a flash card. What was acknowledged since the
/// last one arrives twice after a power cut.
pub const SAVE_MS: u64 = 5_000;

/// How often the counters are written, in ms, while they change.
pub const COUNT_MS: u64 = 5_000;

/// The same while they do not: a monitor sees by the file's age that the bridge runs, and the disk has some rest.
pub const COUNT_UNCHANGED_MS: u64 = 20_000;

/// The first pause after a failed connection, in ms.
pub const BACKOFF_MS_MIN: u64 = 500;

/// The longest pause, in ms: how late the backlog starts, at most, after the broker is back.
pub const BACKOFF_MS_MAX: u64 = 60_000;

/// How long a connection may take to come up, in ms: the lookup of the name, and all its addresses together. Addresses
/// that do not answer share what is left, so that the last one has its turn, too.
pub const CONNECT_MS: u64 = 20_000;

/// How many addresses of one name are tried: the share of each is time enough to repeat a lost packet.
pub const ADDRESSES_MAX: usize = 8;

/// How long a PUBACK may take, unless set, in ms.
pub const ACK_TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// The keep-alive, in seconds: below what routers forget a connection after.
pub const KEEP_ALIVE_S: u16 = 30;

/// The pause after a refusal that may pass, in ms.
pub const TRANSIENT_PAUSE_MS: u64 = 30_000;

/// How often the broker may refuse a message with a reason that may pass, or close the connection on a message that is
/// alone on its way, before the message counts as refused. With the pauses between, these are more than 5 minutes.
pub const ATTEMPTS_MAX: u32 = 10;

/// After this many connections in a row that end without any acknowledgement, messages go one at a time: so the one at
/// fault is known.
pub const BARREN_CONNECTIONS_MAX: u32 = 3;

/// A connection that the broker closes in order before this long, in ms, was short.
pub const SHORT_MS: u64 = 10_000;

/// After this many short connections in a row, pauses grow even if messages were acknowledged in between: of two
/// clients with one name, each then has some time for its messages.
pub const SHORT_CONNECTIONS_MAX: u32 = 3;

/// The same failure is said again after this long, in ms.
pub const REPEAT_MS: u64 = 10 * 60 * 1_000;

/// A failure that was said, was over and comes again is said again before that, if it lasts this long, in ms. A
/// connection that comes and goes each second does not fill the log.
pub const LASTS_MS: u64 = 10_000;

/// How many failures are known as said: those that take turns are few.
pub const TROUBLES_MAX: usize = 4;

/// Lines that can come for each message are said at most this often, in ms: a broker that refuses a whole backlog does
/// not fill the log.
pub const SERIES_MS: u64 = 10_000;

/// The longest file with a password, in bytes.
pub const SECRET_BYTES_MAX: usize = 1_024;

/// The longest file with certificates or a key, in bytes.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Commands from the broker that the hub has not acknowledged; the broker sends no more.
pub const COMMANDS_MAX: u16 = 16;

/// How long the broker keeps commands for a bridge that is away, in seconds.
pub const COMMAND_SESSION_S: u32 = 24 * 60 * 60;

/// How often the rate of new messages is sampled, in ms, for the headroom.
pub const RATE_SAMPLE_MS: u64 = 10_000;

/// How long the rate remembers, in s: what is older counts for a third at most.
pub const RATE_MEMORY_S: f64 = 60.0;

const _: () = {
    assert!(IN_FLIGHT_DEFAULT <= IN_FLIGHT_MAX);
    // Both classes, in flight and read ahead, stay far below the memory that the bridge may take.
    assert!(2 * (WINDOW_FACTOR * IN_FLIGHT_MAX + READ_AHEAD) * 2 * RECORD_BYTES_MAX <= 4 * 1024 * 1024);
};
