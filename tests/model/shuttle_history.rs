//! The hand-off from the replay of the journal to live messages, in random schedules: a client that joins since some
//! message receives every later message once and in order, whatever is written meanwhile, and however slowly the
//! client reads.
//!
//! `cargo test --features shuttle --test shuttle_history -- --nocapture`
//!
//! As `tests/model/shuttle_hub.rs`, with a journal in memory, the real journal sink, and the real reader of the replay.
#![cfg(shuttle)]

mod harness;

use firstline::hub::dispatch::consumer::Consumer;
use firstline::hub::dispatch::dispatcher::Dispatcher;
use firstline::hub::dispatch::sinks::journal::JournalSink;
use firstline::hub::replay;
use firstline::hub::shared::Hub;
use firstline::journal::policy::Sync;
use firstline::journal::read_only::ReadOnly;
use firstline::limits::JOURNAL_BYTES_MIN;
use firstline::options::Options;
use harness::driven_hub::{Parts, ReadResult, Singletons};
use harness::kernel::Kernel;
use harness::members::{Member, await_no_clients, connect_witness, run_schedules, spawn_workers};
use harness::promises::check;
use harness::transcript::Transcript;
use harness::witness::Witness;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What each run gets from the one before, and the ID of the last message.
static SINGLETONS: Mutex<Option<(Singletons, replay::Reader, u64)>> = Mutex::new(None);

/// The buffer of a socket, in bytes: less than a subscriber receives, so that its socket is full at times, and its
/// outbox too.
const SMALL_BUFFER: usize = 1;

/// What each of two clients sends: messages with bytes whose escaped form is four times as long.
const MESSAGES_EACH: usize = 8;
const TEXT: [u8; 500] = [1; 500];

/// A directory in memory.
fn directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    parent.join(format!("firstline-history-{}", std::process::id()))
}

fn open() -> (Singletons, replay::Reader, u64) {
    let directory = directory();
    let _ = std::fs::remove_dir_all(&directory);
    let options = Options {
        journal: Some(directory.clone()),
        journal_size: JOURNAL_BYTES_MIN,
        sync: Sync::None,
        sync_interval: Duration::from_secs(3600),
        ..Options::default()
    };
    let journal_sink = JournalSink::open(&options).expect("the journal is new").expect("there is a journal");
    let history = replay::Handle::new(directory.clone(), journal_sink.committed());
    let replay_reader = replay::Reader::new(ReadOnly::open(&directory).expect("the journal is there"));
    (Singletons::new(Consumer::new(None, Some(journal_sink)), Some(history)), replay_reader, 0)
}

/// Sends all its messages, and sometimes reads between them.
fn send_messages(hub: &'static Hub, kernel: &Arc<Kernel>, serial: u32) -> Transcript {
    let mut member = Member::connect(hub, kernel, serial, 1 << 16);
    for _ in 0..MESSAGES_EACH {
        member.send(&[&b"/5 "[..], &TEXT, b"\n"].concat());
        if thread_rng().gen_range(0..4) == 0 {
            member.read();
        }
    }
    member.finish()
}

/// Subscribes since a message, and reads until the last message of this run has come.
fn follow(hub: &'static Hub, kernel: &Arc<Kernel>, serial: u32, since: u64, last: u64) -> Transcript {
    let mut member =
        Member::connect(hub, kernel, serial, if serial % 2 == 0 { SMALL_BUFFER } else { 1 << 16 });
    member.send(format!("/join 5 since {since}\n").as_bytes());
    while member.client.transcript.ids_of_others().last() != Some(last) {
        assert!(member.read(), "the connection is closed before the last message came");
    }
    member.send(b"/quit\n");
    let transcript = member.read_rest();
    assert!(
        transcript.ids_of_others().eq(since + 1..=last),
        "a gap or a repetition between {since} and {last}"
    );
    transcript
}

/// Subscribes since a message, and unsubscribes during the replay: no message follows the reply.
fn leave(hub: &'static Hub, kernel: &Arc<Kernel>, serial: u32, since: u64, _: u64) -> Transcript {
    let mut member = Member::connect(hub, kernel, serial, SMALL_BUFFER);
    member.send(format!("/join 5 since {since}\n").as_bytes());
    for _ in 0..thread_rng().gen_range(0..4) {
        assert!(member.read(), "the connection is closed too early");
    }
    member.send(b"/leave\n/quit\n");
    member.read_rest()
}

/// Spawns the clients of a run, which subscribe since `since`; the run's last message is `last`.
fn spawn_clients(
    hub: &'static Hub,
    kernel: &Arc<Kernel>,
    since: u64,
    last: u64,
) -> Vec<JoinHandle<Transcript>> {
    let spawn = |act: fn(&'static Hub, &Arc<Kernel>, u64, u64) -> Transcript| {
        let kernel = Arc::clone(kernel);
        thread::spawn(move || act(hub, &kernel, since, last))
    };
    vec![
        spawn(|hub, kernel, _, _| send_messages(hub, kernel, 2)),
        spawn(|hub, kernel, _, _| send_messages(hub, kernel, 3)),
        spawn(|hub, kernel, since, last| follow(hub, kernel, 4, since, last)),
        spawn(|hub, kernel, since, last| follow(hub, kernel, 5, since, last)),
        spawn(|hub, kernel, since, last| leave(hub, kernel, 6, since, last)),
    ]
}

/// Spawns the thread of the replay, which reads until the kernel ends.
fn spawn_replay(
    hub: &'static Hub,
    kernel: &Arc<Kernel>,
    mut reader: replay::Reader,
) -> JoinHandle<replay::Reader> {
    let kernel = Arc::clone(kernel);
    thread::spawn(move || {
        let history = hub.replay.as_ref().expect("there is a journal");
        while !kernel.is_over() {
            reader.round(hub, history);
        }
        reader
    })
}

fn run() {
    let (singletons, replay_reader, before) = SINGLETONS.lock().unwrap().take().unwrap_or_else(open);
    let last = before + 2 * MESSAGES_EACH as u64;
    // Some of these messages are of earlier runs, and are in the journal from the start.
    let since = before - thread_rng().gen_range(0..=before.min(20));
    // With two workers, one processes while the group of the other is delivered.
    let options = Options { workers: thread_rng().gen_range(1..=2), ..Options::default() };
    let Parts { hub, dispatcher, mut workers, sessions } = Parts::new(singletons, &options, |_| ());
    let (kernel, polls) = Kernel::start();
    let mut witness = connect_witness(hub, &mut workers);
    let members = spawn_clients(hub, &kernel, since, last);
    let workers = spawn_workers(workers, &kernel);
    assert!(dispatcher.has_delivery_thread(), "with a journal");
    let processing = [Dispatcher::keep_processing, Dispatcher::keep_delivering]
        .map(|keep| thread::spawn(move || keep(dispatcher)));
    let reading = spawn_replay(hub, &kernel, replay_reader);
    let transcripts: Vec<Transcript> = members.into_iter().map(|member| member.join().unwrap()).collect();
    witness.end_sending();
    await_no_clients(hub);
    dispatcher.finish(Duration::MAX);
    processing.into_iter().for_each(|thread| thread.join().unwrap());
    kernel.end();
    polls.join().unwrap();
    hub.replay.as_ref().expect("there is a journal").wake(firstline::conn_id::ConnId::FIRST);
    let replay_reader = reading.join().unwrap();
    let workers = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    while witness.read(usize::MAX) != ReadResult::End {}
    // The witness does not know the messages before it subscribed.
    let seen = Witness::new(&witness.transcript, Some(before));
    assert_eq!(seen.last_id(), Some(last));
    transcripts.iter().for_each(|transcript| check(transcript, &seen));
    let singletons = Parts { hub, dispatcher, workers, sessions }.end();
    *SINGLETONS.lock().unwrap() = Some((singletons, replay_reader, last));
}

#[test]
fn join_since_sends_every_later_message_once() {
    run_schedules("from the history to live messages", run);
    let _ = std::fs::remove_dir_all(directory());
}
