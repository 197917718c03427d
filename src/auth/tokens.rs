//! Names, their tokens and rights, and the format of the auth file.
//!
//! Each line has a name, a token, the highest priority that the client may use, and whether it may join, separated by
//! spaces or tabs. The word `handle` after them permits the client to handle messages. Blank lines are ignored. A `#`
//! at the beginning of a line or after its last word begins a comment:
//!
//! ```text
//! # NAME  TOKEN                     PRIORITY  JOIN
//! alice   pT0Vn1l3cZq8yK4mWb7RtXeA  9         join
//! meter   q5ZsN8fLd2GhJ6vYxC1uMwKo  4         no-join    # in the cellar
//! valve   d8KpR2sYw6NfT0jBmQ4vXcHz  0         no-join handle
//! ```
//!
//! This module parses bytes into a table. It does not allocate, and no description of a mistake contains any part of a
//! token.

use crate::limits::{NICK_BYTES_MAX, TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, TOKENS_MAX};
use crate::protocol::Priority;
use crate::protocol::command;
use crate::protocol::foreign::BYTE_ORDER_MARK;
use constant_time_eq::constant_time_eq_64;
use core::fmt;
use heapless::{String, Vec};

/// What a client with a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The highest priority that the client's messages may have.
    pub priority_max: Priority,
    /// Whether the client may read messages of other clients.
    pub may_join: bool,
    /// Whether the client may handle messages of other clients.
    pub may_handle: bool,
}

impl Rights {
    /// All rights, for a server without an auth file.
    pub const ALL: Self = Self { priority_max: Priority::URGENT, may_join: true, may_handle: true };
}

/// A token. Two tokens are compared in constant time. A short token is padded with zero bytes. No token contains a zero
/// byte, so different tokens stay different.
#[derive(Clone, Copy)]
pub struct Token([u8; TOKEN_BYTES_MAX]);

const _: () = assert!(TOKEN_BYTES_MAX == 64, "the comparison takes 64 bytes");

impl Token {
    /// The token with that text, if it is valid.
    pub fn new(text: &[u8]) -> Option<Self> {
        let text = command::token(text)?;
        let mut token = [0; TOKEN_BYTES_MAX];
        token[..text.len()].copy_from_slice(text);
        Some(Self(token))
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq_64(&self.0, &other.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// One entry of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The client's name.
    pub name: String<NICK_BYTES_MAX>,
    /// The client's token.
    pub token: Token,
    /// The client's rights.
    pub rights: Rights,
}

/// All entries. No two have the same name or the same token.
#[derive(Default)]
pub struct Tokens {
    entries: Vec<Entry, TOKENS_MAX>,
}

/// A mistake in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The number of the line, from 1; `None`: the mistake concerns the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: What,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The line has too few or too many words.
    Words,
    /// The name is not valid.
    Name,
    /// The token is not valid.
    Token,
    /// The priority is not valid.
    Priority,
    /// The word after the priority is neither `join` nor `no-join`.
    Join,
    /// The word after `join` or `no-join` is not `handle`.
    Handle,
    /// An earlier line has the same name.
    NameTwice,
    /// An earlier line has the same token.
    TokenTwice,
    /// There are more than [`TOKENS_MAX`] entries.
    TooMany,
    /// There are no entries.
    Nobody,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        match self.what {
            What::Words => f.write_str("takes NAME TOKEN PRIORITY, join or no-join, and perhaps handle"),
            What::Name => write!(f, "the name is 1 to {NICK_BYTES_MAX} of A-Z a-z 0-9 _ -"),
            What::Token => write!(
                f,
                "the token is {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable ASCII characters; \
                 head -c 18 /dev/urandom | base64 makes one"
            ),
            What::Priority => f.write_str("the highest priority is one digit, 0 to 9"),
            What::Join => f.write_str("the word after the priority is join or no-join"),
            What::Handle => f.write_str("the word after join or no-join is handle, if there is one"),
            What::NameTwice => f.write_str("an earlier line has that name; leave one of them out"),
            What::TokenTwice => {
                f.write_str("an earlier line has that token; head -c 18 /dev/urandom | base64 makes another")
            }
            What::TooMany => {
                write!(f, "there are {TOKENS_MAX} names before it, and no more may be; leave some out")
            }
            What::Nobody => f.write_str(
                "there is no name in it, and nobody could do anything; add a line: NAME TOKEN 9 join",
            ),
        }
    }
}

impl Tokens {
    /// No entries.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Replaces the entries with those of a file.
    ///
    /// # Errors
    /// The first mistake. The table then holds only the entries before the mistake, and must not be used.
    pub fn read(&mut self, file: &[u8]) -> Result<(), Mistake> {
        self.entries.clear();
        let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
        for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
            let added = entry(line).and_then(|entry| entry.map_or(Ok(()), |entry| self.add(entry)));
            added.map_err(|what| Mistake { line: Some(number), what })?;
        }
        if self.is_empty() { Err(Mistake { line: None, what: What::Nobody }) } else { Ok(()) }
    }

    fn add(&mut self, entry: Entry) -> Result<(), What> {
        if self.entries.iter().any(|other| other.name == entry.name) {
            return Err(What::NameTwice);
        }
        if self.find(&entry.token).is_some() {
            return Err(What::TokenTwice);
        }
        self.entries.push(entry).map_err(|_| What::TooMany)
    }

    /// The entry with that token. It takes the same time for every token, because it compares the token with all
    /// entries.
    pub fn find(&self, token: &Token) -> Option<&Entry> {
        self.entries.iter().fold(None, |found, entry| if entry.token == *token { Some(entry) } else { found })
    }

    /// Whether there is an equal entry.
    pub fn has(&self, entry: &Entry) -> bool {
        self.entries.contains(entry)
    }
}

/// The entry of a line; `None`: the line is blank or a comment.
fn entry(line: &[u8]) -> Result<Option<Entry>, What> {
    let words = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
    let mut words = words.take_while(comment()).fuse();
    let Some(name) = words.next() else { return Ok(None) };
    let (Some(token), Some(priority), Some(join), handle, None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(What::Words);
    };
    let name = command::name(name).and_then(|name| String::try_from(name).ok()).ok_or(What::Name)?;
    let token = Token::new(token).ok_or(What::Token)?;
    let (priority_max, may_join) = (priority_max(priority)?, may_join(join)?);
    let rights = Rights { priority_max, may_join, may_handle: may_handle(handle)? };
    Ok(Some(Entry { name, token, rights }))
}

/// Returns a predicate that takes the words of a line in order and says whether the comment has not begun yet. A word
/// that starts with `#` begins the comment if it is the first word, or comes after the fourth. In the other words, `#`
/// is an ordinary character.
fn comment() -> impl FnMut(&&[u8]) -> bool {
    let mut words = 0;
    move |word| {
        words += 1;
        !(word.starts_with(b"#") && (words == 1 || words > 4))
    }
}

fn priority_max(word: &[u8]) -> Result<Priority, What> {
    let [digit] = word else { return Err(What::Priority) };
    Priority::from_digit(*digit).ok_or(What::Priority)
}

fn may_join(word: &[u8]) -> Result<bool, What> {
    match word {
        b"join" => Ok(true),
        b"no-join" => Ok(false),
        _ => Err(What::Join),
    }
}

/// Whether the word after `join` or `no-join` permits the client to handle messages. The word is optional.
fn may_handle(word: Option<&[u8]>) -> Result<bool, What> {
    match word {
        Some(b"handle") => Ok(true),
        None => Ok(false),
        Some(_) => Err(What::Handle),
    }
}

#[cfg(test)]
mod tests;
