//! The messages that a journal must contain after a power cut, and those that it must not contain.

use crate::journal::headers::{FIRST_OFFSET, Headers};
use crate::journal::mark::ids_in;
use crate::journal::recovery::Recovery;
use crate::journal::segment::{Header, SegmentKey};
use crate::journal::simulated::Failures;
use crate::limits::JOURNAL_SEGMENTS;
use nix::errno::Errno;

/// The expected state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was acknowledged and synced, or read after a start: it must be there.
    Durable,
    /// It was acknowledged: it must be there, unless the power fails.
    Acknowledged,
    /// It may be there.
    Unknown,
    /// It was rolled back, or was missing once: it must not be there.
    Gone,
}

/// One written message and its expected state.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) serial: u64,
    pub(super) id: u64,
    /// The sequence of the segment that it was written to.
    pub(super) sequence: u64,
    pub(super) fate: Fate,
}

/// What ended the run of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Kill,
    PowerCut,
}

/// The messages that a journal must contain, and those that it must not contain.
#[derive(Default)]
pub(super) struct Model {
    /// In the order of their serial numbers, without those that the ring may have overwritten.
    pub(super) entries: Vec<Entry>,
    pub(super) next_serial: u64,
    /// Serial numbers of failed commits. No header on the disk says yet that they are rolled back.
    pub(super) refused: Vec<u64>,
    /// The highest sequence in a header that was written.
    pub(super) known_sequence: u64,
    /// The lowest sequence of a segment that must be there.
    first_sequence: u64,
    /// How many files need not contain anything, because the disk refused their headers.
    pub(super) void: u64,
    /// The highest ID of a message that was ever durable.
    pub(super) top_id: u64,
    /// The highest acknowledged ID, even if its message is lost: it must not be issued again.
    acknowledged_id: u64,
    /// The next ID at the last start.
    started_id: u64,
    /// The next ID at an orderly shutdown: the next start must not skip any.
    pub(super) closed_id: Option<u64>,
}

impl Model {
    fn change(&mut self, from: Fate, to: Fate) {
        self.entries.iter_mut().filter(|entry| entry.fate == from).for_each(|entry| entry.fate = to);
    }

    pub(super) fn note_written(&mut self, id: u64) {
        let (serial, sequence) = (self.next_serial, self.known_sequence);
        self.entries.push(Entry { serial, id, sequence, fate: Fate::Unknown });
        self.next_serial += 1;
    }

    /// Records the commit of all messages from that entry on.
    pub(super) fn note_commit(&mut self, first: usize, is_synced: bool, result: Result<(), Errno>) {
        let entries = &mut self.entries[first..];
        if result.is_err() {
            self.refused.extend(entries.iter().map(|entry| entry.serial));
            return;
        }
        entries.iter_mut().for_each(|entry| entry.fate = Fate::Acknowledged);
        self.acknowledged_id = entries.iter().map(|entry| entry.id).fold(self.acknowledged_id, u64::max);
        if is_synced {
            self.note_synced();
        }
    }

    pub(super) fn note_synced(&mut self) {
        self.change(Fate::Acknowledged, Fate::Durable);
        let kept = self.entries.iter().filter(|entry| entry.fate == Fate::Durable);
        self.top_id = kept.map(|entry| entry.id).fold(self.top_id, u64::max);
    }

    /// Records how many writes and syncs failed in a call. The messages that the call should have synced may be lost.
    pub(super) fn note_failures(&mut self, failed: Failures) {
        if failed.syncs > 0 {
            self.change(Fate::Acknowledged, Fate::Unknown);
        }
        self.note_void(self.void.max(failed.headers));
    }

    /// Each file whose header the disk refuses loses its content.
    fn note_void(&mut self, void: u64) {
        self.void = void;
        if void > 0 {
            // A start cannot know whether a torn header was that of the newest segment.
            self.closed_id = None;
        }
        let first = (self.known_sequence + 1 + void).saturating_sub(JOURNAL_SEGMENTS as u64);
        self.first_sequence = self.first_sequence.max(first);
    }

    /// The header of the next segment is on the disk, so the failed commits are rolled back.
    pub(super) fn note_refused(&mut self) {
        let refused = core::mem::take(&mut self.refused);
        let is_refused = |entry: &&mut Entry| refused.binary_search(&entry.serial).is_ok();
        self.entries.iter_mut().filter(is_refused).for_each(|entry| entry.fate = Fate::Gone);
    }

    /// Records the newest segment. The writer tries void files first, so a new segment is in one of them if there are
    /// any.
    pub(super) fn note_sequence(&mut self, headers: &Headers) {
        let sequence = headers.iter().flatten().map(|header| header.sequence).max().unwrap_or(0);
        let void = self.void.saturating_sub(u64::from(sequence > self.known_sequence));
        self.known_sequence = sequence;
        self.note_void(void);
    }

    /// Compares the messages that were read after a stop with the model, and updates the model.
    pub(super) fn check(
        &mut self,
        seen: &[(u64, u64)],
        recovery: &Recovery,
        segment_bytes: u32,
        stop: Stop,
    ) -> Result<(), String> {
        let does_rise = |pair: &[(u64, u64)]| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1;
        if let Some(pair) = seen.windows(2).find(|pair| !does_rise(pair)) {
            return Err(format!("IDs do not rise: {pair:?}"));
        }
        let first = self.first_sequence;
        self.entries.retain(|entry| entry.sequence >= first);
        for entry in &mut self.entries {
            let found = seen.binary_search_by_key(&entry.serial, |(_, serial)| *serial).ok();
            match (found.map(|at| seen[at].0), entry.fate) {
                (Some(id), _) if id != entry.id => return Err(format!("{entry:?} has the ID {id}")),
                (Some(_), Fate::Gone) => return Err(format!("{entry:?} is back")),
                (None, Fate::Durable) => return Err(format!("{entry:?} is lost")),
                (None, Fate::Acknowledged) if stop == Stop::Kill => return Err(format!("{entry:?} is lost")),
                (None, _) => entry.fate = Fate::Gone,
                (Some(_), _) => entry.fate = Fate::Durable,
            }
        }
        self.top_id = seen.iter().map(|(id, _)| *id).fold(self.top_id, u64::max);
        self.refused.clear();
        self.check_next_id(recovery, segment_bytes)
    }

    /// Checks that the next ID was never issued, and that the start skipped no more IDs than it may.
    fn check_next_id(&mut self, recovery: &Recovery, segment_bytes: u32) -> Result<(), String> {
        let (issued, next_id) = (self.top_id.max(self.acknowledged_id), recovery.next_id);
        if next_id <= issued {
            return Err(format!("the next ID is {next_id}, and {issued} was issued"));
        }
        let bound =
            (issued + 1).max(self.started_id) + ids_skipped_max(segment_bytes, recovery.lost_segments);
        self.started_id = next_id;
        if next_id > bound {
            return Err(format!("the next ID is {next_id}, more than {bound}"));
        }
        match self.closed_id {
            Some(closed_id) if closed_id != next_id => {
                Err(format!("the next ID is {next_id}, and the journal was closed at {closed_id}"))
            }
            _ => Ok(()),
        }
    }
}

/// The most IDs that a start may skip if this many headers are torn: those that fit in the lost segments, and those
/// in a torn end.
fn ids_skipped_max(segment_bytes: u32, lost_segments: u64) -> u64 {
    let header = Header {
        segment_bytes,
        sequence: 1,
        key: SegmentKey { tag: 0, salt: 0 },
        previous_end: FIRST_OFFSET,
        first_id: 1,
        origin: None,
    };
    (2 + lost_segments) * ids_in(&header, FIRST_OFFSET)
}
