//! The service manager's side: sockets that it hands over, and what it is told.

use crate::common::stuck::Printed;
use crate::common::{Client, LIMIT, Server, command, eventually, run_to_end};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the manager waits for a sign of progress.
const WATCHDOG: Duration = Duration::from_millis(200);

/// A service manager that listens to the news of one server.
struct Manager {
    path: PathBuf,
    news: UnixDatagram,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let news = UnixDatagram::bind(&path).unwrap();
        Self { path, news }
    }

    /// The command that starts the server as this manager would.
    fn command(&self) -> Command {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &self.path);
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command
    }

    /// What comes within that time, if anything does.
    fn hears_within(&self, time: Duration) -> Option<String> {
        self.news.set_read_timeout(Some(time)).unwrap();
        let mut datagram = [0; 4096];
        let count = self.news.recv(&mut datagram).ok()?;
        Some(String::from_utf8(datagram[..count].to_vec()).unwrap())
    }

    /// Waits for news that begin so, whatever comes before.
    fn wait_for(&self, beginning: &str) -> String {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(news) = self.hears_within(LIMIT)
                && news.starts_with(beginning)
            {
                return news;
            }
        }
        panic!("the manager does not hear {beginning}");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A command that has the sockets of `listener` handed over to it, as the third descriptor.
fn handed_over(listener: TcpListener, asked: &[&str]) -> Command {
    let server = command();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&0 </dev/null"#]);
    shell.arg(server.get_program()).args(server.get_args()).args(asked);
    shell.stdin(Stdio::from(OwnedFd::from(listener)));
    shell
}

/// The addresses that it has logged.
fn listening_on(server: &Server) -> Vec<SocketAddr> {
    let address = |line: &String| line.split_once("listening on ")?.1.parse().ok();
    server.log().iter().filter_map(address).collect()
}

#[test]
fn a_socket_that_was_handed_over_is_listened_on_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It comes before there is a server, and waits in the backlog.
    let mut early = Client::connect(address);
    early.send("first\n");
    let server = Server::start_with_input(handed_over(listener, &[]));
    assert_eq!(server.address, address);
    assert_eq!(early.line(), "ACK 1 1");
    assert_eq!(listening_on(&server), [address], "the usual port is not taken as well");
}

#[test]
fn sockets_may_be_handed_over_and_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start_with_input(handed_over(listener, &["--listen", "127.0.0.1:0"]));
    let mut client = Client::connect(address);
    client.send("/ping\n");
    assert_eq!(client.line(), "OK 1");
    eventually("both are logged", || listening_on(&server).len() == 2);
    let mut other = Client::connect(listening_on(&server)[1]);
    other.send("/ping\n");
    assert_eq!(other.line(), "OK 1");
}

#[test]
fn the_manager_is_told_of_readiness_reload_and_end() {
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
fn a_consumer_that_hangs_does_not_feed_the_watchdog() {
    let manager = Manager::new("hangs");
    let (mut printed, writer) = Printed::full_pipe();
    let mut command = manager.command();
    command.arg("--print").stdout(writer);
    let server = Server::start_command(command);
    manager.wait_for("WATCHDOG=1");
    let mut client = server.connect();
    client.send("it is picked and cannot be printed\n");
    server.wait_for_stats("it is picked", |stats| stats["admitted"] == 1 && stats["waiting"] == 0);
    let start = Instant::now();
    // Each of these times is ten signs of progress long.
    while manager.hears_within(5 * WATCHDOG).is_some() {
        assert!(start.elapsed() < LIMIT, "the watchdog is fed though nothing is processed");
    }
    printed.unplug();
    assert_eq!(client.line(), "ACK 1 1");
    manager.wait_for("WATCHDOG=1");
}

/// The environment file: the name and the value of each line that is to be uncommented.
fn environment_file() -> Vec<(&'static str, &'static str)> {
    let settings =
        include_str!("../../deploy/firstline.env").lines().filter_map(|line| line.strip_prefix('#'));
    settings.filter(|line| line.starts_with("FIRSTLINE_")).map(|line| line.split_once('=').unwrap()).collect()
}

#[test]
fn the_environment_file_has_every_option_and_its_values_are_taken() {
    let settings = environment_file();
    let mut help = command();
    help.arg("--help");
    let help = String::from_utf8(run_to_end(help).stdout).unwrap();
    // What has a default is a setting, and a variable by the rule that the help tells.
    let options = help.lines().filter(|line| line.ends_with(']')).filter_map(|line| line.split("--").nth(1));
    let variable = |option: &str| match option.split(' ').next().unwrap() {
        "log-level" => "FIRSTLINE_LOG".to_string(),
        name => "FIRSTLINE_".to_string() + &name.to_uppercase().replace('-', "_"),
    };
    let mut known: Vec<String> = options.map(variable).collect();
    let mut told: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, known);
    let mut command = command();
    command.envs(settings).args(["--listen", "127.0.0.1:0", "--workers", "1"]).stdout(Stdio::null());
    let server = Server::start_command(command);
    server.connect().send("/quit\n");
}

#[test]
fn a_manager_that_has_gone_does_not_disturb() {
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
