//! The reply to a message that a handler has ended, with the handler's text.

use crate::hub::egress::flush::flush_or_await;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::send_waits::SendWaits;
use crate::hub::egress::shared_outbox::LockedOutbox;
use crate::limits::TEXT_REPLY_BYTES_MAX;
use crate::protocol::handler_text::HandlerText;
use crate::queue::Chain;
use heapless::VecView;

/// Releases the slot of a task with a reply that contains the handler's text: `reply` also gets the number of bytes
/// that fit. If there is no room for the longest text, this flushes the outbox first: a text is cut only if the socket
/// does not accept the bytes of the outbox, or if `waits` does not permit waiting for another thread's send. Returns
/// the result of that flush.
pub fn reply_with_text(
    outbox: &mut LockedOutbox<'_>,
    waits: &mut SendWaits,
    task: Chain,
    text: &HandlerText,
    reply: impl FnOnce(&mut VecView<u8>, usize),
) -> FlushStatus {
    let has_room = |outbox: &Outbox| outbox.has_room(TEXT_REPLY_BYTES_MAX);
    let lacks_room = !text.is_empty() && !has_room(outbox);
    let status = if lacks_room { flush_or_await(has_room, waits, outbox) } else { FlushStatus::Nothing };
    outbox.reply_at_length(task, TEXT_REPLY_BYTES_MAX, reply);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::egress::buffer::Buffer;
    use crate::hub::egress::send_state::Sent;
    use crate::hub::egress::shared_outbox::SharedOutbox;
    use crate::limits::{IN_FLIGHT, SEND_BYTES_MAX};
    use crate::queue::{Slot, Slots};
    use heapless::Vec;
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// A full outbox, with the slot of a task.
    fn full(socket: UnixStream) -> (SharedOutbox, Chain) {
        let shared = SharedOutbox::new();
        let (mut outbox, mut slots) = (shared.lock(), Slots::new());
        outbox.attach(Box::leak(Box::new(Buffer::new())));
        (0..IN_FLIGHT).for_each(|_| slots.put(Chain::of(Box::leak(Box::new(Slot::EMPTY)))));
        outbox.release_all(&mut slots);
        outbox.open(socket.into(), 0);
        outbox.grant(&mut slots);
        let task = Chain::of(slots.pop().expect("a new outbox grants slots"));
        outbox.release_all(&mut slots);
        while outbox.push_line(b"x") {}
        drop(outbox);
        (shared, task)
    }

    /// Replies, and returns the room that the text has.
    fn room_of_text(outbox: &mut LockedOutbox<'_>, mut waits: SendWaits, task: Chain) -> usize {
        let (text, mut room_of_text) = (HandlerText::new(b"done"), 0);
        reply_with_text(outbox, &mut waits, task, &text, |_, room| room_of_text = room);
        room_of_text
    }

    #[test]
    fn reply_with_text_does_not_wait_if_that_is_not_permitted() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (shared, task) = full(ours);
        let mut outbox = shared.lock();
        outbox.begin_send(&mut Vec::<u8, SEND_BYTES_MAX>::new()).expect("there is something to send");
        let room = room_of_text(&mut outbox, SendWaits::exhausted(), task);
        assert!(room < TEXT_REPLY_BYTES_MAX, "{room}");
    }

    #[test]
    fn reply_with_text_waits_for_a_send_in_progress() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (shared, task) = full(ours);
        let reply = || room_of_text(&mut shared.lock(), SendWaits::default(), task);
        let mut outbox = shared.lock();
        outbox.begin_send(&mut Vec::<u8, SEND_BYTES_MAX>::new()).expect("there is something to send");
        let room = thread::scope(|scope| {
            let call = || {
                let replying = scope.spawn(reply);
                while !shared.is_send_awaited() && !replying.is_finished() {
                    thread::yield_now();
                }
                replying
            };
            let replying = outbox.send(call, |outbox, replying| {
                outbox.end_send(Sent::Bytes(SEND_BYTES_MAX), || 0);
                replying
            });
            drop(outbox);
            replying.join().unwrap()
        });
        assert_eq!(room, TEXT_REPLY_BYTES_MAX);
    }
}
