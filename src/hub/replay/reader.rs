//! The thread that reads the journal for clients: a bounded amount for each, one after the other.

use super::handle::{Handle, REPLAYS};
use super::limiter::ReplayLimiter;
use super::request::{Action, Replay, Scope};
use crate::clock;
use crate::conn_id::{ConnId, ConnSet};
use crate::hub::egress::outbox::Outbox;
use crate::hub::egress::shared_outbox::LockedOutbox;
use crate::hub::egress::subscription::Reading;
use crate::hub::shared::Hub;
use crate::hub::workers::caller::Caller;
use crate::journal::catalog::Catalog;
use crate::journal::committed::Committed;
use crate::journal::cursor::{Cursor, Damage};
use crate::journal::last::Progress;
use crate::journal::names::NAMES;
use crate::journal::read_only::ReadOnly;
use crate::journal::record::Record;
use crate::journal::scan::Window;
use crate::limits::{CLIENTS, JOURNAL_READ_BYTES, MSG_BYTES_MAX, REPLAY_BYTES_PER_POLL};
use crate::protocol::reply::{self, Refusal};
use crate::queue::Chain;
use core::mem;
use heapless::Vec;
use nix::errno::Errno;
use static_cell::ConstStaticCell;

static WINDOW: ConstStaticCell<Window> = ConstStaticCell::new([0; JOURNAL_READ_BYTES]);

/// Reads the journal for clients. There is only one reader.
pub struct Reader {
    files: ReadOnly,
    /// The number of the opening that `files` belong to: see [`Committed::openings`].
    openings: u64,
    window: &'static mut Window,
    line: Vec<u8, MSG_BYTES_MAX>,
    limiter: ReplayLimiter,
    /// The connections whose replays wait until the limiter permits more.
    postponed: ConnSet,
    /// The connection of the limited replay that was served last.
    limited_last: ConnId,
}

/// Why the reader stops working on a replay for now.
enum Halt {
    /// The outbox has no room. The worker wakes the reader when it has.
    NoRoom,
    /// The replay has used its share: the replays of other clients go first.
    Yield,
    /// The replay has ended, and the line that requested it gets this reply.
    Ended(Answer),
}

/// The reply to the line that requested a replay.
enum Answer {
    /// The client has all that it requested, or has left by a command.
    Ok,
    /// The rest is refused.
    Err(Refusal),
    /// No reply: the connection is cut short, and `OK` would say that the client has all that it requested.
    Nothing,
}

/// A connection that the reader serves, with the hub and the handle.
#[derive(Clone, Copy)]
struct Client<'a> {
    conn: ConnId,
    hub: &'a Hub,
    handle: &'a Handle,
}

impl Client<'_> {
    fn outbox(&self) -> LockedOutbox<'static> {
        self.hub.outboxes[self.conn].lock()
    }

    /// Whether the limiter applies to the client's replay: the replay is finite and must not hurry, the client may
    /// still have it, and the server does not shut down.
    fn is_limited(&self) -> bool {
        let is_finite = |replay: &&Replay| !replay.scope.is_endless();
        let next_id =
            REPLAYS[self.conn].lock().as_ref().filter(is_finite).map(|replay| replay.cursor.next_id());
        let can_wait = next_id.is_some_and(|id| !self.is_overwritten_next(id.unwrap_or(0)));
        if !can_wait || self.hub.is_draining() {
            return false;
        }
        let outbox = self.outbox();
        outbox.is_alive() && outbox.subscriber.reading() == Reading::Permitted
    }

    fn is_overwritten_next(&self, id: u64) -> bool {
        let committed = self.handle.committed();
        Catalog::new(&committed.headers, Some(committed.end)).is_overwritten_next(id)
    }
}

impl Reader {
    /// The reader of these files.
    ///
    /// # Panics
    /// When called twice: there is only one reader.
    pub fn new(files: ReadOnly) -> Self {
        Self {
            files,
            openings: 0,
            window: WINDOW.take(),
            line: Vec::new(),
            limiter: ReplayLimiter::default(),
            postponed: ConnSet::new(),
            limited_last: ConnId::FIRST,
        }
    }

    /// Reads for as long as the process lives.
    pub fn run(mut self, hub: &Hub, handle: &Handle) -> ! {
        loop {
            self.round(hub, handle);
        }
    }

    /// Waits until a thread wakes the reader, or for a while if replays are postponed; then reads a bounded amount for
    /// each connection, as far as the limiter permits.
    pub fn round(&mut self, hub: &Hub, handle: &Handle) {
        let has_postponed = !self.postponed.is_empty();
        handle.await_wake_up(has_postponed.then(|| self.limiter.wait_ns(clock::now_ns())));
        let postponed = mem::replace(&mut self.postponed, ConnSet::new());
        // The limiter may permit only one of them each time: they take turns.
        let next = self.limited_last.index() + 1;
        let mut visit = |conn| self.serve_or_postpone(Client { conn, hub, handle });
        postponed.drain(next..CLIENTS, &mut visit);
        postponed.drain(0..next, &mut visit);
        handle.for_each_woken(visit);
    }

    fn serve_or_postpone(&mut self, client: Client<'_>) {
        if self.limiter.wait_ns(clock::now_ns()) > 0 && client.is_limited() {
            self.postponed.insert(client.conn);
        } else {
            self.serve_and_charge(client);
        }
    }

    /// Serves a client, and charges its replay for the CPU time.
    fn serve_and_charge(&mut self, client: Client<'_>) {
        if !client.is_limited() {
            return self.serve(client);
        }
        self.limited_last = client.conn;
        let before_ns = clock::thread_cpu_ns();
        self.serve(client);
        let cpu_ns = clock::thread_cpu_ns().saturating_sub(before_ns);
        self.limiter.charge(cpu_ns, client.handle.next_id(), clock::now_ns());
    }

    /// Reads a bounded amount for one connection.
    fn serve(&mut self, client: Client<'_>) {
        let Client { conn, hub, handle } = client;
        let Some(mut replay) = REPLAYS[conn].lock().take() else { return };
        let halt = self.read(&mut replay, client).unwrap_or_else(|errno| {
            log::warn!("the journal cannot be read: {}", errno.desc());
            if replay.line.is_none() {
                join_after_loss(&replay, client);
            }
            Halt::Ended(Answer::Err(Refusal::JournalFailed))
        });
        let is_ended = matches!(halt, Halt::Ended(_));
        let lacks_room = matches!(halt, Halt::NoRoom);
        match halt {
            Halt::Ended(answer) => end(replay, answer, client),
            Halt::NoRoom | Halt::Yield => *REPLAYS[conn].lock() = Some(replay),
        }
        // Not the worker: it would wake for each outbox that the reader fills, and delay urgent lines of its other
        // clients.
        hub.send(conn, Caller::OwnThread);
        if is_ended || lacks_room && !client.outbox().has_room_for_history() {
            hub.wakeups.wake(conn);
        } else {
            handle.wake(conn);
        }
    }

    fn read(&mut self, replay: &mut Replay, client: Client<'_>) -> Result<Halt, Errno> {
        if pauses_catch_up(replay, &mut client.outbox()) {
            return Ok(Halt::Ended(Answer::Ok));
        }
        let committed = client.handle.committed();
        self.reopen_if_replaced(&committed, client.handle)?;
        if replay.last.is_some() {
            return self.search(replay, &committed, client);
        }
        match self.send(replay, &committed, client)? {
            Some(halt) => Ok(halt),
            None => Ok(finish_or_join(replay, &committed, client)),
        }
    }

    /// Reopens the files if the writer has reopened them.
    fn reopen_if_replaced(&mut self, committed: &Committed, handle: &Handle) -> Result<(), Errno> {
        if self.openings != committed.openings {
            self.files = ReadOnly::open(handle.directory()).map_err(|_| Errno::ENOENT)?;
            self.openings = committed.openings;
        }
        Ok(())
    }

    /// Continues the search for the first of the last messages.
    fn search(
        &mut self,
        replay: &mut Replay,
        committed: &Committed,
        client: Client<'_>,
    ) -> Result<Halt, Errno> {
        let Some(last) = &mut replay.last else { return Ok(Halt::Yield) };
        if let Some(halt) = check_room(&mut replay.scope, client) {
            return Ok(halt);
        }
        let catalog = Catalog::new(&committed.headers, Some(committed.end));
        match last.search(&catalog, &self.files, self.window, REPLAY_BYTES_PER_POLL)? {
            Progress::Complete(cursor, skipped) => {
                (replay.last, replay.cursor, replay.scope.skipped) = (None, cursor, skipped);
            }
            Progress::Overwritten => client.handle.await_rotation(&committed.headers),
            Progress::Pause => {}
        }
        Ok(Halt::Yield)
    }

    /// Puts messages into the outbox. Returns `None` if the reader has read all committed messages.
    fn send(
        &mut self,
        replay: &mut Replay,
        committed: &Committed,
        client: Client<'_>,
    ) -> Result<Option<Halt>, Errno> {
        let Self { files, window, line, .. } = self;
        let Replay { cursor, scope, .. } = replay;
        let catalog = Catalog::new(&committed.headers, Some(committed.end));
        let mut reading = cursor.read(&catalog, window, REPLAY_BYTES_PER_POLL);
        loop {
            if let Some(halt) = check_room(scope, client) {
                return Ok(Some(halt));
            }
            match scope.next_step(reading.next(files)?) {
                Action::ReadOn => {}
                Action::CountLost(count) => scope.count_lost(count, reading.next_id()),
                Action::Report(damage) => report_damage(&damage, client.hub),
                Action::Send(record) => {
                    let id = record.id;
                    format_line(line, &record);
                    if let Some(halt) = put_line(line, scope, &mut client.outbox()) {
                        // The client has not been sent this message.
                        *cursor = Cursor::since(id);
                        return Ok(Some(halt));
                    }
                }
                Action::AwaitRotation => {
                    client.handle.await_rotation(&committed.headers);
                    return Ok(Some(Halt::Yield));
                }
                Action::Pause => return Ok(Some(Halt::Yield)),
                Action::End => return Ok(Some(Halt::Ended(Answer::Ok))),
                Action::CaughtUp => return Ok(None),
            }
        }
    }
}

/// Pauses the replay of what a client missed, if the client has requested another part of the history. Returns whether
/// it pauses.
fn pauses_catch_up(replay: &Replay, outbox: &mut Outbox) -> bool {
    replay.missed_from().is_some_and(|id| outbox.subscriber.pause_if_requested(id, replay.scope.lost))
}

/// Puts in the line of a message. Returns why not, if the client left while the reader read the message, or if other
/// threads have filled the outbox.
fn put_line(line: &[u8], scope: &Scope, outbox: &mut Outbox) -> Option<Halt> {
    is_unwanted(scope, outbox).or_else(|| (!outbox.put_history(line)).then_some(Halt::NoRoom))
}

/// Ends a replay: closes the line that requested it, if there is one, and releases the slot.
fn end(replay: Replay, answer: Answer, client: Client<'_>) {
    let Replay { line, slot, .. } = replay;
    let mut outbox = client.outbox();
    outbox.reply(Chain::of(slot), |out| match (line, answer) {
        (Some(line), Answer::Ok) => reply::ok(out, line),
        (Some(line), Answer::Err(refusal)) => reply::err(out, line, refusal),
        (None, _) | (_, Answer::Nothing) => {}
    });
    // Under the same lock as the release of the slot. Before the release, the session could begin another replay;
    // after it, the next client of the place could.
    client.handle.finish(client.conn);
}

/// Why the replay ends, if the client no longer wants it: the client is gone, may not read the history, or has left a
/// replay that ends only when the client joins.
fn is_unwanted(scope: &Scope, outbox: &Outbox) -> Option<Halt> {
    let is_gone = !outbox.is_alive() || scope.is_endless() && outbox.subscriber.catching_up().is_none();
    let answer = match outbox.subscriber.reading() {
        Reading::Revoked => Answer::Err(Refusal::NotAuthenticated),
        Reading::CutShort => Answer::Nothing,
        Reading::Permitted if is_gone => Answer::Ok,
        Reading::Permitted => return None,
    };
    Some(Halt::Ended(answer))
}

/// Why no message can be put into the outbox now, or `None` if one can. Then all lost messages are reported to the
/// client.
fn check_room(scope: &mut Scope, client: Client<'_>) -> Option<Halt> {
    let mut outbox = client.outbox();
    if let Some(halt) = is_unwanted(scope, &outbox) {
        return Some(halt);
    }
    if client.hub.is_draining() {
        return Some(Halt::Ended(Answer::Err(Refusal::ShuttingDown)));
    }
    if !outbox.has_room_for_history() {
        return Some(Halt::NoRoom);
    }
    if scope.lost > 0 {
        outbox.put_history(&reply::lost(scope.take_lost()));
    }
    None
}

fn report_damage(damage: &Damage, hub: &Hub) {
    let Damage { segment, offset, bytes } = damage;
    log::warn!("journal: {bytes} bytes of {} are damaged, from {offset} on", NAMES[*segment]);
    hub.counters.lock().journal_damage_bytes += u64::from(*bytes);
}

fn format_line(line: &mut Vec<u8, MSG_BYTES_MAX>, record: &Record<'_>) {
    line.clear();
    // The server itself wrote FROM as UTF-8: the checksum is correct.
    let from = str::from_utf8(record.from).unwrap_or("?");
    // There is room for the longest line.
    let _ = reply::msg(line, record.id, record.priority, from, record.text);
}

/// For a replay that has read all committed messages: ends it, or lets its client join, if all that the client
/// requested has been sent.
fn finish_or_join(replay: &mut Replay, committed: &Committed, client: Client<'_>) -> Halt {
    let end_id = replay.scope.end_id.unwrap_or(committed.next_id);
    let missing = end_id.saturating_sub(replay.cursor.next_id().unwrap_or(end_id));
    if missing > 0 {
        // The last messages are damaged, and no message follows that would show the gap. The next round reports it to
        // the client, if there is room.
        replay.scope.count_lost(missing, end_id);
        replay.cursor = Cursor::since(end_id);
        return Halt::Yield;
    }
    let is_done = !replay.scope.is_endless() || join(replay, committed, client);
    if is_done { Halt::Ended(Answer::Ok) } else { Halt::Yield }
}

/// Lets a client join to which all of `committed` has been sent, if nothing has been committed since. Returns true if
/// nothing is left to do.
fn join(replay: &Replay, committed: &Committed, client: Client<'_>) -> bool {
    let mut outbox = client.outbox();
    if is_unwanted(&replay.scope, &outbox).is_some() {
        return true;
    }
    // Before `next_id` is read: the consumer publishes the committed part of the journal before it reads which clients
    // have joined.
    client.hub.joined.insert(client.conn);
    let has_all = client.handle.next_id() == committed.next_id;
    if has_all {
        let live_from = replay.cursor.next_id().unwrap_or(0).max(committed.next_id);
        outbox.subscriber.join_from(live_from, replay.scope.min);
    } else {
        client.hub.joined.remove(client.conn);
    }
    has_all
}

/// Lets a client that fell behind, and for which the history cannot be read, continue with the live messages. The
/// messages in between are lost to it.
fn join_after_loss(replay: &Replay, client: Client<'_>) {
    let mut outbox = client.outbox();
    if is_unwanted(&replay.scope, &outbox).is_none() {
        client.hub.joined.insert(client.conn);
        let live_from = client.handle.next_id();
        let unread = live_from.saturating_sub(replay.cursor.next_id().unwrap_or(live_from));
        outbox.subscriber.join_after_loss(replay.scope.lost + unread, live_from, replay.scope.min);
        outbox.push_lost();
    }
}
