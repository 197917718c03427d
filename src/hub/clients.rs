//! The client table: the name, the address and the state of each connection.
//!
//! The acceptor takes a place for a connection. The connection's worker releases the place once nothing of the client
//! is left in the hub. From the end of the connection until then the client is *leaving*: its last messages may still
//! wait, each with the name that the client had when it sent them, but other clients may take its nick.

use crate::conn_id::{ConnId, PerConn};
use crate::hub::workers::worker_id::WorkerId;
use crate::limits::{CLIENTS, FROM_BYTES_MAX, NICK_BYTES_MAX};
use crate::queue::Chain;
use crate::sync::Mutex;
use heapless::String;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// The name of a client: its nick, or else its `ADDRESS:PORT`.
pub type Name = String<FROM_BYTES_MAX>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Free,
    Connected,
    Leaving,
}

struct Member {
    presence: Presence,
    host: SocketAddr,
    address: Name,
    nick: String<NICK_BYTES_MAX>,
}

impl Member {
    const NOBODY: Self = Self {
        presence: Presence::Free,
        host: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        address: String::new(),
        nick: String::new(),
    };

    fn name(&self) -> &str {
        if self.nick.is_empty() { &self.address } else { &self.nick }
    }
}

/// The clients by connection.
pub struct ClientTable {
    members: PerConn<Member>,
    taken: usize,
    taken_max: usize,
}

impl Default for ClientTable {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientTable {
    /// All places are free.
    pub const fn new() -> Self {
        Self { members: PerConn([const { Member::NOBODY }; CLIENTS]), taken: 0, taken_max: 0 }
    }

    /// Takes a free place for a client from `peer`: a place whose worker has the fewest connections. `worker_of`
    /// returns the worker of a connection. Returns `None` if all places are taken.
    pub fn take(&mut self, peer: SocketAddr, worker_of: impl Fn(ConnId) -> WorkerId) -> Option<ConnId> {
        let is_free = |conn: ConnId| self.members[conn].presence == Presence::Free;
        let mut load = [0u16; CLIENTS];
        ConnId::all().filter(|&conn| !is_free(conn)).for_each(|conn| load[worker_of(conn).index()] += 1);
        let conn =
            ConnId::all().filter(|&conn| is_free(conn)).min_by_key(|&conn| load[worker_of(conn).index()])?;
        self.members[conn] = Member {
            presence: Presence::Connected,
            host: host_of(peer),
            address: name_of(peer),
            nick: String::new(),
        };
        self.taken += 1;
        self.taken_max = self.taken_max.max(self.taken);
        Some(conn)
    }

    /// Records that the connection has ended.
    pub fn leave(&mut self, conn: ConnId) {
        self.members[conn].presence = Presence::Leaving;
    }

    /// Frees the place.
    pub fn release(&mut self, conn: ConnId) {
        self.members[conn] = Member::NOBODY;
        self.taken -= 1;
    }

    /// How many places the clients from the host of `peer` have, including clients that are leaving.
    pub fn connected_from(&self, peer: SocketAddr) -> usize {
        let host = host_of(peer);
        let is_from = |member: &&Member| member.presence != Presence::Free && member.host == host;
        self.members.0.iter().filter(is_from).count()
    }

    /// Whether the connection has a client, and the client is from that host.
    pub fn is_from(&self, conn: ConnId, host: SocketAddr) -> bool {
        self.members[conn].presence != Presence::Free && self.members[conn].host == host
    }

    /// How many places are taken, and the maximum since the start.
    pub fn taken(&self) -> (usize, usize) {
        (self.taken, self.taken_max)
    }

    /// The origin of a client, `ADDRESS:PORT`: its name while it has no nick.
    pub fn origin(&self, conn: ConnId) -> Name {
        self.members[conn].address.clone()
    }

    /// The name of a client.
    pub fn name(&self, conn: ConnId) -> Name {
        // It fits: neither kind of name is longer.
        Name::try_from(self.members[conn].name()).unwrap_or_default()
    }

    /// The name of a connected client, or `None` if the client is leaving or there is no client.
    pub fn connected(&self, conn: ConnId) -> Option<Name> {
        (self.members[conn].presence == Presence::Connected).then(|| self.name(conn))
    }

    /// The address of a client. An IPv4 address that is mapped to IPv6 is returned as IPv4.
    pub fn address(&self, conn: ConnId) -> IpAddr {
        self.members[conn].host.ip()
    }

    /// Gives a client the name of its token. Another client with the same token has the same name.
    pub fn set_name(&mut self, conn: ConnId, name: &str) {
        // It fits: a name is no longer than a nick.
        self.members[conn].nick = String::try_from(name).unwrap_or_default();
    }

    /// Gives a client a nick. Returns false if another connected client has it.
    pub fn rename(&mut self, conn: ConnId, nick: &str) -> bool {
        let holds = |member: &Member| member.presence == Presence::Connected && member.nick == nick;
        if self.members.0.iter().enumerate().any(|(other, member)| other != conn.index() && holds(member)) {
            return false;
        }
        self.set_name(conn, nick);
        true
    }
}

/// The identity of a peer's host: its address, and for a link-local address also the link; the port is 0.
///
/// In IPv6, too, each address counts as one host, although a host may have many addresses of a network. All hosts of a
/// LAN are in one network of 64 bits, so if whole networks were counted, one host could keep out all others.
pub fn host_of(peer: SocketAddr) -> SocketAddr {
    match unmapped(peer) {
        SocketAddr::V4(v4) => SocketAddr::from((*v4.ip(), 0)),
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), 0, 0, v6.scope_id()).into(),
    }
}

/// The name that the sender of a run had when it sent it.
pub fn sender_of(run: &Chain, clients: &Mutex<ClientTable>) -> Name {
    let nick = run.nick().and_then(|nick| Name::try_from(nick).ok());
    nick.unwrap_or_else(|| clients.lock().origin(run.client()))
}

/// Returns an IPv4 address that is mapped to IPv6 as IPv4.
fn unmapped(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::from((v4, peer.port())),
        IpAddr::V6(_) => peer,
    }
}

/// `ADDRESS:PORT`. An IPv4 address that is mapped to IPv6 is shown as IPv4.
fn name_of(peer: SocketAddr) -> Name {
    let peer = unmapped(peer);
    let mut name = Name::new();
    // It fits: the capacity is that of the longest address.
    let _ = write!(name, "{peer}");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711);

    /// The worker of a connection, if each connection has its own.
    fn one_each(conn: ConnId) -> WorkerId {
        WorkerId::new(conn.index())
    }

    fn clients() -> Box<ClientTable> {
        Box::new(ClientTable::new())
    }

    #[test]
    fn connections_spread_over_the_workers_until_all_places_are_taken() {
        let mut clients = clients();
        let worker_of = |conn: ConnId| WorkerId::new(conn.index() % 2);
        for taken in 0..CLIENTS {
            let conn = clients.take(PEER, worker_of).unwrap();
            assert_eq!(worker_of(conn).index(), taken % 2);
        }
        assert_eq!(clients.take(PEER, worker_of), None);
        assert_eq!(clients.taken(), (CLIENTS, CLIENTS));
        clients.release(ConnId::new(3));
        assert_eq!(clients.take(PEER, worker_of), Some(ConnId::new(3)));
    }

    #[test]
    fn clients_are_counted_by_host() {
        let mut clients = clients();
        let take =
            |clients: &mut ClientTable, peer: &str| clients.take(peer.parse().unwrap(), one_each).unwrap();
        let first = take(&mut clients, "192.0.2.7:1");
        for peer in
            ["[::ffff:192.0.2.7]:2", "192.0.2.8:1", "[2001:db8::1]:1", "[2001:db8::2]:1", "[fe80::1%2]:1"]
        {
            take(&mut clients, peer);
        }
        let count = |clients: &ClientTable, peer: &str| clients.connected_from(peer.parse().unwrap());
        let counts =
            [("192.0.2.7:9", 2), ("[::ffff:192.0.2.8]:9", 1), ("[2001:db8::2]:9", 1), ("0.0.0.0:0", 0)];
        let links = [("[fe80::1%2]:9", 1), ("[fe80::1%3]:9", 0)];
        for (peer, expected) in counts.into_iter().chain(links) {
            assert_eq!(count(&clients, peer), expected, "{peer}");
        }
        clients.leave(first);
        assert_eq!(count(&clients, "192.0.2.7:9"), 2, "a leaving client still has its place");
        clients.release(first);
        assert_eq!(count(&clients, "192.0.2.7:9"), 1);
    }

    #[test]
    fn nick_is_unique_among_connected_clients() {
        let mut clients = clients();
        let (a, b) = (clients.take(PEER, one_each).unwrap(), clients.take(PEER, one_each).unwrap());
        assert!(clients.rename(a, "alice"));
        assert!(clients.rename(a, "alice"), "a client may take its own nick again");
        assert!(!clients.rename(b, "alice"));
        clients.leave(a);
        assert!(clients.rename(b, "alice"), "a leaving client has no claim to its nick");
        assert_eq!(clients.name(a), "alice", "but its messages keep the nick");
        assert_eq!(clients.connected(a), None);
        clients.release(a);
        assert_eq!(clients.take(PEER, one_each), Some(a));
        assert_eq!(clients.name(a), "127.0.0.1:4711", "the next client has a name of its own");
    }

    #[test]
    fn longest_address_fits_and_mapped_address_is_shown_as_ipv4() {
        let widest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535";
        assert_eq!(name_of(widest.parse().unwrap()), widest);
        assert_eq!(widest.len(), FROM_BYTES_MAX);
        assert_eq!(name_of("[::ffff:192.0.2.7]:9".parse().unwrap()), "192.0.2.7:9");
    }
}
