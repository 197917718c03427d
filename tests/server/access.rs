//! Authorization: addresses (`--allow`) and tokens (`--auth-file`), with the real server.

use crate::support::{Client, Server, command, eventually, run_to_end};
use firstline::limits::{
    AUTHENTICATION_MS_MAX, CLIENTS, LOG_THROTTLE_ADDRESSES_MAX, WRONG_TOKEN_MS, WRONG_TOKEN_MS_MAX,
    WRONG_TOKENS_MAX,
};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The line for a client whose address `--allow` does not permit.
const NOT_ALLOWED: &str = "ERR 0 not-allowed --allow does not let your address in";

fn is_refused(mut client: Client) -> bool {
    match &client.rest()[..] {
        [line] if line == NOT_ALLOWED => true,
        lines => panic!("{lines:?}"),
    }
}

/// The log lines about rejected addresses, up to the line about the client that connected last.
fn rejections_logged(server: &Server, last: &Client) -> Vec<String> {
    server.wait_for_log(&format!("{} connected", last.address()));
    let lines = server.log().into_iter().filter(|line| line.contains("not allowed"));
    lines.map(|line| line.split_once("WARN  ").expect("a warning").1.to_string()).collect()
}

// ---- Addresses -----------------------------------------------------------------------------------------

#[test]
fn rejected_address_gets_the_reason_is_counted_and_takes_no_place() {
    let server = Server::start(&["--allow", "127.0.0.2", "--allow=192.0.2.0/24"]);
    for _ in 0..3 {
        assert!(is_refused(server.connect()));
    }
    let mut allowed = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.address);
    let stats = allowed.stats();
    assert_eq!((stats["closed-not-allowed"], stats["clients-max"], stats["clients-turned-away"]), (3, 1, 3));
    assert_eq!(
        rejections_logged(&server, &allowed),
        ["127.0.0.1 turned away: not allowed; see --allow"],
        "logged once"
    );
}

#[test]
fn lines_from_a_rejected_address_are_discarded_and_the_reason_arrives() {
    let server = Server::start(&["--allow", "127.0.0.2"]);
    let mut client = server.connect();
    // The server may have closed it already.
    let _ = std::io::Write::write_all(&mut client.stream, &b"/urgent let me in\n".repeat(100));
    assert!(is_refused(client));
    let mut allowed = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.address);
    assert_eq!(allowed.ask("mine"), "ACK 1 1", "no line of it became a message");
}

#[test]
fn command_line_overrides_the_allowed_addresses_of_the_environment() {
    let start = |args: &[&str]| {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).args(args).env("FIRSTLINE_ALLOW", "127.0.0.2,127.0.0.3");
        Server::start_command(command)
    };
    let server = start(&[]);
    assert!(is_refused(server.connect()));
    assert_eq!(Client::connect_from(Ipv4Addr::new(127, 0, 0, 3), server.address).ask("/ping"), "OK 1");
    let server = start(&["--allow", "any"]);
    assert_eq!(server.connect().ask("/ping"), "OK 1");
    let server = start(&["--allow", "127.0.0.4/32", "--allow", "local"]);
    assert_eq!(server.connect().ask("/ping"), "OK 1", "repeated options add up");
}

#[test]
fn ipv4_mapped_addresses_match_ipv4_rules() {
    // Without IPv6, there is no connection over it.
    if TcpListener::bind("[::1]:0").is_err() {
        let mut command = command();
        command.args(["--listen", "[::]:0"]);
        assert_eq!(run_to_end(command).status.code(), Some(1));
        return;
    }
    let localhost = |server: &Server, ip: &str| SocketAddr::new(ip.parse().unwrap(), server.address.port());
    for (rule, v4, v6) in [
        ("127.0.0.0/8", true, false),
        ("::ffff:127.0.0.1", true, false),
        ("::1", false, true),
        ("::/0", false, true),
    ] {
        let mut command = command();
        command.args(["--listen", "[::]:0", "--allow", rule]);
        let server = Server::start_command(command);
        for (ip, expected) in [("127.0.0.1", v4), ("::1", v6)] {
            let mut client = Client::connect(localhost(&server, ip));
            let expected = if expected { "OK 1" } else { NOT_ALLOWED };
            // A rejected client gets the reason without asking.
            let _ = std::io::Write::write_all(&mut client.stream, b"/ping\n");
            assert_eq!(client.line(), expected, "{ip} with --allow {rule}");
        }
    }
}

#[test]
fn many_rejected_addresses_cannot_fill_the_log() {
    let server = Server::start(&["--allow", "127.0.0.1"]);
    let addresses = (0..2 * LOG_THROTTLE_ADDRESSES_MAX).map(|number| Ipv4Addr::new(127, 0, 1, number as u8));
    for address in addresses.clone().chain(addresses) {
        assert!(is_refused(Client::connect_from(address, server.address)));
    }
    let mut allowed = server.connect();
    assert_eq!(allowed.stats()["closed-not-allowed"], 4 * LOG_THROTTLE_ADDRESSES_MAX as u64);
    let lines = rejections_logged(&server, &allowed);
    let (last, addresses) = lines.split_last().unwrap();
    assert_eq!(addresses.len(), LOG_THROTTLE_ADDRESSES_MAX);
    let of_address = |line: &String| line.split(' ').next().unwrap().parse::<IpAddr>().is_ok();
    assert!(addresses.iter().all(of_address), "{addresses:?}");
    assert!(
        last.starts_with(&format!(
            "more than {LOG_THROTTLE_ADDRESSES_MAX} addresses turned away in a minute"
        )),
        "{last}"
    );
}

// ---- Tokens --------------------------------------------------------------------------------------------

const ALICE: &str = "alice-AAAAAAAAAAAAAAAAAA";
const METER: &str = "meter-BBBBBBBBBBBBBBBBBB";
const WRONG: &str = "wrong-CCCCCCCCCCCCCCCCCC";

/// The content of the auth file, unless a test writes another one.
const LINES: &str = "# NAME TOKEN PRIORITY JOIN\n\nalice alice-AAAAAAAAAAAAAAAAAA 9 join\n\
                     meter\tmeter-BBBBBBBBBBBBBBBBBB 4 no-join\n";

/// An auth file, which is removed when this is dropped.
struct AuthFile(PathBuf);

impl AuthFile {
    fn new(name: &str, text: &str) -> Self {
        let file = format!("auth-{name}-{}", std::process::id());
        let file = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file));
        file.write(text, 0o600);
        file
    }

    fn write(&self, text: &str, mode: u32) {
        // A new file is renamed over the old one, as an editor does it: the server may be reading the old one.
        let new = self.0.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the build has a plain name")
    }

    fn start(&self, args: &[&str]) -> Server {
        Server::start(&[&["--auth-file", self.path()], args].concat())
    }

    /// Writes `text`, has the server reload the file, and waits until the log has `said` for the `count`th time.
    fn reload(&self, server: &Server, text: &str, part: &str, count: usize) {
        self.write(text, 0o600);
        server.signal("HUP");
        let says = |line: &&String| line.contains(part);
        eventually(part, || server.log().iter().filter(says).count() == count);
    }
}

impl Drop for AuthFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn authenticated(server: &Server, token: &str) -> Client {
    let mut client = server.connect();
    let name = token.split('-').next().unwrap();
    assert_eq!(client.ask(&format!("/auth {token}")), format!("OK 1 {name}"));
    client
}

/// Waits until the server has checked `wrong` wrong tokens.
fn wait_for_wrong_tokens(server: &Server, wrong: u64) {
    let mut client = authenticated(server, ALICE);
    eventually("the tokens are checked", || client.stats()["wrong-tokens"] >= wrong);
}

/// How long `work` takes.
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Only lines at the beginning of a connection may begin with Telnet's negotiation or a byte order mark.
#[test]
fn refused_message_is_not_the_beginning_of_a_connection_any_more() {
    let file = AuthFile::new("opening", LINES);
    let server = file.start(&[]);
    for prelude in [&b"\xff\xfb\x1f"[..], b"\xef\xbb\xbf"] {
        let mut client = server.connect();
        client.send([prelude, b"hello\n", prelude, b"/ping\n/ping\n"].concat());
        // The second line is a text because of its prelude, not a command.
        let replies = ["NAK 1 not-authenticated", "NAK 2 not-authenticated", "OK 3"];
        assert_eq!(client.lines(3), replies);
    }
}

#[test]
fn unauthenticated_client_may_only_ask_for_help_ping_and_quit() {
    let file = AuthFile::new("before", LINES);
    let server = file.start(&[]);
    let mut watcher = authenticated(&server, ALICE);
    assert_eq!(watcher.ask("/join"), "OK 2");
    let mut client = server.connect();
    let (nak, err) = ("NAK {n} not-authenticated", "ERR {n} not-authenticated say /auth TOKEN first");
    let too_long = "x".repeat(10_000);
    let table = [
        ("hello", nak),
        ("/urgent hello", nak),
        ("/urgent", nak),
        (&too_long, nak),
        ("//auth", nak),
        ("/join", err),
        ("/join 7 since 1", err),
        ("/leave", err),
        ("/nick alice", err),
        ("/who", err),
        ("/stats", err),
        ("/last 3", err),
        ("/since 0", err),
        ("/nonsense", err),
        ("/join 55", err),
        ("/ping", "OK {n}"),
        ("/auth", "ERR {n} bad-argument TOKEN is 16 to 64 characters, no spaces"),
        ("/auth too-short", "ERR {n} bad-argument TOKEN is 16 to 64 characters, no spaces"),
    ];
    for (n, (line, expected)) in (1..).zip(table) {
        assert_eq!(client.ask(line), expected.replace("{n}", &format!("{n}")), "{line:.20}");
    }
    client.send("/help\n");
    let help = client.lines_until_ok(table.len() + 1);
    assert!(help.iter().any(|line| line.starts_with("HELP /auth TOKEN ")), "{help:?}");
    client.send("/quit\n");
    assert_eq!(client.rest(), [format!("OK {}", table.len() + 2), "BYE quit".to_string()]);
    let stats = watcher.stats();
    assert_eq!((stats["admitted"], stats["refused-not-authenticated"]), (0, 5));
}

#[test]
fn token_sets_a_name_that_no_other_client_can_take() {
    let file = AuthFile::new("name", LINES);
    let server = file.start(&[]);
    let mut alice = authenticated(&server, ALICE);
    assert_eq!(alice.ask("/join"), "OK 2");
    assert_eq!(alice.ask("/nick bob"), "ERR 3 not-permitted your token says your name");
    assert_eq!(alice.ask(&format!("/auth {METER}")), "ERR 4 not-permitted you have shown a token already");
    let mut meter = authenticated(&server, METER);
    assert_eq!(meter.ask("/nick alice"), "ERR 2 not-permitted your token says your name");
    assert_eq!(meter.ask("21.5 C"), "ACK 3 1");
    assert_eq!(alice.line(), "MSG 1 p4 meter 21.5 C");
    alice.send("/who\n");
    assert_eq!(alice.lines_until_ok(5), ["WHO alice p0 0", "WHO meter - 0"]);
}

#[test]
fn second_login_with_one_token_succeeds_at_once() {
    let file = AuthFile::new("again", LINES);
    let server = file.start(&[]);
    let mut first = authenticated(&server, ALICE);
    assert_eq!(first.ask("/join"), "OK 2");
    let mut second = authenticated(&server, ALICE);
    assert_eq!(second.ask("from the other one"), "ACK 2 1");
    assert_eq!(first.line(), "MSG 1 p4 alice from the other one");
    assert_eq!(first.ask("/ping"), "OK 3", "the first connection stays");
}

#[test]
fn rights_limit_priority_and_reading() {
    let file = AuthFile::new("rights", LINES);
    let server = file.start(&[]);
    let mut alice = authenticated(&server, ALICE);
    assert_eq!(alice.ask("/join"), "OK 2");
    let mut meter = authenticated(&server, METER);
    let lines = ["a", "/urgent b", "/4 c", "/5 d", "/low e", "/9 f", "/high g", "h"];
    meter.send(lines.map(|line| format!("{line}\n")).concat());
    let mut acks = meter.lines(lines.len());
    acks.sort();
    let lowered = acks.iter().map(|ack| ack.ends_with(" lowered")).collect::<Vec<_>>();
    assert_eq!(lowered, [false, true, false, true, false, true, true, false], "{acks:?}");
    let msgs = alice.lines(lines.len());
    let delivered: Vec<_> =
        msgs.iter().map(|msg| msg.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect();
    for (text, priority) in [("b", 4), ("c", 4), ("d", 4), ("e", 1), ("f", 4), ("g", 4)] {
        assert!(delivered.contains(&format!("p{priority} meter {text}")), "{text}: {delivered:?}");
    }
    for (n, line) in (lines.len() + 2..).zip(["/join", "/join 7 since 1", "/last 1", "/since 0"]) {
        assert_eq!(meter.ask(line), format!("ERR {n} not-permitted your token is not for reading"));
    }
    assert_eq!(alice.ask("/urgent mine"), "ACK 3 9", "a permitted priority is not lowered");
}

#[test]
fn wrong_tokens_wait_longer_each_time_and_the_third_closes_only_that_connection() {
    let file = AuthFile::new("wrong", LINES);
    let server = file.start(&[]);
    let mut bystander = authenticated(&server, ALICE);
    let mut client = server.connect();
    let start = Instant::now();
    // In one send: the server checks nothing after a wrong token before that one is answered.
    client.send(
        format!("/auth {WRONG}\n").repeat(usize::from(WRONG_TOKENS_MAX)) + &format!("/auth {ALICE}\n/ping\n"),
    );
    let mut due = Duration::ZERO;
    for n in 1..=WRONG_TOKENS_MAX {
        assert_eq!(bystander.ask("/ping"), format!("OK {}", n + 1), "the worker does not wait");
        assert_eq!(client.line(), format!("ERR {n} wrong-token nobody has that one"));
        due += Duration::from_millis(WRONG_TOKEN_MS << (n - 1));
        assert!(start.elapsed() >= due, "{n}: {:?}", start.elapsed());
    }
    // The lines behind them are refused, and so is a right token.
    assert_eq!(client.lines(2), ["ERR 4 not-authenticated say /auth TOKEN first", "OK 5"]);
    assert_eq!(client.rest(), ["ERR 0 wrong-token"]);
    server.wait_for_log("disconnected: it tried wrong tokens");
    let log_lines = server.log().iter().filter(|line| line.contains("tries wrong tokens")).count();
    assert_eq!((log_lines, bystander.stats()["wrong-tokens"]), (1, u64::from(WRONG_TOKENS_MAX)));
}

#[test]
fn reconnecting_does_not_shorten_the_back_off_of_an_address() {
    let back_off = Duration::from_millis(2 * WRONG_TOKEN_MS);
    let another_address_is_served_before = || {
        let file = AuthFile::new("evade", LINES);
        let server = file.start(&[]);
        let from = |last| Client::connect_from(Ipv4Addr::new(127, 0, 0, last), server.address);
        let start = Instant::now();
        for wrong in 1..=2 {
            // The client does not wait for the answer.
            from(5).send(format!("/auth {WRONG}\n"));
            wait_for_wrong_tokens(&server, wrong);
        }
        let mut same = from(5);
        same.send(format!("/auth {ALICE}\n"));
        let mut other = from(6);
        let waited = time(|| assert_eq!(other.ask(&format!("/auth {ALICE}")), "OK 1 alice"));
        assert_eq!(same.line(), "OK 1 alice");
        assert!(start.elapsed() >= back_off, "{:?}", start.elapsed());
        waited < back_off
    };
    // On a loaded machine one attempt may take longer; a server that lets other addresses wait takes longer each time.
    assert!((0..10).any(|_| another_address_is_served_before()));
}

#[test]
fn many_connections_of_an_address_share_one_back_off() {
    let file = AuthFile::new("many", LINES);
    let server = file.start(&[]);
    let start = Instant::now();
    let mut clients: Vec<_> =
        (0..6).map(|_| Client::connect_from(Ipv4Addr::new(127, 0, 0, 5), server.address)).collect();
    clients.iter_mut().for_each(|client| client.send(format!("/auth {WRONG}\n")));
    wait_for_wrong_tokens(&server, 3);
    assert!(start.elapsed() >= Duration::from_millis(2 * WRONG_TOKEN_MS), "{:?}", start.elapsed());
}

/// Tries wrong tokens from that address as fast as the server permits, and reconnects after too many.
fn attack(from: Ipv4Addr, server: SocketAddr, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let mut client = Client::connect_from(from, server);
        client.send(format!("/auth {WRONG}\n").repeat(usize::from(WRONG_TOKENS_MAX)));
        while !is_over.load(Ordering::Relaxed) && client.try_line().is_some() {}
    }
}

#[test]
fn right_token_is_accepted_in_bounded_time_from_an_attacking_address() {
    let file = AuthFile::new("shared", LINES);
    // Besides the attackers connect a watcher, a client with the right token, and up to two attackers that are
    // being closed.
    let attackers = (CLIENTS - 4).min(15);
    let server = file.start(&["--per-address", &(attackers + 3).to_string()]);
    let (from, is_over) = (Ipv4Addr::new(127, 0, 0, 5), AtomicBool::new(false));
    let mut watcher = authenticated(&server, ALICE);
    std::thread::scope(|scope| {
        (0..attackers).for_each(|_| drop(scope.spawn(|| attack(from, server.address, &is_over))));
        eventually("the attackers try tokens", || watcher.stats()["wrong-tokens"] >= 2);
        for _ in 0..2 {
            let (start, wrong) = (Instant::now(), watcher.stats()["wrong-tokens"]);
            let mut honest = Client::connect_from(from, server.address);
            assert_eq!(honest.ask(&format!("/auth {METER}")), "OK 1 meter");
            let (waited, wrong) = (start.elapsed(), watcher.stats()["wrong-tokens"] - wrong);
            assert!(wrong <= 18, "served only after {wrong} others, in {waited:?}");
            assert!(wrong <= waited.as_millis() as u64 / WRONG_TOKEN_MS + 1, "{wrong} in {waited:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// Whether the kernel lists the server's end of a connection, by its two addresses. A connection that was reset
/// is not listed.
fn has_connection(ours: SocketAddr, theirs: SocketAddr) -> bool {
    let listed = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()),
        SocketAddr::V6(v6) => panic!("{v6} is in another table"),
    };
    let (ours, theirs) = (listed(ours), listed(theirs));
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&ours) && fields.next() == Some(&theirs)
    })
}

#[test]
fn connections_reset_during_the_back_off_release_their_places() {
    let file = AuthFile::new("reset", LINES);
    let server = file.start(&["--per-address", "8"]);
    let from = Ipv4Addr::new(127, 0, 0, 5);
    let start = Instant::now();
    let mut gone: Vec<_> = (0..8).map(|_| Client::connect_from(from, server.address)).collect();
    gone.iter_mut().for_each(|client| client.send(format!("/auth {WRONG}\nhello\n")));
    wait_for_wrong_tokens(&server, 1);
    let theirs: Vec<SocketAddr> = gone.iter().map(|client| client.stream.local_addr().unwrap()).collect();
    assert!(theirs.iter().all(|theirs| has_connection(server.address, *theirs)));
    gone.into_iter().for_each(Client::reset);
    eventually("the kernel has received all resets", || {
        !theirs.iter().any(|theirs| has_connection(server.address, *theirs))
    });
    let mut honest = Client::connect_from(from, server.address);
    assert_eq!(honest.ask(&format!("/auth {METER}")), "OK 1 meter");
    // Otherwise each of the others would be served first, and would keep its place until it is answered.
    let waited = start.elapsed();
    let stats = authenticated(&server, ALICE).stats();
    assert!(stats["wrong-tokens"] <= waited.as_millis() as u64 / WRONG_TOKEN_MS + 1, "{waited:?}");
    eventually("all others are closed", || honest.stats()["clients"] == 1);
}

#[test]
fn client_without_a_token_is_closed_after_the_login_time_out() {
    let file = AuthFile::new("deadline", LINES);
    let server = file.start(&[]);
    let mut known = authenticated(&server, METER);
    let (start, mut said) = (Instant::now(), String::new());
    let mut stranger = server.connect();
    let deadline = Duration::from_millis(AUTHENTICATION_MS_MAX);
    stranger.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    while !said.ends_with("ERR 0 not-authenticated say /auth TOKEN first\n") {
        assert!(start.elapsed() < 3 * deadline, "{said}");
        // The client sends ten times a second, so it is not idle.
        std::thread::sleep(Duration::from_millis(100));
        let _ = std::io::Write::write_all(&mut stranger.stream, b"/ping\n");
        let mut part = [0; 1024];
        if let Ok(count) = stranger.read(&mut part) {
            said += str::from_utf8(&part[..count]).unwrap();
        }
    }
    assert!(start.elapsed() >= deadline, "{:?}", start.elapsed());
    assert_eq!(known.ask("/ping"), "OK 2", "an authenticated client stays");
}

#[test]
fn without_an_auth_file_there_are_no_tokens() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask(&format!("/auth {ALICE}")), "ERR 1 no-auth this server asks for no token");
    assert_eq!(client.ask("/auth"), "ERR 2 bad-argument TOKEN is 16 to 64 characters, no spaces");
    assert_eq!(client.ask("/urgent hello"), "ACK 3 1");
    assert_eq!(client.ask("/nick alice"), "OK 4");
    assert_eq!(client.ask("/join"), "OK 5");
}

#[test]
fn wrong_or_readable_auth_file_prevents_the_start() {
    let file = AuthFile::new("start", LINES);
    let with = |line: &str| format!("{LINES}{line}\n");
    let long_token = "x".repeat(65);
    for (text, mode, expected) in [
        (LINES.to_string(), 0o644, "others can read it, or write to it; chmod 600 helps"),
        (LINES.to_string(), 0o620, "others can read it, or write to it; chmod 600 helps"),
        (
            String::new(),
            0o600,
            "there is no name in it, and nobody could do anything; add a line: NAME TOKEN 9 join",
        ),
        (with("bob"), 0o600, "line 5: takes NAME TOKEN PRIORITY, join or no-join, and perhaps handle"),
        (
            with(&format!("bob {WRONG} 4")),
            0o600,
            "line 5: takes NAME TOKEN PRIORITY, join or no-join, and perhaps handle",
        ),
        (with(&format!("bob {WRONG} 10 join")), 0o600, "line 5: the highest priority is one digit, 0 to 9"),
        (
            with(&format!("bob {WRONG} 4 yes")),
            0o600,
            "line 5: the word after the priority is join or no-join",
        ),
        (
            with(&format!("alice {WRONG} 4 join")),
            0o600,
            "line 5: an earlier line has that name; leave one of them out",
        ),
        (with(&format!("bob {ALICE} 4 join")), 0o600, "line 5: an earlier line has that token; head -c 18"),
        (with(&format!("bob {long_token} 4 join")), 0o600, "line 5: the token is 16 to 64 printable ASCII"),
        (
            with("# x\nb\u{f6}b xxxxxxxxxxxxxxxx 4 join"),
            0o600,
            "line 6: the name is 1 to 16 of A-Z a-z 0-9 _ -",
        ),
    ] {
        file.write(&text, mode);
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--auth-file", file.path()]);
        let output = run_to_end(command);
        let said = String::from_utf8(output.stderr).unwrap();
        let last = said.lines().last().unwrap();
        let start = format!("firstline: --auth-file {}: {expected}", file.path());
        assert!(output.status.code() == Some(1) && last.starts_with(&start), "{said}");
        assert!(!said.contains("AAAA") && !said.contains("CCCC"), "no token is logged: {said}");
    }
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--auth-file", "/nowhere/to/be/found"]);
    let said = String::from_utf8(run_to_end(command).stderr).unwrap();
    assert!(
        said.contains(
            "--auth-file /nowhere/to/be/found: No such file or directory; make it, or give its path"
        ),
        "{said}"
    );
}

#[test]
fn reload_applies_at_once_to_clients_whose_line_changed() {
    let file = AuthFile::new("reload", LINES);
    let server = file.start(&[]);
    let (mut alice, mut meter) = (authenticated(&server, ALICE), authenticated(&server, METER));
    assert_eq!(alice.ask("/join"), "OK 2");
    meter.send("last words\n");
    assert_eq!(meter.line(), "ACK 2 1");
    let again = "the auth file is read again: it has 2 names";
    // Order, comments and spaces do not make a line different.
    let same = format!("meter {METER}   4 no-join # here\nalice {ALICE} 9 join\n");
    file.reload(&server, &same, again, 1);
    assert_eq!(meter.ask("/ping"), "OK 3");
    // A changed right makes the line another one, and so does a changed token.
    file.reload(&server, &format!("alice {ALICE} 9 join\nmeter {METER} 5 no-join\n"), again, 2);
    assert_eq!(meter.rest(), ["ERR 0 token-withdrawn"]);
    server.wait_for_log("meter disconnected: its line in the auth file is gone or changed");
    let mut meter = authenticated(&server, METER);
    file.reload(&server, &format!("alice {WRONG} 9 join\nmeter {METER} 5 no-join\n"), again, 3);
    assert_eq!(alice.line(), "MSG 1 p4 meter last words");
    assert_eq!(alice.rest(), ["ERR 0 token-withdrawn"]);
    assert_eq!(meter.ask("/5 still here"), "ACK 2 2");
    let mut stale = server.connect();
    assert_eq!(stale.ask(&format!("/auth {ALICE}")), "ERR 1 wrong-token nobody has that one");
    assert_eq!(stale.ask(&format!("/auth {WRONG}")), "OK 2 alice");
}

#[test]
fn failed_reload_changes_nothing_and_names_the_line() {
    let file = AuthFile::new("bad-reload", LINES);
    let server = file.start(&[]);
    let mut alice = authenticated(&server, ALICE);
    let still = |what: &str| format!("{what}; what it said before still holds");
    file.reload(
        &server,
        "bob nonsense\n",
        &still("line 1: takes NAME TOKEN PRIORITY, join or no-join, and perhaps handle"),
        1,
    );
    file.reload(
        &server,
        "",
        &still("there is no name in it, and nobody could do anything; add a line: NAME TOKEN 9 join"),
        1,
    );
    file.write(LINES, 0o640 | 0o004);
    server.signal("HUP");
    server.wait_for_log(&still("others can read it, or write to it; chmod 600 helps"));
    fs::remove_file(&file.0).unwrap();
    server.signal("HUP");
    server.wait_for_log(&still("No such file or directory; make it, or give its path"));
    assert_eq!(alice.ask("/ping"), "OK 2");
    authenticated(&server, METER);
}

#[test]
fn client_with_a_withdrawn_token_gets_a_reply_to_each_line() {
    let file = AuthFile::new("answered", LINES);
    // The server admits a few messages; the others wait in its buffer and in the kernel's.
    let server = file.start(&["--rate", "5"]);
    let mut meter = authenticated(&server, METER);
    let (count, text) = (120, "x".repeat(400));
    meter.send(format!("{text}\n").repeat(count) + "/ping\n/auth\n/nosuch\nhalf a li");
    assert_eq!(meter.line(), "ACK 2 1");
    file.reload(&server, &format!("alice {ALICE} 9 join\n"), "it has 1 name", 1);
    let replies = meter.rest();
    let (last, replies) = replies.split_last().unwrap();
    assert_eq!(last, "ERR 0 token-withdrawn");
    let lines: BTreeSet<usize> =
        replies.iter().map(|reply| reply.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(lines, (3..count + 5).collect(), "each line has one reply");
    assert_eq!(replies.len(), count + 2);
    let refused = replies.iter().filter(|reply| reply.contains(" not-authenticated")).count();
    assert!(refused > count / 2, "{replies:?}");
    assert!(replies.contains(&format!("OK {}", count + 2)), "{replies:?}");
}

#[test]
fn client_with_a_withdrawn_token_gets_no_more_history() {
    let file = AuthFile::new("history", LINES);
    let journal = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("access-{}", std::process::id()));
    let server = file.start(&["--journal", journal.to_str().unwrap(), "--sync", "none"]);
    let messages = 20_000;
    let mut meter = authenticated(&server, METER);
    for _ in 0..messages / 50 {
        meter.send(format!("{}\n", "x".repeat(500)).repeat(50));
        meter.lines(50);
    }
    let mut alice = server.connect_reading_little();
    assert_eq!(alice.ask(&format!("/auth {ALICE}")), "OK 1 alice");
    alice.send("/since 0\n");
    let mut read = vec![alice.line()];
    file.reload(&server, &format!("meter {METER} 4 no-join\n"), "it has 1 name", 1);
    read.extend(alice.rest_before_break());
    assert!(read.len() < messages / 2, "{} of {messages} were sent", read.len());
    server.wait_for_log("alice disconnected: its line in the auth file is gone or changed");
    drop(server);
    let _ = fs::remove_dir_all(journal);
}

#[test]
fn no_token_is_logged_stored_or_sent() {
    let file = AuthFile::new("told", LINES);
    let journal =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("access-told-{}", std::process::id()));
    let journal_path = journal.to_str().unwrap();
    let server = file.start(&[
        "--log-level",
        "trace,hub::startup=info",
        "--journal",
        journal_path,
        "--journal-size",
        "1M",
    ]);
    let mut alice = authenticated(&server, ALICE);
    let mut client = server.connect();
    client.send(format!("auth {METER}\n/auth {WRONG}\n/auth {METER}\nhello\n"));
    assert_eq!(client.line(), "NAK 1 not-authenticated");
    let rest = client.lines(3);
    assert_eq!(rest[1..], ["OK 3 meter", "ACK 4 1"]);
    file.reload(&server, "alice nonsense", "still holds", 1);
    alice.send("/who\n/stats\n/last 10\n");
    let sent = [alice.lines_until_ok(2), alice.lines_until_ok(3), alice.lines_until_ok(4), rest].concat();
    assert!(sent.contains(&"MSG 1 p4 meter hello".to_string()), "the history is sent: {sent:?}");
    server.wait_for_log("message 1 p4 meter hello");
    let mut kept = [sent, server.log()].concat().join("\n").into_bytes();
    for part in fs::read_dir(&journal).unwrap() {
        kept.extend(fs::read(part.unwrap().path()).unwrap());
    }
    for secret in ["AAAAAA", "BBBBBB", "CCCCCC"] {
        assert!(!kept.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    drop(server);
    let _ = fs::remove_dir_all(journal);
}

#[test]
fn shutdown_does_not_wait_for_the_back_off() {
    let file = AuthFile::new("end", LINES);
    let mut server = file.start(&[]);
    let mut alice = authenticated(&server, ALICE);
    let mut clients = [server.connect(), server.connect()];
    // The answer to the first line shows that the second line has arrived, too.
    clients.iter_mut().for_each(|client| client.send(format!("/ping\n/auth {WRONG}\n")));
    clients.iter_mut().for_each(|client| assert_eq!(client.line(), "OK 1"));
    eventually("one token is checked, and the other waits", || alice.stats()["wrong-tokens"] == 1);
    let took = time(|| {
        server.signal("TERM");
        for client in &mut clients {
            let lines = client.rest();
            assert_eq!(lines, ["ERR 2 shutting-down try again later", "BYE shutting-down"]);
        }
        drop(alice);
        assert_eq!(server.wait().code(), Some(0));
    });
    assert!(took < Duration::from_millis(WRONG_TOKEN_MS_MAX), "{took:?}");
}
