//! Prints messages, and goes on with what comes.

use super::lines::Line;
use super::{Failure, Output, Verdict};
use crate::journal::catalog::Catalog;
use crate::journal::cursor::{Cursor, Damage, Step};
use crate::journal::files::{NAMES, ReadOnly};
use crate::journal::scan::Window;
use crate::journal::writer::{read_next_id, snapshot_headers};
use crate::limits::{JOURNAL_POLL_MS, JOURNAL_READ_BYTES};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Prints a journal.
pub struct Printer {
    directory: PathBuf,
    files: ReadOnly,
    output: Output,
    json: bool,
    cursor: Cursor,
    verdict: Verdict,
    /// The line that is being made.
    line: String,
}

/// Why the reading came to rest.
enum Rest {
    /// A new catalog is needed.
    Overtaken,
    /// It is to be looked at again after a while.
    Unsettled,
    End,
}

impl Printer {
    /// For that journal, from that ID on or from the oldest message.
    pub fn new(directory: &Path, files: ReadOnly, output: Output, since: Option<u64>, json: bool) -> Self {
        let cursor = since.map_or_else(Cursor::oldest, |id| Cursor::since(id.saturating_add(1)));
        let directory = directory.to_path_buf();
        Self { directory, files, output, json, cursor, verdict: Verdict::Sound, line: String::new() }
    }

    /// Prints all of it. With `follow` it ends when nobody reads what it prints, and else a signal ends it: what was printed is
    /// written out before each wait.
    pub fn run(mut self, follow: bool) -> Result<Verdict, Failure> {
        match self.print(follow) {
            // Who read it has seen enough.
            Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(self.verdict),
            result => result.map(|()| self.verdict),
        }
    }

    fn print(&mut self, follow: bool) -> Result<(), Failure> {
        let mut window = [0; JOURNAL_READ_BYTES];
        let mut catalog = self.catalog()?;
        self.stay_in_history(&catalog, &mut window)?;
        if catalog.spans().is_empty() {
            return Err(Failure::NoHeader(self.directory.clone()));
        }
        loop {
            match self.read_on(&catalog, &mut window)? {
                Rest::End if !follow => return Ok(self.output.flush()?),
                Rest::End | Rest::Unsettled => self.wait()?,
                Rest::Overtaken => {}
            }
            catalog = self.catalog()?;
        }
    }

    /// A position that the history has not come to is told, and what is new is printed.
    fn stay_in_history(&mut self, catalog: &Catalog, window: &mut Window) -> Result<(), Failure> {
        let Some((asked, last)) = self.cursor.next_id().zip(catalog.spans().last()) else { return Ok(()) };
        let next_id = read_next_id(&self.files, last.segment, &last.header, window);
        let next_id = next_id.map_err(|errno| self.unread(errno))?;
        if asked > next_id {
            self.cursor = Cursor::since(next_id);
        }
        // Whoever asks for what comes after the next one has miscounted by one.
        if asked > next_id.saturating_add(1) {
            eprintln!(
                "firstline: {}: message {} is ahead of this history, whose newest is {}; what is new is printed",
                self.directory.display(),
                asked - 1,
                next_id - 1
            );
        }
        Ok(())
    }

    fn catalog(&self) -> Result<Catalog, Failure> {
        let headers =
            snapshot_headers(&self.files, self.files.segment_bytes()).map_err(|errno| self.unread(errno))?;
        Ok(Catalog::new(&headers, None))
    }

    fn unread(&self, errno: Errno) -> Failure {
        Failure::Unread(self.directory.clone(), errno)
    }

    /// Prints for as long as something comes.
    fn read_on(&mut self, catalog: &Catalog, window: &mut Window) -> Result<Rest, Failure> {
        let mut cursor = self.cursor.clone();
        let mut reading = cursor.read(catalog, window, u32::MAX);
        let rest = loop {
            match reading.next(&self.files).map_err(|errno| self.unread(errno))? {
                Step::Record(record) => self.write(Line::Message(record))?,
                Step::Lost(count) => self.write(Line::Lost(count))?,
                Step::Withdrawn(id) => self.write(Line::Withdrawn(id))?,
                Step::Damage(damage) => self.complain(damage),
                Step::Overtaken | Step::Pause => break Rest::Overtaken,
                Step::Unsettled => break Rest::Unsettled,
                Step::End => break Rest::End,
            }
        };
        self.cursor = cursor;
        Ok(rest)
    }

    fn write(&mut self, line: Line<'_>) -> Result<(), Failure> {
        self.line.clear();
        // A String takes everything.
        let _ = if self.json { line.write_json(&mut self.line) } else { line.write(&mut self.line) };
        self.line.push('\n');
        Ok(self.output.write_all(self.line.as_bytes())?)
    }

    fn complain(&mut self, damage: Damage) {
        self.verdict = Verdict::Damaged;
        let (path, Damage { offset, bytes, .. }) = (self.directory.join(NAMES[damage.segment]), damage);
        eprintln!(
            "firstline: {}: {bytes} bytes at offset {offset} are damaged; --check tells all",
            path.display()
        );
    }

    /// Waits before it looks for more; an error if nobody will read that.
    fn wait(&mut self) -> Result<(), Failure> {
        self.output.flush()?;
        // Nothing is asked for, and a closed pipe is told all the same.
        let mut fds = [PollFd::new(self.output.get_ref().as_fd(), PollFlags::empty())];
        match poll(&mut fds, JOURNAL_POLL_MS) {
            Ok(0) | Err(_) => Ok(()),
            Ok(_) => Err(std::io::Error::from(ErrorKind::BrokenPipe).into()),
        }
    }
}
