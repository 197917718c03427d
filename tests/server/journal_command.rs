//! `firstline journal`: another process than the one that writes the journal reads it.

use crate::common::directory::Directory;
use crate::common::traced::under_strace;
use crate::common::{LIMIT, command, eventually, signal};
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
use std::sync::mpsc::{Receiver, channel};

pub const SEGMENT_BYTES: u32 = 128 * 1024;

/// What does harm to a journal.
type Damaging = fn(&Directory);

impl Directory {
    pub fn file(&self, segment: usize) -> PathBuf {
        self.0.join(NAMES[segment])
    }

    /// A journal with messages of these IDs; it is not written to any more.
    pub fn with(name: &str, ids: Range<u64>) -> Self {
        let place = Self::new(name);
        let mut buffers = Buffers::new();
        let mut writer = open(&place.0, &mut buffers);
        write(&mut writer, ids);
        writer.close().unwrap();
        drop(writer);
        place
    }

    /// Where the text of that message stands.
    pub fn find(&self, id: u64) -> (PathBuf, u64) {
        let text = text(id);
        (0..JOURNAL_SEGMENTS)
            .find_map(|segment| {
                let bytes = std::fs::read(self.file(segment)).unwrap();
                let offset = bytes.windows(text.len()).position(|window| window == text.as_bytes())?;
                Some((self.file(segment), offset as u64))
            })
            .expect("it is there")
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

/// What a message of [`write`] is printed as.
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

/// Runs it to the end, however much it says.
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
    eventually("it ends", || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    code.and_then(|status| status.code())
}

/// The lines that come, one by one.
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
fn it_prints_all_messages_or_those_from_an_id_on() {
    let place = Directory::with("prints", 1..1_001);
    let ran = run(&[place.path()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout, lines(1..1_001));
    for (since, first) in [("0", 1), ("1", 2), ("699", 700), ("999", 1_000), ("1000", 1_001)] {
        let ran = run(&[place.path(), "--since", since]);
        assert_eq!((ran.code, ran.stdout), (Some(0), lines(first..1_001)), "{since}");
    }
}

#[test]
fn it_needs_no_lock_and_tells_what_went_to_make_room() {
    let place = Directory::new("ring");
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
    write(&mut writer, 1..9_001);
    let all = run(&[place.path()]);
    assert_eq!(all.code, Some(0));
    let oldest = 9_001 - all.stdout.len() as u64;
    assert!(oldest > 1_000, "{oldest}");
    assert_eq!(all.stdout, lines(oldest..9_001));
    let since = run(&[place.path(), "--since", "999"]);
    assert_eq!(since.stdout[0], format!("- LOST {}", oldest - 1_000));
    assert_eq!(since.stdout[1..], lines(oldest..9_001));
    let since = run(&[place.path(), "--since", "999", "--json"]);
    assert_eq!(json(&since.stdout[0]), serde_json::json!({ "lost": oldest - 1_000 }));
    assert_eq!(since.code, Some(0));
}

#[test]
fn its_json_is_json_whatever_a_client_sent() {
    let place = Directory::new("json");
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
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
    let ran = run(&[place.path(), "--json"]);
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
    let plain = run(&[place.path()]);
    assert_eq!(plain.stdout[2], r"1970-01-01T00:00:00.000Z MSG 3 p9 [::1]:9 \x00\x09\x1b[2J\x7f");
}

/// As coreutils have it, which every system has.
fn decode_base64(text: &str) -> Vec<u8> {
    let mut command = std::process::Command::new("base64");
    let mut child = command.arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn it_follows_what_comes_and_tells_what_it_was_too_slow_for() {
    let place = Directory::new("follow");
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
    write(&mut writer, 1..101);
    let mut child = start(&[place.path(), "--follow", "--since", "50"]);
    let printed = follow(child.stdout.take().unwrap());
    let next = || printed.recv_timeout(LIMIT).expect("a line");
    (51..101).for_each(|id| assert_eq!(next(), line(id)));
    // In small steps, over the end of segments.
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
    // It reads while the ring turns over below it: all is told, in order, as it was sent or as lost.
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
fn it_ends_quietly_when_nobody_reads_it() {
    let place = Directory::with("closed", 1..3_001);
    for args in [&[place.path()][..], &[place.path(), "--follow"]] {
        let mut child = start(args);
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        assert!(first.contains(" MSG "), "{first}");
        drop(stdout);
        assert_eq!(end(&mut child), Some(0), "{args:?}");
    }
    // All was read, and it waits for more.
    let mut child = start(&[place.path(), "--follow", "--since", "2999"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    assert_eq!(end(&mut child), Some(0));
}

#[test]
fn a_position_that_the_history_has_not_come_to_is_told_and_what_is_new_is_printed() {
    let place = Directory::with("ahead", 1..5);
    let told = |newest: u64| {
        let place = place.path();
        format!(
            "firstline: {place}: message 5000 is ahead of this history, whose newest is {newest}; only new messages are printed\n"
        )
    };
    let ran = run(&[place.path(), "--since", "5000"]);
    assert_eq!((ran.code, ran.stderr, ran.stdout.len()), (Some(0), told(4), 0));
    for (since, newest) in [("4", 4), ("5000", 5)] {
        let mut child = start(&[place.path(), "--since", since, "--follow"]);
        let (printed, said) = (follow(child.stdout.take().unwrap()), child.stderr.take().unwrap());
        if since == "5000" {
            let mut line = String::new();
            BufReader::new(said).read_line(&mut line).unwrap();
            assert_eq!(line, told(newest));
        }
        let mut buffers = Buffers::new();
        let mut writer = open(&place.0, &mut buffers);
        write(&mut writer, newest + 1..newest + 2);
        writer.close().unwrap();
        assert_eq!(printed.recv_timeout(LIMIT).unwrap(), line(newest + 1), "{since}");
        signal(child.id(), "TERM");
        let _ = child.wait();
    }
}

#[test]
fn a_sound_journal_is_told_to_be_sound() {
    let place = Directory::with("sound", 1..1_001);
    let ran = run(&[place.path(), "--check"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let (verdict, told) = ran.stdout.split_last().unwrap();
    let (identity, segments) = told.split_last().unwrap();
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
fn a_flipped_bit_costs_one_message_and_is_told_where_it_is() {
    let place = Directory::with("flipped", 1..1_001);
    let (file, offset) = place.find(20);
    flip(&file, offset);
    let ran = run(&[place.path()]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stdout[..19], lines(1..20));
    assert_eq!(ran.stdout[19], "- LOST 1");
    assert_eq!(ran.stdout[20..], lines(21..1_001));
    let start = format!("firstline: {}: ", file.display());
    assert!(ran.stderr.starts_with(&start) && ran.stderr.lines().count() == 1, "{}", ran.stderr);

    let ran = run(&[place.path(), "--check"]);
    assert_eq!(ran.code, Some(1));
    let told = ran.stdout.iter().find_map(|line| line.strip_prefix("0.journal: damaged: ")).unwrap();
    let (bytes, at) = told.split_once(" bytes at offset ").unwrap();
    let (bytes, at): (u64, u64) = (bytes.parse().unwrap(), at.parse().unwrap());
    assert!(at < offset && offset < at + bytes && bytes < 400, "{told}: {offset}");
    assert!(ran.stdout.contains(&"missing: IDs 20 to 20".to_string()), "{:?}", ran.stdout);
    let verdict = ran.stdout.last().unwrap();
    assert!(verdict.starts_with("damaged in 1 place: 999 messages in "), "{verdict}");
    assert!(verdict.ends_with(" segments, 1 missing between them"), "{verdict}");
}

#[test]
fn a_file_that_is_cut_short_costs_what_is_cut() {
    let place = Directory::with("cut", 1..1_001);
    let file = OpenOptions::new().write(true).open(place.file(0)).unwrap();
    file.set_len(10_000).unwrap();
    let ran = run(&[place.path()]);
    assert_eq!(ran.code, Some(1));
    let kept = ran.stdout.iter().position(|line| line.starts_with("- LOST ")).unwrap();
    let lost: usize = ran.stdout[kept].strip_prefix("- LOST ").unwrap().parse().unwrap();
    assert!(kept > 10 && kept + lost < 1_000, "{kept} {lost}");
    assert_eq!(ran.stdout[..kept], lines(1..kept as u64 + 1));
    assert_eq!(ran.stdout[kept + 1..], lines((kept + lost) as u64 + 1..1_001));
    let ran = run(&[place.path(), "--check"]);
    let told = format!("0.journal: damaged: 10000 bytes long instead of {SEGMENT_BYTES}");
    assert!(ran.stdout.contains(&told), "{:?}", ran.stdout);
    assert_eq!(ran.code, Some(1));
}

#[test]
fn the_first_and_the_last_record_and_headers_and_whole_files_are_missed() {
    let newest = |place: &Directory| {
        let (file, _) = place.find(1_000);
        file.file_name().unwrap().to_str().unwrap().to_string()
    };
    let tests: [(&str, Damaging, &str); 6] = [
        ("first", |place| flip(&place.file(0), u64::from(FIRST_OFFSET) + 9), "0.journal: damaged: "),
        ("last", |place| flip(&place.find(1_000).0, place.find(1_000).1), ", the last that were written: "),
        (
            "header",
            |place| flip(&place.file(1), HEADER_OFFSETS[0] as u64 + 20),
            "1.journal: damaged: one of its two headers",
        ),
        (
            "headers",
            |place| {
                HEADER_OFFSETS.iter().for_each(|at| flip(&place.file(1), *at as u64 + 20));
            },
            "1.journal: damaged: no whole header",
        ),
        (
            "zeroed",
            |place| {
                let file = OpenOptions::new().write(true).open(place.file(0)).unwrap();
                file.write_all_at(&[0; SEGMENT_HEADER_BYTES], 0).unwrap();
            },
            "0.journal: damaged: no whole header",
        ),
        (
            "file",
            |place| std::fs::remove_file(place.file(0)).unwrap(),
            "0.journal: damaged: the file is missing",
        ),
    ];
    for (name, damage, part) in tests {
        let place = Directory::with(name, 1..1_001);
        assert_eq!(run(&[place.path(), "--check"]).code, Some(0), "{name}");
        assert_ne!(newest(&place), "1.journal", "{name}");
        damage(&place);
        let ran = run(&[place.path(), "--check"]);
        assert_eq!(ran.code, Some(1), "{name}: {:?}", ran.stdout);
        let findings: Vec<_> = ran.stdout.iter().filter(|line| line.contains(": damaged: ")).collect();
        assert!(findings.len() == 1 && findings[0].contains(part), "{name}: {:?}", ran.stdout);
        // What is whole is printed all the same.
        let printed = run(&[place.path()]).stdout.iter().filter(|line| line.contains(" MSG ")).count();
        assert!(printed > 400, "{name}: {printed}");
    }
}

#[test]
fn what_was_set_aside_at_a_start_is_told_and_is_no_damage() {
    let place = Directory::with("aside", 1..101);
    let (file, offset) = place.find(100);
    flip(&file, offset);
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
    // As many IDs as the damaged bytes may have had are not given again.
    let next = writer.next_id();
    assert!(next >= 101, "{next}");
    write(&mut writer, next..next + 10);
    drop(writer);
    let ran = run(&[place.path(), "--check"]);
    assert_eq!(ran.code, Some(0), "{:?}", ran.stdout);
    assert!(ran.stdout[0].contains("99 messages, IDs 1 to 99, "), "{:?}", ran.stdout);
    assert!(ran.stdout[0].ends_with(" are set aside, with 0 whole records"), "{:?}", ran.stdout);
    assert_eq!(ran.stdout[2], format!("missing: IDs 100 to {}", next - 1));
    let printed = run(&[place.path()]);
    assert_eq!(
        printed.stdout,
        [&lines(1..100)[..], &[format!("- LOST {}", next - 100)], &lines(next..next + 10)].concat()
    );
    assert_eq!(printed.code, Some(0));
}

#[test]
fn what_is_damaged_in_the_newest_segment_costs_itself_at_a_start_too() {
    let place = Directory::with("middle", 1..101);
    let (file, offset) = place.find(90);
    flip(&file, offset);
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
    assert_eq!(writer.next_id(), 101);
    write(&mut writer, 101..111);
    drop(writer);
    let printed = run(&[place.path()]);
    assert_eq!(printed.stdout, [&lines(1..90)[..], &["- LOST 1".to_string()], &lines(91..111)].concat());
    let ran = run(&[place.path(), "--check"]);
    assert_eq!(ran.code, Some(1), "{:?}", ran.stdout);
    assert!(
        ran.stdout.last().unwrap().starts_with("damaged in 1 place: 109 messages in 1 "),
        "{:?}",
        ran.stdout
    );
}

#[test]
fn files_that_were_not_used_yet_on_another_disk_are_no_damage() {
    let place = Directory::with("another", 1..2_001);
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
    std::fs::remove_dir_all(&place.0).unwrap();
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
    let ran = run(&[place.path(), "--check"]);
    assert_eq!(ran.code, Some(0), "{:?}", ran.stdout);
    assert!(ran.stdout.last().unwrap().starts_with("sound: 10 messages in 1 segment, "), "{:?}", ran.stdout);
    assert_eq!(run(&[place.path()]).stdout, lines(2_001..2_011));
}

#[test]
fn files_of_which_none_has_a_header_are_not_sound() {
    for length in [0, 1_000, 128 * 1024] {
        let place = Directory::new("headless");
        std::fs::create_dir(&place.0).unwrap();
        for name in NAMES {
            std::fs::File::create(place.0.join(name)).unwrap().set_len(length).unwrap();
        }
        let ran = run(&[place.path(), "--check"]);
        assert_eq!(ran.code, Some(1), "{length}");
        let last = ran.stdout.last().map(String::as_str);
        assert_eq!(last, Some("damaged in 8 places: 0 messages in 0 segments, 0 missing between them"));
        for arguments in [&[place.path()][..], &[place.path(), "--resize", "2M"]] {
            let ran = run(arguments);
            assert_eq!(ran.code, Some(1), "{length}");
            assert!(ran.stderr.contains("no segment has a whole header: "), "{}", ran.stderr);
        }
    }
}

#[test]
fn a_check_while_it_is_written_to_finds_it_sound() {
    let place = Directory::new("busy");
    let mut buffers = Buffers::new();
    let mut writer = open(&place.0, &mut buffers);
    write(&mut writer, 1..4_001);
    let (stop, stopped) = channel::<()>();
    let path = place.path().to_string();
    let check = std::thread::spawn(move || {
        let checks: Vec<_> = (0..30).map(|_| run(&[&path, "--check"])).collect();
        drop(stop);
        checks
    });
    let mut id = 4_001;
    while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
        write(&mut writer, id..id + 10);
        id += 10;
    }
    for ran in check.join().unwrap() {
        assert_eq!(ran.code, Some(0), "{:?}", ran.stdout);
        assert!(ran.stdout.last().unwrap().ends_with(", 0 missing between them"), "{:?}", ran.stdout);
    }
    assert!(id > 10_000, "it turned over to segments meanwhile");
}

#[test]
fn what_is_no_journal_is_told_in_one_line() {
    let place = Directory::new("none");
    std::fs::create_dir(&place.0).unwrap();
    let absent = format!("{}/absent", place.path());
    let file = format!("{}/file", place.path());
    std::fs::write(&file, b"").unwrap();
    for task in [&[][..], &["--check"], &["--follow"], &["--last", "1"], &["--resize", "2M"]] {
        for (directory, reason) in [
            (
                place.path(),
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
    NAMES.iter().for_each(|name| std::fs::write(place.0.join(name), [1; 100]).unwrap());
    for task in [&[][..], &["--last", "1"], &["--resize", "2M"]] {
        let ran = run(&[&[place.path()][..], task].concat());
        assert_eq!(ran.code, Some(1));
        let reason = "no segment has a whole header: it is no journal, or badly damaged; firstline journal DIR --check tells more";
        assert_eq!(ran.stderr, format!("firstline: {}: {reason}\n", place.path()));
    }
    assert_eq!(run(&[place.path(), "--check"]).code, Some(1));
}

#[test]
fn a_wrong_option_is_told_in_one_line_and_help_helps() {
    for (args, part) in [
        (&[][..], "journal: takes the directory of a journal; see firstline journal --help"),
        (&["d", "--since", "soon"], "--since soon: takes the ID of a message"),
        (&["d", "--chek"], "did you mean --check?"),
        (&["d", "--las"], "did you mean --last?"),
        (&["d", "--last", "all"], "--last all: takes a number of messages, a whole number"),
        (&["d", "--min", "10"], "--min 10: takes a priority, 0 to 9"),
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
fn a_misspelt_word_names_the_near_one() {
    let output = command().args(["journl", "d"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "firstline: journl: not an option; did you mean firstline journal DIR?\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn one_is_told_in_the_singular() {
    let place = Directory::with("singular", 1..2);
    let verdict = run(&[place.path(), "--check"]).stdout.pop().unwrap();
    assert_eq!(verdict, "sound: 1 message in 1 segment, 0 missing between them");
    let ran = run(&[place.path(), "--resize", "2M"]);
    assert_eq!(
        ran.stdout,
        ["1 message was read; the new journal has as many of the newest as fit; the next ID is 2"]
    );
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn what_only_another_may_read_is_told_with_who_may() {
    let place = Directory::with("denied", 1..2);
    // The calls fail, whoever runs this.
    let how = ["-e", "trace=openat", "-e", "inject=openat:error=EACCES", "-P", place.path()];
    let mut reading = command();
    reading.args(["journal", place.path()]);
    let output = under_strace(&how, &reading).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let told = format!(
        "firstline: {}: the directory cannot be opened: Permission denied; run this as root, or as the user that the \
         server runs as\n",
        place.path()
    );
    assert!(said.ends_with(&told), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
