//! Verifies all records of a journal, and reports what it contains and what is damaged.

use super::content::Content;
use super::failure::Failure;
use super::finding::{Finding, What};
use super::output::Output;
use super::verdict::Verdict;
use crate::counted::Counted;
use crate::journal::catalog::{Catalog, Extent, Span};
use crate::journal::disk::Source;
use crate::journal::headers::{FIRST_OFFSET, copied_from, is_used, read_header, snapshot_headers};
use crate::journal::read_only::ReadOnly;
use crate::journal::record::Record;
use crate::journal::scan::{Position, Scan, Step, Window};
use crate::journal::segment::{Header, Identity};
use crate::limits::{JOURNAL_GAPS_LISTED_MAX, JOURNAL_POLL_MS, JOURNAL_READ_BYTES, SEGMENT_HEADER_BYTES};
use nix::errno::Errno;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

/// The results of a check.
#[derive(Default)]
struct Report {
    /// `None`: all segments are of version 1.
    identity: Option<Identity>,
    /// Whether no segment has a header.
    is_headless: bool,
    /// The sequence of the oldest valid segment.
    oldest: u64,
    findings: Vec<Finding>,
    /// The oldest segment first.
    contents: Vec<Content>,
    /// The first missing ranges of IDs between others, each with its first and its last ID.
    gaps: Vec<(u64, u64)>,
    /// How many IDs are missing between others.
    missing: u64,
}

/// Checks the journal, and prints the results.
pub fn run(directory: &Path, files: &ReadOnly, mut output: Output) -> Result<Verdict, Failure> {
    let report = examine_twice(|| examine(files)).map_err(|errno| Failure::unread(directory, errno))?;
    match report.write(&mut output) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if report.findings.is_empty() { Verdict::Sound } else { Verdict::Damaged })
}

/// Examines the journal. If it finds damage, it examines the journal again after a while, and reports only the damage
/// that it finds both times: a record that a server is just writing may look damaged.
fn examine_twice(mut examine: impl FnMut() -> Result<Report, Errno>) -> Result<Report, Errno> {
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
        report.examine_length(files, segment)?;
        report.examine_headers(files, segment, header.as_ref())?;
        let copied = copied_from(files, segment, files.segment_bytes(), &headers)?;
        report.findings.extend(copied.map(|original| Finding { segment, what: What::Copy(original) }));
    }
    report.examine_spans(files, &catalog)?;
    Ok(report)
}

impl Report {
    /// Examines the length of a file.
    fn examine_length(&mut self, files: &ReadOnly, segment: usize) -> Result<(), Errno> {
        let should = files.segment_bytes();
        let what = match files.length(segment).map_err(|_| Errno::EIO)? {
            None => What::Missing,
            Some(is) if is != u64::from(should) => What::Length { is, should },
            Some(_) => return Ok(()),
        };
        self.findings.push(Finding { segment, what });
        Ok(())
    }

    /// Examines the first page of a file. `header` is the valid header in it, if there is one.
    fn examine_headers(
        &mut self,
        files: &ReadOnly,
        segment: usize,
        header: Option<&Header>,
    ) -> Result<(), Errno> {
        let mut page = [0; SEGMENT_HEADER_BYTES];
        files.read(segment, 0, &mut page)?;
        let in_page = Header::from_page(&page).ok().and_then(|headers| headers.into_iter().flatten().next());
        let what = if header.is_some() {
            // The comparison is with the header in the page, because the writer may have rotated to the file since
            // `header` was read.
            in_page.is_none_or(|header| page != header.to_page()).then_some(What::OneHeader)
        } else if let Some(foreign) = in_page.filter(|header| !self.is_ours(header)) {
            Some(What::Foreign(foreign.identity()))
        } else if in_page.is_some_and(|header| header.segment_bytes == files.segment_bytes()) {
            None
        } else {
            // After a start, at least one file has a header.
            let exists = files.length(segment).map_err(|_| Errno::EIO)?.is_some();
            let has_lost_header =
                exists && (self.is_headless || is_used(files, segment, files.segment_bytes())?);
            has_lost_header.then_some(What::Header)
        };
        self.findings.extend(what.map(|what| Finding { segment, what }));
        Ok(())
    }

    /// Whether an invalid header belongs to this journal. A header of version 1 has no identity: it belongs to this
    /// journal if it is older than all valid segments, because then another file took its place.
    fn is_ours(&self, header: &Header) -> bool {
        match header.identity() {
            None => header.sequence < self.oldest,
            identity => identity == self.identity,
        }
    }

    /// Examines all records.
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

    /// The report about one segment.
    fn of_span(files: &impl Source, span: &Span, is_last: bool, window: &mut Window) -> Result<Self, Errno> {
        let (mut report, mut content) = (Self::default(), Content::new(span.segment));
        // No gap ends this scan: it reads up to the end of the segment.
        let mut scan = Scan::new(span.segment, span.header.key, 0..0, window).with_gap_bytes_max(u32::MAX);
        scan.go_to(span, Position::new(FIRST_OFFSET));
        loop {
            let offset = scan.at();
            match scan.next(files)? {
                Step::Record(record) => report.add_record(&mut content, &record),
                Step::Damage(bytes) => report
                    .findings
                    .push(Finding { segment: span.segment, what: What::Bytes { offset, bytes } }),
                Step::End => break,
            }
        }
        let end = scan.at();
        if is_last {
            report.mark_tail(end);
        }
        if let Extent::Known(end) = span.extent {
            content.count_quarantined(files, span, end, scan)?;
        }
        report.contents.push(content);
        Ok(report)
    }

    /// If the last finding extends to the end of the newest segment, a power cut may be the cause.
    fn mark_tail(&mut self, end: u32) {
        if let Some(Finding { what, .. }) = self.findings.last_mut()
            && let What::Bytes { offset, bytes } = *what
            && offset + bytes == end
        {
            *what = What::Tail { offset, bytes };
        }
    }

    fn add_record(&mut self, content: &mut Content, record: &Record<'_>) {
        if content.records > 0 {
            self.add_gap(content.ids.1, record.id);
        }
        content.add(record);
    }

    /// Adds what is missing between two successive IDs.
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

    /// Adds the report about the next segment.
    fn add(&mut self, next: Self) {
        let ids_of = |content: &Content| (content.records > 0).then_some(content.ids);
        let before = self.contents.iter().rev().find_map(ids_of);
        if let (Some(before), Some(after)) = (before, next.contents.iter().find_map(ids_of)) {
            self.add_gap(before.1, after.0);
        }
        self.findings.extend(next.findings);
        self.contents.extend(next.contents);
        self.missing += next.missing;
        self.gaps.extend(next.gaps);
        self.gaps.truncate(JOURNAL_GAPS_LISTED_MAX);
    }

    /// Drops the contents so far: the writer overwrote the segment during the read, so its old content is gone, and
    /// so are the segments before it.
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
    fn damage_found_only_once_is_not_reported() {
        let bytes = |offset| Finding { segment: 1, what: What::Bytes { offset, bytes: 8 } };
        for (first, second, expected) in [
            (&[bytes(8)][..], &[][..], &[][..]),
            (&[bytes(8)], &[bytes(16)], &[]),
            (&[bytes(8), bytes(24)], &[bytes(16), bytes(24)], &[bytes(24)]),
        ] {
            let mut reports = [first, second].into_iter();
            let twice =
                examine_twice(|| Ok(report(reports.next().expect("at most two examinations")))).unwrap();
            assert_eq!(twice.findings, expected);
        }
    }

    #[test]
    fn all_gaps_are_counted_and_the_first_are_listed() {
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

    /// Three segments in memory, with messages 1 to 9. The writer overwrites the second one while it is read.
    struct Rotating(RefCell<Vec<Vec<u8>>>);

    impl Source for Rotating {
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

    impl Rotating {
        fn new() -> (Self, Catalog) {
            let (mut files, mut headers) = (Vec::new(), [None; JOURNAL_SEGMENTS]);
            let mut previous_end = FIRST_OFFSET;
            for (segment, first_id) in [1, 4, 7].into_iter().enumerate() {
                let (sequence, key) = (segment as u64 + 1, SegmentKey { tag: 5, salt: segment as u64 });
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
    fn overwritten_segment_and_those_before_it_are_left_out() {
        let (files, catalog) = Rotating::new();
        let kept = Finding { segment: 3, what: What::Missing };
        let mut report = report(&[kept]);
        report.examine_spans(&files, &catalog).unwrap();
        assert_eq!((report.findings, report.gaps.len(), report.missing), (vec![kept], 0, 0));
        let ids: Vec<_> = report.contents.iter().map(|content| content.ids).collect();
        assert_eq!(ids, [(7, 9)]);
    }
}
