//! `firstline handle` against the real server, with programs of every kind; and against a server that follows a
//! script.

use super::send::{Call, host};
use crate::support::directory::Directory;
use crate::support::{Client, Server, command, eventually};
use firstline::limits::{CUT_MARK, HANDLER_TASKS, HANDLER_TEXT_BYTES};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A program that answers each task with its text.
const ECHO: &str = r#"echo READY 1; while read -r word k p from text; do echo "ok $p $text"; done"#;

/// What `firstline handle` can take at most, in KiB: the binary, its buffers, and what the C library keeps.
const RESIDENT_KB_MAX: u64 = 24 * 1024;

/// A server whose handlers process all messages.
fn server(args: &[&str]) -> Server {
    Server::start(&[&["--handle", "0"], args].concat())
}

/// Runs that script of sh as the program.
fn handle(host: &str, args: &[&str], script: &str) -> Call {
    handle_by(&[&[host], args, &["--", "sh", "-c", script]].concat())
}

fn handle_by(args: &[&str]) -> Call {
    let mut command = command();
    command.arg("handle").args(args).stdin(Stdio::null());
    Call::of(command)
}

/// What a call says that is refused: one line.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let ran = handle_by(args).end();
    assert_eq!((ran.receipts.len(), ran.complaints.len()), (0, 1), "{ran:?}");
    (ran.code, ran.complaints.into_iter().next().unwrap())
}

/// Waits until that many clients are handlers.
fn handlers(server: &Server, count: u64) {
    server.wait_for_stats("they handle", |stats| stats["handlers"] == count);
}

/// Waits for a complaint with that part, and returns it.
fn complaint(call: &Call, part: &str) -> String {
    loop {
        let line = call.complaint();
        if line.contains(part) {
            return line;
        }
    }
}

/// Ends a call that has nothing to do.
fn end(call: Call) -> Vec<String> {
    call.signal("TERM");
    let ran = call.end();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.complaints
}

/// A directory for what programs leave.
fn place(name: &str) -> Directory {
    let directory = Directory::new(name);
    fs::create_dir(&directory.0).unwrap();
    directory
}

fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Waits until that file has a line, and returns the last one.
fn line_in(path: &str) -> String {
    let mut line = None;
    eventually(&format!("{path} has a line"), || {
        let text = fs::read_to_string(path).unwrap_or_default();
        line = text.strip_suffix('\n').map(|text| text.lines().last().unwrap_or_default().to_string());
        line.is_some()
    });
    line.unwrap()
}

// ---- Answers -------------------------------------------------------------------------------------------

#[test]
fn sender_gets_what_the_program_answers() {
    let server = server(&[]);
    let script = r#"echo READY 1
        while read -r word k p from text; do
            case $text in
            no*) echo "no $word $k $p $from" ;;
            later*) [ "$later" ] && echo "ok at last" || echo "later not yet"; later=yes ;;
            *) printf 'ok %s\n' "$text" ;;
            esac
        done"#;
    let call = handle(&host(&server), &[], script);
    let mut sender = server.connect();
    assert_eq!(sender.ask("/nick alice"), "OK 1");
    assert_eq!(sender.ask("shut  the valve"), "ACK 2 1 = shut  the valve");
    assert_eq!(sender.ask("/urgent no"), "NAK 3 handler-refused = TASK 2 p9 alice");
    assert_eq!(sender.ask("later"), "ACK 4 2 = at last");
    sender.send(b"a\x1b\\\n");
    assert_eq!(sender.line(), r"ACK 5 3 = a\\x1b\\\\", "the program gets it escaped");
    assert_eq!(end(call), [""; 0]);
}

#[test]
fn program_for_each_task_answers_by_its_end() {
    let server = server(&["--attempts", "1"]);
    let script = r#"read -r text; printf 'first\n\n%s %s %s\n\n' "$FIRSTLINE_PRIORITY" "$FIRSTLINE_FROM" "$text"
        case $text in *[0-9]*) exit "${text##* }" ;; esac; case $text in die) kill -9 $$ ;; esac"#;
    let call = handle(&host(&server), &["--each"], script);
    let mut sender = server.connect();
    assert_eq!(sender.ask("/nick alice"), "OK 1");
    assert_eq!(sender.ask("/urgent shut"), "ACK 2 1 = 9 alice shut");
    assert_eq!(sender.ask("exit 1"), "NAK 3 handler-refused = 4 alice exit 1");
    sender.send(b"a\\\x01\n");
    assert_eq!(sender.line(), r"ACK 4 2 = 4 alice a\\\x01", "the program gets the bytes");
    assert_eq!(sender.ask("exit 75"), "NAK 5 handler-refused = 4 alice exit 75", "twice");
    assert_eq!(server.stats()["p4-tasks-put-back"], 1);
    assert_eq!(sender.ask("die"), "NAK 6 handler-lost");
    assert_eq!(sender.ask("again"), "ACK 7 3 = 4 alice again");
    end(call);
    for (program, code, reply) in [
        ("exit 7", "1", "NAK 1 handler-refused = exit status 7"),
        ("exit 0", "2", "ACK 1 4"),
        ("printf 'no LF'", "3", "ACK 1 5 = no LF"),
    ] {
        let call = handle(&host(&server), &["--each"], program);
        assert_eq!(server.connect().ask(code), reply, "{program}");
        end(call);
    }
}

#[test]
fn most_urgent_task_comes_first_and_only_those_that_are_asked_for() {
    let place = place("handle-order");
    let server = server(&[]);
    let go = format!("{}/go", place.path());
    let script = format!(
        r#"echo READY 1; while read -r word k p from text; do while ! [ -e {go} ]; do sleep 0.02; done; echo ok; done"#
    );
    let call = handle(&host(&server), &["--min", "3"], &script);
    let mut sender = server.connect();
    sender.send("/3 first\n");
    server.wait_for_stats("it is given", |stats| stats["tasks-with-handlers"] == 1);
    sender.send("/2 never\n/5 c\n/9 a\n/7 b\n/3 d\n");
    server.wait_for_stats("all wait", |stats| stats["waiting"] == 5);
    fs::write(&go, "").unwrap();
    assert_eq!(sender.lines(5), ["ACK 1 1", "ACK 4 2", "ACK 5 3", "ACK 3 4", "ACK 6 5"]);
    assert_eq!(server.stats()["waiting"], 1);
    end(call);
}

#[test]
fn count_runs_as_many_tasks_at_once() {
    for is_each in [false, true] {
        let place = place("handle-count");
        let server = server(&[]);
        let path = place.path();
        // Each waits for the other.
        let body = format!(
            r#"echo $$ >"{path}/$text"; while ! [ -e {path}/a -a -e {path}/b ]; do sleep 0.02; done; echo "$ok$text""#
        );
        let script = if is_each {
            format!("ok=; read -r text; {body}")
        } else {
            format!("ok='ok '; echo READY 1; while read -r word k p from text; do {body}; done")
        };
        let args: &[&str] = if is_each { &["--each", "--count", "2"] } else { &["--count", "2"] };
        let call = handle(&host(&server), args, &script);
        let mut sender = server.connect();
        sender.send("a\nb\n");
        let mut lines = sender.lines(2);
        lines.sort();
        assert!(lines[0].ends_with(" = a") && lines[1].ends_with(" = b"), "{lines:?}");
        let [a, b] = ["a", "b"].map(|name| line_in(&format!("{path}/{name}")));
        assert_ne!(a, b);
        end(call);
        eventually("the programs end", || !is_running(&a) && !is_running(&b));
    }
}

// ---- Programs that misbehave ---------------------------------------------------------------------------

#[test]
fn other_output_is_ignored_and_told() {
    let server = server(&[]);
    let script = r#"echo hello; echo READY 2; echo READY 1; while read -r task; do
        printf 'setting line 17\n\n\033[2J\377\nokay\nok done\n'; done"#;
    let call = handle(&host(&server), &[], script);
    assert_eq!(server.connect().ask("a"), "ACK 1 1 = done");
    let complaints = end(call);
    assert_eq!(complaints.len(), 5, "{complaints:?}");
    assert!(complaints[0].contains("\"hello\"") && complaints[3].contains(r"\\x1b[2J"), "{complaints:?}");
}

#[test]
fn megabyte_without_an_end_is_cut() {
    let server = server(&[]);
    let script = r#"echo READY 1; while read -r word k p from text; do
        printf %s "$text"; head -c 1000000 /dev/zero | tr '\0' x; echo; echo ok after; done"#;
    let call = handle(&host(&server), &[], script);
    let mut sender = server.connect();
    assert_eq!(sender.ask("noise"), "ACK 1 1 = after");
    end(call);
    let long = format!("{}{CUT_MARK}", "x".repeat(HANDLER_TEXT_BYTES));
    let call = handle(&host(&server), &["--each"], "printf 'x%.0s' $(seq 2000)");
    assert_eq!(server.connect().ask("a"), format!("ACK 1 2 = {long}"));
    end(call);
    let call =
        handle(&host(&server), &[], "echo READY 1; read -r a; printf 'ok '; seq -s x 100000; read -r b");
    let answer = server.connect().ask("a");
    assert!(answer.starts_with("ACK 1 3 = 1x2x3x") && answer.ends_with(CUT_MARK), "{answer}");
    end(call);
}

#[test]
fn program_that_floods_its_outputs_does_not_stop_the_signals_and_the_memory_is_bounded() {
    let server = server(&[]);
    let script = r#"echo READY 1; while read -r word k p from text; do yes noise | head -c 10000000 >&2; echo ok;
        [ "$text" = forever ] && exec yes garbage; done"#;
    let call = handle(&host(&server), &[], script);
    assert_eq!(server.connect().ask("a"), "ACK 1 1");
    assert_eq!(server.connect().ask("forever"), "ACK 1 2");
    for _ in 0..20 {
        let status = fs::read_to_string(format!("/proc/{}/status", call.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kb: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kb <= RESIDENT_KB_MAX || crate::support::is_emulated(), "{kb} kB");
        std::thread::sleep(Duration::from_millis(10));
    }
    end(call);
}

#[test]
fn task_is_given_back_by_a_program_that_has_closed_its_input() {
    let place = place("handle-closed");
    let server = server(&["--attempts", "5"]);
    let path = place.path();
    let script = format!(
        "if mkdir {path}/once; then exec <&-; echo READY 1; exec sleep 60; fi; echo READY 1; read -r a; echo ok; \
         read -r b"
    );
    let call = handle(&host(&server), &[], &script);
    assert_eq!(server.connect().ask("a"), "ACK 1 1");
    complaint(&call, "it has closed its standard input or output");
    end(call);
}

#[test]
fn end_of_a_program_in_the_middle_is_told_and_the_task_is_not_repeated() {
    for (end_of_it, told) in
        [("exit 3", "exit status 3"), ("kill -9 $$", "signal 9"), ("exec >&-; sleep 60", "")]
    {
        let place = place("handle-died");
        let server = server(&["--attempts", "1"]);
        let begun = format!("{}/begun", place.path());
        let script = format!(
            r#"echo READY 1; while read -r word k p from text; do echo "$text" >>{begun}
            case $text in die) {end_of_it} ;; esac; echo ok; done"#
        );
        let call = handle(&host(&server), &[], &script);
        let mut sender = server.connect();
        assert_eq!(sender.ask("die"), "NAK 1 handler-lost");
        assert_eq!(sender.ask("next"), "ACK 2 1");
        assert_eq!(fs::read_to_string(&begun).unwrap(), "die\nnext\n");
        let complaints = end(call);
        assert!(
            complaints.iter().any(|line| line.contains(told) && line.contains("it may be done")),
            "{complaints:?}"
        );
    }
}

#[test]
fn lost_task_goes_to_the_next_run_if_the_server_allows_attempts() {
    let place = place("handle-attempts");
    let server = server(&["--attempts", "2"]);
    let script = format!("read -r text; mkdir {}/once && kill -9 $$; echo \"$text\"", place.path());
    let call = handle(&host(&server), &["--each"], &script);
    assert_eq!(server.connect().ask("a"), "ACK 1 1 = a");
    end(call);
}

#[test]
fn other_tasks_are_answered_when_one_is_lost() {
    let place = place("handle-lost");
    let server = server(&[]);
    let go = format!("{}/go", place.path());
    let script = format!(
        r#"read -r text; [ "$text" = die ] && kill -9 $$; while ! [ -e {go} ]; do sleep 0.02; done; echo "$text""#
    );
    let call = handle(&host(&server), &["--each", "--count=2"], &script);
    let mut sender = server.connect();
    sender.send("stay\n");
    server.wait_for_stats("it is given", |stats| stats["tasks-with-handlers"] == 1);
    sender.send("die\n");
    complaint(&call, "signal 9");
    fs::write(&go, "").unwrap();
    let mut lines = sender.lines(2);
    lines.sort();
    assert_eq!(lines, ["ACK 1 1 = stay", "NAK 2 handler-lost"]);
    assert_eq!(sender.ask("more"), "ACK 3 2 = more");
    end(call);
}

#[test]
fn time_out_ends_the_whole_group_even_if_it_ignores_sigterm() {
    for is_each in [false, true] {
        let place = place("handle-time-out");
        let server = server(&[]);
        let pid = format!("{}/pid", place.path());
        let hang = format!("sh -c \"trap '' TERM; echo \\$\\$ >>{pid}; while :; do sleep 1; done\"");
        let script = if is_each {
            format!(r#"read -r text; trap '' TERM; [ "$text" = hang ] && {hang}; exit 0"#)
        } else {
            format!(
                r#"trap '' TERM; echo READY 1; while read -r word k p from text; do [ "$text" = hang ] && {hang}
                echo ok; done"#
            )
        };
        let args: &[&str] = if is_each { &["--timeout=3", "--each"] } else { &["--timeout=3"] };
        let call = handle(&host(&server), args, &script);
        let mut sender = server.connect();
        sender.send("hang\n");
        let child = line_in(&pid);
        assert!(is_running(&child));
        assert_eq!(sender.line(), "NAK 1 handler-lost");
        eventually("the child ends", || !is_running(&child));
        assert_eq!(sender.ask("b"), "ACK 2 1");
        let complaints = end(call);
        assert!(complaints[0].contains("--timeout is over"), "{complaints:?}");
    }
}

#[test]
fn program_starts_without_blocked_signals() {
    let server = server(&[]);
    // Shells clear the mask that they inherit, and sleep does not.
    for args in [&["--timeout=1", "--each"][..], &["--timeout=1"]] {
        let program =
            if args.len() == 2 { &["sleep", "60"][..] } else { &["sh", "-c", "echo READY 1; exec sleep 60"] };
        let host = host(&server);
        let call = handle_by(&[&[host.as_str()][..], args, &["--"], program].concat());
        handlers(&server, 1);
        server.connect().send("smoke\n");
        assert!(complaint(&call, "was ended by signal").contains("signal 15"), "{args:?}");
        call.signal("TERM");
        call.end();
        handlers(&server, 0);
    }
}

#[test]
fn what_a_program_leaves_in_its_group_ends_with_it() {
    for is_each in [false, true] {
        let place = place("handle-forks");
        let server = server(&[]);
        let pid = format!("{}/pid", place.path());
        // It holds the pipes open.
        let fork = format!("sleep 600 & echo $! >>{pid}");
        let (args, script): (&[&str], _) = if is_each {
            (&["--each"], format!("{fork}; echo forked"))
        } else {
            (&[], format!("{fork}; echo READY 1; read -r task; echo ok forked; exit"))
        };
        let call = handle(&host(&server), args, &script);
        assert_eq!(server.connect().ask("a"), "ACK 1 1 = forked");
        let child = line_in(&pid);
        eventually("the child ends", || {
            fs::read_to_string(&pid).unwrap().lines().next().is_some_and(|first| !is_running(first))
        });
        end(call);
        eventually("the last child ends", || !is_running(&child));
    }
}

#[test]
fn end_of_a_program_is_noticed_if_the_command_is_started_with_sigchld_ignored() {
    let server = server(&[]);
    let inner = command();
    let mut outer = Command::new("env");
    outer.arg("--ignore-signal=CHLD").arg(inner.get_program()).args(inner.get_args());
    outer.args(["handle", &host(&server), "--each", "--", "sh", "-c", "read -r text; echo \"$text\""]);
    outer.stdin(Stdio::null());
    let call = Call::of(outer);
    assert_eq!(server.connect().ask("a"), "ACK 1 1 = a");
    end(call);
}

#[test]
fn second_answer_is_not_taken_for_the_next_task() {
    let place = place("handle-twice");
    let server = server(&[]);
    let path = place.path();
    let script = format!(
        r#"echo READY 1; while read -r word k p from text; do echo "$text" >>{path}/begun; echo "ok $text"
        [ "$text" = twice ] && echo "ok wrong"; done"#
    );
    let call = handle(&host(&server), &[], &script);
    let mut sender = server.connect();
    assert_eq!(sender.ask("twice"), "ACK 1 1 = twice");
    assert!(complaint(&call, "answered without a task").ends_with("ok wrong"));
    assert_eq!(sender.ask("next"), "ACK 2 2 = next");
    end(call);
}

#[test]
fn answer_before_ready_ends_the_program() {
    let place = place("handle-early");
    let server = server(&[]);
    let script = format!("mkdir {}/once && echo ok; {ECHO}", place.path());
    let call = handle(&host(&server), &[], &script);
    complaint(&call, "answered without a task");
    assert_eq!(server.connect().ask("a"), "ACK 1 1 = p4 a");
    end(call);
}

#[test]
fn program_that_ends_again_and_again_is_started_after_longer_and_longer_pauses() {
    let place = place("handle-backoff");
    let server = server(&[]);
    let runs = format!("{}/runs", place.path());
    // Its own times: this test may look late.
    let call = handle(&host(&server), &[], &format!("date +%s%N >>{runs}; exit 1"));
    let begun_ns = || -> Vec<u64> {
        fs::read_to_string(&runs).unwrap_or_default().lines().map_while(|line| line.parse().ok()).collect()
    };
    eventually("it runs 6 times", || begun_ns().len() >= 6);
    let begun = begun_ns();
    let pauses = Duration::from_nanos(begun[5] - begun[3]);
    assert!(pauses >= Duration::from_millis(400), "{pauses:?}: {begun:?}");
    assert!(call.complaint().contains("ended with exit status 1 before it wrote READY 1"));
    assert_eq!(server.stats()["handlers"], 0, "it takes no tasks");
    end(call);
}

// ---- The server ----------------------------------------------------------------------------------------

#[test]
fn answer_after_the_end_of_the_server_is_logged_and_the_next_server_is_found() {
    let place = place("handle-restart");
    let mut first = server(&[]);
    let host = host(&first);
    let [go, begun] = ["go", "begun"].map(|name| format!("{}/{name}", place.path()));
    let script = format!(
        r#"echo READY 1; while read -r word k p from text; do echo "$k" >{begun}
        while ! [ -e {go} ]; do sleep 0.02; done; echo "ok $text"; done"#
    );
    let call = handle(&host, &[], &script);
    let mut sender = first.connect();
    sender.send("a\n");
    line_in(&begun);
    first.signal("KILL");
    first.wait();
    assert!(call.complaint().contains("not connected: "));
    fs::write(&go, "").unwrap();
    let told = complaint(&call, "task 1: ");
    assert!(told.contains("was disconnected meanwhile") && told.ends_with("\"ok a\""), "{told}");
    let second = server(&["--listen", &host]);
    assert_eq!(second.connect().ask("b"), "ACK 1 1 = b");
    complaint(&call, "connected again");
    // In order, it ends at once, and is found again.
    let mut second = second;
    second.signal("TERM");
    assert_eq!(second.wait().code(), Some(0));
    let third = server(&["--listen", &host]);
    assert_eq!(third.connect().ask("c"), "ACK 1 1 = c");
    end(call);
}

#[test]
fn without_a_right_it_ends_with_one_line() {
    let place = place("handle-rights");
    let file = |name: &str, text: &str| {
        let path = format!("{}/{name}", place.path());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    };
    let tokens = ["good-good-good-good", "mute-mute-mute-mute", "none-none-none-none"];
    let auth = file("auth", &format!("valve {} 9 join handle\nbob {} 9 join\n", tokens[0], tokens[1]));
    let [good, mute, wrong] = tokens.map(|token| file(token, token));
    let server = server(&["--auth-file", &auth]);
    let host = host(&server);
    let denied = |args: &[&str]| refused(&[&[host.as_str()], args, &["--", "sh", "-c", ECHO]].concat());
    let (code, line) = denied(&[]);
    assert!(code == Some(1) && line.contains("give a token by --token-file"), "{line}");
    assert!(denied(&["--token-file", &mute]).1.contains("not for handling"));
    assert!(denied(&["--token-file", &wrong]).1.contains("wrong-token"));
    let call = handle(&host, &["--token-file", &good], ECHO);
    server.wait_for_log(" handles tasks");
    fs::write(&auth, format!("bob {} 9 join\n", tokens[1])).unwrap();
    server.signal("HUP");
    let ran = call.end();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.complaints[0].contains("token-withdrawn"), "{ran:?}");
    assert!(ran.complaints.last().unwrap().contains("the server gives no tasks: "), "{ran:?}");
}

#[test]
fn what_cannot_work_is_one_line_that_says_why() {
    let plain = Server::start(&[]);
    let run = |args: &[&str]| refused(&[args, &["--", "sh", "-c", ECHO]].concat());
    let (code, line) = run(&[&host(&plain)]);
    assert_eq!(
        (code, line.as_str()),
        (Some(1), "firstline: the server gives no tasks: no-handling: start the server with --handle")
    );
    let server = server(&[]);
    if HANDLER_TASKS < 16 {
        let (code, line) = run(&[&host(&server), "--count=16"]);
        assert!(code == Some(1) && line.ends_with(&format!("COUNT is 1 to {HANDLER_TASKS}")), "{line}");
    }
    for (program, reason) in [
        ("/nonexistent/valve", "No such file or directory"),
        ("/etc/passwd", "Permission denied"),
        ("no valve", "it is not on the PATH; write ./PROGRAM for one in this directory"),
    ] {
        for args in [&[][..], &["--each"]] {
            let (code, line) = refused(&[&[host(&server).as_str()][..], args, &["--", program]].concat());
            let told = format!("firstline: PROGRAM {program} cannot be started: {reason}");
            assert_eq!((code, line), (Some(4), told));
        }
    }
    for args in [
        &["pi"][..],
        &["pi", "--count=0", "--", "x"],
        &["pi:0", "--", "x"],
        &["pi", "--token-file=/nonexistent", "--", "x"],
    ] {
        assert_eq!(refused(args).0, Some(2), "{args:?}");
    }
}

#[test]
fn task_of_a_program_that_cannot_be_started_is_given_back() {
    let server = server(&[]);
    let place = place("gone");
    let program = format!("{}/valve", place.path());
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let call = handle_by(&[&host(&server), "--each", "--", &program]);
    handlers(&server, 1);
    fs::remove_file(&program).unwrap();
    let mut sender = server.connect();
    sender.send("a\n");
    let ran = call.end();
    assert_eq!((ran.code, ran.complaints.len()), (Some(4), 1), "{ran:?}");
    let call = handle(&host(&server), &[], ECHO);
    assert_eq!(sender.line(), "ACK 1 1 = p4 a");
    end(call);
}

// ---- The end -------------------------------------------------------------------------------------------

/// A handler of `--each` whose program waits for a file, with a task that has begun.
fn busy(server: &Server, place: &Directory, on_term: &str) -> (Call, Client) {
    let path = place.path();
    let script = format!(
        "{on_term}; read -r text; echo $$ >{path}/pid; while ! [ -e {path}/go ]; do sleep 0.02; done; echo done"
    );
    let call = handle(&host(server), &["--each"], &script);
    handlers(server, 1);
    let mut sender = server.connect();
    sender.send("a\n");
    line_in(&format!("{path}/pid"));
    call.signal("TERM");
    complaint(&call, "signal 15: 1 task may take 10 s more");
    (call, sender)
}

#[test]
fn task_that_runs_is_finished_after_a_signal_and_no_other_is_taken() {
    let (place, server) = (place("handle-finish"), server(&[]));
    let (call, mut sender) = busy(&server, &place, ":");
    sender.send("b\n");
    server.wait_for_stats("it waits", |stats| stats["waiting"] == 1);
    fs::write(format!("{}/go", place.path()), "").unwrap();
    assert_eq!(sender.line(), "ACK 1 1 = done");
    let ran = call.end();
    assert_eq!((ran.code, ran.complaints.len()), (Some(0), 0), "{ran:?}");
    assert_eq!(server.stats()["waiting"], 1);
}

#[test]
fn second_signal_ends_it_and_its_programs_at_once() {
    let (place, server) = (place("handle-second"), server(&[]));
    let (call, mut sender) = busy(&server, &place, "trap '' TERM");
    let pid = line_in(&format!("{}/pid", place.path()));
    call.signal("INT");
    assert_eq!(call.end().code, Some(128 + 2));
    assert_eq!(sender.line(), "NAK 1 handler-lost");
    eventually("the program ends", || !is_running(&pid));
}

#[test]
fn task_that_does_not_finish_is_given_back_if_the_program_says_so_and_else_lost() {
    for (on_term, code, reply) in [
        ("trap 'exit 75' TERM", 0, "NAK 1 no-handler"),
        (":", 3, "NAK 1 handler-lost"),
        ("trap 'exit 1' TERM", 3, "NAK 1 handler-lost"),
    ] {
        let (place, server) = (place("handle-grace"), server(&["--handle-wait", "1"]));
        let (call, mut sender) = busy(&server, &place, on_term);
        assert_eq!(call.end().code, Some(code), "{on_term}");
        assert_eq!(sender.line(), reply, "{on_term}");
        assert_eq!(server.stats()["handlers"], 0);
    }
}

#[test]
fn programs_end_with_it() {
    let place = place("handle-idle");
    let server = server(&[]);
    let pid = format!("{}/pid", place.path());
    for signal in ["TERM", "INT", "HUP"] {
        let call =
            handle(&host(&server), &[], &format!("echo $$ >>{pid}; echo READY 1; while :; do sleep 1; done"));
        handlers(&server, 1);
        let program = line_in(&pid);
        call.signal(signal);
        let ran = call.end();
        assert_eq!((ran.code, ran.complaints.len()), (Some(0), 0), "{ran:?}");
        assert!(!is_running(&program));
        handlers(&server, 0);
    }
}

// ---- A server that follows a script --------------------------------------------------------------------

/// A server's end of the connection, after it has answered the greeting and `/handle`.
fn scripted(args: &[&str], script: &str) -> (Call, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let call = handle(&listener.local_addr().unwrap().to_string(), args, script);
    let mut peer = Client::of(listener.accept().unwrap().0);
    assert_eq!(peer.line(), "/ping");
    peer.send("OK 1\n");
    (call, peer)
}

#[test]
fn more_time_is_asked_for_until_the_program_answers() {
    let place = place("handle-extend");
    let go = format!("{}/go", place.path());
    let script = format!("while ! [ -e {go} ]; do sleep 0.02; done; echo shut");
    let (call, mut peer) = scripted(&["--each", "--timeout=off"], &script);
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("OK 2\nTASK 7 p9 5000 alice shut the valve\n");
    assert_eq!(peer.line(), "/extend 7");
    peer.send("OK 3 5000\n");
    assert_eq!(peer.line(), "/extend 7");
    peer.send("OK 4 90000\n");
    fs::write(&go, "").unwrap();
    assert_eq!(peer.line(), "/done 7 shut");
    peer.send("ERR 5 not-yours you have no such task any more\n");
    assert!(complaint(&call, "task 7: ").contains("has given up the task"));
    call.signal("TERM");
    assert_eq!(peer.line(), "/handle off");
    peer.send("OK 6\n");
    assert_eq!(peer.line(), "/quit");
}

#[test]
fn task_beyond_the_count_is_given_back_and_one_without_time_is_ended() {
    let (call, mut peer) = scripted(&["--each"], "sleep 60");
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("OK 2\nTASK 1 p4 1500 a b\nTASK 2 p4 1000 a b\n");
    assert_eq!(peer.line(), "/later 2");
    peer.send("OK 3\n");
    let mut line = peer.line();
    if line == "/extend 1" {
        peer.send("ERR 4 not-yours\n");
        line = peer.try_line().unwrap_or_default();
    }
    assert!(complaint(&call, "PROGRAM is ended").contains("the server's time for it is over"));
    // It says that it wants no more tasks, or just leaves: the task that it cannot answer is not refused.
    assert!(line.is_empty() || line == "/handle off", "{line}");
}

#[test]
fn server_without_handlers_is_told() {
    let (call, mut peer) = scripted(&[], ECHO);
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("ERR 2 unknown-command //TEXT sends /TEXT\n");
    let ran = call.end();
    assert!(ran.code == Some(1) && ran.complaints[0].contains("unknown-command"), "{ran:?}");
    let (call, mut peer) = scripted(&[], ECHO);
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("ERR 2 handlers-full there are as many handlers as may be\n");
    assert!(call.complaint().contains("not connected: handlers-full: there are as many"));
}

#[test]
fn task_that_runs_is_answered_though_the_server_begins_to_shut_down() {
    let place = place("handle-drain");
    let path = place.path();
    // The second program is ready only when the first one has a task, so that more tasks are asked for then.
    let script = format!(
        "wait_for() {{ while ! [ -e {path}/$1 ]; do sleep 0.02; done; }}
        mkdir {path}/first || wait_for begun; echo READY 1
        while read -r word k p from text; do touch {path}/begun; wait_for go; echo \"ok $text\"; done"
    );
    let (call, mut peer) = scripted(&["--count=2"], &script);
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("OK 2\nTASK 1 p4 60000 alice shut the valve\n");
    assert_eq!(peer.line(), "/handle 0 2");
    peer.send("ERR 3 shutting-down\n");
    fs::write(format!("{path}/go"), "").unwrap();
    assert_eq!(peer.line(), "/done 1 shut the valve");
    peer.send("OK 4\nBYE shutting-down\n");
    complaint(&call, "not connected: shutting-down");
}

#[test]
fn answer_that_the_server_does_not_confirm_before_the_end_is_logged() {
    let (call, mut peer) = scripted(&["--each"], "echo shut");
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("OK 2\nTASK 7 p4 60000 alice shut the valve\n");
    assert_eq!(peer.line(), "/done 7 shut");
    call.signal("TERM");
    let ran = call.end();
    assert_eq!((ran.code, ran.complaints.len()), (Some(3), 1), "{ran:?}");
    assert!(ran.complaints[0].contains("task 7: the server did not confirm it"), "{ran:?}");
    assert!(ran.complaints[0].ends_with("\"ok shut\""), "{ran:?}");
}

#[test]
fn program_without_a_time_out_is_ended_after_the_servers_time_if_the_connection_is_lost() {
    let (call, mut peer) = scripted(&["--each", "--timeout=off"], "sleep 60");
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("OK 2\nTASK 1 p4 1000 alice shut the valve\n");
    drop(peer);
    complaint(&call, "task 1: PROGRAM is ended: the server's time for it is over");
    complaint(&call, "it may be done: \"shut the valve\"");
}

#[test]
fn more_time_is_asked_for_if_the_program_may_take_as_long_as_the_server_gives() {
    let (call, mut peer) = scripted(&["--each", "--timeout=3"], "sleep 60");
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("OK 2\nTASK 1 p4 3000 alice shut the valve\n");
    assert_eq!(peer.line(), "/extend 1");
    peer.send("OK 3 90000\n");
    complaint(&call, "task 1: PROGRAM is ended: --timeout is over");
}

#[test]
fn answer_to_a_task_that_the_server_has_given_up_is_logged_as_that() {
    let place = place("handle-given-up");
    let begun = format!("{}/begun", place.path());
    let script = format!("trap 'echo shut; exit 0' TERM; echo >{begun}; while :; do sleep 0.02; done");
    let (call, mut peer) = scripted(&["--each", "--timeout=off"], &script);
    assert_eq!(peer.line(), "/handle 0 1");
    peer.send("OK 2\nTASK 1 p4 9000 alice shut the valve\n");
    assert_eq!(peer.line(), "/extend 1");
    line_in(&begun);
    peer.send("ERR 3 not-yours you have no such task any more\n");
    let told = complaint(&call, "is not told");
    assert!(
        told.contains("task 1: the server has given up the task") && told.ends_with("\"ok shut\""),
        "{told}"
    );
}
