//! The baselines: servers that only echo, with a thread for each client, and with one epoll thread. Their cost is the
//! kernel's; no server of the same shape that processes the lines can be faster. The epoll thread also sends lines to
//! the clients that sent `/join`, with the least effort: a send for each reader. The third server writes what it
//! received to the disk before it answers, with one sync for everything that came together.

use crate::bare::Log;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// The answer to each line: as long as an ACK.
const REPLY: &[u8] = b"ACK 100000 1000000\n";

/// The beginning of each line to a subscriber: as long as that of a MSG line.
const MSG: &[u8] = b"MSG 1000000 p4 127.0.0.1:40000 ";

/// The most bytes that are received at once: as in firstline.
const RECEIVE_BYTES: usize = firstline::limits::RECEIVE_BYTES;

fn listen(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).unwrap()
}

/// Answers each received line.
fn answer(received: &[u8], replies: &mut Vec<u8>) {
    replies.clear();
    memchr::memchr_iter(b'\n', received).for_each(|_| replies.extend_from_slice(REPLY));
}

/// A server with a thread for each client.
pub fn threads(port: u16) {
    for stream in listen(port).incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || {
            let _ = converse(stream);
        });
    }
}

fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut replies) = ([0; RECEIVE_BYTES], Vec::with_capacity(RECEIVE_BYTES * REPLY.len()));
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        answer(&buffer[..count], &mut replies);
        stream.write_all(&replies)?;
    }
}

/// Writes the lines for the subscribers.
fn broadcast(received: &[u8], lines: &mut Vec<u8>) {
    lines.clear();
    for line in received.split_inclusive(|byte| *byte == b'\n') {
        lines.extend_from_slice(MSG);
        lines.extend_from_slice(line);
    }
}

/// Streams in an epoll set, by their numbers, and the listener that they come from.
struct Streams {
    listener: TcpListener,
    epoll: Epoll,
    all: HashMap<u64, TcpStream>,
    next: u64,
    events: [EpollEvent; 64],
}

impl Streams {
    const LISTENER: u64 = u64::MAX;

    fn listen(port: u16) -> Self {
        let listener = listen(port);
        listener.set_nonblocking(true).unwrap();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, Self::LISTENER)).unwrap();
        Self { listener, epoll, all: HashMap::new(), next: 0, events: [EpollEvent::empty(); 64] }
    }

    /// Waits, and receives from each stream with data.
    fn receive(&mut self, mut take: impl FnMut(&HashMap<u64, TcpStream>, u64, &[u8])) {
        let mut buffer = [0; RECEIVE_BYTES];
        let count = self.epoll.wait(&mut self.events, EpollTimeout::NONE).unwrap();
        for number in self.events.map(|event| event.data()).into_iter().take(count) {
            if number == Self::LISTENER {
                self.accept();
                continue;
            }
            match (&self.all[&number]).read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(count) if count > 0 => take(&self.all, number, &buffer[..count]),
                _ => drop(self.all.remove(&number)),
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, self.next)).unwrap();
            self.all.insert(self.next, stream);
            self.next += 1;
        }
    }
}

/// A server with one epoll thread. The load never leaves so much unread that a send blocks.
pub fn epoll(port: u16) {
    let (mut streams, mut joined) = (Streams::listen(port), Vec::new());
    let (mut lines, mut replies) = (Vec::new(), Vec::with_capacity(RECEIVE_BYTES * REPLY.len()));
    loop {
        streams.receive(|all, number, received| {
            if received.starts_with(b"/join") {
                joined.push(number);
            } else if !joined.is_empty() {
                broadcast(received, &mut lines);
                joined.iter().for_each(|reader| drop((&all[reader]).write_all(&lines)));
            }
            answer(received, &mut replies);
            let _ = (&all[&number]).write_all(&replies);
        });
    }
}

/// A server with one epoll thread that writes received lines to a file in that directory, syncs it, and then answers.
pub fn synced(port: u16, directory: &Path) {
    let (mut streams, mut log) = (Streams::listen(port), Log::new(directory));
    let (mut came, mut replies) = (Vec::new(), Vec::with_capacity(RECEIVE_BYTES * REPLY.len()));
    loop {
        streams.receive(|_, number, received| {
            log.append(memchr::memchr_iter(b'\n', received).count());
            answer(received, &mut replies);
            came.push((number, replies.clone()));
        });
        log.sync();
        for (number, replies) in came.drain(..) {
            // The client may have closed the connection meanwhile.
            let _ = streams.all.get(&number).map(|mut stream| stream.write_all(&replies));
        }
    }
}
