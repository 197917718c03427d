//! A server with a journal, a bridge, and what is checked of them.

use crate::process::Process;
use crate::support::directory::Directory;
use crate::support::{Client, Server, command, companion};
use crate::tap::{Published, Tap};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

/// What the bridge may keep in memory, in KiB, whatever the backlog.
pub const RESIDENT_KB_MAX: u64 = 16 * 1024;

/// The program to test.
pub fn bridge_command() -> Command {
    companion("FIRSTLINE_TEST_BRIDGE", env!("CARGO_BIN_EXE_firstline-bridge"))
}

/// The directories of one test.
pub struct Scene {
    pub directory: Directory,
}

impl Scene {
    pub fn new(name: &str) -> Self {
        let directory = Directory::new(name);
        std::fs::create_dir_all(&directory.0).unwrap();
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    /// A server with the journal, on any port.
    pub fn server(&self) -> Server {
        self.server_at("127.0.0.1:0")
    }

    /// The same, at that address.
    pub fn server_at(&self, listen: &str) -> Server {
        let mut command = command();
        command.args(["--listen", listen, "--journal-size", "1M", "--journal"]).arg(self.path("journal"));
        Server::start_command(command)
    }

    /// Ends the server, and starts one with another journal in the place of the old one.
    pub fn another_journal(&self, server: Server) -> Server {
        drop(server);
        std::fs::remove_dir_all(self.path("journal")).unwrap();
        self.server()
    }

    /// Starts a bridge to the broker at that address, without TLS.
    pub fn bridge(&self, broker: SocketAddr, args: &[&str]) -> Process {
        self.bridge_to(&format!("mqtt://{broker}"), args)
    }

    /// Starts a bridge to the broker at that URL.
    pub fn bridge_to(&self, url: &str, args: &[&str]) -> Process {
        Process::start(self.command_to(url, args))
    }

    /// The command that starts a bridge to that broker.
    pub fn command_to(&self, url: &str, args: &[&str]) -> Command {
        let mut command = bridge_command();
        command.arg("--journal").arg(self.path("journal")).arg("--state").arg(self.path("state/cursors"));
        command.args(["--node", "pi", "--to", url]).args(args);
        command
    }

    /// The counters of the bridge, once they are there.
    pub fn counters(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(self.path("state/cursors.json")).ok()?).ok()
    }
}

/// Sends these messages, every `urgent_each`-th of them urgent, and waits for the ACK of each. The texts are
/// `NAME-NUMBER`.
pub fn send(client: &mut Client, name: &str, count: usize, urgent_each: usize) -> Vec<String> {
    let texts: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
    for (number, texts) in texts.chunks(32).enumerate() {
        let line = |(at, text): (usize, &String)| {
            let is_urgent = (32 * number + at).is_multiple_of(urgent_each);
            format!("{}{text}\n", if is_urgent { "/urgent " } else { "" })
        };
        client.send(texts.iter().enumerate().map(line).collect::<String>());
        for line in client.lines(texts.len()) {
            assert!(line.starts_with("ACK "), "{line}");
        }
    }
    texts
}

/// The texts of the messages that have arrived, each once.
pub fn texts(published: &[Published]) -> Vec<String> {
    let messages = published.iter().filter(|published| !published.is_lost());
    let mut texts: Vec<String> =
        messages.map(|published| published.field("text").as_str().unwrap().to_string()).collect();
    texts.sort();
    texts.dedup();
    texts
}

/// Waits until all of these have arrived, and checks that nothing else has, that each class came in its order, and
/// that a key stands for one message.
pub fn check(tap: &Tap, mut expected: Vec<String>) {
    expected.sort();
    tap.wait("all messages arrive", |acknowledged| texts(acknowledged).len() >= expected.len());
    assert_eq!(texts(&tap.acknowledged()), expected);
    check_order(&tap.published());
}

/// Each message is published before all later ones of its class, and has one key of its own.
pub fn check_order(published: &[Published]) {
    let (mut last, mut keys, mut ids) = ([0; 2], BTreeMap::new(), BTreeMap::new());
    for message in published.iter().filter(|published| !published.is_lost()) {
        let (id, class) = (message.field("id").as_u64().unwrap(), usize::from(is_urgent(message)));
        let key = message.field("key").as_str().unwrap().to_string();
        let first = ids.entry(id).or_insert_with(|| key.clone());
        assert_eq!(*first, key, "a message has one key");
        let is_new = keys.insert(key, id).is_none_or(|known| {
            assert_eq!(known, id, "a key is that of one message");
            false
        });
        assert!(!is_new || id > last[class], "{id} comes after {}", last[class]);
        last[class] = last[class].max(id);
    }
}

pub fn is_urgent(message: &Published) -> bool {
    message.field("priority").as_u64().unwrap() >= 7
}
