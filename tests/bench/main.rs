//! Compares firstline with the servers that a user might choose in its place, and with servers that only echo.
//!
//! `tests/bench/run` installs the others and runs this program. Every round starts every server anew, one after
//! the other, so that other load of the machine affects all of them; the results are medians over the rounds.
//!
//! `tests/bench/run --help` describes the options.

mod bare;
mod data;
mod echo;
mod growth;
mod handled;
mod history;
mod load;
mod protocol;
mod rabbitmq;
mod report;
mod send;
mod server;
mod urgent;

use handled::Handlers;
use history::Readers;
use load::Load;
use report::{Better, Table};
use server::Server;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A measurement: its name, the meaning of its figures, and which servers take part.
struct Work {
    name: &'static str,
    unit: &'static str,
    better: Better,
    takes_part: fn(Server) -> bool,
    measure: fn(Server, Duration) -> f64,
}

const WORKS: &[Work] = &[
    Work {
        name: "32x1",
        unit: "32 clients, 1 in flight: acknowledged/s",
        better: Better::More,
        takes_part: Server::acknowledges,
        measure: |s, d| rate(s, 32, 1, d),
    },
    Work {
        name: "32x32",
        unit: "32 clients, 32 in flight: acknowledged/s",
        better: Better::More,
        takes_part: Server::acknowledges,
        measure: |s, d| rate(s, 32, 32, d),
    },
    Work {
        name: "4x64",
        unit: "4 clients, 64 in flight: acknowledged/s",
        better: Better::More,
        takes_part: Server::acknowledges,
        measure: |s, d| rate(s, 4, 64, d),
    },
    Work {
        name: "1x1",
        unit: "1 client, 1 in flight: acknowledged/s",
        better: Better::More,
        takes_part: Server::acknowledges,
        measure: |s, d| rate(s, 1, 1, d),
    },
    Work {
        name: "urgent",
        unit: "urgent line among 16 x 32 flooding: p99 in µs",
        better: Better::Less,
        takes_part: Server::acknowledges,
        measure: urgent_p99_us,
    },
    Work {
        name: "urgent-idle",
        unit: "urgent line on an idle server: p99 in µs",
        better: Better::Less,
        takes_part: Server::acknowledges,
        measure: idle_p99_us,
    },
    Work {
        name: "fan-16",
        unit: "1 sender, 16 in flight, to 32 joined: deliveries/s",
        better: Better::More,
        takes_part: Server::fans_out,
        measure: |s, d| deliveries(s, 16, d),
    },
    Work {
        name: "fan-1",
        unit: "1 sender, 1 in flight, to 32 joined: deliveries/s",
        better: Better::More,
        takes_part: Server::fans_out,
        measure: |s, d| deliveries(s, 1, d),
    },
    Work {
        name: "cpu",
        unit: "32 x 32: ns of server CPU a message",
        better: Better::Less,
        takes_part: Server::acknowledges,
        measure: cpu_ns,
    },
    Work {
        name: "memory",
        unit: "32 x 32: resident KiB after the load",
        better: Better::Less,
        takes_part: Server::acknowledges,
        measure: resident_kib,
    },
    Work {
        name: "synced-1x1",
        unit: "1 client, 1 in flight: on the disk and acknowledged/s",
        better: Better::More,
        takes_part: Server::syncs,
        measure: |s, d| rate(s, 1, 1, d),
    },
    Work {
        name: "synced-32x1",
        unit: "32 clients, 1 in flight: on the disk and acknowledged/s",
        better: Better::More,
        takes_part: |server| server.syncs() && server != Server::Bare,
        measure: |s, d| rate(s, 32, 1, d),
    },
    Work {
        name: "synced-32x32",
        unit: "32 clients, 32 in flight: on the disk and acknowledged/s",
        better: Better::More,
        takes_part: |server| server.syncs() && server != Server::Bare,
        measure: |s, d| rate(s, 32, 32, d),
    },
    Work {
        name: "synced-urgent",
        unit: "urgent line among 16 x 32 flooding, on the disk: p99 in µs; of the loop: one sync of as many messages",
        better: Better::Less,
        takes_part: Server::syncs,
        measure: urgent_p99_us,
    },
    Work {
        name: "synced-flood",
        unit: "a sync among 16 x 32 flooding: median in µs; of the loop: one of as many messages",
        better: Better::Less,
        takes_part: |server| server.keeps_journal() || server == Server::Bare,
        measure: flooded_sync_us,
    },
    Work {
        name: "history-urgent",
        unit: "urgent line while 60 clients read a full journal: p99 in µs",
        better: Better::Less,
        takes_part: Server::keeps_journal,
        measure: |s, d| history_p99_us(s, 60, d),
    },
    Work {
        name: "history-idle",
        unit: "urgent line on an idle server with a full journal: p99 in µs",
        better: Better::Less,
        takes_part: Server::keeps_journal,
        measure: |s, d| history_p99_us(s, 0, d),
    },
    Work {
        name: "history-flood",
        unit: "16 x 32 flooding while a client reads a full journal: percent slower",
        better: Better::Less,
        takes_part: Server::keeps_journal,
        measure: |s, d| history_cost(s, history::ALL, d),
    },
    Work {
        name: "last-1000-flood",
        unit: "16 x 32 flooding while a client requests /last 1000 again and again: percent slower",
        better: Better::Less,
        takes_part: Server::keeps_journal,
        measure: |s, d| history_cost(s, history::LAST, d),
    },
    Work {
        name: "handled-p50",
        unit: "a handler takes 10 ms, 16 x 32 wait: an urgent line to its answer, median in µs",
        better: Better::Less,
        takes_part: Server::answers,
        measure: |s, d| handled_us(s, d, 500),
    },
    Work {
        name: "handled-p99",
        unit: "a handler takes 10 ms, 16 x 32 wait: an urgent line to its answer, p99 in µs",
        better: Better::Less,
        takes_part: Server::answers,
        measure: |s, d| handled_us(s, d, 990),
    },
    Work {
        name: "handled",
        unit: "16 handlers that do nothing, one message each, 16 x 32 in flight: answered/s",
        better: Better::More,
        takes_part: Server::answers,
        measure: |s, d| answered(s, Handlers { count: 16, each: 1 }, d),
    },
    Work {
        name: "handled-16",
        unit: "4 handlers that do nothing, up to 16 messages each, 16 x 32 in flight: answered/s",
        better: Better::More,
        takes_part: Server::answers,
        measure: |s, d| answered(s, Handlers { count: 4, each: 16 }, d),
    },
    Work {
        name: "1x64",
        unit: "1 client, 64 in flight: acknowledged/s",
        better: Better::More,
        takes_part: Server::is_firstline,
        measure: |s, d| rate(s, 1, 64, d),
    },
    Work {
        name: "send",
        unit: "firstline send, 100,000 lines of a file: acknowledged/s",
        better: Better::More,
        takes_part: Server::is_firstline,
        measure: |server, _| send::per_second(server.start().address, TEXT_BYTES),
    },
    Work {
        name: "start",
        unit: "from start to `listening on`: µs",
        better: Better::Less,
        takes_part: Server::is_firstline,
        measure: |server, _| server.time_to_listen().as_nanos() as f64 / 1e3,
    },
];

const TEXT_BYTES: usize = 64;

fn load(connections: usize, in_flight: u64, duration: Duration) -> Load {
    Load { connections, in_flight, text_bytes: TEXT_BYTES, duration }
}

fn rate(server: Server, connections: usize, in_flight: u64, duration: Duration) -> f64 {
    if server == Server::Bare {
        return bare::syncs_per_second(1, duration);
    }
    let running = server.start();
    load::acknowledge(running.address, server.protocol(), load(connections, in_flight, duration)).per_second()
}

fn deliveries(server: Server, in_flight: u64, duration: Duration) -> f64 {
    let running = server.start();
    load::fan_out(running.address, server.protocol(), load(32, in_flight, duration)).per_second()
}

/// The load of the clients that flood a server while urgent lines come.
fn flood(duration: Duration) -> Load {
    // Longer than the others: there is one urgent line every 2 ms, and the 99th percentile of few values is random.
    load(16, 32, 4 * duration)
}

fn urgent_p99_us(server: Server, duration: Duration) -> f64 {
    if server == Server::Bare {
        return bare_sync_us(flood(duration));
    }
    let running = server.start();
    urgent::under_flood(running.address, server.protocol(), flood(duration)).percentile(990) as f64 / 1e3
}

fn history_p99_us(server: Server, readers: usize, duration: Duration) -> f64 {
    let running = server.start();
    let readers = Readers { count: readers, request: history::ALL };
    history::urgent(running.address, server.protocol(), readers, flood(duration)).percentile(990) as f64 / 1e3
}

fn history_cost(server: Server, request: &'static [u8], duration: Duration) -> f64 {
    let running = server.start();
    let readers = Readers { count: 1, request };
    history::cost_to_flood(running.address, server.protocol(), readers, load(16, 32, duration))
}

fn idle_p99_us(server: Server, duration: Duration) -> f64 {
    let running = server.start();
    urgent::alone(running.address, server.protocol(), flood(duration)).percentile(990) as f64 / 1e3
}

/// Messages that such handlers answer in a second.
fn answered(server: Server, handlers: Handlers, duration: Duration) -> f64 {
    handled::per_second(server.start(), server.protocol(), handlers, load(16, 32, duration))
}

/// A percentile of the times until urgent lines are answered, in tenths of a percent.
fn handled_us(server: Server, duration: Duration, permille: u16) -> f64 {
    // There are ten urgent lines a second.
    let load = load(16, 32, 10 * duration);
    handled::urgent(server.start(), server.protocol(), load).percentile(permille) as f64 / 1e3
}

/// The median time of a sync while the server also serves clients.
fn flooded_sync_us(server: Server, duration: Duration) -> f64 {
    if server == Server::Bare {
        return bare_sync_us(flood(duration));
    }
    let running = server.start();
    urgent::under_flood(running.address, server.protocol(), flood(duration));
    stat(running.address, "journal-sync-p50-us") as f64
}

/// One sync of as many messages as the flood has in flight: the more it writes, the longer it takes.
fn bare_sync_us(flood: Load) -> f64 {
    1e6 / bare::syncs_per_second(flood.connections * flood.in_flight as usize, flood.duration)
}

/// A counter of firstline.
fn stat(address: SocketAddr, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.write_all(b"/stats\n/quit\n").unwrap();
    let mut stats = String::new();
    stream.read_to_string(&mut stats).unwrap();
    let value =
        stats.lines().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not in: {stats}"))
}

fn cpu_ns(server: Server, duration: Duration) -> f64 {
    let running = server.start();
    let before = running.cpu_time();
    let outcome = load::acknowledge(running.address, server.protocol(), load(32, 32, duration));
    (running.cpu_time() - before).as_nanos() as f64 / outcome.replies as f64
}

fn resident_kib(server: Server, duration: Duration) -> f64 {
    let running = server.start();
    load::acknowledge(running.address, server.protocol(), load(32, 32, duration));
    running.resident_kib() as f64
}

/// The settings of a run.
struct Settings {
    rounds: usize,
    duration: Duration,
    only: Option<String>,
    servers: Option<String>,
    growth: bool,
    svg: Option<String>,
}

fn main() {
    let mut settings = Settings {
        rounds: 7,
        duration: Duration::from_millis(700),
        only: None,
        servers: None,
        growth: false,
        svg: None,
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} takes a value"));
        match word.as_str() {
            "echo-threads" => return echo::threads(value().parse().unwrap()),
            "echo-epoll" => return echo::epoll(value().parse().unwrap()),
            "echo-synced" => return echo::synced(value().parse().unwrap(), value().as_ref()),
            "--rounds" => settings.rounds = value().parse().expect("a number"),
            "--seconds" => settings.duration = Duration::from_secs_f64(value().parse().expect("a number")),
            "--only" => settings.only = Some(value()),
            "--growth" => settings.growth = true,
            "--before" => drop(server::BEFORE.set(value().into())),
            "--servers" => settings.servers = Some(value()),
            "--svg" => settings.svg = Some(value()),
            _ => panic!(
                "unknown: {word}; there are --rounds, --seconds, --only, --servers, --before, --growth, --svg"
            ),
        }
    }
    check_names("--only", settings.only.as_deref(), WORKS.iter().map(|work| work.name));
    check_names("--servers", settings.servers.as_deref(), Server::ALL.into_iter().map(Server::key));
    match settings.growth {
        true => grow(&settings),
        false => compare(&settings),
    }
}

/// Ends this if one of the given names is unknown: it would just measure nothing.
fn check_names(option: &str, given: Option<&str>, known: impl Iterator<Item = &'static str>) {
    let known: Vec<_> = known.collect();
    if let Some(name) = given.and_then(|given| given.split(',').find(|name| !known.contains(name))) {
        eprintln!("tests/bench/run: {option} {name}: there are {}", known.join(", "));
        std::process::exit(2);
    }
}

fn grow(settings: &Settings) {
    println!("{}\n", report::machine());
    for server in [Server::FirstlineThreads, Server::FirstlineEpoll] {
        if server.is_wanted(settings.servers.as_deref()) {
            growth::print(server, settings.rounds, settings.duration);
        }
    }
}

fn compare(settings: &Settings) {
    println!("{}\n", report::machine());
    let wanted = |work: &&Work| {
        settings.only.as_ref().is_none_or(|only| only.split(',').any(|name| name == work.name))
    };
    let takes_part = |work: &Work, server: Server| {
        server.is_wanted(settings.servers.as_deref()) && (work.takes_part)(server)
    };
    let mut tables = Vec::new();
    for work in WORKS.iter().filter(wanted) {
        let servers: Vec<Server> =
            Server::ALL.into_iter().filter(|server| takes_part(work, *server)).collect();
        let mut table = Table::new(work.unit, work.better, servers.clone());
        for _ in 0..settings.rounds {
            for (index, server) in servers.iter().enumerate() {
                table.add(index, (work.measure)(*server, settings.duration));
            }
        }
        println!("{table}");
        tables.push(table);
    }
    println!("{}", report::summary(&tables));
    if let Some(path) = &settings.svg {
        std::fs::write(path, report::svg(&tables)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
