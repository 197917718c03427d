//! Whole emulated boards: a kernel boots, firstline runs on it, and clients on this machine use it through a
//! forwarded port; see `targets/emulate`.
//!
//! The program has no harness: if QEMU or the kernel is not available, a board is skipped, and counted as such.

#[path = "../support/mod.rs"]
mod support;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::{Client, id_of};

/// How long any step may take, including the boot: a loaded machine emulates slowly.
const LIMIT: Duration = Duration::from_secs(240);

/// The exit code of `targets/emulate` if QEMU or the kernel is not available.
const UNAVAILABLE: i32 = 3;

/// The boards, each with the variable that names the binary for it: aarch64, or ARMv6.
const BOARDS: [(&str, &str); 3] = [
    ("virt", "FIRSTLINE_TEST_BINARY"),
    ("raspi3b", "FIRSTLINE_TEST_BINARY"),
    ("raspi0", "FIRSTLINE_TEST_BINARY_ARMV6"),
];

/// The number of messages of a load.
const LOAD: usize = 1_000;

/// A running board.
struct Board {
    child: Child,
    address: SocketAddr,
    /// Lines of its console, as they come.
    lines: Receiver<String>,
    /// The lines that have come.
    console: Vec<String>,
}

impl Board {
    fn boot(machine: &str, binary: &str) -> Self {
        // The port is free now, and QEMU binds it a moment later.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
        let binary = std::env::var(binary).expect("tests/run sets this variable");
        let mut child = Command::new("targets/emulate")
            .args([machine, &binary, "--print"])
            .env("FIRSTLINE_EMULATE_PORT", address.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // QEMU is a child of the script, and must end with it.
            .process_group(0)
            .spawn()
            .expect("targets/emulate can be started");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        std::thread::spawn(move || {
            for line in stdout.split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_string());
            }
        });
        Self { child, address, lines, console: Vec::new() }
    }

    /// Waits for a line of the console that contains `part`; returns false if the board powers off first.
    fn shows(&mut self, part: &str) -> bool {
        let deadline = Instant::now() + LIMIT;
        while !self.console.iter().any(|line| line.contains(part)) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.console.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(_) => panic!("no {part:?} on the console:\n{}", self.console.join("\n")),
            }
        }
        true
    }

    /// Types a line on the console.
    fn types(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("standard input is piped"), "{line}").unwrap();
    }

    /// What the board's kernel says of the server: sizes in kB, and the number of threads. `mark` must be
    /// different for each call.
    fn status(&mut self, mark: &str) -> BTreeMap<String, u64> {
        // The mark is typed in two parts, because the console echoes what is typed.
        self.types(&format!("cat /proc/$(pidof firstline)/status; echo {mark}'-told'"));
        assert!(self.shows(&format!("{mark}-told")));
        let numbers = self.console.iter().filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            Some((name.to_string(), rest.split_whitespace().next()?.parse().ok()?))
        });
        // If a name comes several times, the last value counts.
        numbers.collect()
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

/// Several clients, one of them a subscriber.
fn sessions(board: &Board) {
    let (mut alice, mut bob) = (board.connect(), board.connect());
    alice.send("/nick alice\n/join 5\n");
    assert_eq!(alice.lines(2), ["OK 1", "OK 2"]);
    bob.send("/nick bob\n");
    assert_eq!(bob.line(), "OK 1");
    bob.send("too quiet\n");
    let quiet = id_of(&bob.line());
    bob.send("/urgent smoke\n");
    let id = id_of(&bob.line());
    assert_eq!(id, quiet + 1);
    assert_eq!(alice.line(), format!("MSG {id} p9 bob smoke"));
}

/// The urgent message is the last one of a TCP segment, and is printed first.
fn priority_order(board: &mut Board) {
    let mut client = board.connect();
    client.send("/low order-1\n/low order-2\norder-3\n/urgent order-4\n");
    client.lines(4);
    ["order-1", "order-2", "order-3", "order-4"].iter().for_each(|text| assert!(board.shows(text)));
    let printed = board.console.iter().filter(|line| line.contains("order-"));
    let texts: Vec<&str> = printed.map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(texts, ["order-4", "order-3", "order-1", "order-2"]);
}

/// Each line is acknowledged and printed once.
fn load(board: &mut Board, name: &str) {
    let mut client = board.connect();
    let mut writer = client.stream.try_clone().unwrap();
    let lines: String = (0..LOAD).map(|number| format!("{name}-{number}.\n")).collect();
    let sending = std::thread::spawn(move || writer.write_all(lines.as_bytes()).unwrap());
    let mut ids: Vec<u64> = client.lines(LOAD).iter().map(|line| id_of(line)).collect();
    sending.join().unwrap();
    assert!(ids.is_sorted(), "one client's messages of one priority stay in order");
    ids.dedup();
    assert_eq!(ids.len(), LOAD);
    // The server prints a message before it acknowledges it, but the console is slow.
    assert!(board.shows(&format!("{name}-{}.", LOAD - 1)));
    for number in 0..LOAD {
        let text = format!(" {name}-{number}.");
        assert_eq!(board.console.iter().filter(|line| line.ends_with(&text)).count(), 1, "{text}");
    }
}

/// Returns false if the board cannot be booted here.
fn boots_serves_and_ends(machine: &str, binary: &str) -> bool {
    let mut board = Board::boot(machine, binary);
    if !board.shows("listening on") {
        assert_eq!(board.child.wait().unwrap().code(), Some(UNAVAILABLE), "{}", board.console.join("\n"));
        return false;
    }
    sessions(&board);
    priority_order(&mut board);
    load(&mut board, "first");
    let before = board.status("before");
    load(&mut board, "second");
    let after = board.status("after");
    // The main thread's stack is mapped as it grows.
    let mapped = |status: &BTreeMap<String, u64>| status["VmSize"] - status["VmStk"];
    assert_eq!((mapped(&before), before["Threads"]), (mapped(&after), after["Threads"]));
    println!(
        "{machine}: VmRSS {} kB, then {} kB; {} threads",
        before["VmRSS"], after["VmRSS"], after["Threads"]
    );
    // Repeated work touches a few more pages.
    assert!(after["VmRSS"] <= before["VmRSS"] + 64, "resident memory grows");
    board.types("kill $(pidof firstline)");
    assert!(board.shows("firstline: exit code 0"));
    assert!(board.console.iter().any(|line| line.contains("drained: all that was admitted is processed")));
    assert_eq!(board.child.wait().unwrap().code(), Some(0));
    true
}

fn main() -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (machine, binary) in BOARDS {
        let outcome = match std::panic::catch_unwind(|| boots_serves_and_ends(machine, binary)) {
            Ok(true) => (&mut passed, "ok"),
            Ok(false) => (&mut skipped, "skipped: see above"),
            Err(_) => (&mut failed, "FAILED"),
        };
        *outcome.0 += 1;
        println!("emulated board {machine} ... {}", outcome.1);
    }
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
