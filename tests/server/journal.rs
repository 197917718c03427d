//! The journal of the real server: what an ACK means, restarts, failures of the disk, and kills.

mod disks;
mod history;
mod lagging;
mod starts;
mod syncs;

use crate::support::directory::Directory;
use crate::support::traced::under_strace;
use crate::support::{Client, Server, command, id_of, run_to_end};
use firstline::journal::headers::{FIRST_OFFSET, read_headers};
use firstline::journal::names::NAMES;
use firstline::journal::read_only::ReadOnly;
use firstline::journal::record::Record;
use firstline::journal::scan::{Scan, Step};
use firstline::limits::{JOURNAL_READ_BYTES, JOURNAL_SEGMENTS};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A journal of 1M that version 1 wrote, with the texts `message 1 xxx…` and so on: the first two files without
/// the zeros at their ends. The other files are zero.
pub const VERSION_1: [&[u8]; 2] =
    [include_bytes!("journal_version_1/0.prefix"), include_bytes!("journal_version_1/1.prefix")];

impl Directory {
    fn start(&self, args: &[&str]) -> Server {
        Server::start(&[&["--journal", self.path(), "--journal-size", "1M"], args].concat())
    }

    /// All messages of the journal: their texts by their IDs. Fails unless the IDs are unique and rise.
    fn messages(&self) -> BTreeMap<u64, String> {
        let mut messages = BTreeMap::new();
        read(&self.0, |record| {
            let id = record.id;
            assert!(messages.last_key_value().is_none_or(|(last, _)| *last < id), "{id} after {messages:?}");
            messages.insert(id, String::from_utf8_lossy(record.text).into_owned());
        });
        messages
    }
}

/// Reads a journal as another process does: the segments in order, each up to the end that the next one's
/// header records.
fn read(directory: &Path, mut each: impl FnMut(&Record)) {
    let files = ReadOnly::open(directory).unwrap();
    let mut headers = Vec::from(read_headers(&files, files.segment_bytes()).unwrap().map(|header| header));
    let mut order: Vec<usize> = (0..JOURNAL_SEGMENTS).filter(|segment| headers[*segment].is_some()).collect();
    order.sort_by_key(|segment| headers[*segment].unwrap().sequence);
    let mut window = [0; JOURNAL_READ_BYTES];
    for (place, segment) in order.iter().enumerate() {
        let next = order.get(place + 1).and_then(|next| headers[*next]);
        let end = next.map_or(files.segment_bytes(), |next| next.previous_end);
        let key = headers[*segment].take().unwrap().key;
        let mut scan = Scan::new(*segment, key, FIRST_OFFSET..end, &mut window);
        loop {
            match scan.next(&files).unwrap() {
                Step::Record(record) => each(&record),
                Step::End => break,
                // The last segment may end in what a kill left behind.
                Step::Damage(_) => assert!(next.is_none(), "damage in an older segment"),
            }
        }
    }
}

/// The server, on a disk that takes `sync` for each sync.
fn start_on_slow_disk(directory: &Directory, sync: &str, args: &[&str]) -> Server {
    let slow = format!("inject=fdatasync:delay_enter={sync}");
    start_traced(directory, &["-e", "trace=fdatasync", "-e", &slow], args)
}

/// The server, under strace with these options.
fn start_traced(directory: &Directory, how: &[&str], args: &[&str]) -> Server {
    // The tracer is a grandchild (`-D`), so the process is the server itself.
    let mut traced = under_strace(&[&["-D", "-f", "-o", "/dev/null"], how].concat(), &command());
    traced
        .args(["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", "1M"])
        .args(args);
    Server::start_command(traced)
}

/// The file of the newest segment.
fn newest(directory: &Directory) -> std::path::PathBuf {
    let files = ReadOnly::open(&directory.0).unwrap();
    let headers = read_headers(&files, files.segment_bytes()).unwrap();
    let sequence_of = |segment: &usize| headers[*segment].map(|header| header.sequence);
    directory.0.join(NAMES[(0..JOURNAL_SEGMENTS).max_by_key(sequence_of).unwrap()])
}

/// Where each record of a segment begins, as another process sees it.
fn record_offsets(directory: &Path, segment: usize) -> Vec<u32> {
    let files = ReadOnly::open(directory).unwrap();
    let header = read_headers(&files, files.segment_bytes()).unwrap()[segment].unwrap();
    let mut window = [0; JOURNAL_READ_BYTES];
    let part = FIRST_OFFSET..header.records_end();
    let mut scan = Scan::new(segment, header.key, part, &mut window);
    let mut offsets = Vec::new();
    let mut at = FIRST_OFFSET;
    while let Step::Record(_) = scan.next(&files).unwrap() {
        offsets.push(at);
        at = scan.at();
    }
    offsets
}

/// The IDs and texts of the `MSG` lines, and the other lines up to the one that closes the command.
fn answer(client: &mut Client) -> (Vec<(u64, String)>, Vec<String>) {
    let (mut messages, mut others) = (Vec::new(), Vec::new());
    loop {
        let line = client.line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, _, _, ref text @ ..] => messages.push((id.parse().unwrap(), text.join(" "))),
            ["LOST", _] => others.push(line),
            _ => {
                others.push(line);
                return (messages, others);
            }
        }
    }
}

/// Sends messages with the texts `1` to `count`, and waits until all are acknowledged.
fn fill(client: &mut Client, count: usize) {
    for first in (1..=count).step_by(32) {
        let texts: Vec<String> = (first..=count.min(first + 31)).map(|number| number.to_string()).collect();
        client.send(texts.join("\n") + "\n");
        texts.iter().for_each(|_| assert!(id_of(&client.line()) > 0));
    }
}

/// The messages with these IDs, as [`fill`] sends them to a new journal.
fn numbered(ids: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    ids.map(|id| (id, id.to_string())).collect()
}

/// Flips a bit of a file.
fn flip(file: &Path, offset: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// The output of `firstline journal DIR --check`, and its exit code.
fn check(directory: &Directory) -> (String, Option<i32>) {
    let mut check = command();
    check.args(["journal", directory.path(), "--check"]);
    let output = run_to_end(check);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}
