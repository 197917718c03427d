//! Sends what an outbox holds, and never waits for the client. The caller holds the outbox's lock; `flush` releases
//! the lock during the system call.

use crate::clock;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::{FlushStatus, Sent};
use crate::limits::{SEND_BYTES_MAX, SENDS_PER_POLL_MAX};
#[cfg(not(loom))]
use crate::net::socket;
use crate::sync::MutexGuard;
use heapless::{Vec, VecView};
use nix::errno::Errno;
use std::os::fd::RawFd;

/// The buffer of one send. It is in the frame of `flush`, not in that of the worker: a thread that has never sent has
/// no page for it.
type Chunk = Vec<u8, SEND_BYTES_MAX>;

/// Sends until the outbox is empty, its socket is full or broken, or another thread is sending. After
/// [`SENDS_PER_POLL_MAX`] system calls it stops and returns [`FlushStatus::Again`].
#[cfg(not(loom))]
#[inline(never)] // The chunk would be in the caller's frame.
pub fn flush(outbox: &mut MutexGuard<'_, Outbox>) -> FlushStatus {
    flush_by(socket::send, outbox, &mut Chunk::new())
}

/// As [`flush`], with `call` in place of the system call, for models of sockets, and with the caller's buffer.
pub fn flush_by(
    call: impl Fn(RawFd, &[u8]) -> nix::Result<usize>,
    outbox: &mut MutexGuard<'_, Outbox>,
    chunk: &mut VecView<u8>,
) -> FlushStatus {
    for _ in 0..SENDS_PER_POLL_MAX {
        let Some(socket) = outbox.begin_send(chunk) else { return FlushStatus::Nothing };
        let sent = MutexGuard::unlocked(outbox, || outcome(call(socket, chunk)));
        match outbox.end_send(sent, clock::now_ns) {
            FlushStatus::Again => {}
            next => return next,
        }
    }
    FlushStatus::Again
}

/// Aborts an outbox. Before that, `say` may put in a last line. If it returns true, this makes one more send, of the
/// first bytes that the outbox holds.
#[cfg(not(loom))]
#[inline(never)] // The chunk would be in the caller's frame.
pub fn flush_last(outbox: &mut MutexGuard<'_, Outbox>, say: impl FnOnce(&mut Outbox) -> bool) {
    let mut chunk = Chunk::new();
    let last = if say(outbox) { outbox.begin_send(&mut chunk) } else { None };
    outbox.abort();
    if let Some(socket) = last {
        let sent = MutexGuard::unlocked(outbox, || outcome(socket::send(socket, &chunk)));
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
