//! The reply to a message that a handler has ended, with the handler's text.

use crate::hub::egress::flush::flush;
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::send_state::FlushStatus;
use crate::limits::TEXT_REPLY_BYTES_MAX;
use crate::protocol::handler_text::HandlerText;
use crate::queue::Chain;
use crate::sync::MutexGuard;
use heapless::VecView;

/// Releases the slot of a task with a reply that contains the handler's text: `reply` also gets the number of bytes
/// that fit. If there is no room for the longest text, this flushes the outbox first: a text is cut only if the socket
/// does not accept the bytes of the outbox. Returns the result of that flush.
pub fn reply_with_text(
    outbox: &mut MutexGuard<'_, Outbox>,
    task: Chain,
    text: &HandlerText,
    reply: impl FnOnce(&mut VecView<u8>, usize),
) -> FlushStatus {
    let lacks_room = !text.is_empty() && !outbox.has_room(TEXT_REPLY_BYTES_MAX);
    let status = if lacks_room { flush(outbox) } else { FlushStatus::Nothing };
    outbox.reply_at_length(task, TEXT_REPLY_BYTES_MAX, reply);
    status
}
