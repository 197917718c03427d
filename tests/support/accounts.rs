//! A ledger checks what the server promises. Each line has exactly one closing reply, and the right one. IDs are
//! unique and increase. The sink has each acknowledged message exactly once, with the text that was sent. It has
//! nothing else, except messages of connections that broke before their ACK came.
//!
//! Every message has a unique text: the name of its account, the number of its line, and any further bytes. A
//! violation is an `Err` with one line that describes it, because some callers are not tests.

use super::{LIMIT, command};
use firstline::protocol::escape::Escaped;
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// A violation of a promise, in one line.
pub type Violation = String;

// ---- All accounts together, and the sink --------------------------------------------------------------------

/// What all accounts have sent and received, what handlers have done, and what the sink has.
#[derive(Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
    /// The least priority that handlers process.
    handled_from: Option<u8>,
}

#[derive(Default)]
struct Entries {
    accounts: HashMap<String, Entry>,
    last_recorded: u64,
    last_acknowledged: u64,
    tally: Tally,
}

/// What is known of one account.
#[derive(Default)]
struct Entry {
    /// Which of its lines the sink has.
    recorded: Lines,
    /// Which of its lines a handler has done.
    handled: Lines,
    /// Lines that the sink must not have: the server refused them, or they were never sent whole.
    forbidden: BTreeSet<u64>,
    /// Messages that so far are either acknowledged or recorded, but not both, by their IDs.
    unmatched: BTreeMap<u64, Event>,
    /// The connection broke, so some of its messages may have no ACK.
    is_broken: bool,
}

/// A message of which one of its two events is known.
#[derive(Debug)]
enum Event {
    Acknowledged(String),
    Recorded(String),
}

/// How much the ledger has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Messages that were acknowledged and recorded.
    pub matched: u64,
    /// Messages that were recorded, and whose connection broke before the ACK came.
    pub unacknowledged: u64,
    /// Recorded lines that belong to no account.
    pub without_account: u64,
    /// Messages that a handler has done.
    pub handled: u64,
}

impl Ledger {
    /// A ledger of a server whose handlers process messages of that priority and above.
    pub fn with_handlers(handled_from: Option<u8>) -> Self {
        Self { handled_from, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap()
    }

    /// Records that a handler has done the message `NAME LINE`. Call it before the handler sends `/done`. With
    /// `--attempts 1`, the server gives that message to no other handler.
    pub fn handle(&self, key: &str) -> Result<(), Violation> {
        let mut entries = self.lock();
        let Some((name, line)) = key.split_once(' ') else { return Ok(()) };
        let entry = entries.accounts.get_mut(name);
        let (Some(entry), Ok(line)) = (entry, line.parse()) else { return Ok(()) };
        if !entry.handled.insert(line) {
            return Err(format!("done twice by handlers: {key}"));
        }
        entries.tally.handled += 1;
        Ok(())
    }

    /// Whether a handler has done that line.
    fn is_handled(&self, name: &str, line: u64) -> bool {
        self.lock().accounts.get(name).is_some_and(|entry| entry.handled.has(line))
    }

    /// An ACK has come.
    fn acknowledge(&self, name: &str, id: u64, text: String) -> Result<(), Violation> {
        let mut entries = self.lock();
        entries.last_acknowledged = id.max(entries.last_acknowledged);
        let entry = entries.accounts.get_mut(name).expect("the account is open");
        match entry.unmatched.remove(&id) {
            Some(Event::Recorded(recorded)) if recorded == text => entries.tally.matched += 1,
            Some(event) => {
                return Err(format!("ID {id} is acknowledged for {text:?}, but there is {event:?}"));
            }
            None => drop(entry.unmatched.insert(id, Event::Acknowledged(text))),
        }
        Ok(())
    }

    fn forbid(&self, name: &str, line: u64) -> Result<(), Violation> {
        let mut entries = self.lock();
        let entry = entries.accounts.get_mut(name).expect("the account is open");
        entry.forbidden.insert(line);
        if entry.recorded.has(line) {
            Err(format!("{name}: line {line} was refused, but is recorded"))
        } else {
            Ok(())
        }
    }

    /// The connection has broken: some of its messages may have no ACK.
    fn mark_broken(&self, name: &str) {
        let mut entries = self.lock();
        let entry = entries.accounts.get_mut(name).expect("the account is open");
        entry.is_broken = true;
        let before = entry.unmatched.len();
        entry.unmatched.retain(|_, event| matches!(event, Event::Acknowledged(_)));
        let unacknowledged = before - entry.unmatched.len();
        entries.tally.unacknowledged += unacknowledged as u64;
    }

    /// The sink has this message. Messages must be recorded in the order of the sink.
    pub fn record(&self, id: u64, text: &str) -> Result<(), Violation> {
        let mut entries = self.lock();
        let Entries { accounts, last_recorded, tally, .. } = &mut *entries;
        if id <= *last_recorded {
            return Err(format!("ID {id} is recorded after {last_recorded}"));
        }
        *last_recorded = id;
        let mut words = text.split(' ');
        let entry = accounts.get_mut(words.next().unwrap_or(""));
        let (Some(entry), Some(Ok(line))) = (entry, words.next().map(str::parse)) else {
            tally.without_account += 1;
            return Ok(());
        };
        if !entry.recorded.insert(line) || entry.forbidden.contains(&line) {
            return Err(format!("recorded twice, or though it was refused: ID {id}, {text:?}"));
        }
        match entry.unmatched.remove(&id) {
            Some(Event::Acknowledged(said)) if said == text => tally.matched += 1,
            Some(event) => return Err(format!("ID {id} is recorded for {text:?}, but there is {event:?}")),
            None if entry.is_broken => tally.unacknowledged += 1,
            None => drop(entry.unmatched.insert(id, Event::Recorded(text.to_string()))),
        }
        Ok(())
    }

    /// Takes a `MSG` line of the sink.
    pub fn record_line(&self, line: &str) -> Result<(), Violation> {
        match line.splitn(5, ' ').collect::<Vec<_>>()[..] {
            ["MSG", id, _, _, text] => self.record(id.parse().map_err(|_| line.to_string())?, text),
            _ => Err(format!("not a message in the sink: {line:?}")),
        }
    }

    /// Records all messages of a journal, which must be sound.
    pub fn record_journal(&self, directory: &Path) -> Result<(), Violation> {
        for line in journal(directory, &[])?.lines() {
            self.record_line(line.split_once(' ').map_or("", |(_time, line)| line))?;
        }
        journal(directory, &["--check"]).map(drop)
    }

    /// The highest ID that was acknowledged: every sink has it.
    pub fn last_acknowledged(&self) -> u64 {
        self.lock().last_acknowledged
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// Checks that no message is left unmatched. All connections and the sink must have ended.
    pub fn close(&self) -> Result<Tally, Violation> {
        let entries = self.lock();
        match entries.accounts.values().find_map(|entry| entry.unmatched.first_key_value()) {
            None => Ok(entries.tally),
            Some((id, Event::Acknowledged(text))) => {
                Err(format!("ID {id} is acknowledged and not recorded, or acknowledged twice: {text:?}"))
            }
            Some((id, Event::Recorded(text))) => {
                Err(format!("ID {id} is recorded and was never acknowledged: {text:?}"))
            }
        }
    }
}

/// A set of lines of an account, a bit each.
#[derive(Default)]
struct Lines(Vec<u64>);

impl Lines {
    fn has(&self, line: u64) -> bool {
        self.0.get(line as usize / 64).is_some_and(|word| word >> (line % 64) & 1 == 1)
    }

    /// Returns false if it had the line before.
    fn insert(&mut self, line: u64) -> bool {
        let (word, had) = (line as usize / 64, self.has(line));
        self.0.resize(self.0.len().max(word + 1), 0);
        self.0[word] |= 1 << (line % 64);
        !had
    }
}

/// The output of `firstline journal`, which must succeed.
pub fn journal(directory: &Path, args: &[&str]) -> Result<String, Violation> {
    let mut reading = command();
    reading.arg("journal").arg(directory).args(args);
    let output = reading.output().map_err(|error| format!("firstline journal: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("firstline journal {args:?}: {}{said}", String::from_utf8_lossy(&output.stderr)))
    }
}

// ---- One connection -----------------------------------------------------------------------------------------

/// The reply that a line must get.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    /// An ACK, and that text in the sink; or a NAK for any reason. The ACK has the text of a handler exactly if
    /// `is_handled`.
    Ack { text: String, is_handled: bool },
    /// `OK`, or `ERR not-yours` if the time of the task is over.
    Report,
    /// A reply that starts with that text.
    Exactly(String),
    /// Any closing reply: the line is random.
    Anything,
}

/// What a line from the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A line is acknowledged, with that ID.
    Acknowledged(u64),
    /// A message or report is refused for that reason, though it is valid in itself.
    Refused(String),
    /// A line is closed in another way.
    Closed,
    /// Something that closes no line.
    Other(String),
}

/// What one connection has sent and received.
pub struct Account {
    name: String,
    ledger: Arc<Ledger>,
    lines: u64,
    /// Lines without their closing reply.
    open: BTreeMap<u64, Expected>,
    last_id: u64,
}

impl Account {
    /// Opens an account; the name must be new and contain no spaces.
    pub fn open(ledger: &Arc<Ledger>, name: impl Into<String>) -> Self {
        let name = name.into();
        let before = ledger.lock().accounts.insert(name.clone(), Entry::default());
        assert!(before.is_none(), "two accounts {name}");
        Self { name, ledger: Arc::clone(ledger), lines: 0, open: BTreeMap::new(), last_id: 0 }
    }

    /// A message, with its LF.
    pub fn message(&mut self, priority: u8) -> Vec<u8> {
        self.message_with(priority, b"")
    }

    /// A message that ends in those bytes, of which the last must not be a CR.
    pub fn message_with(&mut self, priority: u8, tail: &[u8]) -> Vec<u8> {
        self.lines += 1;
        let mut text = format!("{} {}", self.name, self.lines).into_bytes();
        if !tail.is_empty() {
            text.push(b' ');
            text.extend(tail);
        }
        let is_handled = self.ledger.handled_from.is_some_and(|from| priority >= from);
        self.open.insert(self.lines, Expected::Ack { text: Escaped(&text).to_string(), is_handled });
        [format!("/{priority} ").as_bytes(), &text, b"\n"].concat()
    }

    /// `count` messages of all priorities.
    pub fn messages(&mut self, count: usize) -> Vec<u8> {
        (0..count).flat_map(|number| self.message((number % 10) as u8)).collect()
    }

    /// A message without its end, which never follows: the sink must never have it.
    pub fn half_a_message(&mut self) -> Vec<u8> {
        let mut half = self.message_with(9, b"half a li");
        half.pop();
        self.open.remove(&self.lines);
        self.ledger.forbid(&self.name, self.lines).expect("the line is not recorded");
        half
    }

    /// A line whose closing reply has that word; after its number the reply starts with `rest`.
    pub fn line(&mut self, line: &[u8], word: &str, rest: &str) -> Vec<u8> {
        self.lines += 1;
        self.open
            .insert(self.lines, Expected::Exactly(format!("{word} {} {rest}", self.lines).trim_end().into()));
        [line, b"\n"].concat()
    }

    /// A command that succeeds.
    pub fn command(&mut self, line: &str) -> Vec<u8> {
        self.line(line.as_bytes(), "OK", "")
    }

    /// A handler's report on a task.
    pub fn report(&mut self, line: &[u8]) -> Vec<u8> {
        self.lines += 1;
        self.open.insert(self.lines, Expected::Report);
        [line, b"\n"].concat()
    }

    /// A line that may get any closing reply.
    pub fn anything(&mut self, line: &[u8]) -> Vec<u8> {
        self.lines += 1;
        self.open.insert(self.lines, Expected::Anything);
        [line, b"\n"].concat()
    }

    /// A line that gets no reply.
    pub fn blank(&mut self) -> Vec<u8> {
        self.lines += 1;
        b"\n".to_vec()
    }

    /// Takes a line from the server.
    pub fn take(&mut self, reply: &str) -> Result<Reply, Violation> {
        let mut words = reply.split(' ');
        let (word, number) = (words.next().unwrap_or(""), words.next().map(str::parse::<u64>));
        let Some(Ok(number @ 1..)) = number else { return Ok(Reply::Other(reply.to_string())) };
        if !["ACK", "NAK", "OK", "ERR"].contains(&word) {
            return Ok(Reply::Other(reply.to_string()));
        }
        let rest = words.next().unwrap_or("");
        let Some(expected) = self.open.remove(&number) else {
            return Err(format!("{}: no line waits for {reply:?}", self.name));
        };
        match (expected, word) {
            (Expected::Ack { text, is_handled }, "ACK") => {
                self.check_handled(reply, number, is_handled)?;
                self.acknowledge(reply, rest, text)
            }
            (Expected::Anything, "ACK") => self.check_id_rises(reply, rest).map(Reply::Acknowledged),
            (Expected::Report, "OK") => Ok(Reply::Closed),
            (Expected::Report, "ERR") if rest == "not-yours" => Ok(Reply::Refused(rest.to_string())),
            (Expected::Ack { .. }, "NAK") => {
                self.ledger.forbid(&self.name, number)?;
                Ok(Reply::Refused(rest.to_string()))
            }
            (Expected::Anything, _) => Ok(Reply::Closed),
            (Expected::Exactly(wanted), _) if reply.starts_with(&wanted) => Ok(Reply::Closed),
            (expected, _) => Err(format!("{}: {reply:?}, in place of {expected:?}", self.name)),
        }
    }

    /// If handlers process the message, its ACK must have the text of a handler that has done it. Otherwise the ACK must
    /// have no text.
    fn check_handled(&self, reply: &str, line: u64, is_handled: bool) -> Result<(), Violation> {
        let text = reply.split_once(" = ").map(|(_, text)| text);
        let is_right = match text {
            Some(text) => {
                let key = format!("{} {line}", self.name);
                let is_own =
                    text.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
                is_handled && is_own && self.ledger.is_handled(&self.name, line)
            }
            None => !is_handled,
        };
        if is_right { Ok(()) } else { Err(format!("{}: {reply:?} is not what a handler did", self.name)) }
    }

    fn acknowledge(&mut self, reply: &str, id: &str, text: String) -> Result<Reply, Violation> {
        let id = self.check_id_rises(reply, id)?;
        self.ledger.acknowledge(&self.name, id, text)?;
        Ok(Reply::Acknowledged(id))
    }

    fn check_id_rises(&mut self, reply: &str, id: &str) -> Result<u64, Violation> {
        match id.parse() {
            Ok(id) if id > self.last_id => {
                self.last_id = id;
                Ok(id)
            }
            _ => Err(format!("{}: {reply:?} after ID {}: they must rise", self.name, self.last_id)),
        }
    }

    /// How many lines still wait for their closing reply.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    /// The connection has broken: the replies that are missing will never come.
    pub fn mark_broken(&mut self) {
        self.open.clear();
        self.ledger.mark_broken(&self.name);
    }

    /// The connection has ended in order: checks that no line is without its reply.
    pub fn close(&self) -> Result<(), Violation> {
        match self.open.first_key_value() {
            Some((line, expected)) => {
                let count = self.open.len();
                Err(format!(
                    "{}: ended with {count} lines unanswered, line {line} ({expected:?}) first",
                    self.name
                ))
            }
            None => Ok(()),
        }
    }
}

/// A connection with its account.
pub struct Speaker {
    pub stream: TcpStream,
    pub account: Account,
    reader: BufReader<TcpStream>,
}

impl Speaker {
    /// Takes a new connection and its account.
    pub fn new(stream: TcpStream, account: Account) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, account, reader }
    }

    /// Sends bytes that the account returned.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.stream.write_all(bytes).map_err(|error| self.broken(error))
    }

    /// Sends a message of that priority.
    pub fn say(&mut self, priority: u8) -> Result<(), Violation> {
        let message = self.account.message(priority);
        self.send(&message)
    }

    /// Sends messages of all priorities in one piece.
    pub fn say_many(&mut self, count: usize) -> Result<(), Violation> {
        let messages = self.account.messages(count);
        self.send(&messages)
    }

    /// Sends a command that succeeds.
    pub fn command(&mut self, line: &str) -> Result<(), Violation> {
        let command = self.account.command(line);
        self.send(&command)
    }

    /// The next line from the server; `None` at the end of the connection.
    pub fn next(&mut self) -> Result<Option<Reply>, Violation> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => Ok(None),
            Ok(_) if line.pop() == Some(b'\n') => {
                let line = String::from_utf8(line)
                    .map_err(|_| "the server sent bytes that are not UTF-8".to_string())?;
                self.account.take(&line).map(Some)
            }
            Ok(_) => Err(format!("{}: the last line is cut", self.account.name)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, error: std::io::Error) -> Violation {
        let waiting = self.account.waiting();
        let what = match error.kind() {
            ErrorKind::WouldBlock => format!("nothing moved for {} s", LIMIT.as_secs()),
            _ => error.to_string(),
        };
        format!("{}: {what}, while {waiting} lines waited for their reply", self.account.name)
    }

    /// Reads until every line has its closing reply; returns the lines that close none.
    pub fn await_replies(&mut self) -> Result<Vec<String>, Violation> {
        let mut others = Vec::new();
        while self.account.waiting() > 0 {
            match self.next()? {
                Some(Reply::Other(line)) => others.push(line),
                Some(_) => {}
                None => self.account.close()?,
            }
        }
        Ok(others)
    }

    /// Sends messages of all priorities, and reads until each has its reply.
    pub fn say_and_await_replies(&mut self, count: usize) -> Result<(), Violation> {
        self.say_many(count)?;
        self.await_replies().map(drop)
    }

    /// Closes the sending half.
    pub fn end_sending(&self) {
        // The server may have closed already; then the next read says so.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads up to the end, by which every line must have its reply; returns the lines that close none.
    pub fn finish(mut self) -> Result<Vec<String>, Violation> {
        let mut others = Vec::new();
        while let Some(reply) = self.next()? {
            if let Reply::Other(line) = reply {
                others.push(line);
            }
        }
        self.account.close()?;
        Ok(others)
    }

    /// Closes the connection with a reset.
    pub fn reset(mut self) {
        self.account.mark_broken();
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, sockopt::Linger, &at_once).unwrap();
    }

    /// Closes the connection without `/quit`, and without reading what still comes.
    pub fn vanish(mut self) {
        self.account.mark_broken();
    }
}

// ---- A subscriber -------------------------------------------------------------------------------------------

/// What the server sent to a subscriber of all priorities, or to a reader of the history: every gap is
/// announced, and nothing is repeated.
#[derive(Default)]
pub struct Received {
    /// The last message; `None` before the first, which may be any.
    last: Option<u64>,
    /// How many messages after it were announced as lost.
    lost: u64,
    pub messages: u64,
    pub lost_total: u64,
}

impl Received {
    /// Expects the message with the ID after `id` next.
    pub fn since(id: u64) -> Self {
        Self { last: Some(id), ..Self::default() }
    }

    /// Takes a line that closes no other line.
    pub fn take(&mut self, line: &str) -> Result<(), Violation> {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, ..] => self.message(id.parse().map_err(|_| line.to_string())?, line),
            ["LOST", count] => {
                let count: u64 = count.parse().map_err(|_| line.to_string())?;
                self.lost += count;
                self.lost_total += count;
                Ok(())
            }
            _ => Err(format!("neither MSG nor LOST: {line:?}")),
        }
    }

    fn message(&mut self, id: u64, line: &str) -> Result<(), Violation> {
        let (last, lost) = (self.last.replace(id), std::mem::take(&mut self.lost));
        self.messages += 1;
        match last {
            Some(last) if last + lost + 1 != id => Err(format!("after ID {last} and LOST {lost}: {line:?}")),
            _ => Ok(()),
        }
    }
}
