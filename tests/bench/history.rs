//! What reading the history costs others: readers request a full journal, or its last messages, again and again, as
//! fast as they can.

use crate::load::{self, Load, connect};
use crate::protocol::Protocol;
use crate::stat;
use crate::urgent;
use firstline::bench_command::load::set_highest_niceness;
use firstline::histogram::Histogram;
use firstline::limits::JOURNAL_BYTES_DEFAULT;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// More messages than a journal of the usual size holds.
const MESSAGES: u64 = JOURNAL_BYTES_DEFAULT / 64;

/// How often the readers check whether they should end, in milliseconds.
const TICK_MS: u16 = 20;

/// After that, a step that takes seconds counts as stuck.
const STUCK: Duration = Duration::from_secs(600);

/// Fills the journal.
fn fill(address: SocketAddr, protocol: Protocol, load: Load) {
    let mut sent = 0;
    while sent < MESSAGES {
        sent += load::acknowledge(address, protocol, load).replies;
    }
    // The readers take nearly all places.
    let start = Instant::now();
    while stat(address, "clients") > 1 {
        assert!(start.elapsed() < STUCK, "the server still counts clients that left");
        thread::sleep(Duration::from_millis(u64::from(TICK_MS)));
    }
}

/// The request for all messages that the journal has.
pub const ALL: &[u8] = b"/since 0\n";

/// The request for a thousand messages, the newest ones.
pub const LAST: &[u8] = b"/last 1000\n";

/// Readers that all send the same request.
#[derive(Clone, Copy)]
pub struct Readers {
    pub count: usize,
    pub request: &'static [u8],
}

/// Calls `work` while clients read the history.
fn beside<R>(address: SocketAddr, readers: Readers, work: impl FnOnce() -> R) -> R {
    let (is_over, mut clients) = (AtomicBool::new(false), Vec::new());
    clients.resize_with(readers.count, || Client::new(address, readers.request));
    thread::scope(|scope| {
        scope.spawn(|| read(clients, &is_over));
        let _end = End(&is_over);
        work()
    })
}

/// Ends the readers when it is dropped, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client that sends its request again each time it has received the answer.
struct Client {
    stream: TcpStream,
    request: &'static [u8],
    is_at_line_start: bool,
}

impl Client {
    fn new(address: SocketAddr, request: &'static [u8]) -> Self {
        let mut stream = connect(address, &Protocol::Lines.greet_sender());
        stream.write_all(request).expect("the socket is empty");
        Self { stream, request, is_at_line_start: true }
    }

    /// Receives once.
    fn receive(&mut self, buffer: &mut [u8]) {
        let count = match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            count => count.expect("the server answers"),
        };
        assert!(count > 0, "the server closed a connection");
        let lines = buffer[..count].split_inclusive(|byte| *byte == b'\n');
        for line in lines {
            // Others begin with M for a message and L for lost ones.
            if self.is_at_line_start && matches!(line[0], b'O' | b'E') {
                assert_eq!(line[0], b'O', "{}", String::from_utf8_lossy(line));
                self.stream.write_all(self.request).expect("the socket is empty");
            }
            self.is_at_line_start = line.ends_with(b"\n");
        }
    }
}

fn read(mut clients: Vec<Client>, is_over: &AtomicBool) {
    set_highest_niceness();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    for (index, client) in clients.iter().enumerate() {
        epoll.add(&client.stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64)).unwrap();
    }
    let (mut events, mut buffer) = ([EpollEvent::empty(); 64], vec![0; 64 * 1024]);
    while !is_over.load(Ordering::Relaxed) {
        let count = epoll.wait(&mut events, EpollTimeout::from(TICK_MS)).unwrap_or(0);
        for event in &events[..count] {
            clients[event.data() as usize].receive(&mut buffer);
        }
    }
}

/// The times of urgent lines while clients read the history.
pub fn urgent(address: SocketAddr, protocol: Protocol, readers: Readers, load: Load) -> Histogram {
    fill(address, protocol, load);
    beside(address, readers, || urgent::alone(address, protocol, load))
}

/// By how much a flood is slower while clients read the history, in percent.
pub fn cost_to_flood(address: SocketAddr, protocol: Protocol, readers: Readers, load: Load) -> f64 {
    fill(address, protocol, load);
    let flood = || load::acknowledge(address, protocol, load).per_second();
    let start = Instant::now();
    let (mut alone, mut beside_readers) = (0.0, 0.0);
    // Alternating, because the machine's other load changes.
    for _ in 0..4 {
        alone += flood();
        beside_readers += beside(address, readers, flood);
        assert!(start.elapsed() < STUCK, "the server is stuck");
    }
    (1.0 - beside_readers / alone) * 100.0
}
