//! An address where no server listens, and where none can begin to.

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// A socket that is bound and does not listen: connections to its address are refused, and no other program can take
/// it, while this value lives. After that, a server of the test can take it: the IP address is the test process's own.
pub struct Unserved {
    _socket: OwnedFd,
    pub address: String,
}

impl Unserved {
    pub fn new() -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let own = SockaddrIn::new(127, 78, high, low.clamp(1, 254), 0);
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        // A process that another test starts just now may still hold a copy of the socket when this value is dropped.
        setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
        bind(socket.as_raw_fd(), &own).unwrap();
        let bound: SockaddrIn = getsockname(socket.as_raw_fd()).unwrap();
        Self { address: SocketAddrV4::from(bound).to_string(), _socket: socket }
    }
}
