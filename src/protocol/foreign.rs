//! Detects clients that speak another protocol or use another character set, by their first bytes or by a line.
//!
//! A web page can make its visitor's browser send a request to any port of the LAN, with lines of the page's choice in
//! the body. So the server must take no line of a client that opens like a browser. Other such clients are people and
//! programs that use the wrong port: one line tells them what they have reached.
//!
//! Only what precedes a client's first message or command is checked. After its first line is taken, a client speaks
//! our protocol. A first message that looks like a request can be sent as `/4 GET / HTTP/1.1`.
//!
//! Only the bytes before the first LF decide, so it does not matter in which pieces they arrive.

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
    /// A client that speaks lines, in UTF-16.
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

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// Not the beginning of another protocol; or too few bytes to decide, and then there is no whole line.
    Lines,
    /// Another protocol.
    Foreign(Foreign),
    /// This many bytes that are no part of a line: a byte order mark, or Telnet's negotiation. Not to answer Telnet's
    /// offers refuses them.
    Prelude(usize),
}

/// The usual methods. By these a request line is detected that is too long for a line, so that its end is never seen.
const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// Telnet's "interpret as command".
const IAC: u8 = 0xff;

/// Telnet's WILL, WONT, DO and DONT. An option follows each of them.
const OFFERS: core::ops::RangeInclusive<u8> = 0xfb..=DONT;
const DONT: u8 = 0xfe;

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The byte order mark of UTF-16, little endian. A DONT of Telnet looks the same.
const MARK_LESSER_FIRST: &[u8] = &[IAC, DONT];

/// The byte order mark of UTF-16, big endian.
const MARK_GREATER_FIRST: &[u8] = b"\xfe\xff";

/// The high bytes of the characters of alphabets, Latin to Arabic, in UTF-16. A person types none of these bytes after
/// Telnet's offers.
const ALPHABETS: core::ops::RangeInclusive<u8> = 0..=7;

/// The largest number of words that a Redis client announces, in digits.
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

/// What these first bytes are.
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
        if !(rest.starts_with(MARK) || is_offer && is_told) {
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

/// A line that begins like a request and is too long for a line: its end is never seen.
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

/// A line that certainly begins with the byte order mark of UTF-16.
fn is_marked_utf_16(line: &[u8]) -> bool {
    line.starts_with(MARK_GREATER_FIRST)
        || line.starts_with(MARK_LESSER_FIRST) && line.get(3).is_some_and(|next| ALPHABETS.contains(next))
}

/// A whole line of UTF-16: it has a byte order mark; or it ends as lines of Windows do; or at least half of all
/// characters, and at least two, are Latin, so that their high bytes are zero.
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
mod tests {
    use super::*;
    use crate::limits::RECEIVE_BYTES;
    use crate::protocol::framing::Frame;
    use proptest::prelude::*;

    /// The lines taken from a client that sends these pieces, and the other protocol that is detected then.
    fn met(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Foreign>) {
        let mut buffer = [0; RECEIVE_BYTES];
        let (mut framer, mut lines) = (Framer::new(&mut buffer), Vec::new());
        let mut is_after_long = false;
        for piece in pieces.iter().flat_map(|piece| piece.chunks(LINE_BYTES_MAX)).map(Some).chain([None]) {
            match piece {
                Some(piece) => {
                    framer.free()[..piece.len()].copy_from_slice(piece);
                    framer.commit(piece.len());
                }
                None => framer.end(),
            }
            loop {
                if let Some(foreign) = detect(&mut framer) {
                    return (lines, Some(foreign));
                }
                let Some(frame) = framer.next() else { break };
                match frame {
                    Frame::Line(line) => match in_line(line, is_after_long) {
                        Some(foreign) => return (lines, Some(foreign)),
                        None => lines.push(line.to_vec()),
                    },
                    Frame::TooLong => lines.push(b"too long".to_vec()),
                }
                is_after_long = frame == Frame::TooLong;
            }
        }
        (lines, None)
    }

    fn foreign(bytes: &[u8]) -> Option<Foreign> {
        met(&[bytes]).1
    }

    /// The first bytes of clients of other protocols.
    fn openings() -> Vec<(Vec<u8>, Foreign)> {
        let long = format!("GET /{} HTTP/1.1\r\nHost: board:9090\r\n\r\n", "x".repeat(2 * LINE_BYTES_MAX));
        let unknown =
            format!("FETCH /{} HTTP/1.1\r\nHost: board:9090\r\n\r\n", "x".repeat(2 * LINE_BYTES_MAX));
        let text: [(&[u8], Foreign); 23] = [
            (b"GET / HTTP/1.1\r\nHost: board:9090\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n", Foreign::Http),
            (
                b"POST /x HTTP/1.1\r\nHost: board:9090\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n/urgent smoke\n",
                Foreign::Http,
            ),
            (b"OPTIONS * HTTP/1.0\n\n", Foreign::Http),
            (b"CONNECT board:9090 HTTP/1.1\r\n\r\n", Foreign::Http),
            (b"GET http://board:9090/ HTTP/1.1\r\n\r\n", Foreign::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Foreign::Http),
            (b"GET /a b c HTTP/1.1\r\n\r\n", Foreign::Http),
            (b"M-SEARCH * HTTP/1.1\r\n", Foreign::Http),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Foreign::Tls),
            (b"\x16\x03\x01\n\n\x01\n", Foreign::Tls),
            (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", Foreign::Ssh),
            (b"SSH-1.99-x", Foreign::Ssh),
            (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", Foreign::Mqtt),
            (b"\x10\x80\x01\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00", Foreign::Mqtt),
            (b"*1\r\n$4\r\nPING\r\n", Foreign::Redis),
            (b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 9090\r\nhello\n", Foreign::Proxy),
            (b"PROXY UNKNOWN ffff:f... ffff:f... 65535 65535\r\n", Foreign::Proxy),
            (b"PROXY UNKNOWN\r\n", Foreign::Proxy),
            (b"\0\r\nQUIT\n\x21\x11\0\x0c", Foreign::Proxy),
            (b"\xff\xfeh\0i\0\n\0", Foreign::Utf16),
            (b"\xfe\xff\0h\0i\0\n", Foreign::Utf16),
            (b"/\0p\0\r\0\n\0", Foreign::Utf16),
            (b"\0\r\0\n\0x\0\r\0\n", Foreign::Utf16),
        ];
        let text = text.into_iter().map(|(bytes, foreign)| (bytes.to_vec(), foreign));
        text.chain([(long.into(), Foreign::Http), (unknown.into(), Foreign::Http)]).collect()
    }

    #[test]
    fn each_protocol_is_detected_before_any_line_is_taken() {
        for (bytes, expected) in openings() {
            let (lines, foreign) = met(&[&bytes]);
            assert_eq!(foreign, Some(expected), "{}", bytes.escape_ascii());
            // Except a request with an unknown method: it is too long for a line, and refused for that.
            assert!(lines.iter().all(|line| line == b"too long"), "{lines:?}");
        }
    }

    #[test]
    fn blank_lines_a_mark_and_telnet_offers_may_precede_it() {
        for (bytes, expected) in openings() {
            for before in [&b"\n"[..], b"\r\n\r\n", b"\xff\xfb\x1f\xff\xfd\x01", MARK] {
                assert_eq!(foreign(&[before, &bytes].concat()), Some(expected), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn lines_after_telnet_offers_are_taken() {
        // The first bytes that PuTTY sends.
        let offers = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03";
        for split in 0..=offers.len() {
            let (first, second) = offers.split_at(split);
            let (lines, foreign) = met(&[first, second, b"/urgent smoke\r\n"]);
            assert_eq!((lines, foreign), (vec![b"/urgent smoke".to_vec()], None), "split at {split}");
        }
    }

    #[test]
    fn texts_for_people_are_lines() {
        for line in [
            "hello",
            "I use HTTP/2",
            "we all love HTTP/1.1",
            "GET up, it is late",
            "GET / HTTP/1.1 was what it sent",
            "10.0.0.7 - - \"GET / HTTP/1.1\" 200",
            "/4 GET / HTTP/1.1",
            "/urgent Host: board",
            "The Host: who is it?",
            "SSH to the board",
            "SSH-keys",
            "HTTP/1.1 200 OK",
            "Host: kitchen",
            "*1",
            "*",
            "PROXY TCP4 is down",
            "PROXY UNKNOWN to me, what is it",
            "hello\0",
            "5\0",
            "\0",
            "\u{10}MQTT",
            "\u{16}\u{3}",
            "\u{16}\u{3}\u{5}",
        ] {
            let sent = format!("{line}\n");
            assert_eq!(met(&[sent.as_bytes()]), (vec![line.as_bytes().to_vec()], None));
        }
        // Nor with the end that a line of Redis has.
        for line in ["*", "*12345678", "*1 point", "1"] {
            assert_eq!(met(&[line.as_bytes(), b"\r\n"]), (vec![line.as_bytes().to_vec()], None));
        }
        // Of Telnet's commands only offers are dropped, and only whole ones in front.
        for line in [&b"\xff"[..], b"\xff\xfb", b"\xff\xff\xfbx", b"\xff\xf4x", b"x\xff\xfb\x01"] {
            assert_eq!(met(&[line, b"\n"]), (vec![line.to_vec()], None));
        }
    }

    /// What clients open with, ordinary lines, and bytes that are like both, with anything behind.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let opening = prop::sample::select(openings()).prop_map(|(bytes, _)| bytes);
        let near = prop::collection::vec(
            prop::sample::select(
                b"\x16\x03\x01\x10\x80\x00\x04\x06MQTTIsdpSSH-2.0\xff\xfb\xfd\xfe\xef\xbb\xbf\n\r\0 /:*HTTP/1.1Host:GET"
                    .to_vec(),
            ),
            0..40,
        );
        let any = prop::collection::vec(any::<u8>(), 0..3 * LINE_BYTES_MAX);
        (prop_oneof![opening, near.clone(), any.clone()], prop_oneof![near, any])
            .prop_map(|(first, rest)| [first, rest].concat())
    }

    proptest! {
        #[test]
        fn no_split_changes_the_verdict(bytes in bytes(), splits in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let mut splits: Vec<_> = splits.iter().map(|split| split.index(bytes.len() + 1)).collect();
            splits.extend([0, bytes.len()]);
            splits.sort_unstable();
            let pieces: Vec<&[u8]> = splits.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = met(&[&bytes]);
            prop_assert_eq!(&met(&pieces), &whole);
            prop_assert_eq!(&met(&single), &whole);
        }

        #[test]
        fn words_are_never_taken_for_another_protocol(words in "[a-zA-Z0-9,.!?äöü]{1,12}( [a-zA-Z0-9,.!?äöü/]{1,12}){0,12}") {
            prop_assert_eq!(foreign(format!("{words}\n").as_bytes()), None);
        }
    }
}
