//! Messages that somebody processes and answers: how long an urgent one takes while a slow handler has others to do,
//! and how many are answered in a second. A message is answered when its sender has what the handler says.
//!
//! With firstline, handlers say `/handle`, and the answer is in the ACK. beanstalkd has jobs with priorities; the
//! answer is a job in a tube of the sender. RabbitMQ has a queue with priorities, a prefetch of one, and `reply-to`.
//! NATS has requests to a queue group; it has no priorities.
//!
//! All servers get the same load from the same clients: a thread for each sender and each handler. A handler has one
//! message at a time, or up to a number of them (NATS has no such bound, and pushes). With one, it sends the answer as
//! soon as the message is done; with more, it answers those that it has received in one write.

use crate::load::{self, Load, text};
use crate::protocol::Protocol;
use crate::server::Running;
use firstline::histogram::Histogram;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// How long the slow handler takes for a message.
const WORK: Duration = Duration::from_millis(10);

/// The pause between two urgent messages: longer than two of them take.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the other messages pile up before the first urgent one.
const LEAD: Duration = Duration::from_millis(300);

/// Handlers of a kind.
#[derive(Clone, Copy)]
pub struct Handlers {
    /// How many there are.
    pub count: usize,
    /// How many messages each has at once.
    pub each: usize,
}

/// How long an answer may take before the measurement fails: several times the 5 s that NATS takes for an urgent
/// message behind 512 others.
const LIMIT: Duration = Duration::from_secs(60);

/// A stream, read line by line or up to a NUL.
struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Connects, and exchanges the protocol's greeting.
    fn connect(address: SocketAddr, protocol: Protocol) -> Self {
        let stream = load::connect(address, &protocol.greet_sender());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self(BufReader::with_capacity(64 * 1024, stream))
    }

    /// Sends; false: the server has closed the connection.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// The next piece, up to `end`; none: the server has closed the connection.
    fn next(&mut self, end: u8) -> Option<String> {
        let mut piece = Vec::new();
        if let Err(error) = self.0.read_until(end, &mut piece) {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "nothing came for {LIMIT:?}");
            return None;
        }
        // At the end a piece may be cut off.
        let piece = piece.strip_suffix(&[end])?;
        Some(String::from_utf8_lossy(piece).trim_end_matches('\r').to_string())
    }

    fn line(&mut self) -> Option<String> {
        self.next(b'\n')
    }

    /// Whether more of a further piece has been received already than the LF that RabbitMQ sends after each.
    fn has_more(&self) -> bool {
        self.0.buffer().iter().any(|byte| *byte != b'\n')
    }
}

/// A client that wants answers.
struct Sender {
    protocol: Protocol,
    /// Its messages.
    stream: Stream,
    /// The answers, if they come by another connection.
    answers: Option<Stream>,
    /// Where the answers go.
    name: String,
    text: Vec<u8>,
}

impl Sender {
    /// A sender that has `in_flight` messages under way at most.
    fn connect(
        address: SocketAddr,
        protocol: Protocol,
        index: usize,
        in_flight: u64,
        text_bytes: usize,
    ) -> Self {
        let mut stream = Stream::connect(address, protocol);
        let (name, mut answers) = (format!("r{index}"), None);
        match protocol {
            Protocol::Beanstalkd => {
                let mut of_tube = Stream::connect(address, protocol);
                // Each reservation brings one answer. As many wait as messages are under way, so that the sender need
                // not ask between two answers.
                let reservations = "reserve\r\n".repeat(in_flight as usize);
                of_tube.send(format!("watch {name}\r\nignore default\r\n{reservations}"));
                (0..2).for_each(|_| drop(of_tube.line()));
                answers = Some(of_tube);
                // Nobody waits for what comes back to a put.
                let mut replies = stream.0.get_ref().try_clone().unwrap();
                thread::spawn(move || std::io::copy(&mut replies, &mut std::io::sink()));
            }
            Protocol::Nats => drop(stream.send(format!("CONNECT {{\"verbose\":false}}\r\nSUB {name} 1\r\n"))),
            _ => {}
        }
        Self { protocol, stream, answers, name, text: text(text_bytes) }
    }

    /// Sends messages.
    fn ask(&mut self, count: u64, is_urgent: bool) -> bool {
        let (len, name) = (self.text.len(), &self.name);
        let (head, end) = match self.protocol {
            Protocol::Beanstalkd => {
                let rank = if is_urgent { 0 } else { 1024 };
                (format!("put {rank} 0 60 {}\r\n{name} ", name.len() + 1 + len), "\r\n")
            }
            Protocol::Nats => (format!("PUB tasks {name} {len}\r\n"), "\r\n"),
            Protocol::Stomp => {
                let rank = if is_urgent { 9 } else { 4 };
                let to = "destination:/amq/queue/tasks\nreply-to:/temp-queue/answers";
                (format!("SEND\n{to}\npriority:{rank}\n\n"), "\0")
            }
            _ => (if is_urgent { "/urgent " } else { "" }.to_string(), "\n"),
        };
        let message = [head.as_bytes(), &self.text, end.as_bytes()].concat();
        self.stream.send(message.repeat(count as usize))
    }

    /// Waits for an answer, and returns how many have come; none: the server has closed the connection.
    fn answers(&mut self) -> Option<u64> {
        let (protocol, mut count) = (self.protocol, 0);
        let from = self.answers.as_mut().unwrap_or(&mut self.stream);
        loop {
            count += u64::from(answer(protocol, from)?);
            if count > 0 && !from.has_more() {
                return Some(count);
            }
        }
    }
}

/// Reads a piece of what a sender gets, and returns whether it was an answer.
fn answer(protocol: Protocol, from: &mut Stream) -> Option<bool> {
    match protocol {
        Protocol::Stomp => from.next(0).map(|frame| frame.trim_start().starts_with("MESSAGE")),
        Protocol::Nats => {
            let line = from.line()?;
            if !line.starts_with("MSG ") {
                return Some(false);
            }
            from.line().map(|_| true)
        }
        Protocol::Beanstalkd => {
            let line = from.line()?;
            let Some(words) = line.strip_prefix("RESERVED ") else { return Some(false) };
            from.line()?;
            let id = words.split(' ').next()?.to_string();
            from.send(format!("delete {id}\r\nreserve\r\n")).then_some(true)
        }
        _ => {
            let line = from.line()?;
            assert!(line.starts_with("ACK "), "{line}");
            Some(true)
        }
    }
}

/// A client that processes messages and answers them.
struct Handler {
    protocol: Protocol,
    stream: Stream,
    /// It answers all that it has received at once.
    is_batching: bool,
}

impl Handler {
    fn connect(address: SocketAddr, protocol: Protocol, each: usize) -> Self {
        let mut stream = Stream::connect(address, protocol);
        match protocol {
            Protocol::Beanstalkd => drop(stream.send("reserve\r\n".repeat(each))),
            Protocol::Nats => {
                stream.send("CONNECT {\"verbose\":false}\r\nSUB tasks handlers 1\r\nPING\r\n");
                // The +OK to the CONNECT before, and the PONG.
                while stream.line().is_some_and(|line| line != "PONG") {}
            }
            Protocol::Stomp => {
                let how =
                    format!("ack:client-individual\nprefetch-count:{each}\nx-max-priority:9\nreceipt:1");
                stream.send(format!("SUBSCRIBE\nid:0\ndestination:/queue/tasks\n{how}\n\n\0"));
                while stream.next(0).is_some_and(|frame| !frame.trim_start().starts_with("RECEIPT")) {}
            }
            _ => {
                stream.send(format!("/handle 0 {each}\n"));
                assert_eq!(stream.line().as_deref(), Some("OK 1"));
            }
        }
        Self { protocol, stream, is_batching: each > 1 }
    }

    /// Processes messages for as long as the server lives; each takes `work`.
    fn run(mut self, work: Duration) {
        let mut answers = String::new();
        while let Some(piece) = self.take() {
            if let Some(answer) = piece {
                if !work.is_zero() {
                    sleep(work);
                }
                answers += &answer;
            }
            let waits = self.is_batching && self.stream.has_more();
            if !waits && !answers.is_empty() && !self.stream.send(mem::take(&mut answers)) {
                return;
            }
        }
    }

    /// Reads a piece, and returns the answer to it if it is a message.
    fn take(&mut self) -> Option<Option<String>> {
        let stream = &mut self.stream;
        let answer = match self.protocol {
            Protocol::Stomp => {
                let frame = stream.next(0)?;
                let header =
                    |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
                if !frame.trim_start().starts_with("MESSAGE") {
                    return Some(None);
                }
                let (to, id) = (header("reply-to:"), header("ack:"));
                format!("SEND\ndestination:{to}\n\nok\0ACK\nid:{id}\n\n\0")
            }
            Protocol::Nats => {
                let line = stream.line()?;
                let words: Vec<&str> = line.split(' ').collect();
                let ["MSG", _, _, to, _] = words[..] else { return Some(None) };
                stream.line()?;
                format!("PUB {to} 2\r\nok\r\n")
            }
            Protocol::Beanstalkd => {
                let line = stream.line()?;
                let words: Vec<&str> = line.split(' ').collect();
                let ["RESERVED", id, bytes] = words[..] else { return Some(None) };
                let body = stream.line()?;
                assert_eq!(body.len().to_string(), bytes);
                let to = body.split(' ').next()?;
                format!("use {to}\r\nput 0 0 60 2\r\nok\r\ndelete {id}\r\nreserve\r\n")
            }
            _ => {
                let line = stream.line()?;
                let Some(task) = line.strip_prefix("TASK ") else { return Some(None) };
                format!("/done {} ok\n", task.split(' ').next()?)
            }
        };
        Some(Some(answer))
    }
}

/// Starts the handlers. They end with the server.
fn handle(running: &Running, protocol: Protocol, handlers: Handlers, work: Duration) -> Vec<JoinHandle<()>> {
    let Handlers { count, each } = handlers;
    let handlers = (0..count).map(|_| Handler::connect(running.address, protocol, each));
    // All are there before the first message.
    let handlers: Vec<Handler> = handlers.collect();
    handlers.into_iter().map(|handler| thread::spawn(move || handler.run(work))).collect()
}

/// Starts clients that keep `load.in_flight` messages under way each, and count the answers. They end with the server.
fn flood(
    running: &Running,
    protocol: Protocol,
    load: Load,
    answered: &Arc<AtomicU64>,
) -> Vec<JoinHandle<()>> {
    let keep_asking = |index| {
        let mut sender = Sender::connect(running.address, protocol, index, load.in_flight, load.text_bytes);
        let answered = Arc::clone(answered);
        thread::spawn(move || {
            let mut count = load.in_flight;
            while sender.ask(count, false)
                && let Some(answers) = sender.answers()
            {
                answered.fetch_add(answers, Relaxed);
                count = answers;
            }
        })
    };
    (0..load.connections).map(keep_asking).collect()
}

/// The times until urgent messages are answered. One handler takes 10 ms for each message, and the clients of `load`
/// have many others under way.
pub fn urgent(running: Running, protocol: Protocol, load: Load) -> Histogram {
    let mut threads = handle(&running, protocol, Handlers { count: 1, each: 1 }, WORK);
    let mut sender = Sender::connect(running.address, protocol, load.connections, 1, load.text_bytes);
    threads.extend(flood(&running, protocol, load, &Arc::default()));
    sleep(LEAD);
    let (mut latency, start) = (Histogram::new(), Instant::now());
    while start.elapsed() < load.duration {
        let before = Instant::now();
        assert!(sender.ask(1, true));
        sender.answers().expect("an answer");
        latency.record(before.elapsed().as_nanos() as u64);
        sleep(PAUSE);
    }
    drop(running);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    latency
}

/// How many messages are answered in a second, by handlers that do nothing.
pub fn per_second(running: Running, protocol: Protocol, handlers: Handlers, load: Load) -> f64 {
    let mut threads = handle(&running, protocol, handlers, Duration::ZERO);
    let answered = Arc::default();
    threads.extend(flood(&running, protocol, load, &answered));
    let (before, start) = (answered.load(Relaxed), Instant::now());
    sleep(load.duration);
    let per_second = (answered.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    drop(running);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    per_second
}
