//! The clients: a function for each kind is one life, from the connection to its end. All of them check the
//! server's promises.

use crate::shared::{Arrival, Shared};
use crate::support::accounts::{Received, Reply, Speaker, Violation};
use crate::support::random::Random;
use firstline::limits::{LINE_BYTES_MAX, TEXT_BYTES};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A kind of client.
pub struct Kind {
    pub name: &'static str,
    /// How many live at once.
    pub count: usize,
    /// The pause between two lives.
    pub pause: Duration,
    pub life: fn(&Shared, &mut Random, &str) -> Life,
}

/// The result of a life: true if it came to its end, false if the server was full.
pub type Life = Result<bool, Violation>;

pub const fn kind(
    name: &'static str,
    count: usize,
    pause_ms: u64,
    life: fn(&Shared, &mut Random, &str) -> Life,
) -> Kind {
    Kind { name, count, pause: Duration::from_millis(pause_ms), life }
}

/// All kinds of clients that do not process messages. With the handlers, they leave some places of the default board
/// free, for connections that are still being closed.
pub const KINDS: [Kind; 19] = [
    kind("steady", 3, 20, steady),
    kind("urgent", 2, 20, urgent),
    kind("audience", 1, 20, audience),
    kind("flood", 2, 50, flood),
    kind("slow", 2, 20, slow),
    kind("drip", 2, 20, drip),
    kind("asker", 1, 100, asker),
    kind("quitter", 1, 50, quitter),
    kind("half-closer", 2, 20, half_closer),
    kind("leaver", 2, 20, leaver),
    kind("reset", 2, 20, reset),
    kind("garbage", 2, 20, garbage),
    kind("too-long", 1, 50, too_long),
    kind("stranger", 1, 50, stranger),
    kind("storm", 2, 200, storm),
    kind("crowd", 1, 3_000, crowd),
    kind("behind", 2, 20, behind),
    kind("reader", 2, 200, reader),
    kind("deaf", 1, 500, deaf),
];

pub fn pause(random: &mut Random, ms_max: usize) {
    sleep(Duration::from_millis(random.below(ms_max + 1) as u64));
}

/// A client with a place; otherwise ends this life.
macro_rules! arrive {
    ($shared:expr, $name:expr) => {
        match $shared.arrive($name)? {
            Arrival::Served(speaker) => speaker,
            Arrival::Rejected => return Ok(false),
        }
    };
}

// ---- Well-behaved clients -----------------------------------------------------------------------------------

/// Sends a message now and then, until the end.
fn steady(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    while !shared.is_over() {
        speaker.say_and_await_replies(1 + random.below(4))?;
        pause(random, 40);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Sends an urgent message now and then, until the end, and measures the latency of its ACK.
fn urgent(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    while !shared.is_over() {
        let sent = Instant::now();
        speaker.say(9)?;
        speaker.await_replies()?;
        shared.urgent_took(sent.elapsed());
        pause(random, 20);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Subscribes from now on, and reads all the time: it is sent everything, or told how much is lost.
fn audience(shared: &Shared, _: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    let since = shared.ledger.last_acknowledged();
    speaker.command(&format!("/join 0 since {since}"))?;
    let mut received = Received::since(since);
    while !shared.is_over() {
        match speaker.next()? {
            Some(Reply::Other(line)) => received.take(&line)?,
            Some(_) => {}
            None => return Err(format!("{name}: closed, though it reads all the time")),
        }
    }
    quit(speaker, &mut received)
}

/// Sends /quit, and reads what was on its way.
pub fn quit(mut speaker: Speaker, received: &mut Received) -> Life {
    speaker.command("/quit")?;
    let others = speaker.finish()?;
    let (last, others) = others.split_last().ok_or("the end came without BYE quit")?;
    others.iter().try_for_each(|line| received.take(line))?;
    if last == "BYE quit" { Ok(true) } else { Err(format!("{last:?} came in place of BYE quit")) }
}

/// Sends every command, and wrong ones.
fn asker(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    for _ in 0..10 {
        let account = &mut speaker.account;
        let lines = [
            account.command("/ping"),
            account.command("/who"),
            account.command("/stats"),
            account.command("/help"),
            account.command("/leave"),
            account.blank(),
            account.command(&format!("/nick n{}", random.next() % 1_000_000_000)),
            account.line(b"/nick not a nick", "ERR", "bad-argument "),
            account.line(b"/reboot", "ERR", "unknown-command "),
            account.line(b"/since yesterday", "ERR", "bad-argument "),
            account.line(b"/urgent ", "NAK", "empty"),
        ];
        speaker.send(&lines.concat())?;
        speaker.await_replies()?;
        pause(random, 20);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

fn quitter(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    speaker.say_many(random.below(200))?;
    quit(speaker, &mut Received::default())
}

/// As `nc -N` does: sends everything, closes its sending half, and reads everything; the last line may have no LF.
fn half_closer(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    let mut messages = speaker.account.messages(1 + random.below(200));
    if random.below(2) == 0 {
        messages.pop();
    }
    speaker.send(&messages)?;
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

// ---- Clients that send too much, or read too little ---------------------------------------------------------

/// Sends many more messages at once than may be outstanding.
fn flood(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    for _ in 0..20 {
        speaker.say_and_await_replies(500 + random.below(500))?;
        pause(random, 100);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Sends commands with long answers, and reads a little at a time.
fn slow(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    setsockopt(&speaker.stream, sockopt::RcvBuf, &4096).unwrap();
    let lines: Vec<u8> = (0..20)
        .flat_map(|_| {
            let mut lines = speaker.account.messages(10);
            lines.extend(speaker.account.command("/help"));
            lines
        })
        .collect();
    speaker.send(&lines)?;
    while speaker.account.waiting() > 0 {
        let mut replies = 0;
        while replies < 20 && speaker.account.waiting() > 0 {
            speaker.next()?;
            replies += 1;
        }
        pause(random, 40);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Sends one byte at a time.
fn drip(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    for byte in speaker.account.messages(3) {
        speaker.send(&[byte])?;
        pause(random, 10);
    }
    speaker.await_replies()?;
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Reads nothing, so that the server closes it. Its commands are short and their answers long: it has sent
/// everything, and is not reset while it sends.
fn deaf(shared: &Shared, _: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    setsockopt(&speaker.stream, sockopt::RcvBuf, &4096).unwrap();
    let questions: Vec<u8> = (0..5_000).flat_map(|_| speaker.account.command("/help")).collect();
    speaker.send(&questions)?;
    closed_unread(shared, speaker, name)
}

/// Reads nothing until the server closes the connection, which it must do with the reason.
pub fn closed_unread(shared: &Shared, mut speaker: Speaker, name: &str) -> Life {
    sleep(2 * shared.write_timeout);
    speaker.account.mark_broken();
    // On a very busy machine it may not be closed yet.
    speaker.stream.set_read_timeout(Some(shared.write_timeout)).unwrap();
    let mut received = Vec::new();
    match speaker.stream.read_to_end(&mut received) {
        Ok(_) if received.ends_with(b"ERR 0 too-slow\n") => Ok(true),
        Ok(_) => Err(format!("{name}: read nothing, and was closed without ERR 0 too-slow")),
        Err(_) => Ok(false),
    }
}

/// Reads up to the end or to a reset.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

// ---- Clients that leave -------------------------------------------------------------------------------------

/// Closes in the middle of a line, which then may count or not, or with outstanding messages.
fn leaver(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    speaker.say_and_await_replies(random.below(20))?;
    let mut rest = speaker.account.messages(random.below(20));
    let last = speaker.account.message_with(4, b"with a tail");
    rest.extend(&last[..last.len() - random.below(12)]);
    speaker.send(&rest)?;
    speaker.vanish();
    Ok(true)
}

/// Resets the connection: at any moment, and in the middle of a line, which must not count.
fn reset(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    let mut lines = speaker.account.messages(random.below(100));
    lines.extend(match random.below(3) {
        0 => speaker.account.command("/join"),
        1 => speaker.account.command("/stats"),
        _ => Vec::new(),
    });
    lines.extend(speaker.account.half_a_message());
    speaker.send(&lines)?;
    pause(random, 5);
    speaker.reset();
    Ok(true)
}

/// Connections that send little or nothing.
fn storm(shared: &Shared, random: &mut Random, name: &str) -> Life {
    for number in 0..50 {
        let mut speaker = shared.connect(&format!("{name}-{number}"))?;
        let line = match random.below(4) {
            0 => speaker.account.message(4),
            1 => speaker.account.command("/ping"),
            2 => b"\n".to_vec(),
            _ => Vec::new(),
        };
        // If the server is full, it may have closed the connection.
        let _ = speaker.stream.write_all(&line);
        if random.below(2) == 0 { speaker.reset() } else { speaker.vanish() }
    }
    Ok(true)
}

/// More clients than there are places, all at once.
fn crowd(shared: &Shared, _: &mut Random, name: &str) -> Life {
    let mut there = Vec::new();
    for number in 0..shared.places + 10 {
        if let Arrival::Served(speaker) = shared.arrive(&format!("{name}-{number}"))? {
            there.push(speaker);
        }
    }
    for mut speaker in there {
        speaker.say_and_await_replies(1)?;
        speaker.end_sending();
        speaker.finish()?;
    }
    Ok(true)
}

// ---- Clients that send nonsense -----------------------------------------------------------------------------

/// Sends messages and lines of any bytes.
fn garbage(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    for _ in 0..20 {
        let mut bytes: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        bytes.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = 0);
        let message = speaker.account.message_with(random.below(10) as u8, &bytes);
        // No command consists of two digits and more.
        let nonsense = speaker.account.line(&[b"/00", &bytes[..]].concat(), "ERR", "unknown-command ");
        speaker.send(&[message, nonsense].concat())?;
    }
    speaker.await_replies()?;
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Sends lines that are too long, by a little or by much.
fn too_long(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    for bytes in [TEXT_BYTES + 1, LINE_BYTES_MAX + 1, LINE_BYTES_MAX + random.below(1_000_000)] {
        let lines = [
            speaker.account.line(&vec![b'x'; bytes], "NAK", "too-long"),
            speaker.account.message(random.below(10) as u8),
        ];
        speaker.send(&lines.concat())?;
        speaker.await_replies()?;
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Speaks another protocol: the server may answer or reject it, but the connection must end.
fn stranger(shared: &Shared, random: &mut Random, name: &str) -> Life {
    const OPENINGS: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: board\r\nUser-Agent: a browser\r\n\r\n",
        b"POST /urgent HTTP/1.1\r\nHost: board\r\nContent-Length: 16\r\n\r\n/urgent from web\n",
        b"OPTIONS * HTTP/1.0\r\n\r\n",
        // A TLS ClientHello, Telnet options, an SSH banner, an MQTT CONNECT.
        b"\x16\x03\x01\x00\x2a\x01\x00\x00\x26\x03\x03AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\x00\x02\x13\x01\x01\x00",
        b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
    ];
    let mut speaker = shared.connect(name)?;
    let opening = OPENINGS[random.below(OPENINGS.len())];
    let _ = speaker.stream.write_all(opening);
    speaker.end_sending();
    read_to_end(&mut speaker.stream);
    speaker.vanish();
    Ok(true)
}

// ---- Clients that read messages -----------------------------------------------------------------------------

/// Subscribes, reads nothing for a while, and then catches up.
fn behind(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    let (mut received, since) = if random.below(2) == 0 {
        (Received::default(), String::new())
    } else {
        let id = shared.ledger.last_acknowledged();
        (Received::since(id), format!(" since {id}"))
    };
    speaker.command(&format!("/join 0{since}"))?;
    sleep(shared.write_timeout / 3);
    let until = Instant::now() + shared.write_timeout / 3;
    while Instant::now() < until {
        match speaker.next()? {
            Some(Reply::Other(line)) => received.take(&line)?,
            Some(_) => {}
            None => return Err(format!("{name}: closed, though it read again in time")),
        }
    }
    quit(speaker, &mut received)
}

/// Asks for the history, from some message on.
fn reader(shared: &Shared, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(shared, name);
    let last = shared.ledger.last_acknowledged();
    let since = last.saturating_sub(random.below(5_000) as u64);
    speaker.command(&format!("/since {since}"))?;
    let mut received = Received::since(since);
    for line in speaker.await_replies()? {
        received.take(&line)?;
    }
    let accounted = received.messages + received.lost_total;
    if accounted < last - since {
        return Err(format!(
            "{name}: /since {since} accounts for {accounted} messages, but {last} was the last"
        ));
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}
