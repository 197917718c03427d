//! The dispatcher: lets a worker that has just admitted a message, or the consumer's own thread, process and deliver
//! it.

use super::commit_group::CommitGroup;
use super::consumer::{Consumer, ConsumerPipeline};
use super::delivery::Delivery;
use super::pipeline::Stages;
use crate::hub::shared::Hub;
use crate::hub::workers::caller::Caller;
use crate::hub::workers::worker_id::WorkerId;
use crate::limits::PIPELINE_MESSAGES_MIN;
use crate::sync::{Condvar, Mutex};
use std::time::Duration;

/// The pipeline of a hub, and the loops of the threads that only run it.
pub struct Dispatcher {
    hub: &'static Hub,
    pipeline: ConsumerPipeline,
    /// Whether the consumer's own thread, if there is one, has finished its last run.
    is_finished: Mutex<bool>,
    finished: Condvar,
}

impl Dispatcher {
    /// The dispatcher of that hub. Startup calls this once.
    pub fn new(hub: &'static Hub, pipeline: ConsumerPipeline) -> Self {
        Self {
            hub,
            pipeline,
            is_finished: Mutex::new(!hub.policy.has_own_thread()),
            finished: Condvar::new(),
        }
    }

    /// Whether there is a thread that [keeps delivering](Self::keep_delivering). There is one with a journal, so that
    /// the consumer's thread can wait for the disk at the same time; but not in real time, where nothing may depend on
    /// a thread that does not run in real time.
    pub fn has_delivery_thread(&self) -> bool {
        self.hub.replay.is_some() && !self.hub.policy.dedicated_only()
    }

    /// The pipeline, once no thread uses the hub any more.
    pub fn into_pipeline(self) -> ConsumerPipeline {
        self.pipeline
    }

    /// For the consumer's own thread: runs the pipeline whenever another thread wakes it or a deadline has passed,
    /// until the queue is closed.
    pub fn keep_processing(&self) {
        while self.try_run(Caller::OwnThread) {}
        while self.hub.queue.wait(self.hub.policy.timeout()) {
            while self.try_run(Caller::OwnThread) {}
        }
        self.pipeline
            .run_last(&self.stages(Caller::OwnThread), |consumer| consumer.run_deadlines(self.hub, true));
        *self.is_finished.lock() = true;
        self.finished.notify_all();
    }

    /// For the delivery's own thread: delivers the groups that the consumer's own thread offloads, until that thread
    /// makes its [last run](super::pipeline::Pipeline::run_last).
    pub fn keep_delivering(&self) {
        self.pipeline.keep_delivering(&self.stages(Caller::OwnThread));
    }

    /// Closes the queue, and waits until the consumer's own thread, if there is one, has finished its last run; no
    /// longer than `timeout`.
    pub fn finish(&self, timeout: Duration) {
        self.hub.queue.close();
        drop(self.finished.wait_timeout_while(self.is_finished.lock(), timeout, |is_finished| !*is_finished));
    }

    /// For a worker that has admitted messages: runs the pipeline if the worker may, or else wakes the consumer's
    /// thread. Returns true if the worker has to call again, after it has polled its connections.
    #[must_use = "if this returns true, call again, or queued messages are stranded"]
    pub fn process(&self, worker: WorkerId) -> bool {
        if self.hub.policy.workers_may_run() {
            return self.try_run(Caller::Worker(worker));
        }
        self.hub.queue.wake_if_waiting();
        false
    }

    /// Runs the pipeline if no other thread does. Returns true if the caller has to call again.
    #[must_use = "if this returns true, call again, or queued messages are stranded"]
    pub fn try_run(&self, caller: Caller) -> bool {
        self.pipeline.try_run(&self.stages(caller))
    }

    fn stages(&self, caller: Caller) -> PipelineRun<'_> {
        PipelineRun { dispatcher: self, caller }
    }

    /// How many messages of a worker are worth a run while others of its connections still wait to be polled, if none
    /// of the messages is urgent. With a journal the worker polls all of them first: one sync serves all their
    /// messages.
    pub fn messages_worth_a_run(&self) -> usize {
        if self.hub.replay.is_some() { usize::MAX } else { PIPELINE_MESSAGES_MIN }
    }
}

/// The stages of the pipeline, as one thread runs them.
struct PipelineRun<'a> {
    dispatcher: &'a Dispatcher,
    caller: Caller,
}

impl Stages<Consumer, Delivery, &'static mut CommitGroup> for PipelineRun<'_> {
    fn process(&self, consumer: &mut Consumer, group: &mut &'static mut CommitGroup) -> bool {
        consumer.process(group, self.dispatcher.hub)
    }

    fn deliver(&self, delivery: &mut Delivery, group: &mut &'static mut CommitGroup) {
        delivery.deliver_all(group, self.dispatcher.hub, self.caller);
    }

    /// The consumer's own thread offloads a group if more messages wait for the disk. It delivers an urgent group
    /// itself, because it takes a while to wake another thread.
    fn offloads(&self, group: &&'static mut CommitGroup) -> bool {
        self.caller == Caller::OwnThread
            && self.dispatcher.has_delivery_thread()
            && !group.is_urgent()
            && self.is_work_left()
    }

    fn is_work_left(&self) -> bool {
        self.dispatcher.hub.queue.has_work()
    }
}
