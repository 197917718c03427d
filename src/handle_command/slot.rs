//! Room for one task at a time: starts the program, gives it the task, enforces its time-outs, and restarts it.

use super::answer::{Answer, Said, ended};
use super::limits::{LAST_READS_MAX, RESTART_MS_MAX, RESTART_MS_MIN, START, TERM_GRACE};
use super::log::Log;
use super::process::Process;
use super::program::Program;
use super::single::Single;
use super::streaming::Streaming;
use super::task::Task;
use crate::client::backoff::Backoff;
use crate::client::shown::described;
use nix::errno::Errno;
use nix::poll::PollFd;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How a slot runs its program.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether each task gets a process of its own.
    pub is_each: bool,
    /// How long the program may take for a task; `None`: as long as the server permits.
    pub timeout: Option<Duration>,
}

/// Room for one task at a time.
#[derive(Debug)]
pub struct Slot {
    program: Program,
    manner: Manner,
    run: Run,
    work: Option<Work>,
    backoff: Backoff,
    /// The program is not started before this time.
    paused_until: Option<Instant>,
    /// Whether the slot takes no more tasks. A program for many tasks is then not restarted.
    is_stopping: bool,
}

/// A task, and when its time ends.
#[derive(Debug)]
struct Work {
    task: Task,
    /// The end of the time that [`Manner`] gives it; `None`: it gives no limit.
    until: Option<Instant>,
    /// If the connection was lost: the end of the time that the server had given.
    lost_until: Option<Instant>,
}

impl Work {
    /// When the task must end. After the connection was lost, a task may use the rest of its own time-out. The server's
    /// time then limits only a task without one.
    fn due(&self) -> Option<Instant> {
        let own = self.until.or(self.lost_until);
        own.into_iter().chain(self.task.time.map(|time| time.until)).min()
    }
}

#[derive(Debug)]
enum Run {
    /// No process.
    None,
    /// It has not written `READY 1` yet, and must do so before this time.
    Starting(Streaming, Instant),
    /// It takes tasks.
    Streaming(Streaming),
    /// It has closed its standard input or output, and must end before this time.
    Closed(Streaming, Instant),
    /// It has one task.
    Single(Single),
}

impl Slot {
    /// A slot without a process.
    pub fn new(program: Program, manner: Manner) -> Self {
        let backoff = Backoff::between(RESTART_MS_MIN, RESTART_MS_MAX);
        let (run, work, paused_until) = (Run::None, None, None);
        Self { program, manner, run, work, backoff, paused_until, is_stopping: false }
    }

    /// The current task.
    pub fn task(&self) -> Option<&Task> {
        self.work.as_ref().map(|work| &work.task)
    }

    /// Like [`task`](Self::task), to change the task's times.
    pub fn task_mut(&mut self) -> Option<&mut Task> {
        self.work.as_mut().map(|work| &mut work.task)
    }

    /// Whether the program may still work on the task when the server's time for it ends. It may if its own time-out,
    /// with the time that it has after SIGTERM, ends later, or if it has no time-out.
    pub fn wants_more_time(&self) -> bool {
        let is_longer = |work: &Work| {
            work.task.time.is_some_and(|time| work.until.is_none_or(|until| until + TERM_GRACE >= time.until))
        };
        self.work.as_ref().is_some_and(is_longer) && !self.is_ending()
    }

    /// Whether it can take a task.
    pub fn is_free(&self) -> bool {
        let is_ready = match &self.run {
            Run::None => self.manner.is_each && self.paused_until.is_none(),
            Run::Streaming(run) => !run.process.is_ending(),
            Run::Starting(..) | Run::Closed(..) | Run::Single(_) => false,
        };
        is_ready && self.work.is_none() && !self.is_stopping
    }

    /// Whether it has no process and no task.
    pub fn is_empty(&self) -> bool {
        matches!(self.run, Run::None) && self.work.is_none()
    }

    /// Gives it a task. It must be free.
    pub fn give(&mut self, task: Task, now: Instant) {
        if let Run::Streaming(run) = &mut self.run {
            run.give(&task);
        }
        let until = self.manner.timeout.map(|timeout| now + timeout);
        self.work = Some(Work { task, until, lost_until: None });
    }

    /// Records that the connection on which the task came is lost. The program may finish within its own time-out, or
    /// else within the server's time.
    pub fn lose_server(&mut self) {
        if let Some(work) = &mut self.work {
            let time = work.task.time.take();
            work.lost_until = work.lost_until.or(time.map(|time| time.until));
        }
    }

    /// Takes back a task whose program was not started.
    pub fn take_task(&mut self) -> Option<Task> {
        self.work.take().map(|work| work.task)
    }

    /// Takes no more tasks from now on. Ends the process if it has no task.
    pub fn stop(&mut self, now: Instant) {
        self.is_stopping = true;
        if self.work.is_none() {
            self.end(now);
        }
    }

    /// Asks its process to end.
    pub fn end(&mut self, now: Instant) {
        if let Some(process) = self.process_mut() {
            process.end(now);
        }
    }

    /// The latest time for the next [`advance`](Self::advance).
    pub fn due(&self) -> Option<Instant> {
        let stage = match &self.run {
            Run::Starting(_, until) | Run::Closed(_, until) => Some(*until),
            Run::None | Run::Streaming(_) | Run::Single(_) => None,
        };
        let running = [self.work.as_ref().and_then(Work::due), stage]
            .into_iter()
            .flatten()
            .min()
            .filter(|_| !self.is_ending());
        let killed = self.process().and_then(Process::due);
        [running, killed, self.paused_until].into_iter().flatten().min()
    }

    /// What to poll besides the exits of processes.
    pub fn interest<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        match &self.run {
            Run::None => {}
            Run::Starting(run, _) | Run::Streaming(run) | Run::Closed(run, _) => fds.extend(run.interest()),
            Run::Single(run) => fds.extend(run.interest()),
        }
    }

    // ---- Steps -----------------------------------------------------------------------------------------

    /// Starts, reads, writes and ends processes, as far as that does not block. Returns the task that has an answer,
    /// and the answer.
    ///
    /// # Errors
    /// The program cannot be started. The slot keeps its task, which was not started.
    pub fn advance(&mut self, now: Instant, log: &mut Log) -> io::Result<Option<(Task, Answer)>> {
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = None;
        }
        if let Err(error) = self.start_if_wanted(now) {
            if !is_temporary(&error) {
                return Err(error);
            }
            log.tell(format_args!("PROGRAM cannot be started now: {}", described(&error)));
            self.pause(now);
            return Ok(self.work.take().map(|work| (work.task, Answer::Later(Vec::new()))));
        }
        let mut answer = self.exchange(now, log);
        self.watch_time(now, log);
        if let Some(process) = self.process_mut() {
            process.kill_if_due(now);
            if let Some(status) = process.reap() {
                answer = answer.or(self.take_end(status, now, log));
            }
        }
        Ok(answer.and_then(|answer| self.work.take().map(|work| (work.task, answer))))
    }

    fn start_if_wanted(&mut self, now: Instant) -> io::Result<()> {
        if !matches!(self.run, Run::None) || self.paused_until.is_some() {
            return Ok(());
        }
        match &self.work {
            Some(work) if self.manner.is_each => {
                self.run = Run::Single(Single::new(self.program.start_for(&work.task)?, &work.task));
            }
            None if !self.manner.is_each && !self.is_stopping => {
                self.run = Run::Starting(Streaming::new(self.program.start()?), now + START);
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes and reads once.
    fn exchange(&mut self, now: Instant, log: &mut Log) -> Option<Answer> {
        match &mut self.run {
            Run::None => return None,
            Run::Single(run) => {
                run.write();
                run.read();
                return None;
            }
            Run::Starting(run, _) | Run::Streaming(run) | Run::Closed(run, _) => {
                if !run.write() && !run.has_begun() && self.work.is_some() {
                    self.take_closed(now);
                    return Some(Answer::Later(Vec::new()));
                }
            }
        }
        let (answer, _) = self.read(now, log);
        if self.process().is_some_and(|process| process.output.is_none()) {
            self.take_closed(now);
        }
        answer
    }

    /// Reads once from a program that runs for many tasks. Returns its answer, and whether more may be available.
    fn read(&mut self, now: Instant, log: &mut Log) -> (Option<Answer>, bool) {
        let (Run::Starting(run, _) | Run::Streaming(run) | Run::Closed(run, _)) = &mut self.run else {
            return (None, false);
        };
        let mut said = Vec::new();
        let is_more = run.read(|meaning, line| match meaning {
            Said::Other if line.trim_ascii().is_empty() => {}
            Said::Other => log.tell_ignored(line, now),
            Said::Ready | Said::Answer(_) => said.push(meaning),
        });
        let mut answer = None;
        for said in said {
            match said {
                Said::Ready => self.take_ready(),
                Said::Answer(said) if answer.is_none() && self.work.is_some() => {
                    self.backoff.reset();
                    answer = Some(said);
                }
                // This second answer, or answer without a task, could be mistaken for the answer to the next task.
                Said::Answer(said) => self.distrust(&said, now, log),
                Said::Other => {}
            }
        }
        (answer, is_more)
    }

    fn take_ready(&mut self) {
        self.run = match std::mem::replace(&mut self.run, Run::None) {
            Run::Starting(mut run, _) => {
                run.is_ready = true;
                Run::Streaming(run)
            }
            run => run,
        };
    }

    fn distrust(&mut self, said: &Answer, now: Instant, log: &mut Log) {
        if !self.is_ending() {
            log.tell(format_args!("PROGRAM is started again, because it answered without a task: {said}"));
            self.end(now);
        }
    }

    /// Records that the program has closed its input or output. It may be about to end, and gets some time for that.
    fn take_closed(&mut self, now: Instant) {
        self.run = match std::mem::replace(&mut self.run, Run::None) {
            Run::Starting(run, _) | Run::Streaming(run) => Run::Closed(run, now + TERM_GRACE),
            run => run,
        };
    }

    /// Ends a process that takes too long.
    fn watch_time(&mut self, now: Instant, log: &mut Log) {
        if self.is_ending() || self.process().is_none() {
            return;
        }
        let is_over = |until: Option<Instant>| until.is_some_and(|until| now >= until);
        if let Some(Work { task, until, .. }) = self.work.as_ref().filter(|work| is_over(work.due())) {
            let whose = if is_over(*until) { "--timeout" } else { "the server's time for it" };
            log.tell(format_args!("task {}: PROGRAM is ended: {whose} is over", task.key.number));
            self.end(now);
            return;
        }
        let complaint = match &self.run {
            Run::Starting(_, until) if now >= *until => "it does not write READY 1 (or is it for --each?)",
            Run::Closed(_, until) if now >= *until => "it has closed its standard input or output",
            _ => return,
        };
        log.tell(format_args!("PROGRAM is started again: {complaint}"));
        self.end(now);
    }

    /// Handles the end of the process: reads the rest of its output, and determines the answer to its task.
    fn take_end(&mut self, status: ExitStatus, now: Instant, log: &mut Log) -> Option<Answer> {
        let was_ended = self.is_ending();
        let answer = match &mut self.run {
            Run::None => None,
            Run::Single(run) => {
                (0..LAST_READS_MAX).take_while(|_| run.read()).count();
                match run.answer(status) {
                    // It was interrupted, so its exit status is not a refusal.
                    Answer::Refused(_) if was_ended => Some(Answer::Unknown("PROGRAM was ended".to_string())),
                    answer => Some(answer),
                }
            }
            Run::Starting(..) | Run::Streaming(_) | Run::Closed(..) => {
                self.take_end_of_streaming(status, now, log)
            }
        };
        let is_failure = matches!(answer, Some(Answer::Unknown(_)) | None);
        self.run = Run::None;
        if self.manner.is_each && !is_failure {
            self.backoff.reset();
        } else {
            self.pause(now);
        }
        answer
    }

    fn take_end_of_streaming(&mut self, status: ExitStatus, now: Instant, log: &mut Log) -> Option<Answer> {
        let mut answer = None;
        for _ in 0..LAST_READS_MAX {
            let (said, is_more) = self.read(now, log);
            answer = answer.or(said);
            if !is_more {
                break;
            }
        }
        let (Run::Starting(run, _) | Run::Streaming(run) | Run::Closed(run, _)) = &self.run else {
            return None;
        };
        let has_begun = run.has_begun();
        if !self.is_stopping && !self.is_ending() {
            let when = if run.is_ready { "" } else { " before it wrote READY 1 (or is it for --each?)" };
            log.tell(format_args!("PROGRAM {}{when}, and is started again", ended(status)));
        }
        self.work.as_ref()?;
        let unknown = || Answer::Unknown(format!("PROGRAM {}", ended(status)));
        answer.or_else(|| Some(if has_begun { unknown() } else { Answer::Later(Vec::new()) }))
    }

    fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + self.backoff.pause());
    }

    // ---- The process -----------------------------------------------------------------------------------

    fn is_ending(&self) -> bool {
        self.process().is_some_and(Process::is_ending)
    }

    fn process(&self) -> Option<&Process> {
        match &self.run {
            Run::None => None,
            Run::Starting(run, _) | Run::Streaming(run) | Run::Closed(run, _) => Some(&run.process),
            Run::Single(run) => Some(&run.process),
        }
    }

    fn process_mut(&mut self) -> Option<&mut Process> {
        match &mut self.run {
            Run::None => None,
            Run::Starting(run, _) | Run::Streaming(run) | Run::Closed(run, _) => Some(&mut run.process),
            Run::Single(run) => Some(&mut run.process),
        }
    }
}

/// Whether a later attempt to start the program may succeed, after that error.
fn is_temporary(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::ETXTBSY | Errno::EINTR)
    )
}

#[cfg(test)]
mod tests;
