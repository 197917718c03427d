//! Which addresses are local (`--allow local`): those of this machine, of private networks, and of the networks on the
//! machine's own interfaces.

use super::netlink::{Address, Netlink};
use crate::limits::{
    INTERFACE_NETWORK_V4_PREFIX_MIN, INTERFACE_NETWORK_V6_PREFIX_MIN, INTERFACE_NETWORKS_MAX,
    INTERFACE_NETWORKS_MS,
};
use heapless::Vec;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// How long the server uses the networks before it reads them again, in nanoseconds.
const HOLDS_NS: u64 = INTERFACE_NETWORKS_MS * 1_000_000;

/// A network, and the number of its interface.
type Network = (IpNet, u32);

/// Which addresses are local. It reads the networks of the interfaces only for an address that is not local on every
/// machine.
#[derive(Default)]
pub struct LocalAddresses {
    /// The connection to the kernel; none: the kernel does not permit one.
    netlink: Option<Netlink>,
    networks: Vec<Network, INTERFACE_NETWORKS_MAX>,
    /// When the networks were read, in nanoseconds.
    read_ns: Option<u64>,
    /// There were more networks than there is room for, and the log has said so.
    is_overfull: bool,
}

impl LocalAddresses {
    /// Includes the networks of this machine's interfaces, and reads them now.
    pub fn with_interfaces(now_ns: u64) -> Self {
        let netlink = Netlink::open().inspect_err(|errno| {
            log::warn!(
                "the networks of this machine's interfaces cannot be read: {}; --allow local is without them",
                errno.desc()
            );
        });
        let mut local = Self { netlink: netlink.ok(), ..Self::default() };
        local.read(now_ns);
        local
    }

    /// Whether that address is local. The networks of the interfaces are not older than [`INTERFACE_NETWORKS_MS`].
    pub fn has(&mut self, address: IpAddr, now_ns: u64) -> bool {
        if is_local_anywhere(address) {
            return true;
        }
        if self.read_ns.is_none_or(|read_ns| now_ns - read_ns >= HOLDS_NS) {
            self.read(now_ns);
        }
        self.networks.iter().any(|(network, _)| network.contains(&address))
    }

    /// Reads the networks of the interfaces. If that fails, the networks that were read before stay in use.
    fn read(&mut self, now_ns: u64) {
        self.read_ns = Some(now_ns);
        let Some(netlink) = &mut self.netlink else { return };
        let (mut networks, mut is_overfull) = (Vec::new(), false);
        let result = netlink.each_address(|address| {
            for network in networks_of(&address).into_iter().flatten() {
                is_overfull |= !add(&mut networks, (network, address.interface));
            }
        });
        match result {
            Ok(()) => networks.retain(|(_, interface)| netlink.is_up(*interface).unwrap_or(false)),
            Err(errno) => {
                log::debug!("the networks of the interfaces: {}", errno.desc());
                return self.reconnect();
            }
        }
        self.log_new(&networks, is_overfull);
        (self.networks, self.is_overfull) = (networks, is_overfull);
    }

    /// Opens a new connection to the kernel. On the old one, the kernel accepts no request until the rest of the last
    /// answer is read.
    fn reconnect(&mut self) {
        if let Ok(netlink) = Netlink::open() {
            self.netlink = Some(netlink);
        }
    }

    /// Logs the networks that are new.
    fn log_new(&self, networks: &[Network], is_overfull: bool) {
        for (network, _) in networks.iter().filter(|network| !self.networks.contains(network)) {
            log::info!(
                "--allow local lets in {network} too: it is the network of an interface of this machine"
            );
        }
        if is_overfull && !self.is_overfull {
            log::warn!(
                "interfaces have more than {INTERFACE_NETWORKS_MAX} networks; the others are not local"
            );
        }
    }
}

/// Adds a network, unless it is already there; false: there is no room.
fn add(networks: &mut Vec<Network, INTERFACE_NETWORKS_MAX>, network: Network) -> bool {
    networks.contains(&network) || networks.push(network).is_ok()
}

/// The networks that an address of this machine makes local: the network of the address, if it is not too large for
/// that, and the address itself, if it is not in that network. Networks that are local on every machine are left out.
fn networks_of(address: &Address) -> [Option<IpNet>; 2] {
    let prefix_min = match address.network {
        IpNet::V4(_) => INTERFACE_NETWORK_V4_PREFIX_MIN,
        IpNet::V6(_) => INTERFACE_NETWORK_V6_PREFIX_MIN,
    };
    let network = Some(address.network).filter(|network| network.prefix_len() >= prefix_min);
    let own =
        Some(IpNet::from(address.own)).filter(|own| network.is_none_or(|network| !network.contains(own)));
    [network, own].map(|network| network.filter(|network| !is_local_anywhere(network.addr())))
}

/// Whether the address is local on every machine: loopback, private, shared, link-local or unique-local.
fn is_local_anywhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared(v4),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether the address is in 100.64.0.0/10 (RFC 6598). No provider routes that network from outside. Tailscale uses it
/// for its machines, and providers use it for the addresses of their customers' routers.
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(own: &str, network: &str) -> std::vec::Vec<String> {
        let address = Address { interface: 1, own: own.parse().unwrap(), network: network.parse().unwrap() };
        networks_of(&address).into_iter().flatten().map(|network| network.to_string()).collect()
    }

    #[test]
    fn interface_makes_its_network_local_unless_it_is_too_large() {
        assert_eq!(local("2001:db8::7", "2001:db8::/64"), ["2001:db8::/64"]);
        assert_eq!(local("192.0.2.7", "192.0.2.0/24"), ["192.0.2.0/24"]);
        assert_eq!(local("203.0.113.7", "203.0.0.0/16"), ["203.0.0.0/16"]);
        // Too large: strangers share these networks.
        assert_eq!(local("203.0.113.7", "203.0.0.0/15"), ["203.0.113.7/32"]);
        assert_eq!(local("2001:db8::7", "2001:db8::/63"), ["2001:db8::7/128"]);
        assert_eq!(local("203.0.113.7", "0.0.0.0/0"), ["203.0.113.7/32"]);
        // The other end of a tunnel, and this one.
        assert_eq!(local("192.0.2.7", "192.0.2.9/32"), ["192.0.2.9/32", "192.0.2.7/32"]);
        // Networks that are local on every machine take no room.
        for (own, network) in [
            ("127.0.0.1", "127.0.0.0/8"),
            ("192.168.1.7", "192.168.1.0/24"),
            ("100.64.0.7", "100.64.0.0/10"),
            ("fe80::7", "fe80::/64"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(local(own, network), [""; 0], "{network}");
        }
    }

    #[test]
    fn networks_without_room_are_left_out() {
        let mut networks = Vec::new();
        for number in 0..INTERFACE_NETWORKS_MAX as u32 {
            let network = (IpNet::from(IpAddr::from(Ipv4Addr::from_bits(number))), 1);
            assert!(add(&mut networks, network) && add(&mut networks, network));
        }
        assert!(!add(&mut networks, (IpNet::from(IpAddr::from(Ipv4Addr::BROADCAST)), 1)));
    }
}
