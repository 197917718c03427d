//! Examples that send: each keeps a line until it has the ACK, whatever happens to the server meanwhile.

use crate::process::Process;
use crate::site::{Message, Site};
use crate::{edited, example, stand_in, tool};
use std::process::Command;

/// Has an example send three texts: the first while there is no server, then to one that closes silently and to one
/// that shuts down; the second after a crash of the server; the third after an orderly end. Each must arrive once.
/// `wait` returns when the example has its ACK, because a message whose ACK is cut off is sent twice.
fn sends_through_restarts(
    site: &Site,
    process: &mut Process,
    say: impl Fn(&mut Process, usize),
    wait: impl Fn(&Process, usize),
    text: impl Fn(usize) -> String,
) {
    say(process, 1);
    site.refuse(&text(1));
    let server = site.serve();
    site.wait_for(&text(1));
    wait(process, 1);
    drop(server);
    say(process, 2);
    let server = site.serve();
    site.wait_for(&text(2));
    wait(process, 2);
    assert_eq!(server.end(), Some(0));
    let _server = site.serve();
    say(process, 3);
    site.wait_for(&text(3));
    // Without its ACK, it would wait for the server that ends here.
    wait(process, 3);
    let texts: Vec<String> = site.messages().into_iter().map(|message| message.text).collect();
    assert_eq!(texts, [text(1), text(2), text(3)], "it printed {:?}", process.said());
}

/// A command with its arguments.
fn command(program: impl AsRef<std::ffi::OsStr>, args: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

// ---- Lines of standard input ---------------------------------------------------------------------------------

/// Runs an example that sends lines of standard input through every kind of restart and refusal.
fn sends_lines(name: &str, done: &str, at_start: usize) {
    let site = Site::new(name);
    let mut process = Process::start(command(example(name), &site.words()));
    let say = |process: &mut Process, n: usize| process.type_in(&format!("/urgent line {n}"));
    let wait = |process: &Process, n: usize| process.wait_for(n + at_start, done);
    sends_through_restarts(&site, &mut process, say, wait, |n| format!("line {n}"));
    assert_eq!(process.finish(), Some(0), "nothing was refused: {:?}", process.said());

    let _server = site.serve();
    let mut process = Process::start(command(example(name), &site.words()));
    let too_long = "x".repeat(600);
    for line in ["", "//etc is full", "\r", "/9 ", "/etc is full", &too_long, "/ping", "grün"] {
        process.type_in(line);
    }
    assert_eq!(process.finish(), Some(1), "some were refused");
    let said = process.said().join("\n");
    for refusal in ["NAK 3 empty", "ERR 4 unknown-command", "NAK 5 too-long"] {
        assert!(said.contains(refusal), "{refusal:?} is not printed: {said}");
    }
    assert!(process.said().iter().any(|line| line.starts_with(done)), "{said}");
    let last: Vec<Message> = site.messages().split_off(3);
    assert_eq!(
        last.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(),
        ["/etc is full", "grün"]
    );
}

#[test]
fn send_py_keeps_each_line_until_its_reply() {
    sends_lines("send.py", "OK", 1);
}

#[test]
fn send_mjs_keeps_each_line_until_its_reply() {
    sends_lines("send.mjs", "ACK ", 0);
}

/// The token is sent in line 1, and a command that it does not permit is reported.
#[test]
fn token_in_the_environment_authenticates() {
    let site = Site::new("token");
    let auth = site.write("auth", "meter q5ZsN8fLd2GhJ6vYxC1uMwKo 4 no-join\n");
    std::fs::set_permissions(&auth, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _server = site.serve_with(&["--auth-file", &auth]);
    let [host, port] = site.words();
    for (name, args) in [("send.sh", vec!["smoke", "9"]), ("send.py", vec![]), ("send.mjs", vec![])] {
        let mut command = command(example(name), &[&host, &port]);
        command.args(args).env("TOKEN", "q5ZsN8fLd2GhJ6vYxC1uMwKo");
        let mut process = Process::start(command);
        process.type_in("/urgent smoke");
        assert_eq!(process.finish(), Some(0), "{name}: {:?}", process.said());
    }
    let mut listening = command(example("listen.sh"), &[&host, &port]);
    listening.env("TOKEN", "q5ZsN8fLd2GhJ6vYxC1uMwKo");
    let mut process = Process::start(listening);
    assert_eq!(process.finish(), Some(1));
    process.wait_for(1, "listen.sh: refused: ERR 2 not-permitted");
}

// ---- send.sh --------------------------------------------------------------------------------------------------

/// Starts send.sh with that kind of nc.
fn send_sh(site: &Site, netcat: &str, args: &[&str]) -> Process {
    let path = format!("{}:{}", tool(&format!("netcats/{netcat}")).display(), std::env::var("PATH").unwrap());
    let mut command = command(example("send.sh"), &site.words());
    command.args(args).env("PATH", path);
    Process::start(command)
}

#[test]
fn send_sh_retries_until_an_ack_with_every_nc() {
    for netcat in ["openbsd", "traditional", "ncat", "busybox"] {
        let site = Site::new(netcat);
        let mut process = send_sh(&site, netcat, &["/etc is full", "9"]);
        site.refuse("/etc is full");
        let server = site.serve();
        assert_eq!(process.finish(), Some(0), "{netcat}: {:?}", process.said());
        assert_eq!(process.said().last().map(String::as_str), Some("ACK 2 1"), "{netcat}");
        assert_eq!(site.messages(), [Message { priority: 9, text: "/etc is full".into() }], "{netcat}");
        assert_eq!(send_sh(&site, netcat, &["two\nlines %d"]).finish(), Some(0), "{netcat}");
        assert_eq!(site.wait_for("lines %d"), Message { priority: 4, text: "two lines %d".into() });
        drop(server);
    }
}

#[test]
fn send_sh_reports_refusals_and_failures() {
    let site = Site::new("refused");
    let server = site.serve();
    let too_long = "x".repeat(600);
    for (args, code, why) in [
        (vec![""], 1, "not sent again: NAK 2 empty"),
        (vec![too_long.as_str()], 1, "not sent again: NAK 2 too-long"),
        (vec!["text", "12"], 1, "not sent again: ERR 2 unknown-command"),
        (vec![], 2, "usage: send.sh HOST PORT TEXT"),
    ] {
        let mut process = send_sh(&site, "openbsd", &args);
        assert_eq!(process.finish(), Some(code), "{args:?}");
        assert!(process.said().join("\n").contains(why), "{why}: {:?}", process.said());
    }
    drop(server);
    let mut unreachable = command(example("send.sh"), &site.words());
    unreachable.arg("text").env("TRIES", "2");
    let mut process = Process::start(unreachable);
    assert_eq!(process.finish(), Some(3));
    process.wait_for(1, "send.sh: no ACK from ");
}

// ---- Boards ---------------------------------------------------------------------------------------------------

#[test]
fn arduino_sketch_keeps_a_report_until_its_ack() {
    let site = Site::new("arduino");
    let [host, port] = site.words();
    let sketch = edited(
        "esp32_sensor.ino",
        &[
            ("192.168.1.10", &host),
            ("PORT = 9090", &format!("PORT = {port}")),
            ("EVERY_MS = 60000", "EVERY_MS = 0"),
        ],
    );
    let (sketch, binary) = (site.write("sketch.ino", &sketch), site.path("sketch"));
    let compiler = command("g++", &["-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", &binary, "-I"])
        .arg(stand_in("arduino"))
        .arg(format!("-DSKETCH=\"{sketch}\""))
        .arg(stand_in("arduino/main.cpp"))
        .output()
        .unwrap();
    assert!(compiler.status.success(), "{}", String::from_utf8_lossy(&compiler.stderr));
    let mut process = Process::start(Command::new(binary));
    let say = |process: &mut Process, n: usize| process.type_in(&n.to_string());
    let wait = |process: &Process, n: usize| process.wait_for(n, "ACK 2 ");
    sends_through_restarts(&site, &mut process, say, wait, |n| format!("reading {n}"));
    process.wait_for(1, "NAK 2 shutting-down");
}

#[test]
fn micropython_board_keeps_a_report_until_its_ack() {
    let site = Site::new("micropython");
    let [host, port] = site.words();
    let program = edited(
        "micropython_sensor.py",
        &[("192.168.1.10", &host), ("\", 9090", &format!("\", {port}")), ("EVERY_S = 60", "EVERY_S = 0")],
    );
    let mut board = command(tool("bin/micropython"), &[site.write("main.py", &program)]);
    board.env("MICROPYPATH", stand_in("micropython"));
    let mut process = Process::start(board);
    let reading = |n: usize| 14_000 + 100 * n;
    let celsius = |n: usize| 27.0 - (reading(n) as f64 * 3.3 / 65_535.0 - 0.706) / 0.001_721;
    let say = |process: &mut Process, n: usize| process.type_in(&reading(n).to_string());
    let wait =
        |process: &Process, n: usize| process.wait_for(1, &format!("/1 {:.1} C -> ACK 2 ", celsius(n)));
    sends_through_restarts(&site, &mut process, say, wait, |n| format!("{:.1} C", celsius(n)));
    let _server = site.serve();
    process.type_in("12000");
    assert_eq!(site.wait_for("86.1 C").priority, 9, "a high temperature is urgent");
}

// ---- Handlers ------------------------------------------------------------------------------------------------

#[test]
fn message_that_a_handler_may_have_done_is_not_sent_again() {
    let site = Site::new("handled");
    let server = site.serve_with(&["--handle", "0"]);
    let words = site.words();
    let mut given = 0;
    for (report, reply) in [(Some("/refuse 1 dry"), "handler-refused = dry"), (None, "handler-lost")] {
        for name in ["send.sh", "send.py"] {
            let mut handler = server.connect();
            assert_eq!(handler.ask("/handle"), "OK 1");
            let text = (name == "send.sh").then(|| "valve".to_string());
            let args: Vec<String> = words.iter().cloned().chain(text.clone()).collect();
            let mut process = Process::start(command(example(name), &args));
            if text.is_none() {
                process.type_in("valve");
            }
            assert!(handler.line().starts_with("TASK 1 "));
            given += 1;
            match report {
                Some(report) => handler.send(format!("{report}\n")),
                None => drop(handler),
            }
            assert_eq!(process.finish(), Some(1), "{name}: {:?}", process.said());
            assert!(process.said().iter().any(|line| line.contains(reply)), "{name}: {:?}", process.said());
        }
    }
    assert_eq!(server.connect().stats()["p4-tasks-given"], given);
}
