//! Finds where the last messages of the history begin, even if IDs are missing between them. IDs are missing where
//! messages are damaged, torn, or refused after they got an ID.
//!
//! The search counts backwards in rounds. A round finds the last message before the counted ones, steps back from its
//! ID by as many IDs as messages are missing, and counts the messages there. If no ID is missing, one round is enough.
//! The search reads the messages that it counts, and a few probes in each round. So its cost depends only on the number
//! of requested messages.
//!
//! If only some priorities count, their messages may be rare. So a round steps back further if the previous rounds
//! passed more IDs than they counted messages, but by no more IDs than these rounds passed in all. So the search reads
//! at most about twice as much as necessary, and keeps no messages in memory.

use super::catalog::Catalog;
use super::cursor::{Cursor, Step};
use super::disk::Source;
use super::headers::FIRST_OFFSET;
use super::scan::{Position, Scan, Window};
use super::segment::SegmentKey;
use crate::protocol::Priority;
use nix::errno::Errno;

/// The search for the last messages.
#[derive(Debug)]
pub struct Last {
    /// How many messages are still missing.
    missing: u64,
    /// All messages from this ID on are counted.
    counted_from: u64,
    /// Messages with lower IDs do not count.
    first_id: u64,
    /// Messages of lower priorities do not count.
    min: Priority,
    /// How many messages the finished rounds counted.
    counted: u64,
    /// How many IDs they passed.
    passed: u64,
    round: Option<Round>,
}

/// One round of the search.
#[derive(Debug)]
struct Round {
    /// The ID that it begins with, or 0 if it begins with the oldest message and is the last round.
    from: u64,
    /// The highest ID that it may count.
    to: u64,
    cursor: Cursor,
    count: u64,
}

/// How far the search has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The budget is used up.
    Pause,
    /// The writer overwrote the segment during the read. Continue with a new catalog.
    Overwritten,
    /// The search is complete. The last messages are the counted ones from this cursor on, except the first few; the
    /// number says how many to skip.
    Complete(Cursor, u64),
}

impl Last {
    /// The search for the last `count` messages with IDs below `end_id`.
    pub fn new(count: u64, end_id: u64) -> Self {
        let (first_id, min, counted, passed) = (0, Priority::MIN, 0, 0);
        Self { missing: count, counted_from: end_id, first_id, min, counted, passed, round: None }
    }

    /// The same search, but only among the messages with that ID or a higher one.
    pub fn since(self, first_id: u64) -> Self {
        Self { first_id, ..self }
    }

    /// The same search, but only among the messages of that priority or a higher one.
    pub fn of(self, min: Priority) -> Self {
        Self { min, ..self }
    }

    /// Continues the search, and reads about `budget` bytes. Other readers may use `window` between two calls.
    ///
    /// # Errors
    /// The disk's. The search can continue.
    pub fn search(
        &mut self,
        catalog: &Catalog,
        source: &impl Source,
        window: &mut Window,
        mut budget: u32,
    ) -> Result<Progress, Errno> {
        let (counted_from, step, first_id) = (self.counted_from, self.step(), self.first_id);
        let round = match &mut self.round {
            Some(round) => round,
            none => {
                none.insert(Round::new(step, counted_from, first_id, catalog, source, window, &mut budget)?)
            }
        };
        if let Some(unfinished) = round.count(counted_from, self.min, catalog, source, window, budget)? {
            return Ok(unfinished);
        }
        let Round { from, to, count, .. } = *round;
        if from <= first_id || count >= self.missing {
            return Ok(Progress::Complete(start_of(from), count.saturating_sub(self.missing)));
        }
        self.missing -= count;
        self.counted += count;
        self.passed += to.saturating_add(1).saturating_sub(from);
        self.counted_from = from;
        self.round = None;
        Ok(Progress::Pause)
    }

    /// By how many IDs the next round steps back. The estimate assumes that the missing messages are as dense as the
    /// counted ones.
    fn step(&self) -> u64 {
        let spacing = self.passed.div_ceil(self.counted.max(1)).max(1);
        self.missing.saturating_mul(spacing).min(self.missing.max(self.passed))
    }
}

/// The cursor that a round begins with.
fn start_of(from: u64) -> Cursor {
    if from == 0 { Cursor::oldest() } else { Cursor::since(from) }
}

impl Round {
    /// The round for the last `step` IDs below `end_id`, down to `first_id`. If there is no message shortly before
    /// `end_id`, the round covers everything down to `first_id`.
    fn new(
        step: u64,
        end_id: u64,
        first_id: u64,
        catalog: &Catalog,
        source: &impl Source,
        window: &mut Window,
        budget: &mut u32,
    ) -> Result<Self, Errno> {
        let before = id_before(end_id, catalog, source, window, budget)?;
        let from = before.map_or(first_id, |id| (id + 1).saturating_sub(step).max(first_id).max(1));
        Ok(Self { from, to: before.unwrap_or(from), cursor: start_of(from), count: 0 })
    }

    /// Counts the messages below `end_id`. Returns `None` once all of them are counted.
    fn count(
        &mut self,
        end_id: u64,
        min: Priority,
        catalog: &Catalog,
        source: &impl Source,
        window: &mut Window,
        budget: u32,
    ) -> Result<Option<Progress>, Errno> {
        let mut reading = self.cursor.read(catalog, window, budget);
        loop {
            match reading.next(source)? {
                Step::Record(record) if record.id >= end_id => return Ok(None),
                Step::Record(record) => self.count += u64::from(record.priority >= min),
                Step::Lost(_) | Step::Damage(_) | Step::RolledBack(_) => {}
                Step::Overwritten => return Ok(Some(Progress::Overwritten)),
                Step::Incomplete | Step::Pause => return Ok(Some(Progress::Pause)),
                Step::End => return Ok(None),
            }
        }
    }
}

/// The ID of the last message before that ID; close to damage, it may be the ID of an earlier message. Returns `None`
/// if there is no message before it.
fn id_before(
    id: u64,
    catalog: &Catalog,
    source: &impl Source,
    window: &mut Window,
    budget: &mut u32,
) -> Result<Option<u64>, Errno> {
    let mut scan = Scan::new(0, SegmentKey { tag: 0, salt: 0 }, 0..0, window);
    for span in catalog.spans().iter().rev().filter(|span| span.header.first_id < id) {
        scan.go_to(span, Position::new(FIRST_OFFSET));
        if let Some(location) = scan.seek(source, id - 1, budget)? {
            return Ok(Some(location.id));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
