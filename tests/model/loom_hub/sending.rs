//! The send state: the worker and the consumer push bytes, and either sends them.

use crate::connection::{Connection, Worker};
use crate::{model, spawn};
use firstline::limits::SENDS_PER_POLL_MAX;
use firstline::sync::inheritance;
use heapless::Vec;

/// The worker and the consumer push lines and send pieces of `PIECE` bytes, while the client reads everything.
fn send_from_both<const PIECE: usize>(
    switches_max: usize,
    room: usize,
    of_worker: &'static [&'static str],
    of_consumer: &'static [&'static str],
) {
    model(switches_max, move || {
        let connection = Connection::new(room);
        let worker = spawn(&connection, move |connection| {
            let (mut worker, mut lines) = (Worker::new(connection), of_worker.iter());
            while worker.wait() {
                if let Some(line) = lines.next() {
                    connection.push(line.as_bytes());
                    worker.is_runnable = !lines.as_slice().is_empty();
                }
                worker.send(&mut Vec::<u8, PIECE>::new());
            }
        });
        let consumer = spawn(&connection, move |connection| {
            for line in of_consumer {
                connection.push(line.as_bytes());
                connection.send_and_wake(&mut Vec::<u8, PIECE>::new());
            }
        });
        let len = of_worker.iter().chain(of_consumer).map(|line| line.len()).sum();
        let read = connection.read(len);
        consumer.join().unwrap();
        connection.kernel.change(|state| state.has_ended = true);
        worker.join().unwrap();
        assert_eq!(read, *connection.pushed.lock().unwrap());
        assert!(connection.outbox.lock().is_empty());
        connection.return_slots();
    });
}

#[test]
fn bytes_are_sent_once_and_in_order_by_either_thread() {
    send_from_both::<2>(2, 99, &["ab", "cd"], &["12", "34"]);
}

#[test]
fn partial_send_continues_where_it_ended() {
    send_from_both::<3>(2, 2, &["abc"], &["123"]);
}

#[test]
fn nothing_is_left_unsent_after_a_full_socket() {
    send_from_both::<1>(2, 1, &["ab"], &["1", "2"]);
}

#[test]
fn nothing_is_left_unsent_while_the_worker_only_waits() {
    send_from_both::<2>(2, 1, &[], &["12", "34"]);
}

#[test]
fn worker_sends_the_rest_above_the_flush_limit() {
    const MORE: &str = "123456";
    const { assert!(MORE.len() > SENDS_PER_POLL_MAX) };
    send_from_both::<1>(2, 99, &["a"], &[MORE]);
}

/// The worker sends a line while another thread sends everything; `expected` says whether all is sent then. Runs
/// without and with priority inheritance.
fn send_all_beside_the_worker(room: usize, expected: bool) {
    for inherits in [false, true] {
        model(3, move || {
            if inherits {
                inheritance::turn_on().unwrap();
            }
            let connection = Connection::new(room);
            let worker = spawn(&connection, |connection| {
                connection.push(b"abc");
                connection.send(&mut Vec::<u8, 2>::new());
            });
            connection.push(b"12");
            assert_eq!(connection.send_all(&mut Vec::<u8, 2>::new()), expected);
            worker.join().unwrap();
            connection.return_slots();
        });
    }
}

#[test]
fn thread_that_sends_everything_waits_for_the_send_of_another() {
    send_all_beside_the_worker(99, true);
}

#[test]
fn thread_that_sends_everything_does_not_wait_for_a_full_socket() {
    send_all_beside_the_worker(1, false);
}

#[test]
fn if_all_threads_sleep_on_unsent_bytes_the_worker_knows_that_the_socket_is_full() {
    model(3, || {
        let connection = Connection::new(1);
        let worker = spawn(&connection, |connection| {
            let (mut worker, mut knows) = (Worker::new(connection), false);
            connection.push(b"ab");
            while worker.wait() {
                worker.send(&mut Vec::<u8, 1>::new());
                // As the session's timer, which starts the write time-out.
                knows = connection.outbox.lock().sending.stalled_ns().is_some();
            }
            knows
        });
        let consumer = spawn(&connection, |connection| {
            connection.push(b"1");
            connection.send_and_wake(&mut Vec::<u8, 1>::new());
        });
        consumer.join().unwrap();
        connection.kernel.change(|state| state.has_ended = true);
        assert!(worker.join().unwrap(), "the write time-out runs");
        assert_eq!(connection.kernel.state.lock().unwrap().room, 0);
        assert!(!connection.outbox.lock().is_empty());
        connection.return_slots();
    });
}
