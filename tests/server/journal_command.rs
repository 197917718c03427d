//! `firstline journal`: a process reads a journal that another one writes.

use crate::support::directory::Directory;
use crate::support::traced::under_strace;
use crate::support::{LIMIT, command, eventually, signal};
use firstline::journal::files::Files;
use firstline::journal::headers::FIRST_OFFSET;
use firstline::journal::names::NAMES;
use firstline::journal::record::Record;
use firstline::journal::segment::HEADER_OFFSETS;
use firstline::journal::writer::{Buffers, Writer};
use firstline::limits::{JOURNAL_SEGMENTS, SEGMENT_HEADER_BYTES};
use firstline::protocol::Priority;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

pub const SEGMENT_BYTES: u32 = 128 * 1024;

/// Damages a journal.
type Damage = fn(&Directory);

impl Directory {
    pub fn file(&self, segment: usize) -> PathBuf {
        self.0.join(NAMES[segment])
    }

    /// A journal with messages of these IDs, whose writer is closed.
    pub fn with(name: &str, ids: Range<u64>) -> Self {
        let directory = Self::new(name);
        let mut buffers = Buffers::new();
        let mut writer = open(&directory.0, &mut buffers);
        write(&mut writer, ids);
        writer.close().unwrap();
        drop(writer);
        directory
    }

    /// The file and offset of that message's text.
    pub fn find(&self, id: u64) -> (PathBuf, u64) {
        let text = text(id);
        (0..JOURNAL_SEGMENTS)
            .find_map(|segment| {
                let bytes = std::fs::read(self.file(segment)).unwrap();
                let offset = bytes.windows(text.len()).position(|window| window == text.as_bytes())?;
                Some((self.file(segment), offset as u64))
            })
            .expect("the message is in the journal")
    }
}

pub fn open<'a>(path: &Path, buffers: &'a mut Buffers) -> Writer<'a, Files> {
    Writer::open(Files::open(path, SEGMENT_BYTES).unwrap(), SEGMENT_BYTES, buffers).unwrap().0
}

pub fn text(id: u64) -> String {
    format!("message {id} {}.", "x".repeat(200 + id as usize % 100))
}

pub fn append(writer: &mut Writer<'_, Files>, record: Record<'_>) {
    writer.begin_group(false);
    writer.append(&record);
    writer.commit(false).unwrap();
}

pub fn write(writer: &mut Writer<'_, Files>, ids: Range<u64>) {
    for id in ids {
        let text = text(id);
        let (time_ms, priority) = (1_700_000_000_000 + id, Priority::NORMAL);
        append(writer, Record { id, time_ms, priority, from: b"alice", text: text.as_bytes() });
    }
}

/// How a message of [`write`] is printed.
pub fn line(id: u64) -> String {
    let ms = 20_000 + id;
    format!("2023-11-14T22:13:{:02}.{:03}Z MSG {id} p4 alice {}", ms / 1_000, ms % 1_000, text(id))
}

pub fn lines(ids: Range<u64>) -> Vec<String> {
    ids.map(line).collect()
}

#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: String,
}

pub fn start(args: &[&str]) -> Child {
    let mut command = command();
    command.arg("journal").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs the command to its end, however long its output is.
pub fn run(args: &[&str]) -> Ran {
    let mut child = start(args);
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stdout = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text).unwrap()
    });
    let code = end(&mut child);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    Ran { code, stdout: stdout.join().unwrap().lines().map(str::to_string).collect(), stderr: said }
}

pub fn end(child: &mut Child) -> Option<i32> {
    let mut code = None;
    eventually("the command ends", || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    code.and_then(|status| status.code())
}

/// Passes on the lines that come, one by one.
pub fn follow(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

pub fn flip(file: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[test]
fn all_messages_are_printed_or_those_after_an_id() {
    let directory = Directory::with("prints", 1..1_001);
    let ran = run(&[directory.path()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout, lines(1..1_001));
    for (since, first) in [("0", 1), ("1", 2), ("699", 700), ("999", 1_000), ("1000", 1_001)] {
        let ran = run(&[directory.path(), "--since", since]);
        assert_eq!((ran.code, ran.stdout), (Some(0), lines(first..1_001)), "{since}");
    }
}

#[test]
fn open_journal_is_read_and_overwritten_messages_are_reported() {
    let directory = Directory::new("ring");
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    write(&mut writer, 1..9_001);
    let all = run(&[directory.path()]);
    assert_eq!(all.code, Some(0));
    let oldest = 9_001 - all.stdout.len() as u64;
    assert!(oldest > 1_000, "{oldest}");
    assert_eq!(all.stdout, lines(oldest..9_001));
    let since = run(&[directory.path(), "--since", "999"]);
    assert_eq!(since.stdout[0], format!("- LOST {}", oldest - 1_000));
    assert_eq!(since.stdout[1..], lines(oldest..9_001));
    let since = run(&[directory.path(), "--since", "999", "--json"]);
    assert_eq!(json(&since.stdout[0]), serde_json::json!({ "lost": oldest - 1_000 }));
    assert_eq!(since.code, Some(0));
}

#[test]
fn json_output_is_valid_for_any_text() {
    let directory = Directory::new("json");
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let texts: [&[u8]; 5] = [
        b"plain",
        "\"grün\" \\ 漢字 🔥".as_bytes(),
        b"\0\t\x1b[2J\x7f",
        "\u{85}\u{202e}\u{2028}".as_bytes(),
        &all,
    ];
    for (id, text) in (1..).zip(texts) {
        append(&mut writer, Record { id, time_ms: 0, priority: Priority::URGENT, from: b"[::1]:9", text });
    }
    let ran = run(&[directory.path(), "--json"]);
    assert_eq!((ran.code, ran.stdout.len()), (Some(0), texts.len()));
    for (id, (line, text)) in (1_u64..).zip(ran.stdout.iter().zip(texts)) {
        assert!(!line.chars().any(|character| character.is_control() || character == '\u{202e}'), "{line}");
        let mut expected = serde_json::json!({
            "id": id,
            "time": "1970-01-01T00:00:00.000Z",
            "time_ms": 0,
            "priority": 9,
            "from": "[::1]:9",
            "text": String::from_utf8_lossy(text),
        });
        let message = json(line);
        if std::str::from_utf8(text).is_err() {
            let encoded = message["text_base64"].as_str().unwrap();
            assert_eq!(decode_base64(encoded), text);
            expected["text_base64"] = encoded.into();
        }
        assert_eq!(message, expected);
    }
    let plain = run(&[directory.path()]);
    assert_eq!(plain.stdout[2], r"1970-01-01T00:00:00.000Z MSG 3 p9 [::1]:9 \x00\x09\x1b[2J\x7f");
}

/// Decodes with the coreutils, which every system has.
fn decode_base64(text: &str) -> Vec<u8> {
    let mut command = std::process::Command::new("base64");
    let mut child = command.arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn follow_prints_new_messages_and_reports_overwritten_ones() {
    let directory = Directory::new("follow");
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    write(&mut writer, 1..101);
    let mut child = start(&[directory.path(), "--follow", "--since", "50"]);
    let printed = follow(child.stdout.take().unwrap());
    let next = || printed.recv_timeout(LIMIT).expect("a line");
    (51..101).for_each(|id| assert_eq!(next(), line(id)));
    // In small steps, across the ends of segments.
    for first in (101..1_101).step_by(100) {
        write(&mut writer, first..first + 100);
        (first..first + 100).for_each(|id| assert_eq!(next(), line(id)));
    }
    signal(child.id(), "STOP");
    write(&mut writer, 1_101..9_001);
    signal(child.id(), "CONT");
    let lost = next();
    let lost: u64 = lost.strip_prefix("- LOST ").unwrap_or_else(|| panic!("{lost}")).parse().unwrap();
    (1_101 + lost..9_001).for_each(|id| assert_eq!(next(), line(id)));
    // The ring overtakes the reader: every message is printed, in order, or counted as lost.
    write(&mut writer, 9_001..30_001);
    let mut id = 9_001;
    while id < 30_001 {
        match next().strip_prefix("- LOST ") {
            Some(lost) => id += lost.parse::<u64>().unwrap(),
            None => id += 1,
        }
    }
    assert_eq!(id, 30_001);
    signal(child.id(), "TERM");
    end(&mut child);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn closed_output_ends_it_silently() {
    let directory = Directory::with("closed", 1..3_001);
    for args in [&[directory.path()][..], &[directory.path(), "--follow"]] {
        let mut child = start(args);
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        assert!(first.contains(" MSG "), "{first}");
        drop(stdout);
        assert_eq!(end(&mut child), Some(0), "{args:?}");
    }
    // The child has read everything, and waits for more.
    let mut child = start(&[directory.path(), "--follow", "--since", "2999"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    assert_eq!(end(&mut child), Some(0));
}

#[test]
fn position_ahead_of_the_history_is_reported_and_new_messages_are_printed() {
    let directory = Directory::with("ahead", 1..5);
    let warning = |newest: u64| {
        let directory = directory.path();
        format!(
            "firstline: {directory}: message 5000 is ahead of this history, whose newest is {newest}; only new \
             messages are printed\n"
        )
    };
    let ran = run(&[directory.path(), "--since", "5000"]);
    assert_eq!((ran.code, ran.stderr, ran.stdout.len()), (Some(0), warning(4), 0));
    for (since, newest) in [("4", 4), ("5000", 5)] {
        let mut child = start(&[directory.path(), "--since", since, "--follow"]);
        let (printed, said) = (follow(child.stdout.take().unwrap()), child.stderr.take().unwrap());
        if since == "5000" {
            let mut line = String::new();
            BufReader::new(said).read_line(&mut line).unwrap();
            assert_eq!(line, warning(newest));
        }
        let mut buffers = Buffers::new();
        let mut writer = open(&directory.0, &mut buffers);
        write(&mut writer, newest + 1..newest + 2);
        writer.close().unwrap();
        assert_eq!(printed.recv_timeout(LIMIT).unwrap(), line(newest + 1), "{since}");
        signal(child.id(), "TERM");
        let _ = child.wait();
    }
}

#[test]
fn sound_journal_is_reported_as_sound() {
    let directory = Directory::with("sound", 1..1_001);
    let ran = run(&[directory.path(), "--check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let (verdict, lines_before) = ran.stdout.split_last().unwrap();
    let (identity, segments) = lines_before.split_last().unwrap();
    assert!(identity.starts_with("identity: "), "{identity}");
    assert_eq!(
        *verdict,
        format!("sound: 1000 messages in {} segments, 0 missing between them", segments.len())
    );
    assert!(segments.len() > 1);
    assert!(segments[0].starts_with("0.journal: "), "{}", segments[0]);
    assert!(segments[0].contains(" messages, IDs 1 to "), "{}", segments[0]);
    assert!(segments[0].contains(", 2023-11-14T22:13:20.001Z to 2023-11-14T22:13:20."), "{}", segments[0]);
}

#[test]
fn flipped_bit_loses_one_message_and_its_place_is_reported() {
    let directory = Directory::with("flipped", 1..1_001);
    let (file, offset) = directory.find(20);
    flip(&file, offset);
    let ran = run(&[directory.path()]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stdout[..19], lines(1..20));
    assert_eq!(ran.stdout[19], "- LOST 1");
    assert_eq!(ran.stdout[20..], lines(21..1_001));
    let start = format!("firstline: {}: ", file.display());
    assert!(ran.stderr.starts_with(&start) && ran.stderr.lines().count() == 1, "{}", ran.stderr);

    let ran = run(&[directory.path(), "--check"]);
    assert_eq!(ran.code, Some(1));
    let finding = ran.stdout.iter().find_map(|line| line.strip_prefix("0.journal: damaged: ")).unwrap();
    let (bytes, at) = finding.split_once(" bytes at offset ").unwrap();
    let (bytes, at): (u64, u64) = (bytes.parse().unwrap(), at.parse().unwrap());
    assert!(at < offset && offset < at + bytes && bytes < 400, "{finding}: {offset}");
    assert!(ran.stdout.contains(&"missing: IDs 20 to 20".to_string()), "{:?}", ran.stdout);
    let verdict = ran.stdout.last().unwrap();
    assert!(verdict.starts_with("damaged in 1 place: 999 messages in "), "{verdict}");
    assert!(verdict.ends_with(" segments, 1 missing between them"), "{verdict}");
}

#[test]
fn truncated_file_loses_only_the_missing_part() {
    let directory = Directory::with("cut", 1..1_001);
    let file = OpenOptions::new().write(true).open(directory.file(0)).unwrap();
    file.set_len(10_000).unwrap();
    let ran = run(&[directory.path()]);
    assert_eq!(ran.code, Some(1));
    let kept = ran.stdout.iter().position(|line| line.starts_with("- LOST ")).unwrap();
    let lost: usize = ran.stdout[kept].strip_prefix("- LOST ").unwrap().parse().unwrap();
    assert!(kept > 10 && kept + lost < 1_000, "{kept} {lost}");
    assert_eq!(ran.stdout[..kept], lines(1..kept as u64 + 1));
    assert_eq!(ran.stdout[kept + 1..], lines((kept + lost) as u64 + 1..1_001));
    let ran = run(&[directory.path(), "--check"]);
    let finding = format!("0.journal: damaged: 10000 bytes long instead of {SEGMENT_BYTES}");
    assert!(ran.stdout.contains(&finding), "{:?}", ran.stdout);
    assert_eq!(ran.code, Some(1));
}

#[test]
fn damaged_records_headers_and_missing_files_are_reported() {
    let newest = |directory: &Directory| {
        let (file, _) = directory.find(1_000);
        file.file_name().unwrap().to_str().unwrap().to_string()
    };
    let tests: [(&str, Damage, &str); 6] = [
        ("first", |directory| flip(&directory.file(0), u64::from(FIRST_OFFSET) + 9), "0.journal: damaged: "),
        (
            "last",
            |directory| flip(&directory.find(1_000).0, directory.find(1_000).1),
            ", the last that were written: ",
        ),
        (
            "header",
            |directory| flip(&directory.file(1), HEADER_OFFSETS[0] as u64 + 20),
            "1.journal: damaged: one of its two headers",
        ),
        (
            "headers",
            |directory| {
                HEADER_OFFSETS.iter().for_each(|at| flip(&directory.file(1), *at as u64 + 20));
            },
            "1.journal: damaged: no whole header",
        ),
        (
            "zeroed",
            |directory| {
                let file = OpenOptions::new().write(true).open(directory.file(0)).unwrap();
                file.write_all_at(&[0; SEGMENT_HEADER_BYTES], 0).unwrap();
            },
            "0.journal: damaged: no whole header",
        ),
        (
            "file",
            |directory| std::fs::remove_file(directory.file(0)).unwrap(),
            "0.journal: damaged: the file is missing",
        ),
    ];
    for (name, damage, part) in tests {
        let directory = Directory::with(name, 1..1_001);
        assert_eq!(run(&[directory.path(), "--check"]).code, Some(0), "{name}");
        assert_ne!(newest(&directory), "1.journal", "{name}");
        damage(&directory);
        let ran = run(&[directory.path(), "--check"]);
        assert_eq!(ran.code, Some(1), "{name}: {:?}", ran.stdout);
        let findings: Vec<_> = ran.stdout.iter().filter(|line| line.contains(": damaged: ")).collect();
        assert!(findings.len() == 1 && findings[0].contains(part), "{name}: {:?}", ran.stdout);
        // Undamaged messages are printed nevertheless.
        let printed = run(&[directory.path()]).stdout.iter().filter(|line| line.contains(" MSG ")).count();
        assert!(printed > 400, "{name}: {printed}");
    }
}

#[test]
fn quarantined_end_is_reported_and_is_no_damage() {
    let directory = Directory::with("aside", 1..101);
    let (file, offset) = directory.find(100);
    flip(&file, offset);
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    // The IDs that the damaged bytes may have had are not given again.
    let next = writer.next_id();
    assert!(next >= 101, "{next}");
    write(&mut writer, next..next + 10);
    drop(writer);
    let ran = run(&[directory.path(), "--check"]);
    assert_eq!(ran.code, Some(0), "{:?}", ran.stdout);
    assert!(ran.stdout[0].contains("99 messages, IDs 1 to 99, "), "{:?}", ran.stdout);
    assert!(ran.stdout[0].ends_with(" are set aside, with 0 whole records"), "{:?}", ran.stdout);
    assert_eq!(ran.stdout[2], format!("missing: IDs 100 to {}", next - 1));
    let printed = run(&[directory.path()]);
    assert_eq!(
        printed.stdout,
        [&lines(1..100)[..], &[format!("- LOST {}", next - 100)], &lines(next..next + 10)].concat()
    );
    assert_eq!(printed.code, Some(0));
}

#[test]
fn start_keeps_undamaged_records_of_the_newest_segment() {
    let directory = Directory::with("middle", 1..101);
    let (file, offset) = directory.find(90);
    flip(&file, offset);
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    assert_eq!(writer.next_id(), 101);
    write(&mut writer, 101..111);
    drop(writer);
    let printed = run(&[directory.path()]);
    assert_eq!(printed.stdout, [&lines(1..90)[..], &["- LOST 1".to_string()], &lines(91..111)].concat());
    let ran = run(&[directory.path(), "--check"]);
    assert_eq!(ran.code, Some(1), "{:?}", ran.stdout);
    assert!(
        ran.stdout.last().unwrap().starts_with("damaged in 1 place: 109 messages in 1 "),
        "{:?}",
        ran.stdout
    );
}

#[test]
fn unused_files_on_another_disk_are_no_damage() {
    let directory = Directory::with("another", 1..2_001);
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    std::fs::remove_dir_all(&directory.0).unwrap();
    writer.begin_group(true);
    let record = Record { id: 2_001, time_ms: 0, priority: Priority::NORMAL, from: b"", text: b"" };
    writer.append(&record);
    writer.commit(true).unwrap_err();
    writer.reopen_segment().unwrap();
    let (headers, _) = writer.extent();
    assert!(
        headers.iter().flatten().all(|header| header.sequence > 4) && headers.iter().flatten().count() == 1
    );
    write(&mut writer, 2_001..2_011);
    let ran = run(&[directory.path(), "--check"]);
    assert_eq!(ran.code, Some(0), "{:?}", ran.stdout);
    assert!(ran.stdout.last().unwrap().starts_with("sound: 10 messages in 1 segment, "), "{:?}", ran.stdout);
    assert_eq!(run(&[directory.path()]).stdout, lines(2_001..2_011));
}

#[test]
fn files_without_any_header_are_not_sound() {
    for length in [0, 1_000, 128 * 1024] {
        let directory = Directory::new("headless");
        std::fs::create_dir(&directory.0).unwrap();
        for name in NAMES {
            std::fs::File::create(directory.0.join(name)).unwrap().set_len(length).unwrap();
        }
        let ran = run(&[directory.path(), "--check"]);
        assert_eq!(ran.code, Some(1), "{length}");
        let last = ran.stdout.last().map(String::as_str);
        assert_eq!(last, Some("damaged in 8 places: 0 messages in 0 segments, 0 missing between them"));
        for arguments in [&[directory.path()][..], &[directory.path(), "--resize", "2M"]] {
            let ran = run(arguments);
            assert_eq!(ran.code, Some(1), "{length}");
            assert!(ran.stderr.contains("no segment has a whole header: "), "{}", ran.stderr);
        }
    }
}

#[test]
fn check_during_writes_reports_a_sound_journal() {
    let directory = Directory::new("busy");
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    write(&mut writer, 1..4_001);
    // More than the journal holds, so the writer has rotated.
    let has_rotated = AtomicBool::new(false);
    let path = directory.path();
    std::thread::scope(|scope| {
        let check = scope.spawn(|| {
            for count in 1.. {
                let ran = run(&[path, "--check"]);
                assert_eq!(ran.code, Some(0), "{:?}", ran.stdout);
                let last = ran.stdout.last().unwrap();
                assert!(last.ends_with(", 0 missing between them"), "{:?}", ran.stdout);
                if count >= 30 && has_rotated.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let mut id = 4_001;
        while !check.is_finished() {
            write(&mut writer, id..id + 10);
            id += 10;
            has_rotated.store(id > 10_000, Ordering::Relaxed);
        }
    });
}

#[test]
fn wrong_directory_is_reported_in_one_line() {
    let directory = Directory::new("none");
    std::fs::create_dir(&directory.0).unwrap();
    let absent = format!("{}/absent", directory.path());
    let file = format!("{}/file", directory.path());
    std::fs::write(&file, b"").unwrap();
    for task in [&[][..], &["--check"], &["--follow"], &["--last", "1"], &["--resize", "2M"]] {
        for (directory, reason) in [
            (
                directory.path(),
                "there is no journal in it, which is 0.journal to 7.journal; give the DIR of the server's --journal",
            ),
            (&absent, "there is no such directory; give the DIR of the server's --journal"),
            (&file, "it is not a directory; give the directory that the journal's files are in"),
        ] {
            let ran = run(&[&[directory][..], task].concat());
            assert_eq!(ran.code, Some(1));
            assert_eq!(ran.stderr, format!("firstline: {directory}: {reason}\n"));
            assert_eq!(ran.stdout, [""; 0]);
        }
    }
    NAMES.iter().for_each(|name| std::fs::write(directory.0.join(name), [1; 100]).unwrap());
    for task in [&[][..], &["--last", "1"], &["--resize", "2M"]] {
        let ran = run(&[&[directory.path()][..], task].concat());
        assert_eq!(ran.code, Some(1));
        let reason = "no segment has a whole header: it is no journal, or badly damaged; firstline journal DIR \
                      --check tells more";
        assert_eq!(ran.stderr, format!("firstline: {}: {reason}\n", directory.path()));
    }
    assert_eq!(run(&[directory.path(), "--check"]).code, Some(1));
}

#[test]
fn wrong_option_is_reported_in_one_line() {
    for (args, part) in [
        (&[][..], "journal: takes the directory of a journal; see firstline journal --help"),
        (&["d", "--since", "soon"], "--since soon: takes the ID of a message"),
        (&["d", "--chek"], "did you mean --check?"),
        (&["d", "--las"], "did you mean --last?"),
        (&["d", "--last", "all"], "--last all: takes a number of messages, a whole number"),
        (&["d", "--min", "10"], "--min 10: takes a priority, 0 to 9, where 9 is the most urgent"),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.len()), (Some(2), 0));
        assert!(ran.stderr.contains(part) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
    let ran = run(&["--help"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout[0].starts_with("Usage: firstline journal DIR "));
}

#[test]
fn misspelt_command_gets_a_suggestion() {
    let output = command().args(["journl", "d"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "firstline: journl: not an option; did you mean firstline journal DIR?\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn count_of_one_is_singular() {
    let directory = Directory::with("singular", 1..2);
    let verdict = run(&[directory.path(), "--check"]).stdout.pop().unwrap();
    assert_eq!(verdict, "sound: 1 message in 1 segment, 0 missing between them");
    let ran = run(&[directory.path(), "--resize", "2M"]);
    assert_eq!(
        ran.stdout,
        ["1 message was read; the new journal has as many of the newest as fit; the next ID is 2"]
    );
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn unreadable_directory_is_reported_with_a_remedy() {
    let directory = Directory::with("denied", 1..2);
    // strace makes the calls fail, so the test works for every user.
    let how = ["-e", "trace=openat", "-e", "inject=openat:error=EACCES", "-P", directory.path()];
    let mut reading = command();
    reading.args(["journal", directory.path()]);
    let output = under_strace(&how, &reading).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "firstline: {}: the directory cannot be opened: Permission denied; run this as root, or as the user that the \
         server runs as\n",
        directory.path()
    );
    assert!(said.ends_with(&expected), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
