//! The thread that speaks with the hub, over one connection for all viewers. It asks for the counters once a second,
//! joins, sends viewers' messages, and connects again when the connection is lost.

use crate::bridge::CounterFile;
use crate::figures::Figures;
use crate::limits::{ANSWER_MS_MAX, CLIENTS_LISTED_MAX, FLUSH_MS, POLL_MS, SUBMISSIONS_MAX};
use crate::messages::{Shown, plain};
use crate::state::{Client, State};
use crate::submission::{Submission, Submissions};
use firstline::client::connection::Heard;
use firstline::client::link::{Change, Link};
use firstline::client::outcome::{Verdict, verdict};
use firstline::client::wait::poll_timeout;
use firstline::client::{Outcome, Refusal, Reply};
use firstline::process_io::standard_error::say;
use firstline::protocol::Priority;
use firstline::protocol::escape::Escaped;
use nix::poll::{PollFd, PollFlags, poll};
use std::collections::BTreeMap;
use std::mem;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(POLL_MS);
const FLUSH: Duration = Duration::from_millis(FLUSH_MS);
const ANSWER: Duration = Duration::from_millis(ANSWER_MS_MAX);

/// The nick of this client, if the hub asks for no tokens.
const NICK: &str = "web";

/// The request that a line to the hub made.
enum Asked {
    Nick,
    Join,
    Stats,
    Clients,
    Message(Submission),
}

/// The state of the poller.
pub struct Poller {
    link: Link,
    state: Arc<State>,
    submissions: Submissions,
    /// The counters of the bridge, if one is configured.
    bridge: Option<CounterFile>,
    /// The lines that wait for replies, by their numbers.
    asked: BTreeMap<u64, Asked>,
    /// `/stats full`, or `/stats` for a hub that does not know the argument.
    question: &'static [u8],
    /// When to ask for the counters next.
    poll_at: Instant,
    /// Until when the hub has to answer the request for the counters, or `None` if no request waits.
    answer_by: Option<Instant>,
    /// When messages last went to the viewers.
    flushed: Instant,
    /// The counters of the current answer, so far.
    figures: Figures,
    /// The clients of the current answer, so far, and how many are not listed.
    clients: (Vec<Client>, u64),
}

impl Poller {
    /// A poller over that link. It does not connect yet.
    pub fn new(link: Link, state: Arc<State>, submissions: Submissions, bridge: Option<CounterFile>) -> Self {
        let now = Instant::now();
        Self {
            link,
            state,
            submissions,
            bridge,
            asked: BTreeMap::new(),
            question: b"/stats full\n",
            poll_at: now,
            answer_by: None,
            flushed: now,
            figures: Figures::default(),
            clients: (Vec::new(), 0),
        }
    }

    /// Speaks with the hub for ever.
    pub fn run(mut self) {
        loop {
            self.wait();
            let now = Instant::now();
            match self.link.advance(now) {
                Change::Nothing => {}
                Change::Up => self.begin(now),
                Change::Failed(why) => self.set_away(&why),
                Change::Denied(why) => self.lose(&why, now),
            }
            self.hear(now);
            self.take_submissions();
            self.poll_hub(now);
            self.flush(now);
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) {
        let flush_at = self.state.known().messages.has_fresh().then(|| self.flushed + FLUSH);
        let now = Instant::now();
        let poll_at = self.answer_by.unwrap_or(self.poll_at);
        let due = [self.link.due(), Some(poll_at), flush_at].into_iter().flatten().min();
        let mut fds = vec![PollFd::new(self.submissions.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.link.interest().map(|(fd, flags)| PollFd::new(fd, flags)));
        // After an error, such as an interruption by a signal, the loop only checks once more.
        let _ = poll(&mut fds, poll_timeout(due, now));
        if fds[0].any().unwrap_or(false) {
            self.submissions.clear();
        }
    }

    /// Sends the first lines on a new connection.
    fn begin(&mut self, now: Instant) {
        self.ask(format!("/nick {NICK}\n").as_bytes(), Asked::Nick);
        self.ask(b"/join\n", Asked::Join);
        self.poll_at = now;
    }

    fn ask(&mut self, line: &[u8], asked: Asked) {
        if let Some(connection) = self.link.connection() {
            let number = connection.push(|out| out.extend_from_slice(line));
            connection.flush();
            self.asked.insert(number, asked);
        }
    }

    /// Asks for the counters, and for the list of clients if a viewer may read it. If the hub does not answer in time,
    /// drops the connection.
    fn poll_hub(&mut self, now: Instant) {
        if let Some(answer_by) = self.answer_by {
            if now >= answer_by {
                self.lose("the hub does not answer", now);
            }
            return;
        }
        if now < self.poll_at {
            return;
        }
        self.poll_at = now + POLL;
        self.read_bridge(now);
        if self.link.connection().is_none() {
            return self.state.tell_stats();
        }
        self.figures = Figures::default();
        self.answer_by = Some(now + ANSWER);
        self.ask(self.question, Asked::Stats);
        let is_asked = self.asked.values().any(|asked| matches!(asked, Asked::Clients));
        if self.state.has_readers() && !is_asked {
            self.clients = (Vec::new(), 0);
            self.ask(b"/who\n", Asked::Clients);
        }
    }

    fn read_bridge(&mut self, now: Instant) {
        let Some(file) = &mut self.bridge else { return };
        let counters = file.read(now);
        let away = counters.as_ref().err().cloned();
        let before = self.state.known().bridge.replace(counters);
        if let Some(why) = away
            && before.is_none_or(|before| before.err().as_ref() != Some(&why))
        {
            say("firstline-web", format_args!("the bridge of {} is away: {why}", file.path().display()));
        }
    }

    fn take_submissions(&mut self) {
        while let Some(submission) = self.submissions.take() {
            let in_flight = self.asked.values().filter(|asked| matches!(asked, Asked::Message(_))).count();
            let refusal = if self.link.connection().is_none() {
                Some("the hub is away")
            } else {
                (in_flight >= SUBMISSIONS_MAX).then_some("too many messages wait; send it again later")
            };
            if let Some(refusal) = refusal {
                // Sending the outcome fails if the viewer's request has given up, here and below.
                let _ = submission.outcome.send(Outcome::NotSent(refusal.to_string()));
                continue;
            }
            let mut line = Vec::new();
            submission.message.write(&mut line);
            self.ask(&line, Asked::Message(submission));
        }
    }

    fn flush(&mut self, now: Instant) {
        if now >= self.flushed + FLUSH && self.state.known().messages.has_fresh() {
            self.flushed = now;
            self.state.tell_messages();
        }
    }

    /// Reads the replies of the hub in this round.
    fn hear(&mut self, now: Instant) {
        if let Some(connection) = self.link.connection() {
            connection.begin_round();
            connection.flush();
        }
        while let Some(connection) = self.link.connection() {
            match connection.hear() {
                Heard::Nothing => return,
                Heard::End(why) => return self.lose(&why, now),
                Heard::Reply(reply) => self.take(reply, now),
            }
        }
    }

    fn take(&mut self, reply: Reply, now: Instant) {
        match reply {
            Reply::Msg { id, priority, from, text } => self.show(id, priority, &from, &text),
            Reply::Lost(count) => self.state.known().messages.lose(count),
            Reply::Stat { name, value } => self.figures.insert(name, value),
            Reply::Who { from, min, idle_s } => {
                let min = min.map(Priority::number);
                match self.clients.0.len() < CLIENTS_LISTED_MAX {
                    true => self.clients.0.push(Client { from: plain(&from), min, idle_s }),
                    false => self.clients.1 += 1,
                }
            }
            Reply::Err { line: 0, reason, text } => self.lose(&plain(&format!("{reason} {text}")), now),
            Reply::Bye(reason) => self.lose(&plain(&reason), now),
            Reply::Ok { line, .. } => self.take_ok(line),
            Reply::Err { line, reason, text } => self.take_err(line, &reason, &text, now),
            Reply::Ack { .. } | Reply::Nak { .. } => self.take_verdict(reply),
            Reply::Task { .. } | Reply::Other => {}
        }
    }

    fn take_ok(&mut self, line: u64) {
        match self.asked.remove(&line) {
            Some(Asked::Nick) => self.set_tokens(false),
            Some(Asked::Join) => self.state.known().unread = None,
            Some(Asked::Stats) => {
                self.answer_by = None;
                self.link.has_served();
                self.state.take_figures(mem::take(&mut self.figures));
            }
            Some(Asked::Clients) => {
                let (clients, more) = mem::take(&mut self.clients);
                self.state.tell_clients(&clients, more);
            }
            Some(Asked::Message(_)) | None => {}
        }
    }

    fn take_err(&mut self, line: u64, reason: &str, text: &str, now: Instant) {
        match self.asked.remove(&line) {
            // A hub with tokens refuses each nick, and only a hub without tokens gives this reason.
            Some(Asked::Nick) => self.set_tokens(reason != "nick-taken"),
            Some(Asked::Join) => {
                let mut known = self.state.known();
                known.messages.clear();
                known.unread = Some(plain(&format!("{reason}: {text}")));
            }
            Some(Asked::Stats) if reason == "bad-argument" => {
                self.question = b"/stats\n";
                (self.answer_by, self.poll_at) = (None, now);
            }
            Some(Asked::Stats) if reason == "not-authenticated" => {
                self.lose("the hub asks for a token; give firstline-web one with --token-file", now);
            }
            Some(Asked::Stats) => self.lose(&plain(&format!("{reason}: {text}")), now),
            Some(Asked::Clients | Asked::Message(_)) | None => {}
        }
    }

    fn set_tokens(&mut self, has_tokens: bool) {
        self.state.known().has_tokens = has_tokens;
    }

    /// Passes the outcome of a viewer's message to its request. The hub does not send a client its own messages, so
    /// this shows an acknowledged one to the viewers.
    fn take_verdict(&mut self, reply: Reply) {
        let Some((line, verdict)) = verdict(&reply) else { return };
        let Some(Asked::Message(Submission { message, outcome })) = self.asked.remove(&line) else { return };
        let result = match verdict {
            Verdict::Acknowledged(receipt) => {
                let text = Escaped(message.text()).to_string();
                // The hub does not say to which priority it lowered the message.
                let priority = message.priority();
                let priority = if receipt.is_lowered { priority.min(Priority::NORMAL) } else { priority };
                self.show(receipt.id, priority, NICK, &text);
                Outcome::Acknowledged(receipt)
            }
            Verdict::Refused(reason) => Outcome::Refused(Refusal::Message(reason)),
            Verdict::Denied(reason) => Outcome::Refused(Refusal::Client(reason)),
            Verdict::Later(reason) | Verdict::NotBegun(reason) => Outcome::NotSent(reason),
            Verdict::Unknown(reason) => Outcome::Unknown(reason),
        };
        let _ = outcome.send(result);
    }

    fn show(&mut self, id: u64, priority: Priority, from: &str, text: &str) {
        let at_s = self.state.now_ms() / 1_000;
        self.state.known().messages.push(Shown::new(id, priority, from, text, at_s));
    }

    /// Drops the connection. The link connects again.
    fn lose(&mut self, why: &str, now: Instant) {
        let last_sent = self.link.connection().map_or(0, |connection| connection.last_sent());
        self.link.lose(true, now);
        self.answer_by = None;
        for (line, asked) in mem::take(&mut self.asked) {
            if let Asked::Message(submission) = asked {
                let is_sent = line <= last_sent;
                let outcome = if is_sent { Outcome::Unknown } else { Outcome::NotSent };
                let _ = submission.outcome.send(outcome(why.to_string()));
            }
        }
        self.set_away(why);
    }

    fn set_away(&mut self, why: &str) {
        if self.state.set_away(why) {
            say("firstline-web", format_args!("the hub is away: {why}"));
        }
    }
}
