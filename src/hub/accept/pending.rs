//! PendingConnections: connections that were accepted and have no seat yet. Where all seats are taken, or all that its address may have, a client
//! that does not answer any more or is idle has to give up its own for each of them; that takes a moment, for it is told why it goes,
//! and the connection waits so long, and no longer.
//!
//! Seats that come free go to them in the order in which they came, whoever gave the seat; nobody waits for a certain one. Only who comes
//! from an address that has its share waits until that has a seat less.

use crate::hub::Hub;
use crate::hub::clients::host_of;
use crate::limits::{PENDING_MAX, PENDING_MS_MAX, PENDING_PER_ADDRESS_MAX};
use crate::protocol::reply::Farewell;
use heapless::Vec;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// One of them.
pub struct PendingConnection {
    /// Its connection, set up.
    pub socket: OwnedFd,
    /// Where it comes from.
    pub peer: SocketAddr,
    until_ns: u64,
}

/// Those who wait, the first one first.
#[derive(Default)]
pub struct PendingConnections {
    waiting: Vec<PendingConnection, PENDING_MAX>,
}

impl PendingConnections {
    /// Lets one more wait, from now on.
    ///
    /// # Errors
    /// Gives the socket back, and why it is to be turned away: too many wait already.
    pub fn add(
        &mut self,
        socket: OwnedFd,
        peer: SocketAddr,
        hub: &Hub,
        now_ns: u64,
    ) -> Result<(), (OwnedFd, Farewell)> {
        if self.waiting_from(peer) >= PENDING_PER_ADDRESS_MAX && !hub.has_share(peer) {
            return Err((socket, Farewell::AddressFull));
        }
        let until_ns = now_ns + PENDING_MS_MAX * 1_000_000;
        let connection = PendingConnection { socket, peer, until_ns };
        self.waiting.push(connection).map_err(|connection| (connection.socket, Farewell::Full))
    }

    /// How many wait from the host of that peer.
    fn waiting_from(&self, peer: SocketAddr) -> usize {
        self.waiting.iter().filter(|connection| host_of(connection.peer) == host_of(peer)).count()
    }

    /// When the first of them has waited long enough, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.waiting.first().map(|connection| connection.until_ns)
    }

    /// Gives them the seats that are free, and sees to it that for each of the others one will be. Returns one that is to be turned
    /// away, and why: it has waited long enough, or nobody gives way to it. To be called until there is none.
    pub fn settle(&mut self, hub: &Hub, now_ns: u64) -> Option<(PendingConnection, Farewell)> {
        if self.waiting.is_empty() {
            return None;
        }
        // Before the seats are looked at: for one that comes free later the acceptor is woken.
        hub.want_place(true);
        self.conn(hub, now_ns);
        hub.want_place(!self.waiting.is_empty());
        // Who came last goes first.
        let place = (0..self.waiting.len()).rev().find(|place| !self.has_prospect(*place, hub, now_ns))?;
        let connection = self.waiting.remove(place);
        let why = if hub.has_share(connection.peer) { Farewell::Full } else { Farewell::AddressFull };
        Some((connection, why))
    }

    fn conn(&mut self, hub: &Hub, now_ns: u64) {
        let mut place = 0;
        while let Some(connection) = self.waiting.get(place) {
            if !hub.has_share(connection.peer) {
                place += 1;
                continue;
            }
            let connection = self.waiting.remove(place);
            if let Err(socket) = hub.welcome(connection.socket, connection.peer, now_ns) {
                // It was just taken out.
                let _ = self.waiting.insert(place, PendingConnection { socket, ..connection });
                return;
            }
        }
    }

    /// Whether the one at that place has not waited long enough, and somebody gives way to it.
    fn has_prospect(&self, place: usize, hub: &Hub, now_ns: u64) -> bool {
        let connection = &self.waiting[place];
        let own = (!hub.has_share(connection.peer)).then(|| host_of(connection.peer));
        let wanted = if own.is_some() { self.waiting_from(connection.peer) } else { self.waiting.len() };
        now_ns < connection.until_ns && hub.request_evictions(wanted, own, now_ns) >= wanted
    }

    /// Takes one out, at the end.
    pub fn pop(&mut self) -> Option<PendingConnection> {
        self.waiting.pop()
    }
}
