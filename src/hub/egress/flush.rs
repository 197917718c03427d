//! Sends what an outbox holds, and never waits for the client. The caller holds the outbox's lock; `flush` releases
//! the lock during the system call.

use crate::clock;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::{FlushStatus, Sent};
#[cfg(not(loom))]
use crate::limits::TEXT_REPLY_BYTES_MAX;
use crate::limits::{SEND_BYTES_MAX, SENDS_PER_POLL_MAX};
#[cfg(not(loom))]
use crate::net::socket;
#[cfg(not(loom))]
use crate::protocol::handler_text::HandlerText;
#[cfg(not(loom))]
use crate::queue::Chain;
use crate::sync::MutexGuard;
#[cfg(not(loom))]
use heapless::VecView;
use nix::errno::Errno;
use std::os::fd::RawFd;

/// The bytes are copied here before they are sent. Each sending thread has its own.
pub type Chunk = [u8; SEND_BYTES_MAX];

/// Sends until the outbox is empty, its socket is full or broken, or another thread is sending. After
/// [`SENDS_PER_POLL_MAX`] system calls it stops and returns [`FlushStatus::Again`].
#[cfg(not(loom))]
pub fn flush(outbox: &mut MutexGuard<'_, Outbox>, chunk: &mut Chunk) -> FlushStatus {
    flush_by(socket::send, outbox, chunk)
}

/// As [`flush`], with `call` in place of the system call, for models of sockets.
pub fn flush_by(
    call: impl Fn(RawFd, &[u8]) -> nix::Result<usize>,
    outbox: &mut MutexGuard<'_, Outbox>,
    chunk: &mut [u8],
) -> FlushStatus {
    for _ in 0..SENDS_PER_POLL_MAX {
        let Some((socket, len)) = outbox.begin_send(chunk) else { return FlushStatus::Nothing };
        let sent = MutexGuard::unlocked(outbox, || outcome(call(socket, &chunk[..len])));
        match outbox.end_send(sent, clock::now_ns) {
            FlushStatus::Again => {}
            next => return next,
        }
    }
    FlushStatus::Again
}

/// Releases the slot of a task with a reply that contains the handler's text: `reply` also gets how many bytes there is
/// room for. If there is no room for the longest text, this flushes the outbox first: a text is cut only if the socket
/// does not accept what the outbox holds. Returns the result of that flush.
#[cfg(not(loom))]
pub fn reply_with_text(
    outbox: &mut MutexGuard<'_, Outbox>,
    task: Chain,
    text: &HandlerText,
    chunk: &mut Chunk,
    reply: impl FnOnce(&mut VecView<u8>, usize),
) -> FlushStatus {
    let lacks_room = !text.is_empty() && !outbox.has_room(TEXT_REPLY_BYTES_MAX);
    let status = if lacks_room { flush(outbox, chunk) } else { FlushStatus::Nothing };
    outbox.reply_at_length(task, TEXT_REPLY_BYTES_MAX, reply);
    status
}

/// Aborts an outbox. Before that, `say` may put in a last line. If it returns true, this makes one more send, of the
/// first bytes that the outbox holds.
#[cfg(not(loom))]
pub fn flush_last(
    outbox: &mut MutexGuard<'_, Outbox>,
    chunk: &mut Chunk,
    say: impl FnOnce(&mut Outbox) -> bool,
) {
    let last = if say(outbox) { outbox.begin_send(chunk) } else { None };
    outbox.abort();
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
