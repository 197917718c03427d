//! Rejected connections, which linger until their peers have read why.
//!
//! If a socket is closed with bytes unread, the system resets the connection, and the peer may never see the reason. So the server sends
//! the reason, ends its own side, and keeps the socket for a moment, in a small table with a bound.

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

/// Rejected connections, the first one first.
#[derive(Default)]
pub struct Rejected {
    lingering: Deque<Lingering, REJECTED_MAX>,
}

impl Rejected {
    /// Tells a peer why its connection is rejected. If there are [`REJECTED_MAX`] already, the first of them is closed.
    pub fn add(&mut self, socket: OwnedFd, why: Farewell) {
        // A fresh socket takes a line; if it does not, the peer is gone.
        let _ = socket::send(socket.as_raw_fd(), why.line().as_bytes());
        socket::end_sending(&socket);
        if self.lingering.is_full() {
            self.lingering.pop_front();
        }
        let until_ns = clock::now_ns() + FAREWELL_MS_MAX * 1_000_000;
        // There is room: one was taken out.
        let _ = self.lingering.push_back(Lingering { socket, until_ns });
    }

    /// What to wait for.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.lingering.iter().map(|one| PollFd::new(one.socket.as_fd(), PollFlags::POLLIN))
    }

    /// When the first of them is closed, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.lingering.front().map(|one| one.until_ns)
    }

    /// Discards what the peers sent, and closes those that have ended their side or had their time.
    pub fn run_deadlines(&mut self) {
        let now_ns = clock::now_ns();
        for _ in 0..self.lingering.len() {
            if let Some(one) = self.lingering.pop_front()
                && now_ns < one.until_ns
                && !has_gone(&one.socket)
            {
                // One was taken out just now.
                let _ = self.lingering.push_back(one);
            }
        }
    }
}

/// Receives once and forgets; true: nothing more will come.
fn has_gone(socket: &OwnedFd) -> bool {
    let mut scrap = [0; RECEIVE_BYTES];
    matches!(socket::receive(socket, &mut scrap), Received::End | Received::Broken(_))
}
