//! The consumer processes messages: it picks those that come first, numbers them, and gives them to the sinks, which can fail. Then they
//! are [delivered](super::delivery), and acknowledged. So an ACK means that every sink has the message.
//!
//! With a journal several batches go this way together, as many as wait at that moment: what comes during a sync shares the next one
//! (group commit). The consumer never waits for more to come.

use crate::hub::Hub;
use crate::hub::dispatch::commit_group::CommitGroup;
use crate::hub::dispatch::delivery::Delivery;
use crate::hub::dispatch::pipeline::Pipeline;
use crate::hub::dispatch::sinks::journal::JournalSink;
use crate::hub::dispatch::sinks::stdout::StdoutSink;
use crate::journal::segment::Identity;
use crate::journal::writer::WriteStats;
use crate::limits::PIPELINE_SHARED_GROUPS_DIVISOR;
use crate::protocol::Priority;
use crate::protocol::reply::Nak;

/// The pipeline of the consumer.
pub type ConsumerPipeline = Pipeline<Consumer, Delivery, &'static mut CommitGroup>;

/// The consumer. It is no thread: whichever thread runs its pipeline processes.
pub struct Consumer {
    /// The ID of the next message.
    next_id: u64,
    stdout_sink: Option<StdoutSink>,
    journal_sink: Option<JournalSink>,
    /// How many of the last groups had messages of several clients, of [`ALL_GROUPS`]: a moving average.
    shared_groups: u32,
    /// By when the journal has something to do, as the policy was told, in nanoseconds.
    due_ns: Option<u64>,
}

/// The value of [`Consumer::shared_groups`] if all had.
const ALL_GROUPS: u32 = 256;

impl Consumer {
    /// A consumer with these sinks.
    pub fn new(stdout_sink: Option<StdoutSink>, journal_sink: Option<JournalSink>) -> Self {
        let next_id = journal_sink.as_ref().map_or(1, JournalSink::next_id);
        Self { next_id, stdout_sink, journal_sink, shared_groups: 0, due_ns: None }
    }

    /// Whether it must have a thread of its own: a sink may block the thread that runs the pipeline, or has something to do in time.
    pub fn needs_thread(&self) -> bool {
        self.stdout_sink.is_some() || self.journal_sink.is_some()
    }

    /// What the counters say of the journal, if there is one: its identity, what it has done, whether it works.
    pub fn journal_state(&self) -> Option<(Identity, WriteStats, bool)> {
        self.journal_sink.as_ref().map(JournalSink::state)
    }

    /// Whether workers may run the pipeline now. Not if messages are printed, because the reader of standard output may block that for any
    /// time. With a journal if its disk is quick and most groups are of one client; if several clients send all the time, workers
    /// receive while another thread waits for the disk.
    pub fn lets_workers_run(&self) -> bool {
        let is_crowded = self.shared_groups > ALL_GROUPS / PIPELINE_SHARED_GROUPS_DIVISOR;
        self.stdout_sink.is_none()
            && self.journal_sink.as_ref().is_none_or(|journal_sink| journal_sink.is_quick() && !is_crowded)
    }

    /// Its pipeline.
    ///
    /// # Panics
    /// When called twice: there is one.
    pub fn into_pipeline(self) -> ConsumerPipeline {
        // Without a disk to wait for, two threads would only contend.
        let releases_early = self.journal_sink.is_some();
        Pipeline::new(self, Delivery::new(), CommitGroup::all(), releases_early)
    }

    /// Processes what comes first into `group`, which is to be delivered then: one batch, or with a journal what can be committed together.
    /// False: nothing waits.
    pub fn process(&mut self, group: &mut CommitGroup, hub: &Hub) -> bool {
        self.run_deadlines(hub, false);
        self.take(group, hub);
        if group.batches().is_empty() {
            return false;
        }
        self.commit(group, hub);
        true
    }

    /// Does what the sinks have to do by a certain time, whether or not messages wait; at the end, all that they still have to do.
    pub fn run_deadlines(&mut self, hub: &Hub, is_end: bool) {
        let Some(journal_sink) = &mut self.journal_sink else { return };
        // Before the deadlines are looked at: what becomes due after this makes the pipeline run again.
        hub.queue.clear_overdue();
        journal_sink.sync_due(is_end, hub);
        journal_sink.count(hub);
        self.tell_due(hub);
    }

    fn tell_due(&mut self, hub: &Hub) {
        let due_ns = self.journal_sink.as_ref().and_then(JournalSink::deadline_ns);
        if self.due_ns != due_ns {
            self.due_ns = due_ns;
            hub.policy.set_due_ns(due_ns);
            if due_ns.is_some() {
                hub.queue.wake();
            }
        }
    }

    /// Picks what comes first, numbers and prints it, and gives it to the journal.
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

    /// Whether another batch can join the group. None that begins with a lesser message joins an urgent group: urgent messages do not wait
    /// until more is written.
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

    /// Prints the lines of the last batch. Messages whose lines could not be printed are not accepted.
    fn print(&mut self, group: &mut CommitGroup, hub: &Hub) {
        if let Some(stdout_sink) = &mut self.stdout_sink {
            let last = group.batches().len() - 1;
            let (numbered, lines, spans) = group.formatted(last, hub);
            let printed = stdout_sink.print(lines);
            numbered.accepted = spans.iter().take_while(|span| span.end <= printed).count();
            numbered.reason = Nak::PrintFailed;
        }
    }

    /// Gives the accepted messages of the last batch to the journal.
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

    /// Has the journal commit what it was given. If it fails, no message of the group is accepted.
    fn commit(&mut self, group: &mut CommitGroup, hub: &Hub) {
        let Some(journal_sink) = &mut self.journal_sink else { return };
        if !journal_sink.commit(hub) {
            for numbered in group.batches() {
                numbered.accepted = 0;
                numbered.reason = Nak::JournalFailed;
            }
            // Nobody knows these IDs, unless they were printed. If they were not given again, readers would be told of a loss.
            if self.stdout_sink.is_none() {
                self.next_id = journal_sink.next_id();
            } else {
                journal_sink.skip_to(self.next_id);
            }
        }
        self.tell_due(hub);
        let is_shared = group.has_several_clients();
        self.shared_groups =
            self.shared_groups - self.shared_groups / 8 + u32::from(is_shared) * ALL_GROUPS / 8;
        hub.policy.let_workers_run(self.lets_workers_run());
    }
}
