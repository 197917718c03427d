//! The soak: clients of every kind at once, for minutes, against the real server with a small journal. Each line must get
//! exactly one answer, and memory, descriptors, threads and the latency of urgent lines must stay as they are.
//!
//! `tests/soak MINUTES [OPTION...]` runs it; the options are further ones for the server. What it saw is left in
//! target/soak: samples.csv, a line a second, and soak.svg.

#[path = "../common/mod.rs"]
mod common;
mod kinds;
mod plot;
mod samples;
mod world;

use common::accounts::{Speaker, Tally, Wrong, journal};
use common::random::Random;
use common::{Client, LIMIT, Server, command, eventually};
use firstline::limits::{CLIENTS, IN_FLIGHT, TEXT_BYTES};
use kinds::{KINDS, Kind};
use samples::{Sample, Samples};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{ChildStdout, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use world::{Arrival, World};

/// The server's `--write-timeout`: short, so that many who do not read come and go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// So many of the last messages are compared with the journal, which has room for more.
const COMPARED: usize = 10_000;

/// How often each kind of client lived to its end, and was turned away.
#[derive(Default)]
struct Lives {
    lived: AtomicU64,
    turned_away: AtomicU64,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(minutes) = args.next().and_then(|minutes| minutes.parse::<f64>().ok()).filter(|it| *it > 0.0)
    else {
        eprintln!("tests/soak: say for how many minutes: tests/soak MINUTES [OPTION OF THE SERVER...]");
        return ExitCode::from(2);
    };
    let options: Vec<String> = args.collect();
    match soak(Duration::from_secs_f64(minutes * 60.0), &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("tests/soak: {wrong}");
            ExitCode::FAILURE
        }
    }
}

fn soak(duration: Duration, options: &[String]) -> Result<(), Wrong> {
    common::allow_many_connections();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("soak");
    let directory = place.join("journal");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&place).unwrap();
    let (server, printed) = start(&directory, options);
    let world = World::new(server.address, CLIENTS, WRITE_TIMEOUT);
    let lives: Vec<Lives> = KINDS.iter().map(|_| Lives::default()).collect();
    let (samples, last) = thread::scope(|scope| {
        let recording = scope.spawn(|| record(printed, &world));
        let samples = run(&world, &server, duration, &lives);
        if samples.is_err() {
            // What is wrong may be that it does not end.
            server.signal("KILL");
        }
        let ended = server.end();
        let last = recording.join().expect("what is printed is read to its end");
        let samples = samples?;
        if ended == Some(0) { Ok((samples, last)) } else { Err(format!("the server ended with {ended:?}")) }
    })?;
    tell(&samples, &lives, &world, &place);
    world.books.close()?;
    samples.check()?;
    lived_all(&lives)?;
    check_journal(&directory, &last)
}

/// The release server, with all that it may keep and print.
fn start(journal: &Path, options: &[String]) -> (Server, ChildStdout) {
    let mut command = command();
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--print",
            "--journal-size",
            "4M",
            "--log-level",
            "warn,hub::startup=info",
        ])
        .args(["--write-timeout", &WRITE_TIMEOUT.as_secs().to_string(), "--journal"])
        .arg(journal)
        .args(options)
        .stdout(Stdio::piped());
    let mut server = Server::start_command(command);
    let printed = server.take_stdout();
    (server, printed)
}

/// Enters all that the server prints into the books; returns the last lines.
fn record(printed: ChildStdout, world: &World) -> VecDeque<String> {
    let mut last = VecDeque::with_capacity(COMPARED);
    for line in BufReader::new(printed).lines() {
        let recorded = line.map_err(|error| format!("what is printed cannot be read: {error}"));
        let recorded = recorded.and_then(|line| world.books.record_line(&line).map(|()| line));
        match recorded {
            Ok(line) => {
                if last.len() == COMPARED {
                    last.pop_front();
                }
                last.push_back(line);
            }
            Err(wrong) => world.is_wrong(wrong),
        }
    }
    last
}

/// The journal must be sound, and have all that was printed last, in the same words.
fn check_journal(directory: &Path, printed: &VecDeque<String>) -> Result<(), Wrong> {
    journal(directory, &["--check"])?;
    let id = printed
        .front()
        .and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok())
        .ok_or("nothing was printed")?;
    let kept = journal(directory, &["--since", &(id - 1).to_string()])?;
    let kept: Vec<&str> =
        kept.lines().map(|line| line.split_once(' ').map_or(line, |(_time, line)| line)).collect();
    match kept.iter().zip(printed).find(|(kept, printed)| kept != printed) {
        Some((kept, printed)) => Err(format!("the journal has {kept:?} where {printed:?} was printed")),
        None if kept.len() == printed.len() => Ok(()),
        None => Err(format!("the journal has {} of the last {} messages", kept.len(), printed.len())),
    }
}

/// Lets all clients live for that long, and samples each second.
fn run(world: &World, server: &Server, duration: Duration, lives: &[Lives]) -> Result<Samples, Wrong> {
    let idle_descriptors = server.descriptors();
    use_everything(server);
    let seed = u64::from(std::process::id());
    println!("{CLIENTS} seats; {} s; seed {seed}", duration.as_secs());
    let are_gone = AtomicBool::new(false);
    let all = thread::scope(|scope| {
        scope.spawn(|| speak_until(&are_gone, world));
        let samples = thread::scope(|clients| {
            for (kind, lives) in KINDS.iter().zip(lives) {
                for number in 0..kind.count {
                    clients.spawn(move || live(kind, number, lives, world, seed));
                }
            }
            let samples = sample(world, server, duration);
            world.end();
            samples
        });
        are_gone.store(true, Ordering::Relaxed);
        samples
    });
    world.verdict()?;
    all_are_gone(server, idle_descriptors)?;
    Ok(Samples { all, idle_descriptors, seats: CLIENTS })
}

/// Uses every seat, the slots of each, and its outbox to the brim, so that all memory that may be used was used once.
fn use_everything(server: &Server) {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    let message = format!("{}\n", "x".repeat(TEXT_BYTES));
    for client in &mut clients {
        client.send(message.repeat(IN_FLIGHT));
        client.lines(IN_FLIGHT);
        client.send("/help\n".repeat(IN_FLIGHT));
        (1..=IN_FLIGHT).for_each(|n| drop(client.lines_until_ok(IN_FLIGHT + n)));
        client.send("/last 100\n/join\n");
        client.lines_until_ok(2 * IN_FLIGHT + 1);
    }
    drop(clients);
    let mut last = None;
    eventually("a seat is free again", || {
        let mut client = server.connect();
        client.send("/ping\n");
        last = (client.try_line().as_deref() == Some("OK 1")).then_some(client);
        last.is_some()
    });
    let mut last = last.expect("it has a seat");
    eventually("all others are gone", || last.stats()["clients"] == 1);
}

/// One life after the other.
fn live(kind: &Kind, number: usize, lives: &Lives, world: &World, seed: u64) {
    let own = kind.name.bytes().fold(number as u64, |mixed, byte| mixed.rotate_left(7) ^ u64::from(byte));
    let mut random = Random(seed ^ own);
    for life in 1.. {
        let name = format!("{}-{number}.{life}", kind.name);
        // One that panics must not leave the others waiting.
        match catch_unwind(AssertUnwindSafe(|| (kind.life)(world, &mut random, &name))) {
            Ok(Ok(true)) => lives.lived.fetch_add(1, Ordering::Relaxed),
            Ok(Ok(false)) => lives.turned_away.fetch_add(1, Ordering::Relaxed),
            Ok(Err(wrong)) => return world.is_wrong(wrong),
            Err(_) => return world.is_wrong(format!("{name} panicked")),
        };
        if world.is_over() {
            return;
        }
        thread::sleep(kind.pause);
    }
}

/// Says something until everybody has gone: those who joined wait for that.
fn speak_until(are_gone: &AtomicBool, world: &World) {
    let mut speaker = None;
    let mut life = 0;
    while !are_gone.load(Ordering::Relaxed) {
        let spoken = match &mut speaker {
            Some(speaker) => Speaker::say_and_settle(speaker, 1),
            None => {
                life += 1;
                world.arrive(&format!("last.{life}")).map(|arrival| match arrival {
                    Arrival::Welcome(welcome) => speaker = Some(welcome),
                    Arrival::TurnedAway => {}
                })
            }
        };
        if let Err(wrong) = spoken {
            return world.is_wrong(wrong);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// A sample each second, until the time is up or something is wrong.
fn sample(world: &World, server: &Server, duration: Duration) -> Vec<Sample> {
    let (start, mut samples) = (Instant::now(), Vec::new());
    for second in 1.. {
        let next = start + Duration::from_secs(second);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if world.is_over() || start.elapsed() > duration {
            break;
        }
        samples.push(Sample::take(second, server, world));
    }
    samples
}

/// Waits until the server has as many descriptors as when nobody was there.
fn all_are_gone(server: &Server, idle_descriptors: usize) -> Result<(), Wrong> {
    let deadline = Instant::now() + LIMIT;
    while server.descriptors() != idle_descriptors {
        if Instant::now() > deadline {
            let count = server.descriptors();
            return Err(format!(
                "{count} descriptors are open when all have gone; it began with {idle_descriptors}"
            ));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Every kind of client must have been there.
fn lived_all(lives: &[Lives]) -> Result<(), Wrong> {
    let never = |lives: &Lives| lives.lived.load(Ordering::Relaxed) == 0;
    match KINDS.iter().zip(lives).find(|(_, lives)| never(lives)) {
        Some((kind, _)) => Err(format!("no {} lived to its end: nothing is shown of that kind", kind.name)),
        None => Ok(()),
    }
}

/// Prints the summary, and leaves the samples and the plot.
fn tell(samples: &Samples, lives: &[Lives], world: &World, place: &Path) {
    println!("\n{}", samples.summary());
    let counts: Vec<String> = KINDS.iter().zip(lives).map(|(kind, lives)| lives.tell(kind.name)).collect();
    println!("lives to the end (and turned away, as the server was full): {}", counts.join(", "));
    let Tally { whole, unheard, foreign } = world.books.tally();
    println!(
        "{whole} messages acknowledged and printed once, {unheard} of those who died before their ACK, {foreign} of strangers"
    );
    let seconds = samples.all.len() as u64;
    for (name, text) in [("samples.csv", samples.csv()), ("soak.svg", plot::svg(&samples.panels(), seconds))]
    {
        std::fs::write(place.join(name), text).expect("target/soak can be written to");
        println!("{}", place.join(name).display());
    }
}

impl Lives {
    fn tell(&self, name: &str) -> String {
        let [lived, turned_away] =
            [&self.lived, &self.turned_away].map(|count| count.load(Ordering::Relaxed));
        format!("{name} {lived} ({turned_away})")
    }
}
