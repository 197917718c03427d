//! Where the server listens, and which clients may connect.

use super::interface::{self, Interface};
use super::values::digits;
use crate::limits::{ALLOWED_MAX, LISTENERS_MAX, PORT_DEFAULT};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Where to listen: one entry of `--listen`. Port 0 means any free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On all addresses: IPv6 and IPv4, or only IPv4 on a system without IPv6.
    Everywhere {
        /// The TCP port.
        port: u16,
    },
    /// Only on this address.
    At(SocketAddr),
    /// Only on this address of this interface.
    On {
        /// The address, without the number of the interface, which only the system knows.
        address: SocketAddrV6,
        /// The interface.
        interface: Interface,
    },
}

/// Which clients may connect: one entry of `--allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// All clients.
    Any,
    /// Clients with a local address. That is a loopback, private, shared (RFC 6598), link-local or unique-local
    /// address, or one in a network of this machine's interfaces.
    Local,
    /// Clients with an address in this network.
    Network(IpNet),
    /// Clients with an address in this link-local network, on this interface.
    NetworkOn {
        /// The network.
        network: Ipv6Net,
        /// The interface.
        interface: Interface,
    },
}

/// Parses a list of addresses, separated by commas or spaces, and adds them to `addresses`.
///
/// # Errors
/// What `--listen` allows.
pub(super) fn parse_listen(text: &str, addresses: &mut Vec<Listen>) -> Result<(), String> {
    let listed = words(text).map(address).collect::<Option<Vec<_>>>().filter(|listed| !listed.is_empty());
    let listed = listed.ok_or_else(|| {
        format!(
            "takes addresses like 127.0.0.1:{PORT_DEFAULT} or [::1]:{PORT_DEFAULT}, an address alone, \
             or a port up to 65535 alone; host names are not looked up"
        )
    })?;
    if let Some(ip) = listed.iter().find_map(without_interface) {
        return Err(format!("takes a link-local address with its interface: {ip}%eth0"));
    }
    if let Some((ip, kind)) = listed.iter().find_map(group_address) {
        return Err(format!("takes addresses of this machine; {ip} is a {kind} address, and TCP has none"));
    }
    addresses.extend(listed);
    if addresses.len() > LISTENERS_MAX {
        return Err(format!("takes no more than {LISTENERS_MAX} addresses in all"));
    }
    Ok(())
}

/// Parses a list of networks, separated by commas or spaces, and adds them to `allowed`.
///
/// # Errors
/// What `--allow` allows.
pub(super) fn parse_allow(text: &str, allowed: &mut Vec<Allow>) -> Result<(), String> {
    let listed = words(text).map(network).collect::<Result<Vec<_>, _>>()?;
    if listed.is_empty() {
        return Err(NETWORKS_ALLOWED.to_string());
    }
    allowed.extend(listed);
    if allowed.len() > ALLOWED_MAX {
        return Err(format!("takes no more than {ALLOWED_MAX} networks in all"));
    }
    Ok(())
}

/// What `--allow` allows.
const NETWORKS_ALLOWED: &str = "takes networks like 192.168.1.0/24 or 2001:db8::/32, an address alone, local, or any; \
                                host names are not looked up";

/// Parses an entry of `--allow`. An address is a network of one address.
fn network(word: &str) -> Result<Allow, String> {
    match word {
        "any" => return Ok(Allow::Any),
        "local" => return Ok(Allow::Local),
        _ => {}
    }
    let Some((unscoped, interface)) = interface::split(word) else {
        return Ok(Allow::Network(as_ipv4(whole_network(word)?)));
    };
    match whole_network(&unscoped)? {
        IpNet::V6(network) if is_link_local(&network) => Ok(Allow::NetworkOn { network, interface }),
        _ => Err(format!(
            "takes an interface (%{interface}) with link-local addresses alone, which begin with fe80:"
        )),
    }
}

/// Parses a network, or one address. The bits of a network's address after its prefix must be zero.
fn whole_network(word: &str) -> Result<IpNet, String> {
    let network = word.parse::<IpAddr>().map(IpNet::from).or_else(|_| word.parse::<IpNet>());
    let network = network.map_err(|_| NETWORKS_ALLOWED)?;
    if network != network.trunc() {
        let (whole, address) = (network.trunc(), network.addr());
        return Err(format!("takes {whole} for that whole network, or {address} for that address alone"));
    }
    Ok(network)
}

/// Whether all addresses of a network are link-local: fe80::/10.
fn is_link_local(network: &Ipv6Net) -> bool {
    network.addr().is_unicast_link_local() && network.prefix_len() >= 10
}

/// Converts a network of IPv4-mapped addresses (`::ffff:192.168.1.0/120`) to IPv4.
fn as_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(network, IpNet::V4)
}

/// The entries of a list that are separated by commas or spaces.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|word| !word.is_empty())
}

/// Parses an entry of `--listen`.
fn address(word: &str) -> Option<Listen> {
    if let Some(port) = digits(word.strip_prefix(':').unwrap_or(word)) {
        return Some(Listen::Everywhere { port: u16::try_from(port).ok()? });
    }
    if let Some(address) = socket_address(word) {
        return Some(Listen::At(address));
    }
    let (unscoped, interface) = interface::split(word)?;
    match socket_address(&unscoped)? {
        SocketAddr::V6(address) => Some(Listen::On { address, interface }),
        SocketAddr::V4(_) => None,
    }
}

/// Parses an address. The port is optional; without a port, so are the brackets.
fn socket_address(word: &str) -> Option<SocketAddr> {
    [word.to_string(), format!("{word}:{PORT_DEFAULT}"), format!("[{word}]:{PORT_DEFAULT}")]
        .iter()
        .find_map(|whole| whole.parse().ok())
}

/// The address, if it is link-local but names no interface. Several interfaces may have such an address.
fn without_interface(listen: &Listen) -> Option<Ipv6Addr> {
    match listen {
        Listen::At(SocketAddr::V6(v6)) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            Some(*v6.ip())
        }
        _ => None,
    }
}

/// The address and its kind, if it is not the address of a single machine.
fn group_address(listen: &Listen) -> Option<(IpAddr, &'static str)> {
    let ip = match listen {
        Listen::Everywhere { .. } => return None,
        Listen::At(address) => address.ip(),
        Listen::On { address, .. } => (*address.ip()).into(),
    };
    match ip.to_canonical() {
        canonical if canonical.is_multicast() => Some((ip, "multicast")),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some((ip, "broadcast")),
        _ => None,
    }
}
