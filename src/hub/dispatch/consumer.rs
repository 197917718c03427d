//! The consumer processes messages: it picks the next ones, numbers them, and passes them to the sinks, which can
//! fail. Then the [delivery](super::delivery) delivers and acknowledges them. So an ACK means that every sink has the
//! message.
//!
//! With a journal the consumer processes all batches that wait at that moment together, up to a bound. Messages that
//! arrive during a sync share the next sync (group commit). The consumer never waits for more messages.

use crate::hub::counters::JournalState;
use crate::hub::dispatch::commit_group::CommitGroup;
use crate::hub::dispatch::delivery::Delivery;
use crate::hub::dispatch::pipeline::Pipeline;
use crate::hub::dispatch::sinks::journal::JournalSink;
use crate::hub::dispatch::sinks::stdout::StdoutSink;
use crate::hub::shared::Hub;
use crate::limits::PIPELINE_SHARED_GROUPS_DIVISOR;
use crate::protocol::Priority;
use crate::protocol::reply::Nak;

/// The pipeline with the consumer and the delivery.
pub type ConsumerPipeline = Pipeline<Consumer, Delivery, &'static mut CommitGroup>;

/// The consumer. It is not a thread: the thread that runs the pipeline runs the consumer.
pub struct Consumer {
    /// The ID of the next message.
    next_id: u64,
    stdout_sink: Option<StdoutSink>,
    journal_sink: Option<JournalSink>,
    /// How many of the last groups had messages of several clients, in parts of [`ALL_GROUPS`]: a moving average.
    shared_groups: u32,
    /// The journal's next deadline that the policy knows, in nanoseconds.
    due_ns: Option<u64>,
}

/// The value of [`Consumer::shared_groups`] if all groups had messages of several clients.
const ALL_GROUPS: u32 = 256;

impl Consumer {
    /// A consumer with these sinks.
    pub fn new(stdout_sink: Option<StdoutSink>, journal_sink: Option<JournalSink>) -> Self {
        let next_id = journal_sink.as_ref().map_or(1, JournalSink::next_id);
        Self { next_id, stdout_sink, journal_sink, shared_groups: 0, due_ns: None }
    }

    /// Whether the consumer needs its own thread: a sink may block the thread that runs the pipeline, or has a
    /// deadline.
    pub fn needs_thread(&self) -> bool {
        self.stdout_sink.is_some() || self.journal_sink.is_some()
    }

    /// The state of the journal, for the counters, or `None` if there is no journal.
    pub fn journal_state(&self) -> Option<JournalState> {
        self.journal_sink.as_ref().map(JournalSink::state)
    }

    /// Whether workers may run the pipeline now. They may not if the server prints messages, because the reader of
    /// standard output may block it for any time. With a journal they may if its disk is quick and most groups are of
    /// one client. If several clients send all the time, workers receive while another thread waits for the disk.
    pub fn lets_workers_run(&self) -> bool {
        let is_crowded = self.shared_groups > ALL_GROUPS / PIPELINE_SHARED_GROUPS_DIVISOR;
        self.stdout_sink.is_none()
            && self.journal_sink.as_ref().is_none_or(|journal_sink| journal_sink.is_quick() && !is_crowded)
    }

    /// The pipeline of this consumer.
    ///
    /// # Panics
    /// When called twice: there is only one pair of commit groups.
    pub fn into_pipeline(self) -> ConsumerPipeline {
        // Without a disk to wait for, two threads would only contend.
        let releases_early = self.journal_sink.is_some();
        Pipeline::new(self, Delivery::new(), CommitGroup::all(), releases_early)
    }

    /// Processes the next messages into `group`, which the caller then delivers: one batch, or with a journal as many
    /// batches as can be committed together. Returns false if nothing waits.
    pub fn process(&mut self, group: &mut CommitGroup, hub: &Hub) -> bool {
        self.run_deadlines(hub, false);
        self.take(group, hub);
        if group.batches().is_empty() {
            return false;
        }
        self.commit(group, hub);
        true
    }

    /// Runs the deadlines of the sinks that have passed, whether or not messages wait. With `is_end`, the sinks finish
    /// all work that is left.
    pub fn run_deadlines(&mut self, hub: &Hub, is_end: bool) {
        let Some(journal_sink) = &mut self.journal_sink else { return };
        // Before the deadlines are checked: a deadline that passes after this makes the pipeline run again.
        hub.queue.clear_overdue();
        journal_sink.sync_due(is_end, hub);
        journal_sink.update_counters(hub);
        self.publish_deadline(hub);
    }

    fn publish_deadline(&mut self, hub: &Hub) {
        let due_ns = self.journal_sink.as_ref().and_then(JournalSink::deadline_ns);
        if self.due_ns != due_ns {
            self.due_ns = due_ns;
            hub.policy.set_due_ns(due_ns);
            if due_ns.is_some() {
                hub.queue.wake();
            }
        }
    }

    /// Picks the next batches, numbers and prints them, and passes them to the journal.
    fn take(&mut self, group: &mut CommitGroup, hub: &Hub) {
        if let Some(journal_sink) = &mut self.journal_sink {
            journal_sink.begin();
        }
        group.clear();
        while self.has_room(group, hub) && group.add(|batch| hub.queue.pick(batch)) {
            self.number(group);
            self.print(group, hub);
            self.record(group, hub);
        }
    }

    /// Whether another batch can join the group. After an urgent message, only a batch that begins with an urgent
    /// message can: urgent messages do not wait until others are written.
    fn has_room(&self, group: &mut CommitGroup, hub: &Hub) -> bool {
        let Some(journal_sink) = &self.journal_sink else { return group.batches().is_empty() };
        let is_next_urgent = || hub.queue.next_priority().is_some_and(|priority| priority >= Priority::HIGH);
        group.has_room() && journal_sink.has_room() && (!group.is_urgent() || is_next_urgent())
    }

    fn number(&mut self, group: &mut CommitGroup) {
        let Some(numbered) = group.batches().last_mut() else { return };
        numbered.first_id = self.next_id;
        numbered.accepted = numbered.batch.messages();
        self.next_id += numbered.accepted as u64;
    }

    /// Prints the lines of the last batch, and refuses the messages whose lines could not be printed.
    fn print(&mut self, group: &mut CommitGroup, hub: &Hub) {
        if let Some(stdout_sink) = &mut self.stdout_sink {
            let last = group.batches().len() - 1;
            let (numbered, lines, spans) = group.formatted(last, hub);
            let printed = stdout_sink.print(lines);
            numbered.accepted = spans.iter().take_while(|span| span.end <= printed).count();
            numbered.reason = Nak::PrintFailed;
        }
    }

    /// Passes the accepted messages of the last batch to the journal.
    fn record(&mut self, group: &mut CommitGroup, hub: &Hub) {
        let (Some(journal_sink), Some(numbered)) = (&mut self.journal_sink, group.batches().last()) else {
            return;
        };
        for (index, picked) in numbered.batch.runs() {
            let from = hub.sender(&picked.item);
            let accepted = numbered.accepted_in(&picked.item, index);
            let numbered = (numbered.first_id + index as u64..).zip(picked.item.messages());
            for (id, slot) in numbered.take(accepted) {
                journal_sink.record(id, picked.priority, from.as_bytes(), slot.text());
            }
        }
        journal_sink.flush();
    }

    /// Commits the group to the journal. If that fails, refuses every message of the group.
    fn commit(&mut self, group: &mut CommitGroup, hub: &Hub) {
        let Some(journal_sink) = &mut self.journal_sink else { return };
        if !journal_sink.commit(hub) {
            for numbered in group.batches() {
                numbered.accepted = 0;
                numbered.reason = Nak::JournalFailed;
            }
            // Unless the lines were printed, no reader knows these IDs, and they are given again. If they were
            // skipped, the replay would report them to readers as lost.
            if self.stdout_sink.is_none() {
                self.next_id = journal_sink.next_id();
            } else {
                journal_sink.skip_to(self.next_id);
            }
        }
        self.publish_deadline(hub);
        let is_shared = group.has_several_clients();
        self.shared_groups =
            self.shared_groups - self.shared_groups / 8 + u32::from(is_shared) * ALL_GROUPS / 8;
        hub.policy.let_workers_run(self.lets_workers_run());
    }
}
