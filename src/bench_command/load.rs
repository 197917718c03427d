//! The load generator: one thread, one epoll set, and on each connection a fixed number of messages in flight.

use super::limits::{ANSWER_LINE_BYTES_MAX, CONNECT_MAX, NICENESS, RECEIVE_BYTES, SILENCE_MAX};
use super::protocol::{Counter, Greeting, Protocol};
use super::trouble::Trouble;
use crate::histogram::Histogram;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many events one wait takes.
const EVENTS: usize = 256;

/// How often the end is looked for while nothing comes, in ms.
const TICK_MS: u16 = 100;

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many clients.
    pub connections: usize,
    /// How many messages each of them has in flight.
    pub in_flight: u64,
    /// The bytes of each text.
    pub text_bytes: usize,
    /// How long.
    pub duration: Duration,
}

/// The result of a load.
#[derive(Debug)]
pub struct Outcome {
    /// The replies that came, or the deliveries.
    pub replies: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The times from a message to its reply.
    pub latency: Histogram,
    /// The connections, kept open: the threads of a server that has one for each connection would end with them, and
    /// their memory and processor time could not be read.
    pub held: Vec<TcpStream>,
}

impl Outcome {
    fn new() -> Self {
        Self { replies: 0, elapsed: Duration::ZERO, latency: Histogram::new(), held: Vec::new() }
    }

    /// Replies a second.
    pub fn per_second(&self) -> f64 {
        self.replies as f64 / self.elapsed.as_secs_f64()
    }
}

/// A text of that many bytes.
pub fn text(bytes: usize) -> Vec<u8> {
    b"abcdefghijklmnopqrstuvwxyz0123456789".iter().copied().cycle().take(bytes).collect()
}

/// Connects, and waits for the answer to the greeting, up to [`SILENCE_MAX`]. Then the connection does not block.
///
/// # Errors
/// The connection fails, or the server does not serve this client.
pub fn connect(address: SocketAddr, greeting: &Greeting) -> Result<TcpStream, Trouble> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(&greeting.send)?;
    if let Some(expect) = greeting.expect {
        await_answer(&mut stream, Counter::new(expect), greeting.is_good)?;
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Reads byte by byte, so that nothing behind the answer is lost.
fn await_answer(
    stream: &mut TcpStream,
    mut counter: Counter,
    is_good: fn(&str) -> bool,
) -> Result<(), Trouble> {
    let (until, mut line, mut byte) = (Instant::now() + SILENCE_MAX, Vec::new(), [0]);
    loop {
        let count = read(stream, &mut byte)?;
        line.extend_from_slice(&byte[..count]);
        let is_whole = line.ends_with(b"\n") || line.len() == ANSWER_LINE_BYTES_MAX;
        if count == 0 || (is_whole && !is_good(&String::from_utf8_lossy(&line))) {
            return Err(refusal(&line));
        }
        if counter.count(&byte) > 0 {
            return Ok(());
        }
        if is_whole {
            line.clear();
        }
        if Instant::now() > until {
            return Err(Trouble::Silent(SILENCE_MAX));
        }
    }
}

/// What the last line of a server means that does not go on.
pub fn refusal(line: &[u8]) -> Trouble {
    let line = String::from_utf8_lossy(line).trim_end().to_string();
    if line.is_empty() || line.starts_with("ERR ") { Trouble::Closed(line) } else { Trouble::Foreign(line) }
}

/// Reads from a connection that blocks, and again after a signal. Returns 0 at the end.
///
/// # Errors
/// Nothing came for [`SILENCE_MAX`], or the connection is lost.
pub fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, Trouble> {
    loop {
        match stream.read(buffer) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(Trouble::Silent(SILENCE_MAX)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends the last lines of a connection, and returns what the server says until it closes that.
///
/// # Errors
/// As for [`ask`].
pub fn converse(mut stream: TcpStream, lines: &[u8], max: usize) -> Result<String, Trouble> {
    ask(&mut stream, lines, max, |_| false)
}

/// Sends lines, and returns what the server says until that is the whole answer, or until it closes the connection.
/// Then the connection does not block.
///
/// # Errors
/// It says more than `max` bytes, or takes longer than [`SILENCE_MAX`]; or the connection is lost.
pub fn ask(
    stream: &mut TcpStream,
    lines: &[u8],
    max: usize,
    is_whole: impl Fn(&str) -> bool,
) -> Result<String, Trouble> {
    stream.set_nonblocking(false)?;
    stream.write_all(lines)?;
    let (until, mut said, mut buffer) = (Instant::now() + SILENCE_MAX, Vec::new(), [0; 4096]);
    loop {
        let count = read(stream, &mut buffer)?;
        said.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&said);
        if count == 0 || is_whole(&text) {
            stream.set_nonblocking(true)?;
            return Ok(text.into_owned());
        }
        if said.len() > max || Instant::now() > until {
            return Err(Trouble::Silent(SILENCE_MAX));
        }
    }
}

struct Connection {
    stream: TcpStream,
    replies: Counter,
    sent: u64,
    in_flight: u64,
    /// When messages were sent, and how many at that moment.
    times: VecDeque<(Instant, u64)>,
    /// What the socket has not taken yet.
    rest: Vec<u8>,
}

impl Connection {
    fn fill(
        &mut self,
        protocol: &impl Protocol,
        text: &[u8],
        window: u64,
        now: Instant,
    ) -> Result<(), Trouble> {
        let more = window - self.in_flight;
        if more > 0 {
            for _ in 0..more {
                protocol.message(&mut self.rest, text, self.sent);
                self.sent += 1;
            }
            self.in_flight += more;
            self.times.push_back((now, more));
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        while !self.rest.is_empty() {
            match send(&mut self.stream, &self.rest)? {
                0 => break,
                written => drop(self.rest.drain(..written)),
            }
        }
        Ok(())
    }

    /// Receives once, and counts the replies.
    fn receive(&mut self, buffer: &mut [u8], latency: &mut Histogram) -> Result<u64, Trouble> {
        let count = receive(&mut self.stream, buffer)?;
        let replies = self.replies.count(&buffer[..count]);
        let now = Instant::now();
        self.in_flight = self.in_flight.saturating_sub(replies);
        let mut left = replies;
        while left > 0
            && let Some((sent, messages)) = self.times.front_mut()
        {
            let these = left.min(*messages);
            latency.record_many(now.duration_since(*sent).as_nanos() as u64, these);
            *messages -= these;
            left -= these;
            if *messages == 0 {
                self.times.pop_front();
            }
        }
        Ok(replies)
    }
}

/// Receives once; 0: nothing is there.
fn receive(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, Trouble> {
    match stream.read(buffer) {
        Ok(0) => Err(Trouble::Closed(String::new())),
        Ok(count) => Ok(count),
        Err(error) if is_temporary(&error) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sends once; 0: the socket takes nothing now.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize, Trouble> {
    match stream.write(bytes) {
        Err(error) if is_temporary(&error) => Ok(0),
        sent => Ok(sent?),
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Waits for events; none after a signal.
fn wait(epoll: &Epoll, events: &mut [EpollEvent]) -> Result<usize, Trouble> {
    match epoll.wait(events, EpollTimeout::from(TICK_MS)) {
        Err(Errno::EINTR) => Ok(0),
        count => Ok(count?),
    }
}

/// When something came last.
struct Silence(Instant);

impl Silence {
    fn check(&mut self, came: bool) -> Result<(), Trouble> {
        if came {
            self.0 = Instant::now();
        }
        if self.0.elapsed() > SILENCE_MAX { Err(Trouble::Silent(SILENCE_MAX)) } else { Ok(()) }
    }
}

/// Keeps `load.in_flight` messages in flight on each connection for `load.duration`.
///
/// # Errors
/// The server goes away, or answers nothing.
pub fn acknowledge(address: SocketAddr, protocol: &impl Protocol, load: Load) -> Result<Outcome, Trouble> {
    Clients::connect(address, protocol, load)?.acknowledge(protocol, &AtomicBool::new(false))
}

/// The clients of a load; they have sent nothing yet.
pub struct Clients {
    load: Load,
    epoll: Epoll,
    connections: Vec<Connection>,
}

impl Clients {
    /// Connects them.
    ///
    /// # Errors
    /// The server does not serve all of them.
    pub fn connect(address: SocketAddr, protocol: &impl Protocol, load: Load) -> Result<Self, Trouble> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut connections = Vec::new();
        for index in 0..load.connections {
            let stream = connect(address, &protocol.greet_sender())?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            let (replies, times) = (Counter::new(protocol.reply()), VecDeque::new());
            connections.push(Connection { stream, replies, sent: 0, in_flight: 0, times, rest: Vec::new() });
        }
        Ok(Self { load, epoll, connections })
    }

    /// Keeps their messages in flight, until the time is over or `is_over` is set.
    ///
    /// # Errors
    /// The server goes away, or answers nothing.
    pub fn acknowledge(mut self, protocol: &impl Protocol, is_over: &AtomicBool) -> Result<Outcome, Trouble> {
        let (load, text, mut outcome) = (self.load, text(self.load.text_bytes), Outcome::new());
        let (start, mut silence) = (Instant::now(), Silence(Instant::now()));
        for connection in &mut self.connections {
            connection.fill(protocol, &text, load.in_flight, start)?;
        }
        let (mut events, mut buffer) = ([EpollEvent::empty(); EVENTS], vec![0; RECEIVE_BYTES]);
        while start.elapsed() < load.duration && !is_over.load(Ordering::Relaxed) {
            let count = wait(&self.epoll, &mut events)?;
            silence.check(count > 0)?;
            for event in &events[..count] {
                let connection = &mut self.connections[event.data() as usize];
                outcome.replies += connection.receive(&mut buffer, &mut outcome.latency)?;
                connection.fill(protocol, &text, load.in_flight, Instant::now())?;
            }
        }
        outcome.elapsed = start.elapsed();
        outcome.held = self.connections.into_iter().map(|connection| connection.stream).collect();
        Ok(outcome)
    }

    /// As [`acknowledge`](Self::acknowledge), for a thread beside another that measures times; see [`set_highest_niceness`].
    ///
    /// # Errors
    /// As for `acknowledge`.
    pub fn flood(self, protocol: &impl Protocol, is_over: &AtomicBool) -> Result<Outcome, Trouble> {
        set_highest_niceness();
        self.acknowledge(protocol, is_over)
    }
}

/// Sets the calling thread to the highest niceness, so that it delays a thread that measures times less.
///
/// If the two share a processor, Linux lets the loading thread continue for several 100 µs after a reply has arrived,
/// because the measuring thread has just exceeded its share. A higher niceness shortens that.
pub fn set_highest_niceness() {
    // This concerns the calling thread alone: see setpriority(2) on Linux. If it fails, the times are longer.
    let _ = rustix::process::nice(NICENESS);
}

/// A client that receives the messages of others.
struct Reader {
    stream: TcpStream,
    counter: Counter,
    delivered: u64,
}

impl Reader {
    fn connect(address: SocketAddr, protocol: &impl Protocol, text_bytes: usize) -> Result<Self, Trouble> {
        let stream = connect(address, &protocol.greet_reader())?;
        Ok(Self { stream, counter: Counter::new(protocol.delivery(text_bytes)), delivered: 0 })
    }

    /// Receives once, and returns how many deliveries that completes.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<u64, Trouble> {
        let bytes = receive(&mut self.stream, buffer)?;
        let complete = self.counter.count(&buffer[..bytes]);
        self.delivered += complete;
        Ok(complete)
    }
}

/// One sender keeps `load.in_flight` messages in flight to `load.connections` readers; a message is in flight until all
/// of them have it. The outcome counts deliveries.
///
/// # Errors
/// The server goes away, or answers nothing.
pub fn fan_out(address: SocketAddr, protocol: &impl Protocol, load: Load) -> Result<Outcome, Trouble> {
    let text = text(load.text_bytes);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut readers = Vec::new();
    for index in 0..load.connections {
        let reader = Reader::connect(address, protocol, load.text_bytes)?;
        epoll.add(&reader.stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        readers.push(reader);
    }
    let mut sender = connect(address, &protocol.greet_sender())?;
    let sender_index = readers.len() as u64;
    epoll.add(&sender, EpollEvent::new(EpollFlags::EPOLLIN, sender_index))?;
    let mut outcome = Outcome::new();
    let (mut events, mut buffer, mut rest) =
        ([EpollEvent::empty(); EVENTS], vec![0; RECEIVE_BYTES], Vec::new());
    let (mut sent, start, mut silence) = (0, Instant::now(), Silence(Instant::now()));
    while start.elapsed() < load.duration {
        let delivered = readers.iter().map(|reader| reader.delivered).min().unwrap_or(0);
        // Messages of others are counted too, so more may have come than were sent.
        while sent < delivered + load.in_flight {
            protocol.broadcast(&mut rest, &text, sent);
            sent += 1;
        }
        if !rest.is_empty() {
            drop(rest.drain(..send(&mut sender, &rest)?));
        }
        let count = wait(&epoll, &mut events)?;
        silence.check(count > 0)?;
        for event in &events[..count] {
            match readers.get_mut(event.data() as usize) {
                Some(reader) => outcome.replies += reader.receive(&mut buffer)?,
                None => drop(receive(&mut sender, &mut buffer)?),
            }
        }
    }
    outcome.elapsed = start.elapsed();
    outcome.held = readers.into_iter().map(|reader| reader.stream).chain([sender]).collect();
    Ok(outcome)
}
