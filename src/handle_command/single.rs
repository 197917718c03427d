//! A run of the program for one task: writes the text to its input, and keeps the last line of its output.

use super::answer::Answer;
use super::lines::{Lines, Received, is_temporary};
use super::process::Process;
use super::task::Task;
use crate::protocol::escape::unescape;
use nix::poll::{PollFd, PollFlags};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::ExitStatus;

/// A running program that has one task.
#[derive(Debug)]
pub struct Single {
    /// The process.
    pub process: Process,
    lines: Lines,
    /// The last line that was not blank.
    last: Vec<u8>,
    /// The part of the text that is not written yet.
    text: Vec<u8>,
}

impl Single {
    /// The run of that process for that task.
    pub fn new(process: Process, task: &Task) -> Self {
        let escaped = task.text.as_bytes();
        let bytes: Result<Vec<u8>, _> = unescape(escaped).collect();
        let mut text = bytes.unwrap_or_else(|_| escaped.to_vec());
        text.push(b'\n');
        Self { process, lines: Lines::default(), last: Vec::new(), text }
    }

    /// Writes what the input takes, and closes the input after the text. The program need not read it.
    pub fn write(&mut self) {
        while !self.text.is_empty()
            && let Some(input) = &mut self.process.input
        {
            match input.write(&self.text) {
                Ok(count) => drop(self.text.drain(..count)),
                Err(error) if is_temporary(&error) => return,
                Err(_) => self.text.clear(),
            }
        }
        self.process.input = None;
    }

    /// Reads once. Returns whether more may be available.
    pub fn read(&mut self) -> bool {
        let Some(output) = &mut self.process.output else { return false };
        let last = &mut self.last;
        match self.lines.read(output, |line| keep(last, line)) {
            Received::Some => true,
            Received::Nothing => false,
            Received::End => {
                self.process.output = None;
                false
            }
        }
    }

    /// The answer of the process, which has ended with that status.
    pub fn answer(&mut self, status: ExitStatus) -> Answer {
        keep(&mut self.last, self.lines.rest());
        Answer::of_status(status, &self.last)
    }

    /// What to wait for.
    pub fn interest(&self) -> impl Iterator<Item = PollFd<'_>> {
        let output =
            self.process.output.as_ref().map(|output| PollFd::new(output.as_fd(), PollFlags::POLLIN));
        let input = self.process.input.as_ref().map(|input| PollFd::new(input.as_fd(), PollFlags::POLLOUT));
        output.into_iter().chain(input)
    }
}

/// Keeps a line as the last one, unless it is blank.
fn keep(last: &mut Vec<u8>, line: &[u8]) {
    if !line.trim_ascii().is_empty() {
        last.clear();
        last.extend_from_slice(line);
    }
}
