//! Detects clients that speak another protocol or use another character set, by their first bytes or by a line.
//!
//! A web page can make its visitor's browser send a request to any port of the LAN, with lines of the page's choice in
//! the body. So the server must take no line of a client whose first bytes are those of a browser. Other clients of
//! this kind are people and programs that use the wrong port: one line tells them which server this is.
//!
//! The server checks only the lines up to a client's first message or command. After that, the client speaks the
//! protocol of this server. A first message that looks like a request can be sent as `/4 GET / HTTP/1.1`.
//!
//! The decision depends only on the bytes, not on the pieces in which they arrive.

use super::framing::Framer;
use crate::limits::LINE_BYTES_MAX;
use memchr::memchr;

/// Another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A browser, or another HTTP client.
    Http,
    /// A TLS handshake: `https://`, or a client that was told to encrypt.
    Tls,
    /// An SSH client.
    Ssh,
    /// An MQTT client.
    Mqtt,
    /// A Redis client.
    Redis,
    /// A proxy that sends a PROXY header first.
    Proxy,
    /// A client that sends lines in UTF-16.
    Utf16,
}

impl Foreign {
    /// The kind of client, for the log.
    pub const fn client(self) -> &'static str {
        match self {
            Self::Http => "an HTTP client",
            Self::Tls => "a TLS client",
            Self::Ssh => "an SSH client",
            Self::Mqtt => "an MQTT client",
            Self::Redis => "a Redis client",
            Self::Proxy => "a proxy that sends a PROXY header",
            Self::Utf16 => "a client that sends UTF-16",
        }
    }
}

/// The kind of the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// Not the beginning of another protocol, or too few bytes to decide. In the latter case no whole line has arrived.
    Lines,
    /// Another protocol.
    Foreign(Foreign),
    /// This many bytes that are no part of a line: a byte order mark, or Telnet's negotiation. If an offer of Telnet
    /// gets no answer, the client treats it as refused.
    Prelude(usize),
}

/// The usual methods. They identify a request line that is too long for a line, and whose end is therefore unknown.
const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// Telnet's "interpret as command".
const IAC: u8 = 0xff;

/// Telnet's WILL, WONT, DO and DONT. An option follows each of them.
const OFFERS: core::ops::RangeInclusive<u8> = 0xfb..=DONT;
const DONT: u8 = 0xfe;

/// The byte order mark of UTF-8, which some editors write at the beginning of a file.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The byte order mark of UTF-16, little endian. A DONT of Telnet looks the same.
const MARK_LESSER_FIRST: &[u8] = &[IAC, DONT];

/// The byte order mark of UTF-16, big endian.
const MARK_GREATER_FIRST: &[u8] = b"\xfe\xff";

/// The high bytes of the characters of alphabets, Latin to Arabic, in UTF-16. A person types none of these bytes after
/// Telnet's offers.
const ALPHABETS: core::ops::RangeInclusive<u8> = 0..=7;

/// The length of the largest number of words that a Redis client announces, in digits.
const REDIS_DIGITS_MAX: usize = 7;

/// The other protocol that a client opens with, if the bytes so far show one. It drops a byte order mark and Telnet's
/// offers.
///
/// Call it before each line is taken, until the first message or command is taken. The line itself needs a check by
/// [`in_line`], too.
pub fn detect<const N: usize>(framer: &mut Framer<'_, N>) -> Option<Foreign> {
    loop {
        match opening(framer.pending()) {
            Opening::Prelude(bytes) => framer.skip(bytes),
            Opening::Foreign(foreign) => return Some(foreign),
            Opening::Lines => return None,
        }
    }
}

/// The kind of these first bytes.
fn opening(bytes: &[u8]) -> Opening {
    let lf = memchr(b'\n', bytes);
    let first = lf.map_or(bytes, |lf| &bytes[..lf]);
    let prelude = prelude_bytes(first, lf.is_some());
    if prelude > 0 {
        return Opening::Prelude(prelude);
    }
    let foreign = if is_marked_utf_16(first) {
        Foreign::Utf16
    } else if is_redis(bytes) {
        Foreign::Redis
    } else if bytes.starts_with(b"\0\r\n") {
        Foreign::Proxy
    } else if is_tls(first) {
        Foreign::Tls
    } else if is_ssh(first) {
        Foreign::Ssh
    } else if is_mqtt(first) {
        Foreign::Mqtt
    } else if is_long_request(first) {
        Foreign::Http
    } else {
        return Opening::Lines;
    };
    Opening::Foreign(foreign)
}

/// The other protocol that a whole line belongs to, if it does: a request line of HTTP; or, after a line that was too
/// long, the `Host` header that every request has; or a PROXY header; or UTF-16.
pub fn in_line(line: &[u8], is_after_long: bool) -> Option<Foreign> {
    if is_request(line) || is_after_long && is_host(line) {
        Some(Foreign::Http)
    } else if is_proxy(line) {
        Some(Foreign::Proxy)
    } else if is_utf_16(line) {
        Some(Foreign::Utf16)
    } else {
        None
    }
}

/// The length of all byte order marks and Telnet offers at the beginning, as far as they are certain.
fn prelude_bytes(line: &[u8], is_whole: bool) -> usize {
    let mut rest = line;
    while let [first, second, _, behind @ ..] = rest {
        let is_offer = *first == IAC && OFFERS.contains(second);
        // The next byte distinguishes a DONT from a byte order mark.
        let is_told = *second != DONT || behind.first().map_or(is_whole, |next| !ALPHABETS.contains(next));
        if !(rest.starts_with(BYTE_ORDER_MARK) || is_offer && is_told) {
            break;
        }
        rest = behind;
    }
    line.len() - rest.len()
}

/// A record of the type "handshake", of SSL 3.0 to TLS 1.3.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 0x03, 0x00..=0x04, ..])
}

/// `SSH-2.0-` or of another version.
fn is_ssh(bytes: &[u8]) -> bool {
    matches!(bytes, [b'S', b'S', b'H', b'-', b'0'..=b'9', b'.', b'0'..=b'9', ..])
}

/// CONNECT, the remaining length in one to four bytes, and the name of the protocol with its length. A length with an
/// LF in it, such as 1280, is not detected.
fn is_mqtt(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(&[0x10]) else { return false };
    let more = rest.iter().take(3).take_while(|byte| **byte >= 0x80).count();
    rest.get(more + 1..)
        .is_some_and(|name| name.starts_with(b"\x00\x04MQTT") || name.starts_with(b"\x00\x06MQIsdp"))
}

/// Whether this is the beginning of a request that is too long for a line, and whose end is therefore unknown.
fn is_long_request(line: &[u8]) -> bool {
    let is_too_long = line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_BYTES_MAX;
    is_too_long && parts_of_request(line).is_some_and(|(method, _)| METHODS.contains(&method))
}

/// `METHOD TARGET HTTP/1.1`, or of another version, with any bytes in the target.
fn is_request(line: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let is_version = match version.strip_prefix(b"HTTP/") {
        Some([major, b'.', minor]) => is_digit(major) && is_digit(minor),
        Some([major]) => is_digit(major),
        _ => false,
    };
    is_version && parts_of_request(&line[..line.len() - version.len()]).is_some()
}

/// The method and the target of a line that begins like a request. The target is a path, a URL, an authority with its
/// port, or `*`: so `I use HTTP/2` is no request.
fn parts_of_request(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr(b' ', line)?;
    let (method, target) = (&line[..space], &line[space + 1..]);
    let is_target = target.starts_with(b"/") || target.starts_with(b"* ") || memchr(b':', target).is_some();
    (!method.is_empty() && method.iter().all(is_token) && is_target).then_some((method, target))
}

/// Whether a byte may be part of a method's name.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// Whether the line certainly begins with the byte order mark of UTF-16.
fn is_marked_utf_16(line: &[u8]) -> bool {
    line.starts_with(MARK_GREATER_FIRST)
        || line.starts_with(MARK_LESSER_FIRST) && line.get(3).is_some_and(|next| ALPHABETS.contains(next))
}

/// Whether this is a whole line in UTF-16: it has a byte order mark, or it ends like the lines of Windows, or at least
/// half of its characters, and at least two, are Latin, so that their high bytes are zero.
fn is_utf_16(line: &[u8]) -> bool {
    let mut zeros = [0; 2];
    line.iter().enumerate().filter(|(_, byte)| **byte == 0).for_each(|(place, _)| zeros[place % 2] += 1);
    let [few, many] = [zeros[0].min(zeros[1]), zeros[0].max(zeros[1])];
    line.starts_with(MARK_LESSER_FIRST)
        || line.starts_with(MARK_GREATER_FIRST)
        || line.ends_with(b"\r\0")
        || few == 0 && many >= 2 && 4 * many >= line.len()
}

/// An array of words, like every request to Redis.
fn is_redis(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"*") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    matches!(digits, 1..=REDIS_DIGITS_MAX) && rest[digits..].starts_with(b"\r\n")
}

/// Version 1 of the PROXY header: the protocol and, unless that is unknown, two addresses and two ports. Version 2 is
/// detected by the zero in the line after its blank lines.
fn is_proxy(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let is_port = |word: Option<&[u8]>| {
        word.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
    };
    words.next() == Some(b"PROXY")
        && match words.next() {
            Some(b"UNKNOWN") if words.clone().next().is_none() => true,
            Some(b"UNKNOWN" | b"TCP4" | b"TCP6") => {
                words.nth(1).is_some()
                    && is_port(words.next())
                    && is_port(words.next())
                    && words.next().is_none()
            }
            _ => false,
        }
}

/// The header `Host`.
fn is_host(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"Host:"))
}

#[cfg(test)]
mod tests;
