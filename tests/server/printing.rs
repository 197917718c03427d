//! `--print` to outputs that fail: messages that cannot be printed are refused, and the server survives.

use crate::support::stuck::{Printed, StuckServer};
use crate::support::{Client, Server, command, eventually};
use firstline::limits::IN_FLIGHT;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts a server that prints to `output`.
fn start(output: impl Into<Stdio>) -> Server {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--print"]).stdout(output);
    Server::start_command(command)
}

#[test]
fn full_device_refuses_messages_and_commands_still_work() {
    let server = start(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let (mut client, mut joined) = (server.connect(), server.connect());
    assert_eq!(joined.ask("/join"), "OK 1");
    for line in 1..=10 {
        assert_eq!(client.ask(&format!("/{} hello", line % 10)), format!("NAK {line} print-failed"));
    }
    // A whole batch of them.
    client.send("hello\n".repeat(IN_FLIGHT));
    let refusals = (11..11 + IN_FLIGHT).map(|line| format!("NAK {line} print-failed"));
    assert_eq!(client.lines(IN_FLIGHT), refusals.collect::<Vec<_>>());
    assert_eq!(client.ask("/nick alice"), format!("OK {}", 11 + IN_FLIGHT));
    // No MSG line came before this.
    assert_eq!(joined.ask("/ping"), "OK 2");
    let stats = joined.stats();
    let counted = ["admitted", "processed", "waiting", "msgs-sent", "msgs-lost", "refused-print-failed"]
        .map(|name| stats[name]);
    let all = 10 + IN_FLIGHT as u64;
    assert_eq!(counted, [all, 0, 0, 0, 0, all]);
    drop((client, joined));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn message_that_a_handler_has_done_is_not_refused_like_the_others() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--print", "--handle", "7"]);
    command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let server = Server::start_command(command);
    let (mut client, mut handler) = (server.connect(), server.connect());
    assert_eq!(handler.ask("/handle 7 2"), "OK 1");
    assert_eq!(client.ask("plain"), "NAK 1 print-failed");
    client.send("/urgent shut\n/urgent open\n");
    assert_eq!(handler.lines(2).len(), 2);
    handler.send("/done 1 shut\n/done 2\n");
    assert_eq!(client.lines(2), ["NAK 2 handler-unrecorded", "NAK 3 handler-unrecorded"]);
    let stats = client.stats();
    assert_eq!((stats["refused-print-failed"], stats["refused-handler-unrecorded"]), (1, 2));
    assert_eq!((stats["p9-tasks-done"], stats["waiting"]), (2, 0));
    drop((client, handler));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn pipe_without_a_reader_refuses_messages_and_the_server_survives() {
    let (mut printed, writer) = Printed::pipe();
    let server = start(writer);
    let mut client = server.connect();
    assert_eq!(client.ask("heard"), "ACK 1 1");
    assert_eq!(printed.msg().text, "heard");
    drop(printed);
    // A process that another test has just forked, and that has not called exec yet, still holds the pipe's
    // reading end.
    let mut line = 1;
    eventually("no process holds the reader", || {
        line += 1;
        client.ask("unheard") == format!("NAK {line} print-failed")
    });
    for line in line + 1..line + 4 {
        assert_eq!(client.ask("unheard"), format!("NAK {line} print-failed"));
    }
    assert_eq!(client.ask("/ping"), format!("OK {}", line + 4));
    drop(client);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn closing_a_full_pipe_refuses_the_blocked_and_the_queued_messages() {
    let mut stuck = StuckServer::start(&[]);
    let mut client = stuck.server.connect();
    client.send("one\n/urgent two\n");
    stuck.wait_for_waiting(2);
    drop(stuck.printed);
    assert_eq!(stuck.first.line(), "NAK 1 print-failed");
    assert_eq!(client.lines(2), ["NAK 2 print-failed", "NAK 1 print-failed"]);
    drop((client, stuck.first));
    assert_eq!(stuck.server.end(), Some(0));
}

#[test]
fn full_nonblocking_pipe_does_not_make_the_consumer_spin() {
    let (printed, writer) = Printed::full_pipe();
    // The flag belongs to the open file, which the server's standard output shares.
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut stuck = StuckServer::start_on(printed, writer, &[]);
    let mut client = stuck.server.connect();
    client.send("hello\n".repeat(IN_FLIGHT));
    stuck.wait_for_waiting(IN_FLIGHT);
    let (before, pause) = (stuck.server.cpu_time(), Duration::from_millis(500));
    std::thread::sleep(pause);
    assert!(stuck.server.cpu_time() - before < pause / 5, "the server spins");
    stuck.unplug();
    let acks = (1..=IN_FLIGHT).map(|line| format!("ACK {line} {}", line + 1));
    assert_eq!(client.lines(IN_FLIGHT), acks.collect::<Vec<_>>());
    assert_eq!(stuck.first.line(), "ACK 1 1");
    drop((client, stuck.first));
    assert_eq!(stuck.server.end(), Some(0));
    let ids: Vec<u64> = stuck.printed.rest().iter().map(|msg| msg.id).collect();
    assert_eq!(ids, (2..2 + IN_FLIGHT as u64).collect::<Vec<_>>());
}

/// The file that a server prints to. It is removed when this is dropped.
struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("printing-{name}-{}", std::process::id()));
        let file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
        Self { path, file }
    }

    /// What was printed since the last call. Empties the file, so that there is room again.
    fn take(&self) -> String {
        let taken = std::fs::read_to_string(&self.path).unwrap();
        self.file.set_len(0).unwrap();
        taken
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Starts a server that prints to a file with little room: the shell limits files to 8 blocks of 512 bytes, and
/// ignores the signal, so that writes return the error.
fn start_with_little_room(output: &Output) -> Server {
    let server = command();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ && ulimit -f 8 && exec \"$@\"", "sh"]);
    command.arg(server.get_program()).args(server.get_args()).args(["--listen", "127.0.0.1:0", "--print"]);
    command.stdout(output.file.try_clone().unwrap());
    Server::start_command(command)
}

/// The only sender of messages to a file with little room.
struct Sender {
    client: Client,
    lines: usize,
    /// The MSG lines of the acknowledged messages, and of the refused ones.
    acknowledged: Vec<String>,
    refused: Vec<String>,
}

impl Sender {
    fn new(server: &Server) -> Self {
        let mut client = server.connect();
        // With a nick, the length of a line does not depend on the port.
        assert_eq!(client.ask("/nick alice"), "OK 1");
        Self { client, lines: 1, acknowledged: Vec::new(), refused: Vec::new() }
    }

    /// Sends some messages at once, and reads their replies.
    fn send(&mut self, count: usize) {
        let first = self.lines + 1;
        self.lines += count;
        let text = |line: usize| format!("{line} {}", "x".repeat(100));
        let lines: String = (first..=self.lines).map(|line| text(line) + "\n").collect();
        self.client.send(lines);
        for (reply, line) in self.client.lines(count).iter().zip(first..) {
            // Line 1 was a command, so IDs are one behind; a refused message leaves its ID unused.
            let id = line - 1;
            let msg = format!("MSG {id} p4 alice {}", text(line));
            if *reply == format!("NAK {line} print-failed") {
                self.refused.push(msg);
            } else {
                assert_eq!(*reply, format!("ACK {line} {id}"));
                self.acknowledged.push(msg);
            }
        }
    }

    /// Sends messages, `count` at a time, until some are refused.
    fn send_until_full(&mut self, count: usize) {
        let refused = self.refused.len();
        while self.refused.len() == refused {
            assert!(self.lines < 1_000, "the file never gets full");
            self.send(count);
        }
    }
}

/// Fills the file several times, with `count` messages at a time, and empties it each time. The file must
/// contain exactly the acknowledged messages, and a subscriber must get exactly those.
fn fill_and_make_room(name: &str, count: usize) {
    let output = Output::new(name);
    let server = start_with_little_room(&output);
    let mut joined = server.connect();
    assert_eq!(joined.ask("/join"), "OK 1");
    let mut sender = Sender::new(&server);
    let (mut printed, mut torn) = (String::new(), 0);
    for _ in 0..3 {
        sender.send_until_full(count);
        // The file stays full, and each message is refused.
        let acknowledged = sender.acknowledged.len();
        sender.send(2);
        assert_eq!(sender.acknowledged.len(), acknowledged);
        let taken = output.take();
        torn += usize::from(!taken.ends_with('\n'));
        printed += &taken;
    }
    sender.send(1);
    printed += &output.take();
    assert!(torn > 0, "no line was cut, so the test checks too little");

    let (whole, cut): (Vec<_>, Vec<_>) =
        printed.lines().partition(|line| sender.acknowledged.iter().any(|msg| msg == line));
    assert_eq!(whole, sender.acknowledged, "each acknowledged message is printed once");
    assert_eq!(cut.len(), torn, "nothing else is printed: {cut:?}");
    for part in cut {
        assert!(
            sender.refused.iter().any(|msg| msg.starts_with(part)),
            "not the beginning of a refused message: {part:?}"
        );
    }
    joined.send("/ping\n");
    let received: Vec<_> = std::iter::from_fn(|| joined.try_line().filter(|line| line != "OK 2")).collect();
    assert_eq!(received, sender.acknowledged, "a message that is not printed is not sent");
    drop((joined, sender.client));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn file_with_room_again_takes_messages_after_a_cut_line() {
    fill_and_make_room("one-at-a-time", 1);
}

#[test]
fn printed_half_of_a_batch_is_acknowledged() {
    fill_and_make_room("a-batch-at-a-time", 20);
}
