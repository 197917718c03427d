//! What the protocol promises to a client, checked against everything that the client has sent and received.
//!
//! A *witness* subscribes before every other client, and always reads in time. So it receives every message of the
//! others in the order of processing. The check compares the replies to another client with the messages that the
//! witness has received.

use super::protocol::{escaped, is_harmless, lines_of, request_of};
use firstline::limits::{CUT_MARK, LINE_BYTES_MAX};
use firstline::protocol::Priority;
use firstline::protocol::command::{Command, HELP, Request};
use firstline::protocol::reply::Nak;
use firstline::protocol::task_command::TaskCommand;
use std::collections::{BTreeMap, BTreeSet};

/// One line from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Whether the priority was lowered, and the text of its handler.
    Ack(u64, u64, bool, Option<String>),
    /// With the text of its handler.
    Nak(u64, String, Option<String>),
    /// The number of a task, its priority, its sender, and its text, escaped.
    Task(u64, Priority, String, String),
    /// With the text after the number.
    Ok(u64, String),
    Err(u64, String),
    Msg(Message),
    Lost(u64),
    /// A line of a longer answer.
    Item(String),
    Bye(String),
}

/// A `MSG` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u64,
    pub priority: Priority,
    pub from: String,
    /// Escaped.
    pub text: String,
}

/// A number in the form in which the server writes it.
fn number(word: &str) -> u64 {
    let number = word.parse().unwrap_or_else(|_| panic!("no number: {word:?}"));
    assert_eq!(u64::to_string(&number), word);
    number
}

/// The priority in the form `pP`.
fn priority_of(word: &str) -> Priority {
    let digit = word.strip_prefix('p').expect("a priority is p and a digit").as_bytes();
    assert_eq!(digit.len(), 1);
    Priority::from_digit(digit[0]).expect("a digit")
}

impl Reply {
    /// Parses a line; a line that is not in the protocol is a forgery.
    fn of(line: &[u8]) -> Self {
        let line = str::from_utf8(line).expect("the server sends UTF-8");
        assert!(line.chars().all(is_harmless), "{line:?}");
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        match words[..] {
            ["ACK", n, id] => Self::Ack(number(n), number(id), false, None),
            ["ACK", n, id, "lowered"] => Self::Ack(number(n), number(id), true, None),
            ["ACK", n, id, "=", text] => Self::Ack(number(n), number(id), false, Some(text.to_string())),
            ["ACK", n, id, "lowered", text] => {
                let text = text.strip_prefix("= ").expect("a text follows an equals sign");
                Self::Ack(number(n), number(id), true, Some(text.to_string()))
            }
            ["NAK", n, reason] => Self::Nak(number(n), reason.to_string(), None),
            ["NAK", n, reason, "=", text] => Self::Nak(number(n), reason.to_string(), Some(text.to_string())),
            ["TASK", k, priority, left_ms, rest] => {
                number(left_ms);
                let (from, text) = rest.split_once(' ').expect("a text follows the sender");
                Self::Task(number(k), priority_of(priority), from.to_string(), text.to_string())
            }
            ["OK", n] => Self::Ok(number(n), String::new()),
            ["OK", n, text] => Self::Ok(number(n), text.to_string()),
            ["ERR", n, reason, ..] => Self::Err(number(n), reason.to_string()),
            ["LOST", count] => Self::Lost(number(count)),
            ["BYE", reason @ ("quit" | "shutting-down")] => Self::Bye(reason.to_string()),
            ["WHO" | "STAT" | "HELP", ..] => Self::Item(line.to_string()),
            ["MSG", id, priority, from, text] => Self::Msg(Message {
                id: number(id),
                priority: priority_of(priority),
                from: from.to_string(),
                text: text.to_string(),
            }),
            _ => panic!("not a line of the server: {line:?}"),
        }
    }
}

/// Reasons other than BYE for which the server may close an established connection.
const FAREWELLS: [&str; 13] = [
    "idle",
    "too-slow",
    "wrong-token",
    "not-authenticated",
    "token-withdrawn",
    "line-timeout",
    "not-http",
    "not-tls",
    "not-ssh",
    "not-mqtt",
    "not-redis",
    "not-proxy",
    "not-utf-16",
];

/// How far a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has not ended.
    No,
    /// The farewell has come, after which no line may follow.
    Farewell,
    /// The server closed it.
    Closed,
}

/// All messages that were processed, as the witness got them.
pub struct Witness {
    messages: BTreeMap<u64, Message>,
    /// The witness did not receive everything to the end.
    pub is_gone: bool,
    /// A client took a name that another one had before, so a name does not identify a client.
    pub names_are_shared: bool,
    /// The least priority of the messages that handlers process.
    pub handled: Option<Priority>,
    /// What handlers said to the senders, escaped.
    pub said: BTreeSet<String>,
}

impl Witness {
    /// No witness: nothing can be compared.
    pub fn nobody() -> Self {
        Self {
            messages: BTreeMap::new(),
            is_gone: true,
            names_are_shared: false,
            handled: None,
            said: BTreeSet::new(),
        }
    }

    /// A witness that only subscribed, and that receives the messages after `after`.
    pub fn new(transcript: &Transcript, after: Option<u64>) -> Self {
        let (mut messages, mut last, mut is_gone) = (BTreeMap::new(), after, false);
        for (reply, _) in &transcript.replies {
            match reply {
                Reply::Msg(message) => {
                    assert!(last.is_none_or(|last| message.id == last + 1), "numbered in a row: {message:?}");
                    last = Some(message.id);
                    messages.insert(message.id, message.clone());
                }
                // The replies to /join, and perhaps to /auth before it.
                Reply::Ok(1 | 2, _) => {}
                Reply::Lost(_) | Reply::Bye(_) | Reply::Err(0, _) => is_gone = true,
                other => panic!("{other:?} for the witness"),
            }
        }
        Self { messages, is_gone, names_are_shared: false, handled: None, said: BTreeSet::new() }
    }

    /// The ID of the last message that it saw.
    pub fn last_id(&self) -> Option<u64> {
        self.messages.last_key_value().map(|(id, _)| *id)
    }
}

/// What one client has sent and received.
pub struct Transcript {
    /// Its address as the server shows it.
    address: String,
    sent: Vec<u8>,
    /// It has closed its sending half.
    pub has_ended_sending: bool,
    /// It closed the connection without waiting for its replies: nothing is promised any more.
    pub is_abandoned: bool,
    /// It may have read nothing for longer than the write time-out.
    pub may_be_cut_short: bool,
    /// Each line that came, and an upper bound of the number of lines that had been sent by then.
    replies: Vec<(Reply, u64)>,
    unfinished: Vec<u8>,
    /// The server closed the connection.
    pub is_closed: bool,
}

impl Transcript {
    pub fn new(address: String) -> Self {
        Self {
            address,
            sent: Vec::new(),
            has_ended_sending: false,
            is_abandoned: false,
            may_be_cut_short: false,
            replies: Vec::new(),
            unfinished: Vec::new(),
            is_closed: false,
        }
    }

    /// Records what was sent.
    pub fn send(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    /// Records what came.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.unfinished.extend_from_slice(bytes);
        let lines = self.sent.iter().filter(|byte| **byte == b'\n').count() as u64
            + u64::from(self.has_ended_sending);
        while let Some(lf) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=lf).collect();
            self.replies.push((Reply::of(&line[..lf]), lines));
        }
    }

    /// How many lines came.
    pub fn line_count(&self) -> usize {
        self.replies.len()
    }

    /// Why the server closed the connection, as far as it said so.
    pub fn last_words(&self) -> Option<String> {
        match &self.replies.last()?.0 {
            Reply::Bye(reason) => Some(format!("BYE {reason}")),
            Reply::Err(0, reason) => Some(format!("ERR 0 {reason}")),
            _ => None,
        }
    }

    /// Whether a command was refused for that reason.
    pub fn was_refused(&self, reason: &str) -> bool {
        self.replies.iter().any(|(reply, _)| matches!(reply, Reply::Err(1.., why) if why == reason))
    }

    /// The priorities of the messages of others that came after the first `line_count` lines.
    pub fn priorities_after(&self, line_count: usize) -> impl Iterator<Item = Priority> {
        let replies = self.replies[line_count..].iter();
        replies.filter_map(
            |(reply, _)| if let Reply::Msg(message) = reply { Some(message.priority) } else { None },
        )
    }

    /// The names that it got.
    pub fn names(&self) -> BTreeSet<String> {
        self.names_by_line().into_values().collect()
    }

    /// The names that it got, by the lines that asked for them.
    fn names_by_line(&self) -> BTreeMap<u64, String> {
        let lines = lines_of(&without_offers(&self.sent));
        let named = self.replies.iter().filter_map(|(reply, _)| {
            let Reply::Ok(n, text) = reply else { return None };
            match request_of(lines.get(*n as usize - 1)?.as_deref()?) {
                Request::Command(Command::Nick(nick)) => Some((*n, nick.to_string())),
                Request::Command(Command::Auth(_)) => Some((*n, text.clone())),
                _ => None,
            }
        });
        named.collect()
    }

    /// The number of the last task that it was given.
    pub fn last_task(&self) -> u64 {
        let numbers = self
            .replies
            .iter()
            .filter_map(|(reply, _)| if let Reply::Task(k, ..) = reply { Some(*k) } else { None });
        numbers.max().unwrap_or(0)
    }

    /// What it said to the senders of its tasks, escaped.
    pub fn said(&self) -> BTreeSet<String> {
        let lines = lines_of(&without_offers(&self.sent));
        let texts = lines.iter().flatten().filter_map(|line| match request_of(line) {
            Request::Command(Command::Task(
                TaskCommand::Done(_, text) | TaskCommand::Refuse(_, text) | TaskCommand::Later(_, text),
            )) => Some(escaped(text)),
            _ => None,
        });
        texts.collect()
    }

    /// The IDs of its acknowledged messages.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.replies
            .iter()
            .filter_map(|(reply, _)| if let Reply::Ack(_, id, ..) = reply { Some(*id) } else { None })
    }

    /// The IDs of the messages of others that it received.
    pub fn ids_of_others(&self) -> impl Iterator<Item = u64> {
        self.replies
            .iter()
            .filter_map(|(reply, _)| if let Reply::Msg(msg) = reply { Some(msg.id) } else { None })
    }

    /// Checks every promise.
    pub fn check(&self, witness: &Witness) {
        let mut lines = lines_of(&without_offers(&self.sent));
        if !self.has_ended_sending && !self.sent.is_empty() && !self.sent.ends_with(b"\n") {
            lines.pop();
        }
        let requests =
            lines.iter().map(|line| line.as_deref().map_or(Request::Nak(Nak::TooLong), request_of));
        let mut check = Check {
            transcript: self,
            witness,
            names: self.names_by_line(),
            requests: requests.collect(),
            answered: BTreeSet::new(),
            refused: BTreeSet::new(),
            last_id: 0,
            last_at_once: 0,
            last_of: [0; Priority::COUNT],
            items: Vec::new(),
            joined: None,
            last_subscription_line: 0,
            tasks: 0,
            ended_tasks: BTreeSet::new(),
            last_seen: None,
            lost: 0,
            end: End::No,
        };
        for (reply, lines) in &self.replies {
            check.line(reply, *lines);
        }
        if self.is_closed {
            check.end();
        }
    }
}

/// What a client sent, without byte order marks and Telnet options: the server removes them from each line up
/// to the first that is a message or a command.
fn without_offers(sent: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = sent.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for line in &mut lines {
        while matches!(line[..], [0xff, 0xfb..=0xfe, _, ..] | [0xef, 0xbb, 0xbf, ..]) {
            line.drain(..3);
        }
        let is_short = line.len() <= LINE_BYTES_MAX + 1;
        let request = request_of(line.strip_suffix(b"\r").unwrap_or(line));
        if is_short && matches!(request, Request::Message { .. } | Request::Command(_)) {
            break;
        }
    }
    lines.join(&b'\n')
}

/// The state of a check.
struct Check<'a> {
    transcript: &'a Transcript,
    witness: &'a Witness,
    /// Its names, by the line from which each one holds.
    names: BTreeMap<u64, String>,
    /// The requests of its lines: the first has number 1.
    requests: Vec<Request<'a>>,
    answered: BTreeSet<u64>,
    /// The commands among them that were refused.
    refused: BTreeSet<u64>,
    last_id: u64,
    /// The last command that was answered.
    last_at_once: u64,
    /// The last acknowledged line of each priority.
    last_of: [u64; Priority::COUNT],
    /// The lines of an answer that is not closed yet.
    items: Vec<String>,
    joined: Option<Priority>,
    /// The last answered line that changed the subscription.
    last_subscription_line: u64,
    /// How many tasks it was given, and which of them it ended.
    tasks: u64,
    ended_tasks: BTreeSet<u64>,
    /// The last message of others since it subscribed, and how many were lost since then.
    last_seen: Option<u64>,
    lost: u64,
    end: End,
}

impl<'a> Check<'a> {
    fn line(&mut self, reply: &Reply, lines: u64) {
        assert_eq!(self.end, End::No, "{reply:?} after the farewell");
        match reply {
            Reply::Ack(n, id, lowered, text) => self.ack(*n, *id, *lowered, text.as_deref(), lines),
            Reply::Nak(n, reason, text) => self.nak(*n, reason, text.as_deref(), lines),
            Reply::Task(k, priority, ..) => self.task(*k, *priority),
            Reply::Ok(n, text) => self.ok(*n, text, lines),
            Reply::Err(0, reason) => {
                assert!(FAREWELLS.contains(&reason.as_str()), "{reason}");
                self.end = End::Farewell;
            }
            Reply::Err(n, reason) => self.err(*n, reason, lines),
            Reply::Msg(message) => self.msg(message),
            Reply::Lost(count) => self.lost += count,
            Reply::Item(line) => self.items.push(line.clone()),
            Reply::Bye(_) => self.end = End::Farewell,
        }
    }

    /// The request of line `n`, which must have been sent and must be unanswered.
    fn take_request(&mut self, n: u64, lines: u64) -> Request<'a> {
        assert!(1 <= n && n <= lines, "line {n} is answered before it was sent");
        assert!(self.answered.insert(n), "line {n} is answered twice");
        self.requests[n as usize - 1]
    }

    /// As [`Check::take_request`], for a line that is not a message. These are answered when they are read, and so in
    /// order. The exception is `/join since`, which is answered after the replay.
    fn take_command(&mut self, n: u64, lines: u64) -> Request<'a> {
        let is_later =
            |request: &&Request| matches!(request, Request::Command(Command::Join { since: Some(_), .. }));
        if self.requests.get(n.saturating_sub(1) as usize).as_ref().is_some_and(is_later) {
            return self.take_request(n, lines);
        }
        assert!(self.last_at_once < n, "line {n} is answered after line {}", self.last_at_once);
        self.last_at_once = n;
        self.take_request(n, lines)
    }

    /// A task has the next number, and handlers process its priority.
    fn task(&mut self, k: u64, priority: Priority) {
        self.tasks += 1;
        assert_eq!(k, self.tasks, "tasks are numbered in a row");
        assert!(self.witness.handled.is_some_and(|min| priority >= min), "TASK {k} {priority}");
    }

    /// A handler said something about a task, and that was accepted.
    fn task_command(&mut self, command: TaskCommand<'_>) {
        let (k, ends) = match command {
            TaskCommand::Handle { .. } | TaskCommand::Stop => return,
            TaskCommand::Done(k, _) | TaskCommand::Refuse(k, _) | TaskCommand::Later(k, _) => (k, true),
            TaskCommand::Extend(k) => (k, false),
        };
        assert!((1..=self.tasks).contains(&k), "task {k} was not given: {command:?}");
        assert!(!self.ended_tasks.contains(&k), "task {k} was over: {command:?}");
        if ends {
            self.ended_tasks.insert(k);
        }
    }

    /// A handler's text must be what one said, or the beginning of that.
    fn text(&self, text: Option<&str>) {
        let Some(text) = text else { return };
        let is_said = match text.strip_suffix(CUT_MARK) {
            Some(beginning) => self.witness.said.iter().any(|said| said.starts_with(beginning)),
            None => self.witness.said.contains(text),
        };
        assert!(is_said, "no handler said {text:?}");
    }

    fn ack(&mut self, n: u64, id: u64, lowered: bool, said: Option<&str>, lines: u64) {
        self.text(said);
        let request = self.take_request(n, lines);
        let Request::Message { priority: asked, text } = request else {
            panic!("ACK {n} {id} for {request:?}")
        };
        assert!(self.last_id < id, "ACK {n} {id} after {}", self.last_id);
        self.last_id = id;
        let Some(message) = self.witness.messages.get(&id) else {
            assert!(self.witness.is_gone, "{id} was acknowledged and not processed");
            return;
        };
        let is_right = if lowered { message.priority < asked } else { message.priority == asked };
        assert!(
            is_right && message.text == escaped(text),
            "ACK {n} {id} for {request:?}, and it was {message:?}"
        );
        assert_eq!(&message.from, self.name_in(n), "ACK {n} {id} for {request:?}, and it was {message:?}");
        if self.witness.handled.is_some_and(|min| message.priority >= min) {
            // Handlers may finish in any order.
            return;
        }
        assert_eq!(said, None, "no handler processed message {id}");
        let last = &mut self.last_of[message.priority.index()];
        assert!(*last < n, "line {n} was processed after line {last}, of the same priority");
        *last = n;
    }

    fn nak(&mut self, n: u64, reason: &str, text: Option<&str>, lines: u64) {
        if matches!(reason, "handler-refused" | "no-handler" | "handler-timeout" | "handler-lost") {
            let request = self.take_request(n, lines);
            assert!(matches!(request, Request::Message { .. }), "NAK {n} {reason} for {request:?}");
            assert!(self.witness.handled.is_some() && (text.is_none() || reason == "handler-refused"));
            return self.text(text);
        }
        assert_eq!(text, None, "NAK {n} {reason}");
        if matches!(reason, "shutting-down" | "journal-failed" | "print-failed") {
            let request = self.take_request(n, lines);
            assert!(matches!(request, Request::Message { .. }), "NAK {n} {reason} for {request:?}");
            return;
        }
        let request = self.take_command(n, lines);
        let is_right = match request {
            Request::Message { .. } => reason == "not-authenticated",
            Request::Nak(nak) => reason == nak.as_str() || reason == "not-authenticated",
            _ => false,
        };
        assert!(is_right, "NAK {n} {reason} for {request:?}");
    }

    fn ok(&mut self, n: u64, text: &str, lines: u64) {
        let request = self.take_command(n, lines);
        let Request::Command(command) = request else { panic!("OK {n} for {request:?}") };
        let items = std::mem::take(&mut self.items);
        let all_are = |word: &str| items.iter().all(|item| item.split(' ').next() == Some(word));
        match command {
            Command::Who => assert!(!items.is_empty() && all_are("WHO"), "{items:?}"),
            Command::Stats { .. } => assert!(!items.is_empty() && all_are("STAT"), "{items:?}"),
            Command::Help => assert!(items.iter().eq(&HELP.map(|line| format!("HELP {line}"))), "{items:?}"),
            _ => assert!(items.is_empty(), "{items:?} for {command:?}"),
        }
        // A text that is cut is told, and the time that is left.
        if !matches!(command, Command::Task(_)) {
            let is_login = matches!(command, Command::Auth(_));
            assert_eq!(text.is_empty(), !is_login, "OK {n} {text} for {command:?}");
        }
        match command {
            Command::Join { min, since: None } => self.set_subscription(n, Some(min)),
            Command::Join { min, since: Some(_) } if self.last_subscription_line < n => {
                (self.last_subscription_line, self.joined) = (n, Some(min));
            }
            Command::Leave => self.set_subscription(n, None),
            Command::Task(command) => self.task_command(command),
            _ => {}
        }
    }

    /// From that line on it is subscribed with that minimum, or not subscribed.
    fn set_subscription(&mut self, n: u64, joined: Option<Priority>) {
        (self.last_subscription_line, self.joined, self.last_seen, self.lost) = (n, joined, None, 0);
    }

    fn err(&mut self, n: u64, reason: &str, lines: u64) {
        let request = self.take_command(n, lines);
        self.refused.insert(n);
        // A listing is broken off if the server closes the connection.
        let items = std::mem::take(&mut self.items);
        assert!(items.is_empty() || reason == "not-authenticated", "{items:?}");
        let reasons: &[&str] = match request {
            Request::Refused(_) => &["unknown-command", "bad-argument", "not-authenticated"],
            Request::Command(command) => match command {
                Command::Auth(_) => &[
                    "no-auth",
                    "wrong-token",
                    "nick-taken",
                    "not-authenticated",
                    "not-permitted",
                    "shutting-down",
                ],
                Command::Nick(_) => &["nick-taken", "not-authenticated", "not-permitted", "shutting-down"],
                Command::Last(_) | Command::Since(_) | Command::Join { since: Some(_), .. } => {
                    &["no-journal", "journal-failed", "not-authenticated", "not-permitted", "shutting-down"]
                }
                Command::Join { .. } => &["not-authenticated", "not-permitted", "shutting-down"],
                Command::Help => &["not-authenticated", "shutting-down"],
                Command::Ping | Command::Quit => &["shutting-down"],
                Command::Task(_) => &[
                    "no-handling",
                    "handlers-full",
                    "not-yours",
                    "not-authenticated",
                    "not-permitted",
                    "shutting-down",
                ],
                Command::Leave | Command::Who | Command::Stats { .. } => {
                    &["not-authenticated", "shutting-down"]
                }
            },
            _ => &[],
        };
        let is_right = reasons.contains(&reason);
        assert!(is_right, "ERR {n} {reason} for {request:?}");
    }

    fn msg(&mut self, message: &Message) {
        match self.witness.messages.get(&message.id) {
            Some(seen) => assert_eq!(message, seen, "every client receives the same"),
            None => assert!(self.witness.is_gone, "{message:?} was not processed"),
        }
        let Some(min) = self.joined.or_else(|| self.is_joining()) else {
            panic!("{message:?} for a client that is not subscribed")
        };
        // While a /join is unanswered, the messages may follow the last subscription or the new one.
        assert!(
            min <= message.priority || self.is_joining().is_some(),
            "{message:?} for a subscriber from {min} on"
        );
        if let Some(last) = self.last_seen {
            assert!(last < message.id, "{message:?} after {last}");
            if !self.witness.is_gone && !self.witness.names_are_shared && self.is_joining().is_none() {
                let between = self.witness.messages.range(last + 1..message.id);
                let missing = between.filter(|(_, other)| other.priority >= min && !self.is_own(other));
                assert_eq!(
                    missing.count() as u64,
                    self.lost,
                    "lost between {last} and {message:?}, and reported as lost"
                );
            }
        }
        (self.last_seen, self.lost) = (Some(message.id), 0);
    }

    /// Its name when it sent that line.
    fn name_in(&self, n: u64) -> &str {
        self.names.range(..n).next_back().map_or(&self.transcript.address, |(_, name)| name)
    }

    /// Whether the message is the client's own, which the client does not receive.
    fn is_own(&self, message: &Message) -> bool {
        message.from == self.transcript.address || self.names.values().any(|name| *name == message.from)
    }

    /// The minimum of the first /join that is not answered yet.
    fn is_joining(&self) -> Option<Priority> {
        let mut mins = (1..).zip(&self.requests).skip(self.last_subscription_line as usize).filter_map(
            |(n, request)| match request {
                Request::Command(Command::Join { min, .. }) if !self.answered.contains(&n) => Some(*min),
                _ => None,
            },
        );
        mins.next()
    }

    /// Checks what came before the server closed the connection.
    fn end(&mut self) {
        let last = self.transcript.replies.last().map(|(reply, _)| reply);
        let is_short = matches!(last, Some(Reply::Err(0, reason)) if reason == "too-slow")
            || self.transcript.is_abandoned;
        if is_short {
            return;
        }
        // A client that was too slow may not even get the reason.
        if self.end == End::No && (!self.transcript.has_ended_sending || self.transcript.may_be_cut_short) {
            return;
        }
        assert!(
            self.transcript.unfinished.is_empty(),
            "the last line is cut: {:?}",
            self.transcript.unfinished
        );
        assert!(self.items.is_empty(), "an answer is not closed: {:?}", self.items);
        self.end = End::Closed;
        let wants_answer = |n: &u64| self.requests[*n as usize - 1] != Request::Blank;
        let is_quit = |n: &u64| self.requests[*n as usize - 1] == Request::Command(Command::Quit);
        let lines = self.requests.len() as u64;
        let quit = (1..=lines).find(|n| is_quit(n) && !self.refused.contains(n));
        let taken = quit.unwrap_or(lines);
        let expected: Vec<u64> = (1..=taken).filter(wants_answer).collect();
        let answered: Vec<u64> = self.answered.iter().copied().collect();
        match last {
            Some(Reply::Bye(reason)) if reason == "quit" => assert!(quit.is_some()),
            Some(Reply::Bye(_) | Reply::Err(..))
                if self.transcript.replies.last().is_some_and(|(reply, _)| reply.is_early_end()) =>
            {
                // The server read the client's lines up to some line.
                assert_eq!(answered, expected[..answered.len()], "every line that was read is answered");
                return;
            }
            _ => assert!(quit.is_none(), "no BYE after /quit"),
        }
        assert_eq!(answered, expected, "every line is answered");
    }
}

impl Reply {
    /// Whether the server ended a connection that the client wanted to keep.
    fn is_early_end(&self) -> bool {
        matches!(self, Self::Err(0, _)) || *self == Self::Bye("shutting-down".to_string())
    }
}
