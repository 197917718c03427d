//! The outbound direction, from the journal to the broker: both classes, their turns, and the outcome of each item.
//! Reads the journal, and knows no connection.

use super::class::{Class, PerClass};
use super::counters::Counters;
use super::cursors::Cursors;
use super::exchange::{Publication, Rejection};
use super::item::{Content, Item, Loss, Reason};
use super::limits::{ATTEMPTS_MAX, ITEM_BYTES_MAX};
use super::publication::Form;
use super::reader::{Reader, Selection, Trouble};
use super::report::{Series, say};
use super::stream::Stream;
use super::turns::Turns;
use super::window::Depth;
use crate::journal::segment::Identity;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The settings for sending.
#[derive(Clone, Debug)]
pub struct Manner {
    /// The journal.
    pub directory: PathBuf,
    /// Which messages to read.
    pub selection: Selection,
    /// The form of publications.
    pub form: Form,
    /// How many messages may be in flight.
    pub in_flight: usize,
    /// The share of the bytes that the rest gets, in percent.
    pub min_share: u64,
}

/// The next publication to send.
#[derive(Debug)]
pub struct Next {
    /// Its class.
    pub class: Class,
    /// The publication.
    pub publication: Publication,
}

/// The result of a refusal by the broker.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The broker may take the message later, so the connection has to be closed to keep the order.
    ForNow,
    /// A message of that class is lost, and its loss will be reported.
    ForGood(Class),
}

/// The state of the outbound direction.
pub struct Outgoing {
    manner: Manner,
    reader: Reader,
    streams: PerClass<Stream>,
    turns: Turns,
    /// Another journal that has replaced this one. Reading it begins once all messages that were read from this one are
    /// sent.
    successor: Option<Reader>,
    /// The cursors in the previous journal. The cursor file keeps them until the broker has acknowledged the report
    /// that the rest of that journal is lost. So a restart reports the loss again.
    before: Option<Cursors>,
    /// The counters.
    pub counters: Counters,
    /// The log lines about losses that are reported to the broker, and about losses that cannot be reported.
    log: [Series; 2],
}

impl Outgoing {
    /// Continues at the saved cursors, or begins with the oldest message if there are none.
    ///
    /// # Errors
    /// Why the journal cannot be read now.
    pub fn open(manner: &Manner, saved: Option<Cursors>) -> Result<Self, Trouble> {
        let mut reader = Reader::open(&manner.directory, manner.selection)?;
        let (identity, urgent_from) = (reader.identity(), manner.selection.urgent_from);
        let next = match saved {
            Some(saved) if saved.identity == identity => {
                let cursors = saved.with_urgent_from(urgent_from);
                if cursors != saved {
                    say(format_args!("--urgent has changed: some messages may be sent twice"));
                }
                within_history(cursors.next, reader.next_id()?, &manner.directory)
            }
            _ => PerClass::new(|_| reader.oldest_id()),
        };
        let mut outgoing = Self {
            streams: PerClass::new(|class| Stream::new(class, next[class], manner.in_flight)),
            turns: Turns::new(manner.min_share, ITEM_BYTES_MAX),
            manner: manner.clone(),
            reader,
            successor: None,
            before: None,
            counters: Counters::default(),
            log: Default::default(),
        };
        if let Some(old) = saved.filter(|saved| saved.identity != identity) {
            outgoing.tell_other_journal(old);
        }
        Ok(outgoing)
    }

    /// Reads on, if there is room. Returns true if there was something new.
    ///
    /// # Errors
    /// Why not now.
    pub fn look(&mut self, now_ms: u64, now: Instant) -> Result<bool, Trouble> {
        let read = self.reader.look(&mut self.streams, now_ms, now);
        match (&self.successor, &read) {
            // The files of the old journal are open, so their messages are sent first, wherever the files are now.
            (None, _) | (Some(_), Ok(true)) => read,
            // The loss of the messages that cannot be read is reported.
            (Some(_), _) => Ok(self.change_journal(read.is_ok())),
        }
    }

    /// If other files are in the place of the journal's files, opens those.
    ///
    /// # Errors
    /// Why the new ones cannot be read now.
    pub fn follow_files(&mut self) -> Result<(), Trouble> {
        if self.successor.is_some() || self.reader.is_in_place() {
            return Ok(());
        }
        let reader = Reader::open(&self.manner.directory, self.manner.selection)?;
        if reader.identity() == self.reader.identity() {
            self.reader = reader;
        } else {
            self.successor = Some(reader);
        }
        Ok(())
    }

    /// Changes to the other journal, if all messages that could be read from the old one are sent.
    fn change_journal(&mut self, is_readable: bool) -> bool {
        if !self.streams.iter().all(Stream::is_idle) || (is_readable && self.is_searching()) {
            return false;
        }
        let Some(successor) = self.successor.take() else { return false };
        let old = self.cursors();
        self.reader = successor;
        for class in Class::ALL {
            self.streams[class].go_to(self.reader.oldest_id());
        }
        self.tell_other_journal(old);
        true
    }

    fn tell_other_journal(&mut self, old: Cursors) {
        let Cursors { identity, next, .. } = old;
        say(format_args!(
            "{}: journal {} has replaced journal {identity}, of which urgent messages from ID {} on and others from ID {} on may not have been sent; \
             the new journal is sent from its oldest message on",
            self.manner.directory.display(),
            self.reader.identity(),
            next[Class::Urgent],
            next[Class::Rest],
        ));
        let from = next[Class::Urgent].min(next[Class::Rest]);
        let loss = Loss { count: None, ids: (from, from), reason: Reason::OtherJournal };
        // The IDs of the loss are those of the previous journal.
        let item = Item { first: self.reader.oldest_id(), ..Item::loss(loss) };
        self.streams[Class::Urgent].put_back(item);
        self.before = Some(old);
    }

    /// The journal that is read.
    pub fn identity(&self) -> Identity {
        self.reader.identity()
    }

    /// The cursors at which a restart continues.
    pub fn cursors(&self) -> Cursors {
        let tells_other_journal = self.streams.iter().any(Stream::tells_other_journal);
        self.before.filter(|_| tells_other_journal).unwrap_or(Cursors {
            identity: self.reader.identity(),
            urgent_from: self.manner.selection.urgent_from,
            next: self.next_unacknowledged(),
        })
    }

    /// The first ID of each class that is not acknowledged.
    pub fn next_unacknowledged(&self) -> PerClass<u64> {
        PerClass::new(|class| self.streams[class].position())
    }

    /// The ID of the next message of the journal, if reading has come to its end.
    pub fn next_id(&self) -> Option<u64> {
        let urgent = &self.streams[Class::Urgent];
        (!urgent.is_searching() && urgent.room() > 0).then(|| urgent.read_to())
    }

    /// How many more IDs can be given before the journal overwrites an unsent message, or `None` if everything is sent
    /// or that is not known.
    pub fn ids_left(&self) -> Option<u64> {
        let next = self.next_unacknowledged();
        let first = next[Class::Urgent].min(next[Class::Rest]);
        let is_behind = self.next_id().is_none_or(|next_id| first < next_id);
        if is_behind { self.reader.ids_left(first) } else { None }
    }

    /// How many messages are read but not acknowledged.
    pub fn waiting(&self) -> usize {
        self.streams.iter().map(Stream::waiting).sum()
    }

    /// How many items are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight_of_each().iter().sum()
    }

    /// How many items of each class are in flight.
    pub fn in_flight_of_each(&self) -> PerClass<usize> {
        PerClass::new(|class| self.streams[class].in_flight())
    }

    /// When the item that has waited longest for its acknowledgement was sent.
    pub fn oldest(&self) -> Option<Instant> {
        self.streams.iter().filter_map(Stream::oldest).min()
    }

    /// Whether there is room to read more.
    pub fn has_room(&self) -> bool {
        self.streams.iter().any(|stream| stream.room() > 0)
    }

    /// Whether reading on may bring more at once.
    pub fn is_searching(&self) -> bool {
        self.streams.iter().any(Stream::is_searching)
    }

    /// If it is time, logs how many lines about losses were suppressed.
    pub fn flush_log(&mut self, now: Instant) {
        self.log.iter_mut().for_each(|series| series.flush(now));
    }

    /// At the end, logs how many lines about losses were suppressed.
    pub fn end_log(&mut self) {
        self.log.iter_mut().for_each(Series::end);
    }

    // ---- Sending -------------------------------------------------------------------------------------------

    /// Turns waiting messages that have become too old into losses. Messages in flight stay.
    pub fn expire(&mut self, now_ms: u64) {
        let Some(age_ms) = self.manner.selection.max_age_ms else { return };
        for class in Class::ALL {
            self.streams[class].expire(now_ms.saturating_sub(age_ms));
        }
    }

    /// The next publication to send, if `depth` permits one.
    pub fn next(&self, depth: Depth) -> Option<Next> {
        let urgent = self.candidate(Class::Urgent, depth);
        // While the search for urgent messages continues, there may be some.
        let is_clear = !self.streams[Class::Urgent].is_searching();
        let rest = if is_clear { self.candidate(Class::Rest, depth) } else { None };
        let class = self.turns.next(urgent.map(Item::bytes), rest.map(Item::bytes))?;
        let item = if class == Class::Urgent { urgent } else { rest }?;
        let publication = self.manner.form.publication(item, class, self.reader.identity());
        Some(Next { class, publication })
    }

    /// The next item of a class, if it may be sent.
    fn candidate(&self, class: Class, depth: Depth) -> Option<&Item> {
        let stream = &self.streams[class];
        let [urgent, rest] = Class::ALL.map(|class| self.streams[class].in_flight());
        if stream.has_place() && depth.admits(class, urgent, rest) { stream.first_ready() } else { None }
    }

    /// Records that the next item of a class was sent, with that packet ID.
    pub fn sent(&mut self, class: Class, packet_id: u16, now: Instant) {
        let other = if class == Class::Urgent { Class::Rest } else { Class::Urgent };
        let other_waits = self.streams[other].first_ready().is_some();
        if let Some(item) = self.streams[class].pop_ready() {
            self.turns.sent(class, item.bytes(), other_waits);
            self.streams[class].sent(packet_id, item, now);
        }
    }

    /// Records that the next item of a class cannot be sent, for that reason. The report of its loss takes its place.
    pub fn unsendable(&mut self, class: Class, reason: Reason) {
        if let Some(item) = self.streams[class].pop_ready() {
            self.give_up(class, item, reason);
        }
    }

    /// Records that the item was acknowledged. Returns its class, or `None` if it is not in flight.
    pub fn acknowledged(&mut self, packet_id: u16) -> Option<Class> {
        let (class, item) = self.find(packet_id)?;
        match item.content {
            Content::Message(_) => self.counters.acknowledged[class] += 1,
            Content::Loss(loss) => {
                // Of these the log has nothing yet.
                if matches!(loss.reason, Reason::Overwritten | Reason::Missing | Reason::Expired) {
                    self.log[0].say(&loss, Instant::now());
                }
                self.counters.lose(&loss);
            }
        }
        self.streams[class].settle(packet_id);
        Some(class)
    }

    /// Records that the item was refused. Returns `None` if it is not in flight.
    pub fn rejected(&mut self, packet_id: u16, rejection: &Rejection) -> Option<Rejected> {
        let (class, item) = self.find(packet_id)?;
        if rejection.is_final || item.attempts + 1 >= ATTEMPTS_MAX {
            self.streams[class].settle(packet_id);
            self.give_up(class, item, Reason::Refused(rejection.reason.clone()));
            Some(Rejected::ForGood(class))
        } else {
            self.streams[class].blame(packet_id);
            Some(Rejected::ForNow)
        }
    }

    fn find(&self, packet_id: u16) -> Option<(Class, Item)> {
        Class::ALL.into_iter().find_map(|class| Some((class, self.streams[class].get(packet_id)?.clone())))
    }

    /// Records that the connection is lost. With `is_blamed`, the broker may have closed it because of a message: if
    /// only one was in flight, that counts as an attempt. `certain` is the reason if the broker has blamed the message
    /// explicitly.
    pub fn connection_lost(&mut self, is_blamed: bool, certain: Option<&str>) {
        let is_alone = is_blamed && self.in_flight() == 1;
        for class in Class::ALL {
            let had = self.streams[class].in_flight() == 1;
            self.streams[class].return_unsettled(is_alone);
            let is_spent = |item: &Item| item.attempts >= ATTEMPTS_MAX || certain.is_some();
            if is_alone && had && self.streams[class].first_ready().is_some_and(is_spent) {
                let reason = certain.unwrap_or("the broker closes the connection on it");
                self.unsendable(class, Reason::Refused(reason.to_string()));
            }
        }
    }

    /// Gives up an item. The report of a loss that cannot be sent is dropped, but the loss is counted.
    fn give_up(&mut self, class: Class, item: Item, reason: Reason) {
        match item.content {
            Content::Message(message) => {
                let topic = self.manner.form.topics.of(message.priority);
                let loss = Loss { count: Some(1), ids: (message.id, message.id), reason };
                self.log[0].say(format!("{loss}; its topic is {topic}"), Instant::now());
                self.streams[class].put_back(Item::loss(loss));
            }
            Content::Loss(loss) => {
                let line = format!("this cannot be told to the broker ({reason}): {loss}");
                self.log[1].say(line, Instant::now());
                self.counters.lose(&loss);
            }
        }
    }
}

/// If cursors are beyond the end of the history, moves them back to that end: an older copy of the journal may have been
/// restored.
fn within_history(next: PerClass<u64>, next_id: u64, directory: &Path) -> PerClass<u64> {
    if next.iter().all(|id| *id <= next_id) {
        return next;
    }
    say(format_args!(
        "{}: its newest message is {}, and messages up to {} were sent already: an older copy of it may have been put back; only new messages are sent",
        directory.display(),
        next_id.saturating_sub(1),
        next.iter().max().unwrap_or(&0).saturating_sub(1),
    ));
    PerClass::new(|class| next[class].min(next_id))
}
