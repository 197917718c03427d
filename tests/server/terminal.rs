//! What the commands show on a terminal, by script(1), which makes one.

use crate::support::directory::Directory;
use crate::support::{Server, command};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

/// What erases a line of the terminal.
const ERASE: &str = "\r\x1b[K";

/// A command line whose standard error is a terminal.
struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    /// Runs firstline with these arguments, and `redirection` behind them.
    fn start(args: &[&str], redirection: &str) -> Self {
        let firstline = command();
        // An emulator may stand before it.
        let words = std::iter::once(firstline.get_program()).chain(firstline.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).chain(args.iter().copied()).collect();
        let line = format!("{} {redirection}", words.join(" "));
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped());
        Self { child: script.spawn().unwrap(), shown: String::new() }
    }

    /// Reads what is shown until that is.
    fn wait_for(&mut self, part: &str) {
        let stdout = self.child.stdout.as_mut().unwrap();
        while !self.shown.contains(part) {
            let mut bytes = [0; 1024];
            let count = stdout.read(&mut bytes).unwrap();
            assert!(count > 0, "{part:?} is not shown: {:?}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Everything that was shown, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        self.child.stdout.as_mut().unwrap().read_to_string(&mut self.shown).unwrap();
        (std::mem::take(&mut self.shown), self.child.wait().unwrap().code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn long_call_shows_how_far_it_is_where_nothing_else_does() {
    let place = Directory::new("terminal");
    fs::create_dir(&place.0).unwrap();
    let server = Server::start(&["--journal", &format!("{}/journal", place.path()), "--journal-size", "1M"]);
    let (host, fifo) = (server.address.to_string(), format!("{}/fifo", place.path()));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut send = Terminal::start(&["send", &host, "-"], &format!("<{fifo} >/dev/null"));
    let mut watch = Terminal::start(&["watch", "--since=all", "--count=2", &host], ">/dev/null");
    let mut input = File::options().write(true).open(&fifo).unwrap();
    writeln!(input, "one").unwrap();
    send.wait_for("1 acknowledged");
    watch.wait_for("1 message printed");
    writeln!(input, "two").unwrap();
    drop(input);
    for terminal in [send, watch] {
        let (shown, code) = terminal.end();
        assert_eq!(code, Some(0), "{shown:?}");
        assert!(shown.starts_with(ERASE) && shown.ends_with(ERASE), "it goes at the end: {shown:?}");
    }
}

#[test]
fn what_is_printed_on_the_terminal_is_progress_enough() {
    let server = Server::start(&[]);
    let (shown, code) = Terminal::start(&["send", &server.address.to_string(), "one"], "").end();
    assert_eq!((&shown[..], code), ("1\r\n", Some(0)));
}
