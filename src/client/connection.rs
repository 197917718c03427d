//! One connection: sends lines and receives replies, without blocking. Knows no messages.

use super::limits::{
    KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES, RECEIVE_BYTES, RECEIVED_LINE_BYTES_MAX,
    SEND_BUFFER_BYTES, UNACKNOWLEDGED_MS_MAX,
};
use super::reply::Reply;
use super::shown::{described, shown};
use memchr::{memchr, memchr_iter};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// The size of the input buffer: it holds the longest line without its end, and the bytes of one receive call.
const INPUT_BYTES: usize = RECEIVED_LINE_BYTES_MAX + RECEIVE_BYTES;

/// The next thing that the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A reply.
    Reply(Reply),
    /// No complete line now. Try again in the next round, or when the socket is readable.
    Nothing,
    /// The connection has ended, for this reason.
    End(String),
}

/// An established connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The number of the next line.
    next_line: u64,
    /// Lines that wait to be sent. Each has one LF, at its end.
    output: Vec<u8>,
    /// How many bytes of `output` were sent.
    sent: usize,
    input: Box<[u8; INPUT_BYTES]>,
    /// Where the next line begins in `input`.
    taken: usize,
    /// `input` has no LF between `taken` and here.
    scanned: usize,
    /// Where the received bytes end in `input`.
    received: usize,
    /// Whether bytes were received in this round.
    has_received: bool,
}

impl Connection {
    /// A connection over that socket, which must be non-blocking.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            next_line: 1,
            output: Vec::new(),
            sent: 0,
            input: Box::new([0; INPUT_BYTES]),
            taken: 0,
            scanned: 0,
            received: 0,
            has_received: false,
        }
    }

    /// Whether output waits to be sent.
    pub fn wants_to_send(&self) -> bool {
        self.sent < self.output.len()
    }

    /// Appends one line, which `write` appends with its LF, and returns the line's number. [`flush`](Self::flush) sends
    /// it.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        write(&mut self.output);
        self.next_line += 1;
        self.next_line - 1
    }

    /// Sends what the socket takes. It ignores errors: [`hear`](Self::hear) reports the end after the replies that
    /// came before it.
    pub fn flush(&mut self) {
        while self.wants_to_send() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
        self.output.clear();
        self.sent = 0;
    }

    /// The number of the last line that the kernel has taken completely. No later line can have reached the server
    /// completely.
    pub fn last_sent(&self) -> u64 {
        let waiting = memchr_iter(b'\n', &self.output[self.sent..]).count();
        self.next_line - 1 - waiting as u64
    }

    /// Begins a round. In each round, [`hear`](Self::hear) receives at most once. Otherwise a peer that sends without a
    /// pause would keep the caller from its deadlines and signals. Bytes that are left keep the socket readable for the
    /// next round.
    pub fn begin_round(&mut self) {
        self.has_received = false;
    }

    /// The next reply of this round, or the end.
    pub fn hear(&mut self) -> Heard {
        loop {
            if let Some(line) = self.take_line() {
                return line;
            }
            if self.received - self.taken > RECEIVED_LINE_BYTES_MAX {
                return Heard::End("not a firstline server: it sends a line without an end".to_string());
            }
            if self.has_received {
                return Heard::Nothing;
            }
            match self.receive() {
                Ok(0) => return Heard::End("the server closed the connection".to_string()),
                Ok(_) => self.has_received = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(error) => return Heard::End(described(&error)),
            }
        }
    }

    fn take_line(&mut self) -> Option<Heard> {
        let Some(lf) = memchr(b'\n', &self.input[self.scanned..self.received]) else {
            self.scanned = self.received;
            return None;
        };
        let end = self.scanned + lf;
        let line = &self.input[self.taken..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let heard = match Reply::parse(line) {
            Some(reply) => Heard::Reply(reply),
            None => Heard::End(format!(
                "not a firstline server: it says {:?}",
                shown(&String::from_utf8_lossy(line))
            )),
        };
        (self.taken, self.scanned) = (end + 1, end + 1);
        Some(heard)
    }

    /// Receives once, and appends the bytes to those left over from the last call.
    fn receive(&mut self) -> io::Result<usize> {
        self.input.copy_within(self.taken..self.received, 0);
        self.received -= self.taken;
        (self.taken, self.scanned) = (0, self.received);
        let bytes = self.stream.read(&mut self.input[self.received..])?;
        self.received += bytes;
        Ok(bytes)
    }

    /// Whether the last line that was begun has been sent only in part.
    fn is_within_line(&self) -> bool {
        self.wants_to_send() && self.sent > 0 && self.output[self.sent - 1] != b'\n'
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for Connection {
    /// Resets the connection if a line was sent only in part: after an orderly close, the server would process that
    /// part as a line.
    fn drop(&mut self) {
        if self.is_within_line() {
            let _ = setsockopt(&self.stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 });
        }
    }
}

/// Sets the options of a socket before it connects: lines are sent at once, all lines in flight fit the send buffer,
/// and the loss of the peer's power is detected. The connection works without these options, so errors are ignored.
pub fn set_up(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::TcpNoDelay, &true);
    let _ = setsockopt(socket, sockopt::SndBuf, &SEND_BUFFER_BYTES);
    let _ = setsockopt(socket, sockopt::KeepAlive, &true);
    let _ = setsockopt(socket, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S);
    let _ = setsockopt(socket, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S);
    let _ = setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES);
    let _ = setsockopt(socket, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_MS_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A connection and its other end.
    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        (Connection::new(stream), listener.accept().unwrap().0)
    }

    /// Waits for the next reply, or the end.
    fn hear(connection: &mut Connection) -> Heard {
        loop {
            match connection.hear() {
                Heard::Nothing => {
                    std::thread::yield_now();
                    connection.begin_round();
                }
                heard => return heard,
            }
        }
    }

    #[test]
    fn lines_are_numbered_and_split_replies_are_joined() {
        let (mut connection, mut server) = pair();
        assert_eq!(connection.push(|out| out.extend_from_slice(b"/ping\n")), 1);
        assert_eq!(connection.push(|out| out.extend_from_slice(b"smoke\n")), 2);
        assert_eq!(connection.last_sent(), 0);
        connection.flush();
        assert_eq!((connection.last_sent(), connection.wants_to_send()), (2, false));
        let mut received = [0; 12];
        server.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"/ping\nsmoke\n");
        assert_eq!(connection.hear(), Heard::Nothing);
        connection.begin_round();
        for part in [&b"OK 1\nAC"[..], b"K 2 17\r", b"\nLOST 3\n"] {
            server.write_all(part).unwrap();
        }
        drop(server);
        let ack = Reply::Ack { line: 2, id: 17, is_lowered: false, text: None };
        for reply in [Reply::Ok { line: 1, text: String::new() }, ack, Reply::Lost(3)] {
            assert_eq!(hear(&mut connection), Heard::Reply(reply));
        }
        assert!(matches!(hear(&mut connection), Heard::End(reason) if reason.contains("closed")));
    }

    #[test]
    fn other_protocols_are_reported_within_bounded_memory() {
        for said in
            [b"HTTP/1.1 400 Bad Request\r\n".to_vec(), b"\x15\x03\x01\n".to_vec(), vec![b'x'; 1 << 20]]
        {
            let (mut connection, mut server) = pair();
            let thread = std::thread::spawn(move || {
                let _ = server.write_all(&said);
            });
            let Heard::End(reason) = hear(&mut connection) else { panic!("it is no reply") };
            assert!(reason.starts_with("not a firstline server"), "{reason}");
            drop(connection);
            thread.join().unwrap();
        }
    }

    #[test]
    fn drop_resets_a_connection_with_half_a_line_sent() {
        let (mut connection, mut server) = pair();
        let mut lines = 0;
        while !connection.wants_to_send() {
            lines = connection.push(|out| {
                out.resize(out.len() + 100_000, b'x');
                out.push(b'\n');
            });
            connection.flush();
        }
        assert!(connection.is_within_line() && connection.last_sent() < lines);
        drop(connection);
        let error = io::copy(&mut server, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}
