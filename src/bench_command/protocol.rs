//! What the load generator has to know of a server's protocol: how a message is sent, and how replies and deliveries
//! are counted. Knows no socket.

use crate::client::Token;

/// What the bytes of a stream are counted in.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// That many LFs make one.
    Lines(u64),
    /// That many bytes make one.
    Bytes(u64),
    /// That many NULs make one.
    Frames(u64),
}

/// A counter of replies or deliveries that arrive in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    unit: Count,
    seen: u64,
}

impl Counter {
    /// Nothing has arrived.
    pub fn new(unit: Count) -> Self {
        Self { unit, seen: 0 }
    }

    /// How many replies these bytes complete.
    pub fn count(&mut self, bytes: &[u8]) -> u64 {
        let (new, each) = match self.unit {
            Count::Lines(each) => (memchr::memchr_iter(b'\n', bytes).count() as u64, each),
            Count::Bytes(each) => (bytes.len() as u64, each),
            Count::Frames(each) => (memchr::memchr_iter(0, bytes).count() as u64, each),
        };
        self.seen += new;
        let complete = self.seen / each;
        self.seen %= each;
        complete
    }
}

/// How a connection begins: what is sent, and what comes back before it is usable.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// The bytes to send.
    pub send: Vec<u8>,
    /// What one answer is; `None`: there is none.
    pub expect: Option<Count>,
    /// Whether a line of the answer means that the server serves this client.
    pub is_good: fn(&str) -> bool,
}

impl Greeting {
    /// Nothing is sent.
    pub fn none() -> Self {
        Self { send: Vec::new(), expect: None, is_good: |_| true }
    }
}

/// How a server is spoken to.
pub trait Protocol: Clone + Send + 'static {
    /// The greeting of a client that sends messages.
    fn greet_sender(&self) -> Greeting;

    /// The greeting of a client that receives messages.
    fn greet_reader(&self) -> Greeting;

    /// Appends a message that the server acknowledges; `number` is its number on the connection.
    fn message(&self, out: &mut Vec<u8>, text: &[u8], number: u64);

    /// Appends a message that the server sends to the readers.
    fn broadcast(&self, out: &mut Vec<u8>, text: &[u8], number: u64) {
        self.message(out, text, number);
    }

    /// What acknowledges one message.
    fn reply(&self) -> Count;

    /// What one message is for a reader.
    fn delivery(&self, text_bytes: usize) -> Count;
}

/// firstline's protocol: a line, and a line back.
#[derive(Clone, Debug)]
pub struct Lines {
    /// What shows the token, or nothing.
    token: Vec<u8>,
}

impl Lines {
    /// With that token.
    pub fn new(token: Option<&Token>) -> Self {
        Self { token: token.map_or_else(Vec::new, Token::line) }
    }

    /// Appends an urgent message.
    pub fn urgent(&self, out: &mut Vec<u8>, text: &[u8]) {
        out.extend_from_slice(b"/urgent ");
        self.message(out, text, 0);
    }

    /// The token, then these commands, each of which has an answer of one line.
    fn greeting(&self, commands: &[u8]) -> Greeting {
        let send = [&self.token, commands].concat();
        let answers = memchr::memchr_iter(b'\n', &send).count() as u64;
        Greeting { send, expect: (answers > 0).then_some(Count::Lines(answers)), is_good }
    }
}

/// Also if the server asks for no token and is shown one.
fn is_good(line: &str) -> bool {
    line.starts_with("OK ") || (line.starts_with("ERR ") && line.contains(" no-auth "))
}

impl Protocol for Lines {
    /// The answer shows that the server has a place for this client.
    fn greet_sender(&self) -> Greeting {
        self.greeting(b"/ping\n")
    }

    fn greet_reader(&self) -> Greeting {
        self.greeting(b"/join\n")
    }

    fn message(&self, out: &mut Vec<u8>, text: &[u8], _: u64) {
        out.extend_from_slice(text);
        out.push(b'\n');
    }

    fn reply(&self) -> Count {
        Count::Lines(1)
    }

    fn delivery(&self, _: usize) -> Count {
        Count::Lines(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_what_arrives_in_pieces() {
        let mut two_lines = Counter::new(Count::Lines(2));
        assert_eq!(["a\nb", "\n", "c\nd\ne\n"].map(|part| two_lines.count(part.as_bytes())), [0, 1, 1]);
        let mut bytes = Counter::new(Count::Bytes(4));
        assert_eq!([b"12345".as_slice(), b"678"].map(|part| bytes.count(part)), [1, 1]);
        assert_eq!(Counter::new(Count::Frames(1)).count(b"a\0b\0c"), 2);
    }

    #[test]
    fn token_comes_before_everything_else() {
        let token = Token::new(b"good-good-good-good").unwrap();
        let greeting = Lines::new(Some(&token)).greet_reader();
        assert_eq!(greeting.send, b"/auth good-good-good-good\n/join\n");
        assert!(matches!(greeting.expect, Some(Count::Lines(2))));
    }
}
