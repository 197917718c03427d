//! The mutex and the condition variable under real threads and the real futex. Every run has a bounded number
//! of rounds, and every result is checked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use firstline::sync::{Condvar, Mutex};
use nix::time::{ClockId, clock_gettime};

const THREADS: usize = 8;
const ROUNDS: usize = 20_000;

#[test]
fn many_threads_count_under_one_mutex() {
    static COUNT: Mutex<usize> = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..ROUNDS).for_each(|_| *COUNT.lock() += 1));
        }
    });
    assert_eq!(*COUNT.lock(), THREADS * ROUNDS);
}

#[test]
fn locks_and_tries_exclude_each_other() {
    // Two numbers that are equal whenever the mutex is unlocked.
    let pair = Mutex::new((0, 0));
    let work = |number: usize| {
        let mut added = 0;
        for round in 0..ROUNDS {
            let guard = if (round + number).is_multiple_of(2) { Some(pair.lock()) } else { pair.try_lock() };
            if let Some(mut guard) = guard {
                guard.0 += 1;
                added += 1;
                guard.1 += 1;
                assert_eq!(guard.0, guard.1);
            }
        }
        added
    };
    let added: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(added >= THREADS * ROUNDS / 2, "every second round certainly takes the lock");
    assert_eq!(*pair.lock(), (added, added));
}

/// A bounded queue with a condition variable for either side.
struct Queue {
    items: Mutex<VecDeque<Item>>,
    not_empty: Condvar,
    not_full: Condvar,
}

/// The producer of the item, and the item's number there.
type Item = (usize, usize);

impl Queue {
    const CAPACITY: usize = 3;
    /// So short that time-outs and notifications coincide.
    const TIMEOUT: Duration = Duration::from_micros(50);

    fn push(&self, item: Item) {
        let mut items = self.not_full.wait_while(self.items.lock(), |items| items.len() == Self::CAPACITY);
        items.push_back(item);
        drop(items);
        self.not_empty.notify_one();
    }

    fn pop(&self) -> Item {
        let mut items = self.not_empty.wait_while(self.items.lock(), |items| items.is_empty());
        let item = items.pop_front().unwrap();
        self.not_full.notify_one();
        item
    }

    fn pop_timed(&self) -> Option<Item> {
        let (mut items, timed_out) =
            self.not_empty.wait_timeout_while(self.items.lock(), Self::TIMEOUT, |items| items.is_empty());
        let item = items.pop_front();
        assert_eq!(item.is_none(), timed_out);
        self.not_full.notify_one();
        item
    }

    /// Pops an item, every second time by timed waits.
    fn pop_somehow(&self, number: usize) -> Item {
        if number.is_multiple_of(2) {
            return self.pop();
        }
        loop {
            if let Some(item) = self.pop_timed() {
                return item;
            }
        }
    }
}

#[test]
fn bounded_queue_loses_nothing_and_keeps_the_order() {
    const SIDE: usize = THREADS / 2;
    let queue = Queue {
        items: Mutex::new(VecDeque::with_capacity(Queue::CAPACITY)),
        not_empty: Condvar::new(),
        not_full: Condvar::new(),
    };
    let taken: Vec<Vec<Item>> = thread::scope(|scope| {
        for producer in 0..SIDE {
            let queue = &queue;
            scope.spawn(move || (0..ROUNDS).for_each(|number| queue.push((producer, number))));
        }
        let consumers: Vec<_> = (0..SIDE)
            .map(|_| scope.spawn(|| (0..ROUNDS).map(|number| queue.pop_somehow(number)).collect()))
            .collect();
        consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect()
    });
    for of_one_consumer in &taken {
        for producer in 0..SIDE {
            assert!(of_one_consumer.iter().filter(|item| item.0 == producer).is_sorted());
        }
    }
    let mut all: Vec<Item> = taken.into_iter().flatten().collect();
    all.sort_unstable();
    let expected: Vec<Item> =
        (0..SIDE).flat_map(|producer| (0..ROUNDS).map(move |number| (producer, number))).collect();
    assert!(all == expected, "each item exactly once");
    assert!(queue.items.lock().is_empty());
}

#[test]
fn notify_all_starts_every_generation() {
    const GENERATIONS: usize = 500;
    let (generation, arrived) = (Mutex::new((0, 0)), Condvar::new());
    // A barrier: the last thread to arrive begins the next generation.
    let pass = || {
        let mut guard = generation.lock();
        let mine = guard.0;
        guard.1 += 1;
        if guard.1 == THREADS {
            *guard = (mine + 1, 0);
            arrived.notify_all();
        } else {
            drop(arrived.wait_while(guard, |now| now.0 == mine));
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..GENERATIONS).for_each(|_| pass()));
        }
    });
    assert_eq!(*generation.lock(), (GENERATIONS, 0));
}

#[test]
fn timed_wait_with_no_notifier_times_out() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let (start, timeout) = (Instant::now(), Duration::from_millis(30));
    let mut guard = mutex.lock();
    let mut timed_out = false;
    while !timed_out {
        (guard, timed_out) = condvar.wait_timeout(guard, timeout);
    }
    drop(guard);
    assert!(start.elapsed() >= timeout);
}

#[test]
fn spurious_notifications_do_not_move_the_deadline() {
    let (mutex, condvar, over) = (Mutex::new(()), Condvar::new(), AtomicBool::new(false));
    let timeout = Duration::from_millis(50);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                condvar.notify_all();
                thread::yield_now();
            }
        });
        let start = Instant::now();
        let (guard, timed_out) = condvar.wait_timeout_while(mutex.lock(), timeout, |_| true);
        over.store(true, Relaxed);
        drop(guard);
        assert!(timed_out);
        assert!(start.elapsed() >= timeout);
    });
}

/// How long the waits take whose CPU time is measured. A spinning wait would use all of it.
const WAIT: Duration = Duration::from_millis(300);

/// More than a sleeping wait uses, even on a slow board.
const CPU_OF_WAIT_MAX: Duration = Duration::from_millis(50);

/// The CPU time of this thread so far.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

#[test]
fn contended_lock_sleeps_and_does_not_spin() {
    let mutex = Mutex::new(());
    let (ready, is_ready) = mpsc::channel();
    let (waited, cpu) = thread::scope(|scope| {
        let guard = mutex.lock();
        let waiter = scope.spawn(|| {
            let (start, start_cpu) = (Instant::now(), cpu_time());
            ready.send(()).unwrap();
            drop(mutex.lock());
            (start.elapsed(), cpu_time() - start_cpu)
        });
        is_ready.recv().unwrap();
        thread::sleep(WAIT);
        drop(guard);
        waiter.join().unwrap()
    });
    assert!(waited >= WAIT, "the waiter did not wait for the lock");
    assert!(cpu < CPU_OF_WAIT_MAX, "the wait took {cpu:?} of the CPU");
}

#[test]
fn timed_wait_sleeps_and_does_not_spin() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let start = cpu_time();
    let (_, timed_out) = condvar.wait_timeout_while(mutex.lock(), WAIT, |_| true);
    let cpu = cpu_time() - start;
    assert!(timed_out);
    assert!(cpu < CPU_OF_WAIT_MAX, "the wait took {cpu:?} of the CPU");
}
