//! Clients as threads of a model, and the runner of a model.

use super::driven_hub::{Client, ReadResult};
use super::kernel::Kernel;
use super::transcript::Transcript;
use firstline::hub::shared::Hub;
use firstline::hub::workers::worker::Worker;
use nix::poll::PollFlags;
use nix::sys::epoll::EpollTimeout;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::RandomScheduler;
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, MaxSteps, Runner};
use std::sync::Arc;
use std::time::Instant;

/// The stack of a thread of a model.
const STACK_BYTES: usize = 1024 * 1024;

/// The greatest number of steps of one run: more than that is an endless loop.
const STEPS_MAX: usize = 200_000;

/// Schedules of a model, unless `FIRSTLINE_TEST_SCHEDULES` sets another number.
const SCHEDULES: u64 = 1_000;

/// The buffer of a witness's socket, in bytes: more than the server sends to a witness in a run.
const WITNESS_BYTES: usize = 1 << 20;

/// A numeric environment variable.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs a model in many schedules, and prints how many and from which seed.
pub fn run_schedules(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let schedules = setting("FIRSTLINE_TEST_SCHEDULES").unwrap_or(SCHEDULES);
    let seed = setting("FIRSTLINE_TEST_SEED").unwrap_or_else(rand_seed);
    println!("{name}: {schedules} schedules from FIRSTLINE_TEST_SEED={seed}");
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    let start = Instant::now();
    Runner::new(RandomScheduler::new_from_seed(seed, schedules as usize), config).run(model);
    println!("{name}: {schedules} schedules passed in {:.1} s", start.elapsed().as_secs_f64());
}

/// A different seed each time.
fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// True with a chance of one in `count`.
pub fn one_in(count: u32) -> bool {
    thread_rng().gen_range(0..count) == 0
}

/// Runs the rounds of a worker until the kernel ends, and returns the worker.
fn serve(mut worker: Worker, kernel: &Kernel) -> Worker {
    while !kernel.is_over() {
        if !worker.round(EpollTimeout::ZERO) {
            kernel.wait(&worker, PollFlags::POLLIN);
        }
    }
    worker
}

/// Spawns a thread for each worker, which serves until the kernel ends.
pub fn spawn_workers(workers: Vec<Worker>, kernel: &Arc<Kernel>) -> Vec<JoinHandle<Worker>> {
    let spawn = |worker| {
        let kernel = Arc::clone(kernel);
        thread::spawn(move || serve(worker, &kernel))
    };
    workers.into_iter().map(spawn).collect()
}

/// Connects a witness, and runs the workers until it is subscribed.
pub fn connect_witness(hub: &Hub, workers: &mut [Worker]) -> Client {
    let mut witness = Client::connect(hub, 1, WITNESS_BYTES).expect("a place is free");
    witness.send(b"/join\n");
    workers.iter_mut().for_each(|worker| while worker.round(EpollTimeout::ZERO) {});
    witness
}

/// Waits until no client is connected.
pub fn await_no_clients(hub: &Hub) {
    while hub.clients.lock().taken().0 > 0 {
        thread::yield_now();
    }
}

/// A client with a thread of its own.
pub struct Member {
    pub client: Client,
    kernel: Arc<Kernel>,
}

impl Member {
    /// Connects; a place must be free.
    pub fn connect(hub: &Hub, kernel: &Arc<Kernel>, serial: u32, holds: usize) -> Self {
        let client = Client::connect(hub, serial, holds).expect("a place is free");
        Self { client, kernel: Arc::clone(kernel) }
    }

    /// Sends bytes in pieces, as long as the connection is open.
    pub fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.client.socket.is_some() {
            let piece = if one_in(2) { bytes.len() } else { thread_rng().gen_range(1..=bytes.len()) };
            let sent = self.client.send(&bytes[..piece]);
            bytes = &bytes[sent..];
            if sent == 0 {
                // The socket is full, or the server has closed it.
                self.read();
            }
        }
    }

    /// Waits until something comes; returns false at the end of the connection.
    pub fn read(&mut self) -> bool {
        loop {
            match self.client.read(usize::MAX) {
                ReadResult::Bytes(_) => return true,
                ReadResult::End => return false,
                ReadResult::Nothing => {
                    let socket = self.client.socket.as_ref().expect("the connection is open");
                    self.kernel.wait(socket, PollFlags::POLLIN);
                }
            }
        }
    }

    /// Reads until `lines` lines have come in total, or until the end.
    pub fn read_lines(&mut self, lines: usize) {
        while self.client.transcript.line_count() < lines && self.read() {}
    }

    /// Reads to the end.
    pub fn read_rest(mut self) -> Transcript {
        while self.read() {}
        self.client.transcript
    }

    /// Closes the sending half, and reads to the end.
    pub fn finish(mut self) -> Transcript {
        self.client.end_sending();
        self.read_rest()
    }

    /// Closes the connection at once.
    pub fn vanish(mut self) -> Transcript {
        self.client.vanish();
        self.client.transcript
    }
}
