//! Rejected connections. They linger until their peers have read the reason.
//!
//! If a socket is closed with unread bytes, the kernel resets the connection, and the peer may never see the reason.
//! So the server sends the reason, closes its sending side, and keeps the socket for a moment in a small table.

use crate::clock;
use crate::limits::{FAREWELL_MS_MAX, RECEIVE_BYTES, REJECTED_MAX};
use crate::net::socket::{self, Received};
use crate::protocol::reply::Farewell;
use heapless::Deque;
use nix::poll::{PollFd, PollFlags};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

struct Lingering {
    socket: OwnedFd,
    until_ns: u64,
}

/// The rejected connections, in the order of their rejection.
#[derive(Default)]
pub struct Rejected {
    lingering: Deque<Lingering, REJECTED_MAX>,
}

impl Rejected {
    /// Sends a peer the reason for the rejection, and keeps the socket. If there are [`REJECTED_MAX`] already, closes
    /// the oldest.
    pub fn add(&mut self, socket: OwnedFd, why: Farewell) {
        // A new socket accepts a line. If this one does not, the peer is gone.
        let _ = socket::send(socket.as_raw_fd(), why.line().as_bytes());
        socket::end_sending(&socket);
        if self.lingering.is_full() {
            self.lingering.pop_front();
        }
        let until_ns = clock::now_ns() + FAREWELL_MS_MAX * 1_000_000;
        // There is room: a full table has just lost its oldest entry.
        let _ = self.lingering.push_back(Lingering { socket, until_ns });
    }

    /// The descriptors to wait for.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.lingering.iter().map(|one| PollFd::new(one.socket.as_fd(), PollFlags::POLLIN))
    }

    /// When the oldest connection may no longer linger, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.lingering.front().map(|one| one.until_ns)
    }

    /// Discards the bytes that the peers have sent. Closes each socket whose peer has closed its side, or whose time is
    /// over.
    pub fn run_deadlines(&mut self) {
        let now_ns = clock::now_ns();
        for _ in 0..self.lingering.len() {
            if let Some(one) = self.lingering.pop_front()
                && now_ns < one.until_ns
                && !has_gone(&one.socket)
            {
                // There is room: this entry was just taken out.
                let _ = self.lingering.push_back(one);
            }
        }
    }
}

/// Receives once and discards the bytes. Returns true if nothing more will arrive.
fn has_gone(socket: &OwnedFd) -> bool {
    let mut scrap = [0; RECEIVE_BYTES];
    matches!(socket::receive(socket, &mut scrap), Received::End | Received::Broken(_))
}
