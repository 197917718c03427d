//! Real brokers.

use crate::process::Process;
use crate::support::directory::Directory;
use crate::support::eventually;
use crate::support::own_address::own_address;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

/// A broker; it is killed when this is dropped.
pub struct Broker {
    pub address: SocketAddr,
    process: Process,
    _directory: Directory,
}

impl Broker {
    /// Starts one that everybody may use, with these further lines of configuration.
    pub fn start(address: SocketAddr, lines: &str) -> Self {
        Self::start_with(address, &format!("allow_anonymous true\n{lines}"))
    }

    /// The same, without that right.
    pub fn start_with(address: SocketAddr, lines: &str) -> Self {
        let directory = Directory::new("mosquitto");
        fs::create_dir_all(&directory.0).unwrap();
        let path = directory.0.join("mosquitto.conf");
        // In the order of the file: these stand before the listener, its own lines behind.
        let listener = format!("listener {} {}", address.port(), address.ip());
        fs::write(&path, format!("user root\npersistence false\n{listener}\n{lines}")).unwrap();
        let mut command = Command::new("mosquitto");
        command.args(["-v", "-c"]).arg(&path);
        Self::start_and_wait(command, address, directory)
    }

    /// A nats-server, which speaks MQTT 3.1.1 and keeps its messages in that directory.
    pub fn start_nats(address: SocketAddr, store: &Path) -> Self {
        let directory = Directory::new("nats");
        fs::create_dir_all(&directory.0).unwrap();
        let path = directory.0.join("nats.conf");
        let own = own_address();
        let text = format!(
            "server_name: bridge\nlisten: \"{own}\"\njetstream {{ store_dir: {store:?} }}\n\
             mqtt {{ listen: \"{address}\" }}\n"
        );
        fs::write(&path, text).unwrap();
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(&path);
        Self::start_and_wait(command, address, directory)
    }

    /// Starts the broker, and waits until it accepts connections.
    ///
    /// # Panics
    /// If the broker ends before.
    fn start_and_wait(command: Command, address: SocketAddr, directory: Directory) -> Self {
        let mut process = Process::start(command);
        eventually("the broker accepts", || {
            assert!(process.is_running(), "the broker ended: {:#?}", process.said());
            TcpStream::connect(address).is_ok()
        });
        Self { address, process, _directory: directory }
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Stops it, so that it neither answers nor closes anything; or lets it go on.
    pub fn freeze(&self, is_frozen: bool) {
        self.process.signal(if is_frozen { "STOP" } else { "CONT" });
    }

    /// How many lines of its log have that in them.
    pub fn count(&self, part: &str) -> usize {
        self.process.said().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line of its log.
    pub fn wait_for(&self, part: &str) -> String {
        self.process.wait_for(part)
    }
}

/// The options of mosquitto's clients that name the broker.
pub fn broker_options(broker: SocketAddr) -> [String; 4] {
    ["-h".to_string(), broker.ip().to_string(), "-p".to_string(), broker.port().to_string()]
}

/// Prints what comes to a topic: `TOPIC PAYLOAD`.
pub fn subscriber(broker: SocketAddr, args: &[&str]) -> Process {
    let mut command = Command::new("mosquitto_sub");
    command.args(broker_options(broker)).args(["-V", "5", "-q", "1", "-F", "%t %p"]).args(args);
    Process::start(command)
}
