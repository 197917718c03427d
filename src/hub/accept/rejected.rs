//! Connections that could not be taken and still have to hear why.
//!
//! To close a connection on which something was received and not read resets it, and the reason might never be seen. So
//! each is told, ended on our side, and kept for a moment, in a small table with a bound.

use crate::clock;
use crate::limits::{FAREWELL_MS_MAX, RECEIVE_BYTES, REJECTED_MAX};
use crate::net::socket::{self, Received};
use crate::protocol::reply::Farewell;
use heapless::Deque;
use nix::poll::{PollFd, PollFlags};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

struct Leaver {
    socket: OwnedFd,
    until_ns: u64,
}

/// Those who were turned away, the first one first.
#[derive(Default)]
pub struct Rejected {
    leavers: Deque<Leaver, REJECTED_MAX>,
}

impl Rejected {
    /// Tells a connection why it is not taken. If there are [`REJECTED_MAX`] already, the first of them is closed.
    pub fn add(&mut self, socket: OwnedFd, why: Farewell) {
        // A fresh socket takes a line; if it does not, the peer is gone.
        let _ = socket::send(socket.as_raw_fd(), why.line().as_bytes());
        socket::end_sending(&socket);
        if self.leavers.is_full() {
            self.leavers.pop_front();
        }
        let until_ns = clock::now_ns() + FAREWELL_MS_MAX * 1_000_000;
        // There is room: one was taken out.
        let _ = self.leavers.push_back(Leaver { socket, until_ns });
    }

    /// What to wait for.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.leavers.iter().map(|leaver| PollFd::new(leaver.socket.as_fd(), PollFlags::POLLIN))
    }

    /// When the first of them has had its time, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.leavers.front().map(|leaver| leaver.until_ns)
    }

    /// Throws away what they sent, and closes those who have gone or had their time.
    pub fn run_deadlines(&mut self) {
        let now_ns = clock::now_ns();
        for _ in 0..self.leavers.len() {
            if let Some(leaver) = self.leavers.pop_front()
                && now_ns < leaver.until_ns
                && !has_gone(&leaver.socket)
            {
                // One was taken out just now.
                let _ = self.leavers.push_back(leaver);
            }
        }
    }
}

/// Receives once and forgets; true: nothing more will come.
fn has_gone(socket: &OwnedFd) -> bool {
    let mut scrap = [0; RECEIVE_BYTES];
    matches!(socket::receive(socket, &mut scrap), Received::End | Received::Broken(_))
}
