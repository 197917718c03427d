//! Runs the client, the outputs and the signals in one thread, with one poll for all of them.

use super::keeper::Keeper;
use super::printer::Printer;
use super::verdict::Verdict;
use crate::client::shown::described;
use crate::client::{Watcher, What};
use crate::counted::Counted;
use crate::process_io::advice::advice;
use crate::process_io::interruption::Interruption;
use crate::process_io::output::Output;
use crate::process_io::progress::Progress;
use crate::process_io::ready::ready;
use crate::process_io::standard_error::say;
use nix::poll::{PollFd, PollFlags};
use std::fmt::Display;
use std::io::{self, stderr};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long the process still writes its output after a signal. A reader that does not pause takes the output in that
/// time.
const GRACE: Duration = Duration::from_secs(1);

/// The limits from the options.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The command ends after that many messages; `None`: never.
    pub count: Option<u64>,
    /// The command ends after that time without a message; `None`: never.
    pub timeout: Option<Duration>,
}

/// The state of one `firstline watch`.
pub struct Watching {
    watcher: Watcher,
    printer: Printer,
    complaints: Output,
    progress: Progress,
    keeper: Keeper,
    interruption: Interruption,
    /// How many messages were printed.
    printed: u64,
    /// How many messages are left to print; `None`: their number is not limited.
    left: Option<u64>,
    timeout: Option<Duration>,
    /// When the last message was printed; at first, when the command started. A pause of the reader moves it too.
    heard: Instant,
    /// Whether the current trouble was reported.
    tells_trouble: bool,
    /// Why the command ends; `None`: it is not ending.
    verdict: Option<Verdict>,
}

impl Watching {
    /// Creates the state with that client and those limits.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        watcher: Watcher,
        printer: Printer,
        keeper: Keeper,
        interruption: Interruption,
        limits: Limits,
    ) -> io::Result<Self> {
        Ok(Self {
            watcher,
            printer,
            complaints: Output::new(&stderr())?,
            progress: Progress::new(Instant::now()),
            keeper,
            interruption,
            printed: 0,
            left: limits.count,
            timeout: limits.timeout,
            heard: Instant::now(),
            tells_trouble: false,
            verdict: None,
        })
    }

    /// Runs until something ends it.
    pub fn run(mut self) -> Verdict {
        loop {
            while self.take_events() {}
            self.keep();
            self.tell_trouble();
            self.tell_progress();
            // The time-out does not run while the reader of the output pauses.
            if !self.has_room() {
                self.heard = Instant::now();
            }
            self.check_end(Instant::now());
            match self.verdict.take() {
                Some(verdict) => return self.finish(verdict),
                None => self.wait(),
            }
        }
    }

    /// Prints events while there is room; true: there may be more.
    fn take_events(&mut self) -> bool {
        if !self.has_room() {
            return false;
        }
        self.watcher.advance();
        let mut has_taken = false;
        while self.has_room()
            && let Some(event) = self.watcher.take_event()
        {
            has_taken = true;
            if let What::Begin(Some(gap)) = &event.what {
                self.complain(gap);
            }
            if self.printer.print(&event) {
                self.heard = Instant::now();
                self.printed += 1;
                self.left = self.left.map(|left| left - 1);
            }
        }
        has_taken
    }

    /// Whether there is room for another event, and one is wanted.
    fn has_room(&self) -> bool {
        self.left != Some(0) && self.printer.has_room() && self.complaints.has_room()
    }

    /// Records what was printed, and saves it if that is due.
    fn keep(&mut self) {
        while let Some(position) = self.printer.take_printed() {
            self.keeper.confirm(position);
        }
        if let Some(complaint) = self.keeper.save_if_due(Instant::now()) {
            self.complain(complaint);
        }
    }

    /// Reports when the connection is lost, and when the server is connected again.
    fn tell_trouble(&mut self) {
        match self.watcher.trouble() {
            Some(trouble) if !self.tells_trouble => {
                let told = format!("not connected: {trouble}; trying again");
                self.tells_trouble = true;
                self.complain(told);
            }
            None if self.tells_trouble => {
                self.tells_trouble = false;
                self.complain("connected again");
            }
            _ => {}
        }
    }

    /// Shows how many messages were printed, if an update is due.
    fn tell_progress(&mut self) {
        let printed = self.printed;
        let text = || format!("{} printed", Counted(printed, "message"));
        if let Some(line) = self.progress.show(Instant::now(), printed, text) {
            self.complaints.push_part(&line);
        }
    }

    fn complain(&mut self, what: impl Display) {
        self.complaints.push_part(self.progress.erase());
        self.complaints.push(format_args!("firstline: {what}"));
    }

    // ---- The end ---------------------------------------------------------------------------------------

    fn check_end(&mut self, now: Instant) {
        let ended = if self.printer.is_closed() {
            Some(Verdict::Unread)
        } else if self.left == Some(0) {
            Some(Verdict::Counted)
        } else if let Some(denial) = self.watcher.denial() {
            Some(Verdict::Denied(denial.to_string()))
        } else {
            self.timeout_due().filter(|due| now >= *due).map(|_| Verdict::TimedOut)
        };
        self.verdict = self.verdict.take().or(ended);
    }

    fn timeout_due(&self) -> Option<Instant> {
        self.timeout.map(|timeout| self.heard + timeout)
    }

    /// Writes the rest of the output, and saves the state.
    fn finish(mut self, mut verdict: Verdict) -> Verdict {
        if let Verdict::Denied(reason) = &verdict {
            let told = format!("{reason}{}", advice(reason));
            self.complain(told);
        }
        self.complaints.push_part(self.progress.erase());
        self.left = Some(0);
        let is_interrupted = matches!(verdict, Verdict::Interrupted(_));
        let mut until = is_interrupted.then(|| Instant::now() + GRACE);
        while !self.is_written() && until.is_none_or(|until| Instant::now() < until) {
            self.wait_until(until);
            if let Some(ended) = self.verdict.take() {
                // A signal ends the wait for a reader that does not read. After an error of the output, some time is
                // left to write the complaint about it.
                let is_signal = matches!(ended, Verdict::Interrupted(_));
                if ended == Verdict::Failed {
                    verdict = Verdict::Failed;
                }
                until =
                    Some(if is_signal { Instant::now() } else { until.unwrap_or(Instant::now() + GRACE) });
            }
        }
        while let Some(position) = self.printer.take_printed() {
            self.keeper.confirm(position);
        }
        if let Some(complaint) = self.keeper.finish() {
            // This may block, but nothing else is left to do.
            say("firstline", complaint);
            verdict = Verdict::Failed;
        }
        verdict
    }

    fn is_written(&self) -> bool {
        self.printer.is_written() && self.complaints.is_empty()
    }

    // ---- Waiting ---------------------------------------------------------------------------------------

    /// Waits for an event and handles it.
    fn wait(&mut self) {
        let watched = self.watcher.due().filter(|_| self.has_room());
        let due =
            [watched, self.keeper.due(), self.timeout_due(), self.progress.due()].into_iter().flatten().min();
        self.wait_until(due);
    }

    fn wait_until(&mut self, due: Option<Instant>) {
        let watched = self.watcher.interest().filter(|_| self.has_room());
        let fds = [
            Some(PollFd::new(self.interruption.as_fd(), PollFlags::POLLIN)),
            Some(self.printer.interest()).filter(|_| !self.printer.is_closed()),
            self.complaints.interest(),
            watched.map(|(fd, flags)| PollFd::new(fd, flags)),
        ];
        let [signal, printer, complaints, _] = ready(fds, due);
        if signal && let Some(number) = self.interruption.next() {
            self.verdict = Some(Verdict::Interrupted(number));
        }
        if printer && let Err(error) = self.printer.write() {
            self.complain(format_args!("standard output: {}", described(&error)));
            self.verdict = Some(Verdict::Failed);
        }
        if complaints {
            // An error of standard error cannot be reported anywhere.
            let _ = self.complaints.write();
        }
    }
}
