//! Memory is fixed: `--sizes` agrees with the binary and its stacks, and after "ready" the server maps nothing,
//! whatever clients do.

#[path = "../support/mod.rs"]
mod support;

use firstline::limits::{CLIENTS, IN_FLIGHT, LINE_BYTES_MAX, WORKERS};
use std::collections::BTreeMap;
use std::path::Path;
use support::traced::under_strace;
use support::{
    Client, Kind, Server, allow_many_connections, command, is_emulated, mappings, run_to_end, signal,
};

/// The totals of `--sizes`, by their names.
fn sizes() -> BTreeMap<String, usize> {
    let mut command = command();
    command.arg("--sizes");
    let output = run_to_end(command);
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    let rows = table.lines().skip(1).map(|line| {
        let (name, rest) = line.split_at(32);
        let bytes = rest.split_whitespace().next_back().unwrap();
        (name.trim().to_string(), bytes.parse().unwrap())
    });
    rows.collect()
}

/// Whether the two are equal within a few percent.
fn are_close(told: usize, real: usize) -> bool {
    told.abs_diff(real) * 100 <= real * 3
}

/// The bytes of `.data` and `.bss`, read from the section headers of a 32- or 64-bit little-endian ELF file
/// (System V ABI, "Sections").
fn static_bytes(elf: &[u8]) -> usize {
    assert_eq!(elf[..4], *b"\x7fELF");
    let wide = elf[4] == 2;
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let word = |at: usize| number(at, if wide { 8 } else { 4 });
    let (headers, each, count, names_index) = match wide {
        true => (word(40), number(58, 2), number(60, 2), number(62, 2)),
        false => (word(32), number(46, 2), number(48, 2), number(50, 2)),
    };
    let (offset_at, size_at) = if wide { (24, 32) } else { (16, 20) };
    let names = word(headers + names_index * each + offset_at);
    let sections = (0..count).map(|index| headers + index * each).map(|header| {
        let name = elf[names + number(header, 4)..].split(|byte| *byte == 0).next().unwrap();
        (name, word(header + size_at))
    });
    sections.filter(|(name, _)| matches!(*name, b".data" | b".bss")).map(|(_, size)| size).sum()
}

#[test]
fn static_total_equals_that_of_the_binary() {
    let command = command();
    let binary = command.get_args().last().unwrap_or(command.get_program());
    let real = static_bytes(&std::fs::read(Path::new(binary)).unwrap());
    let reported = sizes()["static total"];
    assert!(are_close(reported, real), "--sizes says {reported}, but it is {real}");
}

#[test]
fn stack_total_equals_what_the_threads_map() {
    if is_emulated() {
        return println!("the stacks of an emulator are not the server's: nothing to compare");
    }
    // With a journal, so that the threads of the consumer and the replay exist, too.
    let journal = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{}", std::process::id()));
    let workers = WORKERS.to_string();
    let place = journal.to_str().expect("the build has a plain name");
    let server = Server::start(&["--journal", place, "--journal-size", "1M", "--workers", &workers]);
    // The main thread's stack grows as it is used, and the system sets its size.
    let threads = server.status("Threads") as usize - 1;
    let mappings = mappings(server.pid());
    let stacks: Vec<usize> = mappings.iter().filter(|m| m.kind == Kind::Stack).map(|m| m.bytes).collect();
    let real = stacks.iter().sum::<usize>() - main_stack_bytes(server.pid());
    let reported = sizes()["stack total"];
    drop(server);
    std::fs::remove_dir_all(journal).unwrap();
    assert_eq!(stacks.len() - 1, threads);
    assert!(
        reported.abs_diff(real) * 100 <= real * 15,
        "--sizes says {reported}, but {real} bytes are mapped"
    );
}

fn main_stack_bytes(pid: u32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let line = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
    let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
    let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).unwrap());
    end - start
}

/// Some of everything that clients do: they connect, subscribe, fill their slots, send commands and lines that
/// are too long, and reset.
fn load(server: &Server) {
    let mut joined = server.connect();
    assert_eq!(joined.ask("/join"), "OK 1");
    for round in 0..3 {
        let mut clients: Vec<Client> = (0..(CLIENTS - 2).min(20)).map(|_| server.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("/nick n{round}-{number}\n"));
            client.send("/urgent \u{1b}[31m smoke\n".repeat(2 * IN_FLIGHT));
            client.send("x".repeat(LINE_BYTES_MAX + 1) + "\n/who\n/nonsense\n");
        }
        for client in &mut clients {
            // Each line has one closing reply, in any order, with WHO lines between them.
            let mut open = 2 * IN_FLIGHT + "nick, too long, who, nonsense".split(", ").count();
            while open > 0 {
                open -= usize::from(!client.line().starts_with("WHO "));
            }
            client.stats();
        }
        clients.into_iter().for_each(Client::reset);
        // Places become free a little later; the next clients must not find the server full.
        server.wait_for_stats("all others have left", |stats| stats["clients"] == 2);
    }
    for _ in 0..3 * 2 * IN_FLIGHT {
        let line = joined.line();
        assert!(line.starts_with("MSG ") || line.starts_with("LOST "), "{line}");
    }
}

#[test]
fn threads_share_one_malloc_arena() {
    if is_emulated() {
        return println!("an emulator maps as it translates: nothing to compare");
    }
    // Each further arena would reserve 64 MiB of addresses.
    let server = Server::start(&["--workers", &WORKERS.to_string()]);
    let mapped_kb = server.status("VmSize");
    let static_kb = (sizes()["total"] / 1024) as u64;
    assert!(mapped_kb < static_kb + 48 * 1024, "{mapped_kb} KiB, of which {static_kb} are static");
}

#[test]
fn under_load_nothing_more_is_mapped() {
    if is_emulated() {
        return println!("an emulator maps as it translates: nothing to compare");
    }
    allow_many_connections();
    let server = Server::start(&[]);
    // The main thread's stack is mapped as it grows, up to the system's limit; the other stacks are mapped completely.
    let mapped_kb = || server.status("VmSize") - main_stack_bytes(server.pid()) as u64 / 1024;
    let before = mapped_kb();
    load(&server);
    assert_eq!(mapped_kb(), before);
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn no_system_call_maps_memory_or_creates_a_thread_after_ready() {
    if is_emulated() {
        return println!("an emulator's calls are not the server's: nothing to trace");
    }
    let trace = std::env::temp_dir().join(format!("firstline-strace-{}", std::process::id()));
    let calls = "trace=mmap,munmap,mremap,brk,mprotect,clone,clone3,vfork,write,rt_sigprocmask,exit_group";
    let file = trace.to_str().expect("a plain name");
    let mut traced = under_strace(&["-f", "-s", "65536", "-o", file, "-e", calls], &command());
    traced.args(["--listen", "127.0.0.1:0", "--per-address", "off"]);
    let mut server = Server::start_command(traced);
    load(&server);
    // The tracer forwards no signal, so the test signals its child, the server.
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let child = std::fs::read_to_string(children).unwrap();
    signal(child.trim().parse().unwrap(), "TERM");
    assert_eq!(server.wait().code(), Some(0));
    let calls = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(&trace).unwrap();
    assert_maps_nothing(&calls);
}

/// Checks the calls between the log lines "listening" and "shutting down".
fn assert_maps_nothing(calls: &str) {
    let lines: Vec<&str> = calls.lines().collect();
    let saying =
        |words: &str| lines.iter().position(|line| line.contains("write(") && line.contains(words)).unwrap();
    let (ready, end) = (saying("listening on"), saying("shutting down"));
    assert!(
        lines[..ready].iter().any(|line| line.contains("mmap(")),
        "the trace contains the mappings of the start"
    );
    let mapping = |line: &&&str| {
        let call = line.split_whitespace().nth(1).unwrap_or("");
        !["write(", "rt_sigprocmask(", "<...", "+++", "---"].iter().any(|harmless| call.starts_with(harmless))
    };
    let found: Vec<_> = lines[ready..end].iter().filter(mapping).collect();
    assert!(found.is_empty(), "calls after ready:\n{found:#?}");
}
