//! The shutdown: within the drain time-out the server processes and acknowledges all admitted messages, and sends each
//! client a farewell.

use crate::clock;
use crate::counted::Counted;
use crate::hub::accept::acceptor::timeout;
use crate::hub::dispatch::dispatcher::Dispatcher;
use crate::hub::shared::Hub;
use crate::hub::signals::{SignalAction, Signals};
use crate::hub::workers::caller::Caller;
use crate::limits::LAST_WORDS_MS;
use crate::protocol::reply::{self, Nak};
use crate::queue::{Batch, Run};
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::AsFd;
use std::time::Duration;

/// How the shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything admitted was processed.
    Drained,
    /// The drain time-out passed: this many messages were not processed.
    LeftOver(u64),
    /// This signal came before everything was processed.
    Interrupted(i32),
}

/// Drains the hub: waits for the clients, then syncs the journal.
pub fn drain(hub: &Hub, dispatcher: &Dispatcher, signals: &Signals) -> Outcome {
    let deadline_ns = clock::now_ns() + hub.settings.drain_timeout.as_nanos() as u64;
    let outcome = answer_all(hub, signals, deadline_ns);
    if !matches!(outcome, Outcome::Interrupted(_)) {
        // This syncs the messages that were acknowledged without a sync.
        dispatcher.finish(Duration::from_nanos(deadline_ns.saturating_sub(clock::now_ns())));
    }
    outcome
}

fn answer_all(hub: &Hub, signals: &Signals, deadline_ns: u64) -> Outcome {
    log::info!("shutting down");
    hub.vacancies.set_awaited(true);
    if let Some(tasks) = &hub.tasks {
        let waiting = tasks.drain(&hub.task_parts(Caller::OwnThread)) as u64;
        if waiting > 0 {
            log::info!("handlers get no more tasks: refused {} that waited", Counted(waiting, "message"));
        }
    }
    hub.drain();
    let last_words_ns = (LAST_WORDS_MS * 1_000_000).min(hub.settings.drain_timeout.as_nanos() as u64 / 4);
    if let Some(outcome) = wait_for_connections(hub, signals, deadline_ns - last_words_ns) {
        return outcome;
    }
    let mut refused = refuse_rest(hub);
    if let Some(outcome @ Outcome::Interrupted(_)) = wait_for_connections(hub, signals, deadline_ns) {
        return outcome;
    }
    // A worker that had not yet seen the shutdown may have admitted messages meanwhile.
    refused += refuse_rest(hub);
    // `unprocessed` still counts the refused messages, but not the refused tasks.
    match hub.unprocessed() + refused {
        0 => Outcome::Drained,
        messages => Outcome::LeftOver(messages),
    }
}

/// Waits until all places are free, or for a signal. Returns `None` if the deadline passes first.
fn wait_for_connections(hub: &Hub, signals: &Signals, deadline_ns: u64) -> Option<Outcome> {
    while clock::now_ns() < deadline_ns {
        if hub.clients.lock().taken().0 == 0 {
            return Some(Outcome::Drained);
        }
        if let Some(SignalAction::End(signal)) = signals.next() {
            return Some(Outcome::Interrupted(signal));
        }
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(hub.vacancies.as_fd(), PollFlags::POLLIN),
        ];
        // An interruption counts as an event: the loop checks everything again.
        let _ = poll(&mut fds, timeout(Some(deadline_ns)));
        hub.vacancies.reset();
    }
    None
}

/// Closes the queue, and refuses the messages that the consumer has not processed, and those that handlers still have.
/// Returns how many of them handlers had.
pub fn refuse_rest(hub: &Hub) -> u64 {
    let mut batch = Batch::new();
    hub.queue.close();
    // Before the queue is emptied: a task that is done meanwhile goes there.
    let parts = hub.task_parts(Caller::OwnThread);
    let given = hub.tasks.as_ref().map_or(0, |tasks| tasks.refuse_given(&parts));
    while hub.queue.take_rest(&mut batch) {
        for (_, picked) in batch.drain() {
            let mut reason = Nak::ShuttingDown;
            if let Some((tasks, id)) = hub.tasks.as_ref().zip(picked.task) {
                tasks.release(id, clock::now_ns(), &parts);
                reason = Nak::HandlerUnrecorded;
            }
            hub.counters.lock().refused[reason.index()] += picked.item.len() as u64;
            let conn = picked.item.client();
            let mut outbox = hub.outboxes[conn].lock();
            let lines = picked.item.lines();
            outbox.reply(picked.item, |out| lines.for_each(|line| reply::nak(out, line, reason)));
            drop(outbox);
            hub.wakeups.wake(conn);
        }
    }
    given as u64
}
