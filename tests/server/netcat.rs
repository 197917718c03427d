//! What people type: the main tasks with the real `nc` (netcat-openbsd) and `ncat`.

use crate::support::{LIMIT, Server, id_of};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// A tool in a terminal: its input and its output. It is killed when this is dropped.
struct Terminal {
    child: Child,
    typed: Option<ChildStdin>,
    shown: Receiver<String>,
}

impl Terminal {
    /// Starts `nc`.
    fn nc(server: &Server, options: &[&str]) -> Self {
        // Other programs are called nc too, and do not know -N.
        let help = Command::new("nc").arg("-h").output();
        let is_openbsd =
            help.is_ok_and(|help| String::from_utf8_lossy(&help.stderr).contains("OpenBSD netcat"));
        assert!(is_openbsd, "nc of netcat-openbsd is missing: tests/run installs it and runs the tests");
        Self::open("nc", options, server)
    }

    /// Starts `ncat`.
    fn ncat(server: &Server, options: &[&str]) -> Self {
        Self::open("ncat", options, server)
    }

    fn open(tool: &str, options: &[&str], server: &Server) -> Self {
        let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
        let mut command = Command::new(tool);
        command.args(options).args([host, port]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child =
            child.unwrap_or_else(|_| panic!("{tool} is missing: tests/run installs it and runs the tests"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (show, shown) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| show.send(line)));
        Self { typed: child.stdin.take(), child, shown }
    }

    fn type_in(&mut self, text: &str) {
        self.typed.as_mut().expect("its input is open").write_all(text.as_bytes()).unwrap();
    }

    /// Ends the input, as the end of a pipe or Ctrl-D does.
    fn end_of_input(&mut self) {
        self.typed = None;
    }

    /// The next line that is shown.
    fn line(&self) -> String {
        self.shown.recv_timeout(LIMIT).expect("a line is shown")
    }

    /// All lines until the tool ends, which it must do by itself and successfully.
    fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.shown.recv_timeout(LIMIT) {
                Ok(line) => lines.push(line),
                // The tool has closed its output, so it ends.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the tool does not end by itself; it showed {lines:?}")
                }
            }
        }
        assert!(self.child.wait().unwrap().success());
        lines
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `printf TEXT | TOOL` shows.
fn piped(mut tool: Terminal, text: &str) -> Vec<String> {
    tool.type_in(text);
    tool.end_of_input();
    tool.rest()
}

#[test]
fn printf_into_nc_shows_an_ack_for_each_line_and_ends_by_itself() {
    let server = Server::start(&[]);
    let mut lines = piped(Terminal::nc(&server, &["-N"]), "hello\n/urgent smoke\n");
    lines.sort();
    let ids: BTreeSet<_> = lines.iter().map(|line| id_of(line)).collect();
    assert_eq!(ids, BTreeSet::from([1, 2]));
    assert!(lines[0].starts_with("ACK 1 ") && lines[1].starts_with("ACK 2 "));
    assert_eq!(piped(Terminal::nc(&server, &["-N"]), "no lf"), ["ACK 1 3"]);
    assert_eq!(piped(Terminal::nc(&server, &["-N"]), "/ping\r\n"), ["OK 1"]);
    assert_eq!(piped(Terminal::nc(&server, &["-N"]), ""), [""; 0]);
}

#[test]
#[cfg_attr(not(feature = "clients"), ignore = "takes ncat, curl, openssl, ssh, mosquitto_pub and telnet")]
fn printf_into_ncat_shows_the_replies_and_ends_by_itself() {
    let server = Server::start(&[]);
    assert_eq!(piped(Terminal::ncat(&server, &[]), "hello\n"), ["ACK 1 1"]);
    // -C sends CR LF.
    let mut lines = piped(Terminal::ncat(&server, &["-C"]), "/nowhere\n/low\n\n/9 x\n");
    lines.sort();
    assert_eq!(lines, ["ACK 4 2", "ERR 1 unknown-command try /help; //TEXT sends /TEXT", "NAK 2 empty"]);
}

#[test]
fn quit_ends_an_open_nc() {
    let server = Server::start(&[]);
    let mut nc = Terminal::nc(&server, &[]);
    nc.type_in("hello\n");
    assert_eq!(nc.line(), "ACK 1 1");
    nc.type_in("/quit\n");
    assert_eq!([nc.line(), nc.line()], ["OK 2", "BYE quit"]);
    // The connection is closed. While its terminal is open, nc waits for one more line.
    server.wait_for_log("disconnected: it quit");
    nc.end_of_input();
    assert_eq!(nc.rest(), [""; 0]);
}

#[test]
#[cfg_attr(not(feature = "clients"), ignore = "takes ncat, curl, openssl, ssh, mosquitto_pub and telnet")]
fn three_terminals_talk_to_each_other() {
    let server = Server::start(&[]);
    let mut watcher = Terminal::nc(&server, &[]);
    watcher.type_in("/nick watcher\n/join 4\n");
    assert_eq!([watcher.line(), watcher.line()], ["OK 1", "OK 2"]);

    assert_eq!(piped(Terminal::nc(&server, &["-N"]), "/urgent smoke in the workshop\n"), ["ACK 1 1"]);
    let line = watcher.line();
    assert!(line.starts_with("MSG 1 p9 127.0.0.1:") && line.ends_with(" smoke in the workshop"), "{line}");

    let mut chat = Terminal::ncat(&server, &[]);
    chat.type_in("/nick chat\n/join\n");
    assert_eq!([chat.line(), chat.line()], ["OK 1", "OK 2"]);
    chat.type_in("coming\n/low unheard below 4\n/high done\n");
    let mut acks = [chat.line(), chat.line(), chat.line()];
    acks.sort_by_key(|ack| id_of(ack));
    // The urgent message overtakes if it can. Both messages of priority 4 and above come once, in the order of
    // processing.
    let wanted: Vec<_> = acks
        .iter()
        .filter_map(|ack| match ack.split(' ').nth(1) {
            Some("3") => Some(format!("MSG {} p4 chat coming", id_of(ack))),
            Some("5") => Some(format!("MSG {} p7 chat done", id_of(ack))),
            _ => None,
        })
        .collect();
    assert_eq!([watcher.line(), watcher.line()], wanted[..]);

    watcher.type_in("/low thanks\n");
    assert_eq!(chat.line(), "MSG 5 p1 watcher thanks");
    assert_eq!(watcher.line(), "ACK 3 5");
    watcher.type_in("/who\n");
    let mut all: Vec<_> = (0..3).map(|_| watcher.line()).collect();
    all.sort();
    assert!(all[0].starts_with("OK 4") && all[1].starts_with("WHO chat p0 "), "{all:?}");
    assert!(all[2].starts_with("WHO watcher p4 "), "{all:?}");
    chat.end_of_input();
    assert_eq!(chat.rest(), [""; 0]);
}

#[test]
fn ten_thousand_lines_through_nc_get_their_acks() {
    const LINES: usize = 10_000;
    let server = Server::start(&[]);
    let text: String = (1..=LINES).map(|number| format!("line {number}\n")).collect();
    let lines = piped(Terminal::nc(&server, &["-N"]), &text);
    assert_eq!(lines.len(), LINES);
    // All lines have one priority, so they stay in the order in which they were sent.
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("ACK {0} {0}", number + 1));
    }
}
