//! The bounds of the bridge, each with its reason, except those that are of one file alone. The hub's are in [`crate::limits`].

use crate::limits::RECORD_BYTES_MAX;

/// How many messages of one class are read ahead of those that are sent: more than are sent in a round trip at the
/// default depth, so that one sync serves a group of messages instead of each message.
pub const READ_AHEAD: usize = 32;

/// The bytes of the journal that one poll reads for one class, so that a long search for urgent messages does not stop
/// the other class.
pub const LOOK_BYTES: u32 = 4 * 1024 * 1024;

/// `--in-flight`, unless set: the messages that are sent but not acknowledged. It is enough for a round trip of 100 ms
/// at 200 messages a second, and small enough that few messages of the rest precede an urgent one.
pub const IN_FLIGHT_DEFAULT: usize = 20;

/// The largest `--in-flight`: it bounds the memory, and the messages that arrive twice after the connection is lost.
pub const IN_FLIGHT_MAX: usize = 200;

/// One in this many of the messages in flight is reserved for urgent ones.
pub const RESERVED_FRACTION: usize = 4;

/// The size of the window of one class, as a multiple of the messages in flight: messages after an unacknowledged one
/// may be acknowledged already, but the cursor cannot pass that one.
pub const WINDOW_FACTOR: usize = 4;

/// The bytes of a packet besides the text and its sender, in the default form: names of fields, time, key and topic.
pub const ENVELOPE_BYTES: usize = 256;

/// The largest size of an item, for the turns of the classes.
pub const ITEM_BYTES_MAX: usize = RECORD_BYTES_MAX + ENVELOPE_BYTES;

/// The longest topic, or template of a topic, in bytes. Brokers accept at least this much.
pub const TOPIC_BYTES_MAX: usize = 256;

/// The longest topic for answers, in bytes: some brokers take no longer ones.
pub const RESPONSE_TOPIC_BYTES_MAX: usize = 1_024;

/// How many levels a topic may have. Mosquitto ends the connection at more than 200.
pub const TOPIC_LEVELS_MAX: usize = 100;

/// The longest name of a node, in bytes.
pub const NODE_BYTES_MAX: usize = 64;

/// The largest packet that a broker may send: a command with its properties. The library closes the connection on a
/// larger one before it reserves memory for it.
pub const RECEIVED_PACKET_BYTES_MAX: u32 = 64 * 1024;

/// The bytes of one receive.
pub const RECEIVE_BYTES: usize = 16 * 1024;

/// How many receives of [`RECEIVE_BYTES`] are made before other work continues: so a broker that sends without end
/// stops no other work, and the received bytes are handled before more are received.
pub const RECEIVES_MAX: usize = 4;

/// How many unsent bytes the kernel holds at most. An urgent message waits in the kernel only for these bytes.
pub const UNSENT_BYTES: u32 = 4 * 1024;

/// How many unsent bytes TLS holds.
pub const TLS_UNSENT_BYTES: usize = 16 * 1024;

/// The least time between two reads of the journal that writes of the server cause, in ms. So a server that writes
/// without pause causes at most 200 reads a second.
pub const LOOK_PAUSE_MS: u64 = 5;

/// How often the journal is polled if nothing was new and no write is reported, in ms. This bounds the delay of an
/// urgent message. A poll of an idle journal reads only some pages from the cache.
pub const LOOK_MS: u64 = 100;

/// [`LOOK_MS`] while there is no connection.
pub const LOOK_OFFLINE_MS: u64 = 1_000;

/// How long a record that is not whole may take to become whole, in ms: the server may be writing it, and a slow card
/// can hold up a write for seconds. Then it counts as damaged, and the messages after it are read.
pub const INCOMPLETE_MS: u64 = 3_000;

/// The least time between two writes of the cursors, in ms: each write wears a flash card. The messages that were
/// acknowledged since the last write arrive twice after a power cut.
pub const SAVE_MS: u64 = 5_000;

/// How often the counters are written, in ms, while they change.
pub const COUNT_MS: u64 = 5_000;

/// How often the counters are written, in ms, while they do not change. A monitor can tell by the file's age that the
/// bridge runs, and the disk gets few writes.
pub const COUNT_UNCHANGED_MS: u64 = 20_000;

/// The first pause after a failed connection, in ms.
pub const BACKOFF_MS_MIN: u64 = 500;

/// The longest pause, in ms. It bounds the delay of the backlog after the broker is back.
pub const BACKOFF_MS_MAX: u64 = 60_000;

/// The pause after a server has not accepted the token for commands, in milliseconds: the server delays other logins
/// from this address for a second after each wrong token.
pub const DENIAL_PAUSE_MS: u64 = 60_000;

/// How long it may take to connect, in ms: the lookup of the name, and all its addresses together. Each address gets a
/// share of the remaining time, so that the last one is tried, too.
pub const CONNECT_MS: u64 = 20_000;

/// How many addresses of one name are tried. The share of each is long enough to retransmit a lost packet.
pub const ADDRESSES_MAX: usize = 8;

/// `--ack-timeout`, unless set, in ms: how long any answer of the broker may take: CONNACK, SUBACK, PUBACK, PINGRESP.
pub const ACK_TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// The keep-alive, in seconds: less than the time after which routers forget a connection.
pub const KEEP_ALIVE_S: u16 = 30;

/// How long the end of the bridge waits for the acknowledgements of messages in flight, in ms. It is less than the time
/// after which systemd kills a service.
pub const LAST_ACKS_MS: u64 = 2_000;

/// The pause after a temporary refusal, in ms.
pub const TRANSIENT_PAUSE_MS: u64 = 30_000;

/// How often the broker may refuse a message for a temporary reason, or close the connection while only that message is
/// in flight, before the message counts as refused. With the pauses in between, that takes about a minute or more.
pub const ATTEMPTS_MAX: u32 = 10;

/// After this many connections in a row that end with messages of one class in flight, of which the broker has answered
/// none, messages go one at a time, to identify the message at fault.
pub const BARREN_CONNECTIONS_MAX: u32 = 3;

/// A connection that the broker closes cleanly within this time, in ms, counts as short.
pub const SHORT_MS: u64 = 10_000;

/// After this many short connections in a row, pauses grow even if messages were acknowledged in between. So if two
/// clients have the same client ID, each has some time for its messages.
pub const SHORT_CONNECTIONS_MAX: u32 = 3;

/// How long until the same failure is logged again, in ms.
pub const REPEAT_MS: u64 = 10 * 60 * 1_000;

/// If a failure ended and occurs again, it is logged again before that, once it has lasted this long, in ms. So a
/// connection that comes and goes each second does not fill the log.
pub const LASTS_MS: u64 = 10_000;

/// How many logged failures are remembered. Only a few failures alternate.
pub const TROUBLES_MAX: usize = 4;

/// The least time between two log lines of a kind that can occur for each message, in ms: so a broker that refuses a
/// whole backlog does not fill the log.
pub const SERIES_MS: u64 = 10_000;

/// The longest file with a password, in bytes.
pub const SECRET_BYTES_MAX: usize = 1_024;

/// The longest file with certificates or a key, in bytes.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// How many commands the bridge has at most that are not acknowledged to the broker: as many as NATS sends at once unless
/// it is set otherwise; Mosquitto, EMQX and others send far fewer.
pub const COMMANDS_MAX: usize = 1_024;

/// The bytes of the topics, payloads and properties of these commands, at most.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;

/// How long the broker keeps commands for a bridge that is away, in seconds. With MQTT 3.1.1 the broker decides.
pub const COMMAND_SESSION_S: u32 = 24 * 60 * 60;

/// How often the rate of new messages is sampled, in ms, for the headroom.
pub const RATE_SAMPLE_MS: u64 = 10_000;

/// The time constant of the average rate, in s: older samples have a weight of about a third at most.
pub const RATE_MEMORY_S: f64 = 60.0;

const _: () = {
    assert!(IN_FLIGHT_DEFAULT <= IN_FLIGHT_MAX);
    assert!(RECEIVED_PACKET_BYTES_MAX as usize <= COMMAND_BYTES_MAX / 2);
    // Both classes together, in flight and read ahead, take far less memory than the bridge may use.
    assert!(2 * (WINDOW_FACTOR * IN_FLIGHT_MAX + READ_AHEAD) * 2 * RECORD_BYTES_MAX <= 4 * 1024 * 1024);
};
