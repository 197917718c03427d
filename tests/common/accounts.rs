//! The books of what is promised: each line has exactly one closing reply and the right one, IDs are unique and rise, and
//! what was acknowledged is in the sink exactly once, as it was said; nothing else is, but for messages of connections that
//! died before their ACK came.
//!
//! Every message has a text of its own: the name of its account, the number of its line, and whatever else. What is wrong is
//! an `Err` with one line that says it, for some use this outside of tests too.

use super::{LIMIT, command};
use firstline::protocol::escape::Escaped;
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What is wrong, in one line.
pub type Wrong = String;

// ---- All accounts together, and the sink ----------------------------------------------------------------------

/// What all have said, what they were told, and what the sink has.
#[derive(Default)]
pub struct Books(Mutex<Entries>);

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
    /// Which of its lines the sink has, a bit each.
    recorded: Vec<u64>,
    /// Lines that the sink must not have: they were refused, or never sent whole.
    never: BTreeSet<u64>,
    /// Messages that were only acknowledged or only recorded so far, by their IDs.
    halves: BTreeMap<u64, Half>,
    /// Its connection died, so some of its messages may have no ACK.
    is_torn: bool,
}

/// A message that one side has told of.
#[derive(Debug)]
enum Half {
    Acknowledged(String),
    Recorded(String),
}

/// How much the books have seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Messages that were acknowledged and recorded.
    pub whole: u64,
    /// Messages that were recorded, and whose connection died before the ACK came.
    pub unheard: u64,
    /// Recorded lines that nobody with an account has said.
    pub foreign: u64,
}

impl Books {
    /// An ACK has come.
    fn acknowledge(&self, name: &str, id: u64, text: String) -> Result<(), Wrong> {
        let mut entries = self.0.lock().unwrap();
        entries.last_acknowledged = id.max(entries.last_acknowledged);
        let entry = entries.accounts.get_mut(name).expect("the account is open");
        match entry.halves.remove(&id) {
            Some(Half::Recorded(recorded)) if recorded == text => entries.tally.whole += 1,
            Some(half) => return Err(format!("ID {id} is acknowledged for {text:?}, but there is {half:?}")),
            None => drop(entry.halves.insert(id, Half::Acknowledged(text))),
        }
        Ok(())
    }

    fn never(&self, name: &str, line: u64) -> Result<(), Wrong> {
        let mut entries = self.0.lock().unwrap();
        let entry = entries.accounts.get_mut(name).expect("the account is open");
        entry.never.insert(line);
        if entry.has(line) {
            Err(format!("{name}: line {line} was refused, but is recorded"))
        } else {
            Ok(())
        }
    }

    /// The connection has died: some of its messages may have no ACK.
    fn tear(&self, name: &str) {
        let mut entries = self.0.lock().unwrap();
        let entry = entries.accounts.get_mut(name).expect("the account is open");
        entry.is_torn = true;
        let before = entry.halves.len();
        entry.halves.retain(|_, half| matches!(half, Half::Acknowledged(_)));
        let unheard = before - entry.halves.len();
        entries.tally.unheard += unheard as u64;
    }

    /// The sink has this message. All that it has is to be told in its order.
    pub fn record(&self, id: u64, text: &str) -> Result<(), Wrong> {
        let mut entries = self.0.lock().unwrap();
        let Entries { accounts, last_recorded, tally, .. } = &mut *entries;
        if id <= *last_recorded {
            return Err(format!("ID {id} is recorded after {last_recorded}"));
        }
        *last_recorded = id;
        let mut words = text.split(' ');
        let entry = accounts.get_mut(words.next().unwrap_or(""));
        let (Some(entry), Some(Ok(line))) = (entry, words.next().map(str::parse)) else {
            tally.foreign += 1;
            return Ok(());
        };
        if !entry.note(line) || entry.never.contains(&line) {
            return Err(format!("recorded twice, or though it was refused: ID {id}, {text:?}"));
        }
        match entry.halves.remove(&id) {
            Some(Half::Acknowledged(said)) if said == text => tally.whole += 1,
            Some(half) => return Err(format!("ID {id} is recorded for {text:?}, but there is {half:?}")),
            None if entry.is_torn => tally.unheard += 1,
            None => drop(entry.halves.insert(id, Half::Recorded(text.to_string()))),
        }
        Ok(())
    }

    /// Takes a `MSG` line of the sink.
    pub fn record_line(&self, line: &str) -> Result<(), Wrong> {
        match line.splitn(5, ' ').collect::<Vec<_>>()[..] {
            ["MSG", id, _, _, text] => self.record(id.parse().map_err(|_| line.to_string())?, text),
            _ => Err(format!("not a message in the sink: {line:?}")),
        }
    }

    /// Takes all that a journal has, which must be sound.
    pub fn record_journal(&self, directory: &Path) -> Result<(), Wrong> {
        for line in journal(directory, &[])?.lines() {
            self.record_line(line.split_once(' ').map_or("", |(_time, line)| line))?;
        }
        journal(directory, &["--check"]).map(drop)
    }

    /// The highest ID that was acknowledged: every sink has it.
    pub fn last_acknowledged(&self) -> u64 {
        self.0.lock().unwrap().last_acknowledged
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        self.0.lock().unwrap().tally
    }

    /// Checks that nothing is left over, once all connections and the sink have ended.
    pub fn close(&self) -> Result<Tally, Wrong> {
        let entries = self.0.lock().unwrap();
        match entries.accounts.values().find_map(|entry| entry.halves.first_key_value()) {
            None => Ok(entries.tally),
            Some((id, Half::Acknowledged(text))) => {
                Err(format!("ID {id} is acknowledged and not recorded, or acknowledged twice: {text:?}"))
            }
            Some((id, Half::Recorded(text))) => {
                Err(format!("ID {id} is recorded and was never acknowledged: {text:?}"))
            }
        }
    }
}

impl Entry {
    fn has(&self, line: u64) -> bool {
        self.recorded.get(line as usize / 64).is_some_and(|word| word >> (line % 64) & 1 == 1)
    }

    /// Notes that the sink has that line; false: it had it before.
    fn note(&mut self, line: u64) -> bool {
        let (word, had) = (line as usize / 64, self.has(line));
        self.recorded.resize(self.recorded.len().max(word + 1), 0);
        self.recorded[word] |= 1 << (line % 64);
        !had
    }
}

/// What `firstline journal` says, which must succeed.
pub fn journal(directory: &Path, args: &[&str]) -> Result<String, Wrong> {
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

// ---- One connection -------------------------------------------------------------------------------------------

/// What a line is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wants {
    /// An ACK, and that text in the sink. Or a NAK of a server that cannot take it now.
    Ack(String),
    /// That, up to the text behind it.
    Exactly(String),
    /// Any closing reply: the line was made up at random.
    Anything,
}

/// What a line of the server was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A line is acknowledged, with that ID.
    Acknowledged(u64),
    /// A message is refused for that reason, though nothing is wrong with it.
    Refused(String),
    /// A line is closed otherwise.
    Closed,
    /// Something that closes no line.
    Other(String),
}

/// What one connection has sent and was told.
pub struct Account {
    name: String,
    books: Arc<Books>,
    lines: u64,
    /// Lines without their closing reply.
    open: BTreeMap<u64, Wants>,
    last_id: u64,
}

impl Account {
    /// Opens one; the name must be new, and without spaces.
    pub fn open(books: &Arc<Books>, name: impl Into<String>) -> Self {
        let name = name.into();
        let before = books.0.lock().unwrap().accounts.insert(name.clone(), Entry::default());
        assert!(before.is_none(), "two accounts {name}");
        Self { name, books: Arc::clone(books), lines: 0, open: BTreeMap::new(), last_id: 0 }
    }

    /// A message, with its LF.
    pub fn message(&mut self, priority: u8) -> Vec<u8> {
        self.message_with(priority, b"")
    }

    /// A message that ends in those bytes; they must not end in a CR.
    pub fn message_with(&mut self, priority: u8, tail: &[u8]) -> Vec<u8> {
        self.lines += 1;
        let mut text = format!("{} {}", self.name, self.lines).into_bytes();
        if !tail.is_empty() {
            text.push(b' ');
            text.extend(tail);
        }
        self.open.insert(self.lines, Wants::Ack(Escaped(&text).to_string()));
        [format!("/{priority} ").as_bytes(), &text, b"\n"].concat()
    }

    /// So many messages of all priorities.
    pub fn messages(&mut self, count: usize) -> Vec<u8> {
        (0..count).flat_map(|number| self.message((number % 10) as u8)).collect()
    }

    /// A message that will not be sent to its end: the sink must never have it.
    pub fn half_a_message(&mut self) -> Vec<u8> {
        let mut half = self.message_with(9, b"half a li");
        half.pop();
        self.open.remove(&self.lines);
        self.books.never(&self.name, self.lines).expect("it was not sent yet");
        half
    }

    /// A line that is closed with that word; `rest` is what comes after the number, or how it begins.
    pub fn line(&mut self, line: &[u8], word: &str, rest: &str) -> Vec<u8> {
        self.lines += 1;
        self.open
            .insert(self.lines, Wants::Exactly(format!("{word} {} {rest}", self.lines).trim_end().into()));
        [line, b"\n"].concat()
    }

    /// A command that is done.
    pub fn command(&mut self, line: &str) -> Vec<u8> {
        self.line(line.as_bytes(), "OK", "")
    }

    /// A line that may get any closing reply.
    pub fn anything(&mut self, line: &[u8]) -> Vec<u8> {
        self.lines += 1;
        self.open.insert(self.lines, Wants::Anything);
        [line, b"\n"].concat()
    }

    /// A line that gets no reply.
    pub fn blank(&mut self) -> Vec<u8> {
        self.lines += 1;
        b"\n".to_vec()
    }

    /// Takes a line of the server.
    pub fn take(&mut self, reply: &str) -> Result<Reply, Wrong> {
        let mut words = reply.split(' ');
        let (word, number) = (words.next().unwrap_or(""), words.next().map(str::parse::<u64>));
        let Some(Ok(number @ 1..)) = number else { return Ok(Reply::Other(reply.to_string())) };
        if !["ACK", "NAK", "OK", "ERR"].contains(&word) {
            return Ok(Reply::Other(reply.to_string()));
        }
        let rest = words.next().unwrap_or("");
        let Some(wants) = self.open.remove(&number) else {
            return Err(format!("{}: no line waits for {reply:?}", self.name));
        };
        match (wants, word) {
            (Wants::Ack(text), "ACK") => self.acknowledge(reply, rest, text),
            (Wants::Anything, "ACK") => self.rise(reply, rest).map(Reply::Acknowledged),
            (Wants::Ack(_), "NAK") => {
                self.books.never(&self.name, number)?;
                Ok(Reply::Refused(rest.to_string()))
            }
            (Wants::Anything, _) => Ok(Reply::Closed),
            (Wants::Exactly(wanted), _) if reply.starts_with(&wanted) => Ok(Reply::Closed),
            (wants, _) => Err(format!("{}: {reply:?}, where {wants:?} was to come", self.name)),
        }
    }

    fn acknowledge(&mut self, reply: &str, id: &str, text: String) -> Result<Reply, Wrong> {
        let id = self.rise(reply, id)?;
        self.books.acknowledge(&self.name, id, text)?;
        Ok(Reply::Acknowledged(id))
    }

    fn rise(&mut self, reply: &str, id: &str) -> Result<u64, Wrong> {
        match id.parse() {
            Ok(id) if id > self.last_id => {
                self.last_id = id;
                Ok(id)
            }
            _ => Err(format!("{}: {reply:?} after ID {}: they must rise", self.name, self.last_id)),
        }
    }

    /// How many lines wait for their closing reply.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    /// The connection has died: what waits will never be told.
    pub fn tear(&mut self) {
        self.open.clear();
        self.books.tear(&self.name);
    }

    /// The connection has ended in order.
    pub fn close(&self) -> Result<(), Wrong> {
        match self.open.first_key_value() {
            Some((line, wants)) => {
                let count = self.open.len();
                Err(format!(
                    "{}: ended with {count} lines unanswered, line {line} ({wants:?}) first",
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
    /// Keeps account of a connection that is new.
    pub fn new(stream: TcpStream, account: Account) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, account, reader }
    }

    /// Sends bytes that the account has given.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.stream.write_all(bytes).map_err(|error| self.broken(error))
    }

    /// Sends a message of that priority.
    pub fn say(&mut self, priority: u8) -> Result<(), Wrong> {
        let message = self.account.message(priority);
        self.send(&message)
    }

    /// Sends messages of all priorities in one piece.
    pub fn say_many(&mut self, count: usize) -> Result<(), Wrong> {
        let messages = self.account.messages(count);
        self.send(&messages)
    }

    /// Sends a command that is done.
    pub fn command(&mut self, line: &str) -> Result<(), Wrong> {
        let command = self.account.command(line);
        self.send(&command)
    }

    /// The next line of the server; none at the end.
    pub fn next(&mut self) -> Result<Option<Reply>, Wrong> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => Ok(None),
            Ok(_) if line.pop() == Some(b'\n') => {
                let line =
                    String::from_utf8(line).map_err(|_| "the server sent what is no UTF-8".to_string())?;
                self.account.take(&line).map(Some)
            }
            Ok(_) => Err(format!("{}: the last line is cut", self.account.name)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, error: std::io::Error) -> Wrong {
        let waiting = self.account.waiting();
        let what = match error.kind() {
            ErrorKind::WouldBlock => format!("nothing moved for {} s", LIMIT.as_secs()),
            _ => error.to_string(),
        };
        format!("{}: {what}, while {waiting} lines waited for their reply", self.account.name)
    }

    /// Reads until every line has its closing reply; returns what closes none.
    pub fn settle(&mut self) -> Result<Vec<String>, Wrong> {
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
    pub fn say_and_settle(&mut self, count: usize) -> Result<(), Wrong> {
        self.say_many(count)?;
        self.settle().map(drop)
    }

    /// Says that nothing more will be sent.
    pub fn end_sending(&self) {
        // The server may have closed already; then the next read tells.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads up to the end, by when every line must have its reply; returns what closes none.
    pub fn finish(mut self) -> Result<Vec<String>, Wrong> {
        let mut others = Vec::new();
        while let Some(reply) = self.next()? {
            if let Reply::Other(line) = reply {
                others.push(line);
            }
        }
        self.account.close()?;
        Ok(others)
    }

    /// Ends it so that the server gets a reset.
    pub fn reset(mut self) {
        self.account.tear();
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, sockopt::Linger, &at_once).unwrap();
    }

    /// Goes away without a word, and without reading what is still to come.
    pub fn vanish(mut self) {
        self.account.tear();
    }
}

// ---- One who joined -------------------------------------------------------------------------------------------

/// What one who joined for everything, or asked for the history, has been sent: no gap that was not told, and no repetition.
#[derive(Default)]
pub struct Heard {
    /// The last message; none: there was none yet, and the first may be any.
    last: Option<u64>,
    /// So many after it are lost, and that was told.
    lost: u64,
    pub messages: u64,
    pub lost_in_all: u64,
}

impl Heard {
    /// The next message is to be the one after that.
    pub fn since(id: u64) -> Self {
        Self { last: Some(id), ..Self::default() }
    }

    /// Takes a line that closes none.
    pub fn take(&mut self, line: &str) -> Result<(), Wrong> {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, ..] => self.message(id.parse().map_err(|_| line.to_string())?, line),
            ["LOST", count] => {
                let count: u64 = count.parse().map_err(|_| line.to_string())?;
                self.lost += count;
                self.lost_in_all += count;
                Ok(())
            }
            _ => Err(format!("neither MSG nor LOST: {line:?}")),
        }
    }

    fn message(&mut self, id: u64, line: &str) -> Result<(), Wrong> {
        let (last, lost) = (self.last.replace(id), std::mem::take(&mut self.lost));
        self.messages += 1;
        match last {
            Some(last) if last + lost + 1 != id => Err(format!("after ID {last} and LOST {lost}: {line:?}")),
            _ => Ok(()),
        }
    }
}
