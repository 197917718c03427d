//! Handlers: clients that process messages, and answer their senders.

use crate::support::directory::Directory;
use crate::support::{Client, Server, command, id_of};
use firstline::limits::{CUT_MARK, HANDLER_TASKS, HANDLER_TEXT_BYTES, HANDLERS, IN_FLIGHT, TASK_PAUSE_MS};
use std::time::{Duration, Instant};

/// A server whose handlers process all messages, and a client of it that handles.
fn server_and_handler(args: &[&str]) -> (Server, Client) {
    let server = Server::start(&[&["--handle", "0"], args].concat());
    let handler = handler(&server, "/handle");
    (server, handler)
}

fn handler(server: &Server, line: &str) -> Client {
    let mut handler = server.connect();
    assert_eq!(handler.ask(line), "OK 1");
    handler
}

/// A task as its handler gets it.
struct Task {
    number: u64,
    priority: String,
    left_ms: u64,
    from: String,
    text: String,
}

fn task(handler: &mut Client) -> Task {
    task_of(&handler.line())
}

fn task_of(line: &str) -> Task {
    let words: Vec<&str> = line.splitn(6, ' ').collect();
    let ["TASK", number, priority, left_ms, from, text] = words[..] else { panic!("not a task: {line:?}") };
    Task {
        number: number.parse().unwrap(),
        priority: priority.to_string(),
        left_ms: left_ms.parse().unwrap(),
        from: from.to_string(),
        text: text.to_string(),
    }
}

// ---- Giving and finishing ------------------------------------------------------------------------------

#[test]
fn handlers_text_is_in_the_senders_acknowledgement() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    assert_eq!(sender.ask("/nick alice"), "OK 1");
    sender.send("/urgent shut the valve\n");
    let task = task(&mut handler);
    assert_eq!((task.number, task.priority.as_str(), task.from.as_str()), (1, "p9", "alice"));
    assert_eq!((task.text.as_str(), task.left_ms), ("shut the valve", 30_000));
    assert_eq!(handler.ask("/done 1 the valve is shut"), "OK 2");
    assert_eq!(sender.line(), "ACK 2 1 = the valve is shut");
    sender.send("again\n");
    assert_eq!(self::task(&mut handler).number, 2);
    assert_eq!(handler.ask("/done 2"), "OK 3");
    assert_eq!(sender.line(), "ACK 3 2", "without a text");
}

#[test]
fn only_messages_of_the_given_priority_are_handled() {
    let server = Server::start(&["--handle", "7"]);
    let mut handler = handler(&server, "/handle");
    let mut sender = server.connect();
    assert_eq!(sender.ask("plain"), "ACK 1 1");
    sender.send("/high urgent\n");
    assert_eq!(task(&mut handler).text, "urgent");
    assert_eq!(sender.ask("/6 plain"), "ACK 3 2", "it waits for no handler");
    handler.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 2 3", "the ID is given when the task is done");
}

#[test]
fn text_is_escaped_and_a_longer_one_is_cut_and_says_so() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    for (line, expected) in [
        ("a\tb\x1b[2J\\".to_string(), r"a\x09b\x1b[2J\\".to_string()),
        ("x".repeat(HANDLER_TEXT_BYTES), "x".repeat(HANDLER_TEXT_BYTES)),
        ("\x07".repeat(HANDLER_TEXT_BYTES), r"\x07".repeat(HANDLER_TEXT_BYTES)),
    ] {
        sender.send("go\n");
        let number = task(&mut handler).number;
        handler.send(format!("/done {number} {line}\n"));
        assert_eq!(handler.line(), format!("OK {}", number + 1));
        assert_eq!(sender.line(), format!("ACK {number} {number} = {expected}"));
    }
    sender.send("go\n");
    assert_eq!(task(&mut handler).number, 4);
    handler.send(format!("/done 4 {}y\n", "x".repeat(HANDLER_TEXT_BYTES)));
    assert_eq!(handler.line(), format!("OK 5 cut to {HANDLER_TEXT_BYTES} bytes"));
    assert_eq!(sender.line(), format!("ACK 4 4 = {}{CUT_MARK}", "x".repeat(HANDLER_TEXT_BYTES)));
}

#[test]
fn lowered_message_says_so_before_the_text() {
    let (server, mut handler) = server_and_handler(&["--urgent-rate", "1"]);
    let mut sender = server.connect();
    sender.send("/urgent one\n/urgent two\n");
    assert_eq!(task(&mut handler).priority, "p9");
    handler.send("/done 1 1st\n");
    assert_eq!(handler.line(), "OK 2");
    assert_eq!(task(&mut handler).priority, "p4");
    handler.send("/done 2 2nd\n");
    assert_eq!([sender.line(), sender.line()], ["ACK 1 1 = 1st", "ACK 2 2 lowered = 2nd"]);
}

#[test]
fn refused_message_is_told_with_the_handlers_text() {
    let (server, mut handler) = server_and_handler(&["--attempts", "9"]);
    let mut sender = server.connect();
    sender.send("one\ntwo\n");
    assert_eq!(task(&mut handler).text, "one");
    handler.send("/refuse 1 no such valve\n");
    assert_eq!(handler.line(), "OK 2");
    assert_eq!(task(&mut handler).text, "two");
    handler.send("/refuse 2\n");
    assert_eq!(
        [sender.line(), sender.line()],
        ["NAK 1 handler-refused = no such valve", "NAK 2 handler-refused"]
    );
    let stats = server.connect().stats();
    assert_eq!((stats["refused-handler-refused"], stats["processed"]), (2, 0));
}

#[test]
fn message_that_is_done_is_printed_joined_and_kept_only_then() {
    let directory = Directory::new("handled");
    let journal = directory.path().to_string();
    let (server, mut handler) = server_and_handler(&["--journal", &journal, "--journal-size", "1M"]);
    let (mut sender, mut reader) = (server.connect(), server.connect());
    assert_eq!(reader.ask("/join"), "OK 1");
    sender.send("done\n");
    assert_eq!(task(&mut handler).text, "done");
    handler.send("/done 1\n");
    assert!(reader.line().ends_with(" done"));
    assert_eq!(sender.line(), "ACK 1 1");
    assert_eq!(handler.line(), "OK 2");
    sender.send("refused\n");
    assert_eq!(task(&mut handler).text, "refused");
    handler.send("/refuse 2\n");
    assert_eq!(sender.line(), "NAK 2 handler-refused");
    reader.send("/last 9\n");
    assert!(reader.line().ends_with(" done"));
    assert_eq!(reader.line(), "OK 2");
}

#[test]
fn handler_handles_its_own_message() {
    let (_server, mut handler) = server_and_handler(&[]);
    handler.send("mine\n");
    assert_eq!(task(&mut handler).text, "mine");
    handler.send("/done 1 yours\n");
    let mut lines = [handler.line(), handler.line()];
    lines.sort();
    assert_eq!(lines, ["ACK 2 1 = yours", "OK 3"]);
}

#[test]
fn many_senders_and_handlers_lose_and_double_nothing() {
    for workers in ["1", "4"] {
        let server = Server::start(&["--handle", "4", "--workers", workers]);
        let handlers: Vec<_> = (0..3)
            .map(|count| {
                let mut handler = handler(&server, &format!("/handle 0 {}", 1 + 2 * count));
                std::thread::spawn(move || {
                    let mut done = 0;
                    while let Some(line) = handler.try_line() {
                        if line.starts_with("TASK ") {
                            let task = task_of(&line);
                            handler.send(format!("/done {} {}\n", task.number, task.text));
                            done += 1;
                        }
                    }
                    done
                })
            })
            .collect();
        const LINES: usize = 400;
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let mut client = server.connect();
                std::thread::spawn(move || {
                    let lines: String = (1..=LINES).map(|n| format!("/{} {sender}-{n}\n", n % 10)).collect();
                    client.send(lines);
                    client.end_sending();
                    client.rest()
                })
            })
            .collect();
        let mut ids = Vec::new();
        for (sender, replies) in senders.into_iter().enumerate() {
            let mut seen = vec![false; LINES + 1];
            for reply in replies.join().unwrap() {
                let words: Vec<&str> = reply.split(' ').collect();
                let n: usize = words[1].parse().unwrap();
                let text = format!("{sender}-{n}");
                match words[..] {
                    ["ACK", _, id, "=", said] if n % 10 >= 4 && said == text => ids.push(id.parse().unwrap()),
                    ["ACK", _, id] if n % 10 < 4 => ids.push(id.parse::<u64>().unwrap()),
                    _ => panic!("{reply}"),
                }
                assert!(!std::mem::replace(&mut seen[n], true), "{reply}");
            }
            assert!(seen[1..].iter().all(|is_seen| *is_seen));
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=4 * LINES as u64));
        let mut server = server;
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let done: usize = handlers.into_iter().map(|handler| handler.join().unwrap()).sum();
        assert_eq!(done, 4 * LINES * 6 / 10);
    }
}

// ---- Order ---------------------------------------------------------------------------------------------

/// The texts of the tasks that a handler gets one after the other.
fn texts_in_order(handler: &mut Client, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let line = handler.line();
        if line.starts_with("TASK ") {
            let task = task_of(&line);
            handler.send(format!("/done {}\n", task.number));
            texts.push(task.text);
        }
    }
    texts
}

#[test]
fn one_handler_gets_one_task_at_a_time_in_the_order_of_the_queue() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    sender.send("first\n");
    let first = task(&mut handler);
    sender.send("/1 g\n/4 e\n/9 a\n/7 c\n/4 f\n/9 b\n/6 d\n");
    server.wait_for_stats("all wait", |stats| stats["waiting"] == 7);
    assert_eq!(handler.ask("/ping"), "OK 2", "no task was handed out ahead");
    handler.send(format!("/done {}\n", first.number));
    assert_eq!(texts_in_order(&mut handler, 7).concat(), "abcdefg");
    let acks = sender.lines(8);
    assert!(acks.iter().map(|ack| id_of(ack)).eq(1..=8), "IDs rise in the order of completion: {acks:?}");
}

#[test]
fn aging_counts_while_a_task_waits() {
    let (server, mut handler) = server_and_handler(&["--aging", "1"]);
    let mut sender = server.connect();
    sender.send("first\n");
    let first = task(&mut handler);
    sender.send("/0 old\n");
    server.wait_for_stats("it is old", |stats| stats.get("p0-oldest-ms").is_some_and(|ms| *ms > 20));
    sender.send("/9 new\n");
    server.wait_for_stats("both wait", |stats| stats["waiting"] == 2);
    handler.send(format!("/done {}\n", first.number));
    assert_eq!(texts_in_order(&mut handler, 2), ["old", "new"]);
}

#[test]
fn count_bounds_the_tasks_of_a_handler_and_can_change() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    assert_eq!(handler.ask("/handle 0 2"), "OK 2");
    sender.send("a\nb\nc\nd\n");
    assert_eq!([task(&mut handler).text, task(&mut handler).text], ["a", "b"]);
    assert_eq!(handler.ask("/ping"), "OK 3");
    handler.send("/handle 0 3\n");
    let mut lines = handler.lines(2);
    lines.sort();
    assert_eq!((lines[0].as_str(), task_of(&lines[1]).text.as_str()), ("OK 4", "c"));
    assert_eq!(handler.ask("/handle off"), "OK 5");
    handler.send("/done 2\n/done 1\n/done 3\n");
    assert_eq!(handler.lines(3), ["OK 6", "OK 7", "OK 8"]);
    assert_eq!(sender.lines(3), ["ACK 2 1", "ACK 1 2", "ACK 3 3"]);
    assert_eq!(handler.ask("/ping"), "OK 9", "no new task after off");
    handler.send("/handle\n");
    let mut lines = handler.lines(2);
    lines.sort();
    assert_eq!((lines[0].as_str(), task_of(&lines[1]).number), ("OK 10", 4));
}

#[test]
fn reserved_lane_takes_urgent_tasks_while_others_are_busy() {
    let (server, mut all) = server_and_handler(&[]);
    let mut urgent = handler(&server, "/handle 7");
    let mut sender = server.connect();
    sender.send("a\nb\n");
    assert_eq!(task(&mut all).text, "a");
    sender.send("/urgent now\n");
    assert_eq!(task(&mut urgent).text, "now");
    urgent.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 3 1");
    assert_eq!([urgent.line(), urgent.ask("/ping")], ["OK 2", "OK 3"], "the other one is not urgent");
}

// ---- Not done ------------------------------------------------------------------------------------------

#[test]
fn message_that_no_handler_takes_is_refused_in_time_and_not_begun() {
    let server = Server::start(&["--handle", "5", "--handle-wait", "1"]);
    let mut sender = server.connect();
    let before = Instant::now();
    sender.send("/5 nobody\n");
    assert_eq!(sender.line(), "NAK 1 no-handler");
    assert!(before.elapsed() >= Duration::from_secs(1));
    let mut handler = handler(&server, "/handle");
    sender.send("/5 one\n/5 two\n");
    assert_eq!(task(&mut handler).text, "one");
    assert_eq!(sender.line(), "NAK 3 no-handler", "the handler is busy");
    handler.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 2 1");
}

#[test]
fn task_that_is_given_back_comes_again_after_a_pause_and_is_bounded() {
    let (server, mut handler) = server_and_handler(&["--attempts", "1"]);
    let mut sender = server.connect();
    sender.send("a\n");
    server.wait_for_stats("it is given", |stats| stats["tasks-with-handlers"] == 1);
    sender.send("b\n");
    assert_eq!(task(&mut handler).text, "a");
    let before = Instant::now();
    handler.send("/later 1 not yet\n");
    assert_eq!(handler.line(), "OK 2");
    let b = task(&mut handler);
    assert_eq!(b.text, "b", "it does not hold up the others");
    handler.send("/done 2\n");
    assert_eq!(handler.line(), "OK 3");
    assert_eq!((task(&mut handler).text, sender.line().as_str()), ("a".to_string(), "ACK 2 1"));
    assert!(before.elapsed() >= Duration::from_millis(TASK_PAUSE_MS));
    handler.send("/later 3 really not\n");
    assert_eq!(sender.line(), "NAK 1 handler-refused = really not");
    let stats = server.stats();
    assert_eq!((stats["p4-tasks-put-back"], stats["p4-tasks-refused"], stats["p4-tasks-lost"]), (1, 1, 0));
}

#[test]
fn time_out_is_told_and_a_late_answer_is_not_the_handlers() {
    let (server, mut handler) = server_and_handler(&["--handle-limit", "0.3"]);
    let mut sender = server.connect();
    sender.send("a\n");
    assert_eq!(task(&mut handler).left_ms, 300);
    assert_eq!(sender.line(), "NAK 1 handler-timeout");
    sender.send("b\n");
    server.wait_for_stats("it waits: the handler may hang", |stats| stats["waiting"] == 1);
    handler.send("/done 1\n");
    let mut lines = handler.lines(2);
    lines.sort();
    assert_eq!(lines[0], "ERR 2 not-yours you have no such task any more");
    assert_eq!(task_of(&lines[1]).text, "b");
    handler.send("/done 2\n");
    assert_eq!(sender.line(), "ACK 2 1");
}

#[test]
fn time_begins_anew_with_extend_up_to_the_limit() {
    let (server, mut handler) = server_and_handler(&["--handle-limit", "31"]);
    let mut sender = server.connect();
    sender.send("a\n");
    assert_eq!(task(&mut handler).left_ms, 30_000);
    let answer = handler.ask("/extend 1");
    let left: u64 = answer.strip_prefix("OK 2 ").unwrap().parse().unwrap();
    assert!(left <= 31_000 && left > 1_000, "{answer}");
    assert_eq!(handler.ask("/extend 2"), "ERR 3 not-yours you have no such task any more");
    handler.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 1 1");
}

#[test]
fn lost_handlers_tasks_are_told_at_once() {
    for ends_in_order in [false, true] {
        let (server, mut handler) = server_and_handler(&[]);
        assert_eq!(handler.ask("/handle 0 2"), "OK 2");
        let mut sender = server.connect();
        sender.send("a\nb\n");
        assert_eq!([task(&mut handler).text, task(&mut handler).text], ["a", "b"]);
        let before = Instant::now();
        if ends_in_order {
            handler.end_sending();
            assert_eq!(handler.rest(), [""; 0]);
        } else {
            handler.reset();
        }
        assert_eq!(sender.lines(2), ["NAK 1 handler-lost", "NAK 2 handler-lost"]);
        assert!(before.elapsed() < Duration::from_secs(30), "before their time is over");
        let stats = server.stats();
        assert_eq!((stats["p4-tasks-lost"], stats["handlers"]), (2, 0));
    }
}

#[test]
fn attempts_put_a_lost_task_back_until_the_last_one() {
    let server = Server::start(&["--handle", "0", "--attempts", "3"]);
    let mut sender = server.connect();
    sender.send("poison\ngood\n");
    for attempt in 1..=3 {
        let mut handler = handler(&server, "/handle");
        assert_eq!(task(&mut handler).text, "poison", "attempt {attempt}");
        handler.reset();
        server.wait_for_stats("it is lost", |stats| stats["p4-tasks-lost"] == attempt);
    }
    assert_eq!(sender.line(), "NAK 1 handler-lost");
    let mut handler = handler(&server, "/handle");
    assert_eq!(task(&mut handler).text, "good", "the rest is not stopped");
    handler.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 2 1");
    let stats = server.stats();
    assert_eq!((stats["p4-tasks-put-back"], stats["p4-tasks-lost"], stats["p4-tasks-given"]), (2, 3, 4));
}

/// A server with a message that a handler has lost and another one may have, and the message's sender.
fn server_with_a_lost_task(args: &[&str]) -> (Server, Client) {
    let (server, mut handler) = server_and_handler(&[&["--attempts", "9"], args].concat());
    let mut sender = server.connect();
    sender.send("perhaps done\n");
    assert_eq!(task(&mut handler).number, 1);
    handler.reset();
    server.wait_for_stats("it waits again", |stats| stats["p4-tasks-put-back"] == 1);
    (server, sender)
}

#[test]
fn lost_task_that_another_handler_refuses_is_told_as_lost_without_the_text() {
    let (server, mut sender) = server_with_a_lost_task(&[]);
    let mut handler = handler(&server, "/handle");
    assert_eq!(task(&mut handler).text, "perhaps done");
    assert_eq!(handler.ask("/refuse 1 not me"), "OK 2");
    assert_eq!(sender.line(), "NAK 1 handler-lost");
    assert_eq!(server.stats()["p4-tasks-refused"], 1);
}

#[test]
fn lost_task_that_no_other_handler_takes_is_told_as_lost() {
    let (_server, mut sender) = server_with_a_lost_task(&["--handle-wait", "1"]);
    assert_eq!(sender.line(), "NAK 1 handler-lost");
}

#[test]
fn lost_task_that_waits_in_a_shutdown_is_told_as_lost() {
    let (mut server, mut sender) = server_with_a_lost_task(&[]);
    server.signal("TERM");
    assert_eq!(sender.rest(), ["NAK 1 handler-lost", "BYE shutting-down"]);
    server.wait();
}

#[test]
fn task_that_exceeded_its_time_before_is_told_so() {
    let args = ["--attempts", "9", "--handle-limit", "0.3", "--handle-wait", "1"];
    let (_server, mut handler) = server_and_handler(&args);
    handler.send("perhaps done\n");
    assert_eq!(task(&mut handler).number, 1);
    assert_eq!(handler.line(), "NAK 2 handler-timeout", "it is silent, and there is no other handler");
}

#[test]
fn handler_that_quits_costs_no_attempt() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    sender.send("a\n");
    assert_eq!(task(&mut handler).text, "a");
    handler.send("/quit\n");
    assert_eq!(handler.rest(), ["OK 2", "BYE quit"]);
    let mut next = self::handler(&server, "/handle");
    assert_eq!(task(&mut next).text, "a");
    next.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 1 1");
}

#[test]
fn handler_that_quits_with_its_answer_is_given_nothing_more() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    sender.send("a\nb\nc\nd\n");
    for n in 1..=4 {
        assert_eq!(task(&mut handler).number, 1);
        server.wait_for_stats("the others wait", |stats| stats["waiting"] == 4 - n);
        handler.send("/done 1\n/quit\n");
        assert_eq!(handler.rest(), ["OK 2", "OK 3", "BYE quit"]);
        assert_eq!(sender.line(), format!("ACK {n} {n}"));
        handler = self::handler(&server, "/handle");
    }
    assert_eq!(server.stats()["p4-tasks-put-back"], 0);
}

#[test]
fn handler_that_ends_with_its_answer_is_given_nothing_more() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    sender.send("a\nb\n");
    assert_eq!(task(&mut handler).text, "a");
    server.wait_for_stats("the other one waits", |stats| stats["waiting"] == 1);
    // The server sees the answer and the end at once.
    server.signal("STOP");
    handler.send("/done 1\n");
    handler.end_sending();
    server.signal("CONT");
    assert_eq!(handler.rest(), ["OK 2"]);
    assert_eq!(sender.line(), "ACK 1 1");
    let mut next = self::handler(&server, "/handle");
    assert_eq!(task(&mut next).text, "b");
    next.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 2 2");
}

#[test]
fn answers_of_handlers_do_not_count_for_the_rate_of_lines() {
    let server = Server::start(&["--handle", "0", "--rate", "1"]);
    let mut handler = handler(&server, "/handle");
    let mut senders: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    let before = Instant::now();
    senders.iter_mut().for_each(|sender| sender.send("go\n"));
    for number in 1..=10 {
        assert_eq!(task(&mut handler).number, number);
        handler.send(format!("/done {number}\n"));
        assert_eq!(handler.line(), format!("OK {}", number + 1));
    }
    assert!(senders.iter_mut().all(|sender| sender.line().starts_with("ACK 1 ")));
    assert!(before.elapsed() < Duration::from_secs(8), "as lines they would take 10 s");
    // The other lines count.
    handler.send("/ping\n/ping\n/ping\n");
    handler.lines(3);
    assert!(before.elapsed() >= Duration::from_secs(2));
}

#[test]
fn sender_that_waits_for_a_handler_is_not_idle() {
    let args = ["--handle", "0", "--idle-timeout", "3", "--idle-grace", "off"];
    let server = Server::start(&args);
    let mut handler = handler(&server, "/handle");
    let (mut sender, mut other, mut idle) = (server.connect(), server.connect(), server.connect());
    sender.send("a\n");
    assert_eq!(task(&mut handler).text, "a");
    other.send("b\n");
    other.end_sending();
    assert_eq!(idle.ask("/ping"), "OK 1");
    assert_eq!(idle.rest(), ["ERR 0 idle"], "longer than a client may be idle");
    handler.send("/done 1 one\n");
    assert_eq!([sender.line(), handler.line()], ["ACK 1 1 = one", "OK 2"]);
    assert_eq!(task(&mut handler).text, "b");
    handler.send("/done 2 two\n");
    assert_eq!(other.rest(), ["ACK 1 2 = two"]);
}

#[test]
fn handler_that_joined_and_breaks_off_leaves_a_server_that_rests() {
    let server = Server::start(&["--handle", "5", "--handle-wait", "0.1"]);
    let mut sender = server.connect();
    for _ in 0..50 {
        let mut handler = handler(&server, "/join");
        assert_eq!(handler.ask("/handle"), "OK 2");
        sender.send("/4 x\n".repeat(IN_FLIGHT) + "/5 y\n/4 z\n");
        handler.reset();
        sender.lines(IN_FLIGHT).iter().for_each(|line| assert!(line.starts_with("ACK "), "{line}"));
        sender.lines(2);
    }
    server.wait_for_stats("all places are free", |stats| stats["clients"] == 2);
    let before = server.cpu_time();
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.cpu_time() - before < Duration::from_millis(200), "it spins");
}

#[test]
fn what_a_vanished_sender_sent_is_done_and_its_place_is_free_then() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    assert_eq!(sender.ask("/nick alice"), "OK 1");
    sender.send("a\n");
    let task = task(&mut handler);
    sender.reset();
    assert_eq!(task.from, "alice");
    assert_eq!(handler.ask("/done 1"), "OK 2");
    server.wait_for_stats("it is processed", |stats| stats["processed"] == 1);
    server.wait_for_stats("the place is free", |stats| stats["clients"] <= 2);
}

#[test]
fn handler_that_does_not_read_gets_no_more_than_fits_and_is_closed_as_too_slow() {
    let server = Server::start(&["--handle", "0", "--write-timeout", "1", "--attempts", "2"]);
    let mut slow = server.connect_reading_little();
    slow.send(format!("/handle 0 {HANDLER_TASKS}\n"));
    assert_eq!(slow.line(), "OK 1");
    // It asks, and does not read the answers.
    slow.send("/help\n".repeat(IN_FLIGHT * 20));
    let mut sender = server.connect();
    sender.send("a\n");
    server.wait_for_log("disconnected: too slow");
    let mut handler = handler(&server, "/handle");
    assert_eq!(task(&mut handler).text, "a");
    handler.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 1 1");
}

// ---- Wrong lines and rights ----------------------------------------------------------------------------

#[test]
fn wrong_lines_of_handlers_are_refused_with_what_to_do() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let no_handling = "no-handling start the server with --handle";
    for (n, line) in (1..).zip(["/handle", "/handle off", "/done 1", "/refuse 1", "/later 1", "/extend 1"]) {
        assert_eq!(client.ask(line), format!("ERR {n} {no_handling}"));
    }
    let (_server, mut handler) = server_and_handler(&[]);
    let not_yours = "not-yours you have no such task any more";
    for (n, line) in (2..).zip(["/done 1", "/refuse 0 no", "/later 18446744073709551615", "/extend 7"]) {
        assert_eq!(handler.ask(line), format!("ERR {n} {not_yours}"));
    }
    assert_eq!(handler.ask("/done x"), "ERR 6 bad-argument k is the number of a task");
    assert_eq!(handler.ask("/handle 10"), "ERR 7 bad-argument it takes [MIN] [COUNT], or off");
    assert_eq!(
        handler.ask(&format!("/handle 0 {}", HANDLER_TASKS + 1)),
        format!("ERR 8 bad-argument COUNT is 1 to {HANDLER_TASKS}")
    );
}

#[test]
fn task_of_another_handler_is_not_yours() {
    let (server, mut first) = server_and_handler(&[]);
    let mut sender = server.connect();
    sender.send("a\n");
    assert_eq!(task(&mut first).number, 1);
    let mut second = handler(&server, "/handle");
    assert_eq!(second.ask("/done 1"), "ERR 2 not-yours you have no such task any more");
    first.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 1 1");
}

#[test]
fn number_of_handlers_has_a_bound() {
    let server = Server::start(&["--handle", "0"]);
    let mut handlers: Vec<Client> = (0..HANDLERS).map(|_| handler(&server, "/handle")).collect();
    if let Some(mut other) = (HANDLERS < firstline::limits::CLIENTS).then(|| server.connect()) {
        assert_eq!(other.ask("/handle"), "ERR 1 handlers-full there are as many handlers as may be");
        assert_eq!(handlers[0].ask("/handle off"), "OK 2");
        assert_eq!(other.ask("/handle"), "OK 2");
    }
}

#[test]
fn handler_is_not_closed_for_its_silence() {
    let args = ["--handle", "0", "--idle-timeout", "3", "--idle-grace", "off"];
    let server = Server::start(&args);
    let mut handler = handler(&server, "/handle");
    let mut idle = server.connect();
    assert_eq!(idle.ask("/ping"), "OK 1");
    assert_eq!(idle.rest(), ["ERR 0 idle"]);
    let mut sender = server.connect();
    sender.send("a\n");
    assert_eq!(task(&mut handler).text, "a");
    handler.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 1 1");
}

#[test]
fn right_to_handle_is_in_the_auth_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new("handle-right");
    std::fs::create_dir_all(directory.path()).unwrap();
    let file = format!("{}/tokens", directory.path());
    let tokens = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"];
    let text = format!("alice {} 9 join\nvalve {} 0 no-join handle # turns\n", tokens[0], tokens[1]);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(&["--handle", "0", "--auth-file", &file]);
    let (mut alice, mut valve) = (server.connect(), server.connect());
    assert_eq!(valve.ask("/handle"), "ERR 1 not-authenticated say /auth TOKEN first");
    assert_eq!(alice.ask(&format!("/auth {}", tokens[0])), "OK 1 alice");
    assert_eq!(alice.ask("/handle"), "ERR 2 not-permitted your token is not for handling");
    assert_eq!(valve.ask(&format!("/auth {}", tokens[1])), "OK 2 valve");
    assert_eq!(valve.ask("/handle"), "OK 3");
    alice.send("/urgent shut\n");
    assert_eq!(task(&mut valve).from, "alice");
    // The right is taken away while it has a task.
    std::fs::write(&file, format!("alice {} 9 join\nvalve {} 0 no-join\n", tokens[0], tokens[1])).unwrap();
    server.signal("HUP");
    assert_eq!(valve.rest(), ["ERR 0 token-withdrawn"]);
    assert_eq!(alice.line(), "NAK 3 handler-lost");
}

// ---- Statistics and the shutdown -----------------------------------------------------------------------

#[test]
fn stats_count_what_becomes_of_tasks_by_priority() {
    let (server, mut handler) = server_and_handler(&[]);
    let mut sender = server.connect();
    sender.send("/9 a\n");
    task(&mut handler);
    handler.send("/done 1\n");
    assert_eq!(sender.line(), "ACK 1 1");
    sender.send("b\n");
    let stats = server.stats();
    assert_eq!((stats["handlers"], stats["p9-tasks-given"], stats["p9-tasks-done"]), (1, 1, 1));
    assert_eq!((stats["p9-processed"], stats["p9-admitted"]), (1, 1));
    assert!(stats["task-work-max-us"] > 0);
    assert!(!Server::start(&[]).stats().contains_key("handlers"), "nothing without --handle");
}

#[test]
fn shutdown_refuses_what_waits_and_lets_handlers_finish() {
    let (mut server, mut handler) = server_and_handler(&["--drain-timeout", "3600"]);
    let (mut sender, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.ask("/ping"), "OK 1");
    sender.send("given\nwaits\n");
    assert_eq!(task(&mut handler).text, "given");
    server.wait_for_stats("the other one waits", |stats| stats["waiting"] == 1);
    server.signal("TERM");
    assert_eq!(idle.rest(), ["BYE shutting-down"]);
    assert_eq!(sender.line(), "NAK 2 shutting-down");
    handler.send("/extend 1\n/handle 0 2\nmessage\n/done 1 shut\n");
    assert!(handler.line().starts_with("OK 2 "));
    assert_eq!(
        handler.rest(),
        ["ERR 3 shutting-down try again later", "NAK 4 shutting-down", "OK 5", "BYE shutting-down"]
    );
    assert_eq!(sender.rest(), ["ACK 1 1 = shut", "BYE shutting-down"]);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn shutdown_refuses_what_handlers_still_have_when_the_drain_timeout_is_over() {
    let (mut server, mut handler) = server_and_handler(&["--drain-timeout", "8"]);
    let mut sender = server.connect();
    sender.send("a\n");
    assert_eq!(task(&mut handler).text, "a");
    server.signal("TERM");
    assert_eq!(sender.rest(), ["NAK 1 handler-lost", "BYE shutting-down"], "it may be done");
    assert_eq!(handler.rest(), ["BYE shutting-down"]);
    assert_ne!(server.wait().code(), Some(0), "a message was not processed");
}

#[test]
fn shutdown_puts_nothing_back() {
    let (mut server, mut handler) = server_and_handler(&["--drain-timeout", "3600", "--attempts", "9"]);
    assert_eq!(handler.ask("/handle 0 2"), "OK 2");
    let (mut sender, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.ask("/ping"), "OK 1");
    sender.send("a\nb\n");
    assert_eq!([task(&mut handler).text, task(&mut handler).text], ["a", "b"]);
    server.signal("TERM");
    assert_eq!(idle.rest(), ["BYE shutting-down"]);
    assert_eq!(handler.ask("/later 1 not yet"), "OK 3");
    assert_eq!(sender.line(), "NAK 1 shutting-down");
    handler.reset();
    assert_eq!(sender.rest(), ["NAK 2 handler-lost", "BYE shutting-down"]);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn handler_may_quit_in_a_shutdown_and_leave_its_task() {
    let (mut server, mut handler) = server_and_handler(&["--drain-timeout", "3600"]);
    let (mut sender, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.ask("/ping"), "OK 1");
    sender.send("a\n");
    assert_eq!(task(&mut handler).text, "a");
    server.signal("TERM");
    assert_eq!(idle.rest(), ["BYE shutting-down"]);
    handler.send("/quit\n");
    assert_eq!(handler.rest(), ["OK 2", "BYE quit"]);
    assert_eq!(sender.rest(), ["NAK 1 shutting-down", "BYE shutting-down"]);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn options_without_handle_do_nothing_and_say_so() {
    for option in ["handle-wait", "handle-limit", "attempts"] {
        let mut command = command();
        command.args([&format!("--{option}"), "2"]);
        let output = crate::support::run_to_end(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("--{option}: does nothing without --handle MIN")), "{said}");
    }
}
