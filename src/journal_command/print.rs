//! Prints messages, and goes on with what comes.

use super::lines::Line;
use super::{Failure, Output, Verdict};
use crate::counted::Counted;
use crate::journal::catalog::Catalog;
use crate::journal::cursor::{Cursor, Damage, Step};
use crate::journal::files::{self, NAMES, ReadOnly};
use crate::journal::headers::snapshot_headers;
use crate::journal::last::{Last, Progress};
use crate::journal::record::Record;
use crate::journal::scan::Window;
use crate::journal::segment::Identity;
use crate::journal::writer::read_next_id;
use crate::limits::{JOURNAL_POLL_MS, JOURNAL_READ_BYTES};
use crate::options::Printing;
use crate::protocol::Priority;
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
    printing: Printing,
    cursor: Cursor,
    /// Messages that are left out at the beginning.
    skipped: u64,
    /// What comes before the first message that is printed was not asked for.
    is_hiding: bool,
    /// None: all segments are of version 1, which do not say.
    identity: Option<Identity>,
    /// That the files are gone was told.
    tells_gone: bool,
    verdict: Verdict,
    /// The line that is being made.
    line: String,
}

/// Why the reading came to rest.
enum Rest {
    /// A new catalog is needed.
    Overwritten,
    /// It is to be looked at again after a while.
    Incomplete,
    End,
}

/// What tells that journal from others, if one of its segments says.
fn identity_of(catalog: &Catalog) -> Option<Identity> {
    catalog.spans().iter().rev().find_map(|span| span.header.identity())
}

impl Printer {
    /// For that journal.
    pub fn new(directory: &Path, files: ReadOnly, output: Output, printing: Printing) -> Self {
        Self {
            directory: directory.to_path_buf(),
            files,
            output,
            printing,
            cursor: printing.since.map_or_else(Cursor::oldest, |id| Cursor::since(id.saturating_add(1))),
            skipped: 0,
            is_hiding: false,
            identity: None,
            tells_gone: false,
            verdict: Verdict::Sound,
            line: String::new(),
        }
    }

    /// Prints what was asked for. If it is to follow, it ends when nobody reads what it prints, or another journal takes the place of
    /// this one, and else a signal ends it: what was printed is written out before each wait.
    pub fn run(mut self) -> Result<Verdict, Failure> {
        match self.print() {
            // Who read it has seen enough.
            Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(self.verdict),
            result => result.map(|()| self.verdict),
        }
    }

    fn print(&mut self) -> Result<(), Failure> {
        let mut window = [0; JOURNAL_READ_BYTES];
        let mut catalog = self.catalog()?;
        if catalog.spans().is_empty() {
            return Err(Failure::unopened(&self.directory, files::Error::NoHeader));
        }
        self.identity = identity_of(&catalog);
        self.stay_in_history(&catalog, &mut window)?;
        if let Some(count) = self.printing.last {
            self.go_to_last(count, &mut window)?;
            catalog = self.catalog()?;
        }
        loop {
            let rest = self.read_on(&catalog, &mut window)?;
            match rest {
                Rest::End if !self.printing.follow => return Ok(self.output.flush()?),
                Rest::End | Rest::Incomplete => {
                    self.wait()?;
                    self.follow_files(&mut window)?;
                }
                Rest::Overwritten => {}
            }
            catalog = self.catalog()?;
        }
    }

    /// Goes to the last so many messages of those that were asked for. It keeps none of them: they are counted, and then read again.
    fn go_to_last(&mut self, count: u64, window: &mut Window) -> Result<(), Failure> {
        let mut catalog = self.catalog()?;
        let Some(next_id) = self.next_id(&catalog, window)? else { return Ok(()) };
        let start = self.cursor.clone();
        if count == 0 {
            self.cursor = Cursor::since(next_id);
            return Ok(());
        }
        let mut last = Last::new(count, next_id).since(start.next_id().unwrap_or(0)).of(self.min());
        loop {
            match last.search(&catalog, &self.files, window, u32::MAX).map_err(|errno| self.unread(errno))? {
                Progress::Found(cursor, skipped) => {
                    self.is_hiding = skipped > 0 || cursor != start;
                    (self.cursor, self.skipped) = (cursor, skipped);
                    return Ok(());
                }
                Progress::Overwritten => catalog = self.catalog()?,
                Progress::Pause => {}
            }
        }
    }

    /// The lowest priority that is printed.
    fn min(&self) -> Priority {
        self.printing.min.unwrap_or(Priority::MIN)
    }

    /// Goes on with the files that are in the place of those that were opened: a resize replaces them, and so does a server whose
    /// directory is gone. All that was not printed is in them, or told as lost.
    fn follow_files(&mut self, window: &mut Window) -> Result<(), Failure> {
        if self.files.is_in_place(&self.directory) {
            return Ok(());
        }
        let files = match ReadOnly::open(&self.directory) {
            Ok(files) => files,
            Err(files::Error::NoJournal) => {
                self.tell_gone();
                return Ok(());
            }
            Err(error) => return Err(Failure::unopened(&self.directory, error)),
        };
        let catalog = self.catalog_of(&files)?;
        if catalog.spans().is_empty() {
            // It is being made.
            return Ok(());
        }
        let identity = identity_of(&catalog);
        if identity.zip(self.identity).is_some_and(|(new, old)| new != old) {
            return Err(Failure::Replaced(self.directory.clone()));
        }
        self.identity = identity;
        self.files = files;
        self.tells_gone = false;
        self.stay_in_history(&catalog, window)
    }

    fn tell_gone(&mut self) {
        if !self.tells_gone {
            self.tells_gone = true;
            eprintln!(
                "firstline: {}: its files are gone; --follow waits until they are back",
                self.directory.display()
            );
        }
    }

    /// A position that the history has not come to is told, and what is new is printed.
    fn stay_in_history(&mut self, catalog: &Catalog, window: &mut Window) -> Result<(), Failure> {
        let Some(asked) = self.cursor.next_id() else { return Ok(()) };
        let Some(next_id) = self.next_id(catalog, window)? else { return Ok(()) };
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

    /// The ID that comes next; none: no segment has a whole header.
    fn next_id(&self, catalog: &Catalog, window: &mut Window) -> Result<Option<u64>, Failure> {
        let Some(last) = catalog.spans().last() else { return Ok(None) };
        let next_id = read_next_id(&self.files, last.segment, &last.header, window);
        next_id.map(Some).map_err(|errno| self.unread(errno))
    }

    fn catalog(&self) -> Result<Catalog, Failure> {
        self.catalog_of(&self.files)
    }

    fn catalog_of(&self, files: &ReadOnly) -> Result<Catalog, Failure> {
        let headers = snapshot_headers(files, files.segment_bytes()).map_err(|errno| self.unread(errno))?;
        Ok(Catalog::new(&headers, None))
    }

    fn unread(&self, errno: Errno) -> Failure {
        Failure::unread(&self.directory, errno)
    }

    /// Prints for as long as something comes.
    fn read_on(&mut self, catalog: &Catalog, window: &mut Window) -> Result<Rest, Failure> {
        let mut cursor = self.cursor.clone();
        let mut reading = cursor.read(catalog, window, u32::MAX);
        let rest = loop {
            match reading.next(&self.files).map_err(|errno| self.unread(errno))? {
                Step::Record(record) => self.write_message(record)?,
                Step::Lost(_) | Step::RolledBack(_) | Step::Damage(_) if self.is_hiding => {}
                Step::Lost(count) => self.write(Line::Lost(count))?,
                Step::RolledBack(id) => self.write(Line::Withdrawn(id))?,
                Step::Damage(damage) => self.complain(damage),
                Step::Overwritten | Step::Pause => break Rest::Overwritten,
                Step::Incomplete => break Rest::Incomplete,
                Step::End => {
                    self.is_hiding = false;
                    break Rest::End;
                }
            }
        };
        self.cursor = cursor;
        Ok(rest)
    }

    fn write_message(&mut self, record: Record<'_>) -> Result<(), Failure> {
        if record.priority < self.min() {
            return Ok(());
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return Ok(());
        }
        self.is_hiding = false;
        self.write(Line::Message(record))
    }

    fn write(&mut self, line: Line<'_>) -> Result<(), Failure> {
        self.line.clear();
        // A String takes everything.
        let _ = if self.printing.json { line.write_json(&mut self.line) } else { line.write(&mut self.line) };
        self.line.push('\n');
        Ok(self.output.write_all(self.line.as_bytes())?)
    }

    fn complain(&mut self, damage: Damage) {
        self.verdict = Verdict::Damaged;
        let (path, Damage { offset, bytes, .. }) = (self.directory.join(NAMES[damage.segment]), damage);
        let bytes = Counted(bytes.into(), "byte");
        eprintln!("firstline: {}: damaged: {bytes} at offset {offset}; --check tells all", path.display());
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
