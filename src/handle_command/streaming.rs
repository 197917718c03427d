//! A run of the program for many tasks: writes `TASK` lines to its input, and reads its answers.

use super::answer::Said;
use super::lines::{Lines, Received, is_temporary};
use super::process::Process;
use super::task::Task;
use crate::client::shown::shown_whole;
use nix::poll::{PollFd, PollFlags};
use std::io::Write as _;
use std::os::fd::AsFd as _;

/// A running program that takes one task at a time.
#[derive(Debug)]
pub struct Streaming {
    /// The process.
    pub process: Process,
    /// Whether it has written `READY 1`.
    pub is_ready: bool,
    lines: Lines,
    /// The part of the task's line that is not written yet.
    line: Vec<u8>,
    /// Whether the beginning of that line is written.
    has_begun: bool,
}

impl Streaming {
    /// The run of that process.
    pub fn new(process: Process) -> Self {
        Self { process, is_ready: false, lines: Lines::default(), line: Vec::new(), has_begun: false }
    }

    /// Gives it a task. It must have answered the previous one.
    pub fn give(&mut self, task: &Task) {
        let Task { key, priority, from, text, .. } = task;
        let line = format!("TASK {} {priority} {} {}\n", key.number, shown_whole(from), shown_whole(text));
        (self.line, self.has_begun) = (line.into_bytes(), false);
    }

    /// Whether it may have read a part of its task.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Writes what the input takes; false: the input is closed, so it can take no more tasks.
    pub fn write(&mut self) -> bool {
        while !self.line.is_empty() {
            let Some(input) = &mut self.process.input else { return false };
            match input.write(&self.line) {
                Ok(count) => {
                    self.line.drain(..count);
                    self.has_begun |= count > 0;
                }
                Err(error) if is_temporary(&error) => return true,
                Err(_) => {
                    self.process.input = None;
                    return false;
                }
            }
        }
        true
    }

    /// Reads once, and calls `take` with the meaning of each line and the line. Returns whether more may be available.
    pub fn read(&mut self, mut take: impl FnMut(Said, &[u8])) -> bool {
        let Some(output) = &mut self.process.output else { return false };
        match self.lines.read(output, |line| take(Said::parse(line), line)) {
            Received::Some => true,
            Received::Nothing => false,
            Received::End => {
                self.process.output = None;
                false
            }
        }
    }

    /// What to wait for.
    pub fn interest(&self) -> impl Iterator<Item = PollFd<'_>> {
        let output =
            self.process.output.as_ref().map(|output| PollFd::new(output.as_fd(), PollFlags::POLLIN));
        let input = self.process.input.as_ref().filter(|_| !self.line.is_empty());
        output.into_iter().chain(input.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLOUT)))
    }
}
