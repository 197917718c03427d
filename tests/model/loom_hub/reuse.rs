//! The end of a client, and the next client in its place.

use crate::connection::{Connection, Worker};
use crate::{model, spawn};
use firstline::limits::OUTBOX_BYTES;
use firstline::protocol::Priority;
use firstline::queue::Chain;
use heapless::Vec;

#[test]
fn after_an_abort_no_send_begins_and_at_most_one_wake_announces_quiescence() {
    model(3, || {
        let connection = Connection::new(3);
        let mut slots = connection.grant(2);
        let consumer = spawn(&connection, move |connection| {
            let (mut chunk, mut wake_ups) = (Vec::<u8, 2>::new(), 0);
            while let Some(slot) = slots.pop() {
                connection.outbox.lock().reply(Chain::of(slot), |out| out.extend_from_slice(b"12").unwrap());
                wake_ups += u32::from(connection.send_and_wake(&mut chunk));
            }
            wake_ups
        });
        let mut worker = Worker::new(&connection);
        connection.push(b"a");
        worker.send(&mut Vec::<u8, 2>::new());
        let mut outbox = connection.outbox.lock();
        outbox.abort();
        assert!(outbox.is_empty() && outbox.begin_send(&mut Vec::<u8, 2>::new()).is_none());
        drop(outbox);
        while !worker.vacate() {
            assert!(worker.wait());
        }
        assert!(!connection.kernel.state.lock().unwrap().is_open, "no thread sends on a closed socket");
        assert!(consumer.join().unwrap() <= 1, "the worker waits for quiescence: only that wakes it");
        assert!(!connection.outbox.lock().is_alive());
        connection.return_slots();
    });
}

/// A MSG line that never fits, so it is lost.
static TOO_LONG: [u8; OUTBOX_BYTES] = [b'l'; OUTBOX_BYTES];

/// As `Delivery::deliver`: one line that fits, and one that is lost.
fn deliver(connection: &Connection) {
    let mut outbox = connection.outbox.lock();
    if outbox.subscriber.joined().is_some() {
        outbox.deliver(b"m");
        outbox.deliver(&TOO_LONG);
    }
}

/// One client leaves while the consumer has messages from it and for it; the next client connects. The socket
/// of each takes `room` bytes.
fn reuse(room: usize) {
    model(3, move || {
        let connection = Connection::new(room);
        let mut slots = connection.grant(2);
        drop(connection.outbox.lock().endpoint.take_arrival());
        connection.outbox.lock().subscriber.join(Priority::MIN);
        let consumer = spawn(&connection, move |connection| {
            while let Some(slot) = slots.pop() {
                deliver(connection);
                connection.outbox.lock().reply(Chain::of(slot), |out| out.push(b'r').unwrap());
                connection.send_and_wake(&mut Vec::<u8, 16>::new());
            }
            deliver(connection);
            connection.send_and_wake(&mut Vec::<u8, 16>::new());
        });
        let mut worker = Worker::new(&connection);
        connection.outbox.lock().abort();
        while !worker.vacate() {
            assert!(worker.wait());
        }
        // As the acceptor. The kernel gives the new connection the descriptor number of the old one.
        connection.kernel.change(|state| {
            assert!(!state.is_open && !state.is_sending);
            (state.is_open, state.room) = (true, room);
            state.taken.clear();
        });
        connection.open();
        assert!(connection.outbox.lock().endpoint.take_arrival().is_some());
        connection.push(b"next");
        worker.send(&mut Vec::<u8, 16>::new());
        consumer.join().unwrap();
        assert_eq!(connection.read(4), b"next");
        let outbox = connection.outbox.lock();
        assert!(outbox.is_empty() && outbox.subscriber.lost() == 0 && outbox.subscriber.joined().is_none());
        drop(outbox);
        connection.return_slots();
    });
}

#[test]
fn nothing_of_the_previous_client_reaches_the_next() {
    reuse(99);
}

#[test]
fn full_socket_of_the_previous_client_does_not_block_the_next() {
    reuse(4);
}
