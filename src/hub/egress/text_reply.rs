//! The reply to a message that a handler has ended, with the handler's text.

use crate::hub::egress::flush::flush_until;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::send_wait::SendWait;
use crate::limits::TEXT_REPLY_BYTES_MAX;
use crate::protocol::handler_text::HandlerText;
use crate::queue::Chain;
use crate::sync::MonitorGuard;
use heapless::VecView;

/// Releases the slot of a task with a reply that contains the handler's text: `reply` also gets the number of bytes
/// that fit. If there is no room for the longest text, this flushes the outbox first: a text is cut only if the socket
/// does not accept the bytes of the outbox. Returns the result of that flush.
pub fn reply_with_text(
    outbox: &mut MonitorGuard<'_, Outbox>,
    task: Chain,
    text: &HandlerText,
    wait: &mut SendWait,
    reply: impl FnOnce(&mut VecView<u8>, usize),
) -> FlushStatus {
    let has_room = |outbox: &Outbox| text.is_empty() || outbox.has_room(TEXT_REPLY_BYTES_MAX);
    let status = if has_room(outbox) { FlushStatus::Nothing } else { flush_until(has_room, outbox, wait) };
    outbox.reply_at_length(task, TEXT_REPLY_BYTES_MAX, reply);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::egress::buffer::Buffer;
    use crate::hub::egress::send_state::Sent;
    use crate::limits::{IN_FLIGHT, SEND_BYTES_MAX};
    use crate::queue::{Slot, Slots};
    use crate::sync::Monitor;
    use core::time::Duration;
    use heapless::Vec;
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// An outbox without room for a text, in whose connection another thread is sending, with the slot of a task.
    fn full(socket: UnixStream) -> (Monitor<Outbox>, Chain) {
        let monitor = Monitor::new(Outbox::new());
        let (mut outbox, mut slots) = (monitor.lock(), Slots::new());
        outbox.attach(Box::leak(Box::new(Buffer::new())));
        (0..IN_FLIGHT).for_each(|_| slots.put(Chain::of(Box::leak(Box::new(Slot::EMPTY)))));
        outbox.release_all(&mut slots);
        outbox.open(socket.into(), 0);
        outbox.grant(&mut slots);
        let task = Chain::of(slots.pop().expect("a new outbox grants slots"));
        outbox.release_all(&mut slots);
        while outbox.push_line(b"x") {}
        outbox.begin_send(&mut Vec::<u8, SEND_BYTES_MAX>::new()).expect("there is something to send");
        drop(outbox);
        (monitor, task)
    }

    /// Replies within `wait`; returns the room that the text has.
    fn room(monitor: &Monitor<Outbox>, task: Chain, mut wait: SendWait) -> usize {
        let (mut outbox, mut room_of_text) = (monitor.lock(), 0);
        let text = HandlerText::new(b"done");
        reply_with_text(&mut outbox, task, &text, &mut wait, |_, room| room_of_text = room);
        room_of_text
    }

    #[test]
    fn text_that_finds_a_send_in_progress_waits_for_room() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (monitor, task) = full(ours);
        let room = thread::scope(|scope| {
            let replying = scope.spawn(|| room(&monitor, task, SendWait::at_most(Duration::MAX)));
            while !monitor.has_waiters() && !replying.is_finished() {
                thread::yield_now();
            }
            let mut outbox = monitor.lock();
            outbox.end_send(Sent::Bytes(SEND_BYTES_MAX), || 0);
            MonitorGuard::notify_all(&outbox);
            drop(outbox);
            replying.join().unwrap()
        });
        assert_eq!(room, TEXT_REPLY_BYTES_MAX);
    }

    #[test]
    fn text_is_cut_if_the_send_in_progress_takes_too_long() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (monitor, task) = full(ours);
        let room = room(&monitor, task, SendWait::at_most(Duration::from_millis(20)));
        assert!(room < TEXT_REPLY_BYTES_MAX, "{room}");
    }
}
