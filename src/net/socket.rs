//! One accepted connection: how it is set up, and the two calls that move bytes.

use crate::limits::{
    KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES, SOCKET_BUFFER_BYTES, UNACKNOWLEDGED_MS_MAX,
};
use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags, Shutdown, setsockopt, sockopt};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// What a receive came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer sends nothing more.
    End,
    /// Nothing is there now.
    Nothing,
    /// The connection is broken.
    Broken(Errno),
}

/// Sets up a fresh connection: small segments go at once, the kernel's buffers have a bound, and a peer that has
/// lost its power or its cable is noticed.
///
/// # Errors
/// Those of setsockopt: the peer may be gone already.
pub fn set_up(socket: &impl AsFd) -> nix::Result<()> {
    setsockopt(socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
    setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    setsockopt(socket, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_MS_MAX)
}

/// Receives what is there into `buffer`, which must not be empty.
pub fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> Received {
    debug_assert!(!buffer.is_empty());
    loop {
        return match socket::recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Received::End,
            Ok(bytes) => Received::Bytes(bytes),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => Received::Nothing,
            Err(errno) => Received::Broken(errno),
        };
    }
}

/// Sends as much of `bytes` as the socket takes at once. The caller makes sure that it is open.
///
/// # Errors
/// `EAGAIN` when it takes nothing now; others when the connection is broken.
pub fn send(socket: RawFd, bytes: &[u8]) -> nix::Result<usize> {
    loop {
        let sent = socket::send(socket, bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        if sent != Err(Errno::EINTR) {
            return sent;
        }
    }
}

/// Says that nothing more will be sent. An error means that the peer is gone, which the next receive tells too.
pub fn end_sending(socket: &impl AsRawFd) {
    let _ = socket::shutdown(socket.as_raw_fd(), Shutdown::Write);
}

/// Lets the kernel take some more of what is to be sent, for one that did not read and is about to be closed.
pub fn widen(socket: &impl AsFd) {
    // It is a favour: without it the client just gets less.
    let _ = setsockopt(socket, sockopt::SndBuf, &(4 * SOCKET_BUFFER_BYTES));
}
