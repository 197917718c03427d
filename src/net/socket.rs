//! One accepted connection: how it is set up, and the two calls that move bytes.

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

/// What a receive came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer sends nothing more.
    End,
    /// Nothing is there now.
    Nothing,
    /// The connection is broken; by what, unless somebody was told that before.
    Broken(Option<Errno>),
}

/// What of a connection is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// Our end was told to the peer, and its system has not acknowledged that yet, or something before it.
    pub is_ending: bool,
    /// The peer's system has not answered several times in a row: it is off, or cannot be reached.
    pub is_gone: bool,
}

/// Sets up a fresh connection: small segments go at once, the kernel's buffers have a bound, and a peer that has
/// lost its power or its cable is noticed: in 90 s, unless `write_timeout_ms`, the time that a client may not read, is longer than the
/// usual one, or none.
///
/// # Errors
/// Those of setsockopt: the peer may be gone already.
pub fn set_up(socket: &impl AsFd, write_timeout_ms: Option<u32>) -> nix::Result<()> {
    optional("TCP_NODELAY", setsockopt(socket, sockopt::TcpNoDelay, &true))?;
    // Urgent data are bytes like others, as RFC 6093 asks for: the last of them, which may be the LF of a line, is not left out.
    optional("SO_OOBINLINE", setsockopt(socket, sockopt::OobInline, &true))?;
    optional("SO_SNDBUF", setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES))?;
    optional("SO_KEEPALIVE", setsockopt(socket, sockopt::KeepAlive, &true))?;
    optional("TCP_KEEPIDLE", setsockopt(socket, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S))?;
    optional("TCP_KEEPINTVL", setsockopt(socket, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S))?;
    optional("TCP_KEEPCNT", setsockopt(socket, sockopt::TcpKeepCount, &KEEPALIVE_PROBES))?;
    // 0 is the system's own.
    let longest_ms = |ms: u32| ms.saturating_add(ms / WRITE_CHECKS as u32).saturating_add(WRITE_MARGIN_MS);
    let unacknowledged_ms = write_timeout_ms.map_or(0, |ms| UNACKNOWLEDGED_MS_MAX.max(longest_ms(ms)));
    optional("TCP_USER_TIMEOUT", setsockopt(socket, sockopt::TcpUserTimeout, &unacknowledged_ms))
}

/// Whether it was told that this system lacks an option.
static LACK_IS_LOGGED: AtomicBool = AtomicBool::new(false);

/// What setting an option came to. A system that does not have it is no reason to be without the socket: that is told once, for all
/// of them, and the socket is used without it.
///
/// # Errors
/// Any other than that the option is not supported.
pub fn optional(name: &str, set: nix::Result<()>) -> nix::Result<()> {
    match set {
        Err(errno @ (Errno::ENOPROTOOPT | Errno::EOPNOTSUPP | Errno::ENOSYS)) => {
            if !LACK_IS_LOGGED.swap(true, Ordering::Relaxed) {
                log::warn!(
                    "this system does not let sockets have {name}: {}; a peer that is gone may be noticed late, and the kernel may \
                     hold more for it",
                    errno.desc()
                );
            }
            Ok(())
        }
        set => set,
    }
}

/// Receives what is there into `buffer`, which must not be empty. Less than all of it may come where a peer has sent urgent data: no
/// receive goes past the mark at their end.
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

/// What a receive that finds nothing more means on a connection that is over in both directions. The system reports a break once; a later
/// call finds what looks as if the peer had ended its side. If the peer had ended it before the break, no receive gets the error, and it
/// is still there to be asked for, unless a send got it.
fn ending(socket: &impl AsFd) -> Received {
    match socket::getsockopt(socket, sockopt::SocketError) {
        Ok(0) | Err(_) => Received::Broken(None),
        Ok(_) => Received::End,
    }
}

/// Whether the connection is over in both directions: it broke, or both sides have ended it.
fn is_over(socket: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    // An interrupted call leaves no answer: then the connection is taken for what it looks like.
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
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

/// How many bytes have come that are not received yet.
pub fn unreceived(socket: &impl AsFd) -> usize {
    rustix::io::ioctl_fionread(socket).map_or(0, |bytes| bytes as usize)
}

sockopt_impl!(
    /// The first bytes of what the system knows of a connection: its state, one more, retransmissions and probes without an answer.
    InfoHead,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u8; 4]
);

/// What is under way on a connection; none: the system does not say.
pub fn transmission(socket: &impl AsFd) -> Option<Transmission> {
    // From the kernel's net/tcp_states.h: states in which our end is not acknowledged, and that of a connection that was reset.
    const FIN_WAIT_1: u8 = 4;
    const CLOSE: u8 = 7;
    const LAST_ACK: u8 = 9;
    const CLOSING: u8 = 11;
    let [state, _, retransmissions, probes] = socket::getsockopt(socket, InfoHead).ok()?;
    Some(Transmission {
        is_ending: matches!(state, FIN_WAIT_1 | LAST_ACK | CLOSING),
        is_gone: state == CLOSE || retransmissions.max(probes) >= UNANSWERED_MIN,
    })
}

/// Says that nothing more will be sent. An error means that the peer is gone, which the next receive tells too.
pub fn end_sending(socket: &impl AsRawFd) {
    let _ = socket::shutdown(socket.as_raw_fd(), Shutdown::Write);
}

/// How much of what was sent the peer has not taken yet, in bytes: SIOCOUTQ of tcp(7). None if the kernel does not tell.
pub fn untaken(socket: &impl AsFd) -> Option<usize> {
    // SAFETY: this request writes one int, whatever the descriptor is.
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }.ok()?;
    usize::try_from(bytes).ok()
}

/// The same number as the request of terminals that asks the same.
const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;

sockopt_impl!(
    /// Which of a socket's buffers keep their size: true, the send buffer alone. Since Linux 5.14.
    BoundsSendingOnly,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_BUF_LOCK,
    bool
);

/// For a client that has to read before more of it is received: the kernel is to take all that it has let it send, and a little more.
///
/// It lets a client send as much as fits if it comes in large pieces. In small ones it takes more room, and what is too much is dropped.
/// Then Linux, since 6.17, drops all that comes from that client until something is received, for it ends beyond the window (commit
/// 9ca48d616ed7, "tcp: do not accept packets beyond window"), even the news that it has read: and nothing is received before that is
/// heard. So both would wait for ever. Before 5.14 the buffer only has the little more, and nothing is needed.
pub fn raise_receive_buffer(socket: &impl AsFd) {
    if setsockopt(socket, sockopt::RcvBuf, &RAISED_RECEIVE_BUFFER_BYTES).is_ok() {
        let _ = setsockopt(socket, BoundsSendingOnly, &true);
    }
}

/// The end of that: what comes has its usual bound again.
pub fn restore_receive_buffer(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES);
}

/// Lets the kernel take some more bytes to send, for a client that did not read and is about to be closed.
pub fn raise_send_buffer(socket: &impl AsFd) {
    // It is a favour: without it the client just gets less.
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
    fn what_the_peer_has_not_taken_is_known_and_gets_less_when_it_reads() {
        let (server, mut client) = pair();
        assert_eq!(untaken(&server), Some(0));
        while send(server.as_raw_fd(), &[b'x'; 4096]).is_ok() {}
        let all = untaken(&server).unwrap();
        assert!(all > 0);
        let mut some = vec![0; 4096];
        // The kernel of the peer takes much before its program reads.
        while untaken(&server).unwrap() >= all {
            client.read_exact(&mut some).unwrap();
        }
        assert_eq!(untaken(&std::fs::File::open("/dev/null").unwrap()), None);
    }

    #[test]
    fn what_comes_has_a_wider_bound_for_as_long_as_it_is_overdrawn() {
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
    fn one_who_ends_its_side_has_said_all() {
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
    fn an_end_before_a_reset_is_an_end_whoever_was_told_of_the_reset_first() {
        for sender_is_told_first in [false, true] {
            let (server, mut client) = pair();
            client.write_all(b"last words").unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            while transmission(&client).unwrap().is_ending {
                std::thread::yield_now();
            }
            drop(client);
            // The system of a client that has closed answers that with a reset.
            assert_eq!(send(server.as_raw_fd(), b"ACK 1 1\n"), Ok(8));
            wait_for(&server, PollFlags::POLLHUP);
            if sender_is_told_first {
                assert_eq!(send(server.as_raw_fd(), b"ACK 2 2\n"), Err(Errno::EPIPE));
            }
            assert_eq!(receive(&server, &mut [0; 64]), Received::Bytes(10), "what has come is there");
            let expected = if sender_is_told_first { Received::Broken(None) } else { Received::End };
            assert_eq!(receive(&server, &mut [0; 64]), expected);
        }
    }

    #[test]
    fn urgent_data_are_received_as_others_and_split_what_is_received() {
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
    fn a_connection_tells_whether_its_end_is_acknowledged() {
        let (server, client) = pair();
        let of_open = transmission(&server).unwrap();
        assert_eq!(of_open, Transmission { is_ending: false, is_gone: false });
        end_sending(&server);
        wait_for(&client, PollFlags::POLLIN);
        while transmission(&server).unwrap().is_ending {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_reset_is_no_end_whoever_was_told_of_it_first() {
        for sender_is_told_first in [false, true] {
            let (server, mut client) = pair();
            client.write_all(b"half a li").unwrap();
            setsockopt(&client, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
            drop(client);
            wait_for(&server, PollFlags::POLLHUP);
            if sender_is_told_first {
                assert_eq!(send(server.as_raw_fd(), b"ACK 1 1\n"), Err(Errno::ECONNRESET));
            }
            let told = if sender_is_told_first { None } else { Some(Errno::ECONNRESET) };
            let mut received = receive(&server, &mut [0; 64]);
            if received == Received::Bytes(9) {
                received = receive(&server, &mut [0; 64]);
            }
            assert_eq!(received, Received::Broken(told));
            // It stays so, and is told once.
            assert_eq!(receive(&server, &mut [0; 64]), Received::Broken(None));
        }
    }

    #[test]
    fn a_connection_is_watched_as_the_limits_say() {
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
