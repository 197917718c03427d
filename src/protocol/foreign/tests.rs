use super::*;
use crate::limits::RECEIVE_BYTES;
use crate::protocol::framing::Frame;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

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
    let unknown = format!("FETCH /{} HTTP/1.1\r\nHost: board:9090\r\n\r\n", "x".repeat(2 * LINE_BYTES_MAX));
    let text: [(&[u8], Foreign); 23] = [
        (
            b"GET / HTTP/1.1\r\nHost: board:9090\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
            Foreign::Http,
        ),
        (
            b"POST /x HTTP/1.1\r\nHost: board:9090\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n\
              /urgent smoke\n",
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
        for before in [&b"\n"[..], b"\r\n\r\n", b"\xff\xfb\x1f\xff\xfd\x01", BYTE_ORDER_MARK] {
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

/// First bytes of clients of other protocols, ordinary lines, and bytes that resemble both, followed by arbitrary
/// bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let opening = prop::sample::select(openings()).prop_map(|(bytes, _)| bytes);
    let near = vec(
        prop::sample::select(
            b"\x16\x03\x01\x10\x80\x00\x04\x06MQTTIsdpSSH-2.0\xff\xfb\xfd\xfe\xef\xbb\xbf\n\r\0 /:*HTTP/1.1Host:GET"
                .to_vec(),
        ),
        0..40,
    );
    let any = vec(any::<u8>(), 0..3 * LINE_BYTES_MAX);
    (prop_oneof![opening, near.clone(), any.clone()], prop_oneof![near, any])
        .prop_map(|(first, rest)| [first, rest].concat())
}

/// Words, the first of which is no command.
const WORDS: &str = "[a-zA-Z0-9,.!?äöü]{1,12}( [a-zA-Z0-9,.!?äöü/]{1,12}){0,12}";

proptest! {
    #[test]
    fn no_split_changes_the_verdict(bytes in bytes(), splits in vec(any::<Index>(), 0..6)) {
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
    fn words_are_never_taken_for_another_protocol(words in WORDS) {
        prop_assert_eq!(foreign(format!("{words}\n").as_bytes()), None);
    }
}
