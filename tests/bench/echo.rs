//! The two baselines: servers that only echo, a thread a client and one epoll thread. What they take is what the kernel
//! takes; nobody who does something with the lines can be faster in the same shape. The epoll thread also sends what
//! comes to those who said `/join`: as little as can be done for that, a send for each reader.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

/// What is answered to each line: as long as an ACK.
const REPLY: &[u8] = b"ACK 100000 1000000\n";

/// What goes before each line to those who joined: as long as it is in a MSG line.
const MSG: &[u8] = b"MSG 1000000 p4 127.0.0.1:40000 ";

/// The most bytes that are received at once: as in firstline.
const RECEIVE_BYTES: usize = firstline::limits::RECEIVE_BYTES;

fn listen(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).unwrap()
}

/// Answers each line of what was received.
fn answer(received: &[u8], replies: &mut Vec<u8>) {
    replies.clear();
    memchr::memchr_iter(b'\n', received).for_each(|_| replies.extend_from_slice(REPLY));
}

/// A thread a client.
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

/// Writes what those who joined are sent for what was received.
fn broadcast(received: &[u8], lines: &mut Vec<u8>) {
    lines.clear();
    for line in received.split_inclusive(|byte| *byte == b'\n') {
        lines.extend_from_slice(MSG);
        lines.extend_from_slice(line);
    }
}

/// One epoll thread. The load never leaves so much unread that a send would block.
pub fn epoll(port: u16) {
    let listener = listen(port);
    listener.set_nonblocking(true).unwrap();
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX)).unwrap();
    let mut streams: HashMap<u64, TcpStream> = HashMap::new();
    let (mut events, mut next) = ([EpollEvent::empty(); 64], 0);
    let mut joined: Vec<u64> = Vec::new();
    let (mut buffer, mut lines) = ([0; RECEIVE_BYTES], Vec::new());
    let mut replies = Vec::with_capacity(RECEIVE_BYTES * REPLY.len());
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE).unwrap();
        for event in &events[..count] {
            if event.data() == u64::MAX {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    stream.set_nodelay(true).unwrap();
                    epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, next)).unwrap();
                    streams.insert(next, stream);
                    next += 1;
                }
                continue;
            }
            let mut stream = &streams[&event.data()];
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(count) if count > 0 => {
                    let received = &buffer[..count];
                    if received.starts_with(b"/join") {
                        joined.push(event.data());
                    } else if !joined.is_empty() {
                        broadcast(received, &mut lines);
                        joined.iter().for_each(|reader| drop((&streams[reader]).write_all(&lines)));
                    }
                    answer(received, &mut replies);
                    let _ = stream.write_all(&replies);
                }
                _ => drop(streams.remove(&event.data())),
            }
        }
    }
}
