//! Receives from the socket into the framer, and decides when and how much. Knows no commands and no outbox.

use crate::limits::{DISCARDS_PER_POLL_MAX, RECEIVE_BYTES};
use crate::net::socket::{self, Received};
use crate::protocol::framing::Framer;
use nix::sys::epoll::EpollFlags;
use std::mem;
use std::os::fd::OwnedFd;

/// The receiving side of one connection.
pub struct Receiver {
    /// Splits the received bytes into lines.
    pub framer: Framer<'static, RECEIVE_BYTES>,
    /// The socket may have something to receive.
    is_readable: bool,
    /// Epoll will not report the socket again: all bytes have arrived, although some may not be received yet.
    is_last: bool,
    /// The socket reported urgent data. A receive stops at the mark of that data, and more may follow the mark.
    has_mark: bool,
    /// The client has closed its sending side.
    has_ended: bool,
    /// How many more bytes to receive, or `None` if there is no limit.
    allowance_bytes: Option<usize>,
    /// Whether the kernel's receive buffer is [raised](socket::raise_receive_buffer): the server receives nothing
    /// until the client reads.
    has_raised_buffer: bool,
}

impl Receiver {
    /// A receiver without a connection. It receives into `buffer`.
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

    /// Starts with a new connection, whose socket has reported no event yet.
    pub fn open(&mut self) {
        self.is_readable = false;
        self.is_last = false;
        self.has_mark = false;
        self.has_ended = false;
        self.allowance_bytes = None;
        self.has_raised_buffer = false;
    }

    /// Records the events that the socket reported. Each event in `last` means that all bytes have arrived.
    pub fn note_events(&mut self, events: EpollFlags, last: EpollFlags) {
        self.is_last |= events.intersects(last);
        self.has_mark |= events.contains(EpollFlags::EPOLLPRI);
        self.is_readable |= events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLPRI | last);
    }

    /// Records that a send failed because the connection is broken. The bytes that arrived before are still received,
    /// until a receive returns nothing.
    pub fn note_broken(&mut self) {
        self.is_last = true;
        self.is_readable = true;
    }

    /// Limits receiving to the bytes that have arrived on `socket` by now.
    pub fn limit_to_arrived(&mut self, socket: Option<&OwnedFd>) {
        let bytes = socket.map_or(0, socket::unreceived);
        self.allowance_bytes = Some(bytes);
        self.is_readable |= bytes > 0;
    }

    /// Whether the socket may have bytes to receive.
    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    /// Whether the socket may have bytes that this receiver still [receives](Self::receive).
    pub fn has_more(&self) -> bool {
        self.is_readable && !self.has_ended && self.allowance_bytes != Some(0)
    }

    /// Whether the client has closed its sending side.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether all bytes have arrived, although some may not be received yet.
    pub fn is_ending(&self) -> bool {
        self.is_last || self.has_ended
    }

    /// Receives once.
    pub fn receive(&mut self, socket: &OwnedFd) -> Received {
        if mem::take(&mut self.has_raised_buffer) {
            socket::restore_receive_buffer(socket);
        }
        let free = self.framer.free();
        let room = free.len().min(self.allowance_bytes.unwrap_or(usize::MAX));
        let received = socket::receive(socket, &mut free[..room]);
        match received {
            Received::Bytes(bytes) => {
                self.framer.commit(bytes);
                self.allowance_bytes = self.allowance_bytes.map(|allowance| allowance.saturating_sub(bytes));
                // A short receive has taken all bytes that had arrived, unless it stopped at a mark. Epoll reports
                // bytes that arrive later, but does not report the end again.
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

    /// The client has closed its sending side: the last bytes are a line, even without LF.
    pub fn end(&mut self) {
        self.has_ended = true;
        self.framer.end();
    }

    /// Stops receiving until the socket reports an event.
    pub fn clear_readable(&mut self) {
        self.is_readable = false;
    }

    /// Receives at most [`DISCARDS_PER_POLL_MAX`] times and discards the bytes. Returns true if nothing more will
    /// arrive.
    pub fn discard(&mut self, socket: &OwnedFd) -> bool {
        self.framer.reset();
        for _ in 0..DISCARDS_PER_POLL_MAX {
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

    /// Makes the next step a receive: bytes may have arrived without a report.
    pub fn set_readable(&mut self) {
        self.is_readable = true;
    }

    /// Raises the kernel's receive buffer until the next receive: the server receives nothing until the client reads.
    pub fn raise_buffer(&mut self, socket: &OwnedFd) {
        if !mem::replace(&mut self.has_raised_buffer, true) {
            socket::raise_receive_buffer(socket);
        }
    }
}
