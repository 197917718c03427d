//! An address for one test, where servers start and end.

use crate::support::accounts::journal;
use crate::support::directory::Directory;
use crate::support::{LIMIT, Server, command, eventually};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes the addresses unique within this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A message of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub priority: u8,
    pub text: String,
}

/// An address, and a journal that outlives servers.
pub struct Site {
    pub address: SocketAddr,
    pub directory: Directory,
}

impl Site {
    /// An address in 127.0.0.0/8 that nothing else uses. On 127.0.0.1, any client's connection could take the
    /// port while there is no server.
    pub fn new(name: &str) -> Self {
        let number = (std::process::id() << 5) | COUNT.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::from_bits((127 << 24) | (number & 0xff_ffff));
        let directory = Directory::new(name);
        std::fs::create_dir(&directory.0).unwrap();
        Self { address: (address, 9090).into(), directory }
    }

    /// Host and port, as a user types them.
    pub fn words(&self) -> [String; 2] {
        [self.address.ip().to_string(), self.address.port().to_string()]
    }

    /// A path in the test's directory.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory.path())
    }

    /// Writes a file into the test's directory, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a server here, with the journal, which it continues.
    pub fn serve(&self) -> Server {
        self.serve_with(&["--journal", &self.path("journal"), "--journal-size", "1M"])
    }

    /// Starts a server here with these arguments.
    pub fn serve_with(&self, args: &[&str]) -> Server {
        let mut command = command();
        command.args(["--listen", &self.address.to_string()]).args(args);
        Server::start_command(command)
    }

    /// The messages of the journal.
    pub fn messages(&self) -> Vec<Message> {
        let said = journal(self.path("journal").as_ref(), &[]).expect("there is a journal");
        said.lines()
            .map(|line| {
                let words: Vec<&str> = line.splitn(6, ' ').collect();
                let priority = words[3].strip_prefix('p').and_then(|digit| digit.parse().ok());
                Message { priority: priority.expect("a MSG line"), text: words[5].to_string() }
            })
            .collect()
    }

    /// Waits until the journal has a message whose text ends with `text`, and returns it.
    pub fn wait_for(&self, text: &str) -> Message {
        let mut found = None;
        eventually(text, || {
            found = self.messages().into_iter().find(|message| message.text.ends_with(text));
            found.is_some()
        });
        found.expect("a message has that text")
    }

    /// Acts as a server until it has received this text twice, each time on a new connection: it closes the
    /// first one silently, and sends on the second one a NAK whose reason is temporary.
    pub fn refuse(&self, text: &str) {
        let listener = TcpListener::bind(self.address).expect("nothing else is here");
        listener.set_nonblocking(true).unwrap();
        for reply in ["", "NAK 2 shutting-down\nBYE shutting-down\n"] {
            loop {
                let mut accepted = None;
                eventually("a connection", || {
                    accepted = listener.accept().ok();
                    accepted.is_some()
                });
                let (mut stream, _) = accepted.expect("a connection has come");
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let (mut received, mut some) = (Vec::new(), [0; 512]);
                while !String::from_utf8_lossy(&received).contains(text) {
                    match stream.read(&mut some).unwrap() {
                        0 => break,
                        count => received.extend(&some[..count]),
                    }
                }
                if String::from_utf8_lossy(&received).contains(text) {
                    stream.write_all(reply.as_bytes()).unwrap();
                    break;
                }
            }
        }
    }
}
