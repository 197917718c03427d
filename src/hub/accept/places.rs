//! The places for connections: which connection gets a place, and which client has to give one up.

use crate::conn_id::{ConnId, PerConn};
use crate::hub::clients::ClientTable;
use crate::hub::egress::shared_outbox::SharedOutbox;
use crate::hub::settings::Settings;
use crate::hub::workers::wakeups::Wakeups;
use crate::limits::CLIENTS;
use crate::sync::Mutex;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// The parts of the hub that assign places to connections.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    /// The client table.
    pub clients: &'a Mutex<ClientTable>,
    /// The outbox of each connection.
    pub outboxes: &'a PerConn<SharedOutbox>,
    /// Wakes the workers.
    pub wakeups: &'a Wakeups,
    /// How many places an address may have, and how long a client must be idle before it can be evicted.
    pub settings: &'a Settings,
}

impl Places<'_> {
    /// Assigns a place to a new client, and passes the socket to the worker of that place.
    ///
    /// # Errors
    /// Returns the socket if all places are taken.
    pub fn take(&self, socket: OwnedFd, peer: SocketAddr, now_ns: u64) -> Result<(), OwnedFd> {
        let mut clients = self.clients.lock();
        let Some(conn) = clients.take(peer, |conn| self.wakeups.worker_of(conn)) else {
            return Err(socket);
        };
        let name = clients.name(conn);
        drop(clients);
        log::debug!("{name} opened a connection");
        self.outboxes[conn].lock().open(socket, now_ns);
        self.wakeups.wake(conn);
        Ok(())
    }

    /// Whether the host of `peer` has fewer places than its share.
    pub fn has_share(&self, peer: SocketAddr) -> bool {
        self.settings.per_address.is_none_or(|count_max| self.clients.lock().connected_from(peer) < count_max)
    }

    /// Whether a client from the host of `peer` could take a place now.
    pub fn is_free_for(&self, peer: SocketAddr) -> bool {
        self.has_share(peer) && self.clients.lock().taken().0 < CLIENTS
    }

    /// Evicts clients until `wanted` of them are leaving: first clients whose system no longer answers, then those
    /// that have been idle longest. With `host`, it considers only clients of that host. Returns how many are leaving
    /// because of this or an earlier request. That is fewer than `wanted` if no others have been idle for long enough.
    pub fn request_evictions(&self, wanted: usize, host: Option<SocketAddr>, now_ns: u64) -> usize {
        let is_leaving = |conn: &ConnId| self.outboxes[*conn].lock().is_leaving();
        let mut leaving = self.connections(host).filter(is_leaving).count();
        for conn in self.connections(host) {
            if leaving < wanted && self.time_out(conn) {
                leaving += 1;
            }
        }
        while leaving < wanted
            && let Some((idle_since_ns, conn)) = self.longest_idle(self.connections(host), now_ns)
        {
            // If the client has sent something since, it is not idle any more.
            if self.outboxes[conn].lock().request_eviction(idle_since_ns) {
                leaving += 1;
                self.wakeups.wake(conn);
            }
        }
        leaving
    }

    /// How many other connections are closing, because the client or the server has closed its side. With `host`, it
    /// considers only clients of that host.
    pub fn closing(&self, host: Option<SocketAddr>) -> usize {
        let is_closing = |conn: &ConnId| {
            let outbox = self.outboxes[*conn].lock();
            !outbox.is_leaving() && outbox.endpoint.is_closing()
        };
        self.connections(host).filter(is_closing).count()
    }

    /// All connections, or those of a host.
    fn connections(&self, host: Option<SocketAddr>) -> impl Iterator<Item = ConnId> {
        ConnId::all().filter(move |conn| host.is_none_or(|host| self.clients.lock().is_from(*conn, host)))
    }

    /// Ends a connection if its peer's system no longer answers. Returns whether it has ended the connection.
    fn time_out(&self, conn: ConnId) -> bool {
        let mut outbox = self.outboxes[conn].lock();
        let is_over = !outbox.is_leaving() && outbox.endpoint.is_gone();
        if is_over {
            outbox.time_out();
        }
        drop(outbox);
        if is_over {
            self.wakeups.wake(conn);
        }
        is_over
    }

    /// The connection that has been idle longest, and since when, in nanoseconds. It considers only connections that
    /// have been idle for the grace period and whose eviction is not requested yet.
    fn longest_idle(&self, connections: impl Iterator<Item = ConnId>, now_ns: u64) -> Option<(u64, ConnId)> {
        let grace_ns = self.settings.idle_grace_ns?;
        let idle_since_ns = |conn: ConnId| {
            let outbox = self.outboxes[conn].lock();
            outbox
                .idle_since_ns()
                .filter(|since_ns| since_ns + grace_ns <= now_ns && !outbox.idleness.is_eviction_requested())
        };
        connections.filter_map(|conn| Some((idle_since_ns(conn)?, conn))).min()
    }
}
