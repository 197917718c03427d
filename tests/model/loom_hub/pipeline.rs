//! The pipeline: workers and the consumer's own thread process and deliver, one at a time.

use crate::queue::Single;
use crate::{make, model, spawn};
use firstline::hub::dispatch::pipeline::{Pipeline, Stages};
use firstline::protocol::Priority;
use firstline::queue::{Batch, Queue};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::sync::{Arc, Mutex as Lock};
use std::time::Duration;

/// A picked batch, and its number among all batches.
struct Numbered {
    batch: Batch<Single<u32>>,
    number: u32,
}

impl Numbered {
    fn new() -> Self {
        Self { batch: Batch::new(), number: 0 }
    }
}

/// A queue, a pipeline, and what the threads that run the pipeline took. The consumer and the delivery count batches.
struct Dispatch {
    queue: Queue<Single<u32>, 4>,
    pipeline: Pipeline<u32, u32, Numbered>,
    taken: Lock<Vec<u32>>,
    /// The number of all messages.
    messages: usize,
}

impl Dispatch {
    fn new(messages: usize, releases_early: bool) -> Arc<Self> {
        make(size_of::<Self>(), move || {
            let pipeline = Pipeline::new(0, 0, [Numbered::new(), Numbered::new()], releases_early);
            Arc::new(Self { queue: Queue::new(), pipeline, taken: Lock::new(Vec::new()), messages })
        })
    }

    fn process(&self, picked: &mut u32, group: &mut Numbered) -> bool {
        assert!(group.batch.is_empty(), "the last group is delivered");
        *picked += 1;
        group.number = *picked;
        self.queue.pick(&mut group.batch)
    }

    /// Moves a group to `taken`. Closes the queue after the last message.
    fn deliver(&self, delivered: &mut u32, group: &mut Numbered) {
        assert!(group.number > *delivered, "groups are delivered in order");
        *delivered = group.number;
        let mut taken = self.taken.lock().unwrap();
        taken.extend(group.batch.drain().map(|(_, picked)| picked.item.0));
        if taken.len() == self.messages {
            self.queue.close();
        }
    }

    /// As `Dispatcher::process`: runs the pipeline as long as work remains.
    fn run_while_wanted(&self, offloads: bool) {
        while self.pipeline.try_run(&PipelineRun { dispatch: self, offloads }) {}
    }

    /// As `Dispatcher::keep_processing`.
    fn keep_processing(&self, offloads: bool) {
        while self.queue.wait(None) {
            self.run_while_wanted(offloads);
        }
        self.pipeline.run_last(&PipelineRun { dispatch: self, offloads }, |_| ());
    }

    /// As `Dispatcher::keep_delivering`.
    fn keep_delivering(&self) {
        self.pipeline.keep_delivering(&PipelineRun { dispatch: self, offloads: true });
    }

    fn admit(&self, number: u32) {
        self.queue.admit([(Priority::NORMAL, Single(number))].into_iter(), 1);
    }

    /// As a worker: admits a message, and runs the pipeline as long as it must.
    fn admit_and_run(&self, number: u32) {
        self.admit(number);
        self.run_while_wanted(false);
    }

    /// What was taken, sorted.
    fn taken(&self) -> Vec<u32> {
        let mut taken = self.taken.lock().unwrap().clone();
        taken.sort_unstable();
        taken
    }
}

/// How one thread runs the pipeline.
struct PipelineRun<'a> {
    dispatch: &'a Dispatch,
    offloads: bool,
}

impl Stages<u32, u32, Numbered> for PipelineRun<'_> {
    fn process(&self, picked: &mut u32, group: &mut Numbered) -> bool {
        self.dispatch.process(picked, group)
    }

    fn deliver(&self, delivered: &mut u32, group: &mut Numbered) {
        self.dispatch.deliver(delivered, group);
    }

    fn offloads(&self, _: &Numbered) -> bool {
        self.offloads
    }

    fn is_work_left(&self) -> bool {
        self.dispatch.queue.has_work()
    }
}

fn assert_messages_without_the_lock_are_processed(releases_early: bool) {
    model(3, move || {
        let dispatch = Dispatch::new(3, releases_early);
        let others = [1, 2].map(|number| spawn(&dispatch, move |dispatch| dispatch.admit_and_run(number)));
        dispatch.admit_and_run(3);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(dispatch.taken(), [1, 2, 3], "all threads have ended, and no message is left");
    });
}

#[test]
fn lock_holder_processes_the_message_of_a_thread_that_does_not_get_the_lock() {
    assert_messages_without_the_lock_are_processed(false);
}

#[test]
fn message_of_a_thread_without_the_lock_is_processed_during_a_delivery() {
    assert_messages_without_the_lock_are_processed(true);
}

fn assert_nothing_is_stranded_with_an_own_thread(releases_early: bool) {
    model(3, move || {
        let dispatch = Dispatch::new(2, releases_early);
        let own = spawn(&dispatch, |dispatch| dispatch.keep_processing(false));
        let waker = spawn(&dispatch, |dispatch| {
            dispatch.admit(2);
            dispatch.queue.wake_if_waiting();
        });
        dispatch.admit_and_run(1);
        waker.join().unwrap();
        own.join().unwrap();
        assert_eq!(dispatch.taken(), [1, 2]);
    });
}

#[test]
fn nothing_is_stranded_between_a_processing_worker_and_the_own_thread() {
    assert_nothing_is_stranded_with_an_own_thread(false);
}

#[test]
fn nothing_is_stranded_between_a_delivering_worker_and_the_own_thread() {
    assert_nothing_is_stranded_with_an_own_thread(true);
}

#[test]
fn offloaded_group_is_delivered_and_all_threads_end() {
    model(2, || {
        let dispatch = Dispatch::new(2, true);
        let own = spawn(&dispatch, |dispatch| dispatch.keep_processing(true));
        let delivering = spawn(&dispatch, Dispatch::keep_delivering);
        // Processed by the own thread, or by the worker, if that runs the pipeline already.
        dispatch.admit(1);
        dispatch.queue.wake_if_waiting();
        dispatch.admit_and_run(2);
        own.join().unwrap();
        delivering.join().unwrap();
        assert_eq!(dispatch.taken(), [1, 2]);
    });
}

/// A pipeline with a deadline, and whether the deadline was handled.
struct Timed {
    queue: Queue<Single<u32>, 8>,
    pipeline: Pipeline<bool, (), ()>,
    is_due: AtomicU32,
}

impl Timed {
    fn run_while_wanted(&self) {
        while self.pipeline.try_run(self) {}
    }
}

impl Stages<bool, (), ()> for Timed {
    /// As `Consumer::process`: handles what is due, and then what waits.
    fn process(&self, is_handled: &mut bool, (): &mut ()) -> bool {
        self.queue.clear_overdue();
        *is_handled |= self.is_due.load(Relaxed) == 1;
        self.queue.pick(&mut Batch::new())
    }

    fn deliver(&self, (): &mut (), (): &mut ()) {}

    fn offloads(&self, (): &()) -> bool {
        false
    }

    fn is_work_left(&self) -> bool {
        self.queue.has_work()
    }
}

#[test]
fn deadline_that_passes_during_a_run_is_handled() {
    model(3, || {
        let pipeline = Pipeline::new(false, (), [(), ()], true);
        let timed = Arc::new(Timed { queue: Queue::new(), pipeline, is_due: AtomicU32::new(0) });
        let own = spawn(&timed, |timed| {
            timed.is_due.store(1, Relaxed);
            timed.queue.wait(Some(Duration::ZERO));
            timed.run_while_wanted();
        });
        timed.run_while_wanted();
        own.join().unwrap();
        timed.pipeline.run_last(&*timed, |is_handled| assert!(*is_handled));
    });
}
