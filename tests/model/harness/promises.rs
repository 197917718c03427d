//! What the protocol promises to a client, checked against everything that the client has sent and received.
//!
//! A *witness* subscribes before every other client, and always reads in time. So it receives every message of the
//! others in the order of processing. The check compares the replies to another client with the messages that the
//! witness has received.

use super::protocol::{escaped, request_of};
use super::refusals::{FAREWELLS, reasons_for};
use super::reply::{Message, Reply};
use super::transcript::Transcript;
use super::witness::Witness;
use firstline::protocol::Priority;
use firstline::protocol::command::{Command, HELP, Request};
use firstline::protocol::reply::Nak;
use firstline::protocol::task_command::TaskCommand;
use std::collections::{BTreeMap, BTreeSet};

/// How far a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// The farewell has come, after which no line may follow.
    Farewell,
    Closed,
}

/// Checks every promise to the client of that transcript.
pub fn check(transcript: &Transcript, witness: &Witness) {
    let lines = transcript.lines_sent();
    let requests = lines.iter().map(|line| line.as_deref().map_or(Request::Nak(Nak::TooLong), request_of));
    let mut check = Check {
        transcript,
        witness,
        names: transcript.names_by_line(),
        requests: requests.collect(),
        answered: BTreeSet::new(),
        refused: BTreeSet::new(),
        last_id: 0,
        last_at_once: 0,
        last_of: [0; Priority::COUNT],
        items: Vec::new(),
        joined: None,
        resumes: false,
        last_subscription_line: 0,
        tasks: 0,
        ended_tasks: BTreeSet::new(),
        last_seen: None,
        lost: 0,
        end: End::No,
    };
    for (reply, lines) in transcript.replies() {
        check.line(reply, *lines);
    }
    if transcript.is_closed {
        check.end();
    }
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
    /// The subscription began with the history: if the client is too slow, the server goes on from the history.
    resumes: bool,
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
            Reply::Lost(count) => self.lost(*count, lines),
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
        assert!(text.is_none_or(|text| self.witness.has_said(text)), "no handler said {text:?}");
    }

    fn ack(&mut self, n: u64, id: u64, lowered: bool, said: Option<&str>, lines: u64) {
        self.text(said);
        let request = self.take_request(n, lines);
        let Request::Message { priority: asked, text } = request else {
            panic!("ACK {n} {id} for {request:?}")
        };
        assert!(self.last_id < id, "ACK {n} {id} after {}", self.last_id);
        self.last_id = id;
        let Some(message) = self.witness.message(id) else { return };
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
        if reason == "no-handler" || reason.starts_with("handler-") {
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
                (self.last_subscription_line, self.joined, self.resumes) = (n, Some(min), true);
            }
            Command::Leave => self.set_subscription(n, None),
            Command::Task(command) => self.task_command(command),
            _ => {}
        }
    }

    /// From that line on it is subscribed with that minimum, or not subscribed.
    fn set_subscription(&mut self, n: u64, joined: Option<Priority>) {
        (self.last_subscription_line, self.joined, self.last_seen, self.lost) = (n, joined, None, 0);
        self.resumes = false;
    }

    fn err(&mut self, n: u64, reason: &str, lines: u64) {
        let request = self.take_command(n, lines);
        self.refused.insert(n);
        // A listing is broken off if the server closes the connection.
        let items = std::mem::take(&mut self.items);
        assert!(items.is_empty() || reason == "not-authenticated", "{items:?}");
        assert!(reasons_for(&request).contains(&reason), "ERR {n} {reason} for {request:?}");
    }

    fn msg(&mut self, message: &Message) {
        if let Some(seen) = self.witness.message(message.id) {
            assert_eq!(message, seen, "every client receives the same");
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
            let is_known = self.witness.knows(last + 1) && !self.witness.names_are_shared;
            if is_known && self.is_joining().is_none() {
                let between = self.witness.between(last, message.id);
                let missing =
                    between.filter(|other| other.priority >= min && !self.is_own(other)).count() as u64;
                // Live losses are messages for this client. Losses of the history are all IDs in between.
                let ids = message.id - last - 1;
                let is_told = if self.resumes { missing <= self.lost } else { missing == self.lost };
                assert!(
                    is_told && self.lost <= ids,
                    "{missing} of {ids} lost between {last} and {message:?}, and {} reported as lost",
                    self.lost
                );
            }
        }
        (self.last_seen, self.lost) = (Some(message.id), 0);
    }

    /// Only a client that has asked for messages of others loses some, and no more than there were.
    fn lost(&mut self, count: u64, lines: u64) {
        let asks = |request: &Request<'_>| {
            matches!(request, Request::Command(Command::Join { .. } | Command::Last(_) | Command::Since(_)))
        };
        let sent = self.requests.iter().take(lines as usize);
        let has_asked = (1..).zip(sent).any(|(n, request)| asks(request) && !self.refused.contains(&n));
        assert!(has_asked, "LOST {count} for a client that has not asked for messages");
        self.lost += count;
        if let Some(last) = self.last_seen.filter(|last| self.witness.knows(last + 1)) {
            let ids = self.witness.last_id().unwrap_or(0).saturating_sub(last);
            assert!(self.lost <= ids, "LOST {count}, and only {ids} messages after {last}");
        }
    }

    /// Its name when it sent that line.
    fn name_in(&self, n: u64) -> &str {
        self.names.range(..n).next_back().map_or(self.transcript.address(), |(_, name)| name)
    }

    /// Whether the message is the client's own, which the client does not receive.
    fn is_own(&self, message: &Message) -> bool {
        message.from == self.transcript.address() || self.names.values().any(|name| *name == message.from)
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
        let last = self.transcript.replies().last().map(|(reply, _)| reply);
        let is_short = matches!(last, Some(Reply::Err(0, reason)) if reason == "too-slow")
            || self.transcript.is_abandoned;
        if is_short {
            return;
        }
        // A client that was too slow may not even get the reason.
        if self.end == End::No && (!self.transcript.has_ended_sending || self.transcript.may_be_cut_short) {
            return;
        }
        let unfinished = self.transcript.unfinished();
        assert!(unfinished.is_empty(), "the last line is cut: {unfinished:?}");
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
                if self.transcript.replies().last().is_some_and(|(reply, _)| reply.is_early_end()) =>
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
