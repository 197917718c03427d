//! The service manager: sockets that it passes, and notifications that it gets.

use crate::support::directory::Directory;
use crate::support::stuck::Printed;
use crate::support::traced::{Trace, attempts_without_pause};
use crate::support::{Client, LIMIT, Server, command, eventually, run_to_end, run_to_end_with_input};
use nix::sys::socket::{self, AddressFamily, Shutdown, SockFlag, SockType, SockaddrStorage};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The watchdog time that the manager sets.
const WATCHDOG: Duration = Duration::from_millis(200);

/// A service manager that receives the notifications of one server.
struct Manager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { path, socket }
    }

    /// The command that starts the server as this manager does.
    fn command(&self) -> Command {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &self.path);
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command
    }

    /// The notification that comes within that time, if one does.
    fn notification_within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut datagram = [0; 4096];
        let count = self.socket.recv(&mut datagram).ok()?;
        Some(String::from_utf8(datagram[..count].to_vec()).unwrap())
    }

    /// Waits for a notification with that beginning, and ignores those before it.
    fn wait_for(&self, beginning: &str) -> String {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(notification) = self.notification_within(LIMIT)
                && notification.starts_with(beginning)
            {
                return notification;
            }
        }
        panic!("no notification begins with {beginning}");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A command that gets `listener` as descriptor 3, as systemd passes it.
fn with_listener(listener: impl Into<OwnedFd>, asked: &[&str]) -> Command {
    pass_listener(&command(), listener, asked)
}

/// The same for a given command of the server.
fn pass_listener(server: &Command, listener: impl Into<OwnedFd>, asked: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&0 </dev/null"#]);
    shell.arg(server.get_program()).args(server.get_args()).args(asked);
    shell.stdin(Stdio::from(listener.into()));
    shell
}

/// The addresses that the server logged.
fn listening_on(server: &Server) -> Vec<SocketAddr> {
    let address = |line: &String| line.split_once("listening on ")?.1.parse().ok();
    server.log().iter().filter_map(address).collect()
}

#[test]
fn passed_socket_is_the_only_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The client connects before there is a server, and waits in the backlog.
    let mut early = Client::connect(address);
    early.send("first\n");
    let server = Server::start_with_input(with_listener(listener, &[]));
    assert_eq!(server.address, address);
    assert_eq!(early.line(), "ACK 1 1");
    assert_eq!(listening_on(&server), [address], "the default port is not bound as well");
}

#[test]
fn passed_sockets_and_listen_options_add_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start_with_input(with_listener(listener, &["--listen", "127.0.0.1:0"]));
    let mut client = Client::connect(address);
    client.send("/ping\n");
    assert_eq!(client.line(), "OK 1");
    eventually("both are logged", || listening_on(&server).len() == 2);
    let mut other = Client::connect(listening_on(&server)[1]);
    other.send("/ping\n");
    assert_eq!(other.line(), "OK 1");
}

/// The one line of a server that refuses to start with that descriptor.
fn refusal(what: impl Into<OwnedFd>, asked: &[&str]) -> String {
    let output = run_to_end_with_input(with_listener(what, asked));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn passed_descriptor_that_does_not_listen_is_refused() {
    let flags = SockFlag::SOCK_CLOEXEC;
    let bound = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket::bind(bound.as_raw_fd(), &SockaddrStorage::from(anywhere)).unwrap();
    let said = refusal(bound, &[]);
    assert!(said.contains("cannot listen on 127.0.0.1:") && said.contains("does not listen"), "{said}");
    let listener = TcpListener::bind(anywhere).unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let said = refusal(connection, &[]);
    assert!(said.contains("hands over a connection") && said.contains("Accept=no"), "{said}");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("unix-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let unix = UnixListener::bind(&path).unwrap();
    let _ = std::fs::remove_file(&path);
    for (what, kind) in [
        (OwnedFd::from(UdpSocket::bind(anywhere).unwrap()), "a UDP socket"),
        (OwnedFd::from(unix), "a UNIX socket"),
        (OwnedFd::from(File::open("/dev/null").unwrap()), "something else"),
    ] {
        let said = refusal(what, &[]);
        assert!(said.contains(&format!("is {kind}, and not a TCP socket; put ListenStream=")), "{said}");
    }
}

#[test]
fn too_many_passed_sockets_are_refused_at_once() {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"LISTEN_PID=$$ LISTEN_FDS=99999999 exec "$0" "$@""#]);
    let server = command();
    shell.arg(server.get_program()).args(server.get_args());
    let output = run_to_end_with_input(shell);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("99999999 sockets (LISTEN_FDS)") && said.contains("ListenStream="), "{said}");
}

#[test]
fn port_conflict_with_the_manager_is_reported_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let said = refusal(listener, &["--listen", &address]);
    assert!(said.contains("systemd has port") && said.contains("leave it out of --listen"), "{said}");
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn listener_shut_down_by_its_owner_is_reported_and_does_not_spin() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let owned = listener.try_clone().unwrap();
    let trace = Trace::new();
    let traced = trace.of(&command(), "accept4", &[]);
    let server = Server::start_with_input(pass_listener(&traced, listener, &["--listen", "127.0.0.1:0"]));
    eventually("the server listens on both", || listening_on(&server).len() == 2);
    let mut client = Client::connect(listening_on(&server)[1]);
    assert_eq!(client.ask("/ping"), "OK 1");
    socket::shutdown(owned.as_raw_fd(), Shutdown::Both).unwrap();
    let logged = server.wait_for_log("cannot accept a connection");
    assert!(logged.contains("that passed it to the server has shut it down"), "{logged}");
    let before = trace.times("accept4").len();
    eventually("the server tries again", || trace.times("accept4").len() >= before + 6);
    // Each round of attempts tries both listeners.
    let hasty = attempts_without_pause(&trace.times("accept4")[before..]);
    assert!(hasty <= 4, "{hasty} attempts without a pause");
    assert_eq!(client.ask("/ping"), "OK 2");
    assert_eq!(Client::connect(listening_on(&server)[1]).ask("/ping"), "OK 1", "the other listener is open");
}

#[test]
fn manager_is_notified_of_readiness_reload_and_end() {
    let manager = Manager::new("told");
    let mut server = Server::start_command(manager.command());
    manager.wait_for("READY=1\nSTATUS=listening");
    server.connect().send("/quit\n");
    manager.wait_for("WATCHDOG=1\nSTATUS=");
    server.signal("HUP");
    manager.wait_for("RELOADING=1\nMONOTONIC_USEC=");
    manager.wait_for("READY=1\nSTATUS=");
    server.signal("TERM");
    manager.wait_for("STOPPING=1\n");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn blocked_consumer_does_not_feed_the_watchdog() {
    let manager = Manager::new("hangs");
    let (mut printed, writer) = Printed::full_pipe();
    let mut command = manager.command();
    command.arg("--print").stdout(writer);
    let server = Server::start_command(command);
    manager.wait_for("WATCHDOG=1");
    let mut client = server.connect();
    client.send("it is picked and cannot be printed\n");
    server.wait_for_stats("the message is picked", |stats| stats["admitted"] == 1 && stats["waiting"] == 0);
    let start = Instant::now();
    // The server sends ten notifications in such a time.
    while manager.notification_within(5 * WATCHDOG).is_some() {
        assert!(start.elapsed() < LIMIT, "the watchdog is fed while the consumer is blocked");
    }
    printed.unplug();
    assert_eq!(client.line(), "ACK 1 1");
    manager.wait_for("WATCHDOG=1");
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn frozen_disk_still_feeds_the_watchdog() {
    let manager = Manager::new("frozen");
    let directory = Directory::new("frozen");
    let journal = ["--journal-size", "1M", "--journal", directory.path()];
    // Creating a journal takes many syncs, so that is done before.
    let mut first = command();
    first.args(["--listen", "127.0.0.1:0"]).args(journal);
    assert_eq!(Server::start_command(first).end(), Some(0));
    let mut server = manager.command();
    server.args(journal);
    let trace = Trace::new();
    // Each sync takes ten times as long as the watchdog time.
    let frozen = format!("fdatasync:delay_enter={}ms", (10 * WATCHDOG).as_millis());
    let server = Server::start_command(trace.of(&server, "fdatasync", &[&frozen]));
    let mut client = server.connect();
    client.send("it takes a while to the disk\n");
    server.wait_for_stats("the message is being written", |stats| {
        stats["admitted"] == 1 && stats["waiting"] == 0
    });
    // Before, the status was that of a server that waits for nothing.
    let status = manager.wait_for("WATCHDOG=1\nSTATUS=1 messages wait for the disk");
    assert!(status.ends_with("which does not answer"), "{status}");
    server.wait_for_log("the disk does not answer; 1 messages wait for it");
    assert_eq!(client.line(), "ACK 1 1");
    manager.wait_for("WATCHDOG=1\nSTATUS=1 of");
}

#[test]
fn manager_is_asked_for_more_time_while_the_journal_opens() {
    let manager = Manager::new("extended");
    let directory = Directory::new("extended");
    let mut command = manager.command();
    command.args(["--journal-size", "4M", "--journal", directory.path()]);
    let _server = Server::start_command(command);
    let first = manager.notification_within(LIMIT);
    assert_eq!(first.as_deref(), Some("EXTEND_TIMEOUT_USEC=2000000\nSTATUS=opening the journal"));
    manager.wait_for("READY=1");
}

/// The value of a key of the unit.
fn unit(key: &str) -> &'static str {
    let lines = include_str!("../../deploy/firstline.service").lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next().unwrap_or_else(|| panic!("the unit says nothing of {key}"))
}

#[test]
fn unit_reloads_with_nothing_but_a_shell() {
    let manager = Manager::new("reload");
    let server = Server::start_command(manager.command());
    manager.wait_for("READY=1");
    // As systemd parses it: words, the last one quoted, and `$$` for `$`.
    let script = unit("ExecReload").strip_prefix("/bin/sh -c '").and_then(|rest| rest.strip_suffix('\''));
    let script = script.expect("ExecReload is a shell command").replace("$$", "$");
    let mut shell = Command::new("/bin/sh");
    // With this PATH no program is available.
    shell.args(["-c", &script]).env("PATH", "/nowhere").env("MAINPID", server.pid().to_string());
    assert_eq!(run_to_end(shell).status.code(), Some(0));
    manager.wait_for("RELOADING=1");
}

#[test]
fn unit_always_restarts_except_after_a_wrong_option() {
    assert_eq!((unit("StartLimitIntervalSec"), unit("Restart")), ("0", "always"));
    let mut wrong = command();
    wrong.arg("--no-such-option");
    let code = run_to_end(wrong).status.code().map(|code| code.to_string());
    assert_eq!(code.as_deref(), Some(unit("RestartPreventExitStatus")));
    // An address that is only not there yet does not prevent restarts.
    let mut waiting = command();
    waiting.args(["--listen", "[fe80::1%no-such-one]:9090"]);
    assert_eq!(run_to_end(waiting).status.code(), Some(1));
}

/// The environment file: name and value of each line that a user may uncomment.
fn environment_file() -> Vec<(&'static str, &'static str)> {
    let settings =
        include_str!("../../deploy/firstline.env").lines().filter_map(|line| line.strip_prefix('#'));
    settings.filter(|line| line.starts_with("FIRSTLINE_")).map(|line| line.split_once('=').unwrap()).collect()
}

#[test]
fn environment_file_has_every_option_with_valid_values() {
    let settings = environment_file();
    let mut help = command();
    help.arg("--help");
    let help = String::from_utf8(run_to_end(help).stdout).unwrap();
    // An option with a default has a variable, named by the rule in the help.
    let options = help.lines().filter(|line| line.ends_with(']')).filter_map(|line| line.split("--").nth(1));
    let variable = |option: &str| match option.split(' ').next().unwrap() {
        "log-level" => "FIRSTLINE_LOG".to_string(),
        name => "FIRSTLINE_".to_string() + &name.to_uppercase().replace('-', "_"),
    };
    let mut known: Vec<String> = options.map(variable).collect();
    let mut names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, known);
    let mut command = command();
    command.envs(settings).args(["--listen", "127.0.0.1:0", "--workers", "1"]).stdout(Stdio::null());
    let server = Server::start_command(command);
    server.connect().send("/quit\n");
}

#[test]
fn vanished_manager_is_harmless() {
    let manager = Manager::new("gone");
    let mut server = Server::start_command(manager.command());
    manager.wait_for("READY=1");
    drop(manager);
    let mut client = server.connect();
    client.send("hello\n");
    assert_eq!(client.line(), "ACK 1 1");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}
