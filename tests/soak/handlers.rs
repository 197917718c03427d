//! Clients that process messages: reliable handlers, and all kinds of bad ones. Each function is one life. They
//! take part only if the server has `--handle`.

use crate::kinds::{Kind, Life, closed_unread, kind, pause, quit};
use crate::shared::{Arrival, Shared};
use crate::support::accounts::{Received, Reply, Speaker, Violation};
use crate::support::random::Random;
use firstline::limits::{HANDLER_TASKS, HANDLER_TEXT_BYTES, LINE_BYTES_MAX};
use nix::sys::socket::{setsockopt, sockopt};
use std::thread::sleep;
use std::time::Duration;

/// The server's `--handle-limit`: short, so that many tasks exceed it.
pub const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The server's `--handle-wait`: short, so that messages are also refused when all handlers are busy.
pub const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// All kinds of handlers. Those that do not answer take few tasks, because each such task lasts until its time limit.
pub const HANDLERS: [Kind; 8] = [
    kind("worker", 3, 20, worker),
    kind("fickle", 1, 20, fickle),
    kind("dead", 1, 500, dead),
    kind("late", 1, 500, late),
    kind("liar", 1, 50, liar),
    kind("dying", 1, 200, dying),
    kind("babbler", 1, 50, babbler),
    kind("unread", 1, 500, unread),
];

/// A task, as far as a handler needs it.
struct Task {
    number: String,
    /// The text that the account of the sender made unique: the name and the number of the line.
    key: String,
}

/// Ends this life early if the server is full. The board must have a place for each of these handlers: the reply
/// `ERR handlers-full` counts as a violation.
macro_rules! arrive {
    ($shared:expr, $name:expr, $count:expr) => {
        match arrive($shared, $name, $count)? {
            Some(speaker) => speaker,
            None => return Ok(false),
        }
    };
}

fn arrive(shared: &Shared, name: &str, count: usize) -> Result<Option<Speaker>, Violation> {
    let Arrival::Served(mut speaker) = shared.arrive(name)? else { return Ok(None) };
    speaker.command(&format!("/handle 0 {count}"))?;
    Ok(Some(speaker))
}

/// Waits for the next task.
fn task(speaker: &mut Speaker) -> Result<Task, Violation> {
    loop {
        match speaker.next()? {
            Some(Reply::Other(line)) => {
                if let Some(task) = Task::of(&line) {
                    return Ok(task);
                }
            }
            Some(_) => {}
            None => return Err("a handler was closed, though it reads all the time".to_string()),
        }
    }
}

impl Task {
    fn of(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["TASK", number, _, _, _, name, line, ..] = words[..] else { return None };
        Some(Self { number: number.to_string(), key: format!("{name} {line}") })
    }
}

/// Reports that a task is done. With one attempt, no message may be done twice.
fn done(shared: &Shared, speaker: &mut Speaker, task: &Task) -> Result<(), Violation> {
    shared.ledger.handle(&task.key)?;
    report(speaker, &format!("/done {} {}", task.number, task.key))
}

/// Sends a command about a task, whose time may be over.
fn report(speaker: &mut Speaker, line: &str) -> Result<(), Violation> {
    let line = speaker.account.report(line.as_bytes());
    speaker.send(&line)
}

/// Takes no more tasks, finishes those that it has, and quits.
fn leave(shared: &Shared, mut speaker: Speaker) -> Life {
    speaker.command("/handle off")?;
    for line in speaker.await_replies()? {
        if let Some(task) = Task::of(&line) {
            done(shared, &mut speaker, &task)?;
        }
    }
    speaker.await_replies()?;
    quit(speaker, &mut Received::default())
}

// ---- Handlers that do what they should ----------------------------------------------------------------------

/// Does each task at once, until all senders have gone.
fn worker(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1 + random.below(HANDLER_TASKS));
    while shared.has_senders() {
        let task = task(&mut speaker)?;
        done(shared, &mut speaker, &task)?;
    }
    leave(shared, speaker)
}

/// Uses every kind of answer, each after up to 5 ms.
fn fickle(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1 + random.below(3));
    for _ in 0..200 {
        let task = task(&mut speaker)?;
        pause(random, 5);
        match random.below(6) {
            0 => report(&mut speaker, &format!("/refuse {}", task.number))?,
            1 => report(&mut speaker, &format!("/refuse {} not {}", task.number, task.key))?,
            2 => report(&mut speaker, &format!("/later {} not now", task.number))?,
            3 => {
                report(&mut speaker, &format!("/extend {}", task.number))?;
                done(shared, &mut speaker, &task)?;
            }
            _ => done(shared, &mut speaker, &task)?,
        }
        if shared.is_over() {
            break;
        }
    }
    leave(shared, speaker)
}

// ---- Handlers that do not -----------------------------------------------------------------------------------

/// Never answers. Then it either quits, and the server gives its tasks to another handler, or it closes without
/// `/quit`, and the senders get `handler-lost`.
fn dead(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1 + random.below(2));
    task(&mut speaker)?;
    sleep(TIME_LIMIT.mul_f64(random.below(20) as f64 / 10.0));
    if random.below(2) == 0 {
        speaker.vanish();
        return Ok(true);
    }
    // A task may still come until the server has read /quit.
    speaker.command("/quit")?;
    speaker.finish()?;
    Ok(true)
}

/// Answers when the time is over.
fn late(shared: &Shared, _: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1);
    let task = task(&mut speaker)?;
    sleep(2 * TIME_LIMIT);
    done(shared, &mut speaker, &task)?;
    leave(shared, speaker)
}

/// Answers twice, and for tasks that it does not have.
fn liar(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1);
    for _ in 0..10 {
        let task = task(&mut speaker)?;
        let number = &task.number;
        let account = &mut speaker.account;
        let lines = [
            account.line(format!("/done {}", random.next() | 1 << 63).as_bytes(), "ERR", "not-yours "),
            account.line(b"/done all", "ERR", "bad-argument "),
            account.line(b"/done", "ERR", "bad-argument "),
            account.line(b"/handle 10", "ERR", "bad-argument "),
            account.line(b"/handle 0 0", "ERR", "bad-argument "),
        ];
        speaker.send(&lines.concat())?;
        done(shared, &mut speaker, &task)?;
        let again = ["done", "refuse", "later", "extend"][random.below(4)];
        let again = speaker.account.line(format!("/{again} {number}").as_bytes(), "ERR", "not-yours ");
        speaker.send(&again)?;
    }
    leave(shared, speaker)
}

/// Ends in the middle of a task, or of the answer.
fn dying(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1 + random.below(3));
    let task = task(&mut speaker)?;
    match random.below(4) {
        0 => speaker.reset(),
        1 => speaker.vanish(),
        2 => {
            done(shared, &mut speaker, &task)?;
            speaker.reset();
        }
        _ => {
            let half = format!("/done {} half of the an", task.number);
            speaker.send(half.as_bytes())?;
            speaker.reset();
        }
    }
    Ok(true)
}

/// Answers with any bytes and with texts that are too long, and sends messages between them.
fn babbler(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1);
    for _ in 0..50 {
        let task = task(&mut speaker)?;
        let mut text: Vec<u8> = (0..random.below(HANDLER_TEXT_BYTES)).map(|_| random.next() as u8).collect();
        text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = 0);
        let endless = format!("/done {} {}", task.number, "x".repeat(LINE_BYTES_MAX));
        shared.ledger.handle(&task.key)?;
        let answer = [format!("/done {} {} ", task.number, task.key).as_bytes(), &text].concat();
        let account = &mut speaker.account;
        let lines = [
            // Handlers do not process priority 0. The server could give a message of another priority to this handler,
            // which would then wait for its own answer.
            account.message_with(0, &text[..text.len().min(100)]),
            account.line(endless.as_bytes(), "NAK", "too-long"),
            account.report(&answer),
        ];
        speaker.send(&lines.concat())?;
    }
    leave(shared, speaker)
}

/// Takes tasks, asks for long answers and reads nothing, so that the server closes it.
fn unread(shared: &Shared, _: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name, 1);
    setsockopt(&speaker.stream, sockopt::RcvBuf, &4096).unwrap();
    let questions: Vec<u8> = (0..5_000).flat_map(|_| speaker.account.command("/help")).collect();
    speaker.send(&questions)?;
    closed_unread(shared, speaker, name)
}
