//! What a start makes of the files that it finds: damaged, foreign, of another size or version; and the IDs after it.

use super::{VERSION_1, answer, fill, numbered, record_offsets};
use crate::support::directory::{Directory, take_away};
use crate::support::{Server, command, eventually, id_of};
use firstline::journal::headers::{FIRST_OFFSET, read_headers};
use firstline::journal::read_only::ReadOnly;
use firstline::limits::JOURNAL_SEGMENTS;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

#[test]
fn flipped_bit_in_the_newest_segment_loses_one_message() {
    const MESSAGES: u64 = 70_000;
    let directory = Directory::new("flip");
    let start = || {
        let args = ["--journal", directory.path(), "--journal-size", "64M", "--sync", "none"];
        Server::start(&args)
    };
    let server = start();
    fill(&mut server.connect(), MESSAGES as usize);
    let flipped = record_offsets(&directory.0, 0)[99];
    let file = std::fs::File::options().read(true).write(true).open(directory.0.join("0.journal")).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, u64::from(flipped) + 30).unwrap();
    file.write_all_at(&[byte[0] ^ 4], u64::from(flipped) + 30).unwrap();
    let list = |server: &Server| {
        let mut reader = server.connect();
        reader.send("/since 0\n");
        answer(&mut reader)
    };
    let kept = [numbered(1..=99), numbered(101..=MESSAGES)].concat();
    let other_lines = vec!["LOST 1".to_string(), "OK 1".to_string()];
    assert_eq!(list(&server), (kept.clone(), other_lines.clone()));
    assert_eq!(server.end(), Some(0));
    let server = start();
    assert_eq!(list(&server), (kept, other_lines));
    server.wait_for_log("damage among its last messages: what was in");
    assert_eq!(id_of(&server.connect().ask("goes on")), MESSAGES + 1);
    assert_eq!(server.end(), Some(0));
    let check = command().args(["journal", directory.path(), "--check"]).output().unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("0.journal: damaged: 48 bytes at offset {flipped}")), "{said}");
    assert!(said.contains("missing: IDs 100 to 100"), "{said}");
}

#[test]
fn journal_keeps_its_size_while_it_rotates() {
    let directory = Directory::new("ring");
    let server = directory.start(&["--sync", "none"]);
    let mut client = server.connect();
    let text = "x".repeat(500);
    for round in 0..200 {
        client.send(format!("{round} {text}\n").repeat(32));
        (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
        let on_disk: u64 = std::fs::read_dir(&directory.0)
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(on_disk, 1 << 20);
    }
    let messages = directory.messages();
    assert_eq!(messages.last_key_value().map(|(id, _)| *id), Some(6_400));
    assert!(messages.len() > 1_000, "{}", messages.len());
    assert_eq!(messages.len() as u64, 6_400 - messages.first_key_value().unwrap().0 + 1, "in a row");
}

#[test]
fn truncated_file_is_reported_at_the_start() {
    let directory = Directory::new("cut");
    let server = directory.start(&[]);
    let mut client = server.connect();
    (1..=3).for_each(|id| assert_eq!(id_of(&client.ask("the same length")), id));
    drop(server);
    let path = directory.0.join("0.journal");
    let bytes = std::fs::read(&path).unwrap();
    let texts: Vec<_> = bytes.windows(15).enumerate().filter(|(_, at)| at == b"the same length").collect();
    let record_bytes = texts[2].0 - texts[1].0;
    let whole_records = FIRST_OFFSET as usize + 2 * record_bytes;
    std::fs::File::options().write(true).open(&path).unwrap().set_len(whole_records as u64).unwrap();
    let server = directory.start(&[]);
    server.wait_for_log(&format!("its files are short of {} bytes", bytes.len() - whole_records));
    assert_eq!(directory.messages().len(), 2);
    assert!(id_of(&server.connect().ask("goes on")) > 2);
}

#[test]
fn acknowledged_ids_are_not_reused_after_their_messages_are_lost() {
    for args in [&["--sync", "7", "--sync-interval", "3600"][..], &["--sync", "none"]] {
        let directory = Directory::new(&format!("given-{}", args[1]));
        let server = directory.start(args);
        let mut client = server.connect();
        let last = (0..3).map(|_| id_of(&client.ask("/low dust"))).last().unwrap();
        server.signal("KILL");
        drop(server);
        // As after a power cut: unsynced records are gone.
        let path = directory.0.join("0.journal");
        let mut bytes = std::fs::read(&path).unwrap();
        let records = bytes.windows(4).position(|text| text == b"dust").unwrap();
        bytes[FIRST_OFFSET as usize..records + 4_096].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let server = directory.start(args);
        server.wait_for_log("are skipped: they may have been given to messages that are not on the disk");
        let mut client = server.connect();
        let (identity, next) = (client.stats()["journal-id"], id_of(&client.ask("/low more")));
        assert!(next > last, "{next} was given before");
        assert!(next < 10_000, "{next}: more than fit into a segment");
        assert_eq!(server.end(), Some(0));
        // After an orderly end no ID is skipped.
        let server = directory.start(args);
        let mut client = server.connect();
        assert_eq!(id_of(&client.ask("/low again")), next + 1);
        assert_eq!(client.stats()["journal-id"], identity);
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn starts_without_a_message_skip_no_further_ids() {
    for args in [&["--sync", "7", "--sync-interval", "3600"][..], &["--sync", "none"]] {
        let directory = Directory::new(&format!("idle-{}", args[1]));
        for _ in 0..3 {
            let server = directory.start(args);
            server.signal("KILL");
        }
        let server = directory.start(args);
        assert_eq!(id_of(&server.connect().ask("/low first")), 1);
        server.signal("KILL");
        drop(server);
        for _ in 0..3 {
            let server = directory.start(args);
            server.signal("KILL");
        }
        let server = directory.start(args);
        let next = id_of(&server.connect().ask("/low second"));
        assert!((2..=2 + 4_736).contains(&next), "{next}");
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn newest_segment_without_a_header_is_reported_and_ids_continue() {
    let directory = Directory::new("headless");
    let server = directory.start(&[]);
    let mut client = server.connect();
    fill(&mut client, 40);
    assert_eq!(server.end(), Some(0));
    let file = std::fs::File::options().write(true).open(directory.0.join("0.journal")).unwrap();
    file.write_all_at(&[0; FIRST_OFFSET as usize], 0).unwrap();
    let check = command().args(["journal", directory.path(), "--check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("0.journal: damaged: no whole header"), "{said}");
    assert_eq!(check.status.code(), Some(1));
    let server = directory.start(&[]);
    server.wait_for_log("the newest messages may be lost with their files");
    assert!(id_of(&server.connect().ask("goes on")) > 40);
}

#[test]
fn file_of_another_journal_is_reported_and_not_read() {
    let [directory, other] = ["ours", "theirs"].map(Directory::new);
    for (directory, text) in [(&directory, "ours"), (&other, "theirs")] {
        let server = directory.start(&["--sync", "none"]);
        let mut client = server.connect();
        for _ in 0..20 {
            client.send(format!("{text} {}\n", "x".repeat(400)).repeat(32));
            (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
        }
        assert_eq!(server.end(), Some(0));
    }
    std::fs::copy(other.0.join("1.journal"), directory.0.join("1.journal")).unwrap();
    let check = command().args(["journal", directory.path(), "--check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("1.journal: damaged: it is a file of another journal, "), "{said}");
    assert!(directory.messages().values().all(|text| text.starts_with("ours")));
    let server = directory.start(&[]);
    server.wait_for_log("damaged, another journal's, or a copy");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn replaced_disk_with_another_journal_is_reported() {
    let [directory, other] = ["here", "there"].map(Directory::new);
    assert_eq!(other.start(&[]).end(), Some(0));
    let server = directory.start(&[]);
    let mut client = server.connect();
    id_of(&client.ask("before"));
    take_away(&directory.0);
    std::fs::rename(&other.0, &directory.0).unwrap();
    let is_told = || server.log().iter().any(|line| line.contains("this disk holds another journal"));
    eventually("the log says so", || {
        assert!(client.ask("not there").ends_with("journal-failed"));
        is_told()
    });
    assert_eq!(directory.messages().len(), 0);
    take_away(&directory.0);
    eventually("an ACK again", || client.ask("after").starts_with("ACK "));
}

#[test]
fn young_journal_keeps_a_foreign_file_until_all_others_are_used() {
    let [directory, other] = ["young", "old"].map(Directory::new);
    let old = other.start(&["--sync", "none"]);
    fill(&mut old.connect(), 20_000);
    assert_eq!(old.end(), Some(0));
    let young = directory.start(&["--sync", "none"]);
    fill(&mut young.connect(), 10);
    assert_eq!(young.end(), Some(0));
    std::fs::copy(other.0.join("1.journal"), directory.0.join("1.journal")).unwrap();
    let theirs = std::fs::read(directory.0.join("1.journal")).unwrap();
    let server = directory.start(&["--sync", "none"]);
    server.wait_for_log("1.journal holds messages of another journal");
    let mut client = server.connect();
    // Before the copy, that file may have held the newest messages of this journal.
    let next = id_of(&client.ask("goes on"));
    assert!((11..=10 + 2 * 4_736).contains(&next), "{next}");
    // The six other files are empty.
    let files_begun = || {
        let files = ReadOnly::open(&directory.0).unwrap();
        read_headers(&files, files.segment_bytes()).unwrap().into_iter().flatten().count()
    };
    while files_begun() < JOURNAL_SEGMENTS - 1 {
        fill(&mut client, 32);
    }
    assert!(std::fs::read(directory.0.join("1.journal")).unwrap() == theirs, "the file is unchanged");
    fill(&mut client, 2_000);
    server.wait_for_log("1.journal held messages of another journal, and is written over now");
    assert_eq!(server.end(), Some(0));
    let ids: Vec<u64> = directory.messages().into_keys().collect();
    assert!(ids.iter().copied().eq((1..=10).chain(next..next + ids.len() as u64 - 10)), "{} IDs", ids.len());
}

#[test]
fn young_journal_without_its_only_used_file_reuses_no_id() {
    for harm in [std::fs::remove_file::<PathBuf>, |path| std::fs::write(path, [])] {
        let directory = Directory::new("young-lost");
        let server = directory.start(&[]);
        server.wait_for_log(": it is new; its identity is ");
        fill(&mut server.connect(), 10);
        assert_eq!(server.end(), Some(0));
        harm(directory.0.join("0.journal")).unwrap();
        let server = directory.start(&[]);
        server.wait_for_log(": the newest messages may be lost with their files");
        server.wait_for_log(": IDs 1 to ");
        assert!(id_of(&server.connect().ask("next")) > 10);
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn journal_is_resized() {
    let directory = Directory::new("resize");
    let server = directory.start(&[]);
    let identity = server.stats()["journal-id"];
    let mut client = server.connect();
    fill(&mut client, 1_000);
    assert_eq!(server.end(), Some(0));
    let resize = |size: &str| {
        let output = command().args(["journal", directory.path(), "--resize", size]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    let refused = |size: &str| {
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", size]);
        let output = server.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let paste = format!("firstline journal {} --resize {size}\n", directory.path());
        assert!(said.ends_with(&paste), "{said}");
        assert_eq!(output.status.code(), Some(1));
    };
    refused("2M");
    let before = directory.messages();
    assert_eq!(before.len(), 1_000);
    resize("2M");
    assert_eq!(directory.messages(), before);
    refused("1M");
    // A resize that was interrupted when the new journal was complete: the next start finishes it.
    let whole = directory.0.join("resize.whole");
    std::fs::create_dir(&whole).unwrap();
    std::fs::rename(directory.0.join("7.journal"), whole.join("7.journal")).unwrap();
    // And a resize that was interrupted before that.
    let unfinished = directory.0.join("resize.unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("0.journal"), b"half").unwrap();
    let server = directory.start(&["--journal-size", "2M"]);
    assert!(!whole.exists() && !unfinished.exists());
    let mut client = server.connect();
    assert_eq!(client.stats()["journal-id"], identity);
    assert_eq!(id_of(&client.ask("goes on")), 1_001);
    let text = "x".repeat(500);
    for _ in 0..100 {
        client.send(format!("{text}\n").repeat(32));
        (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
    }
    assert_eq!(server.end(), Some(0));
    let before = directory.messages();
    resize("1M");
    // The newest messages are kept, as many as fit.
    let after = directory.messages();
    assert!(after.len() < before.len() && after.len() > 1_000, "{} of {}", after.len(), before.len());
    assert!(after.iter().all(|(id, text)| before.get(id) == Some(text)));
    assert_eq!(after.last_key_value(), before.last_key_value());
    let server = directory.start(&[]);
    assert_eq!(id_of(&server.connect().ask("again")), before.last_key_value().unwrap().0 + 1);
}

#[test]
fn journal_of_a_later_version_is_refused_in_one_line() {
    let directory = Directory::new("later");
    assert_eq!(directory.start(&[]).end(), Some(0));
    let path = directory.0.join("0.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    // The guard header names the version.
    bytes[40] = 3;
    let checksum = crc32fast::hash(&bytes[..48]);
    bytes[48..52].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--journal", directory.path(), "--journal-size", "1M"]);
    let mut reader = command();
    reader.args(["journal", directory.path()]);
    for mut program in [server, reader] {
        let output = program.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected =
            "a later firstline made it: its format is 3, and this one knows up to 2; use the later one\n";
        assert!(said.ends_with(expected), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn journal_of_version_1_is_continued_and_then_refused_by_version_1() {
    const LAST: u64 = 170;
    let directory = Directory::new("version-1");
    std::fs::create_dir(&directory.0).unwrap();
    for segment in 0..JOURNAL_SEGMENTS {
        let mut bytes = VERSION_1.get(segment).map_or(Vec::new(), |prefix| prefix.to_vec());
        bytes.resize(128 * 1024, 0);
        std::fs::write(directory.0.join(format!("{segment}.journal")), bytes).unwrap();
    }
    let before = directory.messages();
    let numbers: Vec<u64> = before.keys().copied().collect();
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
    assert!(before.iter().all(|(id, text)| text.starts_with(&format!("message {id} xxx"))));
    let check = || command().args(["journal", directory.path(), "--check"]).output().unwrap().status.code();
    assert_eq!(check(), Some(0));
    let server = directory.start(&[]);
    let mut client = server.connect();
    let identity = client.stats()["journal-id"];
    assert_eq!(id_of(&client.ask("carried on")), LAST + 1);
    client.send("/since 0\n");
    let (messages, closing) = answer(&mut client);
    assert_eq!((messages.len(), closing), (LAST as usize + 1, vec!["OK 3".to_string()]));
    assert_eq!(server.end(), Some(0));
    assert_eq!(directory.messages().len() as u64, LAST + 1, "the upgrade loses nothing");
    assert_eq!(check(), Some(0));
    // Version 1 reads only this header, and refuses the segment length in it, which no segment has.
    let bytes = std::fs::read(directory.0.join("1.journal")).unwrap();
    assert_eq!(bytes[..16], *b"firstlnJ\x01\0\0\0\x01\x10\0\0");
    let server = directory.start(&[]);
    assert_eq!(server.stats()["journal-id"], identity);
}
