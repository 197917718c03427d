//! Examples that listen: they reconnect by themselves, and miss nothing that the journal has.

use crate::example;
use crate::process::Process;
use crate::site::Site;
use crate::support::{Server, eventually, id_of};
use std::process::Command;

/// Sends a line, and returns its ID.
fn say(server: &Server, line: &str) -> u64 {
    id_of(&server.connect().ask(line))
}

/// Waits until `count` clients are subscribed.
fn wait_for_joined(server: &Server, count: usize) {
    eventually("{count} clients are subscribed", || {
        let mut client = server.connect();
        client.send("/who\n");
        let who = client.lines_until_ok(1);
        who.iter().filter(|line| line.split(' ').nth(2).is_some_and(|min| min.starts_with('p'))).count()
            == count
    });
}

/// Starts listen.sh, which prints messages from that priority on.
fn listen(site: &Site, min: &str) -> Process {
    let mut command = Command::new(example("listen.sh"));
    command.args(site.words()).arg(min);
    Process::start(command)
}

/// The texts of the messages that it has printed.
fn printed_texts(process: &Process) -> Vec<String> {
    let said = process.said();
    said.iter()
        .filter_map(|line| Some(line.strip_prefix("MSG ")?.splitn(4, ' ').nth(3)?.to_string()))
        .collect()
}

/// Waits until it has printed these texts, and checks that there are no others.
fn wait_for_texts(process: &Process, texts: &[&str]) {
    process.wait_for(texts.len(), "MSG ");
    assert_eq!(printed_texts(process), texts, "it printed {:?}", process.said());
}

#[test]
fn listen_sh_with_a_journal_misses_and_repeats_nothing() {
    let site = Site::new("listen");
    // At first there is no server.
    let process = listen(&site, "5");
    process.wait_for(1, "listen.sh: no connection");
    let server = site.serve();
    wait_for_joined(&server, 1);
    say(&server, "/9 one");
    say(&server, "/4 too low");
    wait_for_texts(&process, &["one"]);
    drop(server);
    // Usually it has not reconnected when these are sent.
    let server = site.serve();
    say(&server, "/9 two");
    say(&server, "/5 less urgent");
    wait_for_texts(&process, &["one", "two", "less urgent"]);
    assert_eq!(server.end(), Some(0));
    let server = site.serve();
    say(&server, r"/9 back\slash  and spaces");
    wait_for_texts(&process, &["one", "two", "less urgent", r"back\\slash  and spaces"]);
    drop(server);
    // Another history: its IDs are lower than the last one.
    std::fs::remove_dir_all(site.path("journal")).unwrap();
    let server = site.serve();
    say(&server, "/9 anew");
    wait_for_texts(&process, &["one", "two", "less urgent", r"back\\slash  and spaces", "anew"]);
}

#[test]
fn listen_sh_reconnects_to_a_server_without_a_journal() {
    let site = Site::new("listen-without");
    let process = listen(&site, "0");
    for texts in [&["one"][..], &["one", "two"]] {
        let server = site.serve_with(&[]);
        wait_for_joined(&server, 1);
        say(&server, texts.last().unwrap());
        wait_for_texts(&process, texts);
    }
}

#[test]
fn listen_sh_ends_with_its_reader_or_when_refused() {
    let site = Site::new("listen-refused");
    let server = site.serve();
    let mut process = listen(&site, "high");
    assert_eq!(process.finish(), Some(1));
    process.wait_for(1, "listen.sh: refused: ERR 3 bad-argument");
    let mut reader = Command::new("bash");
    reader.args(["-c", r#""$@" | head -n 1"#, "bash", &example("listen.sh")]).args(site.words());
    let mut process = Process::start(reader);
    wait_for_joined(&server, 1);
    say(&server, "one");
    process.wait_for(1, "MSG 1 ");
    say(&server, "two");
    assert_eq!(process.finish(), Some(0));
}

/// Starts on-urgent.sh, which appends each message to a file of that name, and keeps its position in `state`.
fn on_urgent(site: &Site, file: &str) -> Process {
    let script = format!(r#"echo "$ID p$PRIORITY $(cat)" >>'{}'; [ "$ID" != 2 ]"#, site.path(file));
    let mut command = Command::new(example("on-urgent.sh"));
    command.args(site.words()).args(["sh", "-c", &script]).env("STATE", site.path("state"));
    Process::start(command)
}

/// Waits until the file has that content, and nothing else.
fn wait_for_file(site: &Site, file: &str, content: &str) {
    let read = || std::fs::read_to_string(site.path(file)).unwrap_or_default();
    eventually(&format!("{content:?} in a file that has {:?}", read()), || read().len() >= content.len());
    assert_eq!(read(), content);
}

#[test]
fn on_urgent_sh_runs_its_command_once_for_each_urgent_message() {
    let site = Site::new("on-urgent");
    let process = on_urgent(&site, "done");
    let server = site.serve();
    wait_for_joined(&server, 1);
    say(&server, "nothing that is urgent");
    say(&server, "/urgent $(touch x) `id` ; smoke");
    wait_for_file(&site, "done", "2 p9 $(touch x) `id` ; smoke\n");
    process.wait_for(1, "on-urgent.sh: message 2: sh ended with 1");
    drop(server);
    let server = site.serve();
    say(&server, "/high -n");
    wait_for_file(&site, "done", "2 p9 $(touch x) `id` ; smoke\n3 p7 -n\n");
    // It also keeps its position after the command has ended.
    eventually("the state", || std::fs::read_to_string(site.path("state")).is_ok_and(|state| state == "3\n"));
    drop(process);
    wait_for_joined(&server, 0);
    say(&server, "/urgent fire");
    let _process = on_urgent(&site, "later");
    wait_for_file(&site, "later", "4 p9 fire\n");
}
