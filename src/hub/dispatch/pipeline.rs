//! The consumer's seat: at most one processes at a time.
//!
//! A worker that has just admitted something and finds the seat free sits down for one bounded turn: no thread has to be
//! woken for its message. Where a sink may hold up who sits there, the consumer has a thread of its own, so that no worker,
//! who has clients that wait, waits for the sink; with a disk that is quick enough, both sit there, whoever comes first.
//!
//! What was processed is delivered one group after the other. Where there is a disk to wait for, who did it stands up before
//! that, so that the next group can be on its way to the disk meanwhile: another sits down, or he does it himself, and hands what
//! is to be delivered over to a thread that does nothing else. Consumer and delivery have a group each, and change them when
//! one is done; the delivery is taken before the seat is left, so the order stays. What was handed over is delivered by whoever has
//! the delivery next, be it that thread or one who brings more.
//!
//! Nothing is stranded: who stands up looks at the queue *after* the seat is free, and comes back, once his own clients
//! have had their turn, if there is something. One who admits and then finds the seat taken can go: either its
//! message was there at that look, or the look came before it was admitted, and then the seat was free when it tried.
//! So nobody waits for the seat, which is held for as long as a sink takes; but at the end, when there is nothing else to do.
//! The delivery is waited for, by at most one: no client can hold it up.
//!
//! This module knows neither queue nor consumer, only what is done with them; so it can be model-checked.

use crate::limits::PIPELINE_RUNS_MAX;
use crate::sync::{Condvar, Mutex};
use core::mem;

/// Where one sits who processes, with what he needs for it: a consumer `C`, a delivery `D`, and a group `G` for each of them.
pub struct Pipeline<C, D, G> {
    consumer: Mutex<(C, G)>,
    delivery: Mutex<Delivering<D, G>>,
    /// Rings when there is something for the thread that only delivers.
    offloaded: Condvar,
    /// Whether another may sit down during the delivery.
    releases_early: bool,
}

/// The delivery and its group.
struct Delivering<D, G> {
    delivery: D,
    group: G,
    /// Whether the group is to be delivered.
    is_waiting: bool,
    /// Whether nothing will be handed over any more.
    is_over: bool,
}

impl<D, G> Delivering<D, G> {
    /// Delivers what is waiting for it, if anything is.
    fn deliver(&mut self, deliver: impl Fn(&mut D, &mut G)) {
        if mem::take(&mut self.is_waiting) {
            deliver(&mut self.delivery, &mut self.group);
        }
    }
}

impl<C, D, G> Pipeline<C, D, G> {
    /// A free seat. `releases_early`: whether another may sit down during the delivery.
    pub fn new(consumer: C, delivery: D, groups: [G; 2], releases_early: bool) -> Self {
        let [first, second] = groups;
        Self {
            consumer: Mutex::new((consumer, first)),
            delivery: Mutex::new(Delivering { delivery, group: second, is_waiting: false, is_over: false }),
            offloaded: Condvar::new(),
            releases_early,
        }
    }

    /// The consumer, at a seat where nobody sits.
    pub fn consumer(&mut self) -> &mut C {
        &mut self.consumer.get_mut().0
    }

    /// The delivery, at a seat where nobody sits.
    pub fn delivery(&mut self) -> &mut D {
        &mut self.delivery.get_mut().delivery
    }

    /// For one who has admitted something, or was called, or told to come back: if the seat is free, has the consumer
    /// `process` something, and delivers it or `offloads` that, [`PIPELINE_RUNS_MAX`] times or until there was nothing. True: he
    /// must come back, for something `is_left` and perhaps nobody else sees to it.
    #[must_use = "who must come back and does not strands messages"]
    pub fn try_run(
        &self,
        process: impl Fn(&mut C, &mut G) -> bool,
        deliver: impl Fn(&mut D, &mut G),
        offloads: impl Fn(&G) -> bool,
        is_left: impl Fn() -> bool,
    ) -> bool {
        for _ in 0..PIPELINE_RUNS_MAX {
            // Who sits there sees to it.
            let Some(mut running) = self.consumer.try_lock() else { return false };
            let (consumer, group) = &mut *running;
            if !process(consumer, group) {
                break;
            }
            let mut delivering = self.delivery.lock();
            // What was handed over before it comes first.
            delivering.deliver(&deliver);
            mem::swap(group, &mut delivering.group);
            delivering.is_waiting = true;
            // Dropped here, if it is left early.
            let _running = (!self.releases_early).then_some(running);
            if offloads(&delivering.group) {
                drop(delivering);
                self.offloaded.notify_one();
            } else {
                delivering.deliver(&deliver);
            }
        }
        is_left()
    }

    /// For a thread that does nothing else, the only one: delivers what is handed over, until the [last turn](Pipeline::run_last)
    /// was taken.
    pub fn keep_delivering(&self, deliver: impl Fn(&mut D, &mut G)) {
        let mut delivering = self.delivery.lock();
        loop {
            let is_idle = |delivering: &mut Delivering<D, G>| !delivering.is_waiting && !delivering.is_over;
            delivering = self.offloaded.wait_while(delivering, is_idle);
            delivering.deliver(&deliver);
            if mem::take(&mut delivering.is_over) {
                return;
            }
        }
    }

    /// For the last one: sits down once nobody else does and all is delivered.
    pub fn run_last(&self, deliver: impl Fn(&mut D, &mut G), turn: impl FnOnce(&mut C)) {
        let mut running = self.consumer.lock();
        let mut delivering = self.delivery.lock();
        delivering.deliver(deliver);
        delivering.is_over = true;
        drop(delivering);
        self.offloaded.notify_one();
        turn(&mut running.0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::{Cell, RefCell};

    fn pipeline(releases_early: bool) -> Pipeline<u32, Vec<u32>, u32> {
        Pipeline::new(0, Vec::new(), [0, 0], releases_early)
    }

    /// Numbers what it processes.
    fn process(consumer: &mut u32, group: &mut u32) -> bool {
        *consumer += 1;
        *group = *consumer;
        true
    }

    fn deliver(delivery: &mut Vec<u32>, group: &mut u32) {
        delivery.push(*group);
    }

    /// Hands nothing over.
    fn keep(_: &u32) -> bool {
        false
    }

    #[test]
    fn a_turn_is_bounded_and_who_leaves_something_is_told_to_come_back() {
        for releases_early in [false, true] {
            let mut pipeline = pipeline(releases_early);
            assert!(pipeline.try_run(process, deliver, keep, || true));
            assert!(!pipeline.try_run(process, deliver, keep, || false));
            let found = Cell::new(0);
            let process_one =
                |consumer: &mut u32, group: &mut u32| found.replace(1) == 0 && process(consumer, group);
            assert!(!pipeline.try_run(process_one, deliver, keep, || false), "then nothing was found");
            let delivered: Vec<u32> = (1..=2 * PIPELINE_RUNS_MAX as u32 + 1).collect();
            assert_eq!(pipeline.delivery(), &delivered);
        }
    }

    #[test]
    fn who_finds_the_seat_taken_goes() {
        let pipeline = pipeline(true);
        let inner = |_: &mut u32, _: &mut u32| {
            assert!(!pipeline.try_run(|_, _| unreachable!("two sit at once"), deliver, keep, || true));
            false
        };
        assert!(!pipeline.try_run(inner, deliver, keep, || false));
    }

    #[test]
    fn another_sits_down_during_the_delivery_only_if_it_may() {
        for releases_early in [false, true] {
            let (pipeline, others) = (pipeline(releases_early), RefCell::new(Vec::new()));
            let deliver_and_look = |delivery: &mut Vec<u32>, group: &mut u32| {
                // It finds nothing: to deliver, it would have to wait.
                let mut found = false;
                let look = |_: &mut u32, _: &mut u32| false;
                found |= pipeline.try_run(look, deliver, keep, || true);
                others.borrow_mut().push(found);
                deliver(delivery, group);
            };
            assert!(!pipeline.try_run(process, deliver_and_look, keep, || false));
            assert_eq!(others.take(), [releases_early; PIPELINE_RUNS_MAX]);
        }
    }

    #[test]
    fn what_was_handed_over_is_delivered_by_who_comes_next_and_in_order() {
        let mut pipeline = pipeline(true);
        assert!(pipeline.try_run(process, deliver, |_| true, || true));
        assert_eq!(pipeline.delivery(), &[1], "the last one waits");
        assert!(pipeline.try_run(process, deliver, |group| *group == 4, || true));
        assert_eq!(pipeline.delivery(), &[1, 2, 3], "what waited came before what was new");
        pipeline.run_last(deliver, |_| ());
        assert_eq!(pipeline.delivery(), &[1, 2, 3, 4]);
        pipeline.keep_delivering(|_, _| unreachable!("nothing was left for it"));
        assert!(!pipeline.delivery.get_mut().is_over, "it can be used again");
    }

    #[test]
    fn the_thread_that_only_delivers_is_woken_for_it() {
        const TURNS: u32 = 1_000;
        let pipeline = pipeline(true);
        std::thread::scope(|scope| {
            scope.spawn(|| pipeline.keep_delivering(deliver));
            (0..TURNS).for_each(|_| assert!(pipeline.try_run(process, deliver, |_| true, || true)));
            pipeline.run_last(deliver, |_| ());
        });
        let Delivering { delivery, .. } = pipeline.delivery.into_inner();
        assert!(delivery.into_iter().eq(1..=TURNS * PIPELINE_RUNS_MAX as u32));
    }

    #[test]
    fn the_last_turn_has_the_consumer() {
        let mut pipeline = pipeline(true);
        pipeline.run_last(deliver, |consumer| *consumer = 7);
        assert_eq!(*pipeline.consumer(), 7);
    }
}
