//! The service manager: what systemd hands over at the start, and what it is told.
//!
//! Sockets come as sd_listen_fds(3) says, and news goes as sd_notify(3) says: a datagram each, to the socket that
//! `NOTIFY_SOCKET` names. Where there is no service manager, nothing comes and nothing is told. Datagrams are small and
//! sent without waiting; one that cannot be sent is lost, as the manager's own library has it. Nothing here allocates after
//! [`Service::from_environment`].

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
    /// How often it wants to hear that progress is made, if it does.
    watchdog: Option<Duration>,
}

impl Service {
    /// The one that the environment tells of. For the start: it allocates.
    pub fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|path| connect(path.as_bytes()).ok());
        let watchdog = if socket.is_some() { watchdog() } else { None };
        Self { socket, watchdog }
    }

    /// How often to call [`Service::progress`]: twice in the time after which the manager restarts the server.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// A journal of that size is opened. A large one may take longer to make, and to read, than the manager waits for [`Service::ready`].
    pub fn opening_journal(&self, journal_bytes: u64) {
        let time = Duration::from_secs(journal_bytes.div_ceil(JOURNAL_OPENING_BYTES_A_SECOND));
        self.notify(format_args!("EXTEND_TIMEOUT_USEC={}\nSTATUS=opening the journal", time.as_micros()));
    }

    /// All is ready.
    pub fn ready(&self, status: fmt::Arguments<'_>) {
        self.notify(format_args!("READY=1\nSTATUS={status}"));
    }

    /// The server works, and this is how it goes.
    pub fn progress(&self, status: fmt::Arguments<'_>) {
        self.notify(format_args!("WATCHDOG=1\nSTATUS={status}"));
    }

    /// SIGHUP has come; [`Service::ready`] follows.
    pub fn reloading(&self) {
        // The manager tells by the time which reload it is.
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            self.notify(format_args!("RELOADING=1\nMONOTONIC_USEC={}", Duration::from(now).as_micros()));
        }
    }

    /// The server ends.
    pub fn stopping(&self) {
        self.notify(format_args!("STOPPING=1\nSTATUS=draining"));
    }

    fn notify(&self, message: fmt::Arguments<'_>) {
        let Some(socket) = &self.socket else { return };
        let mut datagram: String<SERVICE_DATAGRAM_BYTES_MAX> = String::new();
        // What does not fit is cut: it is the end of a status, for people.
        let _ = datagram.write_fmt(message);
        // It is not waited for: the manager may hang, and the messages go on.
        let _ = socket.send(datagram.as_bytes());
    }
}

/// A socket connected to the manager's: one in the file system, or, after `@`, one in the abstract name space.
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

/// A number that the environment has under that name, if it is for this process: if the other name has no other's ID.
fn number_for_this_process(name: &str, id_name: &str) -> Option<u64> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    number(name).filter(|_| number(id_name).is_none_or(|id| id == u64::from(std::process::id())))
}

/// Half the time that `WATCHDOG_USEC` gives, if it is given to this process: see sd_watchdog_enabled(3).
fn watchdog() -> Option<Duration> {
    let usec = number_for_this_process("WATCHDOG_USEC", "WATCHDOG_PID").filter(|usec| *usec > 0)?;
    Some(Duration::from_micros(usec.div_ceil(2)))
}

/// What was handed over cannot be taken.
#[derive(Debug)]
pub enum HandOverError {
    /// That descriptor, counted from 0, is no TCP socket, but of that kind.
    NoTcp(usize, &'static str),
    /// That many descriptors, which is more than [`LISTENERS_MAX`].
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

/// The sockets that were handed over. For the start: it allocates.
///
/// # Errors
/// One of them is no TCP socket, or they are too many.
pub fn take_listeners() -> Result<Vec<TcpListener>, HandOverError> {
    // Before each of them is looked at.
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

/// What the descriptor is that is no TCP socket.
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
    fn news_reach_an_abstract_socket_and_a_long_status_is_cut() {
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
