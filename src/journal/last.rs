//! Finds where the last messages of the history begin, however their IDs are spaced: IDs are missing where messages were damaged,
//! torn, or refused after they had one.
//!
//! It counts backwards in rounds. A round looks up the last message before those that are counted, steps back from its ID by as many
//! as are still missing, and counts what is there. Where no ID is missing, the first round finds all. It reads the messages that it
//! counts, and a few probes for each round; what is asked for, and no other, sets what it costs.
//!
//! Of messages of some priorities alone there may be few. So a round steps back further if the rounds before it found less than they
//! looked at, but by no more IDs than those: the search reads about twice what it has to, at most, and keeps nothing of it in memory.

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
    /// Messages that are still to be found.
    missing: u64,
    /// Those from that ID on are found.
    found_from: u64,
    /// Messages with lower IDs do not count.
    first_id: u64,
    /// Nor do those of lower priorities.
    min: Priority,
    /// Messages that are found, and the IDs that were looked at for them.
    found: u64,
    looked_at: u64,
    round: Option<Round>,
}

/// The messages of one round, as far as they are counted.
#[derive(Debug)]
struct Round {
    /// The ID that it begins with; 0: it begins with the oldest message, and there are no others.
    from: u64,
    /// The ID of the last message that it may have.
    to: u64,
    cursor: Cursor,
    count: u64,
}

/// How far the search has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// As much was read as was to be read in one go.
    Pause,
    /// The writer rotated to the segment while it was read. Go on with a new catalog.
    Overwritten,
    /// They are the messages that count from that cursor on, without the first so many.
    Found(Cursor, u64),
}

impl Last {
    /// The search for the last `count` messages with IDs below `end_id`.
    pub fn new(count: u64, end_id: u64) -> Self {
        let (first_id, min, found, looked_at) = (0, Priority::MIN, 0, 0);
        Self { missing: count, found_from: end_id, first_id, min, found, looked_at, round: None }
    }

    /// The same among the messages with that ID or a higher one.
    pub fn since(self, first_id: u64) -> Self {
        Self { first_id, ..self }
    }

    /// The same among the messages of that priority or a higher one.
    pub fn of(self, min: Priority) -> Self {
        Self { min, ..self }
    }

    /// Goes on with it, and reads about `budget` bytes. `window` may be shared with others.
    ///
    /// # Errors
    /// Those of the disk. The search can be gone on with.
    pub fn search(
        &mut self,
        catalog: &Catalog,
        source: &impl Source,
        window: &mut Window,
        mut budget: u32,
    ) -> Result<Progress, Errno> {
        let (found_from, step, first_id) = (self.found_from, self.step(), self.first_id);
        let round = match &mut self.round {
            Some(round) => round,
            none => {
                none.insert(Round::new(step, found_from, first_id, catalog, source, window, &mut budget)?)
            }
        };
        if let Some(unfinished) = round.count(found_from, self.min, catalog, source, window, budget)? {
            return Ok(unfinished);
        }
        let Round { from, to, count, .. } = *round;
        if from <= first_id || count >= self.missing {
            return Ok(Progress::Found(start_of(from), count.saturating_sub(self.missing)));
        }
        self.missing -= count;
        self.found += count;
        self.looked_at += to.saturating_add(1).saturating_sub(from);
        self.found_from = from;
        self.round = None;
        Ok(Progress::Pause)
    }

    /// By how many IDs the next round steps back: as many as the messages that are missing take, if they are as dense as those that were
    /// found.
    fn step(&self) -> u64 {
        let density = self.looked_at.div_ceil(self.found.max(1)).max(1);
        self.missing.saturating_mul(density).min(self.missing.max(self.looked_at))
    }
}

/// The cursor that a round begins with.
fn start_of(from: u64) -> Cursor {
    if from == 0 { Cursor::oldest() } else { Cursor::since(from) }
}

impl Round {
    /// The round that looks at the last `step` IDs below that one, down to `first_id`. Where no message is found near that ID, it has all
    /// that there are.
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

    /// Counts the messages below that ID; none: all of them are counted.
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

/// The ID of a message shortly before that ID: of the last one, or, near damage, of one that comes earlier. None: there is none.
fn id_before(
    id: u64,
    catalog: &Catalog,
    source: &impl Source,
    window: &mut Window,
    budget: &mut u32,
) -> Result<Option<u64>, Errno> {
    let mut scan = Scan::new(0, SegmentKey { mark: 0, salt: 0 }, 0..0, window);
    for span in catalog.spans().iter().rev().filter(|span| span.header.first_id < id) {
        scan.go_to(span, Position::new(FIRST_OFFSET));
        if let Some(landmark) = scan.seek(source, id - 1, budget)? {
            return Ok(Some(landmark.id));
        }
    }
    Ok(None)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::headers::read_headers;
    use crate::journal::record::Record;
    use crate::journal::simulated::{Random, SimulatedDisk};
    use crate::journal::writer::{Buffers, Writer};
    use crate::limits::{JOURNAL_PROBE_BYTES, JOURNAL_READ_BYTES, RECORD_HEADER_BYTES};
    use crate::protocol::Priority;

    const FILE: u32 = 128 * 1024;

    /// A journal with so many messages, before each of which as many IDs are left out as `gap` says.
    fn journal(messages: u64, mut gap: impl FnMut(u64) -> u64) -> SimulatedDisk {
        let disk = SimulatedDisk::new(FILE, 1);
        let mut buffers = Box::new(Buffers::new());
        let (mut writer, _) = Writer::open(disk.clone(), FILE, &mut buffers).unwrap();
        for index in 0..messages {
            writer.begin_group(true);
            let id = writer.next_id() + gap(index);
            let text = [b'x'; 300];
            writer.append(&Record {
                id,
                time_ms: index,
                priority: Priority::NORMAL,
                from: b"a",
                text: &text[..(index * 7) as usize % 300],
            });
            writer.commit(true).unwrap();
        }
        disk
    }

    fn catalog(disk: &SimulatedDisk) -> Catalog {
        Catalog::new(&read_headers(&disk.calm(), FILE).unwrap(), None)
    }

    /// The IDs from that cursor on, without the first so many.
    fn ids(disk: &SimulatedDisk, cursor: &mut Cursor, skipped: u64) -> Vec<u64> {
        let (catalog, mut window, mut ids) = (catalog(disk), [0; JOURNAL_READ_BYTES], Vec::new());
        let mut reading = cursor.read(&catalog, &mut window, u32::MAX);
        loop {
            match reading.next(&disk.calm()).unwrap() {
                Step::Record(record) => ids.push(record.id),
                Step::End => return ids.split_off(ids.len().min(skipped as usize)),
                _ => {}
            }
        }
    }

    /// The last messages below an ID, as the search finds them, and how many turns it took.
    fn search(disk: &SimulatedDisk, count: u64, end_id: u64, budget: u32) -> (Vec<u64>, usize) {
        search_on(disk, Last::new(count, end_id), end_id, budget)
    }

    /// The messages below an ID that a search finds, with all that do not count, and how many turns it took.
    fn search_on(disk: &SimulatedDisk, mut last: Last, end_id: u64, budget: u32) -> (Vec<u64>, usize) {
        let (catalog, mut window, mut turns) = (catalog(disk), [0; JOURNAL_READ_BYTES], 0);
        loop {
            turns += 1;
            match last.search(&catalog, &disk.calm(), &mut window, budget).unwrap() {
                Progress::Found(mut cursor, skipped) => {
                    let mut ids = ids(disk, &mut cursor, skipped);
                    ids.retain(|id| *id < end_id);
                    return (ids, turns);
                }
                Progress::Pause => {}
                Progress::Overwritten => panic!("nobody writes"),
            }
        }
    }

    fn check(disk: &SimulatedDisk) {
        let all = ids(disk, &mut Cursor::oldest(), 0);
        let newest = *all.last().unwrap();
        for end_id in [newest + 1, newest, newest + 100_000, all[all.len() / 2] + 1] {
            let below: Vec<u64> = all.iter().copied().filter(|id| *id < end_id).collect();
            for count in [1, 2, 10, 100, 999, 1_000, 5_000] {
                let expected = &below[below.len().saturating_sub(count)..];
                for budget in [u32::MAX, 5_000] {
                    let (found, _) = search(disk, count as u64, end_id, budget);
                    assert_eq!(found, expected, "{count} below {end_id}");
                }
            }
        }
    }

    #[test]
    fn the_last_messages_are_counted_and_not_their_ids() {
        check(&journal(1, |_| 0));
        check(&journal(1_500, |_| 0));
        // The writer has rotated through the whole ring.
        check(&journal(8_000, |_| 0));
        check(&journal(1_500, |index| if index % 400 == 399 { 1_000_000 } else { 0 }));
        let mut random = Random(5);
        check(&journal(1_500, |_| if random.once_in(5) { random.next() % 1_000 } else { 0 }));
    }

    #[test]
    fn damage_costs_no_message_but_its_own() {
        let mut random = Random(6);
        for _ in 0..10 {
            let disk = journal(1_500, |_| 0);
            for _ in 0..5 {
                let (segment, start) = (random.below(3), random.below(FILE as usize - 20_000));
                let length = 1 + random.below(20_000);
                let first = FIRST_OFFSET as usize;
                disk.damage(segment, |bytes| bytes[start.max(first)..(start + length).max(first)].fill(0xa5));
            }
            check(&disk);
        }
    }

    #[test]
    fn a_large_hole_at_the_beginning_hides_nothing_behind_it() {
        for percent in [30, 55, 80, 95] {
            let disk = journal(300, |_| 0);
            let first = FIRST_OFFSET as usize;
            let end = first + 300 * 190 * percent / 100;
            disk.damage(0, |bytes| bytes[first..end].fill(0));
            check(&disk);
        }
    }

    #[test]
    fn where_no_id_is_missing_one_round_finds_all() {
        let disk = journal(1_500, |_| 0);
        for count in [1, 100, 1_400] {
            assert_eq!(search(&disk, count, 1_501, u32::MAX).1, 1, "{count}");
        }
    }

    /// The last so many of the urgent messages from that ID on, where one of `every` is: as they are found, with how many IDs back the
    /// search went, and how many rounds it took.
    fn urgent(every: u64, count: u64, first_id: u64) -> (Vec<u64>, u64, usize) {
        let disk = SimulatedDisk::new(FILE, 1);
        let mut buffers = Box::new(Buffers::new());
        let (mut writer, _) = Writer::open(disk.clone(), FILE, &mut buffers).unwrap();
        let is_urgent = |id: u64| id.is_multiple_of(every);
        for id in 1..=3_000 {
            writer.begin_group(true);
            let priority = if is_urgent(id) { Priority::URGENT } else { Priority::NORMAL };
            writer.append(&Record { id, time_ms: 0, priority, from: b"a", text: b"x" });
            writer.commit(true).unwrap();
        }
        let (catalog, mut window, mut rounds) = (catalog(&disk), [0; JOURNAL_READ_BYTES], 0);
        let mut last = Last::new(count, 3_001).since(first_id).of(Priority::HIGH);
        loop {
            rounds += 1;
            if let Progress::Found(mut cursor, skipped) =
                last.search(&catalog, &disk.calm(), &mut window, u32::MAX).unwrap()
            {
                let start = cursor.next_id().unwrap_or(1);
                let mut found = ids(&disk, &mut cursor, 0);
                found.retain(|id| is_urgent(*id));
                return (found.split_off(skipped as usize), 3_000 - start, rounds);
            }
        }
    }

    #[test]
    fn the_last_of_some_priorities_are_found_and_no_more_than_twice_as_far_back_is_looked() {
        for every in [1, 2, 7, 100, 1_000, 10_000] {
            for count in [1, 2, 10, 100, 3_000] {
                for first_id in [0, 1, 1_500, 2_999] {
                    let all: Vec<u64> = (1..=3_000).filter(|id| *id >= first_id && id % every == 0).collect();
                    let expected = &all[all.len().saturating_sub(count as usize)..];
                    let (found, back, rounds) = urgent(every, count, first_id);
                    assert_eq!(found, expected, "{count} of each {every}th from {first_id}");
                    assert!(rounds <= 30, "{rounds}");
                    let needed = if expected.len() as u64 == count { 3_001 - expected[0] } else { 3_000 };
                    // A round begins with a record that a probe finds.
                    let probe = JOURNAL_PROBE_BYTES.div_ceil(RECORD_HEADER_BYTES) as u64;
                    assert!(back <= 2 * (needed.max(count) + probe), "{back} IDs back for {needed}");
                }
            }
        }
    }
}
