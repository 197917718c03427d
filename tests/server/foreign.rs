//! Clients of other protocols: no line of theirs counts as a message, and each gets a line that says what is
//! listening here.

use crate::support::{Server, eventually, run_to_end, too_long};
use firstline::limits::LINE_BYTES_MAX;
use std::io::Write;
use std::process::{Command, Output, Stdio};

const NOT_HTTP: &str = "ERR 0 not-http this is firstline: speak to it with nc";
const NOT_TLS: &str = "ERR 0 not-tls this is firstline: speak to it with nc, in plain text";
const NOT_SSH: &str = "ERR 0 not-ssh this is firstline: speak to it with nc";
const NOT_REDIS: &str = "ERR 0 not-redis this is firstline: speak to it with nc";
const NOT_PROXY: &str = "ERR 0 not-proxy this is firstline: have the proxy send no PROXY header";
const NOT_UTF_16: &str =
    "ERR 0 not-utf-16 this is firstline: send UTF-8 (PowerShell: Out-File -Encoding utf8)";
const NOT_MQTT: &str = "ERR 0 not-mqtt this is firstline: speak to it with nc";

/// What a browser sends for a page that tries to use firstline: the page chooses the lines of the body.
fn request(target: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: board:9090\r\nOrigin: http://evil.example\r\nContent-Type: text/plain\r\n\
         Content-Length: 30\r\n\r\n/urgent open the door\n/quit\n"
    )
}

/// Sends the pieces, each in a TCP segment of its own as far as the kernel does that, and returns what comes
/// back. The server may close before all is sent.
fn exchange(server: &Server, pieces: &[&[u8]]) -> Vec<String> {
    let mut client = server.connect();
    for piece in pieces {
        let _ = client.stream.write_all(piece);
    }
    client.rest()
}

/// Checks that the server admitted only the `count` messages of the test itself.
fn expect_admitted(server: &Server, count: u64) {
    let stats = server.stats();
    assert_eq!((stats["admitted"], stats["waiting"]), (count, 0));
}

#[test]
fn no_line_of_a_browser_request_is_a_message_however_it_is_split() {
    let server = Server::start(&[]);
    let request = request("/");
    let head = request.find("\r\n\r\n").unwrap();
    for split in 0..=head {
        let (first, second) = request.as_bytes().split_at(split);
        assert_eq!(exchange(&server, &[first, second]), [NOT_HTTP], "split at {split}");
    }
    let single: Vec<_> = request.as_bytes().chunks(1).collect();
    assert_eq!(exchange(&server, &single), [NOT_HTTP]);
    expect_admitted(&server, 0);
    assert_eq!(server.stats()["closed-not-http"], head as u64 + 2);
    server.wait_for_log("disconnected: it is an HTTP client");
}

#[test]
fn request_line_that_is_too_long_still_counts_as_http() {
    let server = Server::start(&[]);
    let path = "x".repeat(2 * LINE_BYTES_MAX);
    for (request, before) in [
        (request(&format!("/{path}")), 0),
        (request(&format!("http://board:9090/{path}")), 0),
        // An unknown method: the next line shows that it is HTTP.
        (request(&format!("/{path}")).replace("POST", "EVIL"), 1),
    ] {
        let lines = exchange(&server, &[request.as_bytes()]);
        assert_eq!(lines.len(), before + 1, "{lines:?}");
        assert_eq!(lines[before], NOT_HTTP);
        assert!(lines[..before].iter().all(|line| *line == too_long(1)), "{lines:?}");
    }
    expect_admitted(&server, 0);
}

#[test]
fn after_a_first_message_no_line_counts_as_another_protocol() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask("/4 GET / HTTP/1.1"), "ACK 1 1");
    for (n, line) in ["GET / HTTP/1.1", "Host: board", "SSH-2.0-x", "\u{16}\u{3}\u{1}"].iter().enumerate() {
        assert_eq!(client.ask(line), format!("ACK {} {}", n + 2, n + 2));
    }
    assert_eq!(server.connect().ask("Host: kitchen"), "ACK 1 6", "a header is no request");
    let mut client = server.connect();
    client.send("\n/nope\n/low\n/urgent x\nGET / HTTP/1.1\n");
    client.end_sending();
    assert_eq!(client.rest().len(), 4, "refused lines do not identify a firstline client, a message does");
}

#[test]
fn binary_protocols_are_recognized_before_a_line_is_complete() {
    let server = Server::start(&[]);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let connect = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
    for (bytes, expected) in [
        (&hello[..], NOT_TLS),
        (b"\x16\x03\x01\x0a\x0a\x01\x00\x0a", NOT_TLS),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", NOT_SSH),
        (b"SSH-2.0-nobody", NOT_SSH),
        (connect, NOT_MQTT),
    ] {
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(exchange(&server, &[bytes]), [expected], "{}", bytes.escape_ascii());
        assert_eq!(exchange(&server, &single), [expected], "{}", bytes.escape_ascii());
    }
    expect_admitted(&server, 0);
    let stats = server.stats();
    let closed =
        ["closed-not-tls", "closed-not-ssh", "closed-not-mqtt", "closed-not-http"].map(|name| stats[name]);
    assert_eq!(closed, [4, 4, 2, 0]);
}

/// The text in UTF-16, with the less significant byte of each unit first or last.
fn utf_16(text: &str, is_little_endian: bool) -> Vec<u8> {
    let bytes = if is_little_endian { u16::to_le_bytes } else { u16::to_be_bytes };
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn no_line_of_redis_proxy_or_utf_16_is_a_message_however_it_is_split() {
    let server = Server::start(&[]);
    let mut openings: Vec<(Vec<u8>, &str)> = vec![
        (b"*1\r\n$4\r\nPING\r\n".to_vec(), NOT_REDIS),
        (b"*2\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n".to_vec(), NOT_REDIS),
        (b"PROXY TCP4 192.0.2.7 192.0.2.8 56324 9090\r\n/urgent x\n".to_vec(), NOT_PROXY),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 9090\r\n".to_vec(), NOT_PROXY),
        (b"PROXY UNKNOWN\r\nhello\n".to_vec(), NOT_PROXY),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\xdc\x04\x23\x82hello\n".to_vec(),
            NOT_PROXY,
        ),
    ];
    for is_little_endian in [true, false] {
        for text in [
            "\u{feff}/urgent Grüße\r\n",
            "\u{feff}x\n",
            "\u{feff}\nx\n",
            "/urgent smoke\r\n",
            "5\r\n",
            "21.5 \u{20ac}\n",
        ] {
            openings.push((utf_16(text, is_little_endian), NOT_UTF_16));
        }
    }
    openings.push((utf_16("\u{feff}Пожар\r\n", true), NOT_UTF_16));
    let (mut redis, mut proxy, mut utf_16) = (0, 0, 0);
    for (bytes, expected) in &openings {
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            assert_eq!(
                exchange(&server, &[first, second]),
                [*expected],
                "{} at {split}",
                bytes.escape_ascii()
            );
            *match *expected {
                NOT_REDIS => &mut redis,
                NOT_PROXY => &mut proxy,
                _ => &mut utf_16,
            } += 1;
        }
    }
    expect_admitted(&server, 0);
    let stats = server.stats();
    let closed = ["closed-not-redis", "closed-not-proxy", "closed-not-utf-16"].map(|name| stats[name]);
    assert_eq!(closed, [redis, proxy, utf_16]);
}

#[test]
fn similar_texts_are_messages() {
    let server = Server::start(&[]);
    let lines: [&[u8]; 12] = [
        b"Host: kitchen",
        b"*1",
        b"*1 point\r",
        b"*\r",
        b"PROXY TCP4 is down\r",
        b"PROXY UNKNOWN to me, what is it\r",
        b"PROXY",
        b"hello\0\r",
        b"5\0",
        b"\0",
        b"\xef\xbb",
        b"\xff\xfbx\x01",
    ];
    for (index, line) in lines.into_iter().enumerate() {
        let mut client = server.connect();
        client.send([line, b"\n"].concat());
        assert_eq!(client.line(), format!("ACK 1 {}", index + 1), "{}", line.escape_ascii());
    }
}

#[test]
fn byte_order_mark_is_removed_from_the_first_line() {
    let server = Server::start(&[]);
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join"), "OK 1");
    let sent = b"\xef\xbb\xbf/urgent smoke\n";
    for split in 0..=sent.len() {
        let (first, second) = sent.split_at(split);
        let mut client = server.connect();
        client.send(first);
        client.send(second);
        client.line();
        assert_eq!(
            reader.line(),
            format!("MSG {} p9 {} smoke", 2 * split + 1, client.address()),
            "at {split}"
        );
        // Later, a byte order mark belongs to the text.
        client.send("\u{feff}x\n");
        client.line();
        let later = reader.line();
        assert!(later.ends_with(" \u{feff}x"), "{later}");
        client.send("/quit\n");
        client.rest();
    }
}

#[test]
fn telnet_options_are_removed_from_a_line() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    // What PuTTY sends first.
    client.send(b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18\xff\xfb\x27\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03");
    assert_eq!(client.ask("/ping\r"), "OK 1");
    assert_eq!(client.ask("hello\r"), "ACK 2 1");
}

// ---- Real clients --------------------------------------------------------------------------------------

/// Runs a client without standard input.
fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args);
    run_to_end(command)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
#[cfg_attr(not(feature = "clients"), ignore = "takes ncat, curl, openssl, ssh, mosquitto_pub and telnet")]
fn curl_gets_the_reason_and_sends_no_message() {
    let server = Server::start(&[]);
    let url = format!("http://{}/", server.address);
    for args in [
        &[][..],
        &["--data-binary", "/urgent open the door\n"],
        &["-X", "EVIL"],
        &["--http2-prior-knowledge"],
    ] {
        let output = run("curl", &[&["-sS", "--max-time", "30", &url], args].concat());
        assert!(!output.status.success(), "{args:?}: {}", said(&output));
    }
    let shown = run("curl", &["-sS", "--http0.9", "--max-time", "30", &url]);
    assert_eq!(said(&shown), format!("{NOT_HTTP}\n"));
    let encrypted = run("curl", &["-sS", "--max-time", "30", &url.replace("http:", "https:")]);
    assert!(!encrypted.status.success(), "{}", said(&encrypted));
    expect_admitted(&server, 0);
    let stats = server.stats();
    assert_eq!((stats["closed-not-http"], stats["closed-not-tls"]), (5, 1));
}

#[test]
#[cfg_attr(not(feature = "clients"), ignore = "takes ncat, curl, openssl, ssh, mosquitto_pub and telnet")]
fn openssl_ssh_and_mosquitto_get_the_reason() {
    let server = Server::start(&[]);
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let openssl = run("openssl", &["s_client", "-connect", &server.address.to_string()]);
    assert!(!openssl.status.success(), "{}", said(&openssl));
    server.wait_for_log("disconnected: it is a TLS client");
    let ssh = run("ssh", &["-v", "-F", "none", "-o", "BatchMode=yes", "-p", &port, &host, "true"]);
    assert!(!ssh.status.success() && said(&ssh).contains(NOT_SSH), "{}", said(&ssh));
    server.wait_for_log("disconnected: it is an SSH client");
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let mqtt =
            run("mosquitto_pub", &["-V", version, "-h", &host, "-p", &port, "-t", "a", "-m", "/urgent b"]);
        assert!(!mqtt.status.success(), "{version}: {}", said(&mqtt));
    }
    server.wait_for_log("disconnected: it is an MQTT client");
    expect_admitted(&server, 0);
    assert_eq!(server.stats()["closed-not-mqtt"], 3);
}

#[test]
#[cfg_attr(not(feature = "clients"), ignore = "takes ncat, curl, openssl, ssh, mosquitto_pub and telnet")]
fn telnet_works() {
    let server = Server::start(&[]);
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let mut telnet = Command::new("telnet")
        .args([&host, &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("telnet is installed");
    let mut listener = server.connect();
    assert_eq!(listener.ask("/join"), "OK 1");
    telnet.stdin.as_mut().unwrap().write_all(b"/urgent from telnet\n").unwrap();
    assert!(listener.line().ends_with(" from telnet"));
    eventually("the server ends the session", || {
        let _ = telnet.stdin.as_mut().unwrap().write_all(b"/quit\n");
        server.stats()["closed-quit"] == 1
    });
    let output = telnet.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("ACK 1 1") && shown.contains("BYE quit"), "{shown}");
}
