//! The writer's thread: takes records out of the ring, formats a batch of lines, and writes the batch at once.
//!
//! A slow terminal or SD card delays only this thread. It sleeps while there is nothing to do, ends with the process,
//! and allocates nothing.

use core::fmt::Arguments;

use nix::errno::Errno;

use super::file::LogFile;
use super::record::Record;
use super::ring::{Ring, Taken};
use super::stream::Stream;
use super::times::{Jump, Times};
use crate::clock;
use crate::limits::{LOG_BATCH_BYTES, LOG_LINE_BYTES_MAX};

/// The output of the log.
pub enum Output {
    /// Standard error, or another open descriptor.
    Stream(Stream),
    /// A file that is kept within a size.
    File(LogFile),
}

impl Output {
    fn write_lines(&mut self, lines: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Stream(stream) => stream.write_lines(lines),
            Self::File(file) => file.write_lines(lines, clock::now_ns()),
        }
    }

    /// How its lines show their time.
    fn times(&self) -> Times {
        match self {
            Self::Stream(_) => Times::SinceStart,
            Self::File(_) => Times::utc(),
        }
    }

    fn reopen(&mut self) {
        if let Self::File(file) = self {
            file.reopen(clock::now_ns());
        }
    }
}

/// The writer: moves records from a ring to the output.
pub struct Writer<'a> {
    ring: &'a Ring,
    output: Output,
    times: Times,
    batch: Batch,
    /// Records that could not be written, and whose loss the log has not reported yet.
    unwritten: u64,
    /// Why they could not be written.
    error: Errno,
}

impl<'a> Writer<'a> {
    /// The writer of that ring.
    pub fn new(ring: &'a Ring, output: Output) -> Self {
        let times = output.times();
        Self { ring, output, times, batch: Batch::new(), unwritten: 0, error: Errno::UnknownErrno }
    }

    /// Writes the records of the ring for as long as the process lives.
    pub fn run(mut self) -> ! {
        self.ring.set_writer_runs();
        loop {
            self.write_batch();
        }
    }

    /// Waits for work, and writes one batch.
    fn write_batch(&mut self) {
        if self.ring.wait_for_work() {
            self.output.reopen();
        }
        self.gather();
        self.write_out();
    }

    fn gather(&mut self) {
        let jump = self.times.follow(clock::utc_ns(), clock::now_ns());
        let first = self.ring.take();
        // Lines before the first record have the time of that record, so that lines are in the order of their times.
        let time_ns = first.as_ref().map_or_else(clock::now_ns, Taken::time_ns);
        self.batch.clear(self.times);
        if let Some(jump) = jump {
            self.batch.push_jump(jump, time_ns);
        }
        if self.unwritten > 0 {
            self.batch.push_loss(self.unwritten, self.error.desc(), time_ns);
        }
        let mut next = first;
        while let Some(taken) = next {
            self.batch.push(&taken);
            next = if self.batch.has_room() { self.ring.take() } else { None };
        }
    }

    /// Writes the batch. If that fails, all its records count as lost, because it is unknown which of them the disk
    /// holds. The losses that the batch would have reported are then reported later.
    fn write_out(&mut self) {
        if self.batch.lines.is_empty() {
            return;
        }
        let Batch { records, lost, .. } = self.batch;
        match self.output.write_lines(&self.batch.lines) {
            Ok(()) => {
                self.unwritten = 0;
                self.ring.mark_handled(records + lost, 0);
            }
            Err(errno) => {
                self.error = errno;
                self.unwritten += records + lost;
                self.ring.mark_handled(records + lost, records);
            }
        }
    }
}

/// The lines of one write.
struct Batch {
    lines: heapless::Vec<u8, LOG_BATCH_BYTES>,
    /// How the lines show their time.
    times: Times,
    /// How many of the lines are records.
    records: u64,
    /// How many records the ring had no room for, according to the lines.
    lost: u64,
}

impl Batch {
    const fn new() -> Self {
        Self { lines: heapless::Vec::new(), times: Times::SinceStart, records: 0, lost: 0 }
    }

    fn clear(&mut self, times: Times) {
        self.lines.clear();
        self.times = times;
        self.records = 0;
        self.lost = 0;
    }

    /// Whether there is room for a record and a loss before it.
    fn has_room(&self) -> bool {
        self.lines.capacity() - self.lines.len() >= 2 * LOG_LINE_BYTES_MAX
    }

    fn push(&mut self, taken: &Taken) {
        if taken.lost > 0 {
            self.push_loss(taken.lost, "the log is written too slowly", taken.time_ns());
            self.lost += taken.lost;
        }
        if let Some(record) = &taken.record {
            record.append_to(&self.times, &mut self.lines);
            self.records += 1;
        }
    }

    fn push_loss(&mut self, count: u64, reason: &str, time_ns: u64) {
        let records = if count == 1 { "record" } else { "records" };
        self.push_own(log::Level::Warn, format_args!("{count} log {records} lost: {reason}"), time_ns);
    }

    fn push_jump(&mut self, jump: Jump, time_ns: u64) {
        self.push_own(log::Level::Info, format_args!("{jump}"), time_ns);
    }

    /// Appends a line about the log itself. No filter applies to it.
    fn push_own(&mut self, level: log::Level, text: Arguments<'_>, time_ns: u64) {
        Record::new(level, text, None).at(time_ns).append_to(&self.times, &mut self.lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_RECORDS;
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use nix::unistd::pipe2;
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read};
    use std::os::fd::OwnedFd;
    use std::thread;
    use std::time::Duration;

    fn put(ring: &Ring, number: usize) {
        ring.put(Record::new(log::Level::Info, format_args!("record {number}"), None));
    }

    fn stream(fd: OwnedFd) -> Output {
        Output::Stream(Stream::new(fd, 0))
    }

    fn drain(writer: &mut Writer<'_>) {
        while !writer.ring.flush(Duration::ZERO) {
            writer.write_batch();
        }
    }

    /// The lines that were written, without their times.
    fn texts(reader: OwnedFd, writer: Writer<'_>) -> Vec<String> {
        drop(writer);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_string()).collect()
    }

    #[test]
    fn loss_is_reported_where_it_happened() {
        let ring = Ring::new();
        let (reader, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut writer = Writer::new(&ring, stream(end));
        (0..LOG_RECORDS + 37).for_each(|number| put(&ring, number));
        drain(&mut writer);
        put(&ring, LOG_RECORDS + 37);
        drain(&mut writer);
        let lines = texts(reader, writer);
        assert_eq!(ring.lost(), 37);
        assert_eq!(lines.len(), LOG_RECORDS + 2);
        assert_eq!(lines[LOG_RECORDS - 1], format!("INFO  record {}", LOG_RECORDS - 1));
        assert_eq!(lines[LOG_RECORDS], "WARN  37 log records lost: the log is written too slowly");
        assert_eq!(lines[LOG_RECORDS + 1], format!("INFO  record {}", LOG_RECORDS + 37));
    }

    #[test]
    fn loss_without_a_later_record_is_reported() {
        let ring = Ring::new();
        let (reader, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut writer = Writer::new(&ring, stream(end));
        (0..LOG_RECORDS + 1).for_each(|number| put(&ring, number));
        drain(&mut writer);
        let lines = texts(reader, writer);
        assert_eq!(lines.last().unwrap(), "WARN  1 log record lost: the log is written too slowly");
    }

    #[test]
    fn records_lost_to_a_full_device_are_counted_once_and_reported_later() {
        let ring = Ring::new();
        let full = || stream(open(c"/dev/full", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap());
        let mut writer = Writer::new(&ring, full());
        (0..LOG_RECORDS + 2).for_each(|number| put(&ring, number));
        drain(&mut writer);
        put(&ring, 0);
        drain(&mut writer);
        assert_eq!(ring.lost(), LOG_RECORDS as u64 + 3);
        assert!(!ring.has_work(), "a writer that failed must sleep");

        let (reader, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        writer.output = stream(end);
        put(&ring, 1);
        drain(&mut writer);
        put(&ring, 2);
        drain(&mut writer);
        let reported = format!("WARN  {} log records lost: No space left on device", LOG_RECORDS + 3);
        assert_eq!(texts(reader, writer), [reported.as_str(), "INFO  record 1", "INFO  record 2"]);
        assert_eq!(ring.lost(), LOG_RECORDS as u64 + 3);
    }

    #[test]
    fn jump_of_the_date_is_reported_before_the_first_line_with_the_new_date() {
        let ring = Ring::new();
        let (reader, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut writer = Writer::new(&ring, stream(end));
        // As if the wall clock had been at 1970 at the start.
        writer.times = Times::Utc { start_ns: 0 };
        put(&ring, 1);
        drain(&mut writer);
        put(&ring, 2);
        drain(&mut writer);
        drop(writer);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let [jump, first, second] = lines[..] else { panic!("{text}") };
        assert!(jump.contains("Z INFO  the date jumps forward by "), "{jump}");
        assert!(first.ends_with("Z INFO  record 1") && second.ends_with("Z INFO  record 2"), "{text}");
        assert!(!text.contains("1970") && jump[..24] <= first[..24] && first[..24] <= second[..24], "{text}");
    }

    #[test]
    fn lines_of_full_length_are_written_in_batches() {
        let ring = Ring::new();
        let (reader, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut writer = Writer::new(&ring, stream(end));
        let count = LOG_RECORDS.min(2 * LOG_BATCH_BYTES / LOG_LINE_BYTES_MAX);
        for _ in 0..count {
            ring.put(Record::new(log::Level::Error, format_args!("{:0999}", 0), None));
        }
        drain(&mut writer);
        assert_eq!(texts(reader, writer).len(), count);
    }

    #[test]
    fn stuck_reader_delays_no_logging_thread() {
        // It outlives the test, as the writer does.
        let ring: &'static Ring = Box::leak(Box::new(Ring::new()));
        let (reader, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        thread::spawn(move || Writer::new(ring, stream(end)).run());
        ring.wait_for_writer();
        // More than ring, batch and pipe hold together. This returns although nothing reads.
        let count = 10 * LOG_RECORDS + 10_000;
        (0..count).for_each(|number| put(ring, number));
        assert!(ring.lost() > 0);
        let mut next = 0;
        let mut reported = 0;
        for line in BufReader::new(File::from(reader)).lines() {
            let line = line.unwrap();
            let mut words = line.split(' ').skip(1);
            if words.next() == Some("WARN") {
                let lost: usize = words.nth(1).unwrap().parse().unwrap();
                next += lost;
                reported += lost as u64;
            } else {
                assert_eq!(line.rsplit(' ').next().unwrap(), next.to_string());
                next += 1;
            }
            if next == count {
                break;
            }
        }
        assert_eq!(reported, ring.lost());
    }
}
