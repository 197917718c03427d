//! The clients, a function each for one life: from its connection to its end. All of them hold the server to the promises.

use crate::common::accounts::{Heard, Reply, Speaker, Wrong};
use crate::common::random::Random;
use crate::world::{Arrival, World};
use firstline::limits::{LINE_BYTES_MAX, TEXT_BYTES};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A kind of client.
pub struct Kind {
    pub name: &'static str,
    /// So many live at once.
    pub count: usize,
    /// Between two lives.
    pub pause: Duration,
    pub life: fn(&World, &mut Random, &str) -> Life,
}

/// What came of a life: lived to its end, or turned away because the server was full.
pub type Life = Result<bool, Wrong>;

const fn kind(
    name: &'static str,
    count: usize,
    pause_ms: u64,
    life: fn(&World, &mut Random, &str) -> Life,
) -> Kind {
    Kind { name, count, pause: Duration::from_millis(pause_ms), life }
}

/// All kinds. Together they leave some seats of the default board free, for what is still on its way out.
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

fn pause(random: &mut Random, ms_max: usize) {
    sleep(Duration::from_millis(random.below(ms_max + 1) as u64));
}

/// One that is welcome, or the end of this life.
macro_rules! arrive {
    ($world:expr, $name:expr) => {
        match $world.arrive($name)? {
            Arrival::Welcome(speaker) => speaker,
            Arrival::TurnedAway => return Ok(false),
        }
    };
}

// ---- Those who behave -----------------------------------------------------------------------------------------

/// A message now and then, until the end.
fn steady(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    while !world.is_over() {
        speaker.say_and_settle(1 + random.below(4))?;
        pause(random, 40);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// An urgent message now and then, until the end: the latency is that of its ACK.
fn urgent(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    while !world.is_over() {
        let sent = Instant::now();
        speaker.say(9)?;
        speaker.settle()?;
        world.urgent_took(sent.elapsed());
        pause(random, 20);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Joined from now on, reading all the time: it is told everything or how much was lost.
fn audience(world: &World, _: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    let since = world.books.last_acknowledged();
    speaker.command(&format!("/join 0 since {since}"))?;
    let mut heard = Heard::since(since);
    while !world.is_over() {
        match speaker.next()? {
            Some(Reply::Other(line)) => heard.take(&line)?,
            Some(_) => {}
            None => return Err(format!("{name}: closed, though it read all the time")),
        }
    }
    quit(speaker, &mut heard)
}

/// Says goodbye, and hears out what was on its way.
fn quit(mut speaker: Speaker, heard: &mut Heard) -> Life {
    speaker.command("/quit")?;
    let others = speaker.finish()?;
    let (last, others) = others.split_last().ok_or("the end came without BYE quit")?;
    others.iter().try_for_each(|line| heard.take(line))?;
    if last == "BYE quit" { Ok(true) } else { Err(format!("{last:?} came where BYE quit was to come")) }
}

/// Everything that can be asked, and what nobody can be told.
fn asker(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
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
        speaker.settle()?;
        pause(random, 20);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

fn quitter(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    speaker.say_many(random.below(200))?;
    quit(speaker, &mut Heard::default())
}

/// As `nc -N` does: all is said, its side is ended, and all is read; the last line may have no LF.
fn half_closer(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    let mut messages = speaker.account.messages(1 + random.below(200));
    if random.below(2) == 0 {
        messages.pop();
    }
    speaker.send(&messages)?;
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

// ---- Those who do too much, or too little ---------------------------------------------------------------------

/// Many more messages at once than may be in flight.
fn flood(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    for _ in 0..20 {
        speaker.say_and_settle(500 + random.below(500))?;
        pause(random, 100);
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Asks for much, and reads a little at a time.
fn slow(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
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

/// A byte at a time.
fn drip(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    for byte in speaker.account.messages(3) {
        speaker.send(&[byte])?;
        pause(random, 10);
    }
    speaker.settle()?;
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Reads nothing, so that the server closes it. It asks for much with few bytes, so that it has sent all it wants to, and
/// is not reset while it sends.
fn deaf(world: &World, _: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    setsockopt(&speaker.stream, sockopt::RcvBuf, &4096).unwrap();
    let questions: Vec<u8> = (0..5_000).flat_map(|_| speaker.account.command("/help")).collect();
    speaker.send(&questions)?;
    sleep(2 * world.write_timeout);
    speaker.account.tear();
    // On a machine that is very busy it may not have been closed yet.
    speaker.stream.set_read_timeout(Some(world.write_timeout)).unwrap();
    let mut told = Vec::new();
    match speaker.stream.read_to_end(&mut told) {
        Ok(_) if told.ends_with(b"ERR 0 too-slow\n") => Ok(true),
        Ok(_) => Err(format!("{name}: it read nothing, and was closed without ERR 0 too-slow")),
        Err(_) => Ok(false),
    }
}

/// What is there up to the end or to a reset.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

// ---- Those who go away ----------------------------------------------------------------------------------------

/// Goes in the middle of a line, which then counts or not, or with messages on their way.
fn leaver(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    speaker.say_and_settle(random.below(20))?;
    let mut rest = speaker.account.messages(random.below(20));
    let last = speaker.account.message_with(4, b"with a tail");
    rest.extend(&last[..last.len() - random.below(12)]);
    speaker.send(&rest)?;
    speaker.vanish();
    Ok(true)
}

/// Breaks off so that the server gets a reset: at any moment, and in the middle of a line, which must not count.
fn reset(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
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

/// Connections that say little or nothing.
fn storm(world: &World, random: &mut Random, name: &str) -> Life {
    for number in 0..50 {
        let mut speaker = world.connect(&format!("{name}-{number}"))?;
        let line = match random.below(4) {
            0 => speaker.account.message(4),
            1 => speaker.account.command("/ping"),
            2 => b"\n".to_vec(),
            _ => Vec::new(),
        };
        // The server may be full, and closed it before.
        let _ = speaker.stream.write_all(&line);
        if random.below(2) == 0 { speaker.reset() } else { speaker.vanish() }
    }
    Ok(true)
}

/// More than there are seats, all at once.
fn crowd(world: &World, _: &mut Random, name: &str) -> Life {
    let mut there = Vec::new();
    for number in 0..world.seats + 10 {
        if let Arrival::Welcome(speaker) = world.arrive(&format!("{name}-{number}"))? {
            there.push(speaker);
        }
    }
    for mut speaker in there {
        speaker.say_and_settle(1)?;
        speaker.end_sending();
        speaker.finish()?;
    }
    Ok(true)
}

// ---- Those who talk nonsense ----------------------------------------------------------------------------------

/// Messages and lines of any bytes.
fn garbage(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    for _ in 0..20 {
        let mut bytes: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        bytes.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = 0);
        let message = speaker.account.message_with(random.below(10) as u8, &bytes);
        // No word of the server begins with a digit and goes on with more.
        let nonsense = speaker.account.line(&[b"/00", &bytes[..]].concat(), "ERR", "unknown-command ");
        speaker.send(&[message, nonsense].concat())?;
    }
    speaker.settle()?;
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Lines that are too long, by a little or by far.
fn too_long(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    for bytes in [TEXT_BYTES + 1, LINE_BYTES_MAX + 1, LINE_BYTES_MAX + random.below(1_000_000)] {
        let lines = [
            speaker.account.line(&vec![b'x'; bytes], "NAK", "too-long"),
            speaker.account.message(random.below(10) as u8),
        ];
        speaker.send(&lines.concat())?;
        speaker.settle()?;
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}

/// Speaks another protocol: it may be answered or turned away, but it must come to an end.
fn stranger(world: &World, random: &mut Random, name: &str) -> Life {
    const OPENINGS: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: board\r\nUser-Agent: a browser\r\n\r\n",
        b"POST /urgent HTTP/1.1\r\nHost: board\r\nContent-Length: 16\r\n\r\n/urgent from web\n",
        b"OPTIONS * HTTP/1.0\r\n\r\n",
        // A TLS ClientHello, how telnet begins, an SSH banner, an MQTT CONNECT.
        b"\x16\x03\x01\x00\x2a\x01\x00\x00\x26\x03\x03AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\x00\x02\x13\x01\x01\x00",
        b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
    ];
    let mut speaker = world.connect(name)?;
    let opening = OPENINGS[random.below(OPENINGS.len())];
    let _ = speaker.stream.write_all(opening);
    speaker.end_sending();
    read_to_end(&mut speaker.stream);
    speaker.vanish();
    Ok(true)
}

// ---- Those who read what others say ---------------------------------------------------------------------------

/// Joins, reads nothing for a while, and then catches up.
fn behind(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    let (mut heard, since) = if random.below(2) == 0 {
        (Heard::default(), String::new())
    } else {
        let id = world.books.last_acknowledged();
        (Heard::since(id), format!(" since {id}"))
    };
    speaker.command(&format!("/join 0{since}"))?;
    sleep(world.write_timeout / 3);
    let until = Instant::now() + world.write_timeout / 3;
    while Instant::now() < until {
        match speaker.next()? {
            Some(Reply::Other(line)) => heard.take(&line)?,
            Some(_) => {}
            None => return Err(format!("{name}: closed, though it went on reading in time")),
        }
    }
    quit(speaker, &mut heard)
}

/// Asks for what was said, from some message on.
fn reader(world: &World, random: &mut Random, name: &str) -> Life {
    let mut speaker = arrive!(world, name);
    let last = world.books.last_acknowledged();
    let since = last.saturating_sub(random.below(5_000) as u64);
    speaker.command(&format!("/since {since}"))?;
    let mut heard = Heard::since(since);
    for line in speaker.settle()? {
        heard.take(&line)?;
    }
    let told = heard.messages + heard.lost_in_all;
    if told < last - since {
        return Err(format!("{name}: /since {since} told {told} messages, but {last} was the last"));
    }
    speaker.end_sending();
    speaker.finish()?;
    Ok(true)
}
