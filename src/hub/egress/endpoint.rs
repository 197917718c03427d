//! The server's end of a client's connection: its socket, and whether it still takes bytes.

#[cfg(not(loom))]
use crate::net::socket;
use heapless::Vec;
use nix::errno::Errno;
#[cfg(not(loom))]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection, or it has ended.
    Closed,
    /// The connection is not known to be broken.
    Open,
    /// It takes nothing more. What the client sent before is still received; the replies to it are dropped.
    ReceiveOnly,
}

/// One end of a connection. All zeroes when new.
pub struct Endpoint {
    state: State,
    socket: RawFd,
    /// A new connection, until the worker takes it. A vector, because an empty one is all zeroes.
    arrival: Vec<OwnedFd, 1>,
    /// The errno that broke a connection that is [`State::ReceiveOnly`].
    broken_by: i32,
}

impl Endpoint {
    /// Without a connection.
    pub(super) const fn new() -> Self {
        Self { state: State::Closed, socket: 0, arrival: Vec::new(), broken_by: 0 }
    }

    /// Begins a connection on `socket`, for the worker to take with [`Endpoint::take_arrival`].
    ///
    /// # Panics
    /// If there is a connection, or the worker has not taken the one before.
    pub(super) fn open(&mut self, socket: OwnedFd) {
        assert!(self.state == State::Closed && self.arrival.is_empty());
        self.state = State::Open;
        self.socket = socket.as_raw_fd();
        self.broken_by = 0;
        // It is empty: asserted above.
        let _ = self.arrival.push(socket);
    }

    /// The new connection, once.
    pub fn take_arrival(&mut self) -> Option<OwnedFd> {
        self.arrival.pop()
    }

    /// The connection ends.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// The connection takes nothing more.
    pub(super) fn break_off(&mut self, errno: Errno) {
        self.state = State::ReceiveOnly;
        self.broken_by = errno as i32;
    }

    /// The socket of a connection that has not ended.
    pub(super) fn socket(&self) -> RawFd {
        self.socket
    }

    /// Whether there is a connection that is not known to be broken.
    pub fn is_alive(&self) -> bool {
        self.state == State::Open
    }

    /// The error that broke the connection, if it takes nothing more but has not ended: what has arrived on it is still to be received.
    pub fn broken_by(&self) -> Option<Errno> {
        (self.state == State::ReceiveOnly).then(|| Errno::from_raw(self.broken_by))
    }

    /// Whether the peer's system does not answer any more or has reset the connection, as far as the kernel knows by now.
    #[cfg(not(loom))]
    #[expect(unsafe_code, reason = "the worker owns the socket")]
    pub fn is_gone(&self) -> bool {
        if self.state == State::Closed {
            return false;
        }
        // SAFETY: the worker closes the socket only after the connection was closed here, and that takes the lock that is held now.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        socket::transmission(&socket).is_some_and(|transmission| transmission.is_gone)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn socket() -> OwnedFd {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().into()
    }

    #[test]
    fn a_connection_arrives_once_breaks_and_ends() {
        let mut endpoint = Endpoint::new();
        assert!(!endpoint.is_alive() && !endpoint.is_gone());
        endpoint.open(socket());
        assert!(endpoint.is_alive() && endpoint.broken_by().is_none());
        assert!(endpoint.take_arrival().is_some() && endpoint.take_arrival().is_none());
        endpoint.break_off(Errno::EPIPE);
        assert!(!endpoint.is_alive());
        assert_eq!(endpoint.broken_by(), Some(Errno::EPIPE));
        endpoint.close();
        assert!(!endpoint.is_alive() && endpoint.broken_by().is_none());
        endpoint.open(socket());
        assert!(endpoint.is_alive() && endpoint.broken_by().is_none(), "the next connection is whole");
    }

    #[test]
    #[should_panic(expected = "Closed")]
    fn two_connections_have_no_place() {
        let mut endpoint = Endpoint::new();
        endpoint.open(socket());
        endpoint.open(socket());
    }
}
