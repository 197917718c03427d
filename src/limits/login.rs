//! Tokens, and the login with them.

use super::{CLIENTS, NICK_BYTES_MAX};

/// Entries in the file of `--auth-file`: not all of their clients are connected at the same time.
pub const TOKENS_MAX: usize = 2 * CLIENTS;

/// The shortest token, in bytes: a random one cannot be guessed at the rate at which the server checks tokens.
pub const TOKEN_BYTES_MIN: usize = 16;

/// The longest token, in bytes: 256 random bits in hexadecimal digits.
pub const TOKEN_BYTES_MAX: usize = 64;

/// The longest line of the auth file with its LF, in bytes, with single spaces between the words.
pub const AUTH_LINE_BYTES_MAX: usize = NICK_BYTES_MAX + TOKEN_BYTES_MAX + "   9 no-join handle\n".len() - 1;

/// The largest auth file, in bytes: with the largest number of entries, a quarter of it is left for comments.
pub const AUTH_FILE_BYTES_MAX: usize = TOKENS_MAX * AUTH_LINE_BYTES_MAX / 3 * 4;

/// How long a client may take to show its token, in milliseconds: enough for a person to paste it. So a client without
/// a token cannot keep a place from others.
pub const AUTHENTICATION_MS_MAX: u64 = 20_000;

/// How many wrong tokens close a connection.
pub const WRONG_TOKENS_MAX: u8 = 3;

/// How long after a wrong token the server checks no other token from that address, in milliseconds. It is also the
/// delay of the reply to the first wrong token; the delay doubles with each further one.
pub const WRONG_TOKEN_MS: u64 = 1_000;

/// The longest delay of the reply to a wrong token, in milliseconds.
pub const WRONG_TOKEN_MS_MAX: u64 = 8_000;

/// How long after the last wrong token of an address the server forgets its wrong tokens, in milliseconds.
pub const WRONG_TOKEN_MEMORY_MS: u64 = 60_000;

/// How many addresses with wrong tokens the server remembers. All further ones count as one address.
pub const SUSPECTS_MAX: usize = 64;
