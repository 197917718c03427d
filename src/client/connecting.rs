//! Connects a socket to one address without blocking. Knows no names and no protocol.

use super::connection::set_up;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket, sockopt,
};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;

/// Returns a socket that has started to connect.
///
/// # Errors
/// The socket cannot be created, or the address refuses at once.
pub fn begin_connecting(address: SocketAddr) -> nix::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    set_up(&socket);
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(socket)),
        Err(errno) => Err(errno),
    }
}

/// Whether the socket is connected; false: it is still connecting.
///
/// # Errors
/// Why the connection failed.
pub fn is_connected(stream: &TcpStream) -> nix::Result<bool> {
    match Errno::from_raw(getsockopt(stream, sockopt::SocketError)?) {
        // No error and no peer: it is still connecting.
        errno if errno as i32 == 0 => Ok(stream.peer_addr().is_ok()),
        errno => Err(errno),
    }
}
