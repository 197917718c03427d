//! A server with a journal, its clients, and a bystander that must not notice the fault.

use crate::support::accounts::{Account, Ledger, Speaker, Tally};
use crate::support::{Client, LIMIT, Server, command};
use firstline::limits::CLIENTS;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest wait of a client that the fault does not touch: long for a busy machine, and short beside the
/// time-outs for which a server would block if it waited for another client.
pub const PROMPT: Duration = Duration::from_secs(5);

/// A server, and the ledger of all its clients.
pub struct Scene {
    pub server: Server,
    pub ledger: Arc<Ledger>,
    journal: PathBuf,
}

impl Scene {
    /// Starts a server with these further arguments; it listens on all addresses in the namespace of this thread.
    pub fn start(name: &str, args: &[&str]) -> Self {
        Self::start_with(name, |command| {
            command.args(args);
        })
    }

    /// The same, with a command that `change` adjusts.
    pub fn start_with(name: &str, change: impl FnOnce(&mut Command)) -> Self {
        let (mut command, journal) = Self::command(name);
        command.args(["--listen", "0.0.0.0:0"]);
        change(&mut command);
        Self { server: Server::start_command(command), ledger: Arc::default(), journal }
    }

    /// The same, with a log that nobody reads: the server listens on the default port.
    pub fn start_without_log(name: &str, change: impl FnOnce(Command) -> Command) -> Self {
        let (command, journal) = Self::command(name);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, firstline::limits::PORT_DEFAULT));
        Self { server: Server::start_without_log(change(command), address), ledger: Arc::default(), journal }
    }

    fn command(name: &str) -> (Command, PathBuf) {
        let journal = std::env::temp_dir().join(format!("firstline-faults-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&journal);
        let mut command = command();
        command.args(["--journal-size", "16M", "--journal"]).arg(&journal);
        (command, journal)
    }

    /// Connects a client on this machine; its name must be new.
    pub fn speaker(&self, name: &str) -> Speaker {
        let address = (Ipv4Addr::LOCALHOST, self.server.address.port()).into();
        Speaker::new(TcpStream::connect_timeout(&address, LIMIT).unwrap(), self.account(name))
    }

    /// An account for a connection that is made in another way.
    pub fn account(&self, name: &str) -> Account {
        Account::open(&self.ledger, name)
    }

    /// A client on this machine that sends all the time, and must have prompt answers.
    pub fn bystander(&self) -> Bystander {
        let (mut speaker, is_over) = (self.speaker("bystander"), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let speaking = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let since = Instant::now();
                speaker.say_and_await_replies(3).unwrap();
                slowest = slowest.max(since.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            speaker.end_sending();
            speaker.finish().unwrap();
            slowest
        });
        Bystander { speaking, is_over }
    }

    /// A client that reads the counters.
    pub fn watcher(&self) -> Client {
        Client::connect((Ipv4Addr::LOCALHOST, self.server.address.port()).into())
    }

    /// A counter of the server.
    pub fn stat(&self, name: &str) -> u64 {
        self.watcher().stats()[name]
    }

    /// The number of connected clients, without the one that asks. While others leave, the server may have no place for
    /// that one; then they are as many as there can be.
    pub fn clients(&self) -> u64 {
        let mut client = self.server.connect();
        if client.ask("/ping").starts_with("OK ") { client.stats()["clients"] - 1 } else { CLIENTS as u64 }
    }

    /// The directory of the journal.
    pub fn journal(&self) -> &PathBuf {
        &self.journal
    }

    /// Ends the server, and checks that the ledger agrees with the journal. All other clients must have ended.
    pub fn end(self) -> Tally {
        self.server.signal("TERM");
        self.await_end()
    }

    /// The same, for a server that has got its signal.
    pub fn await_end(self) -> Tally {
        let Self { mut server, ledger, journal } = self;
        assert_eq!(server.wait().code(), Some(0));
        ledger.record_journal(&journal).unwrap();
        let tally = ledger.close().unwrap();
        let _ = std::fs::remove_dir_all(&journal);
        tally
    }
}

/// A client that the fault does not touch.
pub struct Bystander {
    speaking: JoinHandle<Duration>,
    is_over: Arc<AtomicBool>,
}

impl Bystander {
    /// Ends it; it must have had prompt answers all the time.
    pub fn assert_prompt(self) {
        let slowest = self.end();
        assert!(slowest < PROMPT, "the bystander waited for {slowest:?}");
    }

    /// Ends it, and returns its longest wait.
    pub fn end(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.speaking.join().unwrap()
    }
}

/// Waits longer than [`LIMIT`], for something that may take that long.
pub fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Prints that something was not run, past the harness, which shows only a dot; tests/run looks for that line.
pub fn report_not_run(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {what}: {why}");
}
