//! Tests the watcher with power cuts of the server and kills of the watcher, and a journal on the simulated disk: each
//! message comes once and in order, or is reported as lost.
//!
//! The server is a thread that serves the journal by the rules of the hub: it sends a message after its commit has
//! succeeded, and reports gaps between IDs as losses.

use crate::client::{Event, Interest, Position, Positions, Since, Watcher, What};
use crate::journal::catalog::Catalog;
use crate::journal::cursor::{Cursor, Step};
use crate::journal::record::Record;
use crate::journal::simulated::{Fault, Random, SimulatedDisk};
use crate::journal::writer::{Buffers, Writer};
use crate::limits::JOURNAL_READ_BYTES;
use crate::protocol::Priority;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SEGMENT_BYTES: u32 = 128 * 1024;
const STRETCH_BYTES: u32 = 16 * 1024;

/// How often the server starts in each test. Each time, the watcher pauses for up to 0.1 s.
const BOOTS: usize = 150;

/// The text of the last message.
const END: &str = "end";

/// Whether the server syncs each message before it sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    All,
    None,
}

/// What the server has written.
#[derive(Default)]
struct Log {
    /// The texts of all messages that were written with each ID. A failed commit may leave its messages on the disk, so
    /// an ID can have several.
    texts: BTreeMap<u64, Vec<String>>,
    /// The messages that were synced.
    durable: BTreeSet<u64>,
    cuts: usize,
}

/// The server's end of a connection. Errors are ignored: the watcher may be killed at any time.
struct Client {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Client {
    /// Accepts the next connection, and answers its greeting; `None`: the watcher was killed meanwhile.
    fn greet(listener: &TcpListener) -> Option<Self> {
        let stream = listener.accept().unwrap().0;
        let mut client = Self { lines: BufReader::new(stream.try_clone().unwrap()), stream };
        let greeting = client.line()?;
        assert_eq!(greeting, "/ping");
        client.say("OK 1");
        Some(client)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end().to_string())
    }

    fn say(&mut self, line: &str) {
        let _ = self.stream.write_all(format!("{line}\n").as_bytes());
    }

    fn say_message(&mut self, id: u64, text: &str) {
        self.say(&format!("MSG {id} p4 a {text}"));
    }
}

/// The server, with the state that outlives its restarts.
struct Server {
    listener: TcpListener,
    disk: SimulatedDisk,
    random: Random,
    sync: Sync,
    log: Log,
    serial: u64,
    /// How often it has started.
    boots: Arc<AtomicUsize>,
}

impl Server {
    fn run(mut self) -> Log {
        let mut buffers = Box::new(Buffers::new());
        for boot in 0..BOOTS {
            self.boots.store(boot, Ordering::SeqCst);
            let is_last = boot + 1 == BOOTS;
            if boot > 0 && !is_last && self.random.once_in(2) {
                self.disk.fail_after(self.random.below(60) as u64, Fault::Off);
            }
            self.boot(&mut buffers, boot == 0, is_last);
            // The first start ends without a cut: before that, a cut can destroy the journal's identity.
            if boot > 0 && (self.disk.is_off() || self.random.once_in(2)) {
                self.disk.cut();
                self.log.cuts += 1;
            }
        }
        self.log
    }

    fn boot(&mut self, buffers: &mut Buffers, is_first: bool, is_last: bool) {
        let opened = Writer::open_with(self.disk.clone(), SEGMENT_BYTES, STRETCH_BYTES, buffers);
        let Ok((mut writer, _)) = opened else { return };
        let mut client = Client::greet(&self.listener);
        while is_last && client.is_none() {
            client = Client::greet(&self.listener);
        }
        let mut client = client.and_then(|client| self.join(client, &writer));
        for _ in 0..self.random.below(12) {
            let texts: Vec<String> = (0..1 + self.random.below(4)).map(|_| self.next_text()).collect();
            self.write(&mut writer, client.as_mut(), &texts);
            if self.disk.is_off() {
                return;
            }
        }
        if is_first || self.random.once_in(4) {
            let _ = writer.close();
        }
        if is_last {
            while !self.write(&mut writer, client.as_mut(), &[END.to_string()]) {}
            // Wait until the watcher has gone.
            while client.as_mut().is_some_and(|client| client.line().is_some()) {}
        }
    }

    fn next_text(&mut self) -> String {
        self.serial += 1;
        format!("{} {}", self.serial, "x".repeat(self.random.below(200)))
    }

    /// Answers the watcher's questions, and sends what it lacks.
    fn join(&self, mut client: Client, writer: &Writer<'_, SimulatedDisk>) -> Option<Client> {
        assert_eq!(client.line()?, "/stats");
        client.say(&format!("STAT journal-id {}\nOK 2", writer.identity().0));
        assert_eq!(client.line()?, format!("/join 0 since {}", u64::MAX));
        client.say(&format!("ERR 3 ahead-of-history {}", writer.next_id() - 1));
        let since = client.line()?.strip_prefix("/join 0 since ")?.parse::<u64>().unwrap();
        self.send_history(&mut client, since, writer);
        client.say("OK 4");
        Some(client)
    }

    fn send_history(&self, client: &mut Client, since: u64, writer: &Writer<'_, SimulatedDisk>) {
        let (headers, end) = writer.extent();
        let (catalog, mut window) = (Catalog::new(headers, Some(end)), Box::new([0; JOURNAL_READ_BYTES]));
        let mut cursor = Cursor::since((since + 1).min(writer.next_id()));
        let (mut reading, mut lost) = (cursor.read(&catalog, &mut window, u32::MAX), 0);
        loop {
            match reading.next(&self.disk.fault_free()).unwrap() {
                Step::Lost(count) => lost += count,
                Step::Record(record) => {
                    say_lost(client, std::mem::take(&mut lost));
                    client.say_message(record.id, str::from_utf8(record.text).unwrap());
                }
                Step::Damage(_) => {}
                Step::End => break,
                step => panic!("nobody writes meanwhile: {step:?}"),
            }
        }
        let missing = writer.next_id() - cursor.next_id().unwrap_or(writer.next_id());
        say_lost(client, lost + missing);
    }

    /// Writes messages in one commit; true: it succeeded, and they were sent.
    fn write(
        &mut self,
        writer: &mut Writer<'_, SimulatedDisk>,
        client: Option<&mut Client>,
        texts: &[String],
    ) -> bool {
        let is_synced = self.sync == Sync::All;
        if !writer.is_writable() {
            let _ = writer.reopen_segment();
        }
        writer.begin_group(is_synced);
        let mut ids = Vec::new();
        for text in texts {
            let id = writer.next_id();
            let priority = Priority::NORMAL;
            writer.append(&Record { id, time_ms: 0, priority, from: b"a", text: text.as_bytes() });
            self.log.texts.entry(id).or_default().push(text.clone());
            ids.push(id);
        }
        if writer.commit(is_synced).is_err() {
            return false;
        }
        if is_synced {
            self.log.durable.extend(&ids);
        }
        if let Some(client) = client {
            ids.iter().zip(texts).for_each(|(id, text)| client.say_message(*id, text));
        }
        true
    }
}

fn say_lost(client: &mut Client, count: u64) {
    if count > 0 {
        client.say(&format!("LOST {count}"));
    }
}

/// What the watchers have seen.
#[derive(Default)]
struct Seen {
    texts: BTreeMap<u64, String>,
    /// The position in the journal; `None`: nothing has come. No start uses an ID again that a watcher may have seen,
    /// so the position never goes back.
    position: Option<Position>,
    lost: u64,
    kills: usize,
}

impl Seen {
    /// Takes an event; true: it is the last message.
    fn take(&mut self, event: Event) -> bool {
        let Event { what, position } = event;
        let read = self.position.map_or(0, |position| position.id);
        let mut is_end = false;
        match what {
            What::Begin(None) => assert_eq!(position.id, read),
            What::Begin(Some(gap)) => panic!("{gap}"),
            What::Message { id, text, .. } => {
                assert_eq!((id, position.id), (read + 1, id), "{text}");
                is_end = text == END;
                assert_eq!(self.texts.insert(id, text), None, "message {id} comes twice");
            }
            What::Lost(count) => {
                assert_eq!(position.id, read + count);
                self.lost += count;
            }
            What::CaughtUp => assert_eq!(position.id, read),
        }
        self.position = Some(position);
        is_end
    }

    /// Compares what the watchers have seen with what the server has written.
    fn check(&self, log: &Log, sync: Sync) {
        let distinct: BTreeSet<&String> = self.texts.values().collect();
        assert_eq!(distinct.len(), self.texts.len(), "a text comes twice");
        for (id, text) in &self.texts {
            assert!(log.texts[id].contains(text), "message {id} was never {text}");
        }
        if sync == Sync::All {
            let missing: Vec<&u64> = log.durable.iter().filter(|id| !self.texts.contains_key(id)).collect();
            assert_eq!(missing, [&0; 0], "synced, and not seen");
        }
        // Without cuts, messages and kills, the test would show nothing.
        assert!(log.cuts > BOOTS / 4 && self.texts.len() > BOOTS, "{} cuts", log.cuts);
        assert!(self.kills > 0, "no kill");
        assert_eq!(self.lost > 0, sync == Sync::None, "{} lost", self.lost);
    }
}

fn check(sync: Sync, seed: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let boots = Arc::new(AtomicUsize::new(0));
    let server_boots = Arc::clone(&boots);
    // The thread that uses the disk also creates it.
    let server = std::thread::spawn(move || {
        let (disk, log) = (SimulatedDisk::new(SEGMENT_BYTES, seed), Log::default());
        Server { listener, disk, random: Random(!seed), sync, log, serial: 0, boots: server_boots }.run()
    });
    let watcher = |positions| {
        Watcher::new(address.into(), None, Interest { since: Since::All, positions, ..Interest::default() })
    };
    let (mut random, mut seen) = (Random(seed), Seen::default());
    let mut current = watcher(Positions::default());
    'events: loop {
        current.wait(None);
        assert_eq!(current.denial(), None);
        while let Some(event) = current.take_event() {
            if seen.take(event) {
                break 'events;
            }
            // A killed watcher may leave a connection that waits to be accepted, and uses up one start of the server.
            if random.once_in(20) && boots.load(Ordering::SeqCst) + 3 < BOOTS {
                let mut positions = Positions::default();
                seen.position.into_iter().for_each(|position| positions.set(position));
                current = watcher(positions);
                seen.kills += 1;
                break;
            }
        }
    }
    drop(current);
    seen.check(&server.join().unwrap(), sync);
}

#[test]
fn synced_messages_come_once_over_power_cuts_and_kills() {
    check(Sync::All, 1);
}

#[test]
fn synced_messages_come_once_over_other_power_cuts_and_kills() {
    check(Sync::All, 2);
}

#[test]
fn messages_that_are_not_synced_come_once_or_are_lost() {
    check(Sync::None, 3);
}

#[test]
fn other_messages_that_are_not_synced_come_once_or_are_lost() {
    check(Sync::None, 4);
}
