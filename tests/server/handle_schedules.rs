//! Random schedules kill the server and `firstline handle`. A message that is acknowledged was done and is in the
//! journal, and without further attempts none is done twice.
//!
//! `FIRSTLINE_TEST_SEED` runs the schedule of that seed alone, `FIRSTLINE_TEST_SCHEDULES` that many: 20 have some
//! 200 kills.

use super::send::texts;
use crate::support::directory::Directory;
use crate::support::random::Random;
use crate::support::{Client, Server, command, eventually, signal};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Few in a normal run.
const SCHEDULES: u64 = 4;
/// Most of a schedule is a wait for processes, so several run at once.
const AT_ONCE: usize = 4;
/// The first of those seeds.
const SEED: u64 = 1_001;
const KILLS: usize = 10;
const TEXTS_MAX: usize = 12;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn nothing_is_acknowledged_without_its_record_and_nothing_is_done_twice() {
    if let Some(seed) = setting("FIRSTLINE_TEST_SEED") {
        return run(seed, &Totals::default());
    }
    let schedules = setting("FIRSTLINE_TEST_SCHEDULES").unwrap_or(SCHEDULES);
    let (next, totals) = (AtomicU64::new(0), Totals::default());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < schedules
                {
                    run(SEED + number, &totals);
                }
            });
        }
    });
    println!("{schedules} schedules from seed {SEED}: {totals:?}");
    // Otherwise the schedules prove nothing.
    let [acknowledged, unknown] =
        [&totals.acknowledged, &totals.unknown].map(|total| total.load(Ordering::Relaxed));
    assert!(acknowledged > 10 * schedules && unknown >= schedules, "{totals:?}");
}

/// What all schedules came to.
#[derive(Debug, Default)]
struct Totals {
    kills: AtomicU64,
    acknowledged: AtomicU64,
    /// Its sender knows that it may be done.
    unknown: AtomicU64,
}

fn run(seed: u64, totals: &Totals) {
    let mut schedule = Schedule::new(seed);
    if let Err(what) = schedule.run() {
        panic!("FIRSTLINE_TEST_SEED={seed}: {what}\nsteps:\n{}", schedule.steps.join("\n"));
    }
    for (total, count) in [
        (&totals.kills, schedule.kills),
        (&totals.acknowledged, schedule.acknowledged.len()),
        (&totals.unknown, schedule.unknown),
    ] {
        total.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// A server and two handlers that come and go.
struct Schedule {
    random: Random,
    directory: Directory,
    address: String,
    server: Option<Server>,
    handlers: [Option<Child>; 2],
    said: usize,
    acknowledged: Vec<String>,
    /// Of these, those that a handler has done.
    answered: Vec<String>,
    /// Their senders know that they are not done.
    refused: Vec<String>,
    unknown: usize,
    kills: usize,
    steps: Vec<String>,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let directory = Directory::new("handle-schedule");
        fs::create_dir(&directory.0).unwrap();
        // An address of its own: nobody else takes the port while the server is away.
        let address = format!("127.78.{}.{}:0", seed / 200 % 250 + 1, seed % 200 + 1);
        Self {
            random: Random(seed),
            directory,
            address,
            server: None,
            handlers: [None, None],
            said: 0,
            acknowledged: Vec::new(),
            answered: Vec::new(),
            refused: Vec::new(),
            unknown: 0,
            kills: 0,
            steps: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..KILLS {
            self.start_missing();
            // Otherwise they come while there are messages.
            if self.random.below(4) > 0 {
                let server = self.server.as_ref().expect("it was started");
                server.wait_for_stats("both handle", |stats| stats["handlers"] == 2);
            }
            let mut client = self.client();
            let texts = self.say(&mut client);
            let first = self.random.below(texts.len() + 1);
            self.answers(&mut client, first, &texts)?;
            self.kill();
            self.answers(&mut client, texts.len() - first, &texts)?;
        }
        self.start_missing();
        self.end();
        self.compare()
    }

    // ---- Processes -------------------------------------------------------------------------------------

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory.path())
    }

    fn start_missing(&mut self) {
        if self.server.is_none() {
            let mut command = command();
            command.args(["--handle", "2", "--attempts", "1", "--handle-wait", "2", "--journal-size", "1M"]);
            command.args(["--listen", &self.address, "--journal", &self.path("journal")]);
            let server = Server::start_command(command);
            self.address = server.address.to_string();
            self.server = Some(server);
        }
        for index in 0..self.handlers.len() {
            if self.handlers[index].is_none() {
                self.handlers[index] = Some(self.handler(index == 0));
            }
        }
    }

    /// A handler whose program notes each text that it does.
    fn handler(&self, is_each: bool) -> Child {
        let done = self.path("done");
        let script = if is_each {
            format!(r#"read -r text || exit; sleep 0.01; echo "$text" >>{done}; echo "$text""#)
        } else {
            format!(
                r#"echo READY 1; while read -r word k p from text; do sleep 0.01; echo "$text" >>{done}
                echo "ok $text"; done"#
            )
        };
        let mut command = command();
        command.args(["handle", &self.address, "--count", "2"]);
        command.args(if is_each { &["--each"][..] } else { &[] }).args(["--", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn kill(&mut self) {
        self.kills += 1;
        let how = if self.random.below(4) == 0 { "TERM" } else { "KILL" };
        let which = self.random.below(self.handlers.len() + 1);
        match self.handlers.get_mut(which) {
            Some(handler) => end(handler.take(), how),
            None => {
                let mut server = self.server.take().expect("it was started");
                server.signal(how);
                server.wait();
            }
        }
        self.steps.push(format!("{how} {}", ["the handler of each", "the handler", "the server"][which]));
    }

    fn end(&mut self) {
        self.handlers.iter_mut().for_each(|handler| end(handler.take(), "TERM"));
        let mut server = self.server.take().expect("it was started");
        server.signal("TERM");
        server.wait();
    }

    // ---- Messages --------------------------------------------------------------------------------------

    fn client(&self) -> Client {
        self.server.as_ref().expect("it was started").connect()
    }

    fn say(&mut self, client: &mut Client) -> Vec<String> {
        let first = self.said;
        self.said += 1 + self.random.below(TEXTS_MAX);
        let texts: Vec<String> = (first..self.said).map(|number| format!("text-{number}")).collect();
        let lines: String = texts.iter().map(|text| format!("/{} {text}\n", self.random.below(10))).collect();
        client.send(lines);
        self.steps.push(format!("{} are sent, up to {}", texts.len(), self.said - 1));
        texts
    }

    /// Reads that many answers, or up to the end of the connection.
    fn answers(&mut self, client: &mut Client, count: usize, texts: &[String]) -> Result<(), String> {
        for _ in 0..count {
            let Some(reply) = client.try_line() else { return Ok(()) };
            let words: Vec<&str> = reply.split(' ').collect();
            let line = words.get(1).and_then(|line| line.parse::<usize>().ok());
            let text = || line.and_then(|line| texts.get(line - 1)).cloned().ok_or(&reply);
            match words[..] {
                ["ACK", _, _] | ["ACK", _, _, "=", _] => {
                    let text = text()?;
                    if let Some(said) = words.get(4) {
                        if *said != text {
                            return Err(format!("{text} is answered by {reply}"));
                        }
                        self.answered.push(text.clone());
                    }
                    self.acknowledged.push(text);
                }
                ["NAK", _, "handler-lost" | "handler-timeout" | "handler-unrecorded"] => self.unknown += 1,
                ["NAK", _, "no-handler" | "shutting-down"] => self.refused.push(text()?),
                ["BYE", _] => return Ok(()),
                _ => return Err(format!("not expected: {reply}")),
            }
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), String> {
        let kept = texts(&Directory(self.path("journal").into()));
        let mut done = BTreeMap::new();
        for text in fs::read_to_string(self.path("done")).unwrap_or_default().lines() {
            *done.entry(text.to_string()).or_insert(0) += 1;
        }
        if let Some((text, count)) = done.iter().chain(&kept).find(|(_, count)| **count > 1) {
            return Err(format!("{text} is there {count} times; done: {done:?}; kept: {kept:?}"));
        }
        if let Some(text) = self.acknowledged.iter().find(|text| !kept.contains_key(*text)) {
            return Err(format!("{text} is acknowledged and not kept"));
        }
        if let Some(text) =
            self.refused.iter().find(|text| done.contains_key(*text) || kept.contains_key(*text))
        {
            return Err(format!("{text} is refused, and done or kept; done: {done:?}"));
        }
        match self.answered.iter().find(|text| !done.contains_key(*text)) {
            Some(text) => Err(format!("{text} is acknowledged by a handler and not done")),
            None => Ok(()),
        }
    }
}

fn end(handler: Option<Child>, how: &str) {
    if let Some(mut handler) = handler {
        signal(handler.id(), how);
        eventually("the handler ends", || handler.try_wait().unwrap().is_some());
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        for handler in self.handlers.iter_mut().flatten() {
            let _ = handler.kill();
            let _ = handler.wait();
        }
    }
}
