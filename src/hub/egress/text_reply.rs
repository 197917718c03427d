//! The reply to a message that a handler has ended, with the handler's text.

use crate::hub::egress::flush::flush_or_await;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::hub::egress::shared_outbox::LockedOutbox;
use crate::limits::TEXT_REPLY_BYTES_MAX;
use crate::protocol::handler_text::HandlerText;
use crate::queue::Chain;
use heapless::VecView;

/// Releases the slot of a task with a reply that contains the handler's text: `reply` also gets the number of bytes
/// that fit. If there is no room for the longest text, this flushes the outbox first: a text is cut only if the socket
/// does not accept the bytes of the outbox. Returns the result of that flush.
pub fn reply_with_text(
    outbox: &mut LockedOutbox<'_>,
    task: Chain,
    text: &HandlerText,
    reply: impl FnOnce(&mut VecView<u8>, usize),
) -> FlushStatus {
    let has_room = |outbox: &Outbox| outbox.has_room(TEXT_REPLY_BYTES_MAX);
    let lacks_room = !text.is_empty() && !has_room(outbox);
    let status = if lacks_room { flush_or_await(has_room, outbox) } else { FlushStatus::Nothing };
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

    #[test]
    fn reply_with_text_waits_for_a_send_in_progress() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (shared, task) = full(ours);
        let reply = || {
            let mut room_of_text = 0;
            reply_with_text(&mut shared.lock(), task, &HandlerText::new(b"done"), |_, room| {
                room_of_text = room
            });
            room_of_text
        };
        let mut outbox = shared.lock();
        outbox.begin_send(&mut Vec::<u8, SEND_BYTES_MAX>::new()).expect("there is something to send");
        let room_of_text = thread::scope(|scope| {
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
        assert_eq!(room_of_text, TEXT_REPLY_BYTES_MAX);
    }
}
