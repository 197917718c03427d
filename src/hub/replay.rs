//! The historian: reads the journal for clients that ask for it (`/last`, `/since`, `/join MIN since ID`), at the speed at which each
//! of them reads, in a thread of its own. So neither the consumer nor a worker ever waits for the disk because of a reader.
//!
//! A replay owns the slot of the line that asked. It comes home with the reply that closes the line; so a seat is never given to
//! another while something is read for it. The historian fills the outbox as far as there is room, and calls the worker; the
//! worker sends, and calls the historian when there is room again. Meanwhile the client's lines are taken as ever: the room for
//! replies is left free, and one that leaves, or joins anew, is read for no longer.
//!
//! Who joins goes over from the history to what comes live without a gap or a repetition: the consumer tells what is committed
//! *before* it delivers, and the historian lets a client join only while nothing is committed that it has not been sent,
//! looking at that under the outbox's lock. What the consumer then delivers of before is left out by its ID. Where the client is
//! too slow for what comes live, it is sent the history again from there.

use crate::conn_id::{ConnId, ConnSet, PerConn};
use crate::hub::Hub;
use crate::hub::egress::outbox::Outbox;
use crate::journal::catalog::Catalog;
use crate::journal::committed::Committed;
use crate::journal::cursor::{Cursor, Damage, Step};
use crate::journal::files::{NAMES, ReadOnly};
use crate::journal::last::{Last, Progress};
use crate::journal::record::Record;
use crate::journal::scan::Window;
use crate::journal::writer::Headers;
use crate::limits::{CLIENTS, JOURNAL_READ_BYTES, MSG_BYTES_MAX, REPLAY_BYTES_PER_POLL, ROTATION_MS_MAX};
use crate::protocol::Priority;
use crate::protocol::reply::{self, Refusal};
use crate::queue::{Chain, Slot};
use crate::sync::{Condvar, Mutex};
use core::num::NonZeroU64;
use heapless::Vec;
use nix::errno::Errno;
use static_cell::ConstStaticCell;
use std::path::PathBuf;
use std::time::Duration;

/// What is read for the client at each seat, while nobody reads for it.
pub type Replays = PerConn<Mutex<Option<Replay>>>;

static REPLAYS: Replays = PerConn([const { Mutex::new(None) }; CLIENTS]);
static WINDOW: ConstStaticCell<Window> = ConstStaticCell::new([0; JOURNAL_READ_BYTES]);

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The last so many messages.
    Last(NonZeroU64),
    /// The messages after that one, up to now.
    Since(u64),
    /// The messages after that one, and then what comes; each of that priority or above.
    JoinSince(u64, Priority),
}

impl Request {
    /// The position in the history that it names.
    pub fn position(self) -> u64 {
        match self {
            Self::Last(_) => 0,
            Self::Since(id) | Self::JoinSince(id, _) => id,
        }
    }
}

/// A request that is being fulfilled.
pub struct Replay {
    /// Where the last messages begin that were asked for, as long as that is looked for.
    last: Option<Last>,
    cursor: Cursor,
    /// Messages that are left out at the beginning.
    skipped: u64,
    /// The first ID that is not sent any more. None: it never ends.
    end_id: Option<u64>,
    /// Messages below that priority are left out.
    min: Priority,
    /// Whether it is to be told of what is not there any more, and how many messages that are. Before the first of the last messages
    /// nothing was asked for.
    tells_lost: bool,
    lost: u64,
    /// The line that asked, to be closed; none for one that fell behind. Its slot reserves the room for the reply.
    line: Option<u64>,
    slot: &'static mut Slot,
}

impl Replay {
    /// What a client missed stands aside for something else that it asked for; true: it does.
    fn stands_aside(&self, outbox: &mut Outbox) -> bool {
        let is_missed = self.end_id.is_none() && self.line.is_none();
        is_missed && self.cursor.next_id().is_some_and(|id| outbox.stand_aside(id, self.lost))
    }
}

/// What the others know of the historian.
pub struct Handle {
    directory: PathBuf,
    committed: Mutex<Committed>,
    published: Condvar,
    /// The seats that something is read for.
    busy: ConnSet,
    /// Those of them that can go on.
    called: ConnSet,
    is_called: Mutex<bool>,
    calls: Condvar,
}

impl Handle {
    /// Of the journal in that directory, of which so much is committed.
    pub fn new(directory: PathBuf, committed: Committed) -> Self {
        Self {
            directory,
            committed: Mutex::new(committed),
            published: Condvar::new(),
            busy: ConnSet::new(),
            called: ConnSet::new(),
            is_called: Mutex::new(false),
            calls: Condvar::new(),
        }
    }

    /// For the consumer, before it delivers: so much is committed.
    pub fn publish(&self, committed: Committed) {
        *self.committed.lock() = committed;
        self.published.notify_all();
    }

    /// Waits until it is published that the writer has turned over to another segment than these headers tell: it writes to
    /// that before it says so, and syncs in between. To read again at once would be to spin.
    fn await_rotation(&self, headers: &Headers) {
        let timeout = Duration::from_millis(ROTATION_MS_MAX);
        let is_old = |committed: &mut Committed| committed.headers == *headers;
        drop(self.published.wait_timeout_while(self.committed.lock(), timeout, is_old));
    }

    /// The ID of the newest message, if the history has not come to that position. The ID that comes next is none of those: whoever
    /// asks for what comes after it has miscounted by one, and is sent that message too.
    pub fn newest_before(&self, position: u64) -> Option<u64> {
        let next_id = self.committed.lock().next_id;
        (position > next_id).then(|| next_id.saturating_sub(1))
    }

    /// Begins to read what the client at that seat asked for in line `line`, which occupies `slot`. One at a time.
    pub fn begin(&self, request: Request, conn: ConnId, line: u64, slot: &'static mut Slot) {
        let next_id = self.committed.lock().next_id;
        let since = |id: u64| Cursor::since(id.saturating_add(1).min(next_id));
        let (last, cursor, end_id, min) = match request {
            Request::Last(count) => {
                let last = Last::new(count.get(), next_id);
                (Some(last), Cursor::oldest(), Some(next_id), Priority::MIN)
            }
            Request::Since(id) => (None, since(id), Some(next_id), Priority::MIN),
            Request::JoinSince(id, min) => (None, since(id), None, min),
        };
        let tells_lost = last.is_none();
        let line = Some(line);
        self.take(conn, Replay { last, cursor, skipped: 0, end_id, min, tells_lost, lost: 0, line, slot });
    }

    /// Begins to read for a client that joined with [`Request::JoinSince`] and fell behind, from that ID on.
    pub fn resume(&self, id: u64, min: Priority, conn: ConnId, slot: &'static mut Slot) {
        let (last, cursor, skipped) = (None, Cursor::since(id), 0);
        let (end_id, tells_lost, lost, line) = (None, true, 0, None);
        self.take(conn, Replay { last, cursor, skipped, end_id, min, tells_lost, lost, line, slot });
    }

    fn take(&self, conn: ConnId, replay: Replay) {
        self.busy.insert(conn);
        *REPLAYS[conn].lock() = Some(replay);
        self.wake(conn);
    }

    /// Whether something is being read for the client at that seat.
    pub fn is_busy(&self, conn: ConnId) -> bool {
        self.busy.contains(conn)
    }

    /// There is room in the outbox of that seat, or its client is gone.
    pub fn wake(&self, conn: ConnId) {
        if self.called.insert(conn) {
            *self.is_called.lock() = true;
            self.calls.notify_one();
        }
    }

    fn wait(&self) {
        *self.calls.wait_while(self.is_called.lock(), |is_called| !*is_called) = false;
    }
}

/// The one who reads.
pub struct Reader {
    files: ReadOnly,
    /// Which opening of the files that is.
    openings: u64,
    window: &'static mut Window,
    line: Vec<u8, MSG_BYTES_MAX>,
}

/// Why a replay is not read on now.
enum Halt {
    /// There is no room: the worker calls when there is.
    NoRoom,
    /// It has had its share: others come first.
    Share,
    /// It is done; none: nobody waits for it.
    Done(Option<Refusal>),
}

impl Reader {
    /// The historian of these files.
    ///
    /// # Panics
    /// When called twice: there is one.
    pub fn new(files: ReadOnly) -> Self {
        Self { files, openings: 0, window: WINDOW.take(), line: Vec::new() }
    }

    /// Reads for as long as the process lives.
    pub fn run(mut self, hub: &Hub, handle: &Handle) -> ! {
        loop {
            self.round(hub, handle);
        }
    }

    /// Waits until it is called, and reads a bounded piece for each seat that it is called for.
    pub fn round(&mut self, hub: &Hub, handle: &Handle) {
        handle.wait();
        handle.called.drain(0..CLIENTS, |conn| self.serve(conn, hub, handle));
    }

    /// Reads a bounded piece for one seat.
    fn serve(&mut self, conn: ConnId, hub: &Hub, handle: &Handle) {
        let Some(mut replay) = REPLAYS[conn].lock().take() else { return };
        let halt = match self.read(&mut replay, conn, hub, handle) {
            Ok(halt) => halt,
            Err(errno) => {
                log::warn!("the journal cannot be read: {}", errno.desc());
                if replay.line.is_none() {
                    go_live(&replay, conn, hub, handle);
                }
                Halt::Done(Some(Refusal::JournalFailed))
            }
        };
        match halt {
            Halt::NoRoom => *REPLAYS[conn].lock() = Some(replay),
            Halt::Share => {
                *REPLAYS[conn].lock() = Some(replay);
                handle.wake(conn);
            }
            Halt::Done(refusal) => {
                let Replay { line, slot, .. } = replay;
                let mut outbox = hub.outboxes[conn].lock();
                outbox.reply(Chain::of(slot), |out| match (line, refusal) {
                    (Some(line), Some(refusal)) => reply::err(out, line, refusal),
                    (Some(line), None) => reply::ok(out, line),
                    (None, _) => {}
                });
                // Together with its slot: before, the session might begin another; after, the next tenant might have.
                handle.busy.remove(conn);
            }
        }
        hub.wakeups.wake(conn);
    }

    fn read(&mut self, replay: &mut Replay, conn: ConnId, hub: &Hub, handle: &Handle) -> Result<Halt, Errno> {
        if replay.stands_aside(&mut hub.outboxes[conn].lock()) {
            return Ok(Halt::Done(None));
        }
        let committed = *handle.committed.lock();
        self.follow(&committed, handle)?;
        let catalog = Catalog::new(&committed.headers, Some(committed.end));
        let Self { files, window, line, .. } = self;
        if let Some(last) = &mut replay.last {
            if let Some(halt) = look_for_room(replay.end_id, &mut replay.lost, conn, hub) {
                return Ok(halt);
            }
            match last.search(&catalog, files, window, REPLAY_BYTES_PER_POLL)? {
                Progress::Found(cursor, skipped) => {
                    (replay.last, replay.cursor, replay.skipped) = (None, cursor, skipped);
                }
                Progress::Overwritten => handle.await_rotation(&committed.headers),
                Progress::Pause => {}
            }
            return Ok(Halt::Share);
        }
        let mut reading = replay.cursor.read(&catalog, window, REPLAY_BYTES_PER_POLL);
        loop {
            if let Some(halt) = look_for_room(replay.end_id, &mut replay.lost, conn, hub) {
                return Ok(halt);
            }
            let record = match reading.next(files)? {
                Step::Record(record) if replay.end_id.is_some_and(|end_id| record.id >= end_id) => {
                    return Ok(Halt::Done(None));
                }
                Step::Record(_) if replay.skipped > 0 => {
                    replay.skipped -= 1;
                    continue;
                }
                Step::Record(record) => record,
                Step::Lost(count) => {
                    // What is behind the end was not asked for.
                    let beyond = replay.end_id.map_or(0, |end_id| reading.next_id().saturating_sub(end_id));
                    replay.lost += if replay.tells_lost { count.saturating_sub(beyond) } else { 0 };
                    continue;
                }
                // The IDs that it had are told as lost.
                Step::Damage(damage) => {
                    tell_damage(&damage, hub);
                    continue;
                }
                Step::RolledBack(_) => continue,
                Step::Overwritten => {
                    handle.await_rotation(&committed.headers);
                    return Ok(Halt::Share);
                }
                Step::Incomplete | Step::Pause => return Ok(Halt::Share),
                Step::End => break,
            };
            replay.tells_lost = true;
            if record.priority >= replay.min {
                let id = record.id;
                write_line(line, &record);
                let mut outbox = hub.outboxes[conn].lock();
                // It may have left while this was read.
                if let Some(halt) = is_unwanted(replay.end_id, &outbox) {
                    return Ok(halt);
                }
                if !outbox.put_history(line) {
                    // Others have filled it meanwhile.
                    replay.cursor = Cursor::since(id);
                    return Ok(Halt::NoRoom);
                }
            }
        }
        let end_id = replay.end_id.unwrap_or(committed.next_id);
        let missing = end_id.saturating_sub(replay.cursor.next_id().unwrap_or(end_id));
        if missing > 0 {
            // The last ones are damaged: no message comes that would tell. Told in the next turn, if there is room.
            replay.lost += if replay.tells_lost { missing } else { 0 };
            replay.cursor = Cursor::since(end_id);
            return Ok(Halt::Share);
        }
        let is_done = replay.end_id.is_some() || join(replay, &committed, conn, hub, handle);
        Ok(if is_done { Halt::Done(None) } else { Halt::Share })
    }

    /// Opens the files anew where the writer has.
    fn follow(&mut self, committed: &Committed, handle: &Handle) -> Result<(), Errno> {
        if self.openings != committed.openings {
            self.files = ReadOnly::open(&handle.directory).map_err(|_| Errno::ENOENT)?;
            self.openings = committed.openings;
        }
        Ok(())
    }
}

/// Whether somebody is there and has not left meanwhile: what never ends is read for one who follows.
fn is_wanted(end_id: Option<u64>, outbox: &Outbox) -> bool {
    is_unwanted(end_id, outbox).is_none()
}

/// Why nobody is to be sent any more of it, if so.
fn is_unwanted(end_id: Option<u64>, outbox: &Outbox) -> Option<Halt> {
    let is_gone = !outbox.is_alive() || end_id.is_none() && outbox.follows().is_none();
    if outbox.is_barred() {
        Some(Halt::Done(Some(Refusal::NotAuthenticated)))
    } else {
        is_gone.then_some(Halt::Done(None))
    }
}

/// Why nothing can be put in the outbox of that seat now, if so. What was lost is told as soon as it can be.
fn look_for_room(end_id: Option<u64>, lost: &mut u64, conn: ConnId, hub: &Hub) -> Option<Halt> {
    let mut outbox = hub.outboxes[conn].lock();
    if let Some(halt) = is_unwanted(end_id, &outbox) {
        return Some(halt);
    }
    match () {
        () if hub.is_draining() => Some(Halt::Done(Some(Refusal::ShuttingDown))),
        () if !outbox.has_room_for_history() => Some(Halt::NoRoom),
        () => {
            if *lost > 0 {
                outbox.put_history(&reply::lost(core::mem::take(lost)));
            }
            None
        }
    }
}

fn tell_damage(damage: &Damage, hub: &Hub) {
    let Damage { segment, offset, bytes } = damage;
    log::warn!("journal: {bytes} bytes of {} are damaged, from {offset} on", NAMES[*segment]);
    hub.counters.lock().journal_damage_bytes += u64::from(*bytes);
}

fn write_line(line: &mut Vec<u8, MSG_BYTES_MAX>, record: &Record<'_>) {
    line.clear();
    // FROM is what the server wrote itself, or else the checksum would not be right.
    let from = str::from_utf8(record.from).unwrap_or("?");
    // There is room for the longest line.
    let _ = reply::msg(line, record.id, record.priority, from, record.text);
}

/// Has a client join that was sent all that was committed then, if nothing was since; says whether there is nothing left to do.
fn join(replay: &Replay, committed: &Committed, conn: ConnId, hub: &Hub, handle: &Handle) -> bool {
    let mut outbox = hub.outboxes[conn].lock();
    if !is_wanted(replay.end_id, &outbox) {
        return true;
    }
    // Before it is looked at what is committed: the consumer tells that before it looks who joined.
    hub.joined.insert(conn);
    let has_all = handle.committed.lock().next_id == committed.next_id;
    if has_all {
        let live_from = replay.cursor.next_id().unwrap_or(0).max(committed.next_id);
        outbox.join_from(live_from, replay.min);
    } else {
        hub.joined.remove(conn);
    }
    has_all
}

/// Has a client that fell behind, and cannot be sent the history, go on with what comes live: what is between is lost to it.
fn go_live(replay: &Replay, conn: ConnId, hub: &Hub, handle: &Handle) {
    let mut outbox = hub.outboxes[conn].lock();
    if is_wanted(replay.end_id, &outbox) {
        hub.joined.insert(conn);
        let live_from = handle.committed.lock().next_id;
        let unread = live_from.saturating_sub(replay.cursor.next_id().unwrap_or(live_from));
        outbox.join_after_loss(replay.lost + unread, live_from, replay.min);
    }
}
