//! The load generator: one thread, one epoll set, and on each connection a fixed number of messages in flight.

use crate::protocol::{Counter, Protocol};
use firstline::histogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: usize,
    pub in_flight: u64,
    pub text_bytes: usize,
    pub duration: Duration,
}

/// The result of a load.
pub struct Outcome {
    pub replies: u64,
    pub elapsed: Duration,
    pub latency: Histogram,
    /// The connections, kept open: the threads of a server that has one for each connection would end with them, and
    /// their memory and processor time could not be read.
    connections_held: Vec<TcpStream>,
}

impl Outcome {
    fn new() -> Self {
        Self { replies: 0, elapsed: Duration::ZERO, latency: Histogram::new(), connections_held: Vec::new() }
    }

    pub fn per_second(&self) -> f64 {
        self.replies as f64 / self.elapsed.as_secs_f64()
    }
}

/// The text of every message.
pub fn text(bytes: usize) -> Vec<u8> {
    b"abcdefghijklmnopqrstuvwxyz0123456789".iter().copied().cycle().take(bytes).collect()
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
    fn fill(&mut self, protocol: Protocol, text: &[u8], window: u64, now: Instant) {
        let more = window - self.in_flight;
        if more > 0 {
            for _ in 0..more {
                protocol.message(&mut self.rest, text, self.sent);
                self.sent += 1;
            }
            self.in_flight += more;
            self.times.push_back((now, more));
        }
        self.flush();
    }

    fn flush(&mut self) {
        while !self.rest.is_empty() {
            match self.stream.write(&self.rest) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the server closed a connection: {error}"),
            }
        }
    }

    /// Receives once, and counts the acknowledgements.
    fn receive(&mut self, buffer: &mut [u8], latency: &mut Histogram) -> u64 {
        let count = match self.stream.read(buffer) {
            Ok(0) => panic!("the server closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("the server closed a connection: {error}"),
        };
        let replies = self.replies.count(&buffer[..count]);
        let now = Instant::now();
        self.in_flight -= replies;
        let mut left = replies;
        while left > 0 {
            let (sent, messages) = self.times.front_mut().expect("a reply belongs to a message");
            let these = left.min(*messages);
            (0..these).for_each(|_| latency.record(now.duration_since(*sent).as_nanos() as u64));
            *messages -= these;
            left -= these;
            if *messages == 0 {
                self.times.pop_front();
            }
        }
        replies
    }
}

/// Connects, and exchanges the protocol's greeting.
pub fn connect(address: SocketAddr, greeting: &crate::protocol::Greeting) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).unwrap();
    stream.write_all(&greeting.send).unwrap();
    if let Some(expect) = greeting.expect {
        let (mut counter, mut byte) = (Counter::new(expect), [0]);
        loop {
            let count = stream.read(&mut byte).expect("a greeting");
            if counter.count(&byte[..count]) > 0 {
                break;
            }
        }
    }
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Waits until a message is acknowledged: a server may accept connections before it has created its files.
pub fn await_ready(address: SocketAddr, protocol: Protocol) {
    let mut stream = connect(address, &protocol.greet_sender());
    stream.set_nonblocking(false).unwrap();
    let (mut message, mut reply, mut buffer) = (Vec::new(), Counter::new(protocol.reply()), [0; 1024]);
    protocol.message(&mut message, b"ready?", 0);
    stream.write_all(&message).unwrap();
    loop {
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "the server closed a connection");
        if reply.count(&buffer[..count]) > 0 {
            return;
        }
    }
}

/// Keeps `load.in_flight` messages under way on each connection for `load.duration`.
pub fn acknowledge(address: SocketAddr, protocol: Protocol, load: Load) -> Outcome {
    let text = text(load.text_bytes);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let mut connections: Vec<Connection> = (0..load.connections)
        .map(|index| {
            let stream = connect(address, &protocol.greet_sender());
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64)).unwrap();
            let replies = Counter::new(protocol.reply());
            Connection { stream, replies, sent: 0, in_flight: 0, times: VecDeque::new(), rest: Vec::new() }
        })
        .collect();
    let mut outcome = Outcome::new();
    let start = Instant::now();
    connections.iter_mut().for_each(|connection| connection.fill(protocol, &text, load.in_flight, start));
    let (mut events, mut buffer) = ([EpollEvent::empty(); 256], vec![0; 64 * 1024]);
    while start.elapsed() < load.duration {
        let count = epoll.wait(&mut events, EpollTimeout::from(100u16)).unwrap();
        for event in &events[..count] {
            let connection = &mut connections[event.data() as usize];
            outcome.replies += connection.receive(&mut buffer, &mut outcome.latency);
            connection.fill(protocol, &text, load.in_flight, Instant::now());
        }
    }
    outcome.elapsed = start.elapsed();
    outcome.connections_held = connections.into_iter().map(|connection| connection.stream).collect();
    outcome
}

/// A client that receives the messages of others.
struct Reader {
    stream: TcpStream,
    counter: Counter,
    delivered: u64,
}

impl Reader {
    fn connect(address: SocketAddr, protocol: Protocol, text_bytes: usize) -> Self {
        let stream = connect(address, &protocol.greet_reader());
        Self { stream, counter: Counter::new(protocol.delivery(text_bytes)), delivered: 0 }
    }

    /// Receives once, and returns how many deliveries that completes.
    fn receive(&mut self, buffer: &mut [u8]) -> u64 {
        let Ok(bytes) = self.stream.read(buffer) else { return 0 };
        assert!(bytes > 0, "the server closed a reader");
        let complete = self.counter.count(&buffer[..bytes]);
        self.delivered += complete;
        complete
    }
}

/// One sender keeps `load.in_flight` messages under way to `load.connections` readers; a message is under way until
/// all of them have it. The outcome counts deliveries.
pub fn fan_out(address: SocketAddr, protocol: Protocol, load: Load) -> Outcome {
    let text = text(load.text_bytes);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let mut readers: Vec<Reader> =
        (0..load.connections).map(|_| Reader::connect(address, protocol, load.text_bytes)).collect();
    for (index, reader) in readers.iter().enumerate() {
        epoll.add(&reader.stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64)).unwrap();
    }
    let mut sender = connect(address, &protocol.greet_sender());
    let sender_index = readers.len() as u64;
    epoll.add(&sender, EpollEvent::new(EpollFlags::EPOLLIN, sender_index)).unwrap();
    let mut outcome = Outcome::new();
    let (mut events, mut buffer, mut rest) = ([EpollEvent::empty(); 256], vec![0; 64 * 1024], Vec::new());
    let (mut sent, start) = (0, Instant::now());
    while start.elapsed() < load.duration {
        let delivered = readers.iter().map(|reader| reader.delivered).min().unwrap_or(0);
        while sent - delivered < load.in_flight {
            protocol.broadcast(&mut rest, &text, sent);
            sent += 1;
        }
        if !rest.is_empty() {
            match sender.write(&rest) {
                Ok(written) => drop(rest.drain(..written)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        let count = epoll.wait(&mut events, EpollTimeout::from(100u16)).unwrap();
        for event in &events[..count] {
            if event.data() == sender_index {
                let _ = sender.read(&mut buffer);
                continue;
            }
            outcome.replies += readers[event.data() as usize].receive(&mut buffer);
        }
    }
    outcome.elapsed = start.elapsed();
    outcome
}
