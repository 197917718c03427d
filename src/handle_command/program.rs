//! The program and its arguments.

use super::process::Process;
use super::task::Task;
use crate::client::shown::shown_whole;
use std::ffi::OsString;
use std::io;
use std::process::Command;

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    words: Vec<OsString>,
}

impl Program {
    /// The first word is the program, and the others are its arguments.
    pub fn new(words: Vec<OsString>) -> Self {
        Self { words }
    }

    /// Starts it for many tasks.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self) -> io::Result<Process> {
        Process::start(&mut self.command())
    }

    /// Starts it for one task. The task's priority and sender are in its environment.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_for(&self, task: &Task) -> io::Result<Process> {
        let mut command = self.command();
        command.env("FIRSTLINE_PRIORITY", task.priority.number().to_string());
        command.env("FIRSTLINE_FROM", shown_whole(&task.from));
        Process::start(&mut command)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.words.first().map_or_else(OsString::new, OsString::clone));
        command.args(self.words.iter().skip(1));
        command
    }
}
