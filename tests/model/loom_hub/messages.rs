//! The way of messages: from the worker through the queue to the consumer, and back as replies and free slots.

use crate::connection::{Connection, Worker};
use crate::queue::next_batches;
use crate::{model, spawn};
use firstline::hub::egress::wake_on::WakeOn;
use firstline::limits::IN_FLIGHT;
use firstline::protocol::Priority;
use firstline::queue::{Batch, Chain, Picked, Queue, Slots};
use heapless::Vec;
use loom::sync::Arc;

/// A connection, and the queue between its worker and the consumer.
struct Path {
    connection: Arc<Connection>,
    queue: Queue<Chain, 2>,
}

/// The number of lines. There are only two slots, so the worker must wait until one is released.
const LINES: u64 = 3;

/// As a session, for a client that has sent [`LINES`] lines.
fn serve(path: &Path) -> Slots {
    let (connection, mut credits) = (&path.connection, Slots::new());
    let (mut worker, mut line) = (Worker::new(connection), 0);
    while worker.wait() {
        connection.outbox.lock().grant(&mut credits);
        let mut runs = heapless::Vec::<Chain, 2>::new();
        while line < LINES
            && let Some(slot) = credits.pop()
        {
            line += 1;
            slot.fill(firstline::conn_id::ConnId::FIRST, line, Priority::NORMAL, b"");
            Chain::append(slot, &mut runs);
        }
        if !runs.is_empty() {
            path.queue.admit(runs.into_iter().map(|run| (Priority::NORMAL, run)), 1);
            path.queue.wake_if_waiting();
        }
        worker.send(&mut Vec::<u8, 2>::new());
        if line < LINES {
            let mut outbox = connection.outbox.lock();
            let can_go_on = outbox.can_grant();
            outbox.wake_on = if can_go_on { WakeOn::Nothing } else { WakeOn::Room };
            worker.is_runnable |= can_go_on;
        }
    }
    credits
}

/// As the consumer, as long as the queue is open.
fn consume(path: &Path) {
    let process = |batch: &mut Batch<Chain>| {
        for (_, Picked { item: run, .. }) in batch.drain() {
            let mut lines = run.lines().map(|line| line as u8);
            path.connection.outbox.lock().reply(run, |out| out.extend(&mut lines));
        }
        path.connection.send_and_wake(&mut Vec::<u8, 2>::new());
    };
    while next_batches(&path.queue, process) {}
}

#[test]
fn every_line_is_answered_with_few_slots_and_every_slot_is_released() {
    model(2, || {
        let connection = Connection::new(1);
        let mut unused = connection.grant(IN_FLIGHT - 2);
        let path = Arc::new(Path { connection: Arc::clone(&connection), queue: Queue::new() });
        let (worker, consumer) = (spawn(&path, serve), spawn(&path, consume));
        assert_eq!(connection.read(LINES as usize), (1..=LINES as u8).collect::<std::vec::Vec<_>>());
        path.queue.close();
        consumer.join().unwrap();
        connection.kernel.change(|state| state.has_ended = true);
        let mut credits = worker.join().unwrap();
        let mut outbox = connection.outbox.lock();
        assert_eq!(
            outbox.outstanding(),
            unused.len() + credits.len(),
            "each slot is outstanding or in the outbox"
        );
        outbox.release_all(&mut unused);
        outbox.release_all(&mut credits);
        drop(outbox);
        connection.return_slots();
    });
}
