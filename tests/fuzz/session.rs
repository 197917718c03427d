//! Whole sessions: the fuzzer writes what some clients do, and when the hub's threads move: who connects, what he sends in which
//! pieces, when he reads, stops, or vanishes, and when the workers and the consumer have a turn, and how time goes by. The hub is the
//! real one. In the end all that was promised to each client is checked, and the hub must have come to rest.

#![no_main]

use firstline::auth::Tokens;
use firstline::auth::authenticator::Authenticator;
use firstline::clock;
use firstline::hub::connection::rate_limit::Rate;
use firstline::hub::dispatch::consumer::Consumer;
use firstline::limits::{BATCH, PIPELINE_RUNS_MAX, WRONG_TOKEN_MEMORY_MS, WRONG_TOKEN_MS_MAX};
use firstline::options::Options;
use firstline::protocol::Priority;
use libfuzzer_sys::fuzz_target;
use models::promises::Witness;
use models::world::{Came, Client, Kit, Parts};
use nix::sys::epoll::EpollTimeout;
use program::Program;
use std::collections::BTreeSet;
use std::sync::Mutex;

#[path = "../models/mod.rs"]
mod models;
mod program;

/// Clients at once, besides the witness.
const PARTY: usize = 4;

/// Rounds in which all must have been done that can be: what a program of some kilobytes asks for takes a fraction of that.
const ROUNDS_MAX: usize = 20_000;

/// What a witness's socket holds: more than all that can be said between two looks at it.
const WITNESS_BYTES: usize = 16 << 20;

/// How often time goes by in the end for those who wait for that.
const WAITS_MAX: usize = 1_000;

const IDLE_TIMEOUT_NS: u64 = 60_000_000_000;
const WRITE_TIMEOUT_NS: u64 = 5_000_000_000;
const LINE_TIMEOUT_NS: u64 = 10_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What each run takes over from the one before: the parts that there are once, how many clients there were, and the last ID.
struct Rest {
    kit: Kit,
    serial: u32,
    last_id: u64,
}

static REST: Mutex<Option<Rest>> = Mutex::new(None);

/// Lines that are worth to be said, for the fuzzer need not guess them.
const SAYINGS: [&[u8]; 20] = [
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

/// Who has which token, where tokens are asked for.
const AUTH_FILE: &[u8] = b"witness the-token-of-the-witness 9 join
all 0123456789abcdef 9 join
some fedcba9876543210 4 no-join
";

/// One run.
struct Run {
    parts: Parts,
    witness: Client,
    clients: [Option<Client>; PARTY],
    /// Those who are over.
    former: Vec<Client>,
    serial: u32,
    last_id: u64,
    is_draining: bool,
}

impl Run {
    /// Begins as the program's first byte says.
    fn new(rest: Rest, setup: u8) -> Self {
        let Rest { kit, serial, last_id } = rest;
        // With a consumer in real time the seat is not the workers'.
        let realtime = (setup & 4 == 0).then_some(1);
        let options = Options { workers: usize::from(setup & 3) + 1, realtime, ..Options::default() };
        let (has_gate, has_rates) = (setup & 32 == 32, setup & 64 == 64);
        let parts = Parts::new(kit, &options, |hub| {
            let mut tokens = Tokens::new();
            tokens.read(AUTH_FILE).expect("there is no mistake in it");
            hub.authenticator = has_gate.then(|| Authenticator::new(&mut tokens));
            let settings = &mut hub.settings;
            settings.idle_timeout_ns = (setup & 8 == 8).then_some(IDLE_TIMEOUT_NS);
            settings.write_timeout_ns = (setup & 16 == 16).then_some(WRITE_TIMEOUT_NS);
            settings.rate = has_rates.then_some(Rate::new(10, SECOND_NS, SECOND_NS));
            settings.urgent_rate = has_rates.then_some(Rate::new(3, SECOND_NS, SECOND_NS));
            settings.idle_grace_ns = has_rates.then_some(SECOND_NS);
            settings.line_timeout_ns = (setup & 128 == 128).then_some(LINE_TIMEOUT_NS);
        });
        // Wrong tokens of the run before are forgotten.
        clock::by_hand::advance((WRONG_TOKEN_MEMORY_MS + WRONG_TOKEN_MS_MAX) * 1_000_000);
        let serial = serial % (1 << 23) + 1;
        let mut witness = Client::connect(parts.hub, serial, WITNESS_BYTES).expect("a seat is free");
        witness.send(if has_gate { b"/auth the-token-of-the-witness\n/join\n" } else { b"/join\n" });
        let clients = [const { None }; PARTY];
        let mut run =
            Self { parts, witness, clients, former: Vec::new(), serial, last_id, is_draining: false };
        run.settle();
        assert_eq!(run.witness.talk.heard(), 1 + usize::from(has_gate), "it has joined");
        run
    }

    /// Does what the program says next.
    fn step(&mut self, program: &mut Program<'_>) {
        let operation = program.byte();
        let who = usize::from(operation >> 4) % PARTY;
        match operation & 15 {
            0 => self.connect(who, program.byte()),
            1..=3 => {
                let text = program.text();
                self.with(who, |client| _ = client.send(&text));
            }
            4 | 5 => {
                let saying = SAYINGS[usize::from(program.byte()) % SAYINGS.len()];
                self.with(who, |client| _ = client.send(saying));
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
            14 => self.settle(),
            _ => self.drain(program.byte()),
        }
    }

    fn connect(&mut self, who: usize, holds: u8) {
        // One that is there already goes on.
        if self.clients[who].as_ref().is_some_and(|client| client.socket.is_some()) {
            return;
        }
        self.serial += 1;
        let client = Client::connect(self.parts.hub, self.serial, 1 << (holds % 20));
        self.former.extend(std::mem::replace(&mut self.clients[who], client));
    }

    fn with(&mut self, who: usize, act: impl FnOnce(&mut Client)) {
        if let Some(client) = &mut self.clients[who] {
            act(client);
        }
    }

    /// The server ends, seldom, for it says goodbye to all; or somebody wants the seats of those who are idle.
    fn drain(&mut self, really: u8) {
        if really & 15 == 15 && !self.is_draining {
            self.is_draining = true;
            self.parts.hub.drain();
        }
        if really & 15 == 14 {
            self.parts.hub.places().request_evictions(usize::from(really >> 4), None, clock::now_ns());
        }
    }

    /// A round of one worker. True: it has more to do.
    fn work(&mut self, worker: usize) -> bool {
        let is_busy = self.parts.workers[worker].round(EpollTimeout::ZERO);
        self.listen();
        self.assert_bounds();
        is_busy
    }

    /// A turn of the consumer, if it is not the workers'. False: nothing waits.
    fn consume(&mut self) -> bool {
        if !self.parts.hub.policy.has_own_thread() {
            return false;
        }
        let before = self.parts.hub.queue.depths().map(|depth| depth.now as usize);
        let heard = self.witness.talk.heard();
        let is_left = self.parts.dispatcher.try_run(firstline::hub::workers::Caller::OwnThread);
        self.listen();
        let mut processed = [0; Priority::COUNT];
        self.witness.talk.priorities_after(heard).for_each(|priority| processed[priority.index()] += 1);
        if !self.is_draining {
            assert_most_urgent_first(before, processed);
        }
        is_left || before != [0; Priority::COUNT]
    }

    /// The witness reads all there is, so that it is never too slow.
    fn listen(&mut self) {
        while matches!(self.witness.read(usize::MAX), Came::Bytes(_)) {}
    }

    /// What a client may have in the hub is bounded.
    fn assert_bounds(&self) {
        for outbox in &self.parts.hub.outboxes.0 {
            // It panics itself if there are more slots than there are.
            let _ = outbox.lock().outstanding();
        }
    }

    /// All do what they can until nobody can do anything.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_busy = false;
            for worker in 0..self.parts.workers.len() {
                is_busy |= self.work(worker);
            }
            is_busy |= self.consume();
            if !is_busy {
                return;
            }
        }
        panic!("they spin");
    }

    /// All clients send no more and read to the end, and all that is over is checked.
    fn finish(mut self) -> Rest {
        for _ in 0..ROUNDS_MAX {
            let mut is_over = true;
            for client in self.clients.iter_mut().flatten() {
                client.end_sending();
                is_over &= matches!(client.read(usize::MAX), Came::End);
            }
            self.settle();
            if is_over {
                return self.check();
            }
            self.let_time_go_by();
        }
        panic!("a client that waits is never answered");
    }

    /// One who showed a wrong token waits for its answer, even if it is gone, and one who said too much is not read. Else nobody waits
    /// for time to go by. True: somebody might.
    fn let_time_go_by(&self) -> bool {
        let may_wait = self.parts.hub.authenticator.is_some() || self.parts.hub.settings.rate.is_some();
        if may_wait {
            clock::by_hand::advance(WRONG_TOKEN_MS_MAX * 1_000_000 / 8);
        }
        may_wait
    }

    fn check(mut self) -> Rest {
        // Who is gone may have left something that is still to be processed, and seen by the witness.
        let mut waits = 0;
        while waits < WAITS_MAX && self.parts.hub.clients.lock().taken().0 > 1 && self.let_time_go_by() {
            self.settle();
            waits += 1;
        }
        self.witness.end_sending();
        while self.witness.read(usize::MAX) != Came::End {
            self.settle();
        }
        self.settle();
        let admitted = self.parts.hub.queue.admitted();
        let after = (!self.is_draining).then_some(self.last_id);
        let mut witness = Witness::new(&self.witness.talk, after);
        self.former.extend(self.clients.iter_mut().filter_map(Option::take));
        let names: Vec<_> = self.former.iter().flat_map(|client| client.talk.names()).collect();
        witness.names_are_shared = names.iter().collect::<BTreeSet<_>>().len() < names.len();
        let ids: Vec<u64> = self.former.iter().flat_map(|client| client.talk.ids()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an ID was given twice");
        self.former.iter().for_each(|client| client.talk.check(&witness));
        let last_id = self.last_id + admitted;
        assert!(self.is_draining || witness.is_gone || witness.last_id().unwrap_or(self.last_id) == last_id);
        let kit = self.parts.end();
        Rest { kit, serial: self.serial, last_id }
    }
}

/// That what was processed of what had waited, so many of each priority, is what comes first of it, and what is processed in one go at most.
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
    let mut rest = REST.lock().unwrap();
    let former = rest.take();
    let former = former.unwrap_or_else(|| Rest {
        kit: Kit::new(Consumer::new(None, None), None),
        serial: 0,
        last_id: 0,
    });
    let mut run = Run::new(former, program.byte());
    while !program.is_over() {
        run.step(&mut program);
    }
    *rest = Some(run.finish());
});
