//! Whole sessions: the fuzzer decides what some clients do, and when the hub's threads run: when a client
//! connects, what it sends in which pieces, when it reads, closes or vanishes, when the workers and the
//! consumer run, and how time passes. The hub is the real one. At the end every promise to each client is
//! checked, and the hub must be quiescent.

#![no_main]

use firstline::auth::Tokens;
use firstline::auth::authenticator::Authenticator;
use firstline::clock;
use firstline::hub::dispatch::consumer::Consumer;
use firstline::hub::handling::fate::Rules;
use firstline::hub::handling::shared::SharedTasks;
use firstline::hub::rate_limit::Rate;
use firstline::hub::workers::caller::Caller;
use firstline::limits::{BATCH, PIPELINE_RUNS_MAX, WRONG_TOKEN_MEMORY_MS, WRONG_TOKEN_MS_MAX};
use firstline::options::Options;
use firstline::protocol::Priority;
use harness::driven_hub::{Client, Parts, ReadResult, Singletons, handling};
use harness::promises::check;
use harness::witness::Witness;
use libfuzzer_sys::fuzz_target;
use nix::sys::epoll::EpollTimeout;
use program::Program;
use std::collections::BTreeSet;
use std::sync::Mutex;

#[path = "../model/harness/mod.rs"]
mod harness;
mod program;

/// How many clients there are at once, besides the witness.
const CLIENTS_MAX: usize = 4;

/// The rounds after which the hub must have nothing to do: a program of some kilobytes takes a fraction of that.
const ROUNDS_MAX: usize = 20_000;

/// The buffer of a witness's socket: more than all that can be sent to it between two reads.
const WITNESS_BYTES: usize = 16 << 20;

/// How often time is advanced at the end for clients that wait for that.
const WAITS_MAX: usize = 1_000;

const IDLE_TIMEOUT_NS: u64 = 60_000_000_000;
const WRITE_TIMEOUT_NS: u64 = 5_000_000_000;
const LINE_TIMEOUT_NS: u64 = 10_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What each run takes over from the one before: the parts that exist once, the number of clients so far, and
/// the last ID.
struct Carried {
    singletons: Singletons,
    serial: u32,
    last_id: u64,
}

static CARRIED: Mutex<Option<Carried>> = Mutex::new(None);

/// Useful lines, so that the fuzzer need not guess them.
const USEFUL_LINES: [&[u8]; 20] = [
    b"/auth 0123456789abcdef\n",
    b"/auth fedcba9876543210\n",
    b"/auth wrong-wrong-wrong\n",
    b"/stats\n/who\n/9 x\n",
    b"hi\n",
    b"/urgent smoke\n",
    b"/low later\n",
    b"/join\n",
    b"/join 5\n",
    b"/leave\n",
    b"/nick ann\n",
    b"/nick bob\n",
    b"/who\n",
    b"/stats\n",
    b"/ping\n",
    b"/help\n",
    b"/quit\n",
    b"/last 3\n",
    b"/join since 0\n",
    b"\r\n",
];

/// The least priority that handlers process, in runs with handlers.
const HANDLED: Priority = Priority::NORMAL;

/// The rules of handling in those runs.
const RULES: Rules =
    Rules { wait_ns: 2 * SECOND_NS, time_ns: 3 * SECOND_NS, limit_ns: 5 * SECOND_NS, attempts: 2 };

/// What a client says as a handler; `K` is its last task.
const HANDLER_LINES: [&str; 8] = [
    "/handle\n",
    "/handle 5 3\n",
    "/handle off\n",
    "/done K \x07shut\n",
    "/done K\n/done 1\n",
    "/refuse K no\n",
    "/later K\n",
    "/extend K\n",
];

/// The auth file of runs with authentication.
const AUTH_FILE: &[u8] = b"witness the-token-of-the-witness 9 join
all 0123456789abcdef 9 join handle
some fedcba9876543210 4 no-join
";

/// One run.
struct Run {
    parts: Parts,
    witness: Client,
    clients: [Option<Client>; CLIENTS_MAX],
    /// The clients whose connections are over.
    closed: Vec<Client>,
    serial: u32,
    last_id: u64,
    is_draining: bool,
}

impl Run {
    /// Starts as the program's first byte says.
    fn new(carried: Carried, setup: u8) -> Self {
        let Carried { singletons, serial, last_id } = carried;
        // A consumer in real time runs on its own thread only.
        let realtime = (setup & 4 == 0).then_some(1);
        let options = Options { workers: usize::from(setup & 3) + 1, realtime, ..Options::default() };
        let (has_authenticator, has_rates) = (setup & 32 == 32, setup & 64 == 64);
        let parts = Parts::new(singletons, &options, |hub| {
            let mut tokens = Tokens::new();
            tokens.read(AUTH_FILE).expect("the file is valid");
            hub.authenticator = has_authenticator.then(|| Authenticator::new(&mut tokens));
            let settings = &mut hub.settings;
            settings.idle_timeout_ns = (setup & 8 == 8).then_some(IDLE_TIMEOUT_NS);
            settings.write_timeout_ns = (setup & 16 == 16).then_some(WRITE_TIMEOUT_NS);
            settings.rate = has_rates.then_some(Rate::new(10, SECOND_NS, SECOND_NS));
            settings.urgent_rate = has_rates.then_some(Rate::new(3, SECOND_NS, SECOND_NS));
            settings.idle_grace_ns = has_rates.then_some(SECOND_NS);
            settings.line_timeout_ns = (setup & 128 == 128).then_some(LINE_TIMEOUT_NS);
            // With four workers there are handlers: all bits of the byte have a meaning already.
            hub.tasks = (setup & 3 == 3).then(|| handling(HANDLED, RULES));
        });
        // The server forgets the wrong tokens of the run before.
        clock::by_hand::advance((WRONG_TOKEN_MEMORY_MS + WRONG_TOKEN_MS_MAX) * 1_000_000);
        let serial = serial % (1 << 23) + 1;
        let mut witness = Client::connect(parts.hub, serial, WITNESS_BYTES).expect("a place is free");
        witness.send(if has_authenticator { b"/auth the-token-of-the-witness\n/join\n" } else { b"/join\n" });
        let clients = [const { None }; CLIENTS_MAX];
        let mut run =
            Self { parts, witness, clients, closed: Vec::new(), serial, last_id, is_draining: false };
        run.run_until_idle();
        assert_eq!(
            run.witness.transcript.line_count(),
            1 + usize::from(has_authenticator),
            "the witness is subscribed"
        );
        run
    }

    /// Runs the next operation of the program.
    fn step(&mut self, program: &mut Program<'_>) {
        let operation = program.byte();
        let who = usize::from(operation >> 4) % CLIENTS_MAX;
        match operation & 15 {
            0 => self.connect(who, program.byte()),
            1..=3 => {
                let text = program.text();
                self.with(who, |client| _ = client.send(&text));
            }
            4 | 5 if self.has_handlers() && program.byte() % 2 == 0 => {
                let line = HANDLER_LINES[usize::from(program.byte()) % HANDLER_LINES.len()];
                self.with(who, |client| {
                    let line = line.replace('K', &client.transcript.last_task().to_string());
                    _ = client.send(line.as_bytes());
                });
            }
            4 | 5 => {
                let line = USEFUL_LINES[usize::from(program.byte()) % USEFUL_LINES.len()];
                self.with(who, |client| _ = client.send(line));
            }
            6 => {
                let bytes_max = usize::from(program.byte()) * 16 + 1;
                self.with(who, |client| _ = client.read(bytes_max));
            }
            7 => self.with(who, Client::end_sending),
            8 => self.with(who, Client::vanish),
            9..=11 => _ = self.work(usize::from(operation >> 4) % self.parts.workers.len()),
            12 => _ = self.consume(),
            13 => clock::by_hand::advance(u64::from(program.byte()).pow(2) * 1_000_000),
            14 => self.run_until_idle(),
            _ => self.drain(program.byte()),
        }
    }

    fn connect(&mut self, who: usize, holds: u8) {
        // A connection that is open stays.
        if self.clients[who].as_ref().is_some_and(|client| client.socket.is_some()) {
            return;
        }
        self.serial += 1;
        let client = Client::connect(self.parts.hub, self.serial, 1 << (holds % 20));
        self.closed.extend(std::mem::replace(&mut self.clients[who], client));
    }

    fn with(&mut self, who: usize, act: impl FnOnce(&mut Client)) {
        if let Some(client) = &mut self.clients[who] {
            act(client);
        }
    }

    /// Shuts the server down, rarely, because that ends all clients; or requests the eviction of idle clients.
    fn drain(&mut self, really: u8) {
        if really & 15 == 15 && !self.is_draining {
            self.is_draining = true;
            if let Some(tasks) = &self.parts.hub.tasks {
                tasks.drain(&self.parts.hub.task_parts(Caller::OwnThread));
            }
            self.parts.hub.drain();
        }
        if really & 15 == 14 {
            self.parts.hub.places().request_evictions(usize::from(really >> 4), None, clock::now_ns());
        }
    }

    /// Runs a round of one worker. Returns whether it has more to do.
    fn work(&mut self, worker: usize) -> bool {
        let is_busy = self.parts.workers[worker].round(EpollTimeout::ZERO);
        self.read_witness();
        self.assert_bounds();
        is_busy
    }

    /// Whether clients may handle tasks.
    fn has_handlers(&self) -> bool {
        self.parts.hub.tasks.is_some()
    }

    /// Does what the acceptor's thread does for tasks.
    fn run_deadlines(&self) {
        if let Some(tasks) = &self.parts.hub.tasks {
            tasks.run_deadlines(clock::now_ns(), &self.parts.hub.task_parts(Caller::OwnThread));
        }
    }

    /// Runs the consumer's own thread once, if there is one. Returns false if no message waits.
    fn consume(&mut self) -> bool {
        if !self.parts.hub.policy.has_own_thread() {
            return false;
        }
        let had_work = self.parts.hub.queue.has_work();
        let before = self.parts.hub.queue.depths().map(|depth| depth.now as usize);
        let before_lines = self.witness.transcript.line_count();
        let is_left = self.parts.dispatcher.try_run(Caller::OwnThread);
        self.read_witness();
        let mut processed = [0; Priority::COUNT];
        self.witness
            .transcript
            .priorities_after(before_lines)
            // What a handler has done comes before what waits.
            .filter(|priority| !self.has_handlers() || *priority < HANDLED)
            .for_each(|priority| processed[priority.index()] += 1);
        if !self.is_draining {
            assert_most_urgent_first(before, processed);
        }
        is_left || had_work
    }

    /// The witness reads everything that is there, so that it is never too slow.
    fn read_witness(&mut self) {
        while matches!(self.witness.read(usize::MAX), ReadResult::Bytes(_)) {}
    }

    /// Checks the bounds on what a client may have in the hub.
    fn assert_bounds(&self) {
        for outbox in &self.parts.hub.outboxes.0 {
            // This panics by itself if more slots are outstanding than exist.
            let _ = outbox.lock().outstanding();
        }
    }

    /// Runs all threads until none has anything to do.
    fn run_until_idle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_busy = false;
            for worker in 0..self.parts.workers.len() {
                is_busy |= self.work(worker);
            }
            is_busy |= self.consume();
            self.run_deadlines();
            if !is_busy {
                return;
            }
        }
        panic!("the threads spin");
    }

    /// All clients close their sending half and read to the end; then everything is checked.
    fn finish(mut self) -> Carried {
        for _ in 0..ROUNDS_MAX {
            let mut is_over = true;
            for client in self.clients.iter_mut().flatten() {
                client.end_sending();
                is_over &= matches!(client.read(usize::MAX), ReadResult::End);
            }
            self.run_until_idle();
            if is_over {
                return self.check();
            }
            self.advance_time();
        }
        panic!("a client that waits is never answered");
    }

    /// Advances the clock if a client may wait for that, and returns whether one may. The answer to a wrong token is
    /// delayed, even if the client is gone; a client above the rate is not read; and a message waits for a handler.
    /// Otherwise no client waits for time.
    fn advance_time(&self) -> bool {
        let may_wait = self.parts.hub.authenticator.is_some()
            || self.parts.hub.settings.rate.is_some()
            || self.has_handlers();
        if may_wait {
            clock::by_hand::advance(WRONG_TOKEN_MS_MAX * 1_000_000 / 8);
        }
        may_wait
    }

    fn check(mut self) -> Carried {
        // A client that is gone may have left messages that the consumer must still process and deliver to the
        // witness.
        let mut waits = 0;
        while waits < WAITS_MAX && self.parts.hub.clients.lock().taken().0 > 1 && self.advance_time() {
            self.run_until_idle();
            waits += 1;
        }
        self.witness.end_sending();
        while self.witness.read(usize::MAX) != ReadResult::End {
            self.run_until_idle();
        }
        self.run_until_idle();
        let admitted = self.parts.hub.queue.admitted();
        let after = (!self.is_draining).then_some(self.last_id);
        let mut witness = Witness::new(&self.witness.transcript, after);
        self.closed.extend(self.clients.iter_mut().filter_map(Option::take));
        let names: Vec<_> = self.closed.iter().flat_map(|client| client.transcript.names()).collect();
        witness.names_are_shared = names.iter().collect::<BTreeSet<_>>().len() < names.len();
        witness.handled = self.parts.hub.tasks.as_ref().map(SharedTasks::min);
        witness.said = self.closed.iter().flat_map(|client| client.transcript.said()).collect();
        let ids: Vec<u64> = self.closed.iter().flat_map(|client| client.transcript.ids()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an ID was given twice");
        self.closed.iter().for_each(|client| check(&client.transcript, &witness));
        let last_id = self.last_id + admitted;
        assert!(self.is_draining || witness.is_gone || witness.last_id().unwrap_or(self.last_id) == last_id);
        let singletons = self.parts.end();
        Carried { singletons, serial: self.serial, last_id }
    }
}

/// Of the messages that waited, by priority, the most urgent ones must have been processed, and no more than
/// one run of the pipeline takes.
fn assert_most_urgent_first(waited: [usize; Priority::COUNT], processed: [usize; Priority::COUNT]) {
    assert!(processed.iter().sum::<usize>() <= PIPELINE_RUNS_MAX * BATCH);
    let least = Priority::all().find(|priority| processed[priority.index()] > 0);
    let above = Priority::all().filter(|priority| Some(*priority) > least && least.is_some());
    for priority in above {
        let index = priority.index();
        assert_eq!(processed[index], waited[index], "{priority} waits behind {least:?}");
    }
}

fuzz_target!(|program: &[u8]| {
    let mut program = Program(program);
    let mut carried = CARRIED.lock().unwrap();
    let former = carried.take();
    let former = former.unwrap_or_else(|| Carried {
        singletons: Singletons::new(Consumer::new(None, None), None),
        serial: 0,
        last_id: 0,
    });
    let mut run = Run::new(former, program.byte());
    while !program.is_over() {
        run.step(&mut program);
    }
    *carried = Some(run.finish());
});
