//! The service manager (systemd): the sockets that it passes at the start, and the notifications that it gets.
//!
//! Sockets come as in sd_listen_fds(3). Notifications go as in sd_notify(3): one datagram each, to the socket that
//! `NOTIFY_SOCKET` names. Without a service manager there are no such sockets, and nothing is sent. Datagrams are
//! small and sent without waiting. A datagram that cannot be sent is lost, as with systemd's own library. Nothing here
//! allocates after [`Service::from_environment`].

use crate::limits::{JOURNAL_OPENING_BYTES_A_SECOND, LISTENERS_MAX, SERVICE_DATAGRAM_BYTES_MAX};
use core::fmt::{self, Write};
use heapless::String;
use listenfd::ListenFd;
use nix::time::{ClockId, clock_gettime};
use std::env;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if there is one.
pub struct Service {
    socket: Option<UnixDatagram>,
    /// How often to report progress to the manager; none: it wants no reports.
    watchdog: Option<Duration>,
}

impl Service {
    /// The service manager that the environment names. Call it at the start: it allocates.
    pub fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|path| connect(path.as_bytes()).ok());
        let watchdog = if socket.is_some() { watchdog() } else { None };
        Self { socket, watchdog }
    }

    /// How often to call [`Service::progress`]: twice in the time after which the manager restarts the server.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Notifies that the server opens a journal of that size, and asks for time: a large one may take longer to make,
    /// or to read, than the manager waits for [`Service::ready`].
    pub fn opening_journal(&self, journal_bytes: u64) {
        let time = Duration::from_secs(journal_bytes.div_ceil(JOURNAL_OPENING_BYTES_A_SECOND));
        self.notify(format_args!("EXTEND_TIMEOUT_USEC={}\nSTATUS=opening the journal", time.as_micros()));
    }

    /// Notifies that the server is ready.
    pub fn ready(&self, status: fmt::Arguments<'_>) {
        self.notify(format_args!("READY=1\nSTATUS={status}"));
    }

    /// Reports progress.
    pub fn progress(&self, status: fmt::Arguments<'_>) {
        self.notify(format_args!("WATCHDOG=1\nSTATUS={status}"));
    }

    /// Notifies that the server reloads after a SIGHUP. [`Service::ready`] must follow.
    pub fn reloading(&self) {
        // The manager identifies the reload by the time.
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            self.notify(format_args!("RELOADING=1\nMONOTONIC_USEC={}", Duration::from(now).as_micros()));
        }
    }

    /// Notifies that the server shuts down.
    pub fn stopping(&self) {
        self.notify(format_args!("STOPPING=1\nSTATUS=draining"));
    }

    fn notify(&self, message: fmt::Arguments<'_>) {
        let Some(socket) = &self.socket else { return };
        let mut datagram: String<SERVICE_DATAGRAM_BYTES_MAX> = String::new();
        // A text that is too long is cut; only the end of a status is lost.
        let _ = datagram.write_fmt(message);
        // Non-blocking: the manager may hang, and messages must still be processed.
        let _ = socket.send(datagram.as_bytes());
    }
}

/// A socket connected to that of the manager: by its path, or, after `@`, by its name in the abstract name space.
fn connect(path: &[u8]) -> std::io::Result<UnixDatagram> {
    let address = match path {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::path::Path::new(std::ffi::OsStr::from_bytes(path)))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// The number in the variable `name`, if it is for this process: `id_name`, if set, must have this process's ID.
fn number_for_this_process(name: &str, id_name: &str) -> Option<u64> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    number(name).filter(|_| number(id_name).is_none_or(|id| id == u64::from(std::process::id())))
}

/// Half the time in `WATCHDOG_USEC`, if that is for this process: see sd_watchdog_enabled(3).
fn watchdog() -> Option<Duration> {
    let usec = number_for_this_process("WATCHDOG_USEC", "WATCHDOG_PID").filter(|usec| *usec > 0)?;
    Some(Duration::from_micros(usec.div_ceil(2)))
}

/// Why the sockets that the service manager passes cannot be used.
#[derive(Debug)]
pub enum HandOverError {
    /// The descriptor with that number, from 0, is not a TCP socket but of that kind.
    NoTcp(usize, &'static str),
    /// There are that many descriptors, more than [`LISTENERS_MAX`].
    TooMany(u64),
}

impl fmt::Display for HandOverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTcp(index, kind) => write!(
                f,
                "descriptor {index} that systemd hands over is {kind}, and not a TCP socket; put ListenStream= with a \
                 port into the socket unit, and nothing else"
            ),
            Self::TooMany(count) => write!(
                f,
                "systemd hands over {count} sockets (LISTEN_FDS), and {LISTENERS_MAX} may be listened on; put fewer \
                 lines ListenStream= into the socket unit"
            ),
        }
    }
}

/// The sockets that the service manager passes. Call it at the start: it allocates.
///
/// # Errors
/// If one of them is not a TCP socket, or if there are too many.
pub fn take_listeners() -> Result<Vec<TcpListener>, HandOverError> {
    // Before any of them is taken.
    if let Some(count) = number_for_this_process("LISTEN_FDS", "LISTEN_PID")
        && count > LISTENERS_MAX as u64
    {
        return Err(HandOverError::TooMany(count));
    }
    let mut handed_over = ListenFd::from_env();
    let mut listeners = Vec::with_capacity(handed_over.len());
    for index in 0..handed_over.len() {
        match handed_over.take_tcp_listener(index) {
            Ok(listener) => listeners.extend(listener),
            Err(_) => return Err(HandOverError::NoTcp(index, kind_of(&mut handed_over, index))),
        }
    }
    Ok(listeners)
}

/// The kind of a descriptor that is not a TCP socket.
fn kind_of(handed_over: &mut ListenFd, index: usize) -> &'static str {
    if handed_over.take_udp_socket(index).is_ok() {
        "a UDP socket"
    } else if handed_over.take_unix_listener(index).is_ok() || handed_over.take_unix_datagram(index).is_ok() {
        "a UNIX socket"
    } else {
        "something else"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_reach_an_abstract_socket_and_a_long_status_is_cut() {
        let name = format!("firstline-test-{}", std::process::id());
        let manager =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        let service =
            Service { socket: Some(connect(format!("@{name}").as_bytes()).unwrap()), watchdog: None };
        let mut datagram = [0; 2 * SERVICE_DATAGRAM_BYTES_MAX];
        let mut next = || {
            let count = manager.recv(&mut datagram).unwrap();
            std::string::String::from_utf8(datagram[..count].to_vec()).unwrap()
        };
        service.opening_journal(8 << 30);
        assert_eq!(next(), "EXTEND_TIMEOUT_USEC=4096000000\nSTATUS=opening the journal");
        service.ready(format_args!("{} clients", 3));
        assert_eq!(next(), "READY=1\nSTATUS=3 clients");
        service.reloading();
        assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        service.stopping();
        assert_eq!(next(), "STOPPING=1\nSTATUS=draining");
        service.progress(format_args!("{}", "x".repeat(SERVICE_DATAGRAM_BYTES_MAX)));
        let long = next();
        assert!(long.starts_with("WATCHDOG=1\nSTATUS=") && long.len() <= SERVICE_DATAGRAM_BYTES_MAX);
    }
}
