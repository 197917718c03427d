//! `firstline send --spool`: what it tells as kept arrives, whatever ends it.

use crate::send::{Call, Ran, host, numbered, run, run_with, texts};
use crate::support::directory::Directory;
use crate::support::own_address::own_address;
use crate::support::traced::under_strace;
use crate::support::{HeldConsumer, Server, command, eventually};
use firstline::limits::{IN_FLIGHT, TEXT_BYTES};
use firstline::process_io::file_lock::try_lock;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// What changes a file, or goes over the connection, on all processors; a processor has not all of them.
const CALLS: [&str; 15] = [
    "?mkdir",
    "?mkdirat",
    "openat",
    "?write",
    "fsync",
    "flock",
    "?rename",
    "?renameat",
    "?renameat2",
    "?unlink",
    "?unlinkat",
    "connect",
    "sendto",
    "recvfrom",
    "close",
];

fn keep(spool: &Directory, args: &[&str]) {
    let unserved = own_address().to_string();
    let ran = run(&[&[&unserved, "--timeout", "0.1", "--spool", spool.path()], args].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.complaints.last().unwrap().contains("not sent, and kept in "), "{ran:?}");
}

fn flush(spool: &Directory, server: &Server, args: &[&str]) -> Ran {
    run(&[&[&host(server), "--flush", "--spool", spool.path()], args].concat())
}

/// The files that are messages.
fn files(spool: &Directory) -> Vec<String> {
    let names = fs::read_dir(&spool.0).into_iter().flatten();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with('p')).collect();
    names.sort();
    names
}

#[test]
fn what_was_kept_is_sent_by_the_next_call_the_most_urgent_first() {
    let (spool, journal) = (Directory::new("spool"), Directory::new("spool-journal"));
    for (priority, text) in [("-p4", "a"), ("-p9", "b"), ("-p4", "/c"), ("-p0", "d")] {
        keep(&spool, &[priority, text]);
    }
    let server = Server::start(&["--journal", journal.path()]);
    let ran = run(&[&host(&server), "--spool", spool.path(), "-p", "4", "own"]);
    assert_eq!(
        (ran.code, &ran.receipts[..], &ran.complaints[..]),
        (Some(0), &["4".to_string()][..], &[][..])
    );
    assert_eq!(files(&spool), [""; 0]);
    drop(server);
    let printed = command().args(["journal", journal.path()]).output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    let said: Vec<String> =
        printed.lines().map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect();
    let texts: Vec<(&str, &str)> =
        said.iter().map(|said| (&said[..2], said.rsplit(' ').next().unwrap())).collect();
    assert_eq!(texts, [("p9", "b"), ("p4", "a"), ("p4", "/c"), ("p4", "own"), ("p0", "d")]);
}

#[test]
fn lines_are_kept_to_the_last_and_flushed() {
    let (spool, unserved) = (Directory::new("spool-lines"), own_address().to_string());
    let args = [&unserved, "-", "--timeout", "0.1", "--spool", spool.path()];
    let ran = run_with(&args, numbered(300));
    let summary = "firstline: 0 acknowledged, 0 refused, 0 unknown, 0 not sent, 300 kept";
    assert_eq!((ran.code, ran.complaints.last().map(String::as_str)), (Some(0), Some(summary)));
    let ran = run(&[&unserved, "--flush", "--timeout", "0.1", "--spool", spool.path()]);
    assert_eq!((ran.code, files(&spool).len()), (Some(4), 300), "they are kept on");
    let server = Server::start(&[]);
    let ran = flush(&spool, &server, &[]);
    assert_eq!(
        (ran.code, ran.receipts.len(), ran.complaints.len()),
        (Some(0), 300, 0),
        "{:?}",
        ran.complaints
    );
    assert_eq!((files(&spool).len(), server.stats()["admitted"]), (0, 300));
    assert_eq!(flush(&spool, &server, &[]).code, Some(0), "nothing is kept");
}

#[test]
fn a_kept_message_that_is_refused_is_told_and_one_without_a_right_stays() {
    let spool = Directory::new("spool-refused");
    keep(&spool, &[&"x".repeat(1_000)]);
    keep(&spool, &["smoke"]);
    let server = Server::start(&["--allow", "127.0.0.2"]);
    let ran = flush(&spool, &server, &[]);
    assert_eq!((ran.code, files(&spool).len()), (Some(1), 2), "{ran:?}");
    let server = Server::start(&[]);
    let ran = flush(&spool, &server, &[]);
    assert_eq!((ran.code, ran.receipts.len(), files(&spool).len()), (Some(1), 1, 0), "{ran:?}");
    assert!(ran.complaints[0].contains("refused: too-long: kept message p4: xxx"), "{ran:?}");
}

#[test]
fn an_interruption_keeps_what_was_not_sent() {
    let (spool, unserved) = (Directory::new("spool-interrupted"), own_address().to_string());
    let args = [&unserved, "--timeout=off", "--spool", spool.path(), "smoke"];
    let call = Call::start(&args, Stdio::null());
    assert!(call.complaint().contains("trying again"));
    call.signal("TERM");
    let ran = call.end();
    assert_eq!((ran.code, files(&spool).len()), (Some(143), 1), "{ran:?}");
    assert!(ran.complaints[0].contains("kept in"), "{ran:?}");
}

#[test]
fn two_calls_at_once_send_each_message_once() {
    let (spool, journal) = (Directory::new("spool-two"), Directory::new("spool-two-journal"));
    let unserved = own_address().to_string();
    let args = [&unserved, "-", "--timeout", "0.1", "--spool", spool.path()];
    let calls: Vec<_> = (0..2).map(|_| Call::with_pipe(&args)).collect();
    for (at, (_, input)) in calls.iter().enumerate() {
        let lines: String = (0..100).map(|number| format!("{at} {number}\n")).collect();
        std::io::Write::write_all(&mut &*input, lines.as_bytes()).unwrap();
    }
    for (call, input) in calls {
        drop(input);
        assert_eq!(call.end().code, Some(0));
    }
    assert_eq!(files(&spool).len(), 200);
    let server = Server::start(&["--journal", journal.path()]);
    let args = [&host(&server), "--spool", spool.path(), "own"];
    let calls: Vec<Call> = (0..4).map(|_| Call::start(&args, Stdio::null())).collect();
    for call in calls {
        let ran = call.end();
        assert_eq!((ran.code, ran.receipts.len()), (Some(0), 1), "{ran:?}");
    }
    assert_eq!(files(&spool).len(), 0);
    drop(server);
    let texts = texts(&journal);
    assert_eq!((texts.len(), texts["own"]), (201, 4));
    assert!(texts.iter().all(|(text, count)| *count == 1 || text == "own"), "{texts:?}");
}

#[test]
fn while_another_call_sends_what_is_kept_this_one_sends_its_own() {
    let spool = Directory::new("spool-busy");
    keep(&spool, &["smoke"]);
    let (held_server, held) = HeldConsumer::start(&[]);
    let first = Call::start(&[&host(&held_server), "--flush", "--spool", spool.path()], Stdio::null());
    held_server.wait_for_stats("it was sent", |stats| stats["admitted"] == 1);
    let server = Server::start(&[]);
    let ran = run(&[&host(&server), "--spool", spool.path(), "own"]);
    assert_eq!((ran.code, ran.receipts.len(), ran.complaints.len()), (Some(0), 1, 0), "{ran:?}");
    let ran = flush(&spool, &server, &[]);
    assert!(ran.code == Some(4) && ran.complaints[0].contains("another process"), "{ran:?}");
    held.release();
    assert_eq!(first.end().code, Some(0));
}

#[test]
fn while_a_call_waits_for_its_input_others_send_what_is_kept() {
    let spool = Directory::new("spool-idle");
    let server = Server::start(&[]);
    keep(&spool, &["before"]);
    let (idle, mut input) = Call::with_pipe(&[&host(&server), "-", "--spool", spool.path()]);
    writeln!(input, "first").unwrap();
    assert_eq!(idle.receipt(), "2");
    keep(&spool, &["--urgent", "alarm"]);
    assert_eq!(flush(&spool, &server, &[]).code, Some(0));
    keep(&spool, &["alarm"]);
    let ran = run(&[&host(&server), "--spool", spool.path(), "own"]);
    assert_eq!((ran.code, files(&spool).len()), (Some(0), 0), "{ran:?}");
    drop(input);
    assert_eq!(idle.end().code, Some(0));
}

#[test]
fn message_that_no_handler_takes_is_kept_and_sent_again() {
    let spool = Directory::new("spool-unhandled");
    let text = "x".repeat(400);
    let server = Server::start(&["--handle", "5", "--handle-wait", "0.1"]);
    let ran = run(&[&host(&server), "--high", "own"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(ran.complaints, ["firstline: not sent: no-handler"]);
    let ran = run(&[&host(&server), "--high", "--spool", spool.path(), &text]);
    assert_eq!((ran.code, files(&spool).len()), (Some(0), 1), "{ran:?}");
    let ran = flush(&spool, &server, &[]);
    assert_eq!((ran.code, files(&spool).len()), (Some(4), 1), "{ran:?}");
    // The kept message does not delay one that the server itself processes.
    let ran = run(&[&host(&server), "--spool", spool.path(), "own"]);
    assert_eq!((ran.code, ran.receipts.len(), files(&spool).len()), (Some(0), 1, 1), "{ran:?}");
    drop(server);
    let server = Server::start(&[]);
    assert_eq!((flush(&spool, &server, &[]).code, files(&spool).len()), (Some(0), 0));
}

#[test]
fn text_of_a_kept_message_that_is_refused_is_told_whole() {
    let (spool, server) = (Directory::new("spool-too-long"), Server::start(&[]));
    let text = "x".repeat(TEXT_BYTES + 1);
    keep(&spool, &[&text]);
    let ran = flush(&spool, &server, &[]);
    assert_eq!((ran.code, files(&spool).len()), (Some(1), 0), "{ran:?}");
    assert!(ran.complaints[0].contains(&text), "{ran:?}");
}

#[test]
fn spool_that_cannot_be_used_holds_up_no_message() {
    let (place, server) = (Directory::new("spool-file"), Server::start(&[]));
    fs::create_dir_all(&place.0).unwrap();
    let path = place.0.join("file");
    fs::write(&path, "").unwrap();
    let path = path.to_str().unwrap();
    let ran = run(&[&host(&server), "--spool", path, "smoke"]);
    assert_eq!((ran.code, ran.receipts.len()), (Some(0), 1), "{ran:?}");
    assert!(ran.complaints[0].ends_with("; sending without the spool"), "{ran:?}");
    let above = place.0.join("missing");
    let ran = run(&[&host(&server), "--spool", above.join("spool").to_str().unwrap(), "smoke"]);
    let advice = format!("mkdir -p {}; sending without the spool", above.display());
    assert!(ran.code == Some(0) && ran.complaints[0].ends_with(&advice), "{ran:?}");
    let unserved = own_address().to_string();
    let ran = run(&[&unserved, "--timeout", "0.1", "--spool", path, "smoke"]);
    assert!(ran.code == Some(4) && ran.complaints.last().unwrap().contains("not sent"), "{ran:?}");
    let ran = run(&[&host(&server), "--flush", "--spool", path]);
    assert_eq!((ran.code, ran.receipts.len()), (Some(4), 0), "{ran:?}");
}

// ---- The server goes and comes --------------------------------------------------------------------------

#[test]
fn while_input_stays_open_the_server_is_tried_again_and_what_is_kept_is_sent() {
    let (spool, journal) = (Directory::new("spool-again"), Directory::new("spool-again-journal"));
    let address = own_address().to_string();
    // Later, the server has as long to answer.
    let (call, mut input) = Call::with_pipe(&[&address, "-", "--timeout", "5", "--spool", spool.path()]);
    writeln!(input, "a").unwrap();
    eventually("the server is given up", || call.complaint().contains("given up; keeping the input in"));
    writeln!(input, "b").unwrap();
    eventually("both are kept", || files(&spool).len() == 2);
    let server = Server::start(&["--listen", &address, "--journal", journal.path()]);
    assert_eq!([call.receipt(), call.receipt()], ["1", "2"]);
    writeln!(input, "c").unwrap();
    assert_eq!(call.receipt(), "3");
    drop(input);
    let ran = call.end();
    assert_eq!((ran.code, files(&spool).len()), (Some(0), 0), "{ran:?}");
    drop(server);
    assert_eq!(texts(&journal), ["a", "b", "c"].map(|text| (text.to_string(), 1)).into());
}

#[test]
fn server_that_answers_no_message_gets_one_at_a_time_after_it_was_away() {
    let (spool, address) = (Directory::new("spool-trial"), own_address().to_string());
    let (call, mut input) = Call::with_pipe(&[&address, "-", "--timeout", "4", "--spool", spool.path()]);
    input.write_all(numbered(10).as_bytes()).unwrap();
    eventually("the server is given up", || call.complaint().contains("given up; keeping the input in"));
    eventually("all are kept", || files(&spool).len() == 10);
    let listener = TcpListener::bind(&address).unwrap();
    for _ in 0..2 {
        let mut stream = listener.accept().unwrap().0;
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("/ping"));
        stream.write_all(b"OK 1\n").unwrap();
        // Until the call gives it up.
        let said: Vec<String> = lines.collect();
        assert_eq!(said.len(), 1, "{said:?}");
    }
    call.signal("TERM");
    drop((listener, input));
    assert_eq!(call.end().code, Some(3));
}

#[test]
fn signal_is_heard_before_all_input_is_kept() {
    let (spool, unserved) = (Directory::new("spool-signal"), own_address().to_string());
    fs::create_dir(&spool.0).unwrap();
    // While another process holds this lock, the call waits with the first message that it keeps.
    let lock = try_lock(&spool.0.join("lock")).unwrap().unwrap();
    let args = [&unserved, "-", "--timeout", "0.1", "--spool", spool.path()];
    let (call, mut input) = Call::with_pipe(&args);
    input.write_all("x\n".repeat(8_000).as_bytes()).unwrap();
    eventually("it waits for the lock", || waits_for_lock(call.id()));
    call.signal("TERM");
    drop(lock);
    let ran = call.end();
    assert_eq!(ran.code, Some(143), "{ran:?}");
    assert!(ran.complaints.last().unwrap().contains(" was not read"), "{ran:?}");
    assert!(files(&spool).len() <= 2 * IN_FLIGHT, "{} are kept", files(&spool).len());
}

#[test]
fn signals_end_a_call_while_another_process_holds_the_lock() {
    let (spool, unserved) = (Directory::new("spool-held"), own_address().to_string());
    fs::create_dir(&spool.0).unwrap();
    let _lock = try_lock(&spool.0.join("lock")).unwrap().unwrap();
    for signals in [["TERM", "TERM"].as_slice(), &["INT"]] {
        let args = [&unserved, "--timeout", "0.1", "--spool", spool.path(), "smoke"];
        let call = Call::start(&args, Stdio::null());
        eventually("it waits for the lock", || waits_for_lock(call.id()));
        signals.iter().for_each(|signal| call.signal(signal));
        let ran = call.end();
        assert_eq!(ran.code, Some(4), "{ran:?}");
        assert!(ran.complaints.last().unwrap().contains("/lock"), "{ran:?}");
        assert!(ran.complaints.last().unwrap().contains("nor kept in "), "{ran:?}");
    }
    assert_eq!(files(&spool), [""; 0]);
}

/// Whether the process waits for a lock of a file: see proc_locks(5).
fn waits_for_lock(id: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks
        .lines()
        .any(|line| line.contains("->") && line.split_whitespace().any(|word| word == id.to_string()))
}

#[test]
fn message_that_is_unknown_since_an_earlier_call_counts_for_flush_only() {
    let spool = Directory::new("spool-unknown");
    fs::create_dir(&spool.0).unwrap();
    let file = spool.0.join("p4-00000000000000000001.sent");
    fs::write(&file, "smoke").unwrap();
    let server = Server::start(&[]);
    let ran = run(&[&host(&server), "--spool", spool.path(), "own"]);
    assert_eq!((ran.code, ran.complaints.len()), (Some(0), 1), "{ran:?}");
    assert!(
        ran.complaints[0].starts_with("firstline: 1 message in ") && ran.complaints[0].contains("--flush")
    );
    let ran = flush(&spool, &server, &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let told = format!("p4: smoke; --retry sends it again, and to forget it remove {}", file.display());
    assert!(ran.complaints[0].ends_with(&told), "{ran:?}");
    assert_eq!(flush(&spool, &server, &["--retry"]).code, Some(0));
    assert_eq!(files(&spool), [""; 0]);
}

#[test]
fn file_that_cannot_be_read_is_told_and_holds_nothing_up() {
    let (spool, server) = (Directory::new("spool-unreadable"), Server::start(&[]));
    keep(&spool, &["-p9", "a"]);
    keep(&spool, &["-p4", "b"]);
    // Root may read every file, but nobody can read a directory, and a pipe blocks.
    let unreadable =
        ["p9-00000000000000000000.kept", "p5-00000000000000000007.kept", "p5-00000000000000000008.sent"];
    unreadable[1..].iter().for_each(|name| fs::create_dir(spool.0.join(name)).unwrap());
    nix::unistd::mkfifo(&spool.0.join(unreadable[0]), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let told = |ran: &Ran, name: &str| {
        ran.complaints
            .iter()
            .filter(|line| line.contains(&format!("{name} cannot be read: it is not a regular file")))
            .count()
    };
    let ran = flush(&spool, &server, &[]);
    assert_eq!((ran.code, ran.receipts.len()), (Some(3), 2), "{ran:?}");
    assert_eq!(unreadable.map(|name| told(&ran, name)), [1; 3], "{ran:?}");
    assert_eq!(ran.complaints.last().unwrap(), "firstline: 2 acknowledged, 0 refused, 1 unknown, 2 not sent");
    let left: BTreeSet<String> = files(&spool).into_iter().collect();
    assert_eq!(left, unreadable.map(str::to_string).into());
    // They do not make an own message a failure.
    let ran = run(&[&host(&server), "--retry", "--spool", spool.path(), "c"]);
    assert_eq!((ran.code, ran.receipts.len()), (Some(0), 1), "{ran:?}");
    assert_eq!(unreadable.map(|name| told(&ran, name)), [1; 3], "{ran:?}");
}

#[test]
fn file_that_is_no_message_is_told_and_removed() {
    let spool = Directory::new("spool-empty");
    keep(&spool, &["smoke"]);
    for (number, text) in [(7, ""), (8, "two\nlines")] {
        fs::write(spool.0.join(format!("p9-{number:020}.kept")), text).unwrap();
    }
    let server = Server::start(&[]);
    let ran = flush(&spool, &server, &[]);
    assert_eq!((ran.code, ran.receipts.len(), files(&spool).len()), (Some(1), 1, 0), "{ran:?}");
    assert!(
        ran.complaints[0].contains("refused: ") && ran.complaints[0].ends_with("p9-00000000000000000007")
    );
}

// ---- Failing disks, and kills ----------------------------------------------------------------------------

fn traced(how: &[&str], args: &[&str]) -> Ran {
    let mut command: Command = command();
    command.arg("send").args(args);
    let mut traced = under_strace(how, &command);
    traced.stdin(Stdio::null());
    Call::of(traced).end()
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn on_a_full_disk_nothing_is_told_as_kept() {
    let spool = Directory::new("spool-full");
    keep(&spool, &["smoke"]);
    let unserved = own_address().to_string();
    let args = [&unserved, "--timeout", "0.1", "--spool", spool.path(), "more"];
    // The first sync is that of the file that was kept before, which is begun.
    // The second is that of the new message, and the third that of the directory with its name.
    for (rule, kept) in [
        ("inject=fsync:error=ENOSPC:when=2+", 1),
        ("inject=fsync:error=EIO:when=1+", 1),
        ("inject=fsync:error=EIO:when=3+", 1),
    ] {
        let ran = traced(&["-o", "/dev/null", "-e", rule], &args);
        assert_eq!((ran.code, files(&spool).len()), (Some(4), kept), "{ran:?}");
        assert!(ran.complaints.iter().any(|line| line.contains("nor kept in ")), "{ran:?}");
        assert!(!spool.0.join("new").exists());
    }
}

/// Runs a call again and again, each time killed before one call to the system: the first of each kind, the second and
/// so on. `prepare` and `check` are told which run it is; `check` also the exit code, if it was not killed.
fn killed_everywhere(
    args: impl Fn(usize) -> Vec<String>,
    mut prepare: impl FnMut(usize),
    mut check: impl FnMut(usize, Option<i32>),
) {
    let (mut run, mut kills) = (0, 0);
    for call in CALLS {
        for count in 1.. {
            run += 1;
            prepare(run);
            let rule = format!("inject={call}:signal=KILL:when={count}");
            let args = args(run);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let ran = traced(&["-f", "-o", "/dev/null", "-e", &rule], &args);
            check(run, ran.code);
            if ran.code.is_some() {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > CALLS.len(), "the kills hit nothing: {kills}");
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn given_up_server_is_not_said_to_be_tried_again() {
    let spool = Directory::new("spool-late");
    let unserved = own_address().to_string();
    // The first attempt begins when the time is over.
    let rules = ["inject=?poll:delay_enter=300000", "inject=?ppoll:delay_enter=300000"];
    let how = ["-f", "-o", "/dev/null", "-e", rules[0], "-e", rules[1]];
    let ran = traced(&how, &[&unserved, "--timeout", "0.1", "--spool", spool.path(), "a"]);
    assert_eq!((ran.code, ran.complaints.len()), (Some(0), 1), "{ran:?}");
    assert!(ran.complaints[0].contains("not sent, and kept in "), "{ran:?}");
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn a_kill_at_any_moment_loses_nothing_that_was_kept() {
    let (spool, journal) = (Directory::new("spool-kill"), Directory::new("spool-kill-journal"));
    let server = Server::start(&["--journal", journal.path()]);
    let unserved = own_address().to_string();
    let mut told = BTreeSet::new();
    let own_args = |run: usize| {
        let text = format!("own {run}");
        [&unserved, "--timeout", "0.1", "--spool", spool.path(), &text].map(str::to_string).to_vec()
    };
    let prepare = |run: usize| keep(&spool, &["--urgent", &format!("before {run}")]);
    let check = |run: usize, code: Option<i32>| {
        told.extend(code.filter(|code| *code == 0).map(|_| run));
        // Nothing was ever sent, so to repeat what is unknown doubles nothing.
        let ran = flush(&spool, &server, &["--retry"]);
        assert_eq!((ran.code, files(&spool).len()), (Some(0), 0), "{run}: {ran:?}");
    };
    killed_everywhere(own_args, prepare, check);
    let runs = *told.iter().next_back().unwrap();
    drop(server);
    let texts = texts(&journal);
    for run in 1..=runs {
        let count = |text: &str| texts.get(&format!("{text} {run}")).copied().unwrap_or(0);
        assert_eq!(count("before"), 1, "{run}");
        assert!(count("own") <= 1 && (count("own") == 1 || !told.contains(&run)), "{run}");
    }
}

#[test]
#[cfg_attr(not(feature = "strace"), ignore = "takes strace")]
fn a_kill_at_any_moment_of_sending_sends_nothing_twice_and_tells_what_is_unknown() {
    let (spool, journal) = (Directory::new("spool-send"), Directory::new("spool-send-journal"));
    let server = Server::start(&["--journal", journal.path()]);
    let mut unknown = BTreeMap::new();
    let mut last = 0;
    let args = |_| [&host(&server), "--flush", "--spool", spool.path()].map(str::to_string).to_vec();
    let prepare = |run: usize| {
        keep(&spool, &[&format!("a {run}")]);
        keep(&spool, &["--urgent", &format!("b {run}")]);
    };
    let check = |run: usize, _: Option<i32>| {
        last = run;
        let ran = flush(&spool, &server, &[]);
        let left = files(&spool);
        assert!(left.iter().all(|file| file.ends_with(".sent")), "{left:?}");
        assert_eq!(ran.code, Some(if left.is_empty() { 0 } else { 3 }), "{run}: {ran:?}");
        for file in left {
            let path = spool.0.join(file);
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                ran.complaints.iter().any(|line| line.contains("unknown") && line.contains(&text)),
                "{ran:?}"
            );
            *unknown.entry(text).or_insert(0) += 1;
            fs::remove_file(path).unwrap();
        }
    };
    killed_everywhere(args, prepare, check);
    drop(server);
    let texts = texts(&journal);
    for text in (1..=last).flat_map(|run| [format!("a {run}"), format!("b {run}")]) {
        let count = texts.get(&text).copied().unwrap_or(0);
        assert!(count == 1 || count == 0 && unknown.contains_key(&text), "{text} is there {count} times");
    }
}
