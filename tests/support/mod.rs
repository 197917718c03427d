//! The harness: starts the real server, and speaks to it over real sockets.
//!
//! Every wait is for an event and has one generous limit, [`LIMIT`], after which the test fails. No test relies on a
//! sleep. The server takes a free port and logs its number.
//!
//! Settings: `FIRSTLINE_TEST_BINARY` is the server to test, in place of the one that cargo builds with the tests.
//! `FIRSTLINE_TEST_RUNNER` is a command that runs the server, such as an emulator. `FIRSTLINE_TEST_WEB` and
//! `FIRSTLINE_TEST_BRIDGE` are the companions to test, with the words of such a command before them.
//! `FIRSTLINE_WORKERS` and similar variables reach the server as its own settings.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod accounts;
pub mod bad_cable;
pub mod directory;
pub mod fake_time;
pub mod hosts;
pub mod mounted;
pub mod own_address;
pub mod random;
pub mod stuck;
pub mod traced;

use firstline::limits::{CONSUMER_STACK_BYTES, LOGGER_STACK_BYTES, WORKER_STACK_BYTES};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Mappings of these sizes are stacks: the C library may add some pages of its own to each.
const STACK_BYTES: RangeInclusive<usize> = WORKER_STACK_BYTES..=WORKER_STACK_BYTES + 16 * 1024;
const _: () = assert!(CONSUMER_STACK_BYTES == WORKER_STACK_BYTES && LOGGER_STACK_BYTES == WORKER_STACK_BYTES);

/// How long any one event may take: long enough for a loaded machine and an emulated processor.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The log of a running server, line by line as it comes.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

/// A running server; it is killed when this is dropped.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
    log: Arc<Log>,
}

/// The command that starts the server. The server gets only its own settings, not those of this process.
pub fn command() -> Command {
    let binary = std::env::var("FIRSTLINE_TEST_BINARY")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_firstline").to_string());
    let mut command = match std::env::var("FIRSTLINE_TEST_RUNNER") {
        Ok(runner) => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().expect("FIRSTLINE_TEST_RUNNER names a command"));
            command.args(words).arg(binary);
            command
        }
        Err(_) => Command::new(binary),
    };
    // All clients of a test come from one address.
    command.env("FIRSTLINE_PER_ADDRESS", "off");
    command
}

/// The command that starts a companion: `own`, or what that variable names, with words before it such as those of an
/// emulator.
pub fn companion(variable: &str, own: &str) -> Command {
    let words = std::env::var(variable).unwrap_or_else(|_| own.to_string());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_else(|| panic!("{variable} names no program")));
    command.args(words);
    command
}

/// The number of a processor that this process may use.
pub fn processor() -> usize {
    let mine = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).find(|cpu| mine.is_set(*cpu).unwrap()).unwrap()
}

/// Copies a program. `cp` writes the copy: if this process did, a program that another test starts at that moment would
/// have it open for writing, and the kernel does not run such a file.
pub fn copy_program(from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

impl Server {
    /// Starts the server on a free port of 127.0.0.1 with these further arguments.
    pub fn start(args: &[&str]) -> Self {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        Self::start_command(command)
    }

    /// Starts the server with a command that says where to listen.
    pub fn start_command(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::start_with_input(command)
    }

    /// As [`Server::start_command`], with the standard input that the command has.
    pub fn start_with_input(mut command: Command) -> Self {
        command.stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server can be started");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("standard error is piped");
        let to = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                to.lines.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
                to.more.notify_all();
            }
        });
        let mut server = Self { address: "127.0.0.1:0".parse().unwrap(), child, log };
        let ready = server.wait_for_log("listening on ");
        let (_, address) = ready.split_once("listening on ").expect("the line has that in it");
        // With debug logging, the source of the socket follows the address.
        server.address = address.split(' ').next().unwrap().parse().unwrap();
        server
    }

    /// Starts the server with the standard error that the command has. The caller gives the address, because no log
    /// line can be read.
    pub fn start_without_log(mut command: Command, address: SocketAddr) -> Self {
        let child = command.stdin(Stdio::null()).spawn().expect("the server can be started");
        let mut server = Self { address, child, log: Arc::default() };
        eventually("the server accepts", || {
            assert_eq!(server.child.try_wait().unwrap(), None, "the server must run");
            TcpStream::connect(address).is_ok()
        });
        server
    }

    /// Waits until a line of the log contains `part`, and returns the line.
    pub fn wait_for_log(&self, part: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {part:?} in the log:\n{}", lines.join("\n"));
            lines = self.log.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// The process ID (with a runner: the runner's).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Connects a client.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Connects a client with a small receive buffer.
    pub fn connect_reading_little(&self) -> Client {
        let client = self.connect();
        nix::sys::socket::setsockopt(&client.stream, nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
        client
    }

    /// Standard output, which the command must have piped; can be taken once.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("standard output is piped, and not yet taken")
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the server does not end; its log:\n{}",
                self.log().join("\n")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the server with SIGTERM, and returns the exit code.
    pub fn end(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait().code()
    }

    /// The counters of `/stats`, from a connection of their own.
    pub fn stats(&self) -> BTreeMap<String, u64> {
        self.connect().stats()
    }

    /// Waits until `condition` holds for the counters of `/stats`.
    pub fn wait_for_stats(&self, what: &str, condition: impl Fn(&BTreeMap<String, u64>) -> bool) {
        let mut client = self.connect();
        eventually(what, || condition(&client.stats()));
    }

    /// A line of `/proc/PID/status`, as a number.
    pub fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many descriptors the server has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The processor time that the server has used so far.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects to that address.
    pub fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&address, LIMIT).expect("the server accepts"))
    }

    /// Connects from that address; all of 127.0.0.0/8 belong to this machine.
    pub fn connect_from(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket =
            socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((from, 0)))).unwrap();
        socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).unwrap();
        Self::of(TcpStream::from(socket))
    }

    /// A client on an existing connection.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server receives");
    }

    /// The next line, without its LF; `None` at the end.
    pub fn try_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                assert_eq!(line.pop(), Some(b'\n'), "the last line is cut");
                Some(String::from_utf8(line).expect("the server sends UTF-8"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line came: {error}"),
        }
    }

    /// The next line, without its LF.
    pub fn line(&mut self) -> String {
        self.try_line().expect("a line, not the end")
    }

    /// The next `count` lines.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    /// Everything up to the end of the connection, line by line.
    pub fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.try_line()).collect()
    }

    /// The whole lines that come before a connection breaks.
    pub fn rest_before_break(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        // An error does not discard the bytes before it.
        let _ = self.reader.read_to_end(&mut bytes);
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        String::from_utf8_lossy(&bytes[..end]).lines().map(str::to_string).collect()
    }

    /// Sends a line, and returns the one that comes back.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n"));
        self.line()
    }

    /// Closes the sending half.
    pub fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        nix::sys::socket::setsockopt(
            &self.stream,
            nix::sys::socket::sockopt::Linger,
            &nix::libc::linger { l_onoff: 1, l_linger: 0 },
        )
        .unwrap();
    }

    /// What the server calls this client until it has a nick.
    pub fn address(&self) -> String {
        self.stream.local_addr().unwrap().to_string()
    }

    /// The lines that come before the `OK` that closes line `n`.
    pub fn lines_until_ok(&mut self, n: usize) -> Vec<String> {
        let ok = format!("OK {n}");
        std::iter::from_fn(|| Some(self.line()).filter(|line| *line != ok)).collect()
    }

    /// The counters of `/stats`. Nothing else may be on its way to this client.
    pub fn stats(&mut self) -> BTreeMap<String, u64> {
        self.stats_of("/stats\n")
    }

    /// The counters of `/stats full`; see [`Client::stats`].
    pub fn full_stats(&mut self) -> BTreeMap<String, u64> {
        self.stats_of("/stats full\n")
    }

    fn stats_of(&mut self, request: &str) -> BTreeMap<String, u64> {
        self.send(request);
        let mut stats = BTreeMap::new();
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["STAT", name, value] => {
                    assert_eq!(stats.insert(name.to_string(), value.parse().unwrap()), None)
                }
                ["OK", _] => return stats,
                _ => panic!("not a line of /stats: {line:?}"),
            }
        }
    }

    /// Reads and discards everything until the end; returns how many bytes came.
    pub fn discard_rest(mut self) -> u64 {
        std::io::copy(&mut self.reader, &mut std::io::sink()).unwrap_or(0)
    }

    /// Reads the bytes that are there.
    pub fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Holds the consumer: its output goes into a full pipe that nothing reads. So messages stay queued, and commands are
/// still answered.
pub struct HeldConsumer {
    reader: PipeReader,
}

impl HeldConsumer {
    /// Starts the server as [`Server::start`] does; the first message blocks its consumer.
    pub fn start(args: &[&str]) -> (Server, Self) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let capacity = fcntl(&writer, FcntlArg::F_GETPIPE_SZ).unwrap();
        writer.write_all(&vec![b'\n'; capacity as usize]).unwrap();
        let mut command = command();
        command.args(["--print", "--listen", "127.0.0.1:0"]).args(args).stdout(writer);
        (Server::start_command(command), Self { reader })
    }

    /// Releases the consumer: from now on everything that the server prints is read.
    pub fn release(mut self) {
        std::thread::spawn(move || std::io::copy(&mut self.reader, &mut std::io::sink()));
    }
}

/// Raises this process's limit of descriptors: some boards have more clients than the soft limit permits.
pub fn allow_many_connections() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Runs a command that ends by itself, and returns its output. The output must fit a pipe, because it is read only
/// after the end.
pub fn run_to_end(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    run_to_end_with_input(command)
}

/// As [`run_to_end`], with the standard input that the command has.
pub fn run_to_end_with_input(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!("does not end: {command:?}: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Sends a signal to a process, by its name without SIG.
pub fn signal(pid: u32, name: &str) {
    let signal: Signal = format!("SIG{name}").parse().expect("the signal exists");
    kill(Pid::from_raw(pid as i32), signal).expect("the process exists");
    if signal == Signal::SIGSTOP {
        // kill returns before the threads stop: until then they still see what comes.
        eventually("all threads stop", || threads(pid).all(|state| state == 'T'));
    }
}

/// Whether all threads of a process wait for something.
pub fn is_asleep(pid: u32) -> bool {
    threads(pid).all(|state| state == 'S')
}

/// The states of the threads of a process, see proc_pid_stat(5).
fn threads(pid: u32) -> impl Iterator<Item = char> {
    std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process exists").map(|thread| {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
        // The name of a thread may have parentheses, too. A thread that has ended is stopped as well.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('T')
    })
}

/// The reply to line `n` if that is too long.
pub fn too_long(n: impl Display) -> String {
    format!("NAK {n} too-long")
}

/// Waits by polling for a condition that no event announces.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(LIMIT, what, condition);
}

/// As [`eventually`], for what takes a known time: `limit` is several times that.
pub fn eventually_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the server runs in an emulator: then `/proc` describes the emulator.
pub fn is_emulated() -> bool {
    std::env::var_os("FIRSTLINE_TEST_RUNNER").is_some()
}

/// Memory that a process has mapped, written or not.
pub struct Mapping {
    pub bytes: usize,
    /// How much of it is in memory because the process wrote to it, in KiB.
    pub written_kb: u64,
    pub kind: Kind,
}

/// What a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Code and constants of the binary.
    Constant,
    /// `.data` and `.bss` of the binary.
    Static,
    /// The stack of a thread, including the main thread.
    Stack,
    /// The heap, and everything else.
    Other,
}

/// Everything that a process has mapped.
pub fn mappings(pid: u32) -> Vec<Mapping> {
    let binary = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut mappings, mut last_end, mut last_kind) = (Vec::<Mapping>::new(), 0, Kind::Other);
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((start, end)) = words[0].split_once('-') {
            let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).unwrap());
            let (bytes, name) = (end - start, words.get(5).copied().unwrap_or(""));
            let is_writable = words[1].starts_with("rw");
            let kind = match name {
                "[stack]" => Kind::Stack,
                _ if Path::new(name) == binary => {
                    if is_writable {
                        Kind::Static
                    } else {
                        Kind::Constant
                    }
                }
                // The rest of .bss has no file behind it.
                "" if is_writable && start == last_end && last_kind == Kind::Static => Kind::Static,
                "" if is_writable && STACK_BYTES.contains(&bytes) => Kind::Stack,
                _ => Kind::Other,
            };
            mappings.push(Mapping { bytes, written_kb: 0, kind });
            (last_end, last_kind) = (end, kind);
        } else if words[0] == "Anonymous:" {
            mappings.last_mut().unwrap().written_kb = words[1].parse().unwrap();
        }
    }
    mappings
}

/// The ID in an `ACK n ID` line.
pub fn id_of(ack: &str) -> u64 {
    let words: Vec<&str> = ack.split(' ').collect();
    assert!(words.len() == 3 && words[0] == "ACK", "not an ACK: {ack:?}");
    words[2].parse().unwrap()
}
