//! The server's end of a client's connection: its socket, and whether bytes can still be sent on it.

#[cfg(not(loom))]
use crate::net::socket::{self, Transmission};
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
    /// The connection is broken: nothing can be sent. The worker still receives the lines that the client sent before,
    /// and the replies to them are dropped.
    ReceiveOnly,
}

/// The server's end of a connection. A new one is all zeroes.
pub struct Endpoint {
    state: State,
    socket: RawFd,
    /// The socket of a new connection, until the worker takes it. A vector, because an empty vector is all zeroes.
    arrival: Vec<OwnedFd, 1>,
    /// The errno that broke a connection that is [`State::ReceiveOnly`].
    broken_by: i32,
}

impl Endpoint {
    /// An endpoint without a connection.
    pub(super) const fn new() -> Self {
        Self { state: State::Closed, socket: 0, arrival: Vec::new(), broken_by: 0 }
    }

    /// Begins a connection on `socket`. The worker takes the socket with [`Endpoint::take_arrival`].
    ///
    /// # Panics
    /// If there is a connection, or the worker has not taken the previous one.
    pub(super) fn open(&mut self, socket: OwnedFd) {
        assert!(self.state == State::Closed && self.arrival.is_empty());
        self.state = State::Open;
        self.socket = socket.as_raw_fd();
        self.broken_by = 0;
        // There is room: the assertion above checks that it is empty.
        let _ = self.arrival.push(socket);
    }

    /// The socket of a new connection, once.
    pub fn take_arrival(&mut self) -> Option<OwnedFd> {
        self.arrival.pop()
    }

    /// Ends the connection.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Records that `errno` broke the connection.
    pub(super) fn set_broken(&mut self, errno: Errno) {
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

    /// The error that broke the connection, if it is broken but has not ended: the worker still has to receive the
    /// bytes that have arrived on it.
    pub fn broken_by(&self) -> Option<Errno> {
        (self.state == State::ReceiveOnly).then(|| Errno::from_raw(self.broken_by))
    }

    /// Whether the peer's system no longer answers or has reset the connection, as far as the kernel knows by now.
    #[cfg(not(loom))]
    pub fn is_gone(&self) -> bool {
        self.transmission().is_some_and(|transmission| transmission.is_gone)
    }

    /// Whether the connection has ended, or one side has closed its sending side.
    #[cfg(not(loom))]
    pub fn is_closing(&self) -> bool {
        let is_closing = |transmission: Transmission| !transmission.is_established;
        self.state == State::Closed || self.transmission().is_some_and(is_closing)
    }

    /// What the kernel knows by now about a connection that has not ended.
    #[cfg(not(loom))]
    #[expect(unsafe_code, reason = "the worker owns the socket")]
    fn transmission(&self) -> Option<Transmission> {
        if self.state == State::Closed {
            return None;
        }
        // SAFETY: the worker closes the socket only after it has closed this endpoint. That takes the lock of the
        // outbox, which this thread holds now.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        socket::transmission(&socket)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn socket() -> OwnedFd {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().into()
    }

    #[test]
    fn connection_arrives_once_breaks_and_ends() {
        let mut endpoint = Endpoint::new();
        assert!(!endpoint.is_alive() && !endpoint.is_gone());
        endpoint.open(socket());
        assert!(endpoint.is_alive() && endpoint.broken_by().is_none());
        assert!(endpoint.take_arrival().is_some() && endpoint.take_arrival().is_none());
        endpoint.set_broken(Errno::EPIPE);
        assert!(!endpoint.is_alive());
        assert_eq!(endpoint.broken_by(), Some(Errno::EPIPE));
        endpoint.close();
        assert!(!endpoint.is_alive() && endpoint.broken_by().is_none());
        endpoint.open(socket());
        assert!(endpoint.is_alive() && endpoint.broken_by().is_none(), "the next connection is not broken");
    }

    #[test]
    #[should_panic(expected = "Closed")]
    fn second_connection_panics() {
        let mut endpoint = Endpoint::new();
        endpoint.open(socket());
        endpoint.open(socket());
    }
}
