//! The whole hub in orders that are made up at random: its workers, its consumer, clients that come and go, and its end in the middle of
//! all that.
//!
//! `cargo test --features shuttle --test shuttle_hub -- --nocapture`
//!
//! These models are much too large to try all orders, as `tests/loom_hub.rs` does with small ones. All that runs is the real code, on
//! real sockets and epoll sets of this process; what waits for a descriptor in a model is in `tests/models/kernel.rs`. After each run
//! all that is promised to each client is checked, and that nothing of anybody is left in the hub. Who sleeps for ever is found out.
//!
//! `FIRSTLINE_TEST_SCHEDULES` says how many orders there are of each model, `FIRSTLINE_TEST_SEED` from which number they are made up.
#![cfg(shuttle)]

mod models;

use firstline::hub::dispatch::consumer::Consumer;
use firstline::hub::{Hub, shutdown};
use firstline::limits::IN_FLIGHT;
use firstline::options::Options;
use models::kernel::Kernel;
use models::party::{Member, one_in, run_schedules};
use models::promises::{Talk, Witness};
use models::world::{Client, Kit, Parts};
use nix::poll::PollFlags;
use nix::sys::epoll::EpollTimeout;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::sync::{Arc, Mutex};

/// What each run takes over from the one before. Only one model runs at a time: there is one consumer.
static KIT: Mutex<Option<Kit>> = Mutex::new(None);
static TURN: Mutex<()> = Mutex::new(());

/// More than all that a witness is sent in a run.
const WITNESS_BYTES: usize = 1 << 20;
/// Less than what is sent to one who joined: the socket is full now and then.
const LITTLE: usize = 1;

/// When the end comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// After all have gone by themselves.
    Late,
    /// At some time.
    Early,
    /// At some time, and without the time to process what waits.
    Abrupt,
}

/// The others of a run, each with what it is asked to do.
struct Day {
    hub: &'static Hub,
    kernel: Arc<Kernel>,
}

impl Day {
    fn connect(&self, serial: u32, holds: usize) -> Member {
        Member::connect(self.hub, &self.kernel, serial, holds)
    }

    /// Says things of all priorities, and waits now and then for what it is told.
    fn talk(&self, serial: u32) -> Talk {
        let mut member = self.connect(serial, 1 << 16);
        member.say(b"a\nb\n/urgent c\n");
        if one_in(2) {
            member.read_lines(2);
        }
        member.say(b"/low d\n/ping\n\ne\n/9 f\n");
        if one_in(2) {
            member.say(b"/quit\nand not this\n");
            return member.read_rest();
        }
        member.finish()
    }

    /// Says more than there are slots for, with a socket that is full now and then.
    fn flood(&self, serial: u32) -> Talk {
        let mut member = self.connect(serial, LITTLE);
        member.say(&b"flood\n".repeat(IN_FLIGHT + 6));
        if one_in(2) {
            // Nothing that it does wakes the worker meanwhile.
            member.read_lines(IN_FLIGHT + 6);
        }
        member.finish()
    }

    /// Says one thing.
    fn speak(&self, serial: u32) -> Talk {
        let mut member = self.connect(serial, LITTLE);
        member.say(b"k\n");
        member.finish()
    }

    /// Says one thing, and stays to the end.
    fn stay(&self, serial: u32) -> Talk {
        let mut member = self.connect(serial, LITTLE);
        member.say(b"/ping\n");
        member.read_rest()
    }

    /// Joins, leaves and joins again, and reads little at a time.
    fn listen(&self, serial: u32) -> Talk {
        let mut member = self.connect(serial, LITTLE);
        member.say(b"/nick ear\n/join\n/1 x\n");
        member.read_lines(thread_rng().gen_range(0..4));
        if one_in(2) {
            member.say(b"/leave\n/join 5\n/help\n");
        }
        member.finish()
    }

    /// Is gone before it has its answers; another comes, perhaps to the same seat.
    fn come_and_go(&self, serial: u32) -> [Talk; 2] {
        let mut first = self.connect(serial, LITTLE);
        first.say(b"/join\n/7 g\nh\n");
        let first = if one_in(2) { first.vanish() } else { first.finish() };
        let mut second = self.connect(serial + 1, 1 << 16);
        second.say(b"/urgent i\nj");
        [first, second.finish()]
    }

    /// As `shutdown::drain`, which waits for signals too: everybody is told goodbye.
    fn end(&self, end: End) {
        self.hub.vacancies.set_awaited(true);
        self.hub.drain();
        while end == End::Abrupt && self.hub.clients.lock().taken().0 > 0 {
            // Again and again: a worker that has not heard of the end yet may admit something still.
            shutdown::refuse_rest(self.hub);
            thread::yield_now();
        }
        while self.hub.clients.lock().taken().0 > 0 {
            self.kernel.wait(&self.hub.vacancies, PollFlags::POLLIN);
            self.hub.vacancies.reset();
        }
    }
}

/// What one does in a thread of its own, with all that was said in each of its connections.
type Act = fn(&Day) -> Vec<Talk>;

/// Clients of all kinds.
const ALL_KINDS: &[Act] = &[
    |day| vec![day.talk(2)],
    |day| vec![day.flood(3)],
    |day| vec![day.listen(4)],
    |day| day.come_and_go(5).into(),
];

/// Clients that need a worker each, and little of it.
const FEW_WORDS: &[Act] = &[|day| vec![day.speak(2)], |day| vec![day.speak(3)], |day| vec![day.speak(4)]];

/// Clients that wait for the end.
const PATIENT: &[Act] = &[|day| vec![day.stay(2)], |day| vec![day.stay(3)]];

/// One run. Somebody sits in the consumer's seat, or it has a thread of its own.
fn run(party: &'static [Act], workers: usize, is_shared: bool, end: End) {
    let kit = KIT.lock().unwrap().take();
    let kit = kit.unwrap_or_else(|| Kit::new(Consumer::new(None, None), None));
    // A consumer in real time has its seat for itself; its policy is not set here.
    let realtime = (!is_shared).then_some(1);
    let options = Options { workers, realtime, ..Options::default() };
    let Parts { hub, dispatcher, workers, sessions } = Parts::new(kit, &options, |_| ());
    let (kernel, looks) = Kernel::start();
    let mut workers = workers;
    let mut witness = Client::connect(hub, 1, WITNESS_BYTES).expect("a seat is free");
    witness.send(b"/join\n");
    workers.iter_mut().for_each(|worker| while worker.round(EpollTimeout::ZERO) {});
    let day = Arc::new(Day { hub, kernel: Arc::clone(&kernel) });
    let workers: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            let kernel = Arc::clone(&kernel);
            thread::spawn(move || models::party::serve(worker, &kernel))
        })
        .collect();
    let processing = hub.policy.has_own_thread().then(|| thread::spawn(|| dispatcher.keep_processing()));
    let party: Vec<_> = party
        .iter()
        .map(|act| {
            let day = Arc::clone(&day);
            thread::spawn(move || act(&day))
        })
        .collect();
    let mut talks = Vec::new();
    if end == End::Late {
        talks.extend(party.into_iter().flat_map(|member| member.join().unwrap()));
        witness.end_sending();
        day.end(end);
    } else {
        for _ in 0..thread_rng().gen_range(0..100) {
            thread::yield_now();
        }
        witness.end_sending();
        day.end(end);
        talks.extend(party.into_iter().flat_map(|member| member.join().unwrap()));
    }
    // Some may have come when all the others had gone.
    while hub.clients.lock().taken().0 > 0 {
        thread::yield_now();
    }
    dispatcher.finish(std::time::Duration::MAX);
    processing.into_iter().for_each(|processing| processing.join().unwrap());
    kernel.end();
    looks.join().unwrap();
    let workers = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    while witness.read(usize::MAX) != models::world::Came::End {}
    let mut seen = Witness::new(&witness.talk, None);
    seen.is_gone |= end != End::Late;
    talks.iter().for_each(|talk| talk.check(&seen));
    *KIT.lock().unwrap() = Some(Parts { hub, dispatcher, workers, sessions }.end());
}

fn model(name: &str, party: &'static [Act], workers: usize, is_shared: bool, end: End) {
    let _turn = TURN.lock().unwrap_or_else(|error| error.into_inner());
    run_schedules(name, move || run(party, workers, is_shared, end));
}

#[test]
fn every_promise_is_kept_with_a_consumer_apart() {
    model("a consumer apart", ALL_KINDS, 2, false, End::Late);
}

#[test]
fn every_promise_is_kept_where_workers_process() {
    model("workers that process", ALL_KINDS, 2, true, End::Late);
}

#[test]
fn nobody_is_stranded_whose_line_finds_the_seat_taken() {
    model("the last lines of each", FEW_WORDS, 3, true, End::Late);
}

#[test]
fn the_end_may_come_at_any_time_with_a_consumer_apart() {
    model("the end, with a consumer apart", ALL_KINDS, 2, false, End::Early);
}

#[test]
fn the_end_may_come_at_any_time_where_workers_process() {
    model("the end, with workers that process", ALL_KINDS, 2, true, End::Early);
}

#[test]
fn who_only_waits_is_told_of_the_end() {
    model("the end, for who only waits", PATIENT, 2, true, End::Early);
}

#[test]
fn what_there_is_no_time_for_is_refused() {
    model("an abrupt end", ALL_KINDS, 2, false, End::Abrupt);
}
