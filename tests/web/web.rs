//! A running `firstline-web`, and where it finds things.

use crate::http::{Answer, Http, format, request};
use crate::support::directory::Directory;
use crate::support::{LIMIT, Server, companion};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// The token of viewers.
pub const TOKEN: &str = "viewers-may-read-and-send";

/// A running `firstline-web`; it is killed when this is dropped.
pub struct Web {
    pub address: SocketAddr,
    child: Child,
    log: Receiver<String>,
}

/// The program to test.
pub fn command() -> Command {
    companion("FIRSTLINE_TEST_WEB", env!("CARGO_BIN_EXE_firstline-web"))
}

impl Web {
    /// Starts it on a free port, for the server at `hub`.
    pub fn start(hub: SocketAddr, args: &[&str]) -> Self {
        Self::start_command(command(), hub, args)
    }

    /// Starts it, and closes the reading end of its log once it listens.
    pub fn start_without_log_reader(hub: SocketAddr) -> Self {
        Self::start_with(command(), hub, &[], 1)
    }

    pub fn start_command(command: Command, hub: SocketAddr, args: &[&str]) -> Self {
        Self::start_with(command, hub, args, usize::MAX)
    }

    /// Starts it, and reads so many lines of its log.
    fn start_with(mut command: Command, hub: SocketAddr, args: &[&str], log_lines: usize) -> Self {
        command.args(["--listen", "127.0.0.1:0"]).args(args).arg(hub.to_string());
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, log) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok).take(log_lines) {
                eprintln!("{line}");
                let _ = sender.send(line);
            }
        });
        let mut web = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), child, log };
        let line = web.wait_for_log("listening on ");
        let (_, rest) = line.split_once("listening on ").unwrap();
        web.address = rest.split(';').next().unwrap().parse().unwrap();
        web
    }

    /// Starts both, and waits until the one has heard of the other.
    pub fn with_hub(hub_args: &[&str], args: &[&str]) -> (Server, Self) {
        let server = Server::start(hub_args);
        let web = Self::start(server.address, args);
        web.wait_until_here();
        (server, web)
    }

    /// Waits for a line of the log that contains `part`.
    pub fn wait_for_log(&self, part: &str) -> String {
        loop {
            let line = self.log.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no {part:?} in the log"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits until it shows what the hub says.
    pub fn wait_until_here(&self) {
        self.events("").wait_for_event("stats", |stats| stats["is_here"] == true);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[], "")
    }

    /// A form, as the page sends it.
    pub fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", cookie)];
        request(self.address, "POST", path, &fields, form)
    }

    /// The live events of a viewer with that cookie.
    pub fn events(&self, cookie: &str) -> Http {
        let mut http = Http::connect(self.address);
        http.send(format(self.address, "GET", "/events", &[("Cookie", cookie)], "").as_bytes());
        let head = http.head().expect("there is an answer");
        assert_eq!((head.status, head.head["content-type"].as_str()), (200, "text/event-stream"));
        http
    }

    /// Shows the token; returns the cookie and the token of the form.
    pub fn log_in(&self) -> (String, String) {
        let answer = self.post("/login", "", &format!("token={TOKEN}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.head["set-cookie"].split(';').next().unwrap().to_string();
        let (name, hello) = self.events(&cookie).event();
        assert_eq!(name, "hello");
        (cookie, hello["form_token"].as_str().unwrap().to_string())
    }

    /// A line of `/proc/PID/status`, in kB.
    pub fn status_kb(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that only its owner can read.
pub fn private_file(directory: &Directory, name: &str, content: &str) -> PathBuf {
    fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// A file with the token of viewers.
pub fn token_file(directory: &Directory) -> String {
    private_file(directory, "viewers", TOKEN).to_str().unwrap().to_string()
}
