//! One class between the journal and the broker: its items that are read ahead or in flight, and its cursor. Without
//! I/O.

use super::class::Class;
use super::item::{Content, Item, Loss, Reason};
use super::limits::{INCOMPLETE_MS, READ_AHEAD, WINDOW_FACTOR};
use super::window::Window;
use crate::journal::cursor::Cursor;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The result of one read of the journal for a class. It counts only once the journal is synced.
#[derive(Debug)]
pub struct Fresh {
    /// The items to send.
    pub items: Vec<Item>,
    /// Where the next read continues.
    pub cursor: Cursor,
    /// The server has rolled back its messages from this ID on.
    pub rolled_back: Option<u64>,
    /// There may be more to read at once.
    pub has_more: bool,
    /// The server may be writing the next record: if it is not whole at the next read, it counts as damaged.
    pub is_incomplete: bool,
}

/// One class.
#[derive(Debug)]
pub struct Stream {
    class: Class,
    /// Where reading goes on.
    cursor: Cursor,
    /// The next ID to read, or 0 for that of the oldest message. Everything before it is on the disk.
    read_to: u64,
    has_more: bool,
    /// When to read again, if the server may be writing the next record.
    held_until: Option<Instant>,
    ready: VecDeque<Item>,
    window: Window<Item>,
}

impl Stream {
    /// A class from that ID on; 0 means from the oldest message.
    pub fn new(class: Class, next: u64, in_flight: usize) -> Self {
        let window = Window::new(WINDOW_FACTOR * in_flight);
        let mut stream = Self {
            class,
            cursor: Cursor::oldest(),
            read_to: 0,
            has_more: true,
            held_until: None,
            ready: VecDeque::new(),
            window,
        };
        stream.go_to(next);
        stream
    }

    /// Which class it is.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Continues at that ID. The items that are read ahead stay.
    pub fn go_to(&mut self, next: u64) {
        self.cursor = if next == 0 { Cursor::oldest() } else { Cursor::since(next) };
        (self.read_to, self.has_more, self.held_until) = (next, true, None);
    }

    /// Where reading goes on.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The next ID to read.
    pub fn read_to(&self) -> u64 {
        self.read_to
    }

    /// Whether the journal has to be read further to find the next item of this class.
    pub fn is_searching(&self) -> bool {
        self.has_more && self.ready.is_empty()
    }

    /// How many items to read.
    pub fn room(&self) -> usize {
        READ_AHEAD.saturating_sub(self.ready.len())
    }

    /// Whether to read on now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.room() > 0 && self.held_until.is_none_or(|until| now >= until)
    }

    /// Takes the result of a read, now that the messages are on the disk.
    pub fn take(&mut self, fresh: Fresh, now: Instant) {
        self.held_until = fresh.is_incomplete.then(|| now + Duration::from_millis(INCOMPLETE_MS));
        if let Some(first) = fresh.rolled_back {
            self.ready.retain(|item| item.first < first || item.is_of_other_journal());
        }
        self.read_to = fresh.cursor.next_id().unwrap_or(0);
        (self.cursor, self.has_more) = (fresh.cursor, fresh.has_more);
        self.ready.extend(fresh.items);
    }

    /// The next item to send.
    pub fn first_ready(&self) -> Option<&Item> {
        self.ready.front()
    }

    /// Turns the next messages to send, as far as they are older than that time, into one loss.
    pub fn expire(&mut self, oldest_ms: u64) {
        let mut expired: Option<Loss> = None;
        while let Some(Item { content: Content::Message(message), .. }) = self.ready.front()
            && message.time_ms < oldest_ms
        {
            let id = message.id;
            match &mut expired {
                Some(loss) => loss.extend(1, id),
                None => expired = Some(Loss { count: Some(1), ids: (id, id), reason: Reason::Expired }),
            }
            self.ready.pop_front();
        }
        if let Some(loss) = expired {
            self.ready.push_front(Item::loss(loss));
        }
    }

    /// Whether the window has room for another item.
    pub fn has_place(&self) -> bool {
        self.window.has_room()
    }

    /// Takes the next item to send.
    pub fn pop_ready(&mut self) -> Option<Item> {
        self.ready.pop_front()
    }

    /// Puts an item back, to be sent next.
    pub fn put_back(&mut self, item: Item) {
        self.ready.push_front(item);
    }

    /// Records that an item was sent.
    pub fn sent(&mut self, packet_id: u16, item: Item, now: Instant) {
        self.window.push(packet_id, item, now);
    }

    /// The item with that packet ID, if it is in flight.
    pub fn get(&self, packet_id: u16) -> Option<&Item> {
        self.window.get(packet_id)
    }

    /// Records that an item was acknowledged. Returns false if it is not in flight.
    pub fn settle(&mut self, packet_id: u16) -> bool {
        self.window.settle(packet_id)
    }

    /// Counts a temporary refusal of that item by the broker.
    pub fn blame(&mut self, packet_id: u16) {
        if let Some(item) = self.window.get_mut(packet_id) {
            item.attempts += 1;
        }
    }

    /// How many items are in flight.
    pub fn in_flight(&self) -> usize {
        self.window.in_flight()
    }

    /// When the item that has waited longest for its acknowledgement was sent.
    pub fn oldest(&self) -> Option<Instant> {
        self.window.oldest()
    }

    /// Whether all items that were read are acknowledged.
    pub fn is_idle(&self) -> bool {
        self.window.is_empty() && self.ready.is_empty()
    }

    /// Records that the connection is lost: unacknowledged items are sent again, before all others. With `is_alone`,
    /// that counts as an attempt.
    pub fn return_unsettled(&mut self, is_alone: bool) {
        for mut item in self.window.take_unsettled().rev() {
            item.attempts += u32::from(is_alone);
            self.ready.push_front(item);
        }
    }

    /// The first ID of which neither the message nor its loss is acknowledged. If a message becomes a loss, the loss is
    /// sent after later messages, so the first ID may be that of any item.
    pub fn position(&self) -> u64 {
        self.items().map(|item| item.first).min().unwrap_or(self.read_to)
    }

    /// Whether the loss of what remained in another journal is not acknowledged.
    pub fn tells_other_journal(&self) -> bool {
        self.items().any(Item::is_of_other_journal)
    }

    /// All unacknowledged items.
    fn items(&self) -> impl Iterator<Item = &Item> {
        self.window.unsettled().chain(&self.ready)
    }

    /// How many messages are read but not acknowledged.
    pub fn waiting(&self) -> usize {
        self.items().filter(|item| matches!(item.content, Content::Message(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::item::Message;
    use crate::protocol::Priority;

    fn item(id: u64) -> Item {
        let (from, text) = (Vec::new(), Vec::new());
        Item::message(Message { id, time_ms: 0, priority: Priority::NORMAL, from, text })
    }

    fn fresh(ids: &[u64], next: u64) -> Fresh {
        let items = ids.iter().copied().map(item).collect();
        Fresh { items, cursor: Cursor::since(next), rolled_back: None, has_more: false, is_incomplete: false }
    }

    fn send(stream: &mut Stream, packet_id: u16) {
        let item = stream.pop_ready().unwrap();
        stream.sent(packet_id, item, Instant::now());
    }

    #[test]
    fn position_is_the_first_that_is_not_acknowledged() {
        let mut stream = Stream::new(Class::Rest, 5, 4);
        assert_eq!(stream.position(), 5);
        stream.take(fresh(&[], 9), Instant::now());
        assert_eq!(stream.position(), 9, "those before it are of the other class");
        stream.take(fresh(&[10, 12], 20), Instant::now());
        assert_eq!(stream.position(), 10);
        send(&mut stream, 1);
        send(&mut stream, 2);
        assert!(stream.settle(2));
        assert_eq!(stream.position(), 10);
        assert!(stream.settle(1) && !stream.settle(1));
        assert_eq!((stream.position(), stream.is_idle()), (20, true));
    }

    #[test]
    fn position_never_passes_a_loss_that_is_not_told() {
        let mut stream = Stream::new(Class::Rest, 1, 8);
        stream.take(fresh(&[1, 2, 3, 4, 5], 6), Instant::now());
        (1..=4).for_each(|packet_id| send(&mut stream, packet_id));
        for packet_id in [2, 3] {
            let refused = stream.get(packet_id).unwrap().clone();
            assert!(stream.settle(packet_id));
            let ids = (refused.first, refused.first);
            stream.put_back(Item::loss(Loss { count: Some(1), ids, reason: Reason::TooLarge }));
        }
        assert!(stream.settle(1));
        assert_eq!(stream.position(), 2, "the loss of 3 is ready before that of 2");
        send(&mut stream, 5);
        send(&mut stream, 6);
        assert!(stream.settle(4) && stream.settle(5));
        assert_eq!(stream.position(), 2, "the loss of 2 is on its way, behind message 4");
        stream.return_unsettled(false);
        assert_eq!(stream.position(), 2);
        send(&mut stream, 7);
        assert!(stream.settle(7));
        assert_eq!(stream.position(), 5);
    }

    #[test]
    fn lost_connection_returns_what_is_not_acknowledged_in_order() {
        let mut stream = Stream::new(Class::Urgent, 1, 4);
        stream.take(fresh(&[1, 2, 3, 4], 5), Instant::now());
        (1..=3).for_each(|packet_id| send(&mut stream, packet_id));
        stream.settle(2);
        stream.return_unsettled(false);
        let ids: Vec<_> = std::iter::from_fn(|| stream.pop_ready()).map(|item| item.first).collect();
        assert_eq!(ids, [1, 3, 4]);
    }

    #[test]
    fn messages_that_grow_old_while_they_wait_become_one_loss() {
        let mut stream = Stream::new(Class::Rest, 1, 4);
        let mut fresh = fresh(&[1, 2, 3, 4], 5);
        for (item, at) in fresh.items.iter_mut().zip([10, 20, 90, 30]) {
            let Content::Message(message) = &mut item.content else { unreachable!() };
            message.time_ms = at;
        }
        stream.take(fresh, Instant::now());
        stream.expire(50);
        let loss = stream.pop_ready().unwrap();
        assert_eq!(loss.first, 1);
        assert_eq!(
            loss.content,
            Content::Loss(Loss { count: Some(2), ids: (1, 2), reason: Reason::Expired })
        );
        stream.expire(50);
        assert_eq!(stream.pop_ready().unwrap().first, 3, "it is young, and those behind it come later");
        stream.expire(50);
        assert!(matches!(stream.pop_ready().unwrap().content, Content::Loss(_)));
    }

    #[test]
    fn what_the_server_took_back_is_not_sent() {
        let mut stream = Stream::new(Class::Rest, 1, 4);
        stream.take(fresh(&[1, 2, 3], 4), Instant::now());
        stream.take(Fresh { rolled_back: Some(2), ..fresh(&[2], 3) }, Instant::now());
        let ids: Vec<_> = std::iter::from_fn(|| stream.pop_ready()).map(|item| item.first).collect();
        assert_eq!(ids, [1, 2]);
    }
}
