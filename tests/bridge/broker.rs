//! Real brokers.

use crate::process::Process;
use crate::support::directory::Directory;
use crate::support::eventually;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A broker; it is killed when this is dropped.
pub struct Broker {
    pub port: u16,
    process: Process,
    _directory: Directory,
}

impl Broker {
    /// Starts one that everybody may use, with these further lines of configuration.
    pub fn start(port: u16, lines: &str) -> Self {
        Self::start_with(port, &format!("allow_anonymous true\n{lines}"))
    }

    /// The same, without that right.
    pub fn start_with(port: u16, lines: &str) -> Self {
        let directory = Directory::new("mosquitto");
        fs::create_dir_all(&directory.0).unwrap();
        let path = directory.0.join("mosquitto.conf");
        // In the order of the file: these stand before the listener, its own lines behind.
        fs::write(&path, format!("user root\npersistence false\nlistener {port} 127.0.0.1\n{lines}"))
            .unwrap();
        let mut command = Command::new("mosquitto");
        command.args(["-v", "-c"]).arg(&path);
        let process = Process::start(command);
        eventually("mosquitto accepts", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { port, process, _directory: directory }
    }

    /// A nats-server, which speaks MQTT 3.1.1 and keeps its messages in that directory.
    pub fn start_nats(port: u16, store: &Path) -> Self {
        let directory = Directory::new("nats");
        fs::create_dir_all(&directory.0).unwrap();
        let path = directory.0.join("nats.conf");
        let own = free_port();
        let text = format!(
            "server_name: bridge\nlisten: \"127.0.0.1:{own}\"\njetstream {{ store_dir: {store:?} }}\n\
             mqtt {{ listen: \"127.0.0.1:{port}\" }}\n"
        );
        fs::write(&path, text).unwrap();
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(&path);
        let process = Process::start(command);
        eventually("nats-server accepts", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { port, process, _directory: directory }
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

/// Prints what comes to a topic: `TOPIC PAYLOAD`.
pub fn subscriber(port: u16, args: &[&str]) -> Process {
    let mut command = Command::new("mosquitto_sub");
    command
        .args(["-h", "127.0.0.1", "-V", "5", "-q", "1", "-F", "%t %p", "-p", &port.to_string()])
        .args(args);
    Process::start(command)
}
