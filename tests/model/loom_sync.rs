//! The mutex and the condition variable in every order in which their threads may run.
//!
//! `cargo test --features loom --test loom_sync`
//!
//! The model checker detects two things by itself: a data race, because the guarded values are its own cells, and a
//! lost wake-up, because then all threads sleep. Models of three threads are searched up to a bound of forced
//! switches, in which nearly all known bugs show (Musuvathi and Qadeer, "Iterative Context Bounding", 2007).
#![cfg(loom)]

use std::time::Duration;

use firstline::sync::{Condvar, Mutex, inheritance};
use loom::cell::Cell;
use loom::sync::Arc;
use loom::thread;

/// Forced switches in a model of three threads.
const SWITCHES_MAX: usize = 3;

/// A number under a mutex, and a condition variable that announces its changes.
struct Shared {
    number: Mutex<Cell<u32>>,
    changed: Condvar,
}

impl Shared {
    fn new(number: u32) -> Arc<Self> {
        Arc::new(Self { number: Mutex::new(Cell::new(number)), changed: Condvar::new() })
    }

    /// Adds one under the lock.
    fn add(&self) {
        let number = self.number.lock();
        number.set(number.get() + 1);
    }

    /// Waits until the number is not zero, and takes one from it.
    fn take(&self) {
        let number = self.changed.wait_while(self.number.lock(), |number| number.get() == 0);
        number.set(number.get() - 1);
    }

    fn get(&self) -> u32 {
        self.number.lock().get()
    }
}

/// Runs `work` in a thread of its own.
fn spawn(shared: &Arc<Shared>, work: fn(&Shared)) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared))
}

fn join_all(threads: [thread::JoinHandle<()>; 2]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Checks a model of two threads.
fn model_of_two(model: impl Fn() + Sync + Send + 'static) {
    check(None, model);
}

/// Checks a model of three threads.
fn model_of_three(model: impl Fn() + Sync + Send + 'static) {
    check(Some(SWITCHES_MAX), model);
}

/// Checks a model without priority inheritance, and with it.
fn check(switches_max: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = switches_max;
    let model = std::sync::Arc::new(model);
    for inherits in [false, true] {
        let model = std::sync::Arc::clone(&model);
        builder.check(move || {
            if inherits {
                inheritance::turn_on().unwrap();
            }
            model();
        });
    }
}

/// Two waiters that take one each; `give_two` adds two, and has to wake both.
fn two_takers(give_two: fn(&Shared)) {
    model_of_three(move || {
        let shared = Shared::new(0);
        let takers = [spawn(&shared, Shared::take), spawn(&shared, Shared::take)];
        give_two(&shared);
        join_all(takers);
        assert_eq!(shared.get(), 0);
    });
}

#[test]
fn two_threads_exclude_each_other() {
    model_of_two(|| {
        let shared = Shared::new(0);
        let other = spawn(&shared, |shared| {
            shared.add();
            shared.add();
        });
        shared.add();
        shared.add();
        other.join().unwrap();
        assert_eq!(shared.get(), 4);
    });
}

#[test]
fn three_threads_exclude_each_other() {
    model_of_three(|| {
        let shared = Shared::new(0);
        let others = [spawn(&shared, Shared::add), spawn(&shared, Shared::add)];
        shared.add();
        join_all(others);
        assert_eq!(shared.get(), 3);
    });
}

#[test]
fn try_lock_takes_the_lock_or_leaves_it() {
    model_of_three(|| {
        let shared = Shared::new(0);
        let others = [spawn(&shared, Shared::add), spawn(&shared, Shared::add)];
        let added = match shared.number.try_lock() {
            Some(number) => {
                number.set(number.get() + 1);
                1
            }
            None => 0,
        };
        join_all(others);
        assert_eq!(shared.get(), 2 + added);
    });
}

#[test]
fn notification_without_the_lock_is_not_lost() {
    model_of_two(|| {
        let shared = Shared::new(0);
        let taker = spawn(&shared, Shared::take);
        shared.add();
        shared.changed.notify_one();
        taker.join().unwrap();
        assert_eq!(shared.get(), 0);
    });
}

#[test]
fn notification_with_the_lock_is_not_lost() {
    model_of_two(|| {
        let shared = Shared::new(0);
        let taker = spawn(&shared, Shared::take);
        let number = shared.number.lock();
        number.set(1);
        shared.changed.notify_one();
        drop(number);
        taker.join().unwrap();
        assert_eq!(shared.get(), 0);
    });
}

#[test]
fn notification_before_the_change_is_not_lost() {
    model_of_two(|| {
        let shared = Shared::new(0);
        let taker = spawn(&shared, Shared::take);
        let number = shared.number.lock();
        shared.changed.notify_one();
        number.set(1);
        drop(number);
        taker.join().unwrap();
        assert_eq!(shared.get(), 0);
    });
}

#[test]
fn two_notifications_without_the_lock_wake_two() {
    two_takers(|shared| {
        shared.add();
        shared.changed.notify_one();
        shared.add();
        shared.changed.notify_one();
    });
}

#[test]
fn two_notifications_with_the_lock_wake_two() {
    two_takers(|shared| {
        let number = shared.number.lock();
        number.set(2);
        shared.changed.notify_one();
        shared.changed.notify_one();
    });
}

#[test]
fn notify_all_without_the_lock_wakes_two() {
    two_takers(|shared| {
        shared.number.lock().set(2);
        shared.changed.notify_all();
    });
}

#[test]
fn notify_all_with_the_lock_wakes_two() {
    two_takers(|shared| {
        let number = shared.number.lock();
        number.set(2);
        shared.changed.notify_all();
    });
}

#[test]
fn waiters_may_notify_each_other() {
    model_of_three(|| {
        let shared = Shared::new(0);
        // One token passes through all threads: each taker returns it and notifies the next.
        let pass: fn(&Shared) = |shared| {
            shared.take();
            shared.add();
            shared.changed.notify_one();
        };
        let passers = [spawn(&shared, pass), spawn(&shared, pass)];
        shared.add();
        shared.changed.notify_one();
        join_all(passers);
        assert_eq!(shared.get(), 1);
    });
}

#[test]
fn timed_wait_ends_and_reports_its_time_out_correctly() {
    model_of_two(|| {
        let shared = Shared::new(0);
        let giver = spawn(&shared, |shared| {
            shared.add();
            shared.changed.notify_one();
        });
        let (number, timed_out) =
            shared
                .changed
                .wait_timeout_while(shared.number.lock(), Duration::MAX, |number| number.get() == 0);
        assert_eq!(timed_out, number.get() == 0);
        drop(number);
        giver.join().unwrap();
    });
}

#[test]
fn timed_wait_steals_no_wake_up() {
    model_of_three(|| {
        let shared = Shared::new(0);
        let patient = spawn(&shared, Shared::take);
        let hasty = spawn(&shared, |shared| {
            // Only looks: the number is for the other waiter.
            drop(shared.changed.wait_timeout(shared.number.lock(), Duration::ZERO));
        });
        shared.add();
        shared.changed.notify_one();
        patient.join().unwrap();
        hasty.join().unwrap();
    });
}

/// A buffer for one number, with a condition variable for either side.
struct Buffer {
    item: Mutex<Cell<Option<u32>>>,
    filled: Condvar,
    emptied: Condvar,
}

impl Buffer {
    fn put(&self, number: u32) {
        let item = self.emptied.wait_while(self.item.lock(), |item| item.get().is_some());
        item.set(Some(number));
        drop(item);
        self.filled.notify_one();
    }

    fn get(&self) -> u32 {
        let item = self.filled.wait_while(self.item.lock(), |item| item.get().is_none());
        let number = item.replace(None).unwrap();
        drop(item);
        self.emptied.notify_one();
        number
    }
}

#[test]
fn bounded_buffer_keeps_the_order() {
    model_of_three(|| {
        let buffer = Arc::new(Buffer {
            item: Mutex::new(Cell::new(None)),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let producer = {
            let buffer = Arc::clone(&buffer);
            thread::spawn(move || (1..=3).for_each(|number| buffer.put(number)))
        };
        assert_eq!([buffer.get(), buffer.get(), buffer.get()], [1, 2, 3]);
        producer.join().unwrap();
    });
}
