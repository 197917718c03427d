//! `firstline journal DIR --last N --min P`: which messages are printed.

use crate::journal_command::{SEGMENT_BYTES, append, flip, follow, line, lines, open, run, start, write};
use crate::support::directory::Directory;
use crate::support::{LIMIT, signal};
use firstline::journal::record::Record;
use firstline::journal::writer::Buffers;
use firstline::protocol::Priority;
use std::ops::Range;

/// Every hundredth message is urgent.
fn priority(id: u64) -> Priority {
    if id.is_multiple_of(100) { Priority::URGENT } else { Priority::LOW }
}

/// A journal with messages of these IDs, some of them urgent.
fn mixed(name: &str, ids: Range<u64>) -> Directory {
    let directory = Directory::new(name);
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    for id in ids {
        let text = format!("number {id}");
        let priority = priority(id);
        append(&mut writer, Record { id, time_ms: 0, priority, from: b"a", text: text.as_bytes() });
    }
    writer.close().unwrap();
    directory
}

/// The IDs of the messages that are printed with these options; nothing else may be printed.
fn ids(directory: &Directory, options: &[&str]) -> Vec<u64> {
    let ran = run(&[&[directory.path()][..], options].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{options:?}");
    let id = |line: &String| line.split(' ').nth(2).unwrap().parse().unwrap();
    ran.stdout.iter().map(id).collect()
}

#[test]
fn last_min_and_since_select_the_right_messages() {
    let directory = mixed("last", 1..6_001);
    let urgent = |from: u64| (from..=6_000).step_by(100).collect::<Vec<_>>();
    for (options, expected) in [
        (&["--last", "10"][..], (5_991..6_001).collect()),
        (&["--last", "1"], vec![6_000]),
        (&["--last", "0"], vec![]),
        (&["--last", "6000"], (1..6_001).collect()),
        (&["--last", "18446744073709551615"], (1..6_001).collect()),
        (&["--min", "7"], urgent(100)),
        (&["--min", "9"], urgent(100)),
        (&["--min", "0"], (1..6_001).collect()),
        (&["--last", "10", "--min", "7"], urgent(5_100)),
        (&["--last", "60", "--min", "7"], urgent(100)),
        (&["--last", "61", "--min", "7"], urgent(100)),
        (&["--last", "10", "--since", "5994"], (5_995..6_001).collect()),
        (&["--last", "3", "--since", "5994"], (5_998..6_001).collect()),
        (&["--last", "10", "--min", "7", "--since", "5500"], urgent(5_600)),
        (&["--last", "2", "--min", "7", "--since", "5500"], urgent(5_900)),
        (&["--last", "10", "--min", "9", "--since", "6000"], vec![]),
    ] {
        assert_eq!(ids(&directory, options), expected, "{options:?}");
    }
    let json = run(&[directory.path(), "--last", "2", "--min", "7", "--json"]);
    let numbers: Vec<u64> = json
        .stdout
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [5_900, 6_000]);
}

#[test]
fn without_an_urgent_message_min_prints_nothing() {
    let directory = mixed("none", 1..51);
    assert_eq!(ids(&directory, &["--last", "10", "--min", "9"]), [0; 0]);
    assert_eq!(ids(&directory, &["--min", "9"]), [0; 0]);
}

#[test]
fn gaps_between_the_last_messages_are_reported_and_those_before_are_not() {
    let directory = Directory::new("gap");
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    write(&mut writer, 1..9_001);
    assert_eq!(run(&[directory.path(), "--last", "3"]).stdout, lines(8_998..9_001));
    let (file, offset) = directory.find(8_990);
    flip(&file, offset);
    let ran = run(&[directory.path(), "--last", "5"]);
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout), (Some(0), "", lines(8_996..9_001)));
    let ran = run(&[directory.path(), "--last", "12"]);
    let expected = [lines(8_988..8_990), vec!["- LOST 1".to_string()], lines(8_991..9_001)].concat();
    assert_eq!((ran.code, ran.stdout), (Some(1), expected));
    // Fewer than `--last` remain after the position: the loss behind it is announced.
    let ran = run(&[directory.path(), "--since", "5", "--last", "1000000"]);
    assert!(ran.stdout[0].starts_with("- LOST "), "{}", ran.stdout[0]);
}

#[test]
fn last_with_follow_continues_with_new_messages() {
    let directory = Directory::new("comes");
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    write(&mut writer, 1..3_001);
    for (count, first) in [("2", 2_999), ("0", 3_001)] {
        let mut child = start(&[directory.path(), "--last", count, "--follow"]);
        let printed = follow(child.stdout.take().unwrap());
        let next = || printed.recv_timeout(LIMIT).expect("a line");
        (first..3_001).for_each(|id| assert_eq!(next(), line(id), "{count}"));
        signal(child.id(), "TERM");
        let _ = child.wait();
    }
    let mut child = start(&[directory.path(), "--last", "1", "--min", "9", "--follow"]);
    let printed = follow(child.stdout.take().unwrap());
    let urgent = |id| Record { id, time_ms: 0, priority: Priority::URGENT, from: b"a", text: b"smoke" };
    append(&mut writer, urgent(3_001));
    let next = || printed.recv_timeout(LIMIT).expect("a line");
    assert_eq!(next(), "1970-01-01T00:00:00.000Z MSG 3001 p9 a smoke");
    write(&mut writer, 3_002..3_010);
    append(&mut writer, urgent(3_010));
    assert_eq!(next(), "1970-01-01T00:00:00.000Z MSG 3010 p9 a smoke");
    signal(child.id(), "TERM");
    let _ = child.wait();
}

#[test]
fn last_messages_are_complete_during_writes() {
    let directory = Directory::new("writes");
    let mut buffers = Buffers::new();
    let mut writer = open(&directory.0, &mut buffers);
    write(&mut writer, 1..4_001);
    let (begin, begun) = std::sync::mpsc::sync_channel::<()>(0);
    let path = directory.path().to_string();
    let reads = std::thread::spawn(move || {
        let read = |()| run(&[&path, "--last", "50"]);
        begun.iter().map(read).collect::<Vec<_>>()
    });
    let mut id = 4_001;
    for _ in 0..20 {
        begin.send(()).unwrap();
        // Few enough writes during each read that they do not overtake it, however busy the machine is.
        for _ in 0..40 {
            write(&mut writer, id..id + 10);
            id += 10;
        }
    }
    drop(begin);
    for ran in reads.join().unwrap() {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let numbers: Vec<u64> =
            ran.stdout.iter().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect();
        assert!(numbers.len() >= 50, "{}", numbers.len());
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", ran.stdout.first());
    }
    assert!(id > u64::from(SEGMENT_BYTES / 300) + 4_001, "the writer rotated meanwhile");
}
