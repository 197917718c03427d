//! The socket of one accepted connection: its options, the two calls that move bytes, and what the kernel knows about
//! it.

#![expect(unsafe_code, reason = "no crate has this request to the kernel")]

use crate::limits::{
    KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES, RAISED_RECEIVE_BUFFER_BYTES,
    SOCKET_BUFFER_BYTES, UNACKNOWLEDGED_MS_MAX, UNANSWERED_MIN, WRITE_CHECKS, WRITE_MARGIN_MS,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, MsgFlags, Shutdown, setsockopt, sockopt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use rustix::ioctl::{Getter, Opcode, ioctl};
use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The result of a receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// That many bytes, at least one.
    Bytes(usize),
    /// The peer has closed its sending side.
    End,
    /// Nothing has arrived.
    Nothing,
    /// The connection is broken, with the error; none: another call has already got the error.
    Broken(Option<Errno>),
}

/// What the kernel knows about the transmission to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// Neither side has closed its sending side.
    pub is_established: bool,
    /// The server has closed its sending side, and the peer's system has not acknowledged that, or something sent
    /// before it.
    pub is_ending: bool,
    /// The connection was reset, or the peer's system has failed to answer several times in a row: it is off, or
    /// cannot be reached.
    pub is_gone: bool,
}

/// Sets the options of a new connection. Small segments are sent at once, the kernel's buffers have a bound, and the
/// server detects a peer that has lost its power or its cable. That takes at most 90 s; it takes longer if
/// `write_timeout_ms`, the time for which a client may leave its bytes unread, is longer than the default, or none.
///
/// # Errors
/// Errors of setsockopt(2): the peer may be gone already.
pub fn set_up(socket: &impl AsFd, write_timeout_ms: Option<u32>) -> nix::Result<()> {
    optional("TCP_NODELAY", setsockopt(socket, sockopt::TcpNoDelay, &true))?;
    // Urgent data are received in line, as RFC 6093 requires. Otherwise their last byte, which may be the LF of a
    // line, would be left out.
    optional("SO_OOBINLINE", setsockopt(socket, sockopt::OobInline, &true))?;
    optional("SO_SNDBUF", setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES))?;
    optional("SO_KEEPALIVE", setsockopt(socket, sockopt::KeepAlive, &true))?;
    optional("TCP_KEEPIDLE", setsockopt(socket, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S))?;
    optional("TCP_KEEPINTVL", setsockopt(socket, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S))?;
    optional("TCP_KEEPCNT", setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES))?;
    // 0 selects the system's default.
    let longest_ms = |ms: u32| ms.saturating_add(ms / WRITE_CHECKS as u32).saturating_add(WRITE_MARGIN_MS);
    let unacknowledged_ms = write_timeout_ms.map_or(0, |ms| UNACKNOWLEDGED_MS_MAX.max(longest_ms(ms)));
    optional("TCP_USER_TIMEOUT", setsockopt(socket, sockopt::TcpUserTimeout, &unacknowledged_ms))
}

/// Whether the log has said that this system lacks an option.
static LACK_IS_LOGGED: AtomicBool = AtomicBool::new(false);

/// Ignores the error of `set` if the system does not support the option: the socket is used without it. The first such
/// option is logged, once for all of them.
///
/// # Errors
/// Any other error of `set`.
pub fn optional(name: &str, set: nix::Result<()>) -> nix::Result<()> {
    match set {
        Err(errno @ (Errno::ENOPROTOOPT | Errno::EOPNOTSUPP | Errno::ENOSYS)) => {
            if !LACK_IS_LOGGED.swap(true, Ordering::Relaxed) {
                log::warn!(
                    "this system does not let sockets have {name}: {}; a peer that is gone may be noticed late, and \
                     the kernel may hold more for it",
                    errno.desc()
                );
            }
            Ok(())
        }
        set => set,
    }
}

/// Receives what has arrived into `buffer`, which must not be empty. If a peer has sent urgent data, a receive may
/// return only a part: it stops at the mark of that data.
pub fn receive(socket: &(impl AsFd + AsRawFd), buffer: &mut [u8]) -> Received {
    debug_assert!(!buffer.is_empty());
    loop {
        return match socket::recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) if is_over(socket) => ending(socket),
            Ok(0) => Received::End,
            Ok(bytes) => Received::Bytes(bytes),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => Received::Nothing,
            Err(errno) => Received::Broken(Some(errno)),
        };
    }
}

/// The result of a receive that returns 0 on a connection that is over in both directions. The kernel reports the
/// error of a break only once; a later receive returns 0, as if the peer had closed its side. If the peer had really
/// closed its side before the break, no receive gets the error. Then the error is still in `SO_ERROR`, unless a send
/// got it.
fn ending(socket: &impl AsFd) -> Received {
    match socket::getsockopt(socket, sockopt::SocketError) {
        Ok(0) | Err(_) => Received::Broken(None),
        Ok(_) => Received::End,
    }
}

/// Whether the connection is over in both directions: it is broken, or both sides have closed it.
fn is_over(socket: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    // An interrupted call gives no result: then the connection counts as not over.
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// Sends as much of `bytes` as the socket accepts at once. The caller makes sure that the socket is open.
///
/// # Errors
/// `EAGAIN` if the socket accepts nothing now; any other error if the connection is broken.
pub fn send(socket: RawFd, bytes: &[u8]) -> nix::Result<usize> {
    loop {
        let sent = socket::send(socket, bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        if sent != Err(Errno::EINTR) {
            return sent;
        }
    }
}

/// How many bytes have arrived that are not received yet.
pub fn unreceived(socket: &impl AsFd) -> usize {
    rustix::io::ioctl_fionread(socket).map_or(0, |bytes| bytes as usize)
}

sockopt_impl!(
    /// The first bytes of `tcp_info`: the state, one more, and how many retransmissions and probes have no answer.
    InfoHead,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u8; 4]
);

/// The transmission to a peer; none: the system does not report it.
pub fn transmission(socket: &impl AsFd) -> Option<Transmission> {
    // From the kernel's net/tcp_states.h: the states in which neither side has ended, those in which our FIN is not
    // acknowledged, and the state after a reset.
    const ESTABLISHED: u8 = 1;
    const FIN_WAIT_1: u8 = 4;
    const CLOSE: u8 = 7;
    const LAST_ACK: u8 = 9;
    const CLOSING: u8 = 11;
    let [state, _, retransmissions, probes] = socket::getsockopt(socket, InfoHead).ok()?;
    Some(Transmission {
        is_established: state == ESTABLISHED,
        is_ending: matches!(state, FIN_WAIT_1 | LAST_ACK | CLOSING),
        is_gone: state == CLOSE || retransmissions.max(probes) >= UNANSWERED_MIN,
    })
}

/// Closes the sending side. An error means that the peer is gone; the next receive reports that, too.
pub fn end_sending(socket: &impl AsRawFd) {
    let _ = socket::shutdown(socket.as_raw_fd(), Shutdown::Write);
}

/// How many sent bytes the peer's system has not acknowledged: SIOCOUTQ of tcp(7). None: the kernel does not report
/// it.
pub fn untaken(socket: &impl AsFd) -> Option<usize> {
    // SAFETY: this request writes one int, whatever the descriptor is.
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }.ok()?;
    usize::try_from(bytes).ok()
}

/// It has the same number as the equivalent request for terminals.
const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;

sockopt_impl!(
    /// Which buffers of a socket have a fixed size; true: only the send buffer. Since Linux 5.14.
    BoundsSendingOnly,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_BUF_LOCK,
    bool
);

/// Raises the receive buffer of a client from which the server receives nothing until the client reads: the kernel
/// then accepts all that its window has let the client send, and a little more.
///
/// The window promises the room that the data take in large segments. Small segments take more, and the kernel drops
/// what does not fit. Then Linux, since 6.17, drops everything from that client until the server receives something,
/// because all of it ends beyond the window (commit 9ca48d616ed7, "tcp: do not accept packets beyond window"). It
/// drops even the acknowledgement that the client has read, and before that arrives the server receives nothing. So
/// both would wait for ever. Before Linux 5.14 this only makes the buffer larger by a quarter; nothing else is needed
/// there.
pub fn raise_receive_buffer(socket: &impl AsFd) {
    if setsockopt(socket, sockopt::RcvBuf, &RAISED_RECEIVE_BUFFER_BYTES).is_ok() {
        let _ = setsockopt(socket, BoundsSendingOnly, &true);
    }
}

/// Restores the usual receive buffer after [`raise_receive_buffer`].
pub fn restore_receive_buffer(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES);
}

/// Raises the send buffer, for a client that did not read and whose connection is about to be closed.
pub fn raise_send_buffer(socket: &impl AsFd) {
    // If this fails, the client gets fewer bytes.
    let _ = setsockopt(socket, sockopt::SndBuf, &(4 * SOCKET_BUFFER_BYTES));
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::linger;
    use nix::sys::socket::getsockopt;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A connection: the server's side, and the client's.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn untaken_bytes_decrease_when_the_peer_reads() {
        let (server, mut client) = pair();
        assert_eq!(untaken(&server), Some(0));
        while send(server.as_raw_fd(), &[b'x'; 4096]).is_ok() {}
        let all = untaken(&server).unwrap();
        assert!(all > 0);
        let mut some = vec![0; 4096];
        // The peer's kernel accepts much before its program reads.
        while untaken(&server).unwrap() >= all {
            client.read_exact(&mut some).unwrap();
        }
        assert_eq!(untaken(&std::fs::File::open("/dev/null").unwrap()), None);
    }

    #[test]
    fn receive_buffer_is_larger_until_it_is_restored() {
        let (server, _client) = pair();
        restore_receive_buffer(&server);
        let usual = getsockopt(&server, sockopt::RcvBuf).unwrap();
        raise_receive_buffer(&server);
        assert_eq!(getsockopt(&server, sockopt::RcvBuf).unwrap(), usual / 4 * 5);
        restore_receive_buffer(&server);
        assert_eq!(getsockopt(&server, sockopt::RcvBuf).unwrap(), usual);
    }

    fn wait_for(socket: &TcpStream, wanted: PollFlags) {
        let mut fds = [PollFd::new(socket.as_fd(), wanted)];
        while !fds[0].revents().is_some_and(|events| events.contains(wanted)) {
            poll(&mut fds, PollTimeout::NONE).unwrap();
        }
    }

    #[test]
    fn peer_that_closes_its_side_can_still_be_answered() {
        let (server, mut client) = pair();
        client.write_all(b"last words").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for(&server, PollFlags::POLLIN);
        assert_eq!(receive(&server, &mut [0; 64]), Received::Bytes(10));
        wait_for(&server, PollFlags::POLLIN);
        assert_eq!(receive(&server, &mut [0; 64]), Received::End);
        assert_eq!(send(server.as_raw_fd(), b"still answered"), Ok(14));
        assert_eq!(receive(&server, &mut [0; 64]), Received::End);
    }

    #[test]
    fn end_before_a_reset_is_an_end_even_if_a_send_got_the_error() {
        for send_gets_the_error in [false, true] {
            let (server, mut client) = pair();
            client.write_all(b"last words").unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            while transmission(&client).unwrap().is_ending {
                std::thread::yield_now();
            }
            drop(client);
            // The system of a client that has closed its socket answers this with a reset.
            assert_eq!(send(server.as_raw_fd(), b"ACK 1 1\n"), Ok(8));
            wait_for(&server, PollFlags::POLLHUP);
            if send_gets_the_error {
                assert_eq!(send(server.as_raw_fd(), b"ACK 2 2\n"), Err(Errno::EPIPE));
            }
            assert_eq!(
                receive(&server, &mut [0; 64]),
                Received::Bytes(10),
                "what has arrived is still there"
            );
            let expected = if send_gets_the_error { Received::Broken(None) } else { Received::End };
            assert_eq!(receive(&server, &mut [0; 64]), expected);
        }
    }

    #[test]
    fn urgent_data_are_received_in_line_and_split_receives() {
        let (server, client) = pair();
        set_up(&server, None).unwrap();
        let send_urgent = |bytes: &[u8]| socket::send(client.as_raw_fd(), bytes, MsgFlags::MSG_OOB).unwrap();
        assert_eq!(send_urgent(b"smoke\n") + send(client.as_raw_fd(), b"more\n").unwrap(), 11);
        wait_for(&server, PollFlags::POLLPRI);
        let (mut all, mut buffer) = (Vec::new(), [0; 64]);
        while all.len() < 11 {
            wait_for(&server, PollFlags::POLLIN);
            let Received::Bytes(bytes) = receive(&server, &mut buffer) else { panic!("nothing came") };
            all.extend_from_slice(&buffer[..bytes]);
        }
        assert_eq!(all, b"smoke\nmore\n");
    }

    #[test]
    fn transmission_says_whether_the_end_is_acknowledged() {
        let (server, client) = pair();
        let of_open = transmission(&server).unwrap();
        assert_eq!(of_open, Transmission { is_established: true, is_ending: false, is_gone: false });
        end_sending(&server);
        assert!(!transmission(&server).unwrap().is_established);
        wait_for(&client, PollFlags::POLLIN);
        while transmission(&server).unwrap().is_ending {
            std::thread::yield_now();
        }
    }

    #[test]
    fn reset_is_no_end_even_if_a_send_got_the_error() {
        for send_gets_the_error in [false, true] {
            let (server, mut client) = pair();
            client.write_all(b"half a li").unwrap();
            setsockopt(&client, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
            drop(client);
            wait_for(&server, PollFlags::POLLHUP);
            if send_gets_the_error {
                assert_eq!(send(server.as_raw_fd(), b"ACK 1 1\n"), Err(Errno::ECONNRESET));
            }
            let expected = if send_gets_the_error { None } else { Some(Errno::ECONNRESET) };
            let mut received = receive(&server, &mut [0; 64]);
            if received == Received::Bytes(9) {
                received = receive(&server, &mut [0; 64]);
            }
            assert_eq!(received, Received::Broken(expected));
            // It stays broken, and the error is reported once.
            assert_eq!(receive(&server, &mut [0; 64]), Received::Broken(None));
        }
    }

    #[test]
    fn options_follow_the_limits() {
        let (socket, _peer) = pair();
        for (write_timeout_ms, expected_ms) in
            [(Some(30_000), UNACKNOWLEDGED_MS_MAX), (Some(3_600_000), 4_050_000 + WRITE_MARGIN_MS), (None, 0)]
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
