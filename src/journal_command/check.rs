//! Verifies all that was written to a journal, and tells what is there.

use super::{Failure, Output, Verdict};
use crate::clock::Utc;
use crate::counted::Counted;
use crate::journal::catalog::{Catalog, Extent, Span};
use crate::journal::disk::Source;
use crate::journal::files::{NAMES, ReadOnly};
use crate::journal::headers::{
    FIRST_OFFSET, copied_from, is_used, read_header, read_header_page, snapshot_headers,
};
use crate::journal::record::Record;
use crate::journal::scan::{Position, Scan, Step, Window};
use crate::journal::segment::{Header, Identity};
use crate::limits::{
    JOURNAL_GAPS_LISTED_MAX, JOURNAL_POLL_MS, JOURNAL_READ_BYTES, JOURNAL_STRETCH_BYTES, PAGE_BYTES,
};
use nix::errno::Errno;
use std::fmt::{self, Display};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

/// Something that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Finding {
    segment: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// There is no such file.
    Missing,
    /// The file has another length than the others.
    Length { is: u64, should: u32 },
    /// The header and its double are damaged, or are those of another journal: nothing in it can be read.
    Header,
    /// One of the two is damaged, and the other tells the same.
    OneHeader,
    /// It is of another journal; none: of one of version 1.
    Stranger(Option<Identity>),
    /// It is a copy of that segment's file.
    Copy(usize),
    /// Bytes in which there was a record.
    Bytes { offset: u32, bytes: u32 },
    /// The same at the end of the newest segment.
    Tail { offset: u32, bytes: u32 },
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", NAMES[self.segment])?;
        match self.what {
            What::Missing => f.write_str("damaged: the file is missing"),
            What::Length { is, should } => {
                write!(f, "damaged: {} long instead of {should}", Counted(is, "byte"))
            }
            What::Header => f.write_str("damaged: no whole header, so nothing in it can be read"),
            What::Stranger(Some(identity)) => {
                write!(f, "damaged: it is a file of another journal, {identity}, and is not read")
            }
            What::Copy(original) => write!(
                f,
                "damaged: it is a copy of {}, and is not read; what it held before is lost",
                NAMES[original]
            ),
            What::Stranger(None) => f.write_str("damaged: it is a file of another journal, and is not read"),
            What::OneHeader => f.write_str("damaged: one of its two headers; the other is whole"),
            What::Bytes { offset, bytes } => {
                write!(f, "damaged: {} at offset {offset}", Counted(bytes.into(), "byte"))
            }
            What::Tail { offset, bytes } => write!(
                f,
                "damaged: {} at offset {offset}, the last that were written: a power cut does that",
                Counted(bytes.into(), "byte")
            ),
        }
    }
}

/// What a segment holds.
struct Content {
    segment: usize,
    records: u64,
    /// First and last.
    ids: (u64, u64),
    times_ms: (u64, u64),
    /// Bytes behind where it counts in which there were records, and how many of those are whole.
    quarantined_bytes: u32,
    quarantined_records: u64,
}

impl Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, records, ids, times_ms, quarantined_bytes, quarantined_records } = *self;
        let name = NAMES[segment];
        match records {
            0 => write!(f, "{name}: no messages")?,
            _ => {
                let (from, to) = (Utc(times_ms.0), Utc(times_ms.1));
                let messages = Counted(records, "message");
                write!(f, "{name}: {messages}, IDs {} to {}, {from} to {to}", ids.0, ids.1)?;
            }
        }
        if quarantined_bytes > 0 {
            let records = Counted(quarantined_records, "whole record");
            write!(f, "; {quarantined_bytes} bytes behind them are set aside, with {records}")?;
        }
        Ok(())
    }
}

/// All that was found.
#[derive(Default)]
struct Report {
    /// None: all segments are of version 1.
    identity: Option<Identity>,
    /// Whether no segment has a header.
    is_headless: bool,
    /// The sequence of the oldest segment that counts.
    oldest: u64,
    findings: Vec<Finding>,
    /// The oldest first.
    contents: Vec<Content>,
    /// Ranges of IDs, first and last, that are not there between others.
    gaps: Vec<(u64, u64)>,
    missing: u64,
}

/// Checks the journal and tells what is there.
pub fn run(directory: &Path, files: &ReadOnly, mut output: Output) -> Result<Verdict, Failure> {
    let report = examine_surely(|| examine(files)).map_err(|errno| Failure::unread(directory, errno))?;
    match report.write(&mut output) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if report.findings.is_empty() { Verdict::Sound } else { Verdict::Damaged })
}

/// What a server writes at this moment may look damaged. So what does is looked at twice.
fn examine_surely(mut examine: impl FnMut() -> Result<Report, Errno>) -> Result<Report, Errno> {
    let first = examine()?;
    if first.findings.is_empty() {
        return Ok(first);
    }
    std::thread::sleep(Duration::from_millis(JOURNAL_POLL_MS.into()));
    let mut report = examine()?;
    report.findings.retain(|finding| first.findings.contains(finding));
    Ok(report)
}

fn examine(files: &ReadOnly) -> Result<Report, Errno> {
    let headers = snapshot_headers(files, files.segment_bytes())?;
    let catalog = Catalog::new(&headers, None);
    let identity = catalog.spans().iter().rev().find_map(|span| span.header.identity());
    let oldest = headers.iter().flatten().map(Header::oldest).max().unwrap_or(0);
    let is_headless = headers.iter().all(Option::is_none);
    let mut report = Report { identity, is_headless, oldest, ..Report::default() };
    for (segment, header) in headers.iter().enumerate() {
        report.examine_file(files, segment, header.as_ref())?;
        let copied = copied_from(files, segment, files.segment_bytes(), &headers)?;
        report.findings.extend(copied.map(|original| Finding { segment, what: What::Copy(original) }));
    }
    report.examine_spans(files, &catalog)?;
    Ok(report)
}

impl Report {
    /// The file and its headers.
    fn examine_file(
        &mut self,
        files: &ReadOnly,
        segment: usize,
        header: Option<&Header>,
    ) -> Result<(), Errno> {
        let length = files.length(segment).map_err(|_| Errno::EIO)?;
        let mut found = |what| self.findings.push(Finding { segment, what });
        match length {
            None => found(What::Missing),
            Some(is) if is != u64::from(files.segment_bytes()) => {
                found(What::Length { is, should: files.segment_bytes() });
            }
            Some(_) => {}
        }
        let page = read_header_page(files, segment)?;
        let in_page = Header::from_page(&page).ok().and_then(|headers| headers.into_iter().flatten().next());
        let (ours, oldest) = (self.identity, self.oldest);
        // What is older does not count any more: another file took its place.
        let is_ours = |header: &Header| match header.identity() {
            None => header.sequence < oldest,
            identity => identity == ours,
        };
        let is_of_that_length = |header: &Header| header.segment_bytes == files.segment_bytes();
        match header {
            None if let Some(stranger) = in_page.filter(|header| !is_ours(header)) => {
                found(What::Stranger(stranger.identity()));
            }
            None if in_page.as_ref().is_some_and(is_of_that_length) => {}
            // A start leaves a header in one of them at least.
            None if length.is_some() && (self.is_headless || holds_something(files, segment)?) => {
                found(What::Header)
            }
            // By what stands in the page: the writer may have rotated to the segment since its header was read.
            Some(_) if in_page.is_none_or(|header| page != header.to_page()) => found(What::OneHeader),
            _ => {}
        }
        Ok(())
    }

    /// All records.
    fn examine_spans(&mut self, files: &impl Source, catalog: &Catalog) -> Result<(), Errno> {
        let mut window = [0; JOURNAL_READ_BYTES];
        for span in catalog.spans() {
            let is_last = catalog.after(span.header.sequence).is_none();
            let examined = Self::of_span(files, span, is_last, &mut window)?;
            if read_header(files, span.segment, span.header.segment_bytes)? == Some(span.header) {
                self.add(examined);
            } else {
                self.forget_contents();
            }
        }
        Ok(())
    }

    /// One use of a segment.
    fn of_span(files: &impl Source, span: &Span, is_last: bool, window: &mut Window) -> Result<Self, Errno> {
        let mut report = Self::default();
        let mut content = Content {
            segment: span.segment,
            records: 0,
            ids: (0, 0),
            times_ms: (0, 0),
            quarantined_bytes: 0,
            quarantined_records: 0,
        };
        // To the very end: whatever is there.
        let mut scan = Scan::new(span.segment, span.header.key, 0..0, window).with_gap_bytes_max(u32::MAX);
        scan.go_to(span, Position::new(FIRST_OFFSET));
        loop {
            let offset = scan.at();
            match scan.next(files)? {
                Step::Record(record) => report.add_record(&mut content, &record),
                Step::Damage(bytes) => {
                    report
                        .findings
                        .push(Finding { segment: span.segment, what: What::Bytes { offset, bytes } });
                }
                Step::End => break,
            }
        }
        let end = scan.at();
        if let Some(Finding { what, .. }) = report.findings.last_mut()
            && let What::Bytes { offset, bytes } = *what
            && is_last
            && offset + bytes == end
        {
            *what = What::Tail { offset, bytes };
        }
        if let Extent::Known(end) = span.extent {
            content.examine_quarantined(files, span, end, scan)?;
        }
        report.contents.push(content);
        Ok(report)
    }

    fn add_record(&mut self, content: &mut Content, record: &Record<'_>) {
        if content.records == 0 {
            (content.ids.0, content.times_ms.0) = (record.id, record.time_ms);
        } else {
            self.add_gap(content.ids.1, record.id);
        }
        (content.ids.1, content.times_ms.1) = (record.id, record.time_ms);
        content.records += 1;
    }

    /// What is missing between two IDs that follow each other.
    fn add_gap(&mut self, before: u64, after: u64) {
        let missing = after.saturating_sub(before).saturating_sub(1);
        if missing == 0 {
            return;
        }
        self.missing += missing;
        if self.gaps.len() < JOURNAL_GAPS_LISTED_MAX {
            self.gaps.push((before + 1, after - 1));
        }
    }

    /// Adds what was found in the next segment.
    fn add(&mut self, next: Self) {
        let last_of = |content: &Content| (content.records > 0).then_some(content.ids);
        let before = self.contents.iter().rev().find_map(last_of);
        if let (Some(before), Some(after)) = (before, next.contents.iter().find_map(last_of)) {
            self.add_gap(before.1, after.0);
        }
        self.findings.extend(next.findings);
        self.contents.extend(next.contents);
        self.missing += next.missing;
        self.gaps.extend(next.gaps);
        self.gaps.truncate(JOURNAL_GAPS_LISTED_MAX);
    }

    /// The writer rotated to the segment while it was read: its old content is gone, and so are the segments before it.
    fn forget_contents(&mut self) {
        self.findings.retain(|finding| !matches!(finding.what, What::Bytes { .. }));
        self.contents.clear();
        self.gaps.clear();
        self.missing = 0;
    }

    fn write(&self, out: &mut Output) -> std::io::Result<()> {
        for content in &self.contents {
            writeln!(out, "{content}")?;
        }
        for finding in &self.findings {
            writeln!(out, "{finding}")?;
        }
        for (first, last) in &self.gaps {
            writeln!(out, "missing: IDs {first} to {last}")?;
        }
        if self.gaps.len() == JOURNAL_GAPS_LISTED_MAX {
            writeln!(out, "missing: no more than these ranges are listed")?;
        }
        if let Some(identity) = self.identity {
            writeln!(out, "identity: {identity}")?;
        }
        let verdict = match self.findings.len() {
            0 => "sound".to_string(),
            places => format!("damaged in {}", Counted(places as u64, "place")),
        };
        let messages = self.contents.iter().map(|content| content.records).sum();
        let (messages, segments) =
            (Counted(messages, "message"), Counted(self.contents.len() as u64, "segment"));
        writeln!(out, "{verdict}: {messages} in {segments}, {} missing between them", self.missing)?;
        out.flush()
    }
}

impl Content {
    /// What stands behind where the segment counts. It was refused, or torn by a power cut, and nobody reads it.
    fn examine_quarantined(
        &mut self,
        files: &impl Source,
        span: &Span,
        start: u32,
        mut scan: Scan<'_>,
    ) -> Result<(), Errno> {
        let extent = Extent::Open(span.header.records_end());
        scan.go_to(&Span { extent, ..*span }, Position::new(start));
        loop {
            match scan.next(files)? {
                Step::Record(_) => self.quarantined_records += 1,
                Step::Damage(_) => {}
                Step::End => break,
            }
        }
        self.quarantined_bytes = scan.at() - start;
        Ok(())
    }
}

/// Whether something was ever written to a segment: to its first pages, or to the first page of any stretch of it.
fn holds_something(files: &ReadOnly, segment: usize) -> Result<bool, Errno> {
    for stretch in 1..=files.segment_bytes() / JOURNAL_STRETCH_BYTES {
        let mut page = [0; PAGE_BYTES];
        files.read(segment, stretch * JOURNAL_STRETCH_BYTES, &mut page)?;
        if page.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    is_used(files, segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::segment::SegmentKey;
    use crate::limits::JOURNAL_SEGMENTS;
    use crate::protocol::Priority;
    use std::cell::RefCell;

    fn report(findings: &[Finding]) -> Report {
        Report { findings: findings.to_vec(), ..Report::default() }
    }

    #[test]
    fn what_is_seen_only_once_is_no_damage() {
        let bytes = |offset| Finding { segment: 1, what: What::Bytes { offset, bytes: 8 } };
        for (first, second, told) in [
            (&[bytes(8)][..], &[][..], &[][..]),
            (&[bytes(8)], &[bytes(16)], &[]),
            (&[bytes(8), bytes(24)], &[bytes(16), bytes(24)], &[bytes(24)]),
        ] {
            let mut looks = [first, second].into_iter();
            let surely = examine_surely(|| Ok(report(looks.next().expect("two looks at most")))).unwrap();
            assert_eq!(surely.findings, told);
        }
    }

    #[test]
    fn gaps_are_counted_and_the_first_are_listed() {
        let mut report = Report::default();
        for id in (1..1_000).step_by(10) {
            report.add_gap(id, id + 10);
        }
        report.add_gap(5, 6);
        report.add_gap(7, 7);
        report.add_gap(8, 0);
        assert_eq!((report.gaps.len(), report.missing), (JOURNAL_GAPS_LISTED_MAX, 900));
        assert_eq!(report.gaps[..2], [(2, 10), (12, 20)]);
    }

    const FILE: u32 = 8_192;

    /// Three segments in memory, with messages 1 to 9. The writer rotates to the second one while it is read.
    struct Turning(RefCell<Vec<Vec<u8>>>);

    impl Source for Turning {
        fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
            let mut files = self.0.borrow_mut();
            if segment == 1 && offset == FIRST_OFFSET {
                files[1].fill(0);
            }
            let range = offset as usize..offset as usize + bytes.len();
            bytes.copy_from_slice(files[segment].get(range).ok_or(Errno::ENODATA)?);
            Ok(())
        }
    }

    impl Turning {
        fn new() -> (Self, Catalog) {
            let (mut files, mut headers) = (Vec::new(), [None; JOURNAL_SEGMENTS]);
            let mut previous_end = FIRST_OFFSET;
            for (segment, first_id) in [1, 4, 7].into_iter().enumerate() {
                let (sequence, key) = (segment as u64 + 1, SegmentKey { mark: 5, salt: segment as u64 });
                let header =
                    Header { segment_bytes: FILE, sequence, key, previous_end, first_id, origin: None };
                headers[segment] = Some(header);
                let mut file = vec![0; FILE as usize];
                file[..FIRST_OFFSET as usize].copy_from_slice(&header.to_page());
                let mut at = FIRST_OFFSET as usize;
                for id in first_id..first_id + 3 {
                    let record = Record { id, time_ms: 0, priority: Priority::NORMAL, from: b"", text: b"" };
                    at += record.write(&key, &mut file[at..]).unwrap();
                }
                previous_end = at as u32;
                files.push(file);
            }
            (Self(RefCell::new(files)), Catalog::new(&headers, None))
        }
    }

    #[test]
    fn what_is_turned_over_to_is_forgotten_with_all_before_it() {
        let (files, catalog) = Turning::new();
        let kept = Finding { segment: 3, what: What::Missing };
        let mut report = report(&[kept]);
        report.examine_spans(&files, &catalog).unwrap();
        assert_eq!((report.findings, report.gaps.len(), report.missing), (vec![kept], 0, 0));
        let ids: Vec<_> = report.contents.iter().map(|content| content.ids).collect();
        assert_eq!(ids, [(7, 9)]);
    }
}
