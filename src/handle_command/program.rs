//! The program and its arguments.

use super::process::Process;
use super::task::Task;
use crate::client::shown::shown_whole;
use crate::process_io::failure::Failure;
use nix::unistd::{AccessFlags, access};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
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

    /// Checks that the system finds it, so that a misspelled name is told at once, and not at the first task.
    ///
    /// # Errors
    /// It does not, or may not run it; in one line.
    pub fn check(&self) -> Result<(), Failure> {
        let name = self.name();
        let told = format!("PROGRAM {} cannot be started", name.display());
        if name.as_bytes().contains(&b'/') {
            return access(Path::new(name), AccessFlags::X_OK)
                .map_err(|errno| Failure::system_of(told, &errno.into()));
        }
        let is_in = |directory: PathBuf| access(&directory.join(name), AccessFlags::X_OK).is_ok();
        match env::var_os("PATH") {
            Some(path) if !env::split_paths(&path).any(is_in) => {
                let advice = "it is not on the PATH; write ./PROGRAM for one in this directory";
                Err(Failure::system_of(told, &io::Error::other(advice)))
            }
            _ => Ok(()),
        }
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
        let mut command = Command::new(self.name());
        command.args(self.words.iter().skip(1));
        command
    }

    fn name(&self) -> &OsStr {
        self.words.first().map_or(OsStr::new(""), OsString::as_os_str)
    }
}
