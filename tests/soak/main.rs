//! The soak: clients of every kind at once, for minutes, against the real server with a small journal. Each line must
//! get exactly one reply, and memory, descriptors, threads and the latency of urgent lines must not grow.
//!
//! `tests/soak/run MINUTES [OPTION...]` runs it; the options are further ones for the server. With `--handle MIN`, there
//! are also handlers of every kind. The results are in target/soak: samples.csv, with a line for each second, and
//! soak.svg.

mod handlers;
mod kinds;
mod plot;
mod samples;
mod shared;
#[path = "../support/mod.rs"]
mod support;

use firstline::limits::{CLIENTS, IN_FLIGHT, TEXT_BYTES};
use handlers::{HANDLERS, TIME_LIMIT, WAIT_LIMIT};
use kinds::{KINDS, Kind};
use samples::{Sample, Samples};
use shared::{Arrival, Shared};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{ChildStdout, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::accounts::{Speaker, Tally, Violation, journal};
use support::random::Random;
use support::{Client, LIMIT, Server, command, eventually};

/// The server's `--write-timeout`: short, so that many slow readers are closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// How many of the last messages are compared with the journal, which has room for more.
const COMPARED: usize = 10_000;

/// A kind of client, how many of them lived to the end, and how many were rejected.
struct Lives {
    kind: &'static Kind,
    lived: AtomicU64,
    rejected: AtomicU64,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(minutes) = args.next().and_then(|minutes| minutes.parse::<f64>().ok()).filter(|it| *it > 0.0)
    else {
        eprintln!(
            "tests/soak/run: say for how many minutes: tests/soak/run MINUTES [OPTION OF THE SERVER...]"
        );
        return ExitCode::from(2);
    };
    let options: Vec<String> = args.collect();
    match soak(Duration::from_secs_f64(minutes * 60.0), &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("tests/soak/run: {violation}");
            ExitCode::FAILURE
        }
    }
}

fn soak(duration: Duration, options: &[String]) -> Result<(), Violation> {
    support::allow_many_connections();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("soak");
    let directory = place.join("journal");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&place).unwrap();
    let handled_from = handled_from(options)?;
    let (server, printed) = start(&directory, options, handled_from.is_some());
    let shared = Shared::new(server.address, CLIENTS, WRITE_TIMEOUT, handled_from);
    let handlers = handled_from.map(|_| HANDLERS.iter()).into_iter().flatten();
    let lives: Vec<Lives> = KINDS.iter().chain(handlers).map(Lives::new).collect();
    let (samples, last) = thread::scope(|scope| {
        let recording = scope.spawn(|| record(printed, &shared));
        let samples = run(&shared, &server, duration, &lives);
        if samples.is_err() {
            // The fault may be that the server does not end.
            server.signal("KILL");
        }
        let ended = server.end();
        let last = recording.join().expect("the output is read to its end");
        let samples = samples?;
        if ended == Some(0) { Ok((samples, last)) } else { Err(format!("the server ended with {ended:?}")) }
    })?;
    summarize(&samples, &lives, &shared, &place);
    shared.ledger.close()?;
    samples.check()?;
    lived_all(&lives)?;
    check_journal(&directory, &last)
}

/// The MIN of `--handle MIN`, if the options have it.
fn handled_from(options: &[String]) -> Result<Option<u8>, Violation> {
    let Some(at) = options.iter().position(|option| option == "--handle") else { return Ok(None) };
    // Some messages must need no handler: those of `use_everything`, which runs before there are any. They have
    // priority 0.
    match options.get(at + 1).and_then(|min| min.parse().ok()) {
        Some(min @ 1..=9) => Ok(Some(min)),
        _ => Err("say --handle 1 to --handle 9: messages of priority 0 are never handled here".to_string()),
    }
}

/// The release server, which prints and keeps every message.
fn start(journal: &Path, options: &[String], has_handlers: bool) -> (Server, ChildStdout) {
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
    if has_handlers {
        let [limit, wait] = [TIME_LIMIT, WAIT_LIMIT].map(|time| time.as_secs().to_string());
        command.args(["--handle-limit", &limit, "--handle-wait", &wait]);
    }
    let mut server = Server::start_command(command);
    let printed = server.take_stdout();
    (server, printed)
}

/// Records everything that the server prints in the ledger; returns the last lines.
fn record(printed: ChildStdout, shared: &Shared) -> VecDeque<String> {
    let mut last = VecDeque::with_capacity(COMPARED);
    for line in BufReader::new(printed).lines() {
        let recorded = line.map_err(|error| format!("the output cannot be read: {error}"));
        let recorded = recorded.and_then(|line| shared.ledger.record_line(&line).map(|()| line));
        match recorded {
            Ok(line) => {
                if last.len() == COMPARED {
                    last.pop_front();
                }
                last.push_back(line);
            }
            Err(violation) => shared.report(violation),
        }
    }
    last
}

/// The journal must be sound, and must contain the last printed messages in the same words.
fn check_journal(directory: &Path, printed: &VecDeque<String>) -> Result<(), Violation> {
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

/// Runs all clients for that long, and takes a sample each second.
fn run(shared: &Shared, server: &Server, duration: Duration, lives: &[Lives]) -> Result<Samples, Violation> {
    let idle_descriptors = server.descriptors();
    use_everything(server);
    let seed = u64::from(std::process::id());
    println!("{CLIENTS} places; {} s; seed {seed}", duration.as_secs());
    let are_gone = AtomicBool::new(false);
    let all = thread::scope(|scope| {
        scope.spawn(|| speak_until(&are_gone, shared));
        let samples = thread::scope(|clients| {
            // All are counted before the first one can end.
            shared.add_senders(KINDS.iter().map(|kind| kind.count).sum());
            for lives in lives {
                for number in 0..lives.kind.count {
                    clients.spawn(move || live(number, lives, shared, seed));
                }
            }
            let samples = sample(shared, server, duration);
            shared.end();
            samples
        });
        are_gone.store(true, Ordering::Relaxed);
        samples
    });
    shared.verdict()?;
    all_are_gone(server, idle_descriptors)?;
    Ok(Samples { all, idle_descriptors, places: CLIENTS, has_handlers: lives.len() > KINDS.len() })
}

/// Uses every place, all slots of each, and each outbox up to its capacity, so that the server has touched all
/// memory that it may use.
fn use_everything(server: &Server) {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    // No handler is there yet, and priority 0 needs none.
    let message = format!("/0 {}\n", "x".repeat(TEXT_BYTES));
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
    eventually("a place is free again", || {
        let mut client = server.connect();
        client.send("/ping\n");
        last = (client.try_line().as_deref() == Some("OK 1")).then_some(client);
        last.is_some()
    });
    let mut last = last.expect("the client has a place");
    eventually("all others are closed", || last.stats()["clients"] == 1);
}

/// Runs one life after the other, until the soak is over.
fn live(number: usize, lives: &Lives, shared: &Shared, seed: u64) {
    if let Err(violation) = live_on(number, lives, shared, seed) {
        shared.report(violation);
    }
    if KINDS.iter().any(|kind| kind.name == lives.kind.name) {
        shared.sender_has_gone();
    }
}

fn live_on(number: usize, lives: &Lives, shared: &Shared, seed: u64) -> Result<(), Violation> {
    let kind = lives.kind;
    let own = kind.name.bytes().fold(number as u64, |mixed, byte| mixed.rotate_left(7) ^ u64::from(byte));
    let mut random = Random(seed ^ own);
    for life in 1.. {
        let name = format!("{}-{number}.{life}", kind.name);
        // If a client panics, the others must not wait for ever.
        let ended = catch_unwind(AssertUnwindSafe(|| (kind.life)(shared, &mut random, &name)));
        let has_lived = ended.map_err(|_| format!("{name} panicked"))??;
        let count = if has_lived { &lives.lived } else { &lives.rejected };
        count.fetch_add(1, Ordering::Relaxed);
        if shared.is_over() {
            break;
        }
        thread::sleep(kind.pause);
    }
    Ok(())
}

/// Sends messages of all priorities until all clients have gone, because subscribers and handlers end only after a
/// further message.
fn speak_until(are_gone: &AtomicBool, shared: &Shared) {
    let mut speaker = None;
    let mut life = 0;
    while !are_gone.load(Ordering::Relaxed) {
        let spoken = match &mut speaker {
            Some(speaker) => Speaker::say_and_await_replies(speaker, 10),
            None => {
                life += 1;
                shared.arrive(&format!("last.{life}")).map(|arrival| match arrival {
                    Arrival::Served(served) => speaker = Some(served),
                    Arrival::Rejected => {}
                })
            }
        };
        if let Err(violation) = spoken {
            return shared.report(violation);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Takes a sample each second, until the time is up or something is wrong.
fn sample(shared: &Shared, server: &Server, duration: Duration) -> Vec<Sample> {
    let (start, mut samples) = (Instant::now(), Vec::new());
    for second in 1.. {
        let next = start + Duration::from_secs(second);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if shared.is_over() || start.elapsed() > duration {
            break;
        }
        samples.push(Sample::take(second, server, shared));
    }
    samples
}

/// Waits until the server has as many descriptors as without clients.
fn all_are_gone(server: &Server, idle_descriptors: usize) -> Result<(), Violation> {
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

/// Every kind of client must have lived to its end at least once.
fn lived_all(lives: &[Lives]) -> Result<(), Violation> {
    match lives.iter().find(|lives| lives.lived.load(Ordering::Relaxed) == 0) {
        Some(lives) => Err(format!("no {} lived to its end, so that kind is not tested", lives.kind.name)),
        None => Ok(()),
    }
}

/// Prints the summary, and writes the samples and the plot.
fn summarize(samples: &Samples, lives: &[Lives], shared: &Shared, place: &Path) {
    println!("\n{}", samples.summary());
    let counts: Vec<String> = lives.iter().map(Lives::summarize).collect();
    println!("lives to the end (and turned away, because the server was full): {}", counts.join(", "));
    let Tally { matched, unacknowledged, without_account, handled } = shared.ledger.tally();
    println!(
        "{matched} messages acknowledged and printed once, {unacknowledged} printed whose client died before its ACK, \
         {without_account} of clients without an account; {handled} done by handlers"
    );
    let seconds = samples.all.len() as u64;
    for (name, text) in [("samples.csv", samples.csv()), ("soak.svg", plot::svg(&samples.panels(), seconds))]
    {
        std::fs::write(place.join(name), text).expect("target/soak can be written to");
        println!("{}", place.join(name).display());
    }
}

impl Lives {
    fn new(kind: &'static Kind) -> Self {
        Self { kind, lived: AtomicU64::new(0), rejected: AtomicU64::new(0) }
    }

    fn summarize(&self) -> String {
        let [lived, rejected] = [&self.lived, &self.rejected].map(|count| count.load(Ordering::Relaxed));
        format!("{} {lived} ({rejected})", self.kind.name)
    }
}
