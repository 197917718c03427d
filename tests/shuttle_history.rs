//! The way from the history to what comes live, in orders that are made up at random: who joins since some message is sent all that came
//! after it, once and in order, whatever is written meanwhile, and however slowly he reads.
//!
//! `cargo test --features shuttle --test shuttle_history -- --nocapture`
//!
//! As `tests/shuttle_hub.rs`, with a journal in memory and the real journal_sink and historian.
#![cfg(shuttle)]

mod models;

use firstline::hub::Hub;
use firstline::hub::dispatch::consumer::Consumer;
use firstline::hub::dispatch::dispatcher::Dispatcher;
use firstline::hub::dispatch::sinks::journal::JournalSink;
use firstline::hub::replay;
use firstline::journal::policy::Sync;
use firstline::journal::read_only::ReadOnly;
use firstline::limits::JOURNAL_BYTES_MIN;
use firstline::options::Options;
use models::kernel::Kernel;
use models::party::{Member, run_schedules, serve};
use models::promises::{Talk, Witness};
use models::world::{Came, Client, Kit, Parts};
use nix::sys::epoll::EpollTimeout;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What each run takes over from the one before, with the ID of the last message.
static KIT: Mutex<Option<(Kit, replay::Reader, u64)>> = Mutex::new(None);

/// More than all that a witness is sent in a run.
const WITNESS_BYTES: usize = 1 << 20;
/// Less than that: the socket is full now and then, and the outbox too.
const LITTLE: usize = 1;

/// What two say, each of whom says it all: bytes that take four times their room where they are shown.
const SAYINGS: usize = 8;
const TEXT: [u8; 500] = [1; 500];

/// A directory in memory.
fn directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    parent.join(format!("firstline-history-{}", std::process::id()))
}

fn open() -> (Kit, replay::Reader, u64) {
    let directory = directory();
    let _ = std::fs::remove_dir_all(&directory);
    let options = Options {
        journal: Some(directory.clone()),
        journal_size: JOURNAL_BYTES_MIN,
        sync: Sync::None,
        sync_interval: Duration::from_secs(3600),
        ..Options::default()
    };
    let journal_sink = JournalSink::open(&options).expect("the journal is new").expect("there is one");
    let history = replay::Handle::new(directory.clone(), journal_sink.committed());
    let historian = replay::Reader::new(ReadOnly::open(&directory).expect("the journal is there"));
    (Kit::new(Consumer::new(None, Some(journal_sink)), Some(history)), historian, 0)
}

/// Says all it has to say in one of several ways.
fn talk(hub: &'static Hub, kernel: &Arc<Kernel>, serial: u32) -> Talk {
    let mut member = Member::connect(hub, kernel, serial, 1 << 16);
    for _ in 0..SAYINGS {
        member.say(&[&b"/5 "[..], &TEXT, b"\n"].concat());
        if thread_rng().gen_range(0..4) == 0 {
            member.read();
        }
    }
    member.finish()
}

/// Joins since a message, and reads until the last one of that day has come.
fn follow(hub: &'static Hub, kernel: &Arc<Kernel>, serial: u32, since: u64, last: u64) -> Talk {
    let mut member = Member::connect(hub, kernel, serial, if serial % 2 == 0 { LITTLE } else { 1 << 16 });
    member.say(format!("/join 5 since {since}\n").as_bytes());
    while member.client.talk.ids_of_others().last() != Some(last) {
        assert!(member.read(), "it is closed before the last message came");
    }
    member.say(b"/quit\n");
    let talk = member.read_rest();
    assert!(talk.ids_of_others().eq(since + 1..=last), "neither a gap nor a repetition: {since} {last}");
    talk
}

/// Joins since a message, and leaves while it is sent what came after it: nothing of that comes behind the answer.
fn leave(hub: &'static Hub, kernel: &Arc<Kernel>, serial: u32, since: u64, _: u64) -> Talk {
    let mut member = Member::connect(hub, kernel, serial, LITTLE);
    member.say(format!("/join 5 since {since}\n").as_bytes());
    for _ in 0..thread_rng().gen_range(0..4) {
        assert!(member.read(), "it is closed before the last message came");
    }
    member.say(b"/leave\n/quit\n");
    member.read_rest()
}

fn run() {
    let (kit, mut historian, before) = KIT.lock().unwrap().take().unwrap_or_else(open);
    let last = before + 2 * SAYINGS as u64;
    // Some of them are of the day before, and are in the journal from the start.
    let since = before - thread_rng().gen_range(0..=before.min(20));
    // Two sit in the consumer's seat in turn, one while what the other processed is delivered.
    let options = Options { workers: thread_rng().gen_range(1..=2), ..Options::default() };
    let Parts { hub, dispatcher, mut workers, sessions } = Parts::new(kit, &options, |_| ());
    let (kernel, looks) = Kernel::start();
    let mut witness = Client::connect(hub, 1, WITNESS_BYTES).expect("a seat is free");
    witness.send(b"/join\n");
    workers.iter_mut().for_each(|worker| while worker.round(EpollTimeout::ZERO) {});
    let spawn = |act: fn(&'static Hub, &Arc<Kernel>, u64, u64) -> Talk| {
        let kernel = Arc::clone(&kernel);
        thread::spawn(move || act(hub, &kernel, since, last))
    };
    let mut party = vec![
        spawn(|hub, kernel, _, _| talk(hub, kernel, 2)),
        spawn(|hub, kernel, _, _| talk(hub, kernel, 3)),
        spawn(|hub, kernel, since, last| follow(hub, kernel, 4, since, last)),
        spawn(|hub, kernel, since, last| follow(hub, kernel, 5, since, last)),
        spawn(|hub, kernel, since, last| leave(hub, kernel, 6, since, last)),
    ];
    let working: Vec<_> = workers
        .into_iter()
        .map(|worker| {
            let kernel = Arc::clone(&kernel);
            thread::spawn(move || serve(worker, &kernel))
        })
        .collect();
    assert!(dispatcher.has_delivery_thread(), "with a journal");
    let processing = [Dispatcher::keep_processing, Dispatcher::keep_delivering]
        .map(|keep| thread::spawn(move || keep(dispatcher)));
    let own = Arc::clone(&kernel);
    let reading = thread::spawn(move || {
        let history = hub.replay.as_ref().expect("there is one");
        while !own.is_over() {
            historian.round(hub, history);
        }
        historian
    });
    let talks: Vec<Talk> = party.drain(..).map(|member| member.join().unwrap()).collect();
    witness.end_sending();
    while hub.clients.lock().taken().0 > 0 {
        thread::yield_now();
    }
    dispatcher.finish(Duration::MAX);
    processing.into_iter().for_each(|thread| thread.join().unwrap());
    kernel.end();
    looks.join().unwrap();
    hub.replay.as_ref().expect("there is one").wake(firstline::conn_id::ConnId::FIRST);
    let historian = reading.join().unwrap();
    let workers = working.into_iter().map(|worker| worker.join().unwrap()).collect();
    while witness.read(usize::MAX) != Came::End {}
    let mut seen = Witness::new(&witness.talk, Some(before));
    assert_eq!(seen.last_id(), Some(last));
    // What came before it did is not known to it.
    seen.is_gone = true;
    talks.iter().for_each(|talk| talk.check(&seen));
    let kit = Parts { hub, dispatcher, workers, sessions }.end();
    *KIT.lock().unwrap() = Some((kit, historian, last));
}

#[test]
fn who_joins_since_a_message_is_sent_all_after_it_once() {
    run_schedules("from the history to what comes live", run);
    let _ = std::fs::remove_dir_all(directory());
}
