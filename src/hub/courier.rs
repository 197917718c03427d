//! Sends what is in an outbox, without ever waiting for the client. The outbox comes locked, is unlocked for the time of the
//! system call, and is locked again afterwards.

use super::outbox::{Next, Outbox, Sent};
use crate::clock;
use crate::limits::{SEND_BYTES_MAX, SENDS_PER_TURN_MAX};
#[cfg(not(loom))]
use crate::net::socket;
use crate::sync::MutexGuard;
use nix::errno::Errno;
use std::os::fd::RawFd;

/// Where bytes are copied before they are sent; its holder has one on its stack.
pub type Chunk = [u8; SEND_BYTES_MAX];

/// Sends from an outbox until it is empty, its socket full or broken, somebody else sending, or [`SENDS_PER_TURN_MAX`]
/// reached: only then [`Next::Again`].
#[cfg(not(loom))]
pub fn send(outbox: &mut MutexGuard<'_, Outbox>, chunk: &mut Chunk) -> Next {
    send_by(socket::send, outbox, chunk)
}

/// As [`send`], by that call in place of the system's: for models of sockets.
pub fn send_by(
    call: impl Fn(RawFd, &[u8]) -> nix::Result<usize>,
    outbox: &mut MutexGuard<'_, Outbox>,
    chunk: &mut [u8],
) -> Next {
    for _ in 0..SENDS_PER_TURN_MAX {
        let Some((socket, len)) = outbox.begin_send(chunk) else { return Next::Nothing };
        let sent = MutexGuard::unlocked(outbox, || outcome(call(socket, &chunk[..len])));
        match outbox.end_send(sent, clock::now_ns) {
            Next::Again => {}
            next => return next,
        }
    }
    Next::Again
}

/// Cuts an outbox, and sends what `say` puts in before, if it says that it did. Nothing can come after that.
#[cfg(not(loom))]
pub fn send_last(
    outbox: &mut MutexGuard<'_, Outbox>,
    chunk: &mut Chunk,
    say: impl FnOnce(&mut Outbox) -> bool,
) {
    let last = if say(outbox) { outbox.begin_send(chunk) } else { None };
    outbox.cut();
    if let Some((socket, len)) = last {
        let sent = MutexGuard::unlocked(outbox, || outcome(socket::send(socket, &chunk[..len])));
        outbox.end_send(sent, clock::now_ns);
    }
}

fn outcome(sent: nix::Result<usize>) -> Sent {
    match sent {
        Ok(bytes) => Sent::Bytes(bytes),
        Err(Errno::EAGAIN) => Sent::Full,
        Err(errno) => Sent::Broken(errno),
    }
}
