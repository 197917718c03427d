//! Names: wherever a message is read, it carries the name that its sender had when it sent the message.

use crate::support::directory::Directory;
use crate::support::stuck::{Msg, Printed, StuckServer};
use crate::support::{Server, command};

/// Sender and text of each message, in order.
fn senders_and_texts(messages: &[Msg]) -> Vec<(&str, &str)> {
    messages.iter().map(|message| (&message.from[..], &message.text[..])).collect()
}

fn msgs(lines: &[String]) -> Vec<Msg> {
    lines.iter().map(|line| Msg::from(line)).collect()
}

#[test]
fn message_keeps_its_senders_name_at_that_time_wherever_it_is_read() {
    const ROUNDS: usize = 50;
    let journal = Directory::new("names");
    let (mut printed, writer) = Printed::pipe();
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--print", "--journal", journal.path(), "--journal-size", "1M"]);
    server.stdout(writer);
    let server = Server::start_command(server);
    let mut live = server.connect();
    assert_eq!(live.ask("/join"), "OK 1");
    let mut sensors = server.connect();
    sensors.send("cold\n");
    let mut expected = vec![(sensors.address(), "cold")];
    for round in 0..ROUNDS {
        sensors.send("/nick kitchen\n21.5 C\n/nick cellar\n9.0 C\n");
        // Each of the four lines has its reply. A round ends before the next begins, so that each round is one send.
        sensors.lines(4 + usize::from(round == 0));
        expected.extend([("kitchen".to_string(), "21.5 C"), ("cellar".to_string(), "9.0 C")]);
    }
    let expected: Vec<_> = expected.iter().map(|(from, text)| (&from[..], *text)).collect();
    let count = expected.len();
    assert_eq!(senders_and_texts(&printed.msgs(count)), expected, "--print");
    assert_eq!(senders_and_texts(&msgs(&live.lines(count))), expected, "the subscriber");
    let mut replayed = server.connect();
    replayed.send("/since 0\n");
    assert_eq!(senders_and_texts(&msgs(&replayed.lines_until_ok(1))), expected, "/since");
    drop((live, sensors, replayed));
    assert_eq!(server.end(), Some(0));
    let mut reader = command();
    reader.args(["journal", journal.path()]);
    let kept = String::from_utf8(reader.output().unwrap().stdout).unwrap();
    // Without the time that begins each line.
    let kept: Vec<_> = kept.lines().map(|line| line.split_once(' ').unwrap().1.to_string()).collect();
    assert_eq!(senders_and_texts(&msgs(&kept)), expected, "the journal");
}

#[test]
fn message_keeps_its_name_after_another_client_takes_it() {
    let mut stuck = StuckServer::start(&[]);
    let mut reader = stuck.server.connect();
    assert_eq!(reader.ask("/join"), "OK 1");
    let (mut first, mut second) = (stuck.server.connect(), stuck.server.connect());
    let address = first.address();
    first.send("a\n/nick kitchen\nb\n");
    assert_eq!(first.line(), "OK 2");
    stuck.wait_for_waiting(2);
    assert!(second.ask("/nick kitchen").starts_with("ERR 1 nick-taken"));
    first.send("/nick cellar\nc\n");
    assert_eq!(first.line(), "OK 4");
    second.send("/nick kitchen\nd\n");
    assert_eq!(second.line(), "OK 2");
    stuck.wait_for_waiting(4);
    // The connection ends, and another client takes its name, before the server processes its message.
    first.reset();
    stuck.server.wait_for_log("cellar disconnected");
    let mut third = stuck.server.connect();
    third.send("/nick cellar\ne\n");
    assert_eq!(third.line(), "OK 1");
    stuck.wait_for_waiting(5);
    stuck.unplug();
    let expected =
        [(&address[..], "a"), ("kitchen", "b"), ("cellar", "c"), ("kitchen", "d"), ("cellar", "e")];
    assert_eq!(senders_and_texts(&stuck.printed.msgs(5)), expected);
    let live = msgs(&reader.lines(6));
    assert_eq!(live[0].text, "plug");
    assert_eq!(senders_and_texts(&live[1..]), expected);
}
