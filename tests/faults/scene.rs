//! A server with a journal, those who speak to it, and one who must not notice anything.

use crate::common::accounts::{Account, Books, Speaker, Tally};
use crate::common::{Client, LIMIT, Server, command};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that anybody waits for an answer who has nothing to do with what goes wrong: long for a busy machine, and short
/// beside the time-outs for which a server that waits for somebody would wait.
pub const PROMPT: Duration = Duration::from_secs(5);

/// A server, and the books of all who speak to it.
pub struct Scene {
    pub server: Server,
    pub books: Arc<Books>,
    journal: PathBuf,
}

impl Scene {
    /// Starts a server with these further arguments; it listens on all addresses of the namespace of this thread.
    pub fn start(name: &str, args: &[&str]) -> Self {
        Self::start_with(name, |command| {
            command.args(args);
        })
    }

    /// The same, with a command that was changed.
    pub fn start_with(name: &str, change: impl FnOnce(&mut Command)) -> Self {
        let (mut command, journal) = Self::command(name);
        command.args(["--listen", "0.0.0.0:0"]);
        change(&mut command);
        Self { server: Server::start_command(command), books: Arc::default(), journal }
    }

    /// The same with a log that nobody reads: it listens on the usual port.
    pub fn start_unheard(name: &str, change: impl FnOnce(Command) -> Command) -> Self {
        let (command, journal) = Self::command(name);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, firstline::limits::PORT_DEFAULT));
        Self { server: Server::start_unheard(change(command), address), books: Arc::default(), journal }
    }

    fn command(name: &str) -> (Command, PathBuf) {
        let journal = std::env::temp_dir().join(format!("firstline-faults-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&journal);
        let mut command = command();
        command.args(["--journal-size", "16M", "--journal"]).arg(&journal);
        (command, journal)
    }

    /// Connects one on this machine, whose name must be new.
    pub fn speaker(&self, name: &str) -> Speaker {
        let address = (Ipv4Addr::LOCALHOST, self.server.address.port()).into();
        Speaker::new(TcpStream::connect_timeout(&address, LIMIT).unwrap(), self.account(name))
    }

    /// An account for a connection that is made otherwise.
    pub fn account(&self, name: &str) -> Account {
        Account::open(&self.books, name)
    }

    /// One on this machine who speaks all the time, and must have prompt answers.
    pub fn bystander(&self) -> Bystander {
        let (mut speaker, is_over) = (self.speaker("bystander"), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let speaking = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let since = Instant::now();
                speaker.say_and_settle(3).unwrap();
                slowest = slowest.max(since.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            speaker.end_sending();
            speaker.finish().unwrap();
            slowest
        });
        Bystander { speaking, is_over }
    }

    /// One who looks at the counters.
    pub fn watcher(&self) -> Client {
        Client::connect((Ipv4Addr::LOCALHOST, self.server.address.port()).into())
    }

    /// What the server has counted under that name.
    pub fn stat(&self, name: &str) -> u64 {
        self.watcher().stats()[name]
    }

    /// How many are connected, the one who asks for it aside.
    pub fn clients(&self) -> u64 {
        self.stat("clients") - 1
    }

    /// Where the journal is.
    pub fn journal(&self) -> &PathBuf {
        &self.journal
    }

    /// Ends the server, and checks that all books agree with the journal. All others must have ended.
    pub fn end(self) -> Tally {
        self.server.signal("TERM");
        self.see_the_end()
    }

    /// The same, for a server that has had its signal.
    pub fn see_the_end(self) -> Tally {
        let Self { mut server, books, journal } = self;
        assert_eq!(server.wait().code(), Some(0));
        books.record_journal(&journal).unwrap();
        let tally = books.close().unwrap();
        let _ = std::fs::remove_dir_all(&journal);
        tally
    }
}

/// One who has nothing to do with it.
pub struct Bystander {
    speaking: JoinHandle<Duration>,
    is_over: Arc<AtomicBool>,
}

impl Bystander {
    /// Ends it; it must have had prompt answers all the time.
    pub fn noticed_nothing(self) {
        let slowest = self.end();
        assert!(slowest < PROMPT, "one who has nothing to do with it waited for {slowest:?}");
    }

    /// Ends it, and returns how long it has waited at most.
    pub fn end(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.speaking.join().unwrap()
    }
}

/// Waits for longer than [`LIMIT`], for what is promised to take so long.
pub fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Says that something was not run, past the harness, which shows no more than a dot for it; tests/run looks for that line.
pub fn tell_not_run(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {what}: {why}");
}
