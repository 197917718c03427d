//! The thread that reads the journal for clients, a bounded piece for each in turn.

use super::handle::{Handle, REPLAYS};
use super::request::{Action, Replay, Scope};
use crate::conn_id::ConnId;
use crate::hub::Hub;
use crate::hub::egress::outbox::Outbox;
use crate::journal::catalog::Catalog;
use crate::journal::committed::Committed;
use crate::journal::cursor::{Cursor, Damage};
use crate::journal::files::{NAMES, ReadOnly};
use crate::journal::last::Progress;
use crate::journal::record::Record;
use crate::journal::scan::Window;
use crate::limits::{JOURNAL_READ_BYTES, MSG_BYTES_MAX, REPLAY_BYTES_PER_POLL};
use crate::protocol::reply::{self, Refusal};
use crate::queue::Chain;
use heapless::Vec;
use nix::errno::Errno;
use static_cell::ConstStaticCell;

static WINDOW: ConstStaticCell<Window> = ConstStaticCell::new([0; JOURNAL_READ_BYTES]);

/// Reads the journal for clients. There is one.
pub struct Reader {
    files: ReadOnly,
    /// Which opening of the files that is, see [`Committed::openings`].
    openings: u64,
    window: &'static mut Window,
    line: Vec<u8, MSG_BYTES_MAX>,
}

/// Why the reader leaves a replay for now.
enum Halt {
    /// There is no room: the worker wakes the reader when there is.
    NoRoom,
    /// The replay has had its share: others come first.
    Share,
    /// The replay has ended, with a refusal or without.
    Done(Option<Refusal>),
}

impl Reader {
    /// The reader of these files.
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

    /// Waits until it is woken, and reads a bounded piece for each connection that it is woken for.
    pub fn round(&mut self, hub: &Hub, handle: &Handle) {
        handle.for_each_called(|conn| self.serve(conn, hub, handle));
    }

    /// Reads a bounded piece for one connection.
    fn serve(&mut self, conn: ConnId, hub: &Hub, handle: &Handle) {
        let Some(mut replay) = REPLAYS[conn].lock().take() else { return };
        let halt = self.read(&mut replay, conn, hub, handle).unwrap_or_else(|errno| {
            log::warn!("the journal cannot be read: {}", errno.desc());
            if replay.line.is_none() {
                go_live(&replay, conn, hub, handle);
            }
            Halt::Done(Some(Refusal::JournalFailed))
        });
        match halt {
            Halt::NoRoom => *REPLAYS[conn].lock() = Some(replay),
            Halt::Share => {
                *REPLAYS[conn].lock() = Some(replay);
                handle.wake(conn);
            }
            Halt::Done(refusal) => close(replay, refusal, conn, hub, handle),
        }
        hub.wakeups.wake(conn);
    }

    fn read(&mut self, replay: &mut Replay, conn: ConnId, hub: &Hub, handle: &Handle) -> Result<Halt, Errno> {
        if stands_aside(replay, &mut hub.outboxes[conn].lock()) {
            return Ok(Halt::Done(None));
        }
        let committed = handle.committed();
        self.reopen_if_replaced(&committed, handle)?;
        if replay.last.is_some() {
            return self.search(replay, &committed, conn, hub, handle);
        }
        match self.send(replay, &committed, conn, hub, handle)? {
            Some(halt) => Ok(halt),
            None => Ok(catch_up(replay, &committed, conn, hub, handle)),
        }
    }

    /// Opens the files anew if the writer has.
    fn reopen_if_replaced(&mut self, committed: &Committed, handle: &Handle) -> Result<(), Errno> {
        if self.openings != committed.openings {
            self.files = ReadOnly::open(handle.directory()).map_err(|_| Errno::ENOENT)?;
            self.openings = committed.openings;
        }
        Ok(())
    }

    /// Continues the search for the beginning of the last messages.
    fn search(
        &mut self,
        replay: &mut Replay,
        committed: &Committed,
        conn: ConnId,
        hub: &Hub,
        handle: &Handle,
    ) -> Result<Halt, Errno> {
        let Some(last) = &mut replay.last else { return Ok(Halt::Share) };
        if let Some(halt) = look_for_room(&mut replay.scope, conn, hub) {
            return Ok(halt);
        }
        let catalog = Catalog::new(&committed.headers, Some(committed.end));
        match last.search(&catalog, &self.files, self.window, REPLAY_BYTES_PER_POLL)? {
            Progress::Found(cursor, skipped) => {
                (replay.last, replay.cursor, replay.scope.skipped) = (None, cursor, skipped);
            }
            Progress::Overwritten => handle.await_rotation(&committed.headers),
            Progress::Pause => {}
        }
        Ok(Halt::Share)
    }

    /// Puts messages into the outbox. None: all that is committed has been read.
    fn send(
        &mut self,
        replay: &mut Replay,
        committed: &Committed,
        conn: ConnId,
        hub: &Hub,
        handle: &Handle,
    ) -> Result<Option<Halt>, Errno> {
        let Self { files, window, line, .. } = self;
        let Replay { cursor, scope, .. } = replay;
        let catalog = Catalog::new(&committed.headers, Some(committed.end));
        let mut reading = cursor.read(&catalog, window, REPLAY_BYTES_PER_POLL);
        loop {
            if let Some(halt) = look_for_room(scope, conn, hub) {
                return Ok(Some(halt));
            }
            match scope.next_step(reading.next(files)?) {
                Action::ReadOn => {}
                Action::CountLost(count) => scope.count_lost(count, reading.next_id()),
                Action::Report(damage) => tell_damage(&damage, hub),
                Action::Send(record) => {
                    let id = record.id;
                    write_line(line, &record);
                    if let Some(halt) = put_line(line, scope, &mut hub.outboxes[conn].lock()) {
                        if matches!(halt, Halt::NoRoom) {
                            *cursor = Cursor::since(id);
                        }
                        return Ok(Some(halt));
                    }
                }
                Action::AwaitRotation => {
                    handle.await_rotation(&committed.headers);
                    return Ok(Some(Halt::Share));
                }
                Action::Pause => return Ok(Some(Halt::Share)),
                Action::End => return Ok(Some(Halt::Done(None))),
                Action::CaughtUp => return Ok(None),
            }
        }
    }
}

/// Whether the replay of what a client missed stands aside for another part of the history that the client asked for.
fn stands_aside(replay: &Replay, outbox: &mut Outbox) -> bool {
    replay.missed_from().is_some_and(|id| outbox.subscriber.stand_aside(id, replay.scope.lost))
}

/// Puts in the line of a message. If the client has left while it was read, or other threads have filled the outbox: why not.
fn put_line(line: &[u8], scope: &Scope, outbox: &mut Outbox) -> Option<Halt> {
    is_unwanted(scope, outbox).or_else(|| (!outbox.put_history(line)).then_some(Halt::NoRoom))
}

/// Closes the line that asked, if there is one, and releases its slot.
fn close(replay: Replay, refusal: Option<Refusal>, conn: ConnId, hub: &Hub, handle: &Handle) {
    let Replay { line, slot, .. } = replay;
    let mut outbox = hub.outboxes[conn].lock();
    outbox.reply(Chain::of(slot), |out| match (line, refusal) {
        (Some(line), Some(refusal)) => reply::err(out, line, refusal),
        (Some(line), None) => reply::ok(out, line),
        (None, _) => {}
    });
    // Under the same lock as the slot: before, the session might begin another replay; after, the place's next client might have.
    handle.finish(conn);
}

/// Why the client is not to be sent any more, if so: it is gone, it may not read, or it has left a replay that ends only by joining.
fn is_unwanted(scope: &Scope, outbox: &Outbox) -> Option<Halt> {
    let is_gone = !outbox.is_alive() || scope.is_endless() && outbox.subscriber.follows().is_none();
    if outbox.subscriber.is_barred() {
        Some(Halt::Done(Some(Refusal::NotAuthenticated)))
    } else {
        is_gone.then_some(Halt::Done(None))
    }
}

/// Why nothing can be put into the outbox now, if so. If there is room, the client is told of what was lost.
fn look_for_room(scope: &mut Scope, conn: ConnId, hub: &Hub) -> Option<Halt> {
    let mut outbox = hub.outboxes[conn].lock();
    if let Some(halt) = is_unwanted(scope, &outbox) {
        return Some(halt);
    }
    if hub.is_draining() {
        return Some(Halt::Done(Some(Refusal::ShuttingDown)));
    }
    if !outbox.has_room_for_history() {
        return Some(Halt::NoRoom);
    }
    if scope.lost > 0 {
        outbox.put_history(&reply::lost(scope.take_lost()));
    }
    None
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

/// Ends a replay that has read all that is committed, if the client has been sent all that it asked for.
fn catch_up(replay: &mut Replay, committed: &Committed, conn: ConnId, hub: &Hub, handle: &Handle) -> Halt {
    let end_id = replay.scope.end_id.unwrap_or(committed.next_id);
    let missing = end_id.saturating_sub(replay.cursor.next_id().unwrap_or(end_id));
    if missing > 0 {
        // The last messages are damaged: no message follows that would show it. The next round tells the client, if there is room.
        replay.scope.count_lost(missing, end_id);
        replay.cursor = Cursor::since(end_id);
        return Halt::Share;
    }
    let is_done = !replay.scope.is_endless() || join(replay, committed, conn, hub, handle);
    if is_done { Halt::Done(None) } else { Halt::Share }
}

/// Lets a client join that was sent all that is in `committed`, if nothing was committed since. True: nothing is left to do.
fn join(replay: &Replay, committed: &Committed, conn: ConnId, hub: &Hub, handle: &Handle) -> bool {
    let mut outbox = hub.outboxes[conn].lock();
    if is_unwanted(&replay.scope, &outbox).is_some() {
        return true;
    }
    // Before the look at what is committed: the consumer publishes that before it looks which clients joined.
    hub.joined.insert(conn);
    let has_all = handle.next_id() == committed.next_id;
    if has_all {
        let live_from = replay.cursor.next_id().unwrap_or(0).max(committed.next_id);
        outbox.subscriber.join_from(live_from, replay.scope.min);
    } else {
        hub.joined.remove(conn);
    }
    has_all
}

/// Lets a client that fell behind, and cannot be sent the history, continue with the live messages: those between are lost to it.
fn go_live(replay: &Replay, conn: ConnId, hub: &Hub, handle: &Handle) {
    let mut outbox = hub.outboxes[conn].lock();
    if is_unwanted(&replay.scope, &outbox).is_none() {
        hub.joined.insert(conn);
        let live_from = handle.next_id();
        let unread = live_from.saturating_sub(replay.cursor.next_id().unwrap_or(live_from));
        outbox.subscriber.join_after_loss(replay.scope.lost + unread, live_from, replay.scope.min);
        outbox.tell_lost();
    }
}
