//! Reads the journal for both classes, and passes on only messages that are on the disk: after each read it syncs the
//! segments, and if that fails, it discards the messages of that read.

use super::class::{Class, PerClass};
use super::item::{Item, Loss, Message, Reason};
use super::limits::LOOK_BYTES;
use super::report::say;
use super::stream::{Fresh, Stream};
use crate::journal::catalog::Catalog;
use crate::journal::cursor::Step;
use crate::journal::error::Error;
use crate::journal::headers::snapshot_headers;
use crate::journal::names::NAMES;
use crate::journal::read_only::ReadOnly;
use crate::journal::record::Record;
use crate::journal::scan::Window;
use crate::journal::segment::Identity;
use crate::journal::tail::read_next_id;
use crate::journal_command::Failure;
use crate::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENTS};
use crate::protocol::Priority;
use nix::errno::Errno;
use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How many losses that one class has found are remembered, so that the other class does not report them again. Further
/// ones are reported twice.
const TOLD_MAX: usize = 16;

/// Which messages are read, and how.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// The lowest urgent priority.
    pub urgent_from: Priority,
    /// The age beyond which messages are not sent, in ms.
    pub max_age_ms: Option<u64>,
}

/// Why the journal cannot be read now. The bridge tries again.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be opened.
    Unopened(Failure),
    /// It has no identity, because a firstline that did not know format 2 wrote all of it.
    NoIdentity(PathBuf),
    /// The disk fails.
    Disk(Failure),
    /// The messages that were read cannot be synced.
    Unsynced(PathBuf, Errno),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unopened(failure) | Self::Disk(failure) => failure.fmt(f),
            Self::NoIdentity(directory) => write!(
                f,
                "{}: an earlier firstline made it, and it has no identity yet; it gets one when this version of the server starts with it",
                directory.display()
            ),
            Self::Unsynced(directory, errno) => {
                write!(
                    f,
                    "{}: it cannot be synced, so nothing new is sent: {}",
                    directory.display(),
                    errno.desc()
                )
            }
        }
    }
}

/// A journal.
pub struct Reader {
    directory: PathBuf,
    files: ReadOnly,
    identity: Identity,
    selection: Selection,
    catalog: Catalog,
    window: Box<Window>,
    /// All segments before this sequence were complete when they were synced.
    synced_before: u64,
    /// Losses that one class has found, each with that class.
    told: VecDeque<(Class, (u64, u64))>,
}

impl Reader {
    /// Opens the journal.
    ///
    /// # Errors
    /// Why it cannot be read now.
    pub fn open(directory: &Path, selection: Selection) -> Result<Self, Trouble> {
        let unopened = |error| Trouble::Unopened(Failure::unopened(directory, error));
        let files = ReadOnly::open(directory).map_err(unopened)?;
        let catalog = catalog_of(&files).map_err(|errno| Trouble::Disk(Failure::unread(directory, errno)))?;
        if catalog.spans().is_empty() {
            return Err(unopened(Error::NoHeader));
        }
        let identity = catalog.spans().iter().rev().find_map(|span| span.header.identity());
        Ok(Self {
            directory: directory.to_path_buf(),
            files,
            identity: identity.ok_or_else(|| Trouble::NoIdentity(directory.to_path_buf()))?,
            selection,
            catalog,
            window: Box::new([0; JOURNAL_READ_BYTES]),
            synced_before: 0,
            told: VecDeque::new(),
        })
    }

    /// Which journal it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether its files are still where they were: a resize replaces them.
    pub fn is_in_place(&self) -> bool {
        self.files.is_in_place(&self.directory)
    }

    /// The least ID that a message of the journal may have now. Messages before it are overwritten.
    pub fn oldest_id(&self) -> u64 {
        self.catalog.spans().first().map_or(1, |span| span.header.first_id.max(1))
    }

    /// The ID of the next message.
    ///
    /// # Errors
    /// The disk's.
    pub fn next_id(&mut self) -> Result<u64, Trouble> {
        let Some(last) = self.catalog.spans().last() else { return Ok(1) };
        let next_id = read_next_id(&self.files, last.segment, &last.header, &mut self.window);
        next_id.map_err(|errno| Trouble::Disk(Failure::unread(&self.directory, errno)))
    }

    /// How many more IDs can be given before the message with that ID is overwritten, if segments stay as full as they
    /// are now. Returns `None` if that is not known yet.
    pub fn ids_left(&self, id: u64) -> Option<u64> {
        let (first, last) = (self.catalog.spans().first()?, self.catalog.spans().last()?);
        let complete = last.header.sequence.checked_sub(first.header.sequence).filter(|count| *count > 0)?;
        let ids = last.header.first_id.saturating_sub(first.header.first_id) / complete;
        let holding = self.catalog.holding(id)?.header.sequence;
        let segments_left = (holding + JOURNAL_SEGMENTS as u64).saturating_sub(last.header.sequence + 1);
        Some(segments_left.saturating_mul(ids))
    }

    /// Reads on for both classes, and syncs the segments. Returns true if there was something new. `now_ms` is the time
    /// of day.
    ///
    /// # Errors
    /// Why this read does not count. The next call repeats it.
    pub fn look(
        &mut self,
        streams: &mut PerClass<Stream>,
        now_ms: u64,
        now: Instant,
    ) -> Result<bool, Trouble> {
        self.catalog = match catalog_of(&self.files) {
            Ok(catalog) => catalog,
            // The server is rotating too often for a snapshot.
            Err(Errno::EAGAIN) => return Ok(false),
            Err(errno) => return Err(Trouble::Disk(Failure::unread(&self.directory, errno))),
        };
        let told = self.told.clone();
        let mut fresh = [None, None];
        for class in Class::ALL {
            if streams[class].is_due(now) {
                let read = self.read(&streams[class], now_ms);
                let read = read.map_err(|errno| Trouble::Disk(Failure::unread(&self.directory, errno)))?;
                fresh[class as usize] = Some(read);
            }
        }
        let is_new = |stream: &Stream, fresh: &Option<Fresh>| {
            fresh.as_ref().is_some_and(|fresh| {
                !fresh.items.is_empty() || fresh.cursor.next_id().unwrap_or(0) != stream.read_to()
            })
        };
        let has_new = streams.iter().zip(&fresh).any(|(stream, fresh)| is_new(stream, fresh));
        if has_new && let Err(errno) = self.sync() {
            self.told = told;
            return Err(Trouble::Unsynced(self.directory.clone(), errno));
        }
        for (class, fresh) in Class::ALL.into_iter().zip(fresh) {
            if let Some(fresh) = fresh {
                streams[class].take(fresh, now);
            }
        }
        Ok(has_new)
    }

    /// Syncs every segment that may have been written to since the last time.
    fn sync(&mut self) -> Result<(), Errno> {
        for span in self.catalog.spans().iter().filter(|span| span.header.sequence >= self.synced_before) {
            self.files.sync(span.segment)?;
        }
        if let Some(last) = self.catalog.spans().last() {
            self.synced_before = last.header.sequence;
        }
        Ok(())
    }

    /// Reads on for one class.
    fn read(&mut self, stream: &Stream, now_ms: u64) -> Result<Fresh, Errno> {
        let (class, room, mut cursor) = (stream.class(), stream.room(), stream.cursor().clone());
        let mut gathered =
            Gathered { selection: self.selection, class, now_ms, items: Vec::new(), loss: None };
        let oldest = self.catalog.spans().first().map_or(0, |span| span.header.first_id);
        let (mut rolled_back, mut has_more, mut is_incomplete) = (None, true, false);
        let mut reading = cursor.read(&self.catalog, &mut self.window, LOOK_BYTES);
        while gathered.items.len() < room {
            let from = reading.next_id();
            match reading.next(&self.files)? {
                Step::Record(record) => gathered.add(&record),
                Step::Lost(count) => {
                    let ids = (from, from.saturating_add(count - 1));
                    let reason = if from < oldest { Reason::Overwritten } else { Reason::Missing };
                    if !is_told_by_other(&self.told, class, ids) {
                        remember(&mut self.told, class, ids);
                        gathered.lose(count, ids, reason);
                    }
                }
                Step::Damage(damage) => say(format_args!(
                    "{}: damaged: {} bytes at offset {}; firstline journal --check tells more",
                    self.directory.join(NAMES[damage.segment]).display(),
                    damage.bytes,
                    damage.offset
                )),
                Step::RolledBack(id) => {
                    say(format_args!("the server took back the messages from ID {id} on: its disk failed"));
                    gathered.roll_back(id);
                    rolled_back = Some(rolled_back.map_or(id, |before: u64| before.min(id)));
                }
                Step::Overwritten | Step::Pause => break,
                step @ (Step::Incomplete | Step::End) => {
                    (has_more, is_incomplete) = (false, step == Step::Incomplete);
                    break;
                }
            }
        }
        gathered.finish();
        Ok(Fresh { items: gathered.items, cursor, rolled_back, has_more, is_incomplete })
    }
}

fn catalog_of(files: &ReadOnly) -> Result<Catalog, Errno> {
    Ok(Catalog::new(&snapshot_headers(files, files.segment_bytes())?, None))
}

fn is_told_by_other(told: &VecDeque<(Class, (u64, u64))>, class: Class, ids: (u64, u64)) -> bool {
    told.iter().any(|(by, told)| *by != class && told.0 <= ids.0 && ids.1 <= told.1)
}

fn remember(told: &mut VecDeque<(Class, (u64, u64))>, class: Class, ids: (u64, u64)) {
    if told.len() == TOLD_MAX {
        told.pop_front();
    }
    told.push_back((class, ids));
}

/// The items that are gathered for one class.
struct Gathered {
    selection: Selection,
    class: Class,
    now_ms: u64,
    items: Vec<Item>,
    /// A loss that the next lost messages may extend.
    loss: Option<Loss>,
}

impl Gathered {
    fn add(&mut self, record: &Record<'_>) {
        if Class::of(record.priority, self.selection.urgent_from) != self.class {
            return;
        }
        let oldest_ms = self.selection.max_age_ms.map_or(0, |age| self.now_ms.saturating_sub(age));
        if record.time_ms < oldest_ms {
            self.lose(1, (record.id, record.id), Reason::Expired);
            return;
        }
        self.finish();
        self.items.push(Item::message(Message::of(record)));
    }

    fn lose(&mut self, count: u64, ids: (u64, u64), reason: Reason) {
        match &mut self.loss {
            Some(loss) if loss.reason == reason => loss.extend(count, ids.1),
            _ => {
                self.finish();
                self.loss = Some(Loss { count: Some(count), ids, reason });
            }
        }
    }

    fn roll_back(&mut self, first: u64) {
        self.items.retain(|item| item.first < first);
        self.loss = self.loss.take().filter(|loss| loss.ids.0 < first);
    }

    fn finish(&mut self) {
        self.items.extend(self.loss.take().map(Item::loss));
    }
}

#[cfg(test)]
mod tests;
