//! The journal, and its replay.

use super::{ANSWER_LINE_BYTES_MAX, BATCH, FROM_BYTES_MAX, MSG_BYTES_MAX, TEXT_BYTES};

/// Files of the journal. Two would be enough; with eight, at most an eighth of the history is lost when the oldest
/// file is reused.
pub const JOURNAL_SEGMENTS: usize = 8;

/// The unit of writes to a disk, in bytes: a page of the system.
pub const PAGE_BYTES: usize = 4096;

/// The header of a journal file, in bytes: a page of its own, so that no later write touches it.
pub const SEGMENT_HEADER_BYTES: usize = PAGE_BYTES;

/// The room at the end of a journal file for its marks, which say which IDs were given, in bytes: two pages, written
/// alternately.
pub const SEGMENT_MARKS_BYTES: usize = 2 * PAGE_BYTES;

/// `--journal-size`, unless set, in bytes.
pub const JOURNAL_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// The smallest `--journal-size`, in bytes: a segment has to hold more than one batch of the longest messages.
pub const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;

/// The largest `--journal-size`, in bytes: a segment's offsets are 32 bits, and file offsets are on some boards.
pub const JOURNAL_BYTES_MAX: u64 = JOURNAL_SEGMENTS as u64 * 1024 * 1024 * 1024;

/// How many batches one group has at most. With a journal, a group has the batches that arrived during the sync
/// before, and one sync covers all of them.
pub const JOURNAL_BATCHES_MAX: usize = 16;

/// The time between two attempts to reopen a journal after its disk has failed, in milliseconds.
pub const JOURNAL_RETRY_MS: u64 = 1_000;

/// How much the replay reads for one client before it serves others, in bytes.
pub const REPLAY_BYTES_PER_POLL: u32 = 2 * JOURNAL_READ_BYTES as u32;

/// From this many committed messages a second on, clients flood the server: devices that report something send far
/// fewer.
pub const REPLAY_FLOOD_PER_SECOND: u64 = 5_000;

/// The rate is measured over this many commits at least: their sizes and times vary.
pub const REPLAY_FLOOD_COMMITS: u32 = 8;

/// The rate is measured over this time at least, in milliseconds: what a client sends at once is no flood.
pub const REPLAY_FLOOD_WINDOW_MS: u64 = 50;

/// How long a flood counts after it was measured, in milliseconds: longer than some commits take on a slow SD card.
pub const REPLAY_FLOOD_MS: u64 = 2_000;

/// During a flood, all finite replays together get one part in this many of one processor's time.
pub const REPLAY_CPU_DIVISOR: u64 = 64;

/// The CPU time that finite replays get at once during a flood, before they are limited, in milliseconds: a short
/// `/last` then takes no longer than without a flood.
pub const REPLAY_BURST_MS: u64 = 20;

/// How long the reader waits at most before it checks again whether finite replays may go on, in milliseconds.
pub const REPLAY_WAIT_MS_MAX: u64 = 50;

/// The free room that an outbox must have before the replay reads for its client, in bytes: the longest `MSG` line, and
/// a `LOST` line.
pub const REPLAY_ROOM_BYTES: usize = MSG_BYTES_MAX + ANSWER_LINE_BYTES_MAX;

/// How long the replay waits at most for the publication of a rotation that the writer has just begun, in
/// milliseconds: longer than a sync of a healthy disk. Then it tries again.
pub const ROTATION_MS_MAX: u64 = 1_000;

/// The stack of the replay thread, in bytes: it reads and copies, and its calls are not deep.
pub const REPLAY_STACK_BYTES: usize = 64 * 1024;

/// `--sync-interval`, unless set, in milliseconds.
pub const SYNC_INTERVAL_MS_DEFAULT: u64 = 1_000;

/// The shortest `--sync-interval`, in milliseconds: a sync of an SD card takes about as long.
pub const SYNC_INTERVAL_MS_MIN: u64 = 10;

/// The longest `--sync-interval`, in milliseconds: an hour. For more there is `--sync none`.
pub const SYNC_INTERVAL_MS_MAX: u64 = 60 * 60 * 1_000;

/// The part of a journal record before FROM and text, in bytes.
pub const RECORD_HEADER_BYTES: usize = 28;

/// The longest record without its padding, in bytes.
pub const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + FROM_BYTES_MAX + TEXT_BYTES;

/// The records of one batch, in bytes: the largest write to the journal.
pub const JOURNAL_BATCH_BYTES: usize = BATCH * RECORD_BYTES_MAX.next_multiple_of(8);

/// The speed at which the slowest disk makes or reads the journal at the start, in bytes a second: a slow SD card
/// under other load. The server asks the service manager for the time that this takes.
pub const JOURNAL_OPENING_BYTES_A_SECOND: u64 = 2 * 1024 * 1024;

/// The size of one read of the journal, in bytes.
pub const JOURNAL_READ_BYTES: usize = 32 * 1024;

/// How much of the journal is read at a position to find a record near it, in bytes: at any position, a whole record
/// begins and ends in it.
pub const JOURNAL_PROBE_BYTES: usize = 2 * RECORD_BYTES_MAX.next_multiple_of(8);

/// The size of the stretches into which a segment is divided for the search for its end, in bytes. The search probes
/// each stretch, and reads only the last stretch that holds a record, and the part after it that may hold more.
/// Whatever `--sync` says, at most one stretch is written without a sync. That bounds how far the system may have
/// written ahead when the power failed. A segment of the default size is read as a whole; one of the largest size takes
/// 127 probes, and about three times as many bytes.
pub const JOURNAL_STRETCH_BYTES: u32 = 8 * 1024 * 1024;

/// How often a disk call that a signal interrupts is repeated. A disk whose calls are interrupted more often has
/// failed.
pub const JOURNAL_INTERRUPTIONS_MAX: usize = 100;

/// How long a reader of a journal that another process writes waits before it looks for more, in milliseconds: a person
/// does not notice the delay, and it costs little work.
pub const JOURNAL_POLL_MS: u16 = 200;

/// How often a reader of a journal that another process writes reads all headers at most, until they form a consistent
/// snapshot. A rotation during the reads makes them inconsistent. But a rotation takes a sync, and the 16 reads take
/// only a fraction of that time.
pub const JOURNAL_SNAPSHOT_READS_MAX: usize = 1_000;

/// The buffer for a listing of the journal's directory, in bytes. It holds some dozen names; the system needs room for
/// the longest one, of 255 bytes, and its number.
pub const JOURNAL_LISTING_BYTES: usize = 2_048;

/// How many ranges of missing IDs a check of the journal lists; it only counts the rest.
pub const JOURNAL_GAPS_LISTED_MAX: usize = 20;
