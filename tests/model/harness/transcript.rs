//! What one client has sent and received.

use super::protocol::{Line, escaped, lines_of, request_of};
use super::reply::Reply;
use firstline::limits::LINE_BYTES_MAX;
use firstline::protocol::Priority;
use firstline::protocol::command::{Command, Request};
use firstline::protocol::task_command::TaskCommand;
use std::collections::{BTreeMap, BTreeSet};

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
    pub fn names_by_line(&self) -> BTreeMap<u64, String> {
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

    /// The lines that came, each with an upper bound of the number of lines that had been sent by then.
    pub fn replies(&self) -> &[(Reply, u64)] {
        &self.replies
    }

    /// The beginning of a line whose end has not come.
    pub fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// The address as the server shows it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The lines that the client has sent as a whole.
    pub fn lines_sent(&self) -> Vec<Line> {
        let mut lines = lines_of(&without_offers(&self.sent));
        if !self.has_ended_sending && !self.sent.is_empty() && !self.sent.ends_with(b"\n") {
            lines.pop();
        }
        lines
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
