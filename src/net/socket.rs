//! One accepted connection: how it is set up, and the two calls that move bytes.

use crate::limits::{
    KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES, SOCKET_BUFFER_BYTES, UNACKNOWLEDGED_MS_MAX,
    WRITE_MARGIN_MS,
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
/// lost its power or its cable is noticed: in 90 s, unless `write_timeout_ms`, the time that a client may not read, is longer than the
/// usual one, or none.
///
/// # Errors
/// Those of setsockopt: the peer may be gone already.
pub fn set_up(socket: &impl AsFd, write_timeout_ms: Option<u32>) -> nix::Result<()> {
    setsockopt(socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES)?;
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
    setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    // 0 is the system's own.
    let unacknowledged_ms = write_timeout_ms.map_or(0, |ms| UNACKNOWLEDGED_MS_MAX.max(ms + WRITE_MARGIN_MS));
    setsockopt(socket, sockopt::TcpUserTimeout, &unacknowledged_ms)
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_watched_as_the_limits_say() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        for (write_timeout_ms, expected_ms) in
            [(Some(30_000), UNACKNOWLEDGED_MS_MAX), (Some(3_600_000), 3_600_000 + WRITE_MARGIN_MS), (None, 0)]
        {
            set_up(&socket, write_timeout_ms).unwrap();
            assert_eq!(getsockopt(&socket, sockopt::TcpUserTimeout), Ok(expected_ms));
        }
        assert_eq!(getsockopt(&socket, sockopt::KeepAlive), Ok(true));
        assert_eq!(getsockopt(&socket, sockopt::TcpKeepIdle), Ok(KEEPALIVE_IDLE_S));
        assert_eq!(getsockopt(&socket, sockopt::TcpKeepInterval), Ok(KEEPALIVE_INTERVAL_S));
        assert_eq!(getsockopt(&socket, sockopt::TcpKeepCount), Ok(KEEPALIVE_PROBES));
        assert_eq!(getsockopt(&socket, sockopt::TcpNoDelay), Ok(true));
    }
}
