//! Which addresses may connect: the rules of `--allow`.

use super::local::LocalAddresses;
use crate::options::{Allow, Interface};
use ipnet::Ipv6Net;
use nix::net::if_::{if_indextoname, if_nametoindex};
use std::net::SocketAddr;

/// Which addresses may connect.
pub struct Allowed {
    rules: Vec<Allow>,
    local: LocalAddresses,
}

impl Allowed {
    /// The addresses that these rules allow; without rules, the local ones (`--allow local`). Call it at the
    /// start: it allocates.
    pub fn new(rules: &[Allow], now_ns: u64) -> Self {
        let rules = if rules.is_empty() { vec![Allow::Local] } else { rules.to_vec() };
        let is_local = rules.contains(&Allow::Local);
        let local =
            if is_local { LocalAddresses::with_interfaces(now_ns) } else { LocalAddresses::default() };
        Self { rules, local }
    }

    /// Whether a client with that address may connect at `now_ns`, in nanoseconds. An IPv4 address that is mapped to
    /// IPv6 (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn admits(&mut self, peer: SocketAddr, now_ns: u64) -> bool {
        let address = peer.ip().to_canonical();
        self.rules.iter().any(|rule| match rule {
            Allow::Any => true,
            Allow::Local => self.local.has(address, now_ns),
            Allow::Network(network) => network.contains(&address),
            Allow::NetworkOn { network, interface } => is_in(network, peer) && came_by(interface, peer),
        })
    }

    /// The rules that do not match any client now, because this machine does not have their interface. Call it at the
    /// start: it allocates.
    pub fn awaited(&self) -> impl Iterator<Item = (&Ipv6Net, &Interface)> {
        self.rules.iter().filter_map(|rule| match rule {
            Allow::NetworkOn { network, interface } if !is_there(interface) => Some((network, interface)),
            _ => None,
        })
    }
}

fn is_in(network: &Ipv6Net, peer: SocketAddr) -> bool {
    matches!(peer, SocketAddr::V6(v6) if network.contains(v6.ip()))
}

/// Whether the peer connects over that interface, given by its current name or by its number.
fn came_by(interface: &Interface, peer: SocketAddr) -> bool {
    let SocketAddr::V6(v6) = peer else { return false };
    number(interface) == Some(v6.scope_id())
}

/// The number of an interface: the current one of its name, or the number that the name is.
fn number(interface: &Interface) -> Option<u32> {
    let name = interface.name();
    if_nametoindex(name).ok().or_else(|| name.parse().ok())
}

/// Whether this machine has that interface now. Call it at the start: it allocates.
fn is_there(interface: &Interface) -> bool {
    // For a number that no interface has, the name is empty.
    let has_name = |number| if_indextoname(number).is_ok_and(|name| !name.is_empty());
    number(interface).is_some_and(has_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};

    /// The rules on a machine without interfaces.
    fn allowed(rules: &[Allow]) -> Allowed {
        Allowed { local: LocalAddresses::default(), ..Allowed::new(rules, 0) }
    }

    fn admits(rules: &[Allow], address: &str) -> bool {
        admits_address(rules, address.parse().unwrap())
    }

    fn admits_address(rules: &[Allow], address: IpAddr) -> bool {
        allowed(rules).admits(SocketAddr::new(address, 1), 0)
    }

    #[test]
    fn without_rules_only_local_addresses_may_connect() {
        for (first, last, before, behind) in [
            ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
            ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
            ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
            ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
            ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
            ("::1", "::1", "::", "::2"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fbff::", "fe00::"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe7f::", "fec0::"),
        ] {
            for (address, expected) in [(first, true), (last, true), (before, false), (behind, false)] {
                assert_eq!(admits(&[], address), expected, "{address}");
                if address.contains('.') {
                    assert_eq!(admits(&[], &format!("::ffff:{address}")), expected, "{address} over IPv6");
                }
            }
        }
        // Addresses for documentation are not local.
        for address in ["192.0.2.1", "2001:db8::1", "0.0.0.0", "255.255.255.255", "ff02::1"] {
            assert!(!admits(&[], address), "{address}");
        }
    }

    #[test]
    fn rules_replace_the_default_and_add_up() {
        let network = |text: &str| Allow::Network(text.parse().unwrap());
        let lan = [network("192.0.2.0/24"), network("2001:db8::/32")];
        for (address, expected) in [
            ("192.0.2.255", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("127.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(admits(&lan, address), expected, "{address}");
        }
        assert!(admits(&[Allow::Local, lan[0].clone()], "127.0.0.1"));
        assert!(admits(&[lan[0].clone(), Allow::Any], "203.0.113.1") && admits(&[Allow::Any], "2001:db8::1"));
        assert!(!admits(&[network("::/0")], "203.0.113.1"), "all of IPv6 is not all of IPv4");
        assert!(!admits(&[network("::/0")], "::ffff:203.0.113.1"), "even if it is mapped to IPv6");
    }

    #[test]
    fn link_local_network_is_that_of_its_interface() {
        let number = if_nametoindex("lo").unwrap();
        let from =
            |address: &str, scope: u32| SocketAddrV6::new(address.parse().unwrap(), 1, 0, scope).into();
        for (name, own, other) in
            [("lo", number, number + 1), ("4242", 4242, number), ("no-such-one", 0, number)]
        {
            let interface = Interface::new(name).unwrap();
            let rule = Allow::NetworkOn { network: "fe80::/64".parse().unwrap(), interface };
            let mut allowed = allowed(&[rule]);
            let is_there = name != "no-such-one";
            assert_eq!(allowed.admits(from("fe80::1", own), 0), is_there, "{name}");
            assert_eq!(allowed.awaited().count(), usize::from(name != "lo"), "{name}");
            assert!(!allowed.admits(from("fe80::1", other), 0), "{name}");
            assert!(!allowed.admits(from("fe80:0:0:1::1", own), 0), "{name}");
            assert!(!allowed.admits("192.0.2.1:1".parse().unwrap(), 0), "{name}");
        }
    }

    /// A network, and the bits of an address that is likely to be close to its edge.
    fn close_to_a_network() -> impl Strategy<Value = (bool, u128, u8, u128)> {
        (any::<bool>(), any::<u128>(), any::<u128>(), 0..=128_u8).prop_flat_map(
            |(is_v4, bits, other, prefix)| {
                let prefix = if is_v4 { prefix % 33 } else { prefix };
                let width = if is_v4 { 32 } else { 128 };
                // One bit differs: the address is in the network or just outside it.
                let flipped = (0..width).prop_map(move |bit| bits ^ (1_u128 << bit));
                (Just(is_v4), Just(bits), Just(prefix), prop_oneof![Just(bits), Just(other), flipped])
            },
        )
    }

    fn address(is_v4: bool, bits: u128) -> IpAddr {
        if is_v4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() }
    }

    proptest! {
        #[test]
        fn network_has_the_addresses_that_share_its_first_bits((is_v4, bits, prefix, other) in close_to_a_network()) {
            let width = if is_v4 { 32 } else { 128 };
            let digits = |bits: u128| format!("{:0128b}", if is_v4 { bits & u128::from(u32::MAX) } else { bits });
            let first = |bits: u128| digits(bits)[128 - width..][..usize::from(prefix)].to_string();
            let model = first(bits) == first(other);
            let network = ipnet::IpNet::new(address(is_v4, bits), prefix).unwrap().trunc();
            let rules = [Allow::Network(network)];
            let other = address(is_v4, other);
            // A mapped IPv6 address counts as IPv4, and is in no IPv6 network.
            prop_assert_eq!(admits_address(&rules, other), model && other.to_canonical() == other);
            if let IpAddr::V4(v4) = other {
                prop_assert_eq!(admits_address(&rules, v4.to_ipv6_mapped().into()), model);
            }
        }
    }
}
