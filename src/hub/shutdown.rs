//! The shutdown: what was admitted is processed and acknowledged, and each client is told, within the drain time-out.

use crate::clock;
use crate::hub::Hub;
use crate::hub::accept::acceptor::timeout;
use crate::hub::dispatch::dispatcher::Dispatcher;
use crate::hub::signals::{SignalAction, Signals};
use crate::limits::LAST_WORDS_MS;
use crate::protocol::reply::{self, Nak};
use crate::queue::Batch;
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::AsFd;
use std::time::Duration;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything admitted was processed.
    Drained,
    /// The drain time-out passed: that many messages were not processed.
    LeftOver(u64),
    /// That signal came before all was processed.
    Interrupted(i32),
}

/// Ends the server.
pub fn drain(hub: &Hub, dispatcher: &Dispatcher, signals: &Signals) -> Outcome {
    let deadline_ns = clock::now_ns() + hub.settings.drain_timeout.as_nanos() as u64;
    let outcome = answer_all(hub, signals, deadline_ns);
    if !matches!(outcome, Outcome::Interrupted(_)) {
        // What was acknowledged before it was synced is synced now.
        dispatcher.finish(Duration::from_nanos(deadline_ns.saturating_sub(clock::now_ns())));
    }
    outcome
}

fn answer_all(hub: &Hub, signals: &Signals, deadline_ns: u64) -> Outcome {
    log::info!("shutting down");
    hub.vacancies.await_one(true);
    hub.drain();
    let last_words_ns = (LAST_WORDS_MS * 1_000_000).min(hub.settings.drain_timeout.as_nanos() as u64 / 4);
    if let Some(outcome) = wait_for_connections(hub, signals, deadline_ns - last_words_ns) {
        return outcome;
    }
    refuse_rest(hub);
    if let Some(outcome @ Outcome::Interrupted(_)) = wait_for_connections(hub, signals, deadline_ns) {
        return outcome;
    }
    // A worker that had not heard of the end in time may have admitted something still.
    refuse_rest(hub);
    // Those that were refused are among them.
    match hub.unprocessed() {
        0 => Outcome::Drained,
        messages => Outcome::LeftOver(messages),
    }
}

/// Waits until all places are free; none: the time-out passed.
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
        // An interruption is as good as an event: all is looked at again.
        let _ = poll(&mut fds, timeout(Some(deadline_ns)));
        hub.vacancies.reset();
    }
    None
}

/// Takes what the consumer did not process out of the queue, and refuses it.
pub fn refuse_rest(hub: &Hub) {
    let mut batch = Batch::new();
    hub.queue.close();
    while hub.queue.take_rest(&mut batch) {
        hub.counters.lock().refused[Nak::ShuttingDown.index()] += batch.messages() as u64;
        for (_, picked) in batch.drain() {
            let conn = picked.item.client();
            let mut outbox = hub.outboxes[conn].lock();
            let lines = picked.item.lines();
            outbox.reply(picked.item, |out| lines.for_each(|line| reply::nak(out, line, Nak::ShuttingDown)));
            drop(outbox);
            hub.wakeups.wake(conn);
        }
    }
}
