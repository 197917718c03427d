//! What the threads of the hub share, in every order in which they may run: the queue, the calls, and the outbox with
//! its send_state.
//!
//! `cargo test --features loom --test loom_hub`
//!
//! The outbox, the queue, the bitmap and the flush's loop are the real ones. The kernel, and what a worker and the
//! consumer do around them, are modelled here: a socket that takes a few bytes and reports once when it takes more,
//! and a worker that sleeps until its socket or a call wakes it. A lost wake-up or a byte left behind ends in a model
//! whose threads all sleep, which the checker finds by itself.
//!
//! The smallest models are searched completely, the others up to a bound of forced switches, in which nearly all
//! known bugs show (Musuvathi and Qadeer, "Iterative Context Bounding", 2007).
#![cfg(loom)]

use firstline::hub::dispatch::pipeline::{Pipeline, Stages};
use firstline::hub::egress::flush;
use firstline::hub::egress::outbox::{FlushStatus, Outbox, WakeOn};
use firstline::limits::{IN_FLIGHT, OUTBOX_BYTES, SENDS_PER_POLL_MAX};
use firstline::protocol::Priority;
use firstline::queue::{Batch, Chain, Picked, Queue, Run, Slot, Slots};
use firstline::sync::{Bitmap, Mutex};
use loom::cell::Cell;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::sync::{Arc, Condvar, Mutex as Lock};
use loom::thread;
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Searches all orders of a model with that many forced switches, unless `LOOM_MAX_PREEMPTIONS` says how many.
fn model(switches_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(switches_max));
    builder.check(model);
}

/// Runs `work` in a thread of its own.
fn spawn<S: Send + Sync + 'static, R: 'static>(
    shared: &Arc<S>,
    work: impl FnOnce(&S) -> R + 'static,
) -> thread::JoinHandle<R> {
    let shared = Arc::clone(shared);
    thread::spawn(move || work(&shared))
}

// ---- The queue -----------------------------------------------------------------------------------------

/// A run of one: what is said of the lock is the same for longer ones.
struct Single<T>(T);

impl<T> Run for Single<T> {
    fn len(&self) -> usize {
        1
    }
}

/// Who admitted it and its number there. The checker's own cell: it finds out if a parcel is read by one who did not
/// properly get it.
type Parcel = Single<Box<Cell<(usize, u32)>>>;
type Parcels = Queue<Parcel, 8>;

fn parcel(from: usize, number: u32, priority: Priority) -> (Priority, Parcel) {
    let parcel = Box::new(Cell::new((0, 0)));
    parcel.set((from, number));
    (priority, Single(parcel))
}

/// Admits three parcels in two steps, the second of which is urgent.
fn admit_three(queue: &Parcels, from: usize) {
    let first = [parcel(from, 1, Priority::NORMAL), parcel(from, 2, Priority::URGENT)];
    queue.admit(first.into_iter(), 1);
    queue.wake_if_waiting();
    queue.admit([parcel(from, 3, Priority::NORMAL)].into_iter(), 1);
    queue.wake_if_waiting();
}

/// As the consumer's own thread: waits to be called, then picks all there is. False: the queue is closed.
fn next<T: Run, const N: usize>(queue: &Queue<T, N>, mut process: impl FnMut(&mut Batch<T>)) -> bool {
    let (is_open, mut batch) = (queue.wait(None), Batch::new());
    while queue.pick(&mut batch) {
        process(&mut batch);
    }
    is_open
}

/// Moves a batch to `taken`, which tells of each parcel its priority, who admitted it, and its number there.
fn unpack(batch: &mut Batch<Parcel>, taken: &mut Vec<(Priority, usize, u32)>) {
    let order = |a: &(Priority, u64), b: &(Priority, u64)| a.0 > b.0 || a.0 == b.0 && a.1 < b.1;
    assert!(batch.runs().map(|(_, picked)| (picked.priority, picked.stamp_ns)).is_sorted_by(order));
    taken.extend(batch.drain().map(|(_, picked)| {
        let (from, number) = picked.item.0.get();
        (picked.priority, from, number)
    }));
}

/// All parcels of two who admitted three each, once, and in order where one admitted them with one priority.
fn assert_complete(taken: &[(Priority, usize, u32)]) {
    for from in 0..2 {
        let numbers = |wanted| {
            let of = taken.iter().filter(move |(priority, by, _)| (*priority, *by) == (wanted, from));
            of.map(|(_, _, number)| *number).collect::<Vec<_>>()
        };
        assert_eq!((numbers(Priority::URGENT), numbers(Priority::NORMAL)), (vec![2], vec![1, 3]));
    }
    assert_eq!(taken.len(), 6);
}

#[test]
fn what_two_admit_is_picked_once_and_in_order() {
    model(2, || {
        let queue = Arc::new(Parcels::new());
        let admitters = [0, 1].map(|from| spawn(&queue, move |queue| admit_three(queue, from)));
        let mut taken = Vec::new();
        while taken.len() < 6 {
            assert!(next(&queue, |batch| unpack(batch, &mut taken)));
        }
        admitters.into_iter().for_each(|admitter| admitter.join().unwrap());
        assert_complete(&taken);
    });
}

#[test]
fn a_closed_queue_wakes_the_consumer_and_keeps_the_rest() {
    model(2, || {
        let queue = Arc::new(Parcels::new());
        let admitters = [0, 1].map(|from| spawn(&queue, move |queue| admit_three(queue, from)));
        let consumer = spawn(&queue, |queue| {
            let mut taken = Vec::new();
            while next(queue, |batch| unpack(batch, &mut taken)) {}
            assert!(!queue.pick(&mut Batch::new()), "a closed queue gives nothing");
            taken
        });
        queue.close();
        let mut taken = consumer.join().unwrap();
        admitters.into_iter().for_each(|admitter| admitter.join().unwrap());
        let mut batch = Batch::new();
        while queue.take_rest(&mut batch) {
            unpack(&mut batch, &mut taken);
        }
        assert_complete(&taken);
    });
}

#[test]
fn a_consumer_that_sleeps_over_an_empty_queue_is_told_of_its_end() {
    loom::model(|| {
        let queue = Arc::new(Parcels::new());
        let consumer = spawn(&queue, |queue| next(queue, |_| unreachable!("nothing was admitted")));
        queue.close();
        assert!(!consumer.join().unwrap());
    });
}

// ---- The consumer's seat -----------------------------------------------------------------------------

/// What was picked, and its number among all that were.
struct Numbered {
    batch: Batch<Single<u32>>,
    number: u32,
}

impl Numbered {
    fn new() -> Self {
        Self { batch: Batch::new(), number: 0 }
    }
}

/// A queue, a pipeline, and what the threads that run it took. The consumer counts what it picks, and so does the delivery.
struct Workshop {
    queue: Queue<Single<u32>, 4>,
    pipeline: Pipeline<u32, u32, Numbered>,
    taken: Lock<Vec<u32>>,
    /// How many are admitted in all.
    messages: usize,
}

impl Workshop {
    fn new(messages: usize, releases_early: bool) -> Arc<Self> {
        let pipeline = Pipeline::new(0, 0, [Numbered::new(), Numbered::new()], releases_early);
        Arc::new(Self { queue: Queue::new(), pipeline, taken: Lock::new(Vec::new()), messages })
    }

    fn process(&self, picked: &mut u32, group: &mut Numbered) -> bool {
        assert!(group.batch.is_empty(), "what was there is delivered");
        *picked += 1;
        group.number = *picked;
        self.queue.pick(&mut group.batch)
    }

    /// What was picked is moved to `taken`. The queue is closed with the last one.
    fn deliver(&self, delivered: &mut u32, group: &mut Numbered) {
        assert!(group.number > *delivered, "in order");
        *delivered = group.number;
        let mut taken = self.taken.lock().unwrap();
        taken.extend(group.batch.drain().map(|(_, picked)| picked.item.0));
        if taken.len() == self.messages {
            self.queue.close();
        }
    }

    /// As `Dispatcher::try_run`, and as its callers.
    fn run_while_wanted(&self, offloads: bool) {
        while self.pipeline.try_run(&PipelineRun { shop: self, offloads }) {}
    }

    /// As `Dispatcher::keep_processing`.
    fn keep_processing(&self, offloads: bool) {
        while self.queue.wait(None) {
            self.run_while_wanted(offloads);
        }
        self.pipeline.run_last(&PipelineRun { shop: self, offloads }, |_| ());
    }

    /// As `Dispatcher::keep_delivering`.
    fn keep_delivering(&self) {
        self.pipeline.keep_delivering(&PipelineRun { shop: self, offloads: true });
    }

    fn admit(&self, number: u32) {
        self.queue.admit([(Priority::NORMAL, Single(number))].into_iter(), 1);
    }

    /// As a worker: admits, and comes back to the seat for as long as it must.
    fn work(&self, number: u32) {
        self.admit(number);
        self.run_while_wanted(false);
    }

    /// What was taken, in order of the numbers.
    fn taken(&self) -> Vec<u32> {
        let mut taken = self.taken.lock().unwrap().clone();
        taken.sort_unstable();
        taken
    }
}

/// How one thread runs the pipeline of the workshop.
struct PipelineRun<'a> {
    shop: &'a Workshop,
    offloads: bool,
}

impl Stages<u32, u32, Numbered> for PipelineRun<'_> {
    fn process(&self, picked: &mut u32, group: &mut Numbered) -> bool {
        self.shop.process(picked, group)
    }

    fn deliver(&self, delivered: &mut u32, group: &mut Numbered) {
        self.shop.deliver(delivered, group);
    }

    fn offloads(&self, _: &Numbered) -> bool {
        self.offloads
    }

    fn is_work_left(&self) -> bool {
        self.shop.queue.has_work()
    }
}

fn message_of_a_thread_without_the_lock_is_processed(releases_early: bool) {
    model(3, move || {
        let workshop = Workshop::new(3, releases_early);
        let others = [1, 2].map(|number| spawn(&workshop, move |shop| shop.work(number)));
        workshop.work(3);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(workshop.taken(), [1, 2, 3], "all have gone, and nothing is left");
    });
}

#[test]
fn message_of_a_thread_without_the_lock_is_processed_by_its_holder() {
    message_of_a_thread_without_the_lock_is_processed(false);
}

#[test]
fn message_of_a_thread_without_the_lock_is_processed_also_during_a_delivery() {
    message_of_a_thread_without_the_lock_is_processed(true);
}

fn nothing_is_left_with_an_own_thread(releases_early: bool) {
    model(3, move || {
        let workshop = Workshop::new(2, releases_early);
        let own = spawn(&workshop, |shop| shop.keep_processing(false));
        let caller = spawn(&workshop, |shop| {
            shop.admit(2);
            shop.queue.wake_if_waiting();
        });
        workshop.work(1);
        caller.join().unwrap();
        own.join().unwrap();
        assert_eq!(workshop.taken(), [1, 2]);
    });
}

#[test]
fn nothing_is_left_if_one_worker_processes_and_another_wakes_the_own_thread() {
    nothing_is_left_with_an_own_thread(false);
}

#[test]
fn nothing_is_left_if_one_worker_delivers_and_another_wakes_the_own_thread() {
    nothing_is_left_with_an_own_thread(true);
}

#[test]
fn offloaded_group_is_delivered_and_all_threads_end() {
    model(2, || {
        let workshop = Workshop::new(2, true);
        let own = spawn(&workshop, |shop| shop.keep_processing(true));
        let delivering = spawn(&workshop, Workshop::keep_delivering);
        // Processed by the own thread, or by the worker, if that sits there already.
        workshop.admit(1);
        workshop.queue.wake_if_waiting();
        workshop.work(2);
        own.join().unwrap();
        delivering.join().unwrap();
        assert_eq!(workshop.taken(), [1, 2]);
    });
}

/// A pipeline with something that is due at a certain time, and whether that was done.
struct Clock {
    queue: Parcels,
    pipeline: Pipeline<bool, (), ()>,
    is_due: AtomicU32,
}

impl Clock {
    fn run_while_wanted(&self) {
        while self.pipeline.try_run(self) {}
    }
}

impl Stages<bool, (), ()> for Clock {
    /// As `Consumer::process`: looks what is due, and then what waits.
    fn process(&self, is_done: &mut bool, (): &mut ()) -> bool {
        self.queue.clear_overdue();
        *is_done |= self.is_due.load(Relaxed) == 1;
        self.queue.pick(&mut Batch::new())
    }

    fn deliver(&self, (): &mut (), (): &mut ()) {}

    fn offloads(&self, (): &()) -> bool {
        false
    }

    fn is_work_left(&self) -> bool {
        self.queue.has_work()
    }
}

#[test]
fn what_becomes_due_during_a_run_is_done() {
    model(3, || {
        let pipeline = Pipeline::new(false, (), [(), ()], true);
        let clock = Arc::new(Clock { queue: Queue::new(), pipeline, is_due: AtomicU32::new(0) });
        let own = spawn(&clock, |clock| {
            clock.is_due.store(1, Relaxed);
            clock.queue.wait(Some(Duration::ZERO));
            clock.run_while_wanted();
        });
        clock.run_while_wanted();
        own.join().unwrap();
        clock.pipeline.run_last(&*clock, |is_done| assert!(*is_done));
    });
}

// ---- Calls ---------------------------------------------------------------------------------------------

/// An eventfd in an edge-triggered epoll set: each ring is reported, but rings before a wait are reported as one.
struct Bell {
    rung: Lock<bool>,
    ringing: Condvar,
}

impl Bell {
    fn new() -> Self {
        Self { rung: Lock::new(false), ringing: Condvar::new() }
    }

    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.ringing.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.ringing.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// What is called for, with a bell for each of two workers, and what the callers did before.
struct Calls {
    seats: Bitmap<1>,
    bells: [Bell; 2],
    rings: AtomicU32,
    done: [AtomicU32; 2],
}

impl Calls {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            seats: Bitmap::new(),
            bells: [Bell::new(), Bell::new()],
            rings: AtomicU32::new(0),
            done: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    /// Does something, and calls the worker of `seat`. Only the bitmap carries the news of it, if nothing is rung.
    fn call(&self, caller: usize, seat: usize, worker: usize) {
        self.done[caller].store(1, Relaxed);
        if self.seats.insert(seat) {
            self.rings.fetch_add(1, Relaxed);
            self.bells[worker].ring();
        }
    }

    fn is_done(&self, caller: usize) -> bool {
        self.done[caller].load(Relaxed) == 1
    }
}

#[test]
fn of_two_calls_for_one_seat_both_are_heard_and_no_ring_is_needless() {
    model(3, || {
        let calls = Calls::new();
        let callers = [0, 1].map(|caller| spawn(&calls, move |calls| calls.call(caller, 7, 0)));
        let mut visits = 0;
        // A turn that a call gives looks at everything; what it does not see, another turn must come for.
        let mut seen = [false; 2];
        while seen != [true; 2] {
            calls.bells[0].wait();
            calls.seats.drain(0, 32, |seat| {
                assert_eq!(seat, 7);
                visits += 1;
                seen = [calls.is_done(0), calls.is_done(1)];
            });
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        calls.seats.drain(0, 32, |_| visits += 1);
        assert_eq!(visits, calls.rings.load(Relaxed), "each ring is for one visit");
    });
}

#[test]
fn two_workers_share_a_word_and_take_no_call_of_the_other() {
    model(2, || {
        let calls = Calls::new();
        let work = |calls: &Calls, worker: usize, seats: [usize; 2]| {
            let mut seen = false;
            while !seen {
                calls.bells[worker].wait();
                calls.seats.drain(seats[0], seats[1], |seat| {
                    assert!((seats[0]..seats[1]).contains(&seat));
                    seen = calls.is_done(worker);
                });
            }
        };
        let callers = [(0, 3), (1, 9)]
            .map(|(worker, seat)| spawn(&calls, move |calls| calls.call(worker, seat, worker)));
        let other = spawn(&calls, move |calls| work(calls, 1, [8, 32]));
        work(&calls, 0, [0, 8]);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        other.join().unwrap();
        assert!(calls.seats.is_empty());
    });
}

#[test]
fn who_takes_a_number_out_saw_what_came_before_it() {
    loom::model(|| {
        let calls = Calls::new();
        let caller = spawn(&calls, |calls| calls.call(0, 7, 0));
        // No bell here: the worker was awake for another reason.
        calls.seats.drain(0, 32, |_| assert!(calls.is_done(0)));
        caller.join().unwrap();
    });
}

// ---- The seat ------------------------------------------------------------------------------------------

/// The kernel: one connection, and what epoll tells the worker of it.
struct Kernel {
    state: Lock<State>,
    worker: Condvar,
    others: Condvar,
}

struct State {
    open: bool,
    /// Somebody is in the middle of a send.
    sending: bool,
    /// So many bytes it takes.
    room: usize,
    /// What it took and the client did not read.
    taken: Vec<u8>,
    /// A send found it full: it will report when it is not.
    found_full: bool,
    /// It reported that it is writable, and the worker has not seen that.
    writable: bool,
    rung: bool,
    /// Nothing more will happen: for the worker to end, should it sleep.
    over: bool,
}

/// What a wait of the worker brought.
#[derive(PartialEq)]
enum Woken {
    Writable,
    Called,
    Over,
}

impl Kernel {
    /// With a connection that takes so many bytes before the client reads.
    fn new(room: usize) -> Self {
        let state = State {
            open: true,
            sending: false,
            room,
            taken: Vec::new(),
            found_full: false,
            writable: false,
            rung: false,
            over: false,
        };
        Self { state: Lock::new(state), worker: Condvar::new(), others: Condvar::new() }
    }

    /// Changes the state, and lets all look at it who wait for something.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.worker.notify_one();
        self.others.notify_one();
    }

    /// Sends, in the two steps in which another can come between: to enter and to do it.
    fn send(&self, bytes: &[u8]) -> nix::Result<usize> {
        let mut state = self.state.lock().unwrap();
        assert!(state.open, "a send on a socket that is closed, or somebody else's");
        assert!(!state.sending, "two send at once");
        state.sending = true;
        drop(state);
        let mut state = self.state.lock().unwrap();
        assert!(state.open, "the socket was closed during a send");
        state.sending = false;
        let len = bytes.len().min(state.room);
        state.room -= len;
        state.taken.extend_from_slice(&bytes[..len]);
        state.found_full = len == 0;
        drop(state);
        self.others.notify_one();
        if len == 0 { Err(Errno::EAGAIN) } else { Ok(len) }
    }

    /// The client reads what is there, at least one byte. The socket has the room at once and reports it a little later.
    fn read(&self) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        while state.taken.is_empty() {
            state = self.others.wait(state).unwrap();
        }
        let read = std::mem::take(&mut state.taken);
        state.room += read.len();
        let reports = std::mem::take(&mut state.found_full);
        drop(state);
        if reports {
            self.change(|state| state.writable = true);
        }
        read
    }

    /// The worker's wait; it does not sleep if it is not `patient`: then none.
    fn wait(&self, patient: bool) -> Option<Woken> {
        let mut state = self.state.lock().unwrap();
        loop {
            match () {
                () if std::mem::take(&mut state.writable) => return Some(Woken::Writable),
                () if std::mem::take(&mut state.rung) => return Some(Woken::Called),
                () if !patient => return None,
                () if state.over => return Some(Woken::Over),
                () => state = self.worker.wait(state).unwrap(),
            }
        }
    }
}

/// A seat with its client.
struct Seat {
    outbox: Mutex<Outbox>,
    kernel: Kernel,
    calls: Bitmap<1>,
    /// All bytes in the order in which they were put in. Used with the outbox locked only, so it needs no model.
    put: std::sync::Mutex<Vec<u8>>,
}

impl Seat {
    /// A seat with somebody connected whose socket takes so many bytes at once.
    fn new(room: usize) -> Arc<Self> {
        let make = move || {
            Arc::new(Self {
                outbox: Mutex::new(Outbox::new()),
                kernel: Kernel::new(room),
                calls: Bitmap::new(),
                put: std::sync::Mutex::default(),
            })
        };
        // An outbox on its way to the heap is too much for the stack that the checker gives by itself.
        let maker = thread::Builder::new().stack_size(8 * OUTBOX_BYTES).spawn(make);
        let seat = maker.unwrap().join().unwrap();
        seat.outbox.lock().release_all(&mut pool::take());
        seat.open();
        seat
    }

    /// Takes so many slots.
    fn grant(&self, slots: usize) -> Slots {
        let (mut outbox, mut granted) = (self.outbox.lock(), Slots::new());
        outbox.grant(&mut granted);
        (slots..IN_FLIGHT).for_each(|_| outbox.release_slots(Chain::of(granted.pop().unwrap())));
        granted
    }

    /// Puts a line in.
    fn put(&self, line: &[u8]) {
        let mut outbox = self.outbox.lock();
        assert!(outbox.push_line(line));
        self.put.lock().unwrap().extend(line);
    }

    /// The flush's loop on the modelled socket.
    fn send(&self, chunk: &mut [u8]) -> FlushStatus {
        flush::flush_by(|_, bytes| self.kernel.send(bytes), &mut self.outbox.lock(), chunk)
    }

    /// As `Wakeups::wake`.
    fn call(&self) {
        if self.calls.insert(0) {
            self.kernel.change(|state| state.rung = true);
        }
    }

    /// As `Consumer::send`; whether the worker was to be woken.
    fn send_and_call(&self, chunk: &mut [u8]) -> bool {
        let mut outbox = self.outbox.lock();
        let next = flush::flush_by(|_, bytes| self.kernel.send(bytes), &mut outbox, chunk);
        let wanted = outbox.is_worker_wanted();
        drop(outbox);
        if wanted || next != FlushStatus::Nothing {
            self.call();
        }
        wanted
    }

    /// The client reads until it has so many bytes.
    fn read(&self, len: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < len {
            read.extend(self.kernel.read());
        }
        read
    }

    /// Somebody connects.
    fn open(&self) {
        let socket = OwnedFd::from(File::open("/dev/null").unwrap());
        self.outbox.lock().open(socket, 0);
    }
}

/// The worker's loop around the turns of its one session.
struct Worker<'a> {
    seat: &'a Seat,
    runnable: bool,
}

impl<'a> Worker<'a> {
    fn new(seat: &'a Seat) -> Self {
        Self { seat, runnable: true }
    }

    /// Waits until a turn is due; false: none will be.
    fn wait(&mut self) -> bool {
        loop {
            let woken = self.seat.kernel.wait(!self.runnable);
            self.seat.calls.drain(0, 1, |_| self.runnable = true);
            if woken == Some(Woken::Writable) {
                self.runnable = true;
                self.seat.outbox.lock().sending.set_writable();
            }
            if std::mem::take(&mut self.runnable) {
                return true;
            }
            if woken == Some(Woken::Over) {
                return false;
            }
        }
    }

    /// Sends, and wants another turn if there is more.
    fn send(&mut self, chunk: &mut [u8]) {
        self.runnable |= self.seat.send(chunk) == FlushStatus::Again;
    }

    /// As `Session::vacate`; true: the seat is free.
    fn vacate(&mut self) -> bool {
        let mut outbox = self.seat.outbox.lock();
        let (is_sending, is_quiescent) = (outbox.sending.is_in_progress(), outbox.is_quiescent());
        outbox.set_wake_on(if is_quiescent { WakeOn::Nothing } else { WakeOn::Quiescence });
        drop(outbox);
        if !is_sending {
            self.seat.kernel.change(|state| state.open = false);
        }
        is_quiescent
    }
}

/// Slots for all models, one after the other: each is static, so a model must leave none behind.
mod pool {
    use super::*;

    static POOL: std::sync::Mutex<Vec<Slots>> = std::sync::Mutex::new(Vec::new());

    pub fn take() -> Slots {
        let pooled = POOL.lock().unwrap().pop();
        pooled.unwrap_or_else(|| {
            let mut slots = Slots::new();
            (0..IN_FLIGHT).for_each(|_| slots.put(Chain::of(Box::leak(Box::new(Slot::EMPTY)))));
            slots
        })
    }

    /// Takes the slots of a seat that must have all of them, each once.
    pub fn put_back(seat: &Seat) {
        let (mut outbox, mut slots) = (seat.outbox.lock(), Slots::new());
        assert!(outbox.is_quiescent());
        outbox.grant(&mut slots);
        let (mut addresses, mut pooled) = (Vec::new(), Slots::new());
        while let Some(slot) = slots.pop() {
            addresses.push(&raw const *slot);
            pooled.put(Chain::of(slot));
        }
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), IN_FLIGHT);
        POOL.lock().unwrap().push(pooled);
    }
}

// ---- The send_state -------------------------------------------------------------------------------------------

/// The worker and the consumer put lines in and send in pieces of `PIECE` bytes, while the client reads them all.
fn hand_over<const PIECE: usize>(
    switches_max: usize,
    room: usize,
    of_worker: &'static [&'static str],
    of_consumer: &'static [&'static str],
) {
    model(switches_max, move || {
        let seat = Seat::new(room);
        let worker = spawn(&seat, move |seat| {
            let (mut worker, mut lines) = (Worker::new(seat), of_worker.iter());
            while worker.wait() {
                if let Some(line) = lines.next() {
                    seat.put(line.as_bytes());
                    worker.runnable = !lines.as_slice().is_empty();
                }
                worker.send(&mut [0; PIECE]);
            }
        });
        let consumer = spawn(&seat, move |seat| {
            for line in of_consumer {
                seat.put(line.as_bytes());
                seat.send_and_call(&mut [0; PIECE]);
            }
        });
        let len = of_worker.iter().chain(of_consumer).map(|line| line.len()).sum();
        let read = seat.read(len);
        consumer.join().unwrap();
        seat.kernel.change(|state| state.over = true);
        worker.join().unwrap();
        assert_eq!(read, *seat.put.lock().unwrap());
        assert!(seat.outbox.lock().is_empty());
        pool::put_back(&seat);
    });
}

#[test]
fn bytes_leave_once_and_in_order_whoever_sends_them() {
    hand_over::<2>(2, 99, &["ab", "cd"], &["12", "34"]);
}

#[test]
fn a_piece_taken_in_part_goes_on_where_it_ended() {
    hand_over::<3>(2, 2, &["abc"], &["123"]);
}

#[test]
fn nothing_is_left_behind_when_the_socket_was_full() {
    hand_over::<1>(2, 1, &["ab"], &["1", "2"]);
}

#[test]
fn nothing_is_left_behind_when_the_worker_only_waits() {
    hand_over::<2>(2, 1, &[], &["12", "34"]);
}

#[test]
fn what_is_too_much_for_one_turn_is_left_to_the_worker() {
    const MORE: &str = "123456";
    const { assert!(MORE.len() > SENDS_PER_POLL_MAX) };
    hand_over::<1>(2, 99, &["a"], &[MORE]);
}

#[test]
fn when_all_sleep_over_what_is_unsent_the_socket_is_full_and_the_worker_knows() {
    model(3, || {
        let seat = Seat::new(1);
        let worker = spawn(&seat, |seat| {
            let (mut worker, mut knows) = (Worker::new(seat), false);
            seat.put(b"ab");
            while worker.wait() {
                worker.send(&mut [0]);
                // As `Session::timer`, which sets the write time-out.
                knows = seat.outbox.lock().sending.stalled_ns().is_some();
            }
            knows
        });
        let consumer = spawn(&seat, |seat| {
            seat.put(b"1");
            seat.send_and_call(&mut [0]);
        });
        consumer.join().unwrap();
        seat.kernel.change(|state| state.over = true);
        assert!(worker.join().unwrap(), "the time-out of one that does not read is set");
        assert_eq!(seat.kernel.state.lock().unwrap().room, 0);
        assert!(!seat.outbox.lock().is_empty());
        pool::put_back(&seat);
    });
}

// ---- The end of a tenant -------------------------------------------------------------------------------

#[test]
fn after_the_cut_no_send_begins_and_rest_comes_with_one_wake_up_at_most() {
    model(3, || {
        let seat = Seat::new(3);
        let mut slots = seat.grant(2);
        let consumer = spawn(&seat, move |seat| {
            let (mut chunk, mut wake_ups) = ([0; 2], 0);
            while let Some(slot) = slots.pop() {
                seat.outbox.lock().reply(Chain::of(slot), |out| out.extend_from_slice(b"12").unwrap());
                wake_ups += u32::from(seat.send_and_call(&mut chunk));
            }
            wake_ups
        });
        let mut worker = Worker::new(&seat);
        seat.put(b"a");
        worker.send(&mut [0; 2]);
        let mut outbox = seat.outbox.lock();
        outbox.abort();
        assert!(outbox.is_empty() && outbox.begin_send(&mut [0; 2]).is_none());
        drop(outbox);
        while !worker.vacate() {
            assert!(worker.wait());
        }
        assert!(!seat.kernel.state.lock().unwrap().open, "nobody sends on what is closed");
        assert!(consumer.join().unwrap() <= 1, "the worker awaits rest: only rest wakes it");
        assert!(!seat.outbox.lock().is_alive());
        pool::put_back(&seat);
    });
}

/// A MSG line that never fits: it is lost.
static TOO_MUCH: [u8; OUTBOX_BYTES] = [b'l'; OUTBOX_BYTES];

/// As `Consumer::deliver`: one line that fits, and one that is lost.
fn deliver(seat: &Seat) {
    let mut outbox = seat.outbox.lock();
    if outbox.subscriber.joined().is_some() {
        outbox.deliver(b"m");
        outbox.deliver(&TOO_MUCH);
    }
}

/// One tenant goes while the consumer has messages of it and for it; the next one comes. The socket of either takes so
/// many bytes.
fn change_of_tenants(room: usize) {
    model(3, move || {
        let seat = Seat::new(room);
        let mut slots = seat.grant(2);
        drop(seat.outbox.lock().endpoint.take_arrival());
        seat.outbox.lock().subscriber.join(Priority::MIN);
        let consumer = spawn(&seat, move |seat| {
            while let Some(slot) = slots.pop() {
                deliver(seat);
                seat.outbox.lock().reply(Chain::of(slot), |out| out.push(b'r').unwrap());
                seat.send_and_call(&mut [0; 16]);
            }
            deliver(seat);
            seat.send_and_call(&mut [0; 16]);
        });
        let mut worker = Worker::new(&seat);
        seat.outbox.lock().abort();
        while !worker.vacate() {
            assert!(worker.wait());
        }
        // The acceptor's part. The kernel gives the new connection the number of the old one, as it does.
        seat.kernel.change(|state| {
            assert!(!state.open && !state.sending);
            (state.open, state.room) = (true, room);
            state.taken.clear();
        });
        seat.open();
        assert!(seat.outbox.lock().endpoint.take_arrival().is_some());
        seat.put(b"next");
        worker.send(&mut [0; 16]);
        consumer.join().unwrap();
        assert_eq!(seat.read(4), b"next");
        let outbox = seat.outbox.lock();
        assert!(outbox.is_empty() && outbox.subscriber.lost() == 0 && outbox.subscriber.joined().is_none());
        drop(outbox);
        pool::put_back(&seat);
    });
}

#[test]
fn nothing_of_the_former_tenant_reaches_the_next() {
    change_of_tenants(99);
}

#[test]
fn the_full_socket_of_the_former_tenant_does_not_stop_the_next() {
    change_of_tenants(4);
}

// ---- The way of a message ------------------------------------------------------------------------------

/// A seat, and the queue between its worker and the consumer.
struct Way {
    seat: Arc<Seat>,
    queue: Queue<Chain, 2>,
}

/// So many lines are taken with two slots: the worker has to wait for one to come home.
const LINES: u64 = 3;

/// As `Session::converse`, for a client that has said [`LINES`] lines.
fn converse(way: &Way) -> Slots {
    let (seat, mut credits) = (&way.seat, Slots::new());
    let (mut worker, mut line) = (Worker::new(seat), 0);
    while worker.wait() {
        seat.outbox.lock().grant(&mut credits);
        let mut runs = heapless::Vec::<Chain, 2>::new();
        while line < LINES
            && let Some(slot) = credits.pop()
        {
            line += 1;
            slot.fill(firstline::conn_id::ConnId::FIRST, line, Priority::NORMAL, b"");
            Chain::append(slot, &mut runs);
        }
        if !runs.is_empty() {
            way.queue.admit(runs.into_iter().map(|run| (Priority::NORMAL, run)), 1);
            way.queue.wake_if_waiting();
        }
        worker.send(&mut [0; 2]);
        if line < LINES {
            let mut outbox = seat.outbox.lock();
            let can_go_on = outbox.can_grant();
            outbox.set_wake_on(if can_go_on { WakeOn::Nothing } else { WakeOn::Room });
            worker.runnable |= can_go_on;
        }
    }
    credits
}

/// As the consumer, for as long as the queue is open.
fn consume(way: &Way) {
    let process = |batch: &mut Batch<Chain>| {
        for (_, Picked { item: run, .. }) in batch.drain() {
            let mut lines = run.lines().map(|line| line as u8);
            way.seat.outbox.lock().reply(run, |out| out.extend(&mut lines));
        }
        way.seat.send_and_call(&mut [0; 2]);
    };
    while next(&way.queue, process) {}
}

#[test]
fn every_line_is_answered_though_slots_are_few_and_every_slot_comes_home() {
    model(2, || {
        let seat = Seat::new(1);
        let mut aside = seat.grant(IN_FLIGHT - 2);
        let way = Arc::new(Way { seat: Arc::clone(&seat), queue: Queue::new() });
        let (worker, consumer) = (spawn(&way, converse), spawn(&way, consume));
        assert_eq!(seat.read(LINES as usize), (1..=LINES as u8).collect::<Vec<_>>());
        way.queue.close();
        consumer.join().unwrap();
        seat.kernel.change(|state| state.over = true);
        let mut credits = worker.join().unwrap();
        let mut outbox = seat.outbox.lock();
        assert_eq!(outbox.outstanding(), aside.len() + credits.len(), "a slot is somewhere, always");
        outbox.release_all(&mut aside);
        outbox.release_all(&mut credits);
        drop(outbox);
        pool::put_back(&seat);
    });
}
