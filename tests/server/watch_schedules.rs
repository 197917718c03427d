//! Random schedules kill the server and `firstline watch`, replace the journal, and flood the server. `firstline watch`
//! must print each message once and in order, or report it as lost.
//!
//! `FIRSTLINE_TEST_SEED` runs the schedule of that seed alone.

use crate::support::directory::Directory;
use crate::support::random::Random;
use crate::support::{Client, Server, command, eventually, signal};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const SCHEDULES: u64 = 200;
/// Most of a schedule is a wait for processes, so several run at once.
const AT_ONCE: usize = 8;
/// The first of those seeds.
const SEED: u64 = 1_001;
const STEPS_MAX: usize = 12;
/// The journals of a schedule; one more server has none.
const JOURNALS: usize = 3;
/// More than a journal of a schedule holds.
const FLOOD: usize = 2_500;
const FLOOD_TEXT_BYTES: usize = 500;

#[test]
fn in_random_schedules_each_message_comes_once_and_in_order_or_is_told_lost() {
    if let Some(seed) = std::env::var("FIRSTLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed, &Totals::default());
    }
    let (next, totals) = (AtomicU64::new(0), Totals::default());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < SCHEDULES
                {
                    run(SEED + number, &totals);
                }
            });
        }
    });
    println!("{SCHEDULES} schedules from seed {SEED}: {totals:?}");
    // Otherwise the schedules prove nothing.
    let [printed, lost, unknown, again] = [&totals.printed, &totals.lost, &totals.unknown, &totals.again]
        .map(|total| total.load(Ordering::Relaxed));
    assert!(printed > 10_000 && lost > 1_000 && unknown > 20 && again > 20, "{totals:?}");
}

/// What all schedules came to.
#[derive(Debug, Default)]
struct Totals {
    printed: AtomicU64,
    /// Told as lost, with a number.
    lost: AtomicU64,
    /// How often it was told that nobody knows how many.
    unknown: AtomicU64,
    /// Printed again after a kill.
    again: AtomicU64,
}

fn run(seed: u64, totals: &Totals) {
    let mut schedule = Schedule::new(seed);
    let outcome = schedule.run();
    let Account { printed, lost, unknown, again, .. } = &schedule.account;
    if let Err(what) = outcome {
        panic!("FIRSTLINE_TEST_SEED={seed}: {what}\nsteps:\n{}", schedule.steps.join("\n"));
    }
    let printed = printed.values().map(|messages| messages.len() as u64).sum();
    for (total, count) in [
        (&totals.printed, printed),
        (&totals.lost, *lost),
        (&totals.unknown, *unknown),
        (&totals.again, *again),
    ] {
        total.fetch_add(count, Ordering::Relaxed);
    }
}

/// A server and a watcher that come and go.
struct Schedule {
    random: Random,
    directory: Directory,
    address: String,
    server: Option<Server>,
    /// What the texts of this server's messages begin with: `J` and the number of its journal, or `N` and how often
    /// there was none.
    name: String,
    without_journal: usize,
    watch: Option<(Child, String)>,
    runs: usize,
    /// What was said.
    texts: u64,
    /// What was acknowledged, by the server's name and the ID.
    acknowledged: BTreeMap<String, BTreeMap<u64, Said>>,
    /// The identities of the journals, by their names.
    identities: BTreeMap<String, u64>,
    min: u8,
    account: Account,
    steps: Vec<String>,
}

/// A message that was acknowledged.
struct Said {
    text: String,
    priority: u8,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let directory = Directory::new("watch-schedule");
        fs::create_dir(&directory.0).unwrap();
        let min = if random.below(4) == 0 { 7 } else { 0 };
        // Addresses of its own: nobody else takes the port while the server is away.
        let address = format!("127.77.{}.{}:0", seed / 200 % 250 + 1, seed % 200 + 1);
        Self {
            random,
            directory,
            address,
            server: None,
            name: String::new(),
            without_journal: 0,
            watch: None,
            runs: 0,
            texts: 0,
            acknowledged: BTreeMap::new(),
            identities: BTreeMap::new(),
            min,
            account: Account { is_strict: min == 0, ..Account::default() },
            steps: vec![format!("--min {min}")],
        }
    }

    fn run(&mut self) -> Result<(), String> {
        self.start_server(0);
        self.start_watch();
        for _ in 0..2 + self.random.below(STEPS_MAX - 1) {
            self.step()?;
        }
        if self.watch.is_none() {
            self.start_watch();
        }
        // Every journal is read to its end.
        for journal in 0..JOURNALS {
            if self.identities.contains_key(&format!("J{journal}")) {
                self.end_server("TERM");
                self.start_server(journal);
                let last = self.say(1, 1, 0);
                self.wait_for(&last);
            }
        }
        self.end_watch("TERM")?;
        self.compare()
    }

    fn step(&mut self) -> Result<(), String> {
        if self.server.is_none() && self.random.below(3) > 0 {
            self.restart_server();
        }
        if self.watch.is_none() {
            self.start_watch();
        }
        match self.random.below(16) {
            0..=4 => {
                let count = 1 + self.random.below(40);
                self.say(count, count, 0);
            }
            5 if self.name.starts_with('J') => {
                self.say(FLOOD, FLOOD, FLOOD_TEXT_BYTES);
            }
            5..=7 => {
                let last = self.say(1, 1, 0);
                self.wait_for(&last);
            }
            8..=10 => {
                let count = 1 + self.random.below(40);
                let answered = self.random.below(count + 1);
                self.say(count, answered, 0);
                self.end_server("KILL");
                self.restart_server();
            }
            11 => {
                let how = if self.random.below(2) == 0 { "KILL" } else { "TERM" };
                self.end_server(how);
            }
            12..=14 => self.end_watch("KILL")?,
            _ => self.end_watch("TERM")?,
        }
        Ok(())
    }

    // ---- The server ------------------------------------------------------------------------------------

    /// It comes back, mostly with the journal that it had.
    fn restart_server(&mut self) {
        let same = self.name.strip_prefix('J').and_then(|number| number.parse().ok()).unwrap_or(0);
        let journal = if self.random.below(3) > 0 { same } else { self.random.below(JOURNALS + 1) };
        self.start_server(journal);
    }

    /// With that journal, or with none.
    fn start_server(&mut self, journal: usize) {
        let mut command = command();
        command.args(["--listen", &self.address]);
        if journal < JOURNALS {
            self.name = format!("J{journal}");
            command.args([
                "--journal-size",
                "1M",
                "--journal",
                &format!("{}/{journal}", self.directory.path()),
            ]);
        } else {
            self.without_journal += 1;
            self.name = format!("N{}", self.without_journal);
        }
        let server = Server::start_command(command);
        self.address = server.address.to_string();
        if let Some(identity) = server.stats().get("journal-id") {
            self.identities.insert(self.name.clone(), *identity);
        }
        self.server = Some(server);
        self.steps.push(format!("the server starts as {}", self.name));
    }

    fn end_server(&mut self, how: &str) {
        if let Some(mut server) = self.server.take() {
            server.signal(how);
            server.wait();
            self.steps.push(format!("the server ends by {how}"));
        }
    }

    /// Sends that many messages at once, reads as many answers, and returns the last text. Nothing without a server.
    fn say(&mut self, count: usize, answered: usize, bytes: usize) -> String {
        let Some(server) = &self.server else { return String::new() };
        let mut client = Client::connect(server.address);
        let mut said: Vec<(u8, String)> = Vec::new();
        for _ in 0..count {
            self.texts += 1;
            let priority = if count == 1 { 9 } else { self.random.below(10) as u8 };
            said.push((priority, format!("{:-<bytes$}", format!("{} {} ", self.name, self.texts))));
        }
        let lines: String = said.iter().map(|(priority, text)| format!("/{priority} {text}\n")).collect();
        let mut writer = client.stream.try_clone().unwrap();
        thread::scope(|scope| {
            // The replies are read meanwhile: what nobody reads stops the server.
            scope.spawn(move || std::io::Write::write_all(&mut writer, lines.as_bytes()).unwrap());
            for _ in 0..answered {
                let reply = client.line();
                let words: Vec<u64> = reply
                    .strip_prefix("ACK ")
                    .unwrap()
                    .split(' ')
                    .map(|word| word.parse().unwrap())
                    .collect();
                let (priority, text) = said[words[0] as usize - 1].clone();
                let messages = self.acknowledged.entry(self.name.clone()).or_default();
                messages.insert(words[1], Said { text, priority });
            }
        });
        self.steps.push(format!("{answered} of {count} messages up to {} are acknowledged", self.texts));
        said.last().map(|(_, text)| text.clone()).unwrap_or_default()
    }

    // ---- The watcher -----------------------------------------------------------------------------------

    fn state(&self) -> String {
        format!("{}/state", self.directory.path())
    }

    fn start_watch(&mut self) {
        self.runs += 1;
        let output = format!("{}/output-{}", self.directory.path(), self.runs);
        let mut command = command();
        command.args(["watch", &self.address, "--since=all", "--state", &self.state()]);
        command.args(["--min", &self.min.to_string()]).stdin(Stdio::null());
        command.stdout(File::create(&output).unwrap()).stderr(Stdio::null());
        self.watch = Some((command.spawn().unwrap(), output));
        self.steps.push("the watcher starts".to_string());
    }

    /// Waits until that text is printed.
    fn wait_for(&mut self, text: &str) {
        let Some((_, output)) = self.watch.as_ref().filter(|_| !text.is_empty()) else { return };
        // Without a journal, what is said before it has joined is lost.
        if self.name.starts_with('J') {
            let line = format!(" {text}\n");
            eventually(&format!("{text:?} is printed"), || {
                fs::read_to_string(output).unwrap().contains(&line)
            });
            self.steps.push(format!("{text:?} is printed"));
        }
    }

    fn end_watch(&mut self, how: &str) -> Result<(), String> {
        let Some((mut child, output)) = self.watch.take() else { return Ok(()) };
        signal(child.id(), how);
        child.wait().unwrap();
        self.steps.push(format!("the watcher ends by {how}"));
        let text = fs::read_to_string(output).unwrap();
        // A kill may cut the last line: it does not count as printed then.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            self.account.take(line)?;
        }
        self.account.take_end(&self.saved(), how == "KILL")
    }

    /// How far each journal is read, by the state.
    fn saved(&self) -> BTreeMap<String, u64> {
        let state = fs::read_to_string(self.state()).unwrap_or_default();
        let mut saved = BTreeMap::new();
        for line in state.lines() {
            let Some((journal, id)) =
                line.strip_prefix("journal ").and_then(|rest| rest.split_once(" is read to "))
            else {
                continue;
            };
            let name = self.identities.iter().find(|(_, identity)| identity.to_string() == journal);
            saved.insert(name.expect("the journal is known").0.clone(), id.parse().unwrap());
        }
        saved
    }

    /// Compares what was printed with what was acknowledged.
    fn compare(&self) -> Result<(), String> {
        let mut missing = 0;
        for (name, messages) in &self.acknowledged {
            let printed = self.account.printed.get(name);
            for (id, Said { text, priority }) in messages {
                match printed.and_then(|printed| printed.get(id)) {
                    Some(other) if other != text => {
                        return Err(format!("{name}: message {id} is {text:?} and printed as {other:?}"));
                    }
                    None if name.starts_with('J') && *priority >= self.min => missing += 1,
                    _ => {}
                }
            }
        }
        // Where all priorities are printed, the account has compared each gap with what was told.
        if missing > self.account.lost {
            return Err(format!("{missing} are missing, and {} are told lost", self.account.lost));
        }
        Ok(())
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.watch {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What was printed, line by line.
#[derive(Default)]
struct Account {
    /// All priorities are printed, so every gap is told with its size.
    is_strict: bool,
    /// How far each journal is printed.
    read: BTreeMap<String, u64>,
    /// The losses that were told, and do not belong to a gap yet: a connection can end right behind them.
    losses: Vec<u64>,
    /// It was told that nobody knows how many are missing, and no message came since.
    is_unknown: bool,
    printed: BTreeMap<String, BTreeMap<u64, String>>,
    lost: u64,
    unknown: u64,
    again: u64,
}

impl Account {
    fn take(&mut self, line: &str) -> Result<(), String> {
        if line == "LOST ?" {
            self.is_unknown = true;
            self.unknown += 1;
        } else if let Some(count) = line.strip_prefix("LOST ") {
            let count = count.parse().map_err(|_| format!("not a line: {line:?}"))?;
            self.losses.push(count);
            self.lost += count;
        } else {
            let words: Vec<&str> = line.splitn(5, ' ').collect();
            let ["MSG", id, _, _, text] = words[..] else { return Err(format!("not a line: {line:?}")) };
            let id = id.parse().map_err(|_| format!("not a line: {line:?}"))?;
            self.take_message(id, text)?;
        }
        Ok(())
    }

    fn take_message(&mut self, id: u64, text: &str) -> Result<(), String> {
        let name = text.split(' ').next().unwrap_or_default().to_string();
        let is_first = self.printed.is_empty();
        let is_new = !self.printed.contains_key(&name);
        let read = self.read.get(&name).copied().unwrap_or(0);
        if id <= read {
            return Err(format!("{text:?} is printed twice or too late: {id} after {read}"));
        }
        if name.starts_with('J') {
            self.take_gap(id - read - 1)
                .map_err(|what| format!("{what}before {text:?}, after message {read}"))?;
        } else if !self.is_unknown && (is_new && !is_first || self.is_strict && id != read + 1) {
            return Err(format!("nothing is told as lost before {text:?}, after message {read}"));
        }
        self.is_unknown = false;
        self.read.insert(name.clone(), id);
        let before = self.printed.entry(name).or_default().insert(id, text.to_string());
        self.again += u64::from(before.is_some());
        match before {
            Some(before) if before != text => Err(format!("message {id} is {before:?} and {text:?}")),
            _ => Ok(()),
        }
    }

    /// So many messages of a journal are missing: it was told.
    fn take_gap(&mut self, gap: u64) -> Result<(), String> {
        if gap == 0 || !self.is_strict {
            return Ok(());
        }
        if self.losses.iter().sum::<u64>() == gap {
            self.losses.clear();
        } else if let Some(at) = self.losses.iter().position(|loss| *loss == gap) {
            self.losses.remove(at);
        } else {
            return Err(format!("{gap} are missing, and told are {:?}, ", self.losses));
        }
        Ok(())
    }

    /// The watcher ended, and its state says that.
    fn take_end(&mut self, saved: &BTreeMap<String, u64>, is_killed: bool) -> Result<(), String> {
        let names: BTreeSet<String> = self.read.keys().chain(saved.keys()).cloned().collect();
        for name in names.into_iter().filter(|name| name.starts_with('J')) {
            let read = self.read.get(&name).copied().unwrap_or(0);
            let saved = saved.get(&name).copied().unwrap_or(0);
            let is_told = saved == read || !self.losses.is_empty() || !self.is_strict;
            if saved > read && !is_told {
                return Err(format!("{name} is printed to {read}, and the state says {saved}"));
            }
            if saved < read && !is_killed {
                return Err(format!("{name} is printed to {read}, and the state says only {saved}"));
            }
            self.read.insert(name, saved);
        }
        self.losses.clear();
        Ok(())
    }
}
