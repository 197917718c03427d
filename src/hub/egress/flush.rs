//! Sends what an outbox holds, and never waits for the client. The caller holds the outbox's lock; `flush` releases
//! the lock during the system call. [`flush_until`] also waits for a send of another thread.

use crate::clock;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::{FlushStatus, Sent};
use crate::hub::egress::send_wait::SendWait;
#[cfg(not(loom))]
use crate::limits::SEND_BYTES_MAX;
use crate::limits::SENDS_PER_POLL_MAX;
#[cfg(not(loom))]
use crate::net::socket;
use crate::sync::MonitorGuard;
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
pub fn flush(outbox: &mut MonitorGuard<'_, Outbox>) -> FlushStatus {
    flush_by(socket::send, outbox, &mut Chunk::new())
}

/// As [`flush`], with `call` in place of the system call, for models of sockets, and with the caller's buffer.
pub fn flush_by(
    call: impl Fn(RawFd, &[u8]) -> nix::Result<usize>,
    outbox: &mut MonitorGuard<'_, Outbox>,
    chunk: &mut VecView<u8>,
) -> FlushStatus {
    for _ in 0..SENDS_PER_POLL_MAX {
        let Some(socket) = outbox.begin_send(chunk) else { return FlushStatus::Nothing };
        let sent = MonitorGuard::unlocked(outbox, || outcome(call(socket, chunk)));
        let next = outbox.end_send(sent, clock::now_ns);
        MonitorGuard::notify_all(outbox);
        if next != FlushStatus::Again {
            return next;
        }
    }
    FlushStatus::Again
}

/// As [`flush`], for a caller that would drop what is not sent. If another thread is sending, this waits until that
/// send has ended or `is_enough` holds, and tries again; it gives up when `wait` is over.
#[cfg(not(loom))]
pub fn flush_until(
    is_enough: impl Fn(&Outbox) -> bool,
    outbox: &mut MonitorGuard<'_, Outbox>,
    wait: &mut SendWait,
) -> FlushStatus {
    flush_until_by(flush, is_enough, outbox, wait)
}

/// As [`flush_until`], with `flush` in place of [`flush()`], for models of sockets.
pub fn flush_until_by(
    flush: impl Fn(&mut MonitorGuard<'_, Outbox>) -> FlushStatus,
    is_enough: impl Fn(&Outbox) -> bool,
    outbox: &mut MonitorGuard<'_, Outbox>,
    wait: &mut SendWait,
) -> FlushStatus {
    let must_wait = |outbox: &Outbox| outbox.sending.is_in_progress() && !is_enough(outbox);
    loop {
        let status = flush(outbox);
        if status != FlushStatus::Nothing || !must_wait(outbox) || wait.wait_while(outbox, must_wait) {
            return status;
        }
    }
}

/// Aborts an outbox. Before that, `say` may put in a last line. If it returns true, this makes one more send, of the
/// first bytes that the outbox holds.
#[cfg(not(loom))]
#[inline(never)] // The chunk would be in the caller's frame.
pub fn flush_last(outbox: &mut MonitorGuard<'_, Outbox>, say: impl FnOnce(&mut Outbox) -> bool) {
    let mut chunk = Chunk::new();
    let last = if say(outbox) { outbox.begin_send(&mut chunk) } else { None };
    outbox.abort();
    if let Some(socket) = last {
        let sent = MonitorGuard::unlocked(outbox, || outcome(socket::send(socket, &chunk)));
        outbox.end_send(sent, clock::now_ns);
        MonitorGuard::notify_all(outbox);
    }
}

fn outcome(sent: nix::Result<usize>) -> Sent {
    match sent {
        Ok(bytes) => Sent::Bytes(bytes),
        Err(Errno::EAGAIN) => Sent::Full,
        Err(errno) => Sent::Broken(errno),
    }
}
