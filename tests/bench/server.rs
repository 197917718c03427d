//! The servers that are compared: each with its fastest settings and without persistence, and those that can,
//! with the settings that put a message on the disk before its acknowledgement.

use crate::data::{DataDirectory, data_directory};
use crate::load;
use crate::protocol::Protocol;
use crate::rabbitmq;
use firstline::limits::CLIENTS;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a server may take to accept its first connection.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    FirstlineThreads,
    FirstlineEpoll,
    /// Another build of firstline, for comparison with this one.
    BeforeThreads,
    /// See [`Server::BeforeThreads`].
    BeforeEpoll,
    EchoThreads,
    EchoEpoll,
    Redis,
    Beanstalkd,
    Mosquitto,
    Nats,
    Broker,
    JournalThreads,
    JournalEpoll,
    JournalTwo,
    /// A loop that writes and syncs, and no server: see `bare.rs`.
    Bare,
    EchoSynced,
    RedisSynced,
    BeanstalkdSynced,
    /// With handlers.
    HandledThreads,
    /// See [`Server::HandledThreads`].
    HandledEpoll,
    Rabbitmq,
}

impl Server {
    pub const ALL: [Self; 21] = [
        Self::FirstlineThreads,
        Self::FirstlineEpoll,
        Self::BeforeThreads,
        Self::BeforeEpoll,
        Self::EchoThreads,
        Self::EchoEpoll,
        Self::Redis,
        Self::Beanstalkd,
        Self::Mosquitto,
        Self::Nats,
        Self::Broker,
        Self::JournalThreads,
        Self::JournalEpoll,
        Self::JournalTwo,
        Self::Bare,
        Self::EchoSynced,
        Self::RedisSynced,
        Self::BeanstalkdSynced,
        Self::HandledThreads,
        Self::HandledEpoll,
        Self::Rabbitmq,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::FirstlineThreads => "firstline, a thread a client",
            Self::FirstlineEpoll => "firstline --workers 1",
            Self::BeforeThreads => "before, a thread a client",
            Self::BeforeEpoll => "before --workers 1",
            Self::EchoThreads => "echo, a thread a client",
            Self::EchoEpoll => "echo, one epoll thread",
            Self::Redis => "redis",
            Self::Beanstalkd => "beanstalkd",
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats-server",
            Self::Broker => "ncat --broker",
            Self::JournalThreads => "firstline --journal, a thread a client",
            Self::JournalEpoll => "firstline --journal --workers 1",
            Self::JournalTwo => "firstline --journal --workers 2",
            Self::Bare => "a loop of write and fdatasync",
            Self::EchoSynced => "echo, one epoll thread, a sync a round",
            Self::RedisSynced => "redis, appendfsync always",
            Self::BeanstalkdSynced => "beanstalkd -b -f 0",
            Self::HandledThreads => "firstline --handle 0, a thread a client",
            Self::HandledEpoll => "firstline --handle 0 --workers 1",
            Self::Rabbitmq => "rabbitmq",
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Self::FirstlineThreads
            | Self::FirstlineEpoll
            | Self::BeforeThreads
            | Self::BeforeEpoll
            | Self::JournalThreads
            | Self::JournalEpoll
            | Self::JournalTwo
            | Self::Bare
            | Self::HandledThreads
            | Self::HandledEpoll
            | Self::EchoSynced
            | Self::EchoThreads
            | Self::EchoEpoll => Protocol::Lines,
            Self::Redis | Self::RedisSynced => Protocol::Redis,
            Self::Beanstalkd | Self::BeanstalkdSynced => Protocol::Beanstalkd,
            Self::Mosquitto => Protocol::Mosquitto,
            Self::Nats => Protocol::Nats,
            Self::Rabbitmq => Protocol::Stomp,
            Self::Broker => Protocol::Broker,
        }
    }

    /// Its name on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::FirstlineThreads => "threads",
            Self::FirstlineEpoll => "epoll",
            Self::BeforeThreads => "before-threads",
            Self::BeforeEpoll => "before-epoll",
            Self::EchoThreads => "echo-threads",
            Self::EchoEpoll => "echo-epoll",
            Self::Redis => "redis",
            Self::Beanstalkd => "beanstalkd",
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats",
            Self::Broker => "ncat",
            Self::JournalThreads => "journal-threads",
            Self::JournalEpoll => "journal-epoll",
            Self::JournalTwo => "journal-two",
            Self::Bare => "bare",
            Self::EchoSynced => "echo-synced",
            Self::RedisSynced => "redis-synced",
            Self::BeanstalkdSynced => "beanstalkd-synced",
            Self::HandledThreads => "handled-threads",
            Self::HandledEpoll => "handled-epoll",
            Self::Rabbitmq => "rabbitmq",
        }
    }

    /// Whether it is selected: it is named, or no names are given. Another build must also be known.
    pub fn is_wanted(self, names: Option<&str>) -> bool {
        if matches!(self, Self::BeforeThreads | Self::BeforeEpoll) && BEFORE.get().is_none() {
            return false;
        }
        names.is_none_or(|names| names.split(',').any(|name| name == self.key()))
    }

    /// Whether a user might choose it in place of firstline.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Redis | Self::Beanstalkd | Self::Mosquitto | Self::Nats | Self::Broker)
            || matches!(self, Self::RedisSynced | Self::BeanstalkdSynced | Self::Rabbitmq)
    }

    /// Whether it has a message on the disk before it acknowledges it.
    pub fn syncs(self) -> bool {
        let others = [Self::Bare, Self::EchoSynced, Self::RedisSynced, Self::BeanstalkdSynced];
        self.keeps_journal() || others.contains(&self)
    }

    /// Whether it is firstline with a journal.
    pub fn keeps_journal(self) -> bool {
        [Self::JournalThreads, Self::JournalEpoll, Self::JournalTwo].contains(&self)
    }

    /// Whether it is firstline with handlers.
    fn has_handlers(self) -> bool {
        matches!(self, Self::HandledThreads | Self::HandledEpoll)
    }

    /// Whether it only serves messages that somebody answers.
    fn only_answers(self) -> bool {
        self.has_handlers() || self == Self::Rabbitmq
    }

    /// Whether its clients can process messages and answer them.
    pub fn answers(self) -> bool {
        self.only_answers() || matches!(self, Self::Beanstalkd | Self::Nats)
    }

    /// Whether it acknowledges messages, without a disk.
    pub fn acknowledges(self) -> bool {
        self != Self::Broker && !self.syncs() && !self.only_answers()
    }

    /// Whether it sends messages to subscribers.
    pub fn fans_out(self) -> bool {
        !matches!(self, Self::EchoThreads | Self::Beanstalkd) && !self.syncs() && !self.only_answers()
    }

    /// The command that starts it; `names_port` is the port of a server that it needs, if it [needs one](Self::helper).
    /// In its arguments, DATA stands for the directory of its files, and '' for an empty one.
    fn command(self, port: u16, names_port: u16, data: &Path) -> Command {
        let (program, arguments) = match self {
            Self::FirstlineThreads => (firstline(), firstline_arguments(&firstline(), port, CLIENTS)),
            Self::FirstlineEpoll => (firstline(), firstline_arguments(&firstline(), port, 1)),
            Self::BeforeThreads => (before(), firstline_arguments(&before(), port, CLIENTS)),
            Self::BeforeEpoll => (before(), firstline_arguments(&before(), port, 1)),
            Self::EchoThreads => (itself(), format!("echo-threads {port}")),
            Self::EchoEpoll => (itself(), format!("echo-epoll {port}")),
            Self::EchoSynced => (itself(), format!("echo-synced {port} DATA")),
            Self::Redis => {
                ("redis-server".into(), format!("--port {port} --bind 127.0.0.1 --appendonly no --save ''"))
            }
            Self::Beanstalkd => ("beanstalkd".into(), format!("-l 127.0.0.1 -p {port}")),
            Self::Mosquitto => {
                write_mosquitto_settings(port, &data.join(MOSQUITTO_SETTINGS));
                ("mosquitto".into(), format!("-c DATA/{MOSQUITTO_SETTINGS}"))
            }
            Self::Nats => ("nats-server".into(), format!("-a 127.0.0.1 -p {port}")),
            Self::Broker => ("ncat".into(), format!("--broker -l 127.0.0.1 {port}")),
            Self::JournalThreads => (firstline(), journal_arguments(port, CLIENTS)),
            Self::JournalEpoll => (firstline(), journal_arguments(port, 1)),
            Self::JournalTwo => (firstline(), journal_arguments(port, 2)),
            Self::HandledThreads => (firstline(), handled_arguments(port, CLIENTS)),
            Self::HandledEpoll => (firstline(), handled_arguments(port, 1)),
            Self::Rabbitmq => return rabbitmq::command(port, names_port, free_port(), data),
            Self::Bare => unreachable!("the loop is no server"),
            Self::RedisSynced => (
                "redis-server".into(),
                format!(
                    "--port {port} --bind 127.0.0.1 --dir DATA --appendonly yes --appendfsync always --save ''"
                ),
            ),
            Self::BeanstalkdSynced => ("beanstalkd".into(), format!("-l 127.0.0.1 -p {port} -b DATA -f 0")),
        };
        let mut command = Command::new(program);
        for word in arguments.split_whitespace() {
            // A path may have blanks.
            match (word, word.strip_prefix("DATA/")) {
                (_, Some(name)) => command.arg(data.join(name)),
                ("DATA", _) => command.arg(data),
                ("''", _) => command.arg(""),
                _ => command.arg(word),
            };
        }
        command
    }

    /// Whether it is a build of firstline.
    pub fn is_firstline(self) -> bool {
        matches!(
            self,
            Self::FirstlineThreads | Self::FirstlineEpoll | Self::BeforeThreads | Self::BeforeEpoll
        )
    }

    /// Starts the other server that it needs, if there is one.
    fn helper(self, port: u16) -> Option<Child> {
        (self == Self::Rabbitmq).then(|| rabbitmq::name_server(port))
    }

    /// How long firstline takes from its start to its line `listening on`.
    pub fn time_to_listen(self) -> Duration {
        let data = data_directory();
        let mut command = self.command(free_port(), 0, data.path());
        command
            .args(["--log-level", "info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().expect("firstline is built");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("listening on")), "firstline ended before it listened");
        let elapsed = start.elapsed();
        let _ = child.kill();
        let _ = child.wait();
        elapsed
    }

    /// Starts it and waits until it acknowledges messages, or accepts connections if it acknowledges none.
    pub fn start(self) -> Running {
        let port = free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let data = data_directory();
        let names_port = free_port();
        let helper = self.helper(names_port);
        let mut command = self.command(port, names_port, data.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Debian's sbin is not in every PATH.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; tests/bench/run installs it", self.name()));
        let running = Running { address, child, helper, _data: data };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < START_LIMIT, "{} does not start", self.name());
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.protocol() == Protocol::Stomp {
            drop(load::connect(address, &self.protocol().greet_sender()));
        } else if self.protocol() != Protocol::Broker && !self.only_answers() {
            load::await_ready(address, self.protocol());
        }
        running
    }
}

/// A running server; it is killed when this is dropped.
pub struct Running {
    pub address: SocketAddr,
    child: Child,
    helper: Option<Child>,
    /// Removed after the server has ended.
    _data: DataDirectory,
}

impl Running {
    /// The processor time that all its threads have used.
    pub fn cpu_time(&self) -> Duration {
        let tasks = Path::new("/proc").join(self.child.id().to_string()).join("task");
        let of_task = |path: PathBuf| -> u64 {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
        };
        let tasks = std::fs::read_dir(tasks).into_iter().flatten().flatten();
        Duration::from_nanos(tasks.map(|task| of_task(task.path())).sum())
    }

    /// Its resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in [&mut self.child].into_iter().chain(&mut self.helper) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn itself() -> PathBuf {
    std::env::current_exe().expect("this program has a path")
}

/// The server that was built along with the benchmark, or another one to measure.
pub fn firstline() -> PathBuf {
    std::env::var_os("FIRSTLINE_TEST_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_firstline").into(), PathBuf::from)
}

/// The build that this one is compared with, if there is one.
pub static BEFORE: OnceLock<PathBuf> = OnceLock::new();

fn before() -> PathBuf {
    BEFORE.get().cloned().expect("another build is selected only if its path is known")
}

fn firstline_arguments(binary: &Path, port: u16, workers: usize) -> String {
    // All clients come from one address. An older build does not limit them, and does not know the option.
    let counts = Command::new(binary)
        .arg("--help")
        .output()
        .is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--per-address"));
    let share = if counts { " --per-address off" } else { "" };
    format!("--listen 127.0.0.1:{port} --log-level off --workers {workers}{share}")
}

fn handled_arguments(port: u16, workers: usize) -> String {
    firstline_arguments(&firstline(), port, workers) + " --handle 0"
}

fn journal_arguments(port: u16, workers: usize) -> String {
    firstline_arguments(&firstline(), port, workers) + " --journal DATA"
}

/// The name of the file with Mosquitto's settings.
const MOSQUITTO_SETTINGS: &str = "mosquitto.conf";

fn write_mosquitto_settings(port: u16, path: &Path) {
    let settings = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nlog_type none\n\
         max_inflight_messages 0\nmax_queued_messages 0\nuser root\n"
    );
    std::fs::write(path, settings).expect("a settings file can be written");
}
