//! HTTP as a test needs it: byte for byte what the test says, and answers that are read whole.

use crate::support::LIMIT;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The fields, by their names in lower case.
    pub head: BTreeMap<String, String>,
    pub body: String,
}

/// A connection to a server of HTTP.
pub struct Http {
    reader: BufReader<TcpStream>,
}

/// An event of `text/event-stream`: its name and its data.
pub type Event = (String, serde_json::Value);

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    /// Sends bytes; an error shows when the answer is read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// The head of an answer; none: the connection was closed before.
    pub fn head(&mut self) -> Option<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1)?.parse().ok()?;
        let mut head = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            head.insert(name.to_lowercase(), value.trim().to_string());
        }
        Some(Answer { status, head, body: String::new() })
    }

    /// A whole answer; none: the connection was closed before.
    pub fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head()?;
        let length = answer.head.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        expect_end(self.reader.read_exact(&mut body))?;
        answer.body = String::from_utf8(body).unwrap();
        Some(answer)
    }

    /// The next event, of a stream whose head was read.
    pub fn event(&mut self) -> Event {
        let mut name = String::new();
        loop {
            let line = self.line().expect("the stream goes on");
            if let Some(said) = line.strip_prefix("event: ") {
                name = said.to_string();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The next event of that name for which `condition` holds.
    pub fn wait_for_event(
        &mut self,
        name: &str,
        condition: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = std::time::Instant::now() + LIMIT;
        loop {
            let (found, data) = self.event();
            if found == name && condition(&data) {
                return data;
            }
            assert!(std::time::Instant::now() < deadline, "no such {name}; the last is {data}");
        }
    }

    /// Reads until the connection ends.
    pub fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        expect_end(self.reader.read_to_end(&mut rest));
        rest
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = expect_end(self.reader.read_line(&mut line))?;
        // The data of chunks are lines, and so are their sizes.
        (count > 0).then(|| line.trim_end().to_string())
    }
}

/// What was read; none: the connection has ended. A connection that stays open without a byte is neither.
fn expect_end<T>(read: std::io::Result<T>) -> Option<T> {
    let is_open =
        |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!read.as_ref().is_err_and(is_open), "the server neither answers nor ends the connection");
    read.ok()
}

/// A request on a connection of its own. `Host` is the address unless the fields have one.
pub fn request(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let mut http = Http::connect(address);
    http.send(format(address, method, path, fields, body).as_bytes());
    http.answer().expect("there is an answer")
}

/// The bytes of a request.
pub fn format(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request += &format!("Host: {address}\r\n");
    }
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    request + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}
