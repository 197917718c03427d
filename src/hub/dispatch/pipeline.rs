//! The pipeline: a combiner. The thread that gets its lock processes the messages of all threads, as in "Flat
//! Combining and the Synchronization-Parallelism Tradeoff" (Hendler, Incze, Shavit, Tzafrir, SPAA 2010).
//!
//! A worker that has just admitted a message tries the lock. If it gets the lock, it runs the pipeline a bounded
//! number of times, and no other thread has to be woken for its message. If a sink may block, the consumer has its own
//! thread, so that no worker waits for the sink while its other connections need it. If the disk is quick enough,
//! workers and that thread both run the pipeline.
//!
//! Groups are delivered one after the other. If there is a disk to wait for, a thread releases the consumer's lock
//! before it delivers, so that the next group can go to the disk at the same time. Another thread processes that
//! group; or the same thread does, after it has offloaded the delivery to a thread that does nothing else. The
//! consumer and the delivery have one group each, and swap them when the consumer's group is processed. A thread takes
//! the delivery's lock before it releases the consumer's lock, so the order of the groups stays. The next thread that
//! takes the delivery's lock delivers an offloaded group.
//!
//! No message is stranded. A thread rechecks the queue *after* it has released the consumer's lock, and reports
//! whether work remains; if so, it calls again after it has polled its connections. A thread whose `try_lock` fails
//! may leave. Either the holder of the lock sees its message in the recheck; or the recheck came before the message
//! was admitted, and then the lock was free when the thread tried it. So no thread waits for the consumer's lock,
//! which is held for as long as a sink takes, except the thread that ends the pipeline. At most one thread waits for
//! the delivery's lock, and no client can make that wait long.
//!
//! This module knows neither the queue nor the consumer, only the [`Stages`] that run them. So it can be
//! model-checked.

use crate::limits::PIPELINE_RUNS_MAX;
use crate::sync::{Condvar, Mutex};
use core::mem;

/// The stages of a pipeline with a consumer `C`, a delivery `D`, and groups `G`.
pub trait Stages<C, D, G> {
    /// Lets the consumer process the next messages into `group`. Returns false if nothing waits.
    fn process(&self, consumer: &mut C, group: &mut G) -> bool;

    /// Lets the delivery deliver `group`.
    fn deliver(&self, delivery: &mut D, group: &mut G);

    /// Whether the thread that has processed `group` offloads it to the thread that only delivers.
    fn offloads(&self, group: &G) -> bool;

    /// Whether something waits to be processed.
    fn is_work_left(&self) -> bool;
}

/// A consumer `C` and a delivery `D`, each with a group `G`. One thread at a time runs each of them.
pub struct Pipeline<C, D, G> {
    consumer: Mutex<(C, G)>,
    delivery: Mutex<Delivering<D, G>>,
    /// Notified when the thread that only delivers has something to do.
    offloaded: Condvar,
    /// Whether the consumer's lock is released before the delivery.
    releases_early: bool,
}

/// The delivery and its group.
struct Delivering<D, G> {
    delivery: D,
    group: G,
    /// Whether the group waits for its delivery.
    is_waiting: bool,
    /// Whether no group will be offloaded any more.
    is_over: bool,
}

impl<D, G> Delivering<D, G> {
    /// Delivers the group, if it waits for its delivery.
    fn deliver<C>(&mut self, stages: &impl Stages<C, D, G>) {
        if mem::take(&mut self.is_waiting) {
            stages.deliver(&mut self.delivery, &mut self.group);
        }
    }
}

impl<C, D, G> Pipeline<C, D, G> {
    /// A pipeline that no thread runs. `releases_early`: whether to release the consumer's lock before the delivery.
    pub fn new(consumer: C, delivery: D, groups: [G; 2], releases_early: bool) -> Self {
        let [first, second] = groups;
        Self {
            consumer: Mutex::new((consumer, first)),
            delivery: Mutex::new(Delivering { delivery, group: second, is_waiting: false, is_over: false }),
            offloaded: Condvar::new(),
            releases_early,
        }
    }

    /// The consumer.
    pub fn consumer(&mut self) -> &mut C {
        &mut self.consumer.get_mut().0
    }

    /// The delivery.
    pub fn delivery(&mut self) -> &mut D {
        &mut self.delivery.get_mut().delivery
    }

    /// Runs the pipeline, unless another thread does: lets the consumer process a group, and delivers or offloads that
    /// group. It repeats that up to [`PIPELINE_RUNS_MAX`] times, while messages wait. Returns true if work remains
    /// that perhaps no other thread will do: call again.
    #[must_use = "if this returns true, call again, or queued messages are stranded"]
    pub fn try_run(&self, stages: &impl Stages<C, D, G>) -> bool {
        for _ in 0..PIPELINE_RUNS_MAX {
            // The thread that holds the lock rechecks the queue.
            let Some(mut processing) = self.consumer.try_lock() else { return false };
            let (consumer, group) = &mut *processing;
            if !stages.process(consumer, group) {
                break;
            }
            let mut delivering = self.delivery.lock();
            // An offloaded group is older, so it is delivered first.
            delivering.deliver(stages);
            mem::swap(group, &mut delivering.group);
            delivering.is_waiting = true;
            let mut kept = Some(processing);
            if self.releases_early {
                drop(kept.take());
            }
            if stages.offloads(&delivering.group) {
                drop(delivering);
                self.offloaded.notify_one();
            } else {
                delivering.deliver(stages);
            }
        }
        stages.is_work_left()
    }

    /// For one thread that does nothing else: delivers offloaded groups, until the [last run](Pipeline::run_last).
    pub fn keep_delivering(&self, stages: &impl Stages<C, D, G>) {
        let mut delivering = self.delivery.lock();
        loop {
            let is_idle = |delivering: &mut Delivering<D, G>| !delivering.is_waiting && !delivering.is_over;
            delivering = self.offloaded.wait_while(delivering, is_idle);
            delivering.deliver(stages);
            if mem::take(&mut delivering.is_over) {
                return;
            }
        }
    }

    /// For the thread that ends the pipeline: waits until no other thread runs it, delivers an offloaded group, and
    /// calls `last`.
    pub fn run_last(&self, stages: &impl Stages<C, D, G>, last: impl FnOnce(&mut C)) {
        let mut processing = self.consumer.lock();
        let mut delivering = self.delivery.lock();
        delivering.deliver(stages);
        delivering.is_over = true;
        drop(delivering);
        self.offloaded.notify_one();
        last(&mut processing.0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::cell::{Cell, RefCell};

    fn pipeline(releases_early: bool) -> Pipeline<u32, Vec<u32>, u32> {
        Pipeline::new(0, Vec::new(), [0, 0], releases_early)
    }

    /// Numbers the groups.
    fn process(consumer: &mut u32, group: &mut u32) -> bool {
        *consumer += 1;
        *group = *consumer;
        true
    }

    fn deliver(delivery: &mut Vec<u32>, group: &mut u32) {
        delivery.push(*group);
    }

    /// Offloads nothing.
    fn keep(_: &u32) -> bool {
        false
    }

    /// The four stages as closures, in the order of the trait.
    struct Closures<P, D, O, L>(P, D, O, L);

    impl<P, D, O, L> Stages<u32, Vec<u32>, u32> for Closures<P, D, O, L>
    where
        P: Fn(&mut u32, &mut u32) -> bool,
        D: Fn(&mut Vec<u32>, &mut u32),
        O: Fn(&u32) -> bool,
        L: Fn() -> bool,
    {
        fn process(&self, consumer: &mut u32, group: &mut u32) -> bool {
            self.0(consumer, group)
        }

        fn deliver(&self, delivery: &mut Vec<u32>, group: &mut u32) {
            self.1(delivery, group);
        }

        fn offloads(&self, group: &u32) -> bool {
            self.2(group)
        }

        fn is_work_left(&self) -> bool {
            self.3()
        }
    }

    /// Stages that deliver every group at once.
    fn all() -> impl Stages<u32, Vec<u32>, u32> + Sync {
        Closures(process, deliver, keep, || true)
    }

    #[test]
    fn run_is_bounded_and_reports_remaining_work() {
        for releases_early in [false, true] {
            let mut pipeline = pipeline(releases_early);
            assert!(pipeline.try_run(&Closures(process, deliver, keep, || true)));
            assert!(!pipeline.try_run(&Closures(process, deliver, keep, || false)));
            let found = Cell::new(0);
            let process_one =
                |consumer: &mut u32, group: &mut u32| found.replace(1) == 0 && process(consumer, group);
            assert!(
                !pipeline.try_run(&Closures(process_one, deliver, keep, || false)),
                "nothing was left to process"
            );
            let delivered: Vec<u32> = (1..=2 * PIPELINE_RUNS_MAX as u32 + 1).collect();
            assert_eq!(pipeline.delivery(), &delivered);
        }
    }

    #[test]
    fn thread_that_does_not_get_the_lock_leaves() {
        let pipeline = pipeline(true);
        let inner = |_: &mut u32, _: &mut u32| {
            let run = |_: &mut u32, _: &mut u32| unreachable!("two threads run it at once");
            assert!(!pipeline.try_run(&Closures(run, deliver, keep, || true)));
            false
        };
        assert!(!pipeline.try_run(&Closures(inner, deliver, keep, || false)));
    }

    #[test]
    fn another_thread_processes_during_the_delivery_only_if_the_lock_is_released() {
        for releases_early in [false, true] {
            let (pipeline, others) = (pipeline(releases_early), RefCell::new(Vec::new()));
            let deliver_and_look = |delivery: &mut Vec<u32>, group: &mut u32| {
                // It processes nothing: to deliver, it would have to wait.
                let mut found = false;
                let look = |_: &mut u32, _: &mut u32| false;
                found |= pipeline.try_run(&Closures(look, deliver, keep, || true));
                others.borrow_mut().push(found);
                deliver(delivery, group);
            };
            assert!(!pipeline.try_run(&Closures(process, deliver_and_look, keep, || false)));
            assert_eq!(others.take(), [releases_early; PIPELINE_RUNS_MAX]);
        }
    }

    #[test]
    fn offloaded_group_is_delivered_by_the_next_thread_and_in_order() {
        let mut pipeline = pipeline(true);
        assert!(pipeline.try_run(&Closures(process, deliver, |_: &u32| true, || true)));
        assert_eq!(pipeline.delivery(), &[1], "the last group waits");
        assert!(pipeline.try_run(&Closures(process, deliver, |group: &u32| *group == 4, || true)));
        assert_eq!(pipeline.delivery(), &[1, 2, 3], "the offloaded group came first");
        pipeline.run_last(&all(), |_| ());
        assert_eq!(pipeline.delivery(), &[1, 2, 3, 4]);
        let nothing = |_: &mut Vec<u32>, _: &mut u32| unreachable!("no group was left to deliver");
        pipeline.keep_delivering(&Closures(process, nothing, keep, || true));
        assert!(!pipeline.delivery.get_mut().is_over, "the pipeline can be used again");
    }

    #[test]
    fn thread_that_only_delivers_is_woken() {
        const CALLS: u32 = 1_000;
        let pipeline = pipeline(true);
        std::thread::scope(|scope| {
            scope.spawn(|| pipeline.keep_delivering(&all()));
            (0..CALLS).for_each(|_| {
                assert!(pipeline.try_run(&Closures(process, deliver, |_: &u32| true, || true)))
            });
            pipeline.run_last(&all(), |_| ());
        });
        let Delivering { delivery, .. } = pipeline.delivery.into_inner();
        assert!(delivery.into_iter().eq(1..=CALLS * PIPELINE_RUNS_MAX as u32));
    }

    #[test]
    fn last_run_has_the_consumer() {
        let mut pipeline = pipeline(true);
        pipeline.run_last(&all(), |consumer| *consumer = 7);
        assert_eq!(*pipeline.consumer(), 7);
    }
}
