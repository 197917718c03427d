//! Every bound of the server. The raw values of a board stand in `targets/boards/*.toml`; what follows from
//! them stands here, each with its reason, and the invariants between them are checked when this is compiled.
//!
//! This module knows no operating system and no other module. What the bounds cost in memory is summed up in
//! [`crate::budget`].

include!(concat!(env!("OUT_DIR"), "/board.rs"));

/// The longest decimal number that is ever written: `u64::MAX`.
pub const NUMBER_BYTES_MAX: usize = 20;

/// The longest nick, in bytes; from the protocol.
pub const NICK_BYTES_MAX: usize = 16;

/// The longest FROM: `[IPv6%SCOPE]:PORT` with every field at its widest. A nick is shorter.
pub const FROM_BYTES_MAX: usize = "[".len() + 39 + "%".len() + 10 + "]:".len() + 5;

/// The longest command word with the space behind it: a text of full length fits after any of them.
pub const COMMAND_PREFIX_BYTES_MAX: usize = "/urgent ".len();

/// The longest line that is looked at, without its LF and the CR before it. A longer one is too long,
/// whatever it says, and is dropped as it comes in.
pub const LINE_BYTES_MAX: usize = COMMAND_PREFIX_BYTES_MAX + TEXT_BYTES;

/// A text at its longest once it is escaped: every byte as `\xNN`.
pub const ESCAPED_BYTES_MAX: usize = 4 * TEXT_BYTES;

/// The longest `MSG` line with its LF.
pub const MSG_BYTES_MAX: usize =
    "MSG ".len() + NUMBER_BYTES_MAX + " p9 ".len() + FROM_BYTES_MAX + " ".len() + ESCAPED_BYTES_MAX + "\n".len();

/// The longest closing reply (`ACK`, `NAK`, `OK`, `ERR`) with its LF. Each slot of a client has that much
/// kept free for it in the outbox, so a reply never has to wait for room. Long enough for an `ERR` with a
/// number of [`NUMBER_BYTES_MAX`], its reason, and a few words on what to do.
pub const REPLY_BYTES_MAX: usize = 80;

/// The longest line of a longer answer (`WHO`, `STAT`, `HELP`) with its LF.
pub const ANSWER_LINE_BYTES_MAX: usize = 120;

/// The part of an outbox that closing replies have for themselves: MSG lines and answers leave it free.
pub const REPLY_ROOM_BYTES: usize = IN_FLIGHT * REPLY_BYTES_MAX;

/// The capacity of the queue: the slots of all clients together, so that it cannot overflow.
pub const QUEUE_MAX: usize = CLIENTS * IN_FLIGHT;

/// What one `send` takes from an outbox at most. It is copied to the sender's stack, so that no lock is held
/// while the system sends.
pub const SEND_BYTES_MAX: usize = 4096;

/// Sends for one client in one turn, before others have theirs.
pub const SENDS_PER_TURN_MAX: usize = 4;

/// Words of a bitmap with one bit a client.
pub const CLIENT_WORDS: usize = CLIENTS.div_ceil(32);

/// What the kernel may hold for one connection in each direction, in bytes. Without this bound Linux lets
/// a connection that does not read grow to megabytes; the kernel itself doubles it for its own books.
pub const SOCKET_BUFFER_BYTES: usize = 64 * 1024;

/// Listeners (`--listen`).
pub const LISTENERS_MAX: usize = 8;

/// Connections that the kernel completes before they are accepted.
pub const BACKLOG: i32 = 128;

/// Connections that were turned away and still have to hear why: kept until they close or
/// [`FAREWELL_MS_MAX`] is over. When they are more, the oldest goes first.
pub const TURNED_AWAY_MAX: usize = 16;

/// How long a closed connection may take to read its last line before it is dropped, in milliseconds.
/// Closing at once would reset it, and the client might never see the reason.
pub const FAREWELL_MS_MAX: u64 = 2_000;

/// The pause after `accept` failed for want of descriptors or memory, in milliseconds.
pub const ACCEPT_RETRY_MS: u64 = 200;

/// How long the log may take to be written out at the end, in milliseconds: a stuck terminal must not keep
/// the server from ending.
pub const LOG_DRAIN_MS_MAX: u64 = 1_000;

/// The text of one log record, in bytes; a longer one is cut, and shows it.
pub const LOG_TEXT_BYTES_MAX: usize = 240;

/// The part of that which module and line may take where they are shown, in bytes.
pub const LOG_ORIGIN_BYTES_MAX: usize = 80;

/// The longest log line with its LF: seconds and microseconds from nanoseconds of 64 bits, level, text.
pub const LOG_LINE_BYTES_MAX: usize =
    11 + ".000000 ".len() + "ERROR ".len() + LOG_TEXT_BYTES_MAX + "\n".len();

/// What the log writer writes at a time at most, in bytes: one page, so that a burst of records costs an SD
/// card few writes.
pub const LOG_BATCH_BYTES: usize = 4096;

/// The pause after the log file could not be opened, in milliseconds.
pub const LOG_REOPEN_MS: u64 = 1_000;

/// The longest line on standard error about trouble with the log file, in bytes: descriptions of errors have
/// about 50.
pub const LOG_COMPLAINT_BYTES_MAX: usize = 160;

/// The smallest `--log-size`, in bytes: less would hold no more than what a start says.
pub const LOG_FILE_BYTES_MIN: u64 = 16 * 1024;

/// The stack of the consumer, in bytes: it formats and copies, and calls no one deep.
pub const CONSUMER_STACK_BYTES: usize = 64 * 1024;

/// The stack of the log writer, in bytes.
pub const LOGGER_STACK_BYTES: usize = 64 * 1024;

/// Descriptors besides those of clients and workers: standard streams, listeners, signals, log files, those
/// who are turned away, and one being accepted.
pub const DESCRIPTORS_OTHER: usize = 3 + LISTENERS_MAX + TURNED_AWAY_MAX + 8;

const _: () = {
    assert!(CLIENTS <= u16::MAX as usize, "a client's number is 16 bits of a handle");
    assert!(IN_FLIGHT <= 64, "the slots of a client are one 64-bit word");
    assert!(BATCH <= 64, "the protocol promises a batch of 64 at most");
    assert!(WORKERS <= CLIENTS, "a worker with no client to serve would only cost its stack");
    assert!(TEXT_BYTES <= u16::MAX as usize, "a text's length is 16 bits");
    assert!(RECEIVE_BYTES >= LINE_BYTES_MAX + "\r\n".len(), "a whole line must fit the receive buffer");
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + 2 * MSG_BYTES_MAX,
        "an outbox needs its reply room and some lines for those who joined"
    );
    assert!(OUTBOX_BYTES >= REPLY_ROOM_BYTES + ANSWER_LINE_BYTES_MAX, "an answer must find room line by line");
    assert!(LOG_ORIGIN_BYTES_MAX < LOG_TEXT_BYTES_MAX / 2, "a log line is there for its text");
    assert!(LOG_BATCH_BYTES >= 3 * LOG_LINE_BYTES_MAX, "a batch holds a loss of before, a loss and a record");
    assert!(LOG_FILE_BYTES_MIN / 2 >= LOG_BATCH_BYTES as u64, "a batch must fit a log file");
    assert!(ANSWER_LINE_BYTES_MAX >= "WHO  p9 ".len() + FROM_BYTES_MAX + NUMBER_BYTES_MAX + "\n".len());
};
