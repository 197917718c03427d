//! The real page about a real server with a journal, clients, a handler and a bridge.

use crate::browsing::Browser;
use crate::prometheus::free_address;
use crate::support::directory::Directory;
use crate::support::{Client, Server, companion, eventually};
use crate::web::{Web, token_file};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// A server with a journal, clients, a handler and a bridge, and the page about it for viewers with a token.
pub struct Scene {
    pub server: Server,
    pub web: Web,
    handler: Client,
    alice: Client,
    bob: Client,
    bridge: Child,
    /// The file of the bridge's counters.
    counters: PathBuf,
    _directory: Directory,
}

impl Scene {
    pub fn new(name: &str) -> Self {
        let directory = Directory::new(name);
        let [journal, cursors] = ["journal", "cursors"].map(|name| format!("{}/{name}", directory.path()));
        let counters = format!("{cursors}.json");
        let args =
            ["--allow-send", "--viewer-token-file", &token_file(&directory), "--bridge-counters", &counters];
        let (server, web) = Web::with_hub(&["--journal", &journal, "--handle", "8"], &args);
        let mut command = companion("FIRSTLINE_TEST_BRIDGE", env!("CARGO_BIN_EXE_firstline-bridge"));
        command.args(["--journal", &journal, "--state", &cursors, "--node", "test"]);
        // The broker is away.
        command.args(["--to", &format!("mqtt://{}", free_address())]).env_remove("RUNTIME_DIRECTORY");
        let bridge = command.stdin(Stdio::null()).spawn().unwrap();
        let [mut handler, mut alice, mut bob] = [server.connect(), server.connect(), server.connect()];
        for (client, lines) in [
            (&mut handler, &["/nick siren", "/handle"][..]),
            (&mut alice, &["/nick alice"]),
            (&mut bob, &["/nick bob", "/join 7"]),
        ] {
            assert!(lines.iter().all(|line| client.ask(line).starts_with("OK ")), "{lines:?}");
        }
        Self { server, web, handler, alice, bob, bridge, counters: counters.into(), _directory: directory }
    }

    /// Clients say something with several priorities, and a handler answers.
    pub fn talk(&mut self) {
        for line in ["/low 21.5 C in the workshop", "door is open", "/high water in the cellar"] {
            assert!(self.alice.ask(line).starts_with("ACK "), "{line}");
        }
        assert!(self.bob.line().starts_with("MSG "));
        self.bob.send("/urgent smoke in the workshop\n");
        let task = self.handler.line();
        let number = task.split(' ').nth(1).unwrap();
        self.handler.send(format!("/done {number} the siren is on\n"));
        assert!(self.handler.line().starts_with("OK "));
        assert!(self.bob.line().ends_with("the siren is on"));
    }

    /// Kills the bridge; its counters stay.
    pub fn kill_bridge(&mut self) {
        let _ = self.bridge.kill();
        let _ = self.bridge.wait();
    }

    /// Ends the bridge as systemd does: then the directory of its counters goes, too.
    pub fn stop_bridge(&mut self) {
        self.kill_bridge();
        fs::remove_file(&self.counters).unwrap();
    }

    /// The handler leaves.
    pub fn end_handler(&mut self) {
        self.handler.send("/quit\n");
    }

    /// The page, before the viewer shows the token.
    pub fn open(&self) -> Browser {
        let browser = Browser::open(&format!("http://{}/", self.web.address));
        browser.wait_for_text("#state", "The hub answers");
        browser
    }

    /// Waits until the page shows something in all of its parts.
    pub fn wait_for_everything(&self, browser: &Browser) {
        browser.wait_for_text("#log", "smoke in the workshop");
        for (id, part) in
            [("clients", "siren"), ("tasks", "timed out"), ("journal", "works"), ("bridge", "away: messages")]
        {
            browser.wait_for_text(&format!("#{id}"), part);
        }
        let line = "return document.querySelectorAll('#plot-latency path.p9').length";
        eventually("the plots have lines", || browser.run(line) == 1);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.kill_bridge();
    }
}
