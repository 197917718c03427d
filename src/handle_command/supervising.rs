//! Runs the connection, the programs and the signals in one thread, with one poll for all of them.

use super::answer::Answer;
use super::children::Children;
use super::handling::{Event, Handling};
use super::limits::{LAST_WORDS, STOP_GRACE};
use super::log::Log;
use super::slot::Slot;
use super::task::{ServerTime, Task, TaskKey};
use super::verdict::Verdict;
use crate::client::shown::{described, shown};
use crate::client::wait::poll_timeout;
use crate::counted::Counted;
use crate::process_io::advice::advice;
use crate::process_io::interruption::Interruption;
use nix::poll::{PollFd, PollFlags, poll};
use std::fmt::Display;
use std::io::{self, stderr};
use std::os::fd::AsFd as _;
use std::time::Instant;

/// What the log says when the server no longer takes an answer to a task.
const GAVE_UP: &str = "has given up the task";

/// The state of one `firstline handle`.
pub struct Supervising {
    handling: Handling,
    slots: Vec<Slot>,
    log: Log,
    interruption: Interruption,
    children: Children,
    /// Whether the current trouble was reported.
    tells_trouble: bool,
    /// Whether, since the end began, a task was left half done, or an answer may not have reached its sender.
    is_half_done: bool,
    /// The end in progress; `None`: the command is not ending.
    ending: Option<Ending>,
}

/// An end in progress.
struct Ending {
    verdict: Verdict,
    /// When to end the programs that still have a task; `None`: they were told to end.
    end_at: Option<Instant>,
    /// If all programs have ended: until when to wait for the server's last replies.
    last_words: Option<Instant>,
}

impl Ending {
    fn new(verdict: Verdict, now: Instant) -> Self {
        Self { verdict, end_at: Some(now + STOP_GRACE), last_words: None }
    }
}

impl Supervising {
    /// Creates the state with that connection and those slots.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        handling: Handling,
        slots: Vec<Slot>,
        interruption: Interruption,
        children: Children,
    ) -> io::Result<Self> {
        let (log, tells_trouble, is_half_done, ending) = (Log::new(&stderr())?, false, false, None);
        Ok(Self { handling, slots, log, interruption, children, tells_trouble, is_half_done, ending })
    }

    /// Runs until something ends it.
    pub fn run(mut self) -> Verdict {
        loop {
            let now = Instant::now();
            self.advance_slots(now);
            self.handling.want(self.wanted());
            self.handling.advance(now);
            let mut has_events = false;
            while let Some(event) = self.handling.take_event() {
                self.take_event(event, now);
                has_events = true;
            }
            self.extend(now);
            self.tell_trouble();
            if let Some(denial) = self.handling.denial().filter(|_| self.ending.is_none()) {
                let told = format!("the server gives no tasks: {denial}{}", advice(denial));
                self.begin_end(Verdict::Denied, told, now);
            }
            if let Some(verdict) = self.advance_end(now) {
                return self.finish(verdict);
            }
            // After an event, the slots must advance at once.
            self.wait(if has_events { Some(now) } else { self.due() });
            if let Some(signal) = self.interruption.next()
                && let Some(verdict) = self.take_signal(signal, Instant::now())
            {
                return verdict;
            }
        }
    }

    // ---- Tasks -----------------------------------------------------------------------------------------

    /// How many tasks the slots can have at once, including those that they have from this connection.
    fn wanted(&self) -> usize {
        let is_wanted = |slot: &&Slot| {
            slot.is_free() || slot.task().is_some_and(|task| self.handling.is_current(task.key))
        };
        if self.ending.is_some() { 0 } else { self.slots.iter().filter(is_wanted).count() }
    }

    fn advance_slots(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            match self.slots[index].advance(now, &mut self.log) {
                Ok(Some((task, answer))) => self.answer(&task, answer),
                Ok(None) => {}
                Err(error) => {
                    if let Some(task) = self.slots[index].take_task() {
                        self.answer(&task, Answer::Later(Vec::new()));
                    }
                    let told = format!("PROGRAM cannot be started: {}", described(&error));
                    self.begin_end(Verdict::NotStarted, told, now);
                }
            }
        }
    }

    /// Tells the server the answer to a task, or logs it if the server cannot be told.
    fn answer(&mut self, task: &Task, answer: Answer) {
        let number = task.key.number;
        if let Answer::Unknown(reason) = &answer {
            self.is_half_done |= self.ending.is_some();
            let text = shown(&task.text);
            self.log
                .tell(format_args!("task {number}: {reason} before it answered; it may be done: {text:?}"));
        }
        let told = answer.clone();
        if !self.handling.answer(task, answer) {
            let has_given_up = self.handling.has_given_up(task.key);
            self.tell_untold(
                number,
                &told,
                if has_given_up { GAVE_UP } else { "was disconnected meanwhile" },
            );
        }
    }

    /// Logs an answer that the sender may not get.
    fn tell_untold(&mut self, number: u64, answer: &Answer, because: &str) {
        if !matches!(answer, Answer::Unknown(_)) {
            self.is_half_done |= self.ending.is_some();
            let answer = shown(&answer.to_string());
            self.log.tell(format_args!(
                "task {number}: the server {because}, so the sender is not told what PROGRAM answered: {answer:?}"
            ));
        }
    }

    fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Task(task) => match self.slots.iter_mut().find(|slot| slot.is_free()) {
                Some(slot) => slot.give(task, now),
                // The task came before the server knew that fewer slots are free.
                None => self.answer(&task, Answer::Later(Vec::new())),
            },
            Event::Time(key, time) => self.set_time(key, Some(time)),
            Event::GivenUp(key) => self.set_time(key, Some(ServerTime { until: now, extend_at: now })),
            Event::TooLate(number, answer) => {
                self.tell_untold(number, &answer, GAVE_UP);
            }
            Event::Lost(unconfirmed) => {
                self.slots.iter_mut().for_each(Slot::lose_server);
                self.tell_unconfirmed(unconfirmed);
            }
        }
    }

    fn tell_unconfirmed(&mut self, answers: Vec<(u64, Answer)>) {
        for (number, answer) in answers {
            self.tell_untold(number, &answer, "did not confirm it");
        }
    }

    fn set_time(&mut self, key: TaskKey, time: Option<ServerTime>) {
        let tasks = self.slots.iter_mut().filter_map(Slot::task_mut);
        tasks.filter(|task| task.key == key).for_each(|task| task.time = time);
    }

    /// Asks for more time for the tasks that need it.
    fn extend(&mut self, now: Instant) {
        for slot in self.slots.iter_mut().filter(|slot| slot.wants_more_time()) {
            let Some(task) = slot.task_mut() else { continue };
            if let Some(time) = task.time.as_mut().filter(|time| now >= time.extend_at) {
                // Do not ask again before the server answers.
                time.extend_at = time.until;
                self.handling.extend(task.key);
            }
        }
    }

    fn extend_due(&self) -> Option<Instant> {
        let time = |slot: &Slot| slot.task().and_then(|task| task.time).map(|time| time.extend_at);
        self.slots.iter().filter(|slot| slot.wants_more_time()).filter_map(time).min()
    }

    // ---- The log ---------------------------------------------------------------------------------------

    /// Logs when the connection is lost, and when the server is connected again.
    fn tell_trouble(&mut self) {
        let is_connected = self.handling.is_connected();
        match self.handling.trouble() {
            Some(trouble) if !self.tells_trouble => {
                let told = format!("not connected: {trouble}; trying again");
                self.tells_trouble = true;
                self.log.tell(told);
            }
            None if self.tells_trouble && is_connected => {
                self.tells_trouble = false;
                self.log.tell("connected again");
            }
            _ => {}
        }
    }

    // ---- The end ---------------------------------------------------------------------------------------

    fn begin_end(&mut self, verdict: Verdict, told: impl Display, now: Instant) {
        if self.ending.is_none() {
            self.log.tell(told);
            self.ending = Some(Ending::new(verdict, now));
        }
    }

    /// Takes a step towards the end. Returns the verdict when everything has ended.
    fn advance_end(&mut self, now: Instant) -> Option<Verdict> {
        let ending = self.ending.as_mut()?;
        ending.end_at = ending.end_at.filter(|end_at| now < *end_at);
        for slot in &mut self.slots {
            slot.stop(now);
            if ending.end_at.is_none() {
                slot.end(now);
            }
        }
        if !self.slots.iter().all(Slot::is_empty) {
            return None;
        }
        let until = *ending.last_words.get_or_insert(now + LAST_WORDS);
        let has_server = self.handling.is_connected() && self.handling.denial().is_none();
        if !has_server || now >= until {
            let verdict = ending.verdict.clone();
            let unconfirmed = self.handling.take_unconfirmed();
            self.tell_unconfirmed(unconfirmed);
            return Some(verdict);
        }
        self.handling.quit_if_settled();
        None
    }

    /// Handles a signal. After the first, this process ends when its tasks have ended. The second ends it at once: this
    /// returns the verdict.
    fn take_signal(&mut self, signal: u8, now: Instant) -> Option<Verdict> {
        if self.ending.is_some() {
            return Some(Verdict::Interrupted(signal));
        }
        let left = self.slots.iter().filter(|slot| slot.task().is_some()).count();
        if left > 0 {
            let (left, seconds) = (Counted(left as u64, "task"), STOP_GRACE.as_secs());
            self.log.tell(format_args!("signal {signal}: {left} may take {seconds} s more"));
        }
        self.ending = Some(Ending::new(Verdict::Finished, now));
        None
    }

    /// Writes the rest of the log.
    fn finish(mut self, verdict: Verdict) -> Verdict {
        let until = Instant::now() + LAST_WORDS;
        while !self.log.is_written() && Instant::now() < until {
            let mut fds: Vec<PollFd<'_>> = self.log.interest().into_iter().collect();
            let _ = poll(&mut fds, poll_timeout(Some(until), Instant::now()));
            if fds.first().and_then(PollFd::any) == Some(true) {
                self.log.write();
            }
        }
        match verdict {
            Verdict::Finished if self.is_half_done => Verdict::HalfDone,
            verdict => verdict,
        }
    }

    // ---- Waiting ---------------------------------------------------------------------------------------

    /// The latest time for the next round.
    fn due(&self) -> Option<Instant> {
        let ending = self.ending.as_ref().and_then(|ending| ending.last_words.or(ending.end_at));
        let slots = self.slots.iter().filter_map(Slot::due);
        slots.chain([self.handling.due(), self.extend_due(), ending].into_iter().flatten()).min()
    }

    /// Waits for an event, but not beyond `due`. Then writes the log if standard error is writable.
    fn wait(&mut self, due: Option<Instant>) {
        let timeout = poll_timeout(due, Instant::now());
        let mut fds = vec![
            PollFd::new(self.interruption.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.handling.interest().map(|(fd, flags)| PollFd::new(fd, flags)));
        self.slots.iter().for_each(|slot| slot.interest(&mut fds));
        fds.extend(self.log.interest());
        let has_lines = self.log.interest().is_some();
        // After an error, such as an interruption by a signal, the caller checks everything.
        let is_ready = poll(&mut fds, timeout).is_ok();
        let takes_lines = is_ready && has_lines && fds.last().and_then(PollFd::any) == Some(true);
        self.children.clear();
        if takes_lines {
            self.log.write();
        }
    }
}
