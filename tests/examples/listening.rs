//! What listens: it comes back by itself, and misses nothing that the journal has.

use crate::common::{Server, eventually, id_of};
use crate::example;
use crate::place::Place;
use crate::process::Process;
use std::process::Command;

/// Says a line, and returns its ID.
fn say(server: &Server, line: &str) -> u64 {
    id_of(&server.connect().ask(line))
}

/// Waits until so many have joined.
fn wait_for_joined(server: &Server, count: usize) {
    eventually("it has joined, or left", || {
        let mut client = server.connect();
        client.send("/who\n");
        let who = client.lines_until_ok(1);
        who.iter().filter(|line| line.split(' ').nth(2).is_some_and(|min| min.starts_with('p'))).count()
            == count
    });
}

/// listen.sh, which prints messages from that priority on.
fn listen(place: &Place, min: &str) -> Process {
    let mut command = Command::new(example("listen.sh"));
    command.args(place.words()).arg(min);
    Process::start(command)
}

/// The texts of the messages that it has printed.
fn heard(process: &Process) -> Vec<String> {
    let said = process.said();
    said.iter()
        .filter_map(|line| Some(line.strip_prefix("MSG ")?.splitn(4, ' ').nth(3)?.to_string()))
        .collect()
}

/// Waits until it has printed these texts, and checks that there are no others.
fn wait_for_texts(process: &Process, texts: &[&str]) {
    process.wait_for(texts.len(), "MSG ");
    assert_eq!(heard(process), texts, "it said {:?}", process.said());
}

#[test]
fn listen_sh_misses_nothing_and_repeats_nothing_where_there_is_a_journal() {
    let place = Place::new("listen");
    // Nobody is there at first.
    let process = listen(&place, "5");
    process.wait_for(1, "listen.sh: no connection");
    let server = place.serve();
    wait_for_joined(&server, 1);
    say(&server, "/9 one");
    say(&server, "/4 too low");
    wait_for_texts(&process, &["one"]);
    drop(server);
    // Most times it is not back yet when these are said.
    let server = place.serve();
    say(&server, "/9 two");
    say(&server, "/5 less urgent");
    wait_for_texts(&process, &["one", "two", "less urgent"]);
    assert_eq!(server.end(), Some(0));
    let server = place.serve();
    say(&server, r"/9 back\slash  and spaces");
    wait_for_texts(&process, &["one", "two", "less urgent", r"back\\slash  and spaces"]);
    drop(server);
    // Another history: its IDs are lower than the last one.
    std::fs::remove_dir_all(place.path("journal")).unwrap();
    let server = place.serve();
    say(&server, "/9 anew");
    wait_for_texts(&process, &["one", "two", "less urgent", r"back\\slash  and spaces", "anew"]);
}

#[test]
fn listen_sh_comes_back_to_a_server_without_a_journal() {
    let place = Place::new("listen-without");
    let process = listen(&place, "0");
    for texts in [&["one"][..], &["one", "two"]] {
        let server = place.serve_with(&[]);
        wait_for_joined(&server, 1);
        say(&server, texts.last().unwrap());
        wait_for_texts(&process, texts);
    }
}

#[test]
fn listen_sh_ends_with_its_reader_and_when_it_is_refused() {
    let place = Place::new("listen-refused");
    let server = place.serve();
    let mut process = listen(&place, "high");
    assert_eq!(process.finish(), Some(1));
    process.wait_for(1, "listen.sh: refused: ERR 3 bad-argument");
    let mut reader = Command::new("bash");
    reader.args(["-c", r#""$@" | head -n 1"#, "bash", &example("listen.sh")]).args(place.words());
    let mut process = Process::start(reader);
    wait_for_joined(&server, 1);
    say(&server, "one");
    process.wait_for(1, "MSG 1 ");
    say(&server, "two");
    assert_eq!(process.finish(), Some(0));
}

/// on-urgent.sh, which writes what it is told into a file of that name, and remembers where it is.
fn on_urgent(place: &Place, file: &str) -> Process {
    let script = format!(r#"echo "$ID p$PRIORITY $(cat)" >>'{}'; [ "$ID" != 2 ]"#, place.path(file));
    let mut command = Command::new(example("on-urgent.sh"));
    command.args(place.words()).args(["sh", "-c", &script]).env("STATE", place.path("state"));
    Process::start(command)
}

/// Waits until that is in the file, and nothing else.
fn wait_for_file(place: &Place, file: &str, content: &str) {
    let read = || std::fs::read_to_string(place.path(file)).unwrap_or_default();
    eventually(&format!("{content:?} in a file that has {:?}", read()), || read().len() >= content.len());
    assert_eq!(read(), content);
}

#[test]
fn on_urgent_sh_runs_its_command_once_for_each_urgent_message() {
    let place = Place::new("on-urgent");
    let process = on_urgent(&place, "done");
    let server = place.serve();
    wait_for_joined(&server, 1);
    say(&server, "nothing that is urgent");
    say(&server, "/urgent $(touch x) `id` ; smoke");
    wait_for_file(&place, "done", "2 p9 $(touch x) `id` ; smoke\n");
    process.wait_for(1, "on-urgent.sh: message 2: sh ended with 1");
    drop(server);
    let server = place.serve();
    say(&server, "/high -n");
    wait_for_file(&place, "done", "2 p9 $(touch x) `id` ; smoke\n3 p7 -n\n");
    // It has remembered that once it has ended, too.
    eventually("the state", || {
        std::fs::read_to_string(place.path("state")).is_ok_and(|state| state == "3\n")
    });
    drop(process);
    wait_for_joined(&server, 0);
    say(&server, "/urgent fire");
    let _process = on_urgent(&place, "later");
    wait_for_file(&place, "later", "4 p9 fire\n");
}
