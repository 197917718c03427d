//! For tests: a server that follows a script.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// A server's end of a connection.
pub struct Peer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Peer {
    /// Accepts the next connection.
    pub fn accept(listener: &TcpListener) -> Self {
        let stream = listener.accept().unwrap().0;
        Self { lines: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    /// Accepts the next connection and answers its greeting.
    pub fn greet(listener: &TcpListener) -> Self {
        let mut peer = Self::accept(listener);
        assert_eq!(peer.line(), "/ping");
        peer.say("OK 1\n");
        peer
    }

    /// The next line; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// Sends `text` as it is.
    pub fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }
}
