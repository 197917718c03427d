//! `firstline send` against the real server, and against some that are none.

use crate::support::directory::Directory;
use crate::support::own_address::own_address;
use crate::support::{
    HeldConsumer, LIMIT, Server, command, eventually, is_asleep, is_emulated, run_to_end, signal,
};
use firstline::client::limits::TEXT_BYTES_MAX;
use firstline::limits::{IN_FLIGHT, TEXT_BYTES};
use rustix::io::ioctl_fionread;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;

/// What it can take at most, in KiB: the binary, its buffers, and what the C library keeps. Without a bound it would be
/// the input.
const RESIDENT_KB_MAX: u64 = 24 * 1024;

/// A call under way. What it says is read all the time.
pub struct Call {
    child: Child,
    receipts: Receiver<String>,
    complaints: Receiver<String>,
}

/// What a call came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub receipts: Vec<String>,
    pub complaints: Vec<String>,
}

impl Call {
    pub fn start(args: &[&str], input: Stdio) -> Self {
        let mut command = command();
        command.arg("send").args(args).stdin(input);
        Self::of(command)
    }

    /// By a command that has its input.
    pub fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let receipts = lines_of(child.stdout.take().unwrap());
        let complaints = lines_of(child.stderr.take().unwrap());
        Self { child, receipts, complaints }
    }

    /// With an input that is written to.
    pub fn with_pipe(args: &[&str]) -> (Self, ChildStdin) {
        let mut call = Self::start(args, Stdio::piped());
        let input = call.child.stdin.take().unwrap();
        (call, input)
    }

    pub fn receipt(&self) -> String {
        self.receipts.recv_timeout(LIMIT).expect("a receipt comes")
    }

    pub fn complaint(&self) -> String {
        self.complaints.recv_timeout(LIMIT).expect("a complaint comes")
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub fn end(mut self) -> Ran {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let code = status.and_then(|status| status.code());
        Ran { code, receipts: self.receipts.iter().collect(), complaints: self.complaints.iter().collect() }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

pub fn run(args: &[&str]) -> Ran {
    Call::start(args, Stdio::null()).end()
}

/// With these lines on standard input.
pub fn run_with(args: &[&str], input: impl Into<Vec<u8>>) -> Ran {
    let (call, mut pipe) = Call::with_pipe(args);
    let input = input.into();
    // It may end before it has read all.
    spawn(move || pipe.write_all(&input));
    call.end()
}

pub fn host(server: &Server) -> String {
    server.address.to_string()
}

/// The texts in a journal, each with how often it is there.
pub fn texts(journal: &Directory) -> BTreeMap<String, usize> {
    let mut command = command();
    command.args(["journal", journal.path()]);
    let mut texts = BTreeMap::new();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let text = line.splitn(6, ' ').nth(5).expect("TIME MSG ID pP FROM TEXT");
        *texts.entry(text.to_string()).or_default() += 1;
    }
    assert!(child.wait().unwrap().success());
    texts
}

/// The numbers of the lines of which that was said.
fn lines_told(complaints: &[String], what: &str) -> BTreeSet<usize> {
    let number = |line: &String| {
        let (number, said) = line.strip_prefix("firstline: line ")?.split_once(": ")?;
        said.starts_with(what).then(|| number.parse().unwrap())
    };
    complaints.iter().filter_map(number).collect()
}

pub fn numbered(count: usize) -> String {
    (1..=count).map(|number| format!("line {number}\n")).collect()
}

// ---- Acknowledged ---------------------------------------------------------------------------------------

#[test]
fn one_message_is_sent_as_it_is_and_its_id_printed() {
    let journal = Directory::new("send-one");
    let server = Server::start(&["--journal", journal.path()]);
    let host = host(&server);
    for (args, id) in [
        (&["--urgent", &host, "smoke", "in the workshop"][..], "1"),
        (&[&host, "/urgent is a text"], "2"),
        (&["-p0", &host, "//x"], "3"),
        (&[&host, "GET / HTTP/1.1"], "4"),
        (&[&host, "--", "-5", "C"], "5"),
    ] {
        let ran = run(args);
        assert_eq!(
            (ran.code, &ran.receipts[..], &ran.complaints[..]),
            (Some(0), &[id.to_string()][..], &[][..])
        );
    }
    let mut command = command();
    command.args(["journal", journal.path()]);
    let printed = String::from_utf8(run_to_end(command).stdout).unwrap();
    let said: Vec<(&str, &str)> = printed
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.splitn(6, ' ').collect();
            (words[3], words[5])
        })
        .collect();
    assert_eq!(
        said,
        [
            ("p9", "smoke in the workshop"),
            ("p4", "/urgent is a text"),
            ("p0", "//x"),
            ("p4", "GET / HTTP/1.1"),
            ("p4", "-5 C")
        ]
    );
}

#[test]
fn each_line_of_a_file_is_acknowledged_once() {
    const COUNT: usize = 100_000;
    let server = Server::start(&[]);
    let place = Directory::new("send-file");
    fs::create_dir(&place.0).unwrap();
    let file = place.0.join("lines");
    fs::write(&file, numbered(COUNT)).unwrap();
    let ran = Call::start(&[&host(&server), "-"], File::open(file).unwrap().into()).end();
    assert_eq!((ran.code, ran.complaints.len()), (Some(0), 0), "{:?}", ran.complaints.first());
    assert!(ran.receipts.iter().enumerate().all(|(at, id)| *id == (at + 1).to_string()));
    assert_eq!((ran.receipts.len(), server.stats()["admitted"]), (COUNT, COUNT as u64));
}

#[test]
fn lines_of_any_bytes_arrive_and_those_that_are_too_long_are_told() {
    let journal = Directory::new("send-bytes");
    let server = Server::start(&["--journal", journal.path()]);
    let (long, longer) = ("x".repeat(TEXT_BYTES), "y".repeat(TEXT_BYTES + 1));
    let longest = "z".repeat(10 * TEXT_BYTES_MAX);
    let mut input = format!("\u{feff}/quit\r\n\n{long}\n{longer}\n{longest}\n").into_bytes();
    input.extend_from_slice(b"\0\xff\nno LF");
    let ran = run_with(&[&host(&server)], input);
    assert_eq!((ran.code, ran.receipts.len()), (Some(1), 4), "{ran:?}");
    assert_eq!(lines_told(&ran.complaints, "refused: too-long"), [4, 5].into());
    let summary = "firstline: 4 acknowledged, 2 refused, 0 unknown, 0 not sent";
    assert_eq!(ran.complaints.last().map(String::as_str), Some(summary));
    let expected = ["/quit", &long, r"\x00\xff", "no LF"].map(|text| (text.to_string(), 1));
    assert_eq!(texts(&journal), expected.into());
}

#[test]
fn a_lowered_message_is_told_behind_its_id() {
    let server = Server::start(&["--urgent-rate", "1"]);
    let ran = run_with(&["--urgent", &host(&server)], "a\nb\n");
    assert_eq!((ran.code, &ran.receipts[..]), (Some(0), &["1".to_string(), "2 lowered".to_string()][..]));
}

#[test]
fn replies_are_told_while_the_input_pauses_and_the_server_ends_the_idle_connection() {
    let server = Server::start(&["--idle-timeout", "0.5"]);
    // It has joined, so it is not idle itself.
    let mut observer = server.connect();
    assert_eq!(observer.ask("/join 9"), "OK 1");
    let (call, mut input) = Call::with_pipe(&[&host(&server)]);
    for round in 1..=3 {
        let before = observer.stats()["closed-idle"];
        writeln!(input, "line {round}").unwrap();
        assert_eq!(call.receipt(), round.to_string());
        eventually("the server ends the idle connection", || observer.stats()["closed-idle"] > before);
    }
    drop(input);
    let ran = call.end();
    assert_eq!((ran.code, ran.complaints), (Some(0), vec![]));
}

#[test]
fn a_reader_of_receipts_that_goes_stops_no_message() {
    let server = Server::start(&[]);
    let mut command = command();
    command.args(["send", &host(&server), "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(numbered(5_000).as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(server.stats()["admitted"], 5_000);
}

// ---- Memory --------------------------------------------------------------------------------------------

/// Writes that much, piece by piece, and returns the most memory that the call ever took, in KiB.
fn resident_kb(args: &[&str], piece: &[u8], bytes: usize) -> (u64, Ran) {
    let (call, mut input) = Call::with_pipe(args);
    for _ in 0..bytes / piece.len() {
        input.write_all(piece).unwrap();
    }
    let status = fs::read_to_string(format!("/proc/{}/status", call.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse().unwrap();
    drop(input);
    (peak, call.end())
}

#[test]
fn memory_is_bounded_whatever_the_input() {
    if is_emulated() {
        return;
    }
    const BYTES: usize = 200 << 20;
    let server = Server::start(&[]);
    let line = ["x".repeat(TEXT_BYTES - 1), "\n".to_string()].concat();
    let (peak, ran) = resident_kb(&[&host(&server), "-"], line.repeat(128).as_bytes(), BYTES);
    assert_eq!((ran.code, ran.receipts.len()), (Some(0), BYTES / TEXT_BYTES));
    assert!(peak < RESIDENT_KB_MAX, "many lines: {peak} KiB");
    let (peak, ran) = resident_kb(&[&host(&server), "-"], &[b'x'; 64 * 1024], BYTES);
    assert_eq!((ran.code, ran.receipts.len(), ran.complaints.len()), (Some(1), 0, 2));
    assert!(peak < RESIDENT_KB_MAX, "one line: {peak} KiB");
}

// ---- Refused -------------------------------------------------------------------------------------------

struct Tokens(Directory);

impl Tokens {
    const GOOD: &str = "good-good-good-good";

    fn new() -> Self {
        let place = Directory::new("send-tokens");
        fs::create_dir(&place.0).unwrap();
        Self(place)
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

#[test]
fn without_a_right_it_ends_at_once() {
    let tokens = Tokens::new();
    let auth = tokens.file("auth", &format!("alice {} 9 join\n", Tokens::GOOD), 0o600);
    let good = tokens.file("good", &format!("{}\n", Tokens::GOOD), 0o600);
    let wrong = tokens.file("wrong", "wrong-wrong-wrong-wrong", 0o600);
    let open = tokens.file("open", Tokens::GOOD, 0o644);
    let server = Server::start(&["--auth-file", auth.to_str().unwrap()]);
    let host = host(&server);
    // Never over by itself: it is the right that ends it.
    let with =
        |file: &PathBuf| run(&[&host, "smoke", "--timeout=off", "--token-file", file.to_str().unwrap()]);
    assert_eq!(with(&good).receipts, ["1"]);
    // The server answers the fourth wrong token after 8 s, later than a `/ping`.
    for _ in 0..4 {
        let ran = with(&wrong);
        let told = &ran.complaints[0];
        assert!(ran.code == Some(1) && told.contains("refused: ") && told.contains("wrong-token"), "{ran:?}");
    }
    let ran = with(&open);
    assert_eq!(ran.code, Some(2));
    assert!(ran.complaints[0].contains("chmod 600"), "{ran:?}");
    let (call, mut input) = Call::with_pipe(&[&host, "--timeout=off", "--retry"]);
    writeln!(input, "a").unwrap();
    let told = call.complaint();
    assert!(told.contains("give a token by --token-file"), "{told}");
    assert!(call.complaint().contains("after line 1 was not read"));
    assert_eq!(call.end().code, Some(1));
    assert_eq!(server.stats_of(Tokens::GOOD)["admitted"], 1);
}

impl Server {
    /// Reads the counters with that token.
    fn stats_of(&self, token: &str) -> BTreeMap<String, u64> {
        let mut client = self.connect();
        assert!(client.ask(&format!("/auth {token}")).starts_with("OK 1 "));
        client.stats()
    }
}

#[test]
fn an_address_that_may_not_connect_ends_it_at_once() {
    let server = Server::start(&["--allow", "127.0.0.2"]);
    let ran = run(&[&host(&server), "smoke", "--timeout=off", "--retry"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.complaints[0].contains("not-allowed"), "{ran:?}");
}

#[test]
fn what_is_wrong_with_the_call_is_one_line() {
    for args in [&[][..], &["pi"], &["pi:0", "x"], &["fe80::1", "x"], &["pi", "x", "--urgnet"], &["pi", ""]] {
        let ran = run(args);
        assert_eq!((ran.code, ran.receipts.len(), ran.complaints.len()), (Some(2), 0, 1), "{ran:?}");
    }
    assert_eq!(run(&["pi", "-"]).code, Some(0), "no lines are no failure where lines were asked for");
    let help = run(&["--help"]);
    assert!(help.code == Some(0) && help.receipts[0].starts_with("Usage: firstline send "));
}

// ---- Not sent ------------------------------------------------------------------------------------------

#[test]
fn without_a_server_it_is_not_sent_within_the_time() {
    let unserved = own_address().to_string();
    let ran = run(&[&unserved, "smoke", "--timeout", "0.3", "--retry"]);
    assert_eq!(ran.code, Some(4));
    assert!(
        ran.complaints[0].contains("not sent yet: ") && ran.complaints[1].contains("not sent: "),
        "{ran:?}"
    );
    let ran = run_with(&[&unserved, "--timeout", "0.3"], numbered(1_000));
    assert_eq!(ran.code, Some(4));
    assert!(lines_told(&ran.complaints, "not sent: ").contains(&1));
    assert!(ran.complaints.last().unwrap().contains(" was not read"), "{:?}", ran.complaints.last());
}

#[test]
fn it_waits_for_a_place_and_for_a_server_that_is_not_there_yet() {
    let mut command = command();
    command.env("FIRSTLINE_PER_ADDRESS", "1").args(["--listen", "127.0.0.1:0"]);
    let server = Server::start_command(command);
    let client = server.connect();
    let (call, input) = Call::with_pipe(&[&host(&server), "smoke"]);
    assert!(call.complaint().contains("address-full"));
    drop((client, input));
    assert_eq!(call.receipt(), "1");
    assert_eq!(call.end().code, Some(0));
    let address = host(&server);
    drop(server);
    let call = Call::start(&[&address, "smoke"], Stdio::null());
    assert!(call.complaint().contains("trying again"));
    let _server = Server::start(&["--listen", &address]);
    assert_eq!(call.receipt(), "1");
    assert_eq!(call.end().code, Some(0));
}

/// A server that says this to each client, and then nothing.
fn stand_in(said: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(move || {
        let mut streams: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = (&stream).write_all(said);
            streams.push(stream);
        }
    });
    address
}

#[test]
fn what_is_no_server_is_sent_nothing_and_what_falls_silent_leaves_it_unknown() {
    for (said, code, told) in [
        (&b""[..], 4, "not sent: "),
        (b"220 mail.example.org ESMTP\r\n", 4, "not a firstline server"),
        (b"\xff\xfe\0\n", 4, "not a firstline server"),
        (b"OK 1\n", 3, "unknown, "),
    ] {
        let ran = run(&[&stand_in(said), "smoke", "--timeout", "5"]);
        assert_eq!(ran.code, Some(code), "{said:?}: {ran:?}");
        assert!(ran.complaints.iter().any(|line| line.contains(told)), "{ran:?}");
        assert!(ran.complaints.iter().all(|line| line.bytes().all(|byte| byte >= b' ')), "{ran:?}");
    }
    let ran = run_with(&[&stand_in(b"OK 1\n"), "--timeout", "5"], numbered(1_000));
    assert_eq!(ran.code, Some(3));
    assert_eq!(lines_told(&ran.complaints, "unknown, "), (1..=IN_FLIGHT).collect());
    assert!(ran.complaints.last().unwrap().contains(" was not read"), "{:?}", ran.complaints.last());
}

// ---- Restarts ------------------------------------------------------------------------------------------

const LINES: usize = 20_000;

/// Sends lines to a server that is ended in the middle, by that signal, and started again: three times.
fn over_restarts(name: &str, address: &str, ending: &str, args: &[&str]) -> (Directory, Ran) {
    let journal = Directory::new(name);
    let mut server = Server::start(&["--journal", journal.path(), "--listen", address]);
    let own = server.wait_for_log(&format!("listening on {}", address.trim_end_matches('0')));
    let own = own.split_once("listening on ").unwrap().1.split(' ').next().unwrap().to_string();
    let (call, mut input) = Call::with_pipe(&[&[own.as_str(), "-"], args].concat());
    let text = numbered(LINES);
    spawn(move || input.write_all(text.as_bytes()));
    let mut receipts = Vec::new();
    for round in 1..=3 {
        receipts.extend((receipts.len()..round * LINES / 5).map(|_| call.receipt()));
        server.signal(ending);
        server.wait();
        server = Server::start(&["--journal", journal.path(), "--listen", &own]);
    }
    let mut ran = call.end();
    receipts.append(&mut ran.receipts);
    drop(server);
    (journal, Ran { receipts, ..ran })
}

#[test]
fn over_restarts_in_order_each_line_arrives_once() {
    let (journal, ran) = over_restarts("send-term", "127.0.0.71:0", "TERM", &["--timeout", "300"]);
    assert_eq!((ran.code, ran.receipts.len()), (Some(0), LINES), "{:?}", ran.complaints);
    let expected = (1..=LINES).map(|number| (format!("line {number}"), 1));
    assert!(texts(&journal) == expected.collect());
}

#[test]
fn over_kills_each_line_arrives_once_or_is_told_unknown() {
    let (journal, ran) = over_restarts("send-kill", "127.0.0.72:0", "KILL", &["--timeout", "300"]);
    let unknown = lines_told(&ran.complaints, "unknown, ");
    assert_eq!(ran.code, Some(if unknown.is_empty() { 0 } else { 3 }));
    assert_eq!(ran.receipts.len() + unknown.len(), LINES, "{:?}", ran.complaints);
    let texts = texts(&journal);
    for number in 1..=LINES {
        let count = texts.get(&format!("line {number}")).copied().unwrap_or(0);
        assert!(
            count == 1 || count == 0 && unknown.contains(&number),
            "line {number} is there {count} times"
        );
    }
}

#[test]
fn over_kills_each_line_arrives_at_least_once_on_request() {
    let (journal, ran) =
        over_restarts("send-retry", "127.0.0.73:0", "KILL", &["--retry", "--timeout", "300"]);
    assert_eq!((ran.code, ran.receipts.len()), (Some(0), LINES), "{:?}", ran.complaints);
    let texts = texts(&journal);
    let counts = (1..=LINES).map(|number| texts.get(&format!("line {number}")).copied().unwrap_or(0));
    let counts: Vec<usize> = counts.collect();
    assert!(counts.iter().all(|count| *count > 0), "none is lost");
    let doubled: usize = counts.iter().map(|count| count - 1).sum();
    let told =
        ran.complaints.iter().find_map(|line| line.strip_prefix("firstline: ")?.split_once(" message"));
    let told = told
        .filter(|(_, rest)| rest.contains("may be there twice"))
        .map_or(0, |(count, _)| count.parse().unwrap());
    assert!(doubled <= told, "{doubled} are there twice, and {told} were told");
}

// ---- Interruptions -------------------------------------------------------------------------------------

#[test]
fn an_interruption_tells_what_was_not_acknowledged() {
    let (server, held) = HeldConsumer::start(&[]);
    let (call, mut input) = Call::with_pipe(&[&host(&server)]);
    input.write_all(numbered(IN_FLIGHT + 10).as_bytes()).unwrap();
    server.wait_for_stats("it is as deep as it gets", |stats| stats["admitted"] as usize >= IN_FLIGHT);
    call.signal("INT");
    let ran = call.end();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(lines_told(&ran.complaints, "unknown, "), (1..=IN_FLIGHT).collect());
    assert_eq!(lines_told(&ran.complaints, "not sent: "), (IN_FLIGHT + 1..=IN_FLIGHT + 10).collect());
    let summary = format!("firstline: 0 acknowledged, 0 refused, {IN_FLIGHT} unknown, 10 not sent");
    assert!(ran.complaints.last().unwrap().starts_with(&summary), "{:?}", ran.complaints.last());
    held.release();
}

#[test]
fn person_who_writes_a_command_is_told_its_option() {
    let server = Server::start(&[]);
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join"), "OK 1");
    let program = command();
    let words = [program.get_program()].into_iter().chain(program.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    // Only `script` gives it a terminal.
    for (shell, text, is_told) in [
        ("sh -c", "/urgent smoke", false),
        ("script -qec", "/urgent smoke", true),
        ("script -qec", "/9 smoke", true),
        ("script -qec", "/highway", false),
        ("script -qec", "//9 smoke", false),
    ] {
        let line = format!("{} send {} {text}", words.join(" "), host(&server));
        let mut shell = shell.split(' ');
        let mut call = Command::new(shell.next().unwrap());
        // The file of `script`; for `sh` only a name.
        let ran = call.args(shell).arg(line).arg("/dev/null").stdin(Stdio::null()).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        let told = "firstline: the word with / is sent as a part of the text; the option is -p 9";
        assert_eq!(String::from_utf8_lossy(&said).contains(told), is_told, "{text}: {said:?}");
        assert!(reader.line().ends_with(&format!(" {text}")));
    }
}

/// The address of a peer that sends lines without a pause to each client.
pub fn endless_peer() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            spawn(move || while stream.write_all(&b"X\n".repeat(4_096)).is_ok() {});
        }
    });
    address
}

#[test]
fn a_peer_that_never_pauses_does_not_delay_the_time_out() {
    let ran = Call::start(&["--timeout", "0.5", &endless_peer(), "smoke"], Stdio::null()).end();
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

#[test]
fn an_interruption_takes_answers_that_come_and_is_told_by_the_exit_code() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (server, held) = HeldConsumer::start(&[]);
        let (call, mut input) = Call::with_pipe(&[&host(&server)]);
        writeln!(input, "smoke").unwrap();
        server.wait_for_stats("it was sent", |stats| stats["admitted"] == 1);
        // The call gets the signal and the answer at once, so its time for answers does not matter.
        call.signal("STOP");
        call.signal(name);
        held.release();
        server.wait_for_stats("it was answered", |stats| stats["processed"] == 1);
        call.signal("CONT");
        let ran = call.end();
        assert_eq!((ran.code, &ran.receipts[..]), (Some(code), &["1".to_string()][..]), "{ran:?}");
        assert!(ran.complaints[0].contains("1 acknowledged, 0 refused"), "{ran:?}");
    }
}

#[test]
fn the_second_interruption_ends_it_though_nobody_reads_what_it_says() {
    const LINES: usize = 200_000;
    // A pipe holds 64 KiB, in pages; each may be half empty where the next write did not fit.
    const FULL_BYTES_MIN: u64 = 32 * 1024;
    let server = Server::start(&[]);
    let mut command = command();
    command.args(["send", &host(&server), "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = input.as_fd().try_clone_to_owned().unwrap();
    let receipts = child.stdout.take().unwrap();
    spawn(move || input.write_all(numbered(LINES).as_bytes()));
    // What it has told fills the pipe to its reader, and then its own memory: so it takes no more lines.
    let mut admitted = 0;
    eventually("it takes no more", || {
        let stats = server.stats();
        admitted = stats["admitted"];
        // It has nothing to do: all is answered, nobody reads, and it leaves the lines that it could read.
        admitted > 0
            && stats["processed"] == admitted
            && ioctl_fionread(&receipts).unwrap() >= FULL_BYTES_MIN
            && ioctl_fionread(&lines).unwrap() > 0
            && is_asleep(child.id())
    });
    assert!((admitted as usize) < LINES);
    signal(child.id(), "INT");
    signal(child.id(), "TERM");
    let mut code = None;
    eventually("it ends", || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    assert!(code.unwrap().code().is_some_and(|code| code != 0));
}

#[test]
fn receipts_that_cannot_be_written_are_a_failure_and_stop_no_message() {
    let server = Server::start(&[]);
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join"), "OK 1");
    for text in ["one", "two"] {
        let mut command = command();
        command.args(["send", &host(&server), text]).stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told, "firstline: standard output: No space left on device\n");
        assert_eq!(output.status.code(), Some(4));
        assert!(reader.line().ends_with(text));
    }
}
