//! Reads the addresses of this machine over rtnetlink(7), into a buffer of fixed size. It never waits: the kernel has
//! the answer before the request returns.

use crate::limits::{NETLINK_BYTES, NETLINK_READS_MAX};
use ipnet::IpNet;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

/// The bytes of a message before its body: `nlmsghdr`.
const HEADER_BYTES: usize = 16;

/// What the body of an address begins with: `ifaddrmsg`.
const ADDRESS_BYTES: usize = 8;

/// What the body of an interface begins with: `ifinfomsg`.
const LINK_BYTES: usize = 16;

/// Messages and attributes begin at multiples of this.
const ALIGNMENT: usize = 4;

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The number of its interface.
    pub interface: u32,
    /// The address itself.
    pub own: IpAddr,
    /// The network of the address; on a point-to-point interface, the other end.
    pub network: IpNet,
}

/// A connection to the kernel.
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a connection.
    ///
    /// # Errors
    /// If the kernel has no rtnetlink, or a filter forbids it.
    pub fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Calls `each` with every address.
    ///
    /// # Errors
    /// Errors of the kernel; `each` may have been called with some addresses by then. `EOVERFLOW`: there are more
    /// addresses than [`NETLINK_READS_MAX`] reads return.
    pub fn each_address(&mut self, mut each: impl FnMut(Address)) -> nix::Result<()> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        self.ask(libc::RTM_GETADDR, flags, &[0; ADDRESS_BYTES])?;
        let mut buffer = [0; NETLINK_BYTES];
        for _ in 0..NETLINK_READS_MAX {
            for message in self.read(&mut buffer)? {
                match message.kind {
                    libc::RTM_NEWADDR => message.address().into_iter().for_each(&mut each),
                    kind if kind == libc::NLMSG_DONE as u16 => return Ok(()),
                    kind if kind == libc::NLMSG_ERROR as u16 => return Err(message.errno()),
                    _ => {}
                }
            }
        }
        Err(Errno::EOVERFLOW)
    }

    /// Whether the interface of that number is up.
    ///
    /// # Errors
    /// Errors of the kernel: `ENODEV` if there is no such interface.
    pub fn is_up(&mut self, interface: u32) -> nix::Result<bool> {
        let mut link = [0; LINK_BYTES];
        link[4..8].copy_from_slice(&interface.to_ne_bytes());
        self.ask(libc::RTM_GETLINK, libc::NLM_F_REQUEST, &link)?;
        let mut buffer = [0; NETLINK_BYTES];
        let answer = self.read(&mut buffer)?.next().ok_or(Errno::ENODEV)?;
        match u32_at(answer.body, 8).filter(|_| answer.kind == libc::RTM_NEWLINK) {
            Some(flags) => Ok(flags & libc::IFF_UP as u32 != 0),
            None => Err(answer.errno()),
        }
    }

    fn ask<const BYTES: usize>(&mut self, kind: u16, flags: i32, body: &[u8; BYTES]) -> nix::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut question = [0; HEADER_BYTES + LINK_BYTES];
        let question = &mut question[..HEADER_BYTES + BYTES];
        question[..4].copy_from_slice(&((HEADER_BYTES + BYTES) as u32).to_ne_bytes());
        question[4..6].copy_from_slice(&kind.to_ne_bytes());
        question[6..8].copy_from_slice(&(flags as u16).to_ne_bytes());
        question[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        question[HEADER_BYTES..].copy_from_slice(body);
        socket::send(self.socket.as_raw_fd(), question, MsgFlags::MSG_DONTWAIT).map(drop)
    }

    /// The next part of the answer to the last request. It skips what is left of an earlier answer.
    fn read<'a>(
        &self,
        buffer: &'a mut [u8; NETLINK_BYTES],
    ) -> nix::Result<impl Iterator<Item = Message<'a>>> {
        let count = socket::recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?;
        let sequence = self.sequence;
        Ok(Messages(&buffer[..count]).filter(move |message| message.sequence == sequence))
    }
}

/// A message of the kernel.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Message<'_> {
    /// The address in the message, if it is an IPv4 or IPv6 address.
    fn address(&self) -> Option<Address> {
        let (&family, &prefix) = (self.body.first()?, self.body.get(1)?);
        let interface = u32_at(self.body, 4)?;
        let attribute = |kind| {
            let mut all = Attributes(self.body.get(ADDRESS_BYTES..)?);
            all.find(|(of, _)| *of == kind).and_then(|(_, bytes)| ip(family, bytes))
        };
        let far = attribute(libc::IFA_ADDRESS)?;
        let own = attribute(libc::IFA_LOCAL).unwrap_or(far);
        Some(Address { interface, own, network: IpNet::new(far, prefix).ok()?.trunc() })
    }

    /// The error in the message; `EPROTO` if it is a message of another kind, which was not requested.
    fn errno(&self) -> Errno {
        match u32_at(self.body, 0).filter(|_| self.kind == libc::NLMSG_ERROR as u16) {
            Some(negative) => Errno::from_raw((negative as i32).wrapping_neg()),
            None => Errno::EPROTO,
        }
    }
}

/// The messages in a buffer, up to the first incomplete one.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let len = u32_at(self.0, 0)? as usize;
        let message = take(&mut self.0, len)?;
        let body = message.get(HEADER_BYTES..)?;
        Some(Message { kind: u16_at(message, 4)?, sequence: u32_at(message, 8)?, body })
    }
}

/// The attributes in a buffer, with their kinds, up to the first incomplete one.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let len = u16_at(self.0, 0)?.into();
        let attribute = take(&mut self.0, len)?;
        Some((u16_at(attribute, 2)?, &attribute[4..]))
    }
}

/// Takes `len` bytes and the padding after them off the front.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let taken = bytes.get(..len)?;
    *bytes = bytes.get(len.checked_next_multiple_of(ALIGNMENT)?..).unwrap_or_default();
    Some(taken)
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loopback_has_its_network_and_is_up() {
        let mut netlink = Netlink::open().unwrap();
        // Twice, because nothing of the first answer may be left over.
        for _ in 0..2 {
            let mut found = None;
            netlink
                .each_address(|address| {
                    if address.own == IpAddr::from(Ipv4Addr::LOCALHOST) {
                        found = Some(address);
                    }
                })
                .unwrap();
            let Address { interface, network, .. } = found.expect("127.0.0.1 is an address of this machine");
            assert_eq!(network, "127.0.0.0/8".parse().unwrap());
            assert_eq!(netlink.is_up(interface), Ok(true));
        }
        assert_eq!(netlink.is_up(u32::MAX >> 1), Err(Errno::ENODEV));
    }

    /// An attribute with its padding.
    fn attribute(kind: u16, bytes: &[u8]) -> Vec<u8> {
        let mut all = [&(4 + bytes.len() as u16).to_ne_bytes(), &kind.to_ne_bytes(), bytes].concat();
        all.resize(all.len().next_multiple_of(ALIGNMENT), 0);
        all
    }

    /// A message about an address.
    fn message(family: i32, prefix: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = [&[family as u8, prefix, 0, 0, 7, 0, 0, 0], &attributes.concat()[..]].concat();
        let len = (HEADER_BYTES + body.len()) as u32;
        let header = [&len.to_ne_bytes()[..], &libc::RTM_NEWADDR.to_ne_bytes(), &[0; 10]].concat();
        [header, body].concat()
    }

    fn only_address(bytes: &[u8]) -> Option<(String, String)> {
        let address = Messages(bytes).next()?.address()?;
        Some((address.own.to_string(), address.network.to_string()))
    }

    #[test]
    fn network_of_an_address_is_the_far_side() {
        let expected = |own: &str, network: &str| Some((own.to_string(), network.to_string()));
        let v6 = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        let only_far = message(libc::AF_INET6, 64, &[attribute(libc::IFA_ADDRESS, &v6)]);
        assert_eq!(only_address(&only_far), expected("2001:db8::7", "2001:db8::/64"));
        // The other end of a tunnel, with a label of three bytes between.
        let tunnel = [
            attribute(libc::IFA_ADDRESS, &[192, 0, 2, 9]),
            attribute(libc::IFA_LABEL, b"wg\0"),
            attribute(libc::IFA_LOCAL, &[192, 0, 2, 1]),
        ];
        assert_eq!(only_address(&message(libc::AF_INET, 32, &tunnel)), expected("192.0.2.1", "192.0.2.9/32"));
        // Invalid messages.
        assert_eq!(only_address(&message(libc::AF_INET, 33, &tunnel)), None);
        assert_eq!(only_address(&message(libc::AF_INET6, 64, &tunnel)), None);
        assert_eq!(only_address(&message(libc::AF_INET, 24, &[])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_the_end(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), 1..40_u8, any::<u8>()], 0..200),
        ) {
            for message in Messages(&bytes) {
                message.address();
                message.errno();
            }
        }
    }
}
