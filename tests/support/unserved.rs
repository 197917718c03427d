//! Addresses where no server listens, and that the system gives to no other program.

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};

/// A socket that is bound and does not listen: connections to its address are refused, and no other program can take
/// it, while this value lives. After that, a server of the test can take it: the IP address is the test process's own.
pub struct Unserved {
    _socket: OwnedFd,
    pub address: String,
}

impl Unserved {
    pub fn new() -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let (socket, address) = bound_to(SockaddrIn::new(127, 78, high, low.clamp(1, 254), 0));
        Self { address: address.to_string(), _socket: socket }
    }
}

/// A port of 127.0.0.1 that the system gives to nobody else while this process runs. Programs of the test can listen at
/// it one after the other, if they bind it with `SO_REUSEADDR`, as most servers do; until one does, it refuses
/// connections.
pub fn reserved_port() -> u16 {
    let (socket, address) = bound_to(SockaddrIn::new(127, 0, 0, 1, 0));
    // Never closed, so that the port stays reserved.
    let _ = socket.into_raw_fd();
    address.port()
}

/// A socket that does not listen, and its address. Another socket can bind the same address only with `SO_REUSEADDR`. A
/// process that another test starts just now may still hold a copy of the socket when it is closed here.
fn bound_to(address: SockaddrIn) -> (OwnedFd, SocketAddrV4) {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
    bind(socket.as_raw_fd(), &address).unwrap();
    let bound: SockaddrIn = getsockname(socket.as_raw_fd()).unwrap();
    (socket, bound.into())
}
