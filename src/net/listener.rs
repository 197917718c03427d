//! Listeners: from the addresses that were asked for to sockets that listen.

use crate::limits::{BACKLOG, LISTENERS_MAX, PORT_DEFAULT, SOCKET_BUFFER_BYTES};
use crate::options::Listen;
use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt,
};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

/// A socket that listens, non-blocking, and its address.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// The address, with the real port.
    pub address: SocketAddr,
}

/// Why there is no listener.
#[derive(Debug)]
pub struct Error {
    address: SocketAddr,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// The kernel has a reason.
    System(Errno),
    /// It would be one more than [`LISTENERS_MAX`].
    TooMany,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, cause } = self;
        write!(f, "cannot listen on {address}: ")?;
        let errno = match cause {
            Cause::System(errno) => errno,
            Cause::TooMany => {
                return write!(
                    f,
                    "there may be {LISTENERS_MAX} listeners, systemd's and those of --listen together"
                );
            }
        };
        match errno {
            Errno::EADDRINUSE => write!(
                f,
                "another program has port {}; stop it or choose another with --listen",
                address.port()
            ),
            Errno::EADDRNOTAVAIL => write!(f, "this machine does not have that address"),
            Errno::EACCES => {
                write!(f, "no permission for port {}; choose one above 1023 with --listen", address.port())
            }
            errno => write!(f, "{}", errno.desc()),
        }
    }
}

/// Listens on the sockets that were handed over and on all that was asked for, or on port [`PORT_DEFAULT`] everywhere if
/// there is neither.
///
/// # Errors
/// The first that cannot be had.
pub fn listen(asked: &[Listen], handed_over: Vec<TcpListener>) -> Result<Vec<Listener>, Error> {
    let default = [Listen::Everywhere { port: PORT_DEFAULT }];
    let asked = if asked.is_empty() && handed_over.is_empty() { &default } else { asked };
    let opened = asked.iter().map(|listen| match *listen {
        Listen::Everywhere { port } => everywhere(port),
        Listen::At(address) => open(address, !shares_port_with_v4(address, asked)),
    });
    let listeners: Vec<Listener> =
        handed_over.into_iter().map(adopt).chain(opened).collect::<Result<_, _>>()?;
    match listeners.get(LISTENERS_MAX) {
        Some(listener) => Err(Error { address: listener.address, cause: Cause::TooMany }),
        None => Ok(listeners),
    }
}

/// Makes a socket that listens already one of ours.
fn adopt(socket: TcpListener) -> Result<Listener, Error> {
    let unknown = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let address =
        address_of(&socket).map_err(|errno| Error { address: unknown, cause: Cause::System(errno) })?;
    set_up_adopted(&socket).map_err(|errno| Error { address, cause: Cause::System(errno) })?;
    Ok(Listener { socket, address })
}

fn set_up_adopted(socket: &TcpListener) -> nix::Result<()> {
    socket.set_nonblocking(true).map_err(errno_of)?;
    setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES)
}

fn address_of(socket: &TcpListener) -> nix::Result<SocketAddr> {
    socket.local_addr().map_err(errno_of)
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// Both families on one socket, or IPv4 alone where there is no IPv6.
fn everywhere(port: u16) -> Result<Listener, Error> {
    match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), true) {
        Err(Error { cause: Cause::System(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL), .. }) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false)
        }
        listener => listener,
    }
}

/// Whether an IPv4 address was asked for on the port of that IPv6 one: then the latter must leave IPv4 alone.
fn shares_port_with_v4(address: SocketAddr, asked: &[Listen]) -> bool {
    asked.iter().any(|other| matches!(other, Listen::At(SocketAddr::V4(v4)) if v4.port() == address.port()))
}

/// Listens on one address; for an IPv6 one, `both_families` says whether IPv4 clients may come in there too.
fn open(address: SocketAddr, both_families: bool) -> Result<Listener, Error> {
    try_open(address, both_families).map_err(|errno| Error { address, cause: Cause::System(errno) })
}

fn try_open(address: SocketAddr, both_families: bool) -> nix::Result<Listener> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    // A restart must not wait for old connections of its own.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    // Inherited by those accepted; it must stand before they come, for it decides their window.
    setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &!both_families)?;
    }
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    socket::listen(&socket, Backlog::new(BACKLOG)?)?;
    let socket = TcpListener::from(socket);
    let address = address_of(&socket)?;
    Ok(Listener { socket, address })
}
