//! Newcomers: connections that were accepted and have no seat yet. Where all seats are taken, an idle client is asked for its own for
//! each of them; that takes a moment, for it is told why it goes, and the newcomer waits so long, and no longer.
//!
//! Seats that come free go to them in the order in which they came, whoever gave the seat; nobody waits for a certain one.

use super::Hub;
use super::roster::host_of;
use crate::limits::{NEWCOMER_MS_MAX, NEWCOMERS_MAX};
use heapless::Deque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// One of them.
pub struct Newcomer {
    /// Its connection, set up.
    pub socket: OwnedFd,
    /// Where it comes from.
    pub peer: SocketAddr,
    until_ns: u64,
}

/// Those who wait, the first one first.
#[derive(Default)]
pub struct Newcomers {
    waiting: Deque<Newcomer, NEWCOMERS_MAX>,
}

impl Newcomers {
    /// Lets one more wait, from now on.
    ///
    /// # Errors
    /// Gives the socket back when [`NEWCOMERS_MAX`] wait already.
    pub fn add(&mut self, socket: OwnedFd, peer: SocketAddr, now_ns: u64) -> Result<(), OwnedFd> {
        let until_ns = now_ns + NEWCOMER_MS_MAX * 1_000_000;
        self.waiting.push_back(Newcomer { socket, peer, until_ns }).map_err(|newcomer| newcomer.socket)
    }

    /// How many wait from the host of that peer.
    pub fn waiting_from(&self, peer: SocketAddr) -> usize {
        self.waiting.iter().filter(|newcomer| host_of(newcomer.peer) == host_of(peer)).count()
    }

    /// When the first of them has waited long enough, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.waiting.front().map(|newcomer| newcomer.until_ns)
    }

    /// Gives them the seats that are free, and sees to it that for each of the others one will be. Returns one that is to be turned
    /// away: it has waited long enough, or nobody gives way to it. To be called until there is none.
    pub fn settle(&mut self, hub: &Hub, now_ns: u64) -> Option<Newcomer> {
        if self.waiting.is_empty() {
            return None;
        }
        // Before the seats are looked at: of one that comes free later the bell tells.
        hub.want_seat(true);
        self.seat(hub, now_ns);
        hub.want_seat(!self.waiting.is_empty());
        if self.deadline_ns()? <= now_ns {
            return self.waiting.pop_front();
        }
        let asked = hub.ask_for_seats(self.waiting.len(), now_ns);
        if asked < self.waiting.len() { self.waiting.pop_back() } else { None }
    }

    fn seat(&mut self, hub: &Hub, now_ns: u64) {
        while let Some(newcomer) = self.waiting.pop_front() {
            if let Err(socket) = hub.welcome(newcomer.socket, newcomer.peer, now_ns) {
                // It was just taken out.
                let _ = self.waiting.push_front(Newcomer { socket, ..newcomer });
                return;
            }
        }
    }

    /// Takes one out, at the end.
    pub fn pop(&mut self) -> Option<Newcomer> {
        self.waiting.pop_front()
    }
}
