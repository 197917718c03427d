//! Listeners: sockets that listen on the addresses of `--listen`, or that the service manager passes to the server.
//!
//! The server listens even on an address that this machine does not have yet (`IP_FREEBIND`): at boot the server may
//! start before its network does. Clients can connect as soon as the machine has the address.

use super::socket::optional;
use crate::limits::{BACKLOG, LISTENERS_MAX, PORT_DEFAULT, SOCKET_BUFFER_BYTES};
use crate::options::{Interface, Listen};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, getsockopt, setsockopt, sockopt,
};
use nix::{libc, setsockopt_impl, sockopt_impl};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

/// A non-blocking socket that listens, and its address.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// The address, with the actual port.
    pub address: SocketAddr,
    /// Whether this machine did not have the address when the socket was made. Until it has, no client can connect.
    pub is_awaited: bool,
}

/// Why there is no listener.
#[derive(Debug)]
pub struct Error {
    address: SocketAddr,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// An error of the kernel.
    System(Errno),
    /// There would be more than [`LISTENERS_MAX`] listeners.
    TooMany,
    /// The address is the broadcast address of a network of this machine.
    Broadcast,
    /// There is no such interface.
    NoInterface(Interface),
    /// The service manager listens on that port, and has passed that socket to the server.
    Inherited,
    /// The socket that the service manager has passed is a connection.
    Connection,
    /// The socket that the service manager has passed does not listen.
    NotListening,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, cause } = self;
        write!(f, "cannot listen on {address}: ")?;
        match cause {
            Cause::System(errno) => write_errno(f, *errno, address.port()),
            Cause::TooMany => {
                write!(f, "there may be {LISTENERS_MAX} listeners, systemd's and those of --listen together")
            }
            Cause::Broadcast => write!(
                f,
                "that is the broadcast address of a network, and TCP has none; give --listen an address of this machine"
            ),
            Cause::NoInterface(interface) => write!(
                f,
                "this machine does not have the interface {interface}; ip link lists those it has"
            ),
            Cause::Inherited => write!(
                f,
                "systemd has port {} itself and hands it over; leave it out of --listen and FIRSTLINE_LISTEN, or \
                 disable firstline.socket",
                address.port()
            ),
            Cause::Connection => f.write_str(
                "systemd hands over a connection, not a socket that listens; put Accept=no into the socket unit",
            ),
            Cause::NotListening => f.write_str("the socket that was handed over does not listen"),
        }
    }
}

fn write_errno(f: &mut fmt::Formatter<'_>, errno: Errno, port: u16) -> fmt::Result {
    match errno {
        Errno::EADDRINUSE => {
            write!(
                f,
                "another program has port {port}; stop it (ss -ltnp tells which) or choose another with --listen"
            )
        }
        Errno::EADDRNOTAVAIL => write!(f, "this machine does not have that address"),
        Errno::ENODEV => write!(f, "this machine does not have an interface of that number"),
        Errno::EACCES => write!(
            f,
            "no permission for port {port}; choose one above 1023 with --listen, or give CAP_NET_BIND_SERVICE"
        ),
        errno => write!(f, "{}", errno.desc()),
    }
}

/// Listens on the inherited sockets and on all addresses that `asked` names, or on port [`PORT_DEFAULT`] of all
/// addresses if there is neither.
///
/// # Errors
/// The error of the first listener that fails.
pub fn listen(asked: &[Listen], inherited_sockets: Vec<TcpListener>) -> Result<Vec<Listener>, Error> {
    let default = [Listen::Everywhere { port: PORT_DEFAULT }];
    let asked = if asked.is_empty() && inherited_sockets.is_empty() { &default } else { asked };
    let mut listeners: Vec<Listener> =
        inherited_sockets.into_iter().map(take_over).collect::<Result<_, _>>()?;
    let inherited: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
    for listen in asked {
        listeners.push(open_asked(listen, asked).map_err(|error| error.in_view_of(&inherited))?);
    }
    match listeners.get(LISTENERS_MAX) {
        Some(listener) => Err(Error { address: listener.address, cause: Cause::TooMany }),
        None => Ok(listeners),
    }
}

fn open_asked(listen: &Listen, asked: &[Listen]) -> Result<Listener, Error> {
    match listen {
        Listen::Everywhere { port } => everywhere(*port),
        Listen::At(address) if is_broadcast(*address) => {
            Err(Error { address: *address, cause: Cause::Broadcast })
        }
        Listen::At(address) => open(*address, !shares_port_with_v4(*address, asked)),
        Listen::On { address, interface } => open(with_interface(*address, interface)?.into(), true),
    }
}

impl Error {
    /// The error with a better cause, if it is due to an inherited socket.
    fn in_view_of(self, inherited: &[SocketAddr]) -> Self {
        let is_inherited = || inherited.iter().any(|inherited| inherited.port() == self.address.port());
        match self.cause {
            Cause::System(Errno::EADDRINUSE) if is_inherited() => Self { cause: Cause::Inherited, ..self },
            _ => self,
        }
    }
}

/// The address with the current number of its interface.
fn with_interface(address: SocketAddrV6, interface: &Interface) -> Result<SocketAddrV6, Error> {
    match if_nametoindex(interface.name()) {
        Ok(number) => Ok(SocketAddrV6::new(*address.ip(), address.port(), 0, number)),
        Err(_) => Err(Error { address: address.into(), cause: Cause::NoInterface(interface.clone()) }),
    }
}

/// Makes a listener of an inherited socket.
fn take_over(socket: TcpListener) -> Result<Listener, Error> {
    let unknown = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let address =
        address_of(&socket).map_err(|errno| Error { address: unknown, cause: Cause::System(errno) })?;
    let error = |errno| Error { address, cause: Cause::System(errno) };
    if !getsockopt(&socket, sockopt::AcceptConn).map_err(error)? {
        let stream = TcpStream::from(OwnedFd::from(socket));
        let cause = if stream.peer_addr().is_ok() { Cause::Connection } else { Cause::NotListening };
        return Err(Error { address, cause });
    }
    set_up_inherited(&socket).map_err(error)?;
    Ok(Listener { socket, address, is_awaited: false })
}

fn set_up_inherited(socket: &TcpListener) -> nix::Result<()> {
    socket.set_nonblocking(true).map_err(errno_of)?;
    optional("SO_RCVBUF", setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES))
}

fn address_of(socket: &TcpListener) -> nix::Result<SocketAddr> {
    socket.local_addr().map_err(errno_of)
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// Listens on all addresses: both families on one socket, or IPv4 alone if the system has no IPv6.
fn everywhere(port: u16) -> Result<Listener, Error> {
    match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), true) {
        Err(Error { cause: Cause::System(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL), .. }) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false)
        }
        listener => listener,
    }
}

/// Whether `asked` has an IPv4 address with the port of that IPv6 address: then the IPv6 socket must not accept IPv4.
fn shares_port_with_v4(address: SocketAddr, asked: &[Listen]) -> bool {
    asked.iter().any(|other| matches!(other, Listen::At(SocketAddr::V4(v4)) if v4.port() == address.port()))
}

/// Whether that is the broadcast address of a network of this machine. It asks the kernel, which lets a datagram
/// socket connect to such an address only with `SO_BROADCAST`. Nothing is sent.
fn is_broadcast(address: SocketAddr) -> bool {
    let may_speak_to = |socket: &UdpSocket| socket.connect((address.ip().to_canonical(), PORT_DEFAULT));
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).is_ok_and(|socket| {
        let is_refused = may_speak_to(&socket).is_err_and(|error| errno_of(error) == Errno::EACCES);
        is_refused && socket.set_broadcast(true).is_ok() && may_speak_to(&socket).is_ok()
    })
}

/// Listens on one address. `both_families`: whether an IPv6 socket accepts IPv4 clients, too.
fn open(address: SocketAddr, both_families: bool) -> Result<Listener, Error> {
    try_open(address, both_families).map_err(|errno| Error { address, cause: Cause::System(errno) })
}

fn try_open(address: SocketAddr, both_families: bool) -> nix::Result<Listener> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    // A restart must not wait for the old connections of the server.
    optional("SO_REUSEADDR", setsockopt(&socket, sockopt::ReuseAddr, &true))?;
    // Accepted sockets inherit it. It must be set before they connect, because it decides their window.
    optional("SO_RCVBUF", setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES))?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &!both_families)?;
    }
    let is_awaited = bind(&socket, address)?;
    socket::listen(&socket, Backlog::new(BACKLOG)?)?;
    let socket = TcpListener::from(socket);
    let address = address_of(&socket)?;
    Ok(Listener { socket, address, is_awaited })
}

sockopt_impl!(
    /// Lets an IPv6 socket have an address that this machine does not have yet. Since Linux 4.15.
    Ipv6Freebind,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_FREEBIND,
    bool
);

/// Binds the socket. Returns true if this machine does not have the address yet.
fn bind(socket: &OwnedFd, address: SocketAddr) -> nix::Result<bool> {
    let bind = || socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address));
    match bind() {
        // Without IPv6, the unspecified address is not available.
        Err(Errno::EADDRNOTAVAIL) if !address.ip().is_unspecified() => {
            let freed = match address {
                SocketAddr::V4(_) => setsockopt(socket, sockopt::IpFreebind, &true),
                SocketAddr::V6(_) => setsockopt(socket, Ipv6Freebind, &true),
            };
            // If that fails, too, report that the address is missing.
            freed.and_then(|()| bind()).map_err(|_| Errno::EADDRNOTAVAIL)?;
            Ok(true)
        }
        bound => bound.map(|()| false),
    }
}
