//! Clients that speak another protocol: what they open with, and what a line of theirs looks like.
//!
//! A web page can make its visitor's browser send a request to any port of the LAN, with lines of the page's choice in its
//! body. So nobody who opens like a browser may get a line through. The others are people and programs that took the wrong
//! port: they are told in one line where they are.
//!
//! It is looked for until a client's first message or command was taken, and not after: whoever got one through has a
//! client that speaks lines. What looks like a request may be sent as a first message all the same, as `/4 GET / HTTP/1.1`.
//!
//! Only what comes before the first LF decides, so it does not matter how the bytes come in.

use crate::limits::LINE_BYTES_MAX;
use memchr::memchr;

/// A protocol that is not ours.
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
}

impl Foreign {
    /// Who speaks it, for the log.
    pub const fn client(self) -> &'static str {
        match self {
            Self::Http => "an HTTP client",
            Self::Tls => "a TLS client",
            Self::Ssh => "an SSH client",
            Self::Mqtt => "an MQTT client",
        }
    }
}

/// What a connection opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing that another protocol opens with; or not yet, and there is no whole line. A line has to be looked at
    /// by [`in_line`] all the same.
    Lines,
    /// Another protocol.
    Foreign(Foreign),
    /// So many bytes of Telnet's negotiation, and then something else or nothing yet. Leaving its offers without an answer refuses them.
    Negotiation(usize),
}

/// A request line is known by its beginning only where its end cannot be seen: it is too long for a line.
const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// Telnet's "interpret as command".
const IAC: u8 = 0xff;

/// Its WILL, WONT, DO and DONT: each is followed by an option.
const OFFERS: core::ops::RangeInclusive<u8> = 0xfb..=0xfe;

/// What a connection opens with whose first line begins with these bytes. It has to be asked again when more has come, until the line is
/// whole.
pub fn opening(bytes: &[u8]) -> Opening {
    let first = memchr(b'\n', bytes).map_or(bytes, |lf| &bytes[..lf]);
    let negotiation = negotiation_bytes(first);
    match () {
        () if negotiation > 0 => Opening::Negotiation(negotiation),
        () if is_tls(first) => Opening::Foreign(Foreign::Tls),
        () if is_ssh(first) => Opening::Foreign(Foreign::Ssh),
        () if is_mqtt(first) => Opening::Foreign(Foreign::Mqtt),
        () if is_long_request(first) => Opening::Foreign(Foreign::Http),
        () => Opening::Lines,
    }
}

/// What protocol a whole line is of, if it is not ours: a request line of HTTP, or the header that every request has.
pub fn in_line(line: &[u8]) -> Option<Foreign> {
    (is_request(line) || is_host(line)).then_some(Foreign::Http)
}

/// The length of all the offers at the beginning.
fn negotiation_bytes(bytes: &[u8]) -> usize {
    let is_offer = |three: &&[u8]| three[0] == IAC && OFFERS.contains(&three[1]);
    3 * bytes.chunks_exact(3).take_while(is_offer).count()
}

/// A record of the type "handshake", of SSL 3.0 to TLS 1.3.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 0x03, 0x00..=0x04, ..])
}

/// `SSH-2.0-` or of another version.
fn is_ssh(bytes: &[u8]) -> bool {
    matches!(bytes, [b'S', b'S', b'H', b'-', b'0'..=b'9', b'.', b'0'..=b'9', ..])
}

/// CONNECT, the remaining length in one to four bytes, and the name of the protocol with its length. A length with an LF in it,
/// as 1280 has, is not seen.
fn is_mqtt(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(&[0x10]) else { return false };
    let more = rest.iter().take(3).take_while(|byte| **byte >= 0x80).count();
    rest.get(more + 1..)
        .is_some_and(|name| name.starts_with(b"\x00\x04MQTT") || name.starts_with(b"\x00\x06MQIsdp"))
}

/// A line that begins as a request does and is too long to be taken: nobody will see how it ends.
fn is_long_request(line: &[u8]) -> bool {
    let is_too_long = line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_BYTES_MAX;
    is_too_long && parts_of_request(line).is_some_and(|(method, _)| METHODS.contains(&method))
}

/// `METHOD TARGET HTTP/1.1`, or of another version. Whatever the target has in it.
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

/// Method and target of what begins as a request does. The target of a request is a path, a URL, an authority with its port,
/// or `*`: so `I use HTTP/2` is none.
fn parts_of_request(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr(b' ', line)?;
    let (method, target) = (&line[..space], &line[space + 1..]);
    let is_target = target.starts_with(b"/") || target.starts_with(b"* ") || memchr(b':', target).is_some();
    (!method.is_empty() && method.iter().all(is_token) && is_target).then_some((method, target))
}

/// What the name of a method is made of.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// The header `Host`.
fn is_host(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"Host:"))
}
