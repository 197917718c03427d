//! Pending connections: they are accepted and have no place yet. If all places are taken, or all that the address may have, a client that
//! does not answer any more or is idle has to give up its own for each of them. That takes a moment, because the server tells it why; a
//! connection is pending for that moment, and no longer.
//!
//! Places that become free go to pending connections in the order in which these came, whichever client gave them up. Only a connection
//! from an address that has its share waits until that address has a place less.

use super::places::Places;
use super::vacancies::Vacancies;
use crate::hub::clients::host_of;
use crate::limits::{PENDING_MAX, PENDING_MS_MAX, PENDING_PER_ADDRESS_MAX};
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
    /// Until when it may wait, in nanoseconds.
    until_ns: u64,
}

/// The pending connections, the first one first.
#[derive(Default)]
pub struct PendingConnections {
    pending: Vec<PendingConnection, PENDING_MAX>,
}

impl PendingConnections {
    /// Adds one, which waits from now on.
    ///
    /// # Errors
    /// Gives the socket back, and why it is to be rejected: too many wait already.
    pub fn add(
        &mut self,
        socket: OwnedFd,
        peer: SocketAddr,
        places: Places<'_>,
        now_ns: u64,
    ) -> Result<(), (OwnedFd, Farewell)> {
        if self.count_from(peer) >= PENDING_PER_ADDRESS_MAX && !places.has_share(peer) {
            return Err((socket, Farewell::AddressFull));
        }
        let until_ns = now_ns + PENDING_MS_MAX * 1_000_000;
        let connection = PendingConnection { socket, peer, until_ns };
        self.pending.push(connection).map_err(|connection| (connection.socket, Farewell::Full))
    }

    /// How many there are from the host of that peer.
    fn count_from(&self, peer: SocketAddr) -> usize {
        self.pending.iter().filter(|connection| host_of(connection.peer) == host_of(peer)).count()
    }

    /// When the first of them has waited for as long as it may, in nanoseconds.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.pending.first().map(|connection| connection.until_ns)
    }

    /// Gives the free places away, and requests an eviction for each connection that is left. Returns one that is to be rejected, and
    /// why: it has waited for as long as it may, or no client gives way to it. Call this until it returns none.
    pub fn settle(
        &mut self,
        places: Places<'_>,
        vacancies: &Vacancies,
        now_ns: u64,
    ) -> Option<(PendingConnection, Farewell)> {
        if self.pending.is_empty() {
            return None;
        }
        // Before the places are looked at: one that becomes free later wakes the acceptor.
        vacancies.await_one(true);
        self.place_some(places, now_ns);
        vacancies.await_one(!self.pending.is_empty());
        // The one that came last is rejected first.
        let hopeless =
            (0..self.pending.len()).rev().find(|index| !self.has_prospect(*index, places, now_ns))?;
        let connection = self.pending.remove(hopeless);
        let why = if places.has_share(connection.peer) { Farewell::Full } else { Farewell::AddressFull };
        Some((connection, why))
    }

    /// Gives the free places away.
    fn place_some(&mut self, places: Places<'_>, now_ns: u64) {
        let mut index = 0;
        while let Some(connection) = self.pending.get(index) {
            if !places.has_share(connection.peer) {
                index += 1;
                continue;
            }
            let connection = self.pending.remove(index);
            if let Err(socket) = places.take(connection.socket, connection.peer, now_ns) {
                // There is room: it was just removed.
                let _ = self.pending.insert(index, PendingConnection { socket, ..connection });
                return;
            }
        }
    }

    /// Whether the one at that index may wait still, and a client gives way to it.
    fn has_prospect(&self, index: usize, places: Places<'_>, now_ns: u64) -> bool {
        let connection = &self.pending[index];
        let own = (!places.has_share(connection.peer)).then(|| host_of(connection.peer));
        let wanted = if own.is_some() { self.count_from(connection.peer) } else { self.pending.len() };
        now_ns < connection.until_ns && places.request_evictions(wanted, own, now_ns) >= wanted
    }

    /// Removes one, at the shutdown.
    pub fn pop(&mut self) -> Option<PendingConnection> {
        self.pending.pop()
    }
}
