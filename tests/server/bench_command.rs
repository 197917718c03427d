//! `firstline bench`: measures its own server or a given one, refuses one that is in use, and says why it cannot go on.

use super::send::host;
use crate::support::directory::Directory;
use crate::support::{Server, command, eventually, signal};
use firstline::options::version;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

/// What ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    printed: String,
    said: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), printed: text(output.stdout), said: text(output.stderr) }
    }

    /// The last line that it said.
    fn reason(&self) -> &str {
        self.said.lines().last().unwrap_or_default()
    }
}

/// The command, with short measurements.
fn bench(args: &[&str]) -> Command {
    let mut command = command();
    command.args(["bench", "--seconds", "0.2", "--rounds", "2"]).args(args).stdin(Stdio::null());
    command
}

fn ran(args: &[&str]) -> Ran {
    Ran::of(bench(args).output().unwrap())
}

#[test]
fn own_server_is_measured_and_figures_are_compared() {
    let place = Directory::new("bench");
    fs::create_dir_all(&place.0).unwrap();
    let saved = place.0.join("figures");
    let saved = saved.to_str().unwrap();
    // Long enough for some answers on a machine that does much else.
    let ran = self::ran(&["--seconds", "0.5", "--save", saved]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for row in ["1 client, 1 in flight ", " clients, 1 in flight each ", " clients, 32 in flight each "] {
        let line =
            ran.printed.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("{row}: {ran:?}"));
        assert!(line.contains("/s (") && line.contains(", p50 ") && line.contains(", p99 "), "{line}");
    }
    assert!(
        ran.printed.contains("deliveries, 1 sender to ") && ran.printed.contains("urgent line, "),
        "{ran:?}"
    );
    assert!(ran.printed.contains("# ") && ran.printed.contains(" %"), "the plot: {ran:?}");
    let heading = ran.printed.lines().find(|line| line.ends_with("/s: the times to the ACK"));
    assert!(heading.is_some_and(|line| line.contains(" x 32 flooding with ")), "{ran:?}");
    let again =
        self::ran(&["--seconds", "0.5", "--only", "1x1,urgent", "--workers", "1", "--compare", saved]);
    assert_eq!((again.code, again.printed.matches(" x before").count()), (Some(0), 2), "{again:?}");
    assert!(!again.printed.contains("deliveries"), "{again:?}");
    let before = again.printed.lines().find_map(|line| line.strip_prefix("compared with: "));
    assert!(before.unwrap().contains(&format!(" by {}; 2 rounds of 0.5 s, up to ", version())), "{again:?}");
    assert!(again.printed.contains(", with --workers 1\n"), "{again:?}");
}

#[test]
fn given_server_is_measured_with_as_many_clients_as_it_takes() {
    let server = Server::start(&["--per-address", "5"]);
    let ran = self::ran(&[&host(&server)]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for row in ["4 clients, 32 in flight each", "urgent line, 4 x 32 flooding", "1 sender to 4"] {
        assert!(ran.printed.contains(row), "{row}: {ran:?}");
    }
    let small = Server::start(&["--per-address", "2"]);
    let ran = self::ran(&[&host(&small)]);
    assert!(ran.code == Some(4) && ran.reason().contains("larger --per-address"), "{ran:?}");
}

#[test]
fn server_in_use_is_left_alone_unless_it_is_forced() {
    let journal = Directory::new("bench-journal");
    for (args, part) in [
        (&["--journal", journal.path(), "--journal-size", "1M"][..], "it keeps a journal"),
        (&["--handle", "9"], "its messages go to handlers"),
    ] {
        let server = Server::start(args);
        let ran = self::ran(&[&host(&server), "--only", "1x1"]);
        assert!(ran.code == Some(4) && ran.reason().contains(part), "{ran:?}");
        assert_eq!(server.stats()["admitted"], 0);
        let forced = self::ran(&[&host(&server), "--only", "1x1", "--force"]);
        assert_eq!(forced.code, Some(0), "{forced:?}");
    }
    let server = Server::start(&[]);
    let mut other = server.connect();
    assert_eq!(other.ask("/ping"), "OK 1");
    let ran = self::ran(&[&host(&server)]);
    assert!(ran.code == Some(4) && ran.reason().contains("another client is connected"), "{ran:?}");
}

#[test]
fn token_is_shown_and_a_wrong_one_is_told() {
    let place = Directory::new("bench-token");
    fs::create_dir_all(&place.0).unwrap();
    let file = |name: &str, text: &str| {
        let path = place.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_string()
    };
    let auth = file("auth", "bench good-good-good-good 9 join\n");
    let server = Server::start(&["--auth-file", &auth]);
    let host = host(&server);
    let good = file("good", "good-good-good-good");
    let ran = self::ran(&[&host, "--only", "32x1,fan-out", "--token-file", &good]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for args in [&[&*host][..], &[&host, "--token-file", &file("bad", "evil-evil-evil-evil")]] {
        let ran = self::ran(args);
        assert!(ran.code == Some(4) && ran.reason().contains("does not serve this client"), "{ran:?}");
    }
}

#[test]
fn what_is_no_server_and_one_that_goes_away_are_told_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        let _ = listener.accept().unwrap().0.write_all(b"220 mail.example.org ESMTP\r\n");
    });
    let ran = self::ran(&[&address]);
    assert!(ran.code == Some(4) && ran.reason().contains("220 mail.example.org"), "{ran:?}");
    answering.join().unwrap();
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask("/ping"), "OK 1");
    let child = bench(&["--seconds", "60", "--only", "32x32", "--force", &host(&server)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it is flooded", || client.stats()["processed"] > 1_000);
    server.signal("KILL");
    server.wait();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.printed.as_str()), (Some(4), ""), "{ran:?}");
    assert!(ran.reason().starts_with(&format!("firstline: {}: ", host(&server))), "{ran:?}");
}

/// The state of a process, or `None` if it is gone.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn its_server_ends_with_it_however_it_ends() {
    for how in ["TERM", "KILL"] {
        let mut child = bench(&["--seconds", "60", "--only", "1x1"]).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let mut server = String::new();
        eventually("it has a server", || {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            server = children.split_whitespace().next().unwrap_or_default().to_string();
            // Before that it is still a copy of this program.
            fs::read_to_string(format!("/proc/{server}/cmdline")).is_ok_and(|args| args.contains("--listen"))
        });
        signal(pid, how);
        child.wait().unwrap();
        eventually("its server has ended", || matches!(state(&server), None | Some('Z' | 'X')));
    }
}

#[test]
fn files_that_cannot_be_used_are_told_and_cost_no_figures() {
    let server = Server::start(&[]);
    let place = Directory::new("bench-files");
    let missing = place.0.join("figures");
    let missing = missing.to_str().unwrap();
    let unread = ran(&[&host(&server), "--compare", missing]);
    assert!(unread.code == Some(2) && unread.reason().ends_with("No such file or directory"), "{unread:?}");
    let unwritten = ran(&[&host(&server), "--only", "1x1", "--seconds", "0.5", "--save", missing]);
    assert_eq!(unwritten.code, Some(4), "{unwritten:?}");
    assert!(unwritten.printed.contains("1 client, 1 in flight"), "{unwritten:?}");
    assert!(unwritten.reason().contains("mkdir -p "), "{unwritten:?}");
}

#[test]
fn urgent_lines_that_are_lowered_are_no_figures() {
    let server = Server::start(&["--urgent-rate", "1"]);
    let ran = ran(&[&host(&server), "--only", "urgent", "--seconds", "0.5"]);
    assert!(ran.code == Some(4) && ran.reason().contains("--urgent-rate"), "{ran:?}");
}
