//! Sends what an outbox holds, and never waits for the client. The caller holds the outbox's lock; `flush` releases
//! the lock during the system call. [`flush_or_await`] also waits for a send of another thread.

use crate::clock;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::{FlushStatus, Sent};
#[cfg(not(loom))]
use crate::hub::egress::send_waits::SendWaits;
use crate::hub::egress::shared_outbox::LockedOutbox;
#[cfg(not(loom))]
use crate::limits::SEND_BYTES_MAX;
use crate::limits::SENDS_PER_POLL_MAX;
#[cfg(not(loom))]
use crate::net::socket;
#[cfg(not(loom))]
use heapless::Vec;
use heapless::VecView;
use nix::errno::Errno;
use std::os::fd::RawFd;

/// The buffer of one send. It is in the frame of `flush`, not in that of the worker: a thread that has never sent has
/// no page for it.
#[cfg(not(loom))]
type Chunk = Vec<u8, SEND_BYTES_MAX>;

/// Sends until the outbox is empty, its socket is full or broken, or another thread is sending. After
/// [`SENDS_PER_POLL_MAX`] system calls it stops and returns [`FlushStatus::Again`].
#[cfg(not(loom))]
#[inline(never)] // The chunk would be in the caller's frame.
pub fn flush(outbox: &mut LockedOutbox<'_>) -> FlushStatus {
    flush_by(socket::send, outbox, &mut Chunk::new())
}

/// As [`flush`], with `call` in place of the system call, for models of sockets, and with the caller's buffer.
pub fn flush_by(
    call: impl Fn(RawFd, &[u8]) -> nix::Result<usize>,
    outbox: &mut LockedOutbox<'_>,
    chunk: &mut VecView<u8>,
) -> FlushStatus {
    for _ in 0..SENDS_PER_POLL_MAX {
        let Some(socket) = outbox.begin_send(chunk) else { return FlushStatus::Nothing };
        match outbox
            .send(|| outcome(call(socket, chunk)), |outbox, sent| outbox.end_send(sent, clock::now_ns))
        {
            FlushStatus::Again => {}
            next => return next,
        }
    }
    FlushStatus::Again
}

/// As [`flush`], for a caller that loses bytes if it cannot send now: if another thread is sending and `is_enough` does
/// not hold, this waits until that send has ended, as far as `waits` permits, and flushes again. It does not wait for a
/// full socket.
#[cfg(not(loom))]
pub fn flush_or_await(
    is_enough: impl Fn(&Outbox) -> bool,
    waits: &mut SendWaits,
    outbox: &mut LockedOutbox<'_>,
) -> FlushStatus {
    flush_or_await_by(flush, is_enough, |outbox| waits.await_send(outbox), outbox)
}

/// As [`flush_or_await`], but flushes by `flush_once`, and waits by `await_send`, which returns false if it must not
/// wait: for models of sockets.
pub fn flush_or_await_by(
    flush_once: impl Fn(&mut LockedOutbox<'_>) -> FlushStatus,
    is_enough: impl Fn(&Outbox) -> bool,
    mut await_send: impl FnMut(&mut LockedOutbox<'_>) -> bool,
    outbox: &mut LockedOutbox<'_>,
) -> FlushStatus {
    loop {
        let status = flush_once(outbox);
        let must_wait =
            status == FlushStatus::Nothing && !is_enough(outbox) && outbox.sending.is_in_progress();
        if !must_wait || !await_send(outbox) {
            return status;
        }
    }
}

/// Aborts an outbox. Before that, `say` may put in a last line. If it returns true, this makes one more send, of the
/// first bytes that the outbox holds.
#[cfg(not(loom))]
#[inline(never)] // The chunk would be in the caller's frame.
pub fn flush_last(outbox: &mut LockedOutbox<'_>, say: impl FnOnce(&mut Outbox) -> bool) {
    let mut chunk = Chunk::new();
    let last = if say(outbox) { outbox.begin_send(&mut chunk) } else { None };
    outbox.abort();
    if let Some(socket) = last {
        outbox.send(
            || outcome(socket::send(socket, &chunk)),
            |outbox, sent| outbox.end_send(sent, clock::now_ns),
        );
    }
}

fn outcome(sent: nix::Result<usize>) -> Sent {
    match sent {
        Ok(bytes) => Sent::Bytes(bytes),
        Err(Errno::EAGAIN) => Sent::Full,
        Err(errno) => Sent::Broken(errno),
    }
}
