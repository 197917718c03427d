//! Pending connections: they are accepted but have no place yet. If all places are taken, or all that one address may
//! have, the server evicts a client that no longer answers or is idle for each pending connection. That takes a moment,
//! because the server tells the evicted client why. A connection is pending only for that moment. If there is no client
//! to evict, it waits as long for one that is leaving by itself: a client that has closed its connection, or has seen
//! that the server did, can connect again at once.
//!
//! Free places go to pending connections in the order of their arrival, whichever client gave the place up. Only a
//! connection from an address that has its share waits until that address gives up a place.

use super::places::Places;
use super::vacancies::Vacancies;
use crate::hub::clients::host_of;
use crate::limits::{PENDING_MAX, PENDING_MS_MAX, PENDING_PER_ADDRESS_MAX, PENDING_WITHOUT_SHARE_MAX};
use crate::protocol::reply::Farewell;
use heapless::Vec;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// A connection without a place.
pub struct PendingConnection {
    /// Its socket, set up.
    pub socket: OwnedFd,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Until when the connection may wait, in nanoseconds.
    until_ns: u64,
}

/// The pending connections, in the order of their arrival.
#[derive(Default)]
pub struct PendingConnections {
    pending: Vec<PendingConnection, PENDING_MAX>,
}

impl PendingConnections {
    /// Adds a connection, which waits from now on.
    ///
    /// # Errors
    /// Returns the socket and the reason to reject it, if too many connections wait already.
    pub fn add(
        &mut self,
        socket: OwnedFd,
        peer: SocketAddr,
        places: Places<'_>,
        now_ns: u64,
    ) -> Result<(), (OwnedFd, Farewell)> {
        if self.has_enough_without_share(peer, places) && !places.has_share(peer) {
            return Err((socket, Farewell::AddressFull));
        }
        let until_ns = now_ns + PENDING_MS_MAX * 1_000_000;
        let connection = PendingConnection { socket, peer, until_ns };
        self.pending.push(connection).map_err(|connection| (connection.socket, Farewell::Full))
    }

    /// How many pending connections come from the host of `peer`.
    fn count_from(&self, peer: SocketAddr) -> usize {
        self.pending.iter().filter(|connection| host_of(connection.peer) == host_of(peer)).count()
    }

    /// Whether a connection from `peer` may not wait if its address has its share already.
    fn has_enough_without_share(&self, peer: SocketAddr, places: Places<'_>) -> bool {
        let without_share =
            self.pending.iter().filter(|connection| !places.has_share(connection.peer)).count();
        self.count_from(peer) >= PENDING_PER_ADDRESS_MAX || without_share >= PENDING_WITHOUT_SHARE_MAX
    }

    /// When the first pending connection may no longer wait, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.pending.first().map(|connection| connection.until_ns)
    }

    /// Assigns the free places, and requests an eviction for each connection that is left. Returns a connection to
    /// reject, and why: its time is over, or no client leaves for it. Call this until it returns `None`.
    pub fn assign(
        &mut self,
        places: Places<'_>,
        vacancies: &Vacancies,
        now_ns: u64,
    ) -> Option<(PendingConnection, Farewell)> {
        if self.pending.is_empty() {
            return None;
        }
        // Before the search for free places: a place that becomes free later wakes the acceptor.
        vacancies.set_awaited(true);
        self.place_some(places, now_ns);
        vacancies.set_awaited(!self.pending.is_empty());
        // The last to arrive is rejected first.
        let rejected =
            (0..self.pending.len()).rev().find(|index| !self.has_prospect(*index, places, now_ns))?;
        let connection = self.pending.remove(rejected);
        let why = if places.has_share(connection.peer) { Farewell::Full } else { Farewell::AddressFull };
        Some((connection, why))
    }

    /// Assigns the free places.
    fn place_some(&mut self, places: Places<'_>, now_ns: u64) {
        let mut index = 0;
        while let Some(connection) = self.pending.get(index) {
            if !places.has_share(connection.peer) {
                index += 1;
                continue;
            }
            let connection = self.pending.remove(index);
            if let Err(socket) = places.take(connection.socket, connection.peer, now_ns) {
                // There is room: a connection was just removed.
                let _ = self.pending.insert(index, PendingConnection { socket, ..connection });
                return;
            }
        }
    }

    /// Whether the connection at that index may still wait, and a client is leaving for it or has left. Evictions come
    /// first: a client that is leaving by itself may still have messages that take long.
    fn has_prospect(&self, index: usize, places: Places<'_>, now_ns: u64) -> bool {
        let connection = &self.pending[index];
        if now_ns >= connection.until_ns {
            return false;
        }
        let own = (!places.has_share(connection.peer)).then(|| host_of(connection.peer));
        let wanted = if own.is_some() { self.count_from(connection.peer) } else { self.pending.len() };
        let evicted = places.request_evictions(wanted, own, now_ns);
        // Last, because a client that leaves meanwhile is not counted above. Its worker wakes the acceptor.
        evicted >= wanted || evicted + places.closing(own) >= wanted || places.is_free_for(connection.peer)
    }

    /// Removes a connection, for the shutdown.
    pub fn pop(&mut self) -> Option<PendingConnection> {
        self.pending.pop()
    }
}
