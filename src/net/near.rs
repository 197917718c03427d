//! Which addresses are near: those of this machine, of networks that its owner runs, and of networks on its own interfaces.

use super::netlink::{Address, Netlink};
use crate::limits::{
    INTERFACE_NETWORK_V4_PREFIX_MIN, INTERFACE_NETWORK_V6_PREFIX_MIN, INTERFACE_NETWORKS_MAX,
    INTERFACE_NETWORKS_MS,
};
use heapless::Vec;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// How long what was read holds, in nanoseconds.
const HOLDS_NS: u64 = INTERFACE_NETWORKS_MS * 1_000_000;

/// A network, and the number of the interface that it is on.
type Network = (IpNet, u32);

/// Which addresses are near. The networks of the interfaces are read when no other rule makes an address near.
#[derive(Default)]
pub struct Near {
    /// None: the kernel cannot be asked.
    netlink: Option<Netlink>,
    networks: Vec<Network, INTERFACE_NETWORKS_MAX>,
    /// When they were read, in nanoseconds.
    read_ns: Option<u64>,
    /// There were more, and that was told.
    is_overfull: bool,
}

impl Near {
    /// With the networks of this machine's interfaces, as they are from now on.
    pub fn with_interfaces(now_ns: u64) -> Self {
        let netlink = Netlink::open().inspect_err(|errno| {
            log::warn!(
                "the networks of this machine's interfaces cannot be read: {}; --allow local is without them",
                errno.desc()
            );
        });
        let mut near = Self { netlink: netlink.ok(), ..Self::default() };
        near.read(now_ns);
        near
    }

    /// Whether that address is near. What the interfaces have is not older than [`INTERFACE_NETWORKS_MS`].
    pub fn has(&mut self, address: IpAddr, now_ns: u64) -> bool {
        if is_near_anywhere(address) {
            return true;
        }
        if self.read_ns.is_none_or(|read_ns| now_ns - read_ns >= HOLDS_NS) {
            self.read(now_ns);
        }
        self.networks.iter().any(|(network, _)| network.contains(&address))
    }

    /// Reads the networks of the interfaces. If that fails, those that were read before hold for longer.
    fn read(&mut self, now_ns: u64) {
        self.read_ns = Some(now_ns);
        let Some(netlink) = &mut self.netlink else { return };
        let (mut networks, mut is_overfull) = (Vec::new(), false);
        let told = netlink.each_address(|address| {
            for network in networks_of(&address).into_iter().flatten() {
                is_overfull |= !add(&mut networks, (network, address.interface));
            }
        });
        match told {
            Ok(()) => networks.retain(|(_, interface)| netlink.is_up(*interface).unwrap_or(false)),
            Err(errno) => {
                log::debug!("the networks of the interfaces: {}", errno.desc());
                return self.connect_anew();
            }
        }
        self.tell_of(&networks, is_overfull);
        (self.networks, self.is_overfull) = (networks, is_overfull);
    }

    /// What is left of an answer goes with its socket: until it is read, the kernel takes no other question there.
    fn connect_anew(&mut self) {
        if let Ok(netlink) = Netlink::open() {
            self.netlink = Some(netlink);
        }
    }

    /// Tells of those that are new.
    fn tell_of(&self, networks: &[Network], is_overfull: bool) {
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

/// Adds a network, unless it is there; false: there is no room.
fn add(networks: &mut Vec<Network, INTERFACE_NETWORKS_MAX>, network: Network) -> bool {
    networks.contains(&network) || networks.push(network).is_ok()
}

/// The networks that an address of this machine makes near, of those that are not near anywhere: its own, if that is not larger than
/// one that people who know each other share, and the address itself, if it is not in that.
fn networks_of(address: &Address) -> [Option<IpNet>; 2] {
    let prefix_min = match address.network {
        IpNet::V4(_) => INTERFACE_NETWORK_V4_PREFIX_MIN,
        IpNet::V6(_) => INTERFACE_NETWORK_V6_PREFIX_MIN,
    };
    let network = Some(address.network).filter(|network| network.prefix_len() >= prefix_min);
    let own =
        Some(IpNet::from(address.own)).filter(|own| network.is_none_or(|network| !network.contains(own)));
    [network, own].map(|network| network.filter(|network| !is_near_anywhere(network.addr())))
}

/// Whether the address is near on every machine: loopback, private, shared, link-local or unique-local.
fn is_near_anywhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared(v4),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether it is one of 100.64.0.0/10 (RFC 6598), which no provider lets in from outside: Tailscale has its machines there, and routers
/// that get their own address from there.
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(own: &str, network: &str) -> std::vec::Vec<String> {
        let address = Address { interface: 1, own: own.parse().unwrap(), network: network.parse().unwrap() };
        networks_of(&address).into_iter().flatten().map(|network| network.to_string()).collect()
    }

    #[test]
    fn an_interface_makes_its_network_near_unless_that_is_too_large() {
        assert_eq!(near("2001:db8::7", "2001:db8::/64"), ["2001:db8::/64"]);
        assert_eq!(near("192.0.2.7", "192.0.2.0/24"), ["192.0.2.0/24"]);
        assert_eq!(near("203.0.113.7", "203.0.0.0/16"), ["203.0.0.0/16"]);
        // Others live in these too.
        assert_eq!(near("203.0.113.7", "203.0.0.0/15"), ["203.0.113.7/32"]);
        assert_eq!(near("2001:db8::7", "2001:db8::/63"), ["2001:db8::7/128"]);
        assert_eq!(near("203.0.113.7", "0.0.0.0/0"), ["203.0.113.7/32"]);
        // The other end of a tunnel, and this one.
        assert_eq!(near("192.0.2.7", "192.0.2.9/32"), ["192.0.2.9/32", "192.0.2.7/32"]);
        // What is near anyway takes no room.
        for (own, network) in [
            ("127.0.0.1", "127.0.0.0/8"),
            ("192.168.1.7", "192.168.1.0/24"),
            ("100.64.0.7", "100.64.0.0/10"),
            ("fe80::7", "fe80::/64"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(near(own, network), [""; 0], "{network}");
        }
    }

    #[test]
    fn more_networks_than_there_is_room_for_are_left_out() {
        let mut networks = Vec::new();
        for number in 0..INTERFACE_NETWORKS_MAX as u32 {
            let network = (IpNet::from(IpAddr::from(Ipv4Addr::from_bits(number))), 1);
            assert!(add(&mut networks, network) && add(&mut networks, network));
        }
        assert!(!add(&mut networks, (IpNet::from(IpAddr::from(Ipv4Addr::BROADCAST)), 1)));
    }
}
