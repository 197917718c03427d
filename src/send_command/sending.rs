//! Runs the client, the input, the outputs and the signals in one thread, with one poll for all of them.

use super::backlog::{Backlog, Begun};
use super::ending::Ending;
use super::kept::Kept;
use super::name::Name;
use super::presence::Presence;
use super::report::Report;
use super::source::{Source, Taken};
use super::tag::{Tag, Which};
use super::tally::Verdict;
use crate::client::limits::TEXT_BYTES_MAX;
use crate::client::shown::shown_whole;
use crate::client::{Message, Outcome, Refusal, Sender};
use crate::process_io::failure::Failure;
use crate::process_io::interruption::Interruption;
use crate::process_io::ready::ready;
use crate::protocol::Priority;
use nix::poll::{PollFd, PollFlags};
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// The state of one `firstline send`.
pub struct Sending {
    sender: Sender<Tag>,
    timeout: Option<Duration>,
    interruption: Interruption,
    /// The messages of this call. Messages of the spool with at least the same priority go first.
    source: Source,
    /// The messages of the spool, if there is one.
    kept: Option<Kept>,
    presence: Presence,
    report: Report,
    ending: Ending,
    /// All messages have their outcomes; only output is left to write.
    is_finishing: bool,
}

impl Sending {
    /// Creates the state with that client, which gives up after `timeout`.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        sender: Sender<Tag>,
        timeout: Option<Duration>,
        interruption: Interruption,
    ) -> io::Result<Self> {
        Ok(Self {
            sender,
            timeout,
            interruption,
            source: Source::none(),
            kept: None,
            presence: Presence::There,
            report: Report::new()?,
            ending: Ending::default(),
            is_finishing: false,
        })
    }

    /// Sends the messages of that source, and those of the spool if there is one. Messages that cannot be sent go to
    /// the spool. If the spool cannot be used, the messages are sent without it: a bad disk must not hold up an alarm.
    pub fn send(mut self, source: Source, spool: Option<Result<Backlog, Failure>>) -> Verdict {
        let has_input = source.has_input();
        self.source = source;
        match spool {
            None => {}
            Some(Ok(backlog)) => {
                let kept = Kept::new(backlog, false);
                kept.mention_unknown(&mut self.report);
                self.kept = Some(kept);
            }
            Some(Err(failure)) => self.report.complain(format_args!("{failure}; sending without the spool")),
        }
        self.run();
        let tally = &self.report.tally;
        if has_input && (!tally.is_well() || tally.kept > 0 || self.ending.signal().is_some()) {
            self.report.sum_up(self.source.unread_from());
        }
        self.finish()
    }

    /// Sends the messages of the spool.
    pub fn flush(mut self, spool: Backlog) -> Verdict {
        let kept = Kept::new(spool, true);
        if !kept.may_send() {
            self.report.tally.has_failed = true;
            self.report.complain("another process sends what is kept; try again later");
        }
        kept.tell_unknown(&mut self.report);
        self.kept = Some(kept);
        self.run();
        if !self.report.tally.is_well() {
            self.report.sum_up(None);
        }
        self.finish()
    }

    /// Runs until every message has its outcome.
    fn run(&mut self) {
        loop {
            self.sender.advance();
            let has_more = self.settle();
            if let Some(kept) = &mut self.kept {
                kept.release_if_idle();
            }
            self.tell_trouble();
            self.come_back();
            let has_more = has_more || self.take_kept() || self.take_own();
            if !has_more && self.is_all_taken() && self.sender.is_empty() {
                // Closes the connection, because nothing reads from it any more.
                self.sender.abort("done");
                return;
            }
            self.wait(has_more);
        }
    }

    /// Writes the rest of the output, and returns the result.
    fn finish(mut self) -> Verdict {
        if let Some(kept) = &self.kept {
            kept.sync(&mut self.report);
        }
        self.report.tell_doubles();
        self.report.end_progress();
        self.is_finishing = true;
        self.ending.renew(Instant::now());
        // If a reader does not read, this waits until a signal comes. After the signal, it still writes as long as an
        // output is ready.
        while !self.report.is_written() {
            if !self.wait(false) && self.ending.is_over(Instant::now()) {
                break;
            }
        }
        Verdict::new(self.report.tally, self.ending.signal())
    }

    // ---- Messages --------------------------------------------------------------------------------------

    /// Whether there are no more messages to push.
    fn is_all_taken(&self) -> bool {
        let has_kept = self.kept.as_ref().is_some_and(|kept| kept.has(Priority::MIN));
        self.source.is_over() && (!has_kept || self.presence == Presence::Away)
    }

    /// Pushes messages of the spool; true: it took some. Those with at least the priority of this call's messages go
    /// before them. The others go when no message of this call waits.
    fn take_kept(&mut self) -> bool {
        if self.presence == Presence::Away || !self.has_room() {
            return false;
        }
        let is_own_taken = self.source.is_dry() && (self.source.is_over() || self.sender.is_empty());
        let min = if is_own_taken { Priority::MIN } else { self.source.priority() };
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.has(min)) else { return false };
        let begun = kept.begin(min, self.presence.in_flight_max(), &mut self.report);
        begun.into_iter().for_each(|begun| self.push_kept(begun));
        true
    }

    fn push_kept(&mut self, begun: Begun) {
        let Begun { name, text, is_doubtful } = begun;
        match Message::new(name.priority(), text) {
            Ok(message) => {
                let which = Which::Kept { name, is_doubtful };
                self.sender.push(Tag { which, message: Some(message.clone()) }, message);
            }
            // Another program has written this file, which is not a valid message.
            Err(error) => {
                let refusal = Refusal::Message(error.to_string());
                self.settle_kept(name, is_doubtful, name, &Outcome::Refused(refusal));
            }
        }
    }

    /// Takes messages of this call while there is room; true: it took some. Each message for the spool takes syncs of
    /// the disk, so after one of those this returns.
    fn take_own(&mut self) -> bool {
        let mut has_taken = false;
        while self.has_room()
            && let Some(taken) = self.source.take()
        {
            has_taken = true;
            match taken {
                Taken::TooLong(line) => {
                    self.report.tally.refused += 1;
                    let reason = format_args!("refused: too-long: it has more than {TEXT_BYTES_MAX} bytes");
                    self.report.complain_of(Which::Line(line), reason);
                }
                Taken::Message(which, message) if self.presence == Presence::Away => {
                    self.keep(which, &message, "the server was given up before");
                    break;
                }
                Taken::Message(which, message) => {
                    let kept = self.kept.as_ref().map(|_| message.clone());
                    self.sender.push(Tag { which, message: kept }, message);
                }
            }
        }
        has_taken
    }

    /// Whether there is room for another message.
    fn has_room(&self) -> bool {
        let is_free =
            if self.presence == Presence::OnTrial { self.sender.is_empty() } else { self.sender.has_room() };
        is_free && self.report.has_room()
    }

    // ---- Outcomes ---------------------------------------------------------------------------------------

    /// Records and reports outcomes; true: there may be more. Each message for the spool takes syncs of the disk, so
    /// after one of those this returns.
    fn settle(&mut self) -> bool {
        while let Some((Tag { which, message }, outcome)) = self.sender.take_outcome() {
            self.hear(&outcome);
            match (which, &outcome, message) {
                (Which::Kept { name, is_doubtful }, _, message) => {
                    // The whole text: if the message is refused, its file is removed.
                    let text = message.map(|message| shown_whole(&String::from_utf8_lossy(message.text())));
                    let said = format!("{}: {}", name.priority(), text.unwrap_or_default());
                    self.settle_kept(name, is_doubtful, said, &outcome);
                }
                (which, Outcome::NotSent(reason), Some(message)) => {
                    self.keep(which, &message, reason);
                    return true;
                }
                (which, outcome, _) => self.report.tell(which, outcome),
            }
        }
        if self.sender.has_given_up() && self.presence != Presence::Away {
            self.give_up();
        }
        false
    }

    /// Draws conclusions from an outcome about the server and this client's rights.
    fn hear(&mut self, outcome: &Outcome) {
        let is_answered = match outcome {
            Outcome::Acknowledged(_) | Outcome::Refused(Refusal::Message(_)) => true,
            // If the sender has not given up, this is the server's answer `no-handler`.
            Outcome::NotSent(_) => !self.sender.has_given_up(),
            _ => false,
        };
        if is_answered && self.presence == Presence::OnTrial {
            self.presence = Presence::There;
        }
        match outcome {
            Outcome::Acknowledged(_) => self.report.end_trouble(),
            Outcome::Refused(Refusal::Client(_)) => self.stop(),
            _ => {}
        }
    }

    /// Keeps a message of this call in the spool, because it was not sent for that reason.
    fn keep(&mut self, which: Which, message: &Message, reason: &str) {
        let Self { kept: Some(kept), interruption, ending, report, .. } = self else { return };
        let heard = ending.signal();
        let wait = |lock: BorrowedFd<'_>| ending.wait_for_lock(lock, interruption);
        let is_kept = kept.keep(which, message, reason, wait, report);
        if self.ending.signal() != heard {
            self.withdraw();
        }
        if !is_kept {
            self.stop();
        }
    }

    /// Records and reports the outcome of a message of the spool.
    fn settle_kept(&mut self, name: Name, is_doubtful: bool, said: impl Display, outcome: &Outcome) {
        if let Some(kept) = &mut self.kept {
            kept.settle(name, is_doubtful, said, outcome, &mut self.report);
        }
    }

    // ---- The server goes and comes ---------------------------------------------------------------------

    /// Reacts when the sender has given up the server. Without a spool, this ends the call. With one, the call keeps
    /// further input, and tries the server again until the input ends.
    fn give_up(&mut self) {
        let Some(kept) = self.kept.as_mut() else { return self.stop() };
        self.presence = Presence::Away;
        if !self.source.has_input() {
            return self.stop();
        }
        kept.leave(&mut self.report);
        self.sender.seek();
    }

    /// If the server was given up and answers again, sends what is kept, and then further input.
    fn come_back(&mut self) {
        let is_back = self.presence == Presence::Away && !self.sender.is_seeking();
        let goes_on = self.ending.signal().is_none() && self.source.has_input();
        if let Some(kept) = self.kept.as_mut().filter(|_| is_back && goes_on) {
            self.presence = Presence::OnTrial;
            kept.read(&mut self.report);
        }
    }

    /// Takes no more messages from now on, neither from the input nor from the spool.
    fn stop(&mut self) {
        self.source.stop();
        if let Some(kept) = &mut self.kept {
            kept.stop(&mut self.report);
        }
    }

    /// Reports why messages are late, if the sender is still trying.
    fn tell_trouble(&mut self) {
        if self.sender.has_given_up() && !self.sender.is_seeking() {
            return;
        }
        let Some(trouble) = self.sender.trouble() else { return };
        let timeout = self.timeout.filter(|_| self.presence != Presence::Away);
        let until = timeout.map(|timeout| format!(" for up to {} s", timeout.as_secs_f64()));
        self.report.tell_trouble(trouble, until.unwrap_or_default());
    }

    // ---- Waiting ---------------------------------------------------------------------------------------

    /// Waits for an event and handles it. If `has_more`, it handles what has happened without waiting. True: an output
    /// was ready.
    fn wait(&mut self, has_more: bool) -> bool {
        let progress = if self.is_finishing { None } else { self.report.tell_progress() };
        let fds = [
            Some(PollFd::new(self.interruption.as_fd(), PollFlags::POLLIN)),
            self.source.interest().filter(|_| self.has_room()),
            self.report.receipts.interest(),
            self.report.complaints.interest(),
            self.sender.interest().map(|(fd, flags)| PollFd::new(fd, flags)),
        ];
        let now = has_more.then(Instant::now);
        let due = [self.sender.due(), self.ending.due(), progress, now].into_iter().flatten().min();
        let [signal, input, receipts, complaints, _] = ready(fds, due);
        if signal && let Some(number) = self.interruption.next() {
            self.interrupt(number);
        }
        if self.ending.is_over(Instant::now()) {
            self.sender.abort("interrupted");
        }
        if input && let Err(error) = self.source.read() {
            self.report.fail("standard input", &error);
        }
        self.report.write(receipts, complaints);
        receipts || complaints
    }

    /// Handles a signal. After the first, the call sends nothing more, and waits for a short time for replies. After
    /// the second, it ends at once.
    fn interrupt(&mut self, signal: u8) {
        self.ending.interrupt(signal, Instant::now());
        self.withdraw();
    }

    /// Sends nothing more.
    fn withdraw(&mut self) {
        // The messages that are withdrawn here go to the spool.
        if self.kept.is_some() {
            self.presence = Presence::Away;
        }
        self.stop();
        self.sender.withdraw("interrupted");
    }
}
