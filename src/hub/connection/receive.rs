//! From the socket to the framer: what may be received, and how much. Knows no commands and no outbox.

use crate::limits::{DISCARDS_PER_TURN_MAX, RECEIVE_BYTES};
use crate::net::socket::{self, Received};
use crate::protocol::framing::Framer;
use nix::sys::epoll::EpollFlags;
use std::mem;
use std::os::fd::OwnedFd;

/// What one connection receives.
pub struct Receiver {
    /// The lines that have come.
    pub framer: Framer<'static, RECEIVE_BYTES>,
    /// The socket may have something to receive.
    is_readable: bool,
    /// Nothing will come after what is there, and the socket will not be reported again.
    is_last: bool,
    /// The socket reported urgent data: a receive ends at its mark, and there may be more behind it.
    has_mark: bool,
    /// The client has ended its side.
    has_ended: bool,
    /// How many bytes are still received; none: as many as come.
    allowance_bytes: Option<usize>,
    /// Whether the kernel [takes more](socket::raise_receive_buffer) from the client, because the client has to read
    /// first.
    has_raised_buffer: bool,
}

impl Receiver {
    /// Receives nothing yet. Lines lie in `buffer`.
    pub fn new(buffer: &'static mut [u8; RECEIVE_BYTES]) -> Self {
        Self {
            framer: Framer::new(buffer),
            is_readable: false,
            is_last: false,
            has_mark: false,
            has_ended: false,
            allowance_bytes: None,
            has_raised_buffer: false,
        }
    }

    /// Begins with a new connection, of which the socket has reported nothing.
    pub fn open(&mut self) {
        self.is_readable = false;
        self.is_last = false;
        self.has_mark = false;
        self.has_ended = false;
        self.allowance_bytes = None;
        self.has_raised_buffer = false;
    }

    /// Notes what the socket reported, of which `last` says that nothing will come after what is there.
    pub fn note(&mut self, events: EpollFlags, last: EpollFlags) {
        self.is_last |= events.intersects(last);
        self.has_mark |= events.contains(EpollFlags::EPOLLPRI);
        self.is_readable |= events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | last);
    }

    /// The connection broke while it was sent on. What had come by then can be received, until a receive finds no
    /// more.
    pub fn note_break(&mut self) {
        self.is_last = true;
        self.is_readable = true;
    }

    /// From now on receives only what has come on `socket` by now.
    pub fn close(&mut self, socket: Option<&OwnedFd>) {
        let bytes = socket.map_or(0, socket::unreceived);
        self.allowance_bytes = Some(bytes);
        self.is_readable |= bytes > 0;
    }

    /// Whether the socket may have something to receive.
    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// Whether the socket may have something that is still [received](Self::receive).
    pub fn has_more(&self) -> bool {
        self.is_readable && !self.has_ended && self.allowance_bytes != Some(0)
    }

    /// Whether the client has ended its side.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Receives once.
    pub fn receive(&mut self, socket: &OwnedFd) -> Received {
        if mem::take(&mut self.has_raised_buffer) {
            socket::settle(socket);
        }
        let free = self.framer.free();
        let room = free.len().min(self.allowance_bytes.unwrap_or(usize::MAX));
        let received = socket::receive(socket, &mut free[..room]);
        match received {
            Received::Bytes(bytes) => {
                self.framer.commit(bytes);
                self.allowance_bytes = self.allowance_bytes.map(|allowance| allowance.saturating_sub(bytes));
                // A short receive has taken all there was, unless it ends at a mark. What comes later is reported,
                // except for the end.
                self.is_readable = bytes == room || self.is_last || self.has_mark;
            }
            Received::Nothing => {
                self.is_readable = false;
                self.has_mark = false;
            }
            Received::End => self.end(),
            Received::Broken(_) => {}
        }
        received
    }

    /// The client has ended its side: what came last is a line, LF or not.
    pub fn end(&mut self) {
        self.has_ended = true;
        self.framer.end();
    }

    /// Receives nothing more before the socket is reported again.
    pub fn pause(&mut self) {
        self.is_readable = false;
    }

    /// Receives at most [`DISCARDS_PER_TURN_MAX`] times and drops what comes. True: nothing more will come.
    pub fn discard(&mut self, socket: &OwnedFd) -> bool {
        self.framer.reset();
        for _ in 0..DISCARDS_PER_TURN_MAX {
            match socket::receive(socket, self.framer.free()) {
                Received::Bytes(_) => {}
                Received::Nothing => {
                    self.is_readable = false;
                    return false;
                }
                Received::End | Received::Broken(_) => return true,
            }
        }
        false
    }

    /// The next thing to do is to receive: something may have come that was not reported.
    pub fn resume(&mut self) {
        self.is_readable = true;
    }

    /// Lets the kernel take more from the client, until the next receive: nothing is received before the client reads.
    pub fn raise_buffer(&mut self, socket: &OwnedFd) {
        if !mem::replace(&mut self.has_raised_buffer, true) {
            socket::raise_receive_buffer(socket);
        }
    }
}
