//! Subscribers that read more slowly than messages come.

use super::fill;
use crate::support::directory::{Directory, take_away};
use crate::support::{Client, Server, eventually, id_of};
use firstline::limits::JOURNAL_SEGMENTS;

#[test]
fn slow_subscriber_loses_nothing_that_the_journal_still_has() {
    let directory = Directory::new("slow");
    let server = directory.start(&["--sync", "none"]);
    let mut reader = server.connect();
    assert_eq!(reader.ask("/join since 0"), "OK 1");
    // Several times as much as the sockets and the outbox hold, and then more than the ring holds.
    let mut client = server.connect();
    fill(&mut client, 100_000);
    let lost = read_up_to(&mut reader, 100_000);
    let kept = directory.messages().len() as u64;
    assert!(lost > 0 && lost <= 100_000 - kept, "{lost} lost, {kept} kept");
    // The reader is up to date again.
    id_of(&client.ask("/urgent smoke"));
    assert!(reader.line().ends_with("smoke"));
    assert_eq!(reader.ask("/ping"), "OK 2");
}

/// A subscriber with the history that lags by more than the sockets hold. Also returns the ID of the last message.
fn fall_behind(server: &Server) -> (Client, u64) {
    const COUNT: u64 = 4_000;
    let mut reader = server.connect_reading_little();
    assert_eq!(reader.ask("/join since 0"), "OK 1");
    let text = "x".repeat(200);
    let mut client = server.connect();
    for _ in 0..COUNT / 32 {
        client.send(format!("{text}\n").repeat(32));
        (0..32).for_each(|_| assert!(id_of(&client.line()) > 0));
    }
    (reader, COUNT)
}

/// Reads `MSG` and `LOST` lines up to that ID. The IDs must rise without a gap, except for announced losses.
/// Returns how many messages are lost.
fn read_up_to(reader: &mut Client, last: u64) -> u64 {
    let (mut next, mut lost) = (1, 0);
    while next <= last {
        let line = reader.line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, ..] => {
                assert_eq!(id.parse::<u64>().unwrap(), next, "{line}");
                next += 1;
            }
            ["LOST", count] => {
                lost += count.parse::<u64>().unwrap();
                next += count.parse::<u64>().unwrap();
            }
            _ => panic!("{line}"),
        }
    }
    lost
}

#[test]
fn client_that_does_not_read_the_history_can_send_leave_and_quit() {
    let directory = Directory::new("speaks");
    let server = directory.start(&["--sync", "none", "--journal-size", "8M"]);
    let mut watcher = server.connect();
    assert_eq!(watcher.ask("/join 9"), "OK 1");
    let (behind, last) = fall_behind(&server);
    let mut joining = server.connect_reading_little();
    joining.send("/join since 0\n");
    for mut reader in [behind, joining] {
        reader.send("/urgent smoke\n");
        assert!(watcher.line().ends_with(" smoke"), "the message is delivered before its sender reads");
        reader.send("/leave\n/ping\n/quit\n");
        let rest = reader.rest();
        let is_from_others = |line: &&String| line.starts_with("MSG ");
        let said: Vec<&String> = rest.iter().filter(|line| !is_from_others(line)).collect();
        assert!(said.iter().any(|line| line.starts_with("ACK 2 ")), "{said:?}");
        assert!(
            ["OK 3", "OK 4", "OK 5"].iter().all(|reply| said.iter().any(|line| line == reply)),
            "{said:?}"
        );
        assert_eq!(*said[said.len() - 1], "BYE quit");
        let sent = rest.iter().filter(is_from_others).count() as u64;
        assert!(sent < last, "{sent} of {last}: nothing is sent after /leave");
    }
}

#[test]
fn command_is_answered_before_the_messages_that_a_subscriber_missed() {
    let directory = Directory::new("aside");
    let server = directory.start(&["--sync", "none", "--journal-size", "8M"]);
    let (mut reader, last) = fall_behind(&server);
    reader.send("/last 2\n");
    let (mut next, mut asked) = (1, Vec::new());
    while next <= last || asked.len() < 3 {
        let line = reader.line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["MSG", id, ..] if id.parse() == Ok(next) => next += 1,
            _ => asked.push(line),
        }
    }
    let starts = [format!("MSG {} ", last - 1), format!("MSG {last} "), "OK 2".to_string()];
    assert!(asked.iter().zip(&starts).all(|(line, start)| line.starts_with(start)), "{asked:?}");
    id_of(&server.connect().ask("up to date"));
    assert!(reader.line().ends_with("up to date"));
}

#[test]
fn plain_join_of_a_lagging_subscriber_reports_what_it_misses() {
    for (lines, replies) in [("/join\n", &["OK 2"][..]), ("/last 2\n/join\n", &["OK 2", "OK 3"])] {
        let directory = Directory::new("anew");
        let server = directory.start(&["--sync", "none", "--journal-size", "8M"]);
        let (mut reader, last) = fall_behind(&server);
        reader.send(lines);
        let (mut next, mut lost, mut replied) = (1, 0, 0);
        // The server may answer /join while it still sends what /last requested.
        while lost == 0 || replied < replies.len() {
            let line = reader.line();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["MSG", id, ..] if id.parse() == Ok(next) => next += 1,
                ["LOST", count] => lost += count.parse::<u64>().unwrap(),
                _ => replied += usize::from(replies.contains(&line.as_str())),
            }
        }
        assert_eq!(next - 1 + lost, last, "{lines:?}: every message is sent or reported as lost");
        assert_eq!(id_of(&server.connect().ask("live")), last + 1);
        let line = reader.line();
        assert!(line.ends_with(" live"), "{lines:?}: nothing is sent twice: {line}");
    }
}

#[test]
fn wiped_files_are_reported_as_lost_and_the_subscriber_continues() {
    let directory = Directory::new("wiped");
    let server = directory.start(&["--sync", "none"]);
    let (mut reader, last) = fall_behind(&server);
    for segment in 0..JOURNAL_SEGMENTS {
        let path = directory.0.join(format!("{segment}.journal"));
        std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
    }
    assert!(read_up_to(&mut reader, last) > 0);
    assert_eq!(reader.ask("/ping"), "OK 2");
    id_of(&server.connect().ask("/urgent smoke"));
    assert!(reader.line().ends_with("smoke"));
}

#[test]
fn unreadable_history_is_reported_as_lost_and_the_subscriber_continues() {
    let directory = Directory::new("unread");
    let server = directory.start(&[]);
    let (mut reader, last) = fall_behind(&server);
    let mut client = server.connect();
    // The directory is created anew, so the server must reopen the reader's history; it is removed again before that.
    take_away(&directory.0);
    assert!(client.ask("into the void").ends_with("journal-failed"));
    eventually("an ACK again", || client.ask("after").starts_with("ACK "));
    take_away(&directory.0);
    assert!(read_up_to(&mut reader, last) > 0);
    server.wait_for_log("the journal cannot be read");
    eventually("an ACK again", || client.ask("/urgent smoke").starts_with("ACK "));
    assert!(reader.line().ends_with("smoke"));
    assert_eq!(reader.ask("/ping"), "OK 2");
}
