//! `--print` to outputs that fail: what could not be printed is refused, and the server lives.

use crate::common::stuck::{Printed, Stuck};
use crate::common::{Client, Server, command, eventually};
use firstline::limits::IN_FLIGHT;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts a server that prints to that.
fn start(output: impl Into<Stdio>) -> Server {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--print"]).stdout(output);
    Server::start_command(command)
}

#[test]
fn on_a_full_device_every_message_is_refused_and_all_else_works() {
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
fn when_the_reader_of_the_pipe_has_gone_messages_are_refused_and_the_server_lives() {
    let (mut printed, writer) = Printed::pipe();
    let server = start(writer);
    let mut client = server.connect();
    assert_eq!(client.ask("heard"), "ACK 1 1");
    assert_eq!(printed.msg().text, "heard");
    drop(printed);
    // A child that another test has made, and that does not run its own program yet, still has it.
    let mut line = 1;
    eventually("nobody has the reader", || {
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
fn when_the_reader_of_a_full_pipe_goes_what_is_stuck_and_what_waits_is_refused() {
    let mut stuck = Stuck::start(&[]);
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
fn a_pipe_that_does_not_block_is_waited_for_without_spinning() {
    let (printed, writer) = Printed::full_pipe();
    // The server's standard output is this very pipe's end, and so does not block either.
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut stuck = Stuck::start_on(printed, writer, &[]);
    let mut client = stuck.server.connect();
    client.send("hello\n".repeat(IN_FLIGHT));
    stuck.wait_for_waiting(IN_FLIGHT);
    let (before, pause) = (stuck.server.cpu_time(), Duration::from_millis(500));
    std::thread::sleep(pause);
    assert!(stuck.server.cpu_time() - before < pause / 5, "it spins");
    stuck.unplug();
    let acks = (1..=IN_FLIGHT).map(|line| format!("ACK {line} {}", line + 1));
    assert_eq!(client.lines(IN_FLIGHT), acks.collect::<Vec<_>>());
    assert_eq!(stuck.first.line(), "ACK 1 1");
    drop((client, stuck.first));
    assert_eq!(stuck.server.end(), Some(0));
    let ids: Vec<u64> = stuck.printed.rest().iter().map(|msg| msg.id).collect();
    assert_eq!(ids, (2..2 + IN_FLIGHT as u64).collect::<Vec<_>>());
}

/// The file that a server prints to. It is gone when this is dropped.
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

    /// What was printed since the last time. The file is emptied: there is room again.
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

/// Starts a server that prints to a file for which there is little room: the shell lets no file grow beyond 8
/// blocks of 512 bytes, and has the error returned and no signal sent.
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
    /// The MSG lines of the messages that were acknowledged, and of those that were refused.
    acknowledged: Vec<String>,
    refused: Vec<String>,
}

impl Sender {
    fn new(server: &Server) -> Self {
        let mut client = server.connect();
        // So that each line is as long whatever the port is.
        assert_eq!(client.ask("/nick alice"), "OK 1");
        Self { client, lines: 1, acknowledged: Vec::new(), refused: Vec::new() }
    }

    /// Sends some messages at once, and takes their replies.
    fn send(&mut self, count: usize) {
        let first = self.lines + 1;
        self.lines += count;
        let text = |line: usize| format!("{line} {}", "x".repeat(100));
        let lines: String = (first..=self.lines).map(|line| text(line) + "\n").collect();
        self.client.send(lines);
        for (reply, line) in self.client.lines(count).iter().zip(first..) {
            // The first line was none; the ID of one that is refused is left out.
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

    /// Sends messages, so many at a time, until some are refused.
    fn send_until_full(&mut self, count: usize) {
        let refused = self.refused.len();
        while self.refused.len() == refused {
            assert!(self.lines < 1_000, "there is room without end");
            self.send(count);
        }
    }
}

/// Fills a file again and again, with so many messages at a time, and makes room again; the file must have
/// exactly what was acknowledged, and one who joined must have heard exactly that.
fn fill_and_make_room(name: &str, count: usize) {
    let output = Output::new(name);
    let server = start_with_little_room(&output);
    let mut joined = server.connect();
    assert_eq!(joined.ask("/join"), "OK 1");
    let mut sender = Sender::new(&server);
    let (mut printed, mut torn) = (String::new(), 0);
    for _ in 0..3 {
        sender.send_until_full(count);
        // It stays full, and that is told each time.
        let acknowledged = sender.acknowledged.len();
        sender.send(2);
        assert_eq!(sender.acknowledged.len(), acknowledged);
        let taken = output.take();
        torn += usize::from(!taken.ends_with('\n'));
        printed += &taken;
    }
    sender.send(1);
    printed += &output.take();
    assert!(torn > 0, "no line was cut: this proves too little");

    let (whole, cut): (Vec<_>, Vec<_>) =
        printed.lines().partition(|line| sender.acknowledged.iter().any(|msg| msg == line));
    assert_eq!(whole, sender.acknowledged, "acknowledged, and so printed once");
    assert_eq!(cut.len(), torn, "nothing else is printed: {cut:?}");
    for part in cut {
        assert!(
            sender.refused.iter().any(|msg| msg.starts_with(part)),
            "the beginning of a refused one: {part:?}"
        );
    }
    joined.send("/ping\n");
    let heard: Vec<_> = std::iter::from_fn(|| joined.try_line().filter(|line| line != "OK 2")).collect();
    assert_eq!(heard, sender.acknowledged, "what could not be printed is not sent");
    drop((joined, sender.client));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn when_there_is_room_again_messages_are_acknowledged_again_and_a_cut_line_has_its_end() {
    fill_and_make_room("one-at-a-time", 1);
}

#[test]
fn of_a_batch_that_is_half_printed_the_first_half_is_acknowledged() {
    fill_and_make_room("a-batch-at-a-time", 20);
}
