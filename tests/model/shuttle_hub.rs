//! The whole hub in random schedules: its workers, its consumer, clients that come and go, and a shutdown at
//! any moment.
//!
//! `cargo test --features shuttle --test shuttle_hub -- --nocapture`
//!
//! These models are much too large to try all schedules, as `tests/model/loom_hub` does with small ones. The code
//! under test is the real one, on real sockets and epoll sets of this process; `tests/model/harness/kernel.rs` models
//! the waiting for descriptors. After each run the test checks every promise to each client, and that the hub
//! holds nothing of any client. A thread that sleeps for ever fails the run.
//!
//! `FIRSTLINE_TEST_SCHEDULES` sets the number of schedules of each model, `FIRSTLINE_TEST_SEED` the seed.
#![cfg(shuttle)]

mod harness;

use firstline::hub::dispatch::consumer::Consumer;
use firstline::hub::handling::fate::Rules;
use firstline::hub::handling::shared::SharedTasks;
use firstline::hub::shared::Hub;
use firstline::hub::shutdown;
use firstline::hub::workers::caller::Caller;
use firstline::limits::IN_FLIGHT;
use firstline::options::Options;
use firstline::protocol::Priority;
use harness::driven_hub::{Client, Parts, ReadResult, Singletons, handling};
use harness::kernel::Kernel;
use harness::members::{Member, await_no_clients, connect_witness, one_in, run_schedules, spawn_workers};
use harness::promises::check;
use harness::transcript::Transcript;
use harness::witness::Witness;
use nix::poll::PollFlags;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};
use std::sync::{Arc, Mutex};

/// What each run gets from the one before. Only one model runs at a time, because there is only one consumer.
static SINGLETONS: Mutex<Option<Singletons>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The buffer of a socket, in bytes: less than a subscriber receives, so that its socket is full at times.
const SMALL_BUFFER: usize = 1;

/// When the shutdown begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// After all clients have left by themselves.
    Late,
    /// At a random moment.
    Early,
    /// At a random moment, and without time to process what waits.
    Abrupt,
}

/// The hub of a run, and what each of its clients does.
struct Scenario {
    hub: &'static Hub,
    kernel: Arc<Kernel>,
}

impl Scenario {
    fn connect(&self, serial: u32, holds: usize) -> Member {
        Member::connect(self.hub, &self.kernel, serial, holds)
    }

    /// Sends messages of all priorities, and sometimes waits for replies.
    fn converse(&self, serial: u32) -> Transcript {
        let mut member = self.connect(serial, 1 << 16);
        member.send(b"a\nb\n/urgent c\n");
        if one_in(2) {
            member.read_lines(2);
        }
        member.send(b"/low d\n/ping\n\ne\n/9 f\n");
        if one_in(2) {
            member.send(b"/quit\nand not this\n");
            return member.read_rest();
        }
        member.finish()
    }

    /// Sends more messages than it has slots, with a socket that is full at times.
    fn flood(&self, serial: u32) -> Transcript {
        let mut member = self.connect(serial, SMALL_BUFFER);
        member.send(&b"flood\n".repeat(IN_FLIGHT + 6));
        if one_in(2) {
            // Meanwhile the client does nothing that wakes the worker.
            member.read_lines(IN_FLIGHT + 6);
        }
        member.finish()
    }

    /// Sends one message.
    fn send_one(&self, serial: u32) -> Transcript {
        let mut member = self.connect(serial, SMALL_BUFFER);
        member.send(b"k\n");
        member.finish()
    }

    /// Sends one command, and stays until the shutdown.
    fn stay(&self, serial: u32) -> Transcript {
        let mut member = self.connect(serial, SMALL_BUFFER);
        member.send(b"/ping\n");
        member.read_rest()
    }

    /// Subscribes, unsubscribes and subscribes again, and reads little at a time.
    fn listen(&self, serial: u32) -> Transcript {
        let mut member = self.connect(serial, SMALL_BUFFER);
        member.send(b"/nick ear\n/join\n/1 x\n");
        member.read_lines(thread_rng().gen_range(0..4));
        if one_in(2) {
            member.send(b"/leave\n/join 5\n/help\n");
        }
        member.finish()
    }

    /// Leaves before it has its replies; another client connects, perhaps to the same place.
    fn come_and_go(&self, serial: u32) -> [Transcript; 2] {
        let mut first = self.connect(serial, SMALL_BUFFER);
        first.send(b"/join\n/7 g\nh\n");
        let first = if one_in(2) { first.vanish() } else { first.finish() };
        let mut second = self.connect(serial + 1, 1 << 16);
        second.send(b"/urgent i\nj");
        [first, second.finish()]
    }

    /// Handles tasks until the shutdown, two at once. Refuses some.
    fn handle(&self, serial: u32) -> Transcript {
        let (mut member, mut answered) = (self.connect(serial, 1 << 16), 0);
        member.send(b"/handle 0 2\n");
        while member.read() {
            while answered < member.client.transcript.last_task() {
                answered += 1;
                let word = if one_in(4) { "refuse" } else { "done" };
                member.send(format!("/{word} {answered} by {serial}\n").as_bytes());
            }
        }
        member.read_rest()
    }

    /// Handles tasks for a moment, and leaves what it has then.
    fn handle_and_leave(&self, serial: u32) -> Transcript {
        let mut member = self.connect(serial, SMALL_BUFFER);
        member.send(b"/handle 5\n/9 own\n/ping\n");
        member.read_lines(thread_rng().gen_range(0..4));
        if one_in(2) {
            member.send(b"/extend 1\n/quit\n");
            return member.read_rest();
        }
        if one_in(2) { member.vanish() } else { member.finish() }
    }

    /// As `shutdown::drain`, which waits for signals too: says goodbye to every client.
    fn end(&self, end: End) {
        self.hub.vacancies.set_awaited(true);
        if let Some(tasks) = &self.hub.tasks {
            tasks.drain(&self.hub.task_parts(Caller::OwnThread));
        }
        self.hub.drain();
        while end == End::Abrupt && self.hub.clients.lock().taken().0 > 0 {
            // Repeatedly: a worker that does not yet know of the shutdown may still admit something.
            shutdown::refuse_rest(self.hub);
            thread::yield_now();
        }
        while self.hub.clients.lock().taken().0 > 0 {
            self.kernel.wait(&self.hub.vacancies, PollFlags::POLLIN);
            self.hub.vacancies.reset();
        }
    }
}

/// What one thread does, and the transcripts of its connections.
type Act = fn(&Scenario) -> Vec<Transcript>;

/// Clients of all kinds.
const ALL_KINDS: &[Act] = &[
    |scenario| vec![scenario.converse(2)],
    |scenario| vec![scenario.flood(3)],
    |scenario| vec![scenario.listen(4)],
    |scenario| scenario.come_and_go(5).into(),
];

/// Clients that need a worker each, for a short time.
const ONE_MESSAGE_EACH: &[Act] = &[
    |scenario| vec![scenario.send_one(2)],
    |scenario| vec![scenario.send_one(3)],
    |scenario| vec![scenario.send_one(4)],
];

/// Clients that wait for the shutdown.
const WAITING: &[Act] = &[|scenario| vec![scenario.stay(2)], |scenario| vec![scenario.stay(3)]];

/// Clients whose messages handlers process, while another handler comes and goes.
const HANDLED: &[Act] = &[
    |scenario| vec![scenario.converse(2)],
    |scenario| scenario.come_and_go(5).into(),
    |scenario| vec![scenario.handle_and_leave(8)],
];

/// More messages than one client has slots, for handlers.
const HANDLED_FLOOD: &[Act] =
    &[|scenario| vec![scenario.flood(3)], |scenario| vec![scenario.handle_and_leave(8)]];

/// The least priority that handlers process.
const HANDLED_MIN: Priority = Priority::NORMAL;

/// Time stands still, so nothing is over.
const RULES: Rules = Rules { wait_ns: 1, time_ns: 1, limit_ns: 1, attempts: 2 };

/// One run. The workers run the pipeline, or it has a thread of its own.
fn run(acts: &'static [Act], handlers: u32, workers: usize, is_shared: bool, end: End) {
    let singletons = SINGLETONS.lock().unwrap().take();
    let singletons = singletons.unwrap_or_else(|| Singletons::new(Consumer::new(None, None), None));
    // A consumer in real time runs on its own thread only; the model does not set the scheduling policy.
    let realtime = (!is_shared).then_some(1);
    let options = Options { workers, realtime, ..Options::default() };
    let Parts { hub, dispatcher, mut workers, sessions } = Parts::new(singletons, &options, |hub| {
        hub.tasks = (handlers > 0).then(|| handling(HANDLED_MIN, RULES));
    });
    let (kernel, polls) = Kernel::start();
    let mut witness = connect_witness(hub, &mut workers);
    let scenario = Arc::new(Scenario { hub, kernel: Arc::clone(&kernel) });
    let workers = spawn_workers(workers, &kernel);
    let processing = hub.policy.has_own_thread().then(|| thread::spawn(|| dispatcher.keep_processing()));
    let handlers: Vec<_> = (0..handlers)
        .map(|handler| {
            let scenario = Arc::clone(&scenario);
            thread::spawn(move || scenario.handle(20 + handler))
        })
        .collect();
    let mut transcripts = play(acts, &scenario, &mut witness, end);
    transcripts.extend(handlers.into_iter().map(|handler| handler.join().unwrap()));
    // A client may have connected after all the others had left.
    await_no_clients(hub);
    dispatcher.finish(std::time::Duration::MAX);
    processing.into_iter().for_each(|processing| processing.join().unwrap());
    kernel.end();
    polls.join().unwrap();
    let workers = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    while witness.read(usize::MAX) != ReadResult::End {}
    let mut seen = Witness::new(&witness.transcript, None);
    seen.is_gone |= end != End::Late;
    seen.handled = hub.tasks.as_ref().map(SharedTasks::min);
    seen.said = transcripts.iter().flat_map(Transcript::said).collect();
    transcripts.iter().for_each(|transcript| check(transcript, &seen));
    *SINGLETONS.lock().unwrap() = Some(Parts { hub, dispatcher, workers, sessions }.end());
}

/// Runs each act in a thread of its own, and shuts the hub down after them or at a random moment.
fn play(acts: &'static [Act], scenario: &Arc<Scenario>, witness: &mut Client, end: End) -> Vec<Transcript> {
    let spawn = |act: &'static Act| {
        let scenario = Arc::clone(scenario);
        thread::spawn(move || act(&scenario))
    };
    let members: Vec<_> = acts.iter().map(spawn).collect();
    let join = |members: Vec<JoinHandle<Vec<Transcript>>>| {
        members.into_iter().flat_map(|member| member.join().unwrap()).collect()
    };
    if end == End::Late {
        let transcripts = join(members);
        witness.end_sending();
        scenario.end(end);
        return transcripts;
    }
    for _ in 0..thread_rng().gen_range(0..100) {
        thread::yield_now();
    }
    witness.end_sending();
    scenario.end(end);
    join(members)
}

fn model(name: &str, acts: &'static [Act], workers: usize, is_shared: bool, end: End) {
    model_with_handlers(name, acts, 0, workers, is_shared, end);
}

fn model_with_handlers(
    name: &str,
    acts: &'static [Act],
    handlers: u32,
    workers: usize,
    is_shared: bool,
    end: End,
) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|error| error.into_inner());
    run_schedules(name, move || run(acts, handlers, workers, is_shared, end));
}

#[test]
fn every_promise_holds_with_an_own_consumer_thread() {
    model("an own consumer thread", ALL_KINDS, 2, false, End::Late);
}

#[test]
fn every_promise_holds_with_processing_workers() {
    model("processing workers", ALL_KINDS, 2, true, End::Late);
}

#[test]
fn no_message_is_stranded_by_a_taken_pipeline() {
    model("one message of each client", ONE_MESSAGE_EACH, 3, true, End::Late);
}

#[test]
fn shutdown_at_any_time_with_an_own_consumer_thread() {
    model("a shutdown, with an own consumer thread", ALL_KINDS, 2, false, End::Early);
}

#[test]
fn shutdown_at_any_time_with_processing_workers() {
    model("a shutdown, with processing workers", ALL_KINDS, 2, true, End::Early);
}

#[test]
fn waiting_clients_are_told_of_the_shutdown() {
    model("the shutdown, with waiting clients", WAITING, 2, true, End::Early);
}

#[test]
fn abrupt_shutdown_refuses_waiting_messages() {
    model("an abrupt shutdown", ALL_KINDS, 2, false, End::Abrupt);
}

#[test]
fn handlers_lose_and_double_nothing_with_processing_workers() {
    model_with_handlers("handlers, processing workers", HANDLED, 1, 2, true, End::Late);
}

#[test]
fn handlers_lose_and_double_nothing_with_an_own_consumer_thread() {
    model_with_handlers("handlers, an own consumer thread", HANDLED_FLOOD, 2, 3, false, End::Late);
}

#[test]
fn handlers_finish_in_a_shutdown_at_any_time() {
    model_with_handlers("handlers, a shutdown", HANDLED, 2, 2, true, End::Early);
}

#[test]
fn abrupt_shutdown_refuses_what_handlers_have() {
    model_with_handlers("handlers, an abrupt shutdown", HANDLED, 2, 2, false, End::Abrupt);
}
