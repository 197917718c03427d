//! The queue: two threads admit, and the consumer picks.

use crate::{model, spawn};
use firstline::protocol::Priority;
use firstline::queue::{Batch, Queue, Run};
use loom::cell::Cell;
use loom::sync::Arc;

/// A run of one: for the lock, longer runs are the same.
pub struct Single<T>(pub T);

impl<T> Run for Single<T> {
    fn len(&self) -> usize {
        1
    }
}

/// The thread that admitted the entry, and the entry's number there. The checker's own cell: it detects a read
/// by a thread that did not get the entry from the queue.
type Entry = Single<Box<Cell<(usize, u32)>>>;
type Entries = Queue<Entry, 8>;

fn entry(from: usize, number: u32, priority: Priority) -> (Priority, Entry) {
    let entry = Box::new(Cell::new((0, 0)));
    entry.set((from, number));
    (priority, Single(entry))
}

/// Admits three entries in two steps; the second entry is urgent.
fn admit_three(queue: &Entries, from: usize) {
    let first = [entry(from, 1, Priority::NORMAL), entry(from, 2, Priority::URGENT)];
    queue.admit(first.into_iter(), 1);
    queue.wake_if_waiting();
    queue.admit([entry(from, 3, Priority::NORMAL)].into_iter(), 1);
    queue.wake_if_waiting();
}

/// As the consumer's own thread: waits, then picks everything. Returns false if the queue is closed.
pub fn next_batches<T: Run, const N: usize>(
    queue: &Queue<T, N>,
    mut process: impl FnMut(&mut Batch<T>),
) -> bool {
    let (is_open, mut batch) = (queue.wait(None), Batch::new());
    while queue.pick(&mut batch) {
        process(&mut batch);
    }
    is_open
}

/// Moves a batch to `taken`: for each entry its priority, the thread that admitted it, and its number there.
fn move_to(batch: &mut Batch<Entry>, taken: &mut Vec<(Priority, usize, u32)>) {
    let order = |a: &(Priority, u64), b: &(Priority, u64)| a.0 > b.0 || a.0 == b.0 && a.1 < b.1;
    assert!(batch.runs().map(|(_, picked)| (picked.priority, picked.stamp_ns)).is_sorted_by(order));
    taken.extend(batch.drain().map(|(_, picked)| {
        let (from, number) = picked.item.0.get();
        (picked.priority, from, number)
    }));
}

/// Checks that `taken` has all entries of two threads once, and those of one thread and priority in order.
fn assert_complete(taken: &[(Priority, usize, u32)]) {
    for from in 0..2 {
        let numbers = |wanted| {
            let of = taken.iter().filter(move |(priority, by, _)| (*priority, *by) == (wanted, from));
            of.map(|(_, _, number)| *number).collect::<Vec<_>>()
        };
        assert_eq!((numbers(Priority::URGENT), numbers(Priority::NORMAL)), (vec![2], vec![1, 3]));
    }
    assert_eq!(taken.len(), 6);
}

#[test]
fn messages_of_two_threads_are_picked_once_and_in_order() {
    model(2, || {
        let queue = Arc::new(Entries::new());
        let admitters = [0, 1].map(|from| spawn(&queue, move |queue| admit_three(queue, from)));
        let mut taken = Vec::new();
        while taken.len() < 6 {
            assert!(next_batches(&queue, |batch| move_to(batch, &mut taken)));
        }
        admitters.into_iter().for_each(|admitter| admitter.join().unwrap());
        assert_complete(&taken);
    });
}

#[test]
fn closed_queue_wakes_the_consumer_and_keeps_its_messages() {
    model(2, || {
        let queue = Arc::new(Entries::new());
        let admitters = [0, 1].map(|from| spawn(&queue, move |queue| admit_three(queue, from)));
        let consumer = spawn(&queue, |queue| {
            let mut taken = Vec::new();
            while next_batches(queue, |batch| move_to(batch, &mut taken)) {}
            assert!(!queue.pick(&mut Batch::new()), "a closed queue gives nothing");
            taken
        });
        queue.close();
        let mut taken = consumer.join().unwrap();
        admitters.into_iter().for_each(|admitter| admitter.join().unwrap());
        let mut batch = Batch::new();
        while queue.take_rest(&mut batch) {
            move_to(&mut batch, &mut taken);
        }
        assert_complete(&taken);
    });
}

#[test]
fn closing_an_empty_queue_wakes_the_consumer() {
    loom::model(|| {
        let queue = Arc::new(Entries::new());
        let consumer = spawn(&queue, |queue| next_batches(queue, |_| unreachable!("nothing was admitted")));
        queue.close();
        assert!(!consumer.join().unwrap());
    });
}
