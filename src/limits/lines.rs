//! The lines of the protocol.

use super::{IN_FLIGHT, TEXT_BYTES};

/// The longest decimal number, in bytes: `u64::MAX`.
pub const NUMBER_BYTES_MAX: usize = 20;

/// The longest nick, in bytes; from the protocol.
pub const NICK_BYTES_MAX: usize = 16;

/// The longest FROM, in bytes: `[IPv6%SCOPE]:PORT` with every field at its widest. A nick is shorter.
pub const FROM_BYTES_MAX: usize = "[".len() + 39 + "%".len() + 10 + "]:".len() + 5;

/// The longest command word with the space after it, in bytes: the longest text fits a line after any of these words.
pub const COMMAND_PREFIX_BYTES_MAX: usize = "/urgent ".len();

/// The longest line, in bytes, without its LF and the CR before it. The server drops the bytes of a longer line as
/// they arrive, whatever they are.
pub const LINE_BYTES_MAX: usize = COMMAND_PREFIX_BYTES_MAX + TEXT_BYTES;

/// The longest escaped text, in bytes: every byte as `\xNN`.
pub const ESCAPED_BYTES_MAX: usize = 4 * TEXT_BYTES;

/// The longest `MSG` line with its LF, in bytes.
pub const MSG_BYTES_MAX: usize = "MSG ".len()
    + NUMBER_BYTES_MAX
    + " p9 ".len()
    + FROM_BYTES_MAX
    + " ".len()
    + ESCAPED_BYTES_MAX
    + "\n".len();

/// The longest closing reply (`ACK`, `NAK`, `OK`, `ERR`) with its LF, in bytes. Each slot of a client reserves this
/// much room in the outbox, so a reply never waits for room. It is enough for an `ERR` with a number of
/// [`NUMBER_BYTES_MAX`], its reason, and a few words of advice.
pub const REPLY_BYTES_MAX: usize = 80;

/// The longest line of a listing (`WHO`, `STAT`, `HELP`) with its LF, in bytes.
pub const ANSWER_LINE_BYTES_MAX: usize = 120;

/// The part of an outbox that is reserved for closing replies, in bytes: MSG lines leave it free.
pub const REPLY_ROOM_BYTES: usize = IN_FLIGHT * REPLY_BYTES_MAX;

/// The longest name with which a misspelt one is compared, in bytes: of an option without its dashes, or of a command.
pub const NAME_BYTES_MAX: usize = 32;
