//! Prints messages, and with `--follow` also the ones that come later.

use super::failure::Failure;
use super::lines::Line;
use super::output::Output;
use super::verdict::Verdict;
use crate::counted::Counted;
use crate::journal::catalog::Catalog;
use crate::journal::cursor::{Cursor, Damage, Step};
use crate::journal::error::Error;
use crate::journal::headers::snapshot_headers;
use crate::journal::last::{Last, Progress};
use crate::journal::names::NAMES;
use crate::journal::read_only::ReadOnly;
use crate::journal::record::Record;
use crate::journal::scan::Window;
use crate::journal::segment::Identity;
use crate::journal::tail::read_next_id;
use crate::limits::{JOURNAL_POLL_MS, JOURNAL_READ_BYTES};
use crate::options::Printing;
use crate::process_io::standard_error::say;
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
    /// How many of the next messages are left out.
    skipped: u64,
    /// Whether damage and gaps are left out. They are before the first message, because there they precede the
    /// requested part of the history.
    is_silent: bool,
    /// `None`: all segments are of version 1, which has no identity.
    identity: Option<Identity>,
    /// Whether standard error has said that the files are gone.
    has_reported_missing_files: bool,
    verdict: Verdict,
    /// The buffer for a line.
    line: String,
}

/// Why a read of the journal ended.
enum ReadEnd {
    /// The writer overwrote the segment, or the budget is used up. A new catalog is needed.
    NewCatalog,
    /// The last record may be incomplete. Another look is needed after a while.
    Incomplete,
    /// The history ends here for now.
    History,
}

/// The identity of a journal, if one of its segments has it.
fn identity_of(catalog: &Catalog) -> Option<Identity> {
    catalog.spans().iter().rev().find_map(|span| span.header.identity())
}

impl Printer {
    /// A printer for the journal in that directory.
    pub fn new(directory: &Path, files: ReadOnly, output: Output, printing: Printing) -> Self {
        Self {
            directory: directory.to_path_buf(),
            files,
            output,
            printing,
            cursor: printing.since.map_or_else(Cursor::oldest, |id| Cursor::since(id.saturating_add(1))),
            skipped: 0,
            is_silent: false,
            identity: None,
            has_reported_missing_files: false,
            verdict: Verdict::Sound,
            line: String::new(),
        }
    }

    /// Prints the requested messages. With `--follow` it ends when the reader closes the output, or another journal
    /// takes the place of this one. Otherwise a signal ends it. Before each wait it flushes what it has printed.
    pub fn run(mut self) -> Result<Verdict, Failure> {
        match self.print() {
            // A reader that closes the pipe has seen enough.
            Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(self.verdict),
            result => result.map(|()| self.verdict),
        }
    }

    fn print(&mut self) -> Result<(), Failure> {
        let mut window = [0; JOURNAL_READ_BYTES];
        let mut catalog = self.catalog()?;
        if catalog.spans().is_empty() {
            return Err(Failure::unopened(&self.directory, Error::NoHeader));
        }
        self.identity = identity_of(&catalog);
        self.limit_to_history(&catalog, &mut window)?;
        if let Some(count) = self.printing.last {
            self.go_to_last(count, &mut window)?;
            catalog = self.catalog()?;
        }
        loop {
            match self.read_on(&catalog, &mut window)? {
                ReadEnd::History if !self.printing.follow => return Ok(self.output.flush()?),
                ReadEnd::History | ReadEnd::Incomplete => {
                    self.wait()?;
                    self.follow_files(&mut window)?;
                }
                ReadEnd::NewCatalog => {}
            }
            catalog = self.catalog()?;
        }
    }

    /// Goes to the last `count` of the requested messages. It does not keep messages in memory: it counts them, and
    /// then reads them again.
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
                Progress::Complete(cursor, skipped) => {
                    self.is_silent = skipped > 0 || cursor != start;
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

    /// Continues with the files that are now in the place of the open ones: a resize replaces them, and so does a
    /// server whose directory is gone. The new files contain all messages that are not printed yet, or the cursor
    /// reports them as lost.
    fn follow_files(&mut self, window: &mut Window) -> Result<(), Failure> {
        if self.files.is_in_place(&self.directory) {
            return Ok(());
        }
        let files = match ReadOnly::open(&self.directory) {
            Ok(files) => files,
            Err(Error::NoJournal) => {
                self.report_missing_files();
                return Ok(());
            }
            Err(error) => return Err(Failure::unopened(&self.directory, error)),
        };
        let catalog = self.catalog_of(&files)?;
        if catalog.spans().is_empty() {
            // A server is creating it at this moment.
            return Ok(());
        }
        let identity = identity_of(&catalog);
        if identity.zip(self.identity).is_some_and(|(new, old)| new != old) {
            return Err(Failure::Replaced(self.directory.clone()));
        }
        self.identity = identity;
        self.files = files;
        self.has_reported_missing_files = false;
        self.limit_to_history(&catalog, window)
    }

    fn report_missing_files(&mut self) {
        if !self.has_reported_missing_files {
            self.has_reported_missing_files = true;
            say(
                "firstline",
                format_args!(
                    "{}: its files are gone; --follow waits until they are back",
                    self.directory.display()
                ),
            );
        }
    }

    /// If the cursor is beyond the end of the history, moves it back to the end, and says so. Then new messages are
    /// printed.
    fn limit_to_history(&mut self, catalog: &Catalog, window: &mut Window) -> Result<(), Failure> {
        let Some(asked) = self.cursor.next_id() else { return Ok(()) };
        let Some(next_id) = self.next_id(catalog, window)? else { return Ok(()) };
        if asked > next_id {
            self.cursor = Cursor::since(next_id);
        }
        // A request for what follows the next message is off by one only. That is no reason for a report.
        if asked > next_id.saturating_add(1) {
            say(
                "firstline",
                format_args!(
                    "{}: message {} is ahead of this history, whose newest is {}; only new messages are printed",
                    self.directory.display(),
                    asked - 1,
                    next_id - 1
                ),
            );
        }
        Ok(())
    }

    /// The ID of the next message; `None`: no segment has a whole header.
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

    /// Prints messages until a read of the journal ends.
    fn read_on(&mut self, catalog: &Catalog, window: &mut Window) -> Result<ReadEnd, Failure> {
        let mut cursor = self.cursor.clone();
        let mut reading = cursor.read(catalog, window, u32::MAX);
        let end = loop {
            match reading.next(&self.files).map_err(|errno| self.unread(errno))? {
                Step::Record(record) => self.write_message(record)?,
                Step::Lost(_) | Step::RolledBack(_) | Step::Damage(_) if self.is_silent => {}
                Step::Lost(count) => self.write(Line::Lost(count))?,
                Step::RolledBack(id) => self.write(Line::Withdrawn(id))?,
                Step::Damage(damage) => self.report_damage(damage),
                Step::Overwritten | Step::Pause => break ReadEnd::NewCatalog,
                Step::Incomplete => break ReadEnd::Incomplete,
                Step::End => {
                    self.is_silent = false;
                    break ReadEnd::History;
                }
            }
        };
        self.cursor = cursor;
        Ok(end)
    }

    fn write_message(&mut self, record: Record<'_>) -> Result<(), Failure> {
        if record.priority < self.min() {
            return Ok(());
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return Ok(());
        }
        self.is_silent = false;
        self.write(Line::Message(record))
    }

    fn write(&mut self, line: Line<'_>) -> Result<(), Failure> {
        self.line.clear();
        // A write to a `String` does not fail.
        let _ = if self.printing.json { line.write_json(&mut self.line) } else { line.write(&mut self.line) };
        self.line.push('\n');
        Ok(self.output.write_all(self.line.as_bytes())?)
    }

    fn report_damage(&mut self, damage: Damage) {
        self.verdict = Verdict::Damaged;
        let (path, Damage { offset, bytes, .. }) = (self.directory.join(NAMES[damage.segment]), damage);
        let bytes = Counted(bytes.into(), "byte");
        say(
            "firstline",
            format_args!("{}: damaged: {bytes} at offset {offset}; --check tells all", path.display()),
        );
    }

    /// Waits before the next look at the journal. It is an error if the reader of the output has closed it.
    fn wait(&mut self) -> Result<(), Failure> {
        self.output.flush()?;
        // Without any requested event, `poll` still reports a closed pipe.
        let mut fds = [PollFd::new(self.output.get_ref().as_fd(), PollFlags::empty())];
        match poll(&mut fds, JOURNAL_POLL_MS) {
            Ok(0) | Err(_) => Ok(()),
            Ok(_) => Err(std::io::Error::from(ErrorKind::BrokenPipe).into()),
        }
    }
}
