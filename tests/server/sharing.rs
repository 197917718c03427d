//! What one client may use, so that something is left for the others: connections, lines, urgency, places and time.

use crate::support::{
    Client, HeldConsumer, Server, allow_many_connections, command, eventually, is_emulated, too_long,
};
use firstline::limits::{
    CLIENTS, IN_FLIGHT, KEEPALIVE_IDLE_S, LINE_BYTES_MAX, PENDING_MAX, RATE_BURST_MS, URGENT_BURST_MS,
};
use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

/// A client with the address 127.0.0.`last`; [`Server::connect`] has 127.0.0.1.
fn connect_from(last: u8, server: &Server) -> Client {
    Client::connect_from(Ipv4Addr::new(127, 0, 0, last), server.address)
}

/// Whether the server serves the client, or else the lines that it sent.
fn try_to_be_served(client: &mut Client) -> Result<(), Vec<String>> {
    // The server may have closed the connection already.
    let _ = client.stream.write_all(b"/ping\n");
    match client.try_line() {
        Some(line) if line == "OK 1" => Ok(()),
        line => Err(line.into_iter().chain(client.rest()).collect()),
    }
}

/// The lines for a new client when there is no place, and when its address has its share.
const FULL: &str = "ERR 0 full all seats are taken; try again later";
const ADDRESS_FULL: &str =
    "ERR 0 address-full close another connection of your address, or raise --per-address";

fn rejected_with(line: &str) -> Result<(), Vec<String>> {
    Err(vec![line.to_string()])
}

// ---- Connections ---------------------------------------------------------------------------------------

#[test]
fn address_gets_no_more_than_its_share_of_connections() {
    let server = Server::start(&["--per-address", "2"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!((try_to_be_served(&mut first), try_to_be_served(&mut second)), (Ok(()), Ok(())));
    for _ in 0..20 {
        assert_eq!(try_to_be_served(&mut server.connect()), rejected_with(ADDRESS_FULL));
    }
    let mut other = connect_from(2, &server);
    assert_eq!(try_to_be_served(&mut other), Ok(()), "each address has its own share");
    let stats = other.stats();
    assert_eq!(
        (stats["closed-address-full"], stats["closed-full"], stats["clients-turned-away"]),
        (20, 0, 20)
    );
    // Log lines about earlier connections come before this one.
    server.wait_for_log(&format!("{} connected", other.address()));
    let lines = server.log().into_iter().filter(|line| line.contains("turned away")).count();
    assert_eq!(lines, 1, "it is logged once, not each time");
    drop(first);
    eventually("a place of the address is free", || try_to_be_served(&mut server.connect()).is_ok());
}

#[test]
fn idle_client_is_evicted_for_a_new_one_of_its_own_full_address() {
    let server = Server::start(&["--per-address", "2", "--idle-grace", "0.3"]);
    let from = |last| connect_from(last, &server);
    // Idle longest, but from another address.
    let mut other = from(2);
    assert_eq!(other.ask("/ping"), "OK 1");
    let mut own = [from(1), from(1)];
    assert_eq!(own.each_mut().map(|client| client.ask("hello")), ["ACK 1 1", "ACK 1 2"]);
    wait_for_grace(300);
    let mut new_client = from(1);
    assert_eq!(try_to_be_served(&mut new_client), Ok(()));
    assert_eq!(own[0].rest(), ["ERR 0 idle"]);
    assert_eq!(other.ask("/ping"), "OK 2");
    assert_eq!(new_client.ask("/ping"), "OK 2");
    // The remaining own client is idle again: of many connections at once some get its place, one after the
    // other, or none does; none hangs.
    assert_eq!(own[1].ask("/ping"), "OK 2");
    let mut more: Vec<_> = (0..8).map(|_| from(1)).collect();
    let results: Vec<_> = more.iter_mut().map(try_to_be_served).collect();
    let full = results.iter().filter(|result| **result == rejected_with(ADDRESS_FULL)).count();
    let ok = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(ok + full, 8, "{results:?}");
    let stats = other.stats();
    assert_eq!(stats["closed-gave-way"], 1 + ok as u64);
    assert_eq!(stats["closed-full"], 0);
}

/// Connects a client, and returns once the server has given it a place, or has it wait for one, or rejects it.
fn connect_and_await_decision(server: &Server) -> Client {
    let client = server.connect();
    // The server accepts connections in their order.
    assert_eq!(connect_from(2, server).ask("/ping"), "OK 1");
    client
}

#[test]
fn client_that_has_read_its_end_does_not_keep_out_the_next_of_its_address() {
    let server = Server::start(&["--per-address", "1"]);
    let mut leaving = server.connect();
    assert_eq!(try_to_be_served(&mut leaving), Ok(()));
    for _ in 0..10 {
        assert_eq!(leaving.ask("/quit"), "OK 2");
        assert_eq!(leaving.rest(), ["BYE quit"]);
        let mut next = connect_and_await_decision(&server);
        drop(leaving);
        assert_eq!(try_to_be_served(&mut next), Ok(()));
        leaving = next;
    }
}

#[test]
fn client_that_has_closed_its_connection_does_not_keep_out_the_next_of_its_address() {
    for resets in [false, true] {
        let (server, consumer) = HeldConsumer::start(&["--per-address", "1"]);
        let mut leaving = server.connect();
        leaving.send("message\n");
        let mut other = connect_from(3, &server);
        eventually("the message is taken", || other.stats()["admitted"] == 1);
        if resets {
            let address = leaving.address();
            leaving.reset();
            server.wait_for_log(&format!("{address} disconnected"));
        } else {
            leaving.end_sending();
        }
        let mut next = connect_and_await_decision(&server);
        consumer.release();
        assert_eq!(try_to_be_served(&mut next), Ok(()), "resets: {resets}");
    }
}

/// Each of these addresses closes its connection and connects again at once, many times; half of them after the server
/// has closed its side. A shutdown closes the connection even while a process that another test has just forked still
/// has the socket.
fn reconnect_at_once(addresses: Range<u8>, server: &Server) {
    std::thread::scope(|scope| {
        for last in addresses {
            scope.spawn(move || {
                for _ in 0..100 {
                    let mut client = connect_from(last, server);
                    assert_eq!(try_to_be_served(&mut client), Ok(()));
                    if last % 2 == 0 {
                        client.send("/quit\n");
                        assert_eq!(client.rest(), ["OK 2", "BYE quit"]);
                    }
                    client.stream.shutdown(Shutdown::Both).unwrap();
                }
            });
        }
    });
}

#[test]
fn client_that_connects_again_at_once_has_its_place_at_its_address_and_in_a_full_server() {
    allow_many_connections();
    let server = Server::start(&["--per-address", "1"]);
    reconnect_at_once(10..18, &server);
    let server = Server::start(&["--per-address", "off"]);
    let mut others: Vec<_> = (8..CLIENTS).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.ask("/ping"), "OK 1"));
    reconnect_at_once(10..18, &server);
    assert_eq!(others[0].stats()["clients-turned-away"], 0);
}

#[test]
fn connections_that_wait_for_their_own_address_keep_out_no_other() {
    const PER_ADDRESS: usize = 4;
    // Together they have as many connections as may wait, if that leaves places for others.
    let count = PENDING_MAX.min(CLIENTS - PER_ADDRESS);
    let addresses = 10..10 + (count / PER_ADDRESS) as u8;
    let (server, _consumer) = HeldConsumer::start(&["--per-address", &PER_ADDRESS.to_string()]);
    let of_each = || {
        let addresses = addresses.clone();
        addresses.flat_map(|last| [last; PER_ADDRESS]).map(|last| connect_from(last, &server))
    };
    let mut leaving: Vec<Client> = of_each().collect();
    for client in &mut leaving {
        client.send("message\n");
        client.end_sending();
    }
    let mut other = connect_from(3, &server);
    eventually("the messages are taken", || other.stats()["admitted"] == count as u64);
    let _waiting: Vec<Client> = of_each().collect();
    assert_eq!(try_to_be_served(&mut connect_from(2, &server)), Ok(()));
}

sockopt_impl!(
    /// The filter of what a socket receives, as a BPF program.
    AttachFilter,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_ATTACH_FILTER,
    libc::sock_fprog
);

/// From now on the client's kernel drops every segment for it, and acknowledges nothing, as if the machine had
/// lost its power.
fn lose_power(client: &Client) {
    let mut nothing = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    setsockopt(&client.stream, AttachFilter, &program).unwrap();
}

#[test]
#[cfg_attr(
    not(feature = "root"),
    ignore = "takes root: some systems let nobody else put a filter on a socket"
)]
fn unreachable_client_is_closed_before_an_idle_one() {
    // Without a write time-out only the kernel's retransmission limit ends the connection, after a quarter of an hour.
    let server = Server::start(&["--per-address", "2", "--write-timeout", "off"]);
    let from = |last| connect_from(last, &server);
    let (mut other, mut own, mut dead) = (from(2), from(1), from(1));
    assert_eq!((own.ask("/ping"), dead.ask("/join")), ("OK 1".to_string(), "OK 1".to_string()));
    lose_power(&dead);
    assert_eq!(other.ask("is anybody there"), "ACK 1 1");
    eventually("the new client has its place", || try_to_be_served(&mut from(1)).is_ok());
    server.wait_for_log(&format!("{} disconnected: Connection timed out", dead.address()));
    assert_eq!(own.ask("/ping"), "OK 2", "the other client stays");
    assert_eq!(other.stats()["closed-gave-way"], 0);
}

#[test]
fn ipv4_mapped_address_counts_as_the_ipv4_address() {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--listen", "0", "--per-address", "2"]);
    let server = Server::start_command(command);
    let everywhere = server.wait_for_log("listening on [::]:");
    let port: u16 = everywhere.rsplit(':').next().unwrap().parse().unwrap();
    let mut first = server.connect();
    let mut second = Client::connect((Ipv4Addr::LOCALHOST, port).into());
    assert_eq!((try_to_be_served(&mut first), try_to_be_served(&mut second)), (Ok(()), Ok(())));
    for address in [server.address, (Ipv4Addr::LOCALHOST, port).into()] {
        assert_eq!(try_to_be_served(&mut Client::connect(address)), rejected_with(ADDRESS_FULL), "{address}");
    }
    let mut over_ipv6 = Client::connect((std::net::Ipv6Addr::LOCALHOST, port).into());
    assert_eq!(try_to_be_served(&mut over_ipv6), Ok(()));
}

// ---- Lines ---------------------------------------------------------------------------------------------

#[test]
fn client_above_the_rate_is_slowed_down_and_not_refused() {
    const RATE: usize = 200;
    const LINES: usize = RATE * 2;
    let server = Server::start(&["--rate", "200"]);
    let (mut fast, mut other) = (server.connect(), server.connect());
    let (start, cpu_before) = (Instant::now(), server.cpu_time());
    fast.send("text\n\n".repeat(LINES / 2));
    fast.end_sending();
    let replies: Vec<_> = (0..5).map(|n| other.ask(&format!("/urgent {n}"))).collect();
    assert!(replies.iter().all(|reply| reply.starts_with("ACK")), "{replies:?}");
    assert_eq!(fast.rest().len(), LINES / 2, "blank lines count, and get no reply");
    // The burst is served at once, the remaining lines at the rate.
    let at_least =
        Duration::from_secs_f64((LINES - RATE * RATE_BURST_MS as usize / 1000) as f64 / RATE as f64);
    assert!(start.elapsed() >= at_least, "{:?}", start.elapsed());
    let cpu = server.cpu_time() - cpu_before;
    assert!(is_emulated() || cpu < at_least / 2, "the server spins: {cpu:?}");
}

#[test]
fn lines_above_the_rate_are_refused_at_shutdown() {
    let mut server = Server::start(&["--rate", "1"]);
    let mut client = server.connect();
    // At that rate these take longer than the shutdown may.
    client.send("one\n/ping\n".to_string() + &"two\n".repeat(20));
    assert_eq!(client.line(), "ACK 1 1");
    server.signal("TERM");
    let lines = client.rest();
    assert_eq!(lines[0], "ERR 2 shutting-down try again later");
    assert!((3..23).all(|n| lines[n - 2] == format!("NAK {n} shutting-down")), "{lines:?}");
    assert_eq!(lines[21..], ["BYE shutting-down"]);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn excess_urgent_message_is_lowered_and_its_ack_says_so() {
    let server = Server::start(&["--urgent-rate", "3"]);
    let (mut watcher, mut shouter, mut other) = (server.connect(), server.connect(), server.connect());
    watcher.ask("/join");
    // The next urgent message is due a third of the burst later: long after the test.
    assert_eq!(URGENT_BURST_MS / 3, 20_000);
    let lines = ["/urgent a", "low", "/high b", "/6 c", "/7 d", "/8 e", "/urgent f", "/6 g"];
    let replies = lines.map(|line| shouter.ask(line));
    let lowered = ["", "", "", "", "", " lowered", " lowered", ""];
    let expected: Vec<_> =
        lowered.iter().enumerate().map(|(n, remark)| format!("ACK {0} {0}{remark}", n + 1)).collect();
    assert_eq!(replies, expected[..]);
    let delivered = lines.map(|_| watcher.line().split(' ').nth(2).unwrap().to_string());
    assert_eq!(delivered, ["p9", "p4", "p7", "p6", "p7", "p4", "p4", "p6"]);
    assert_eq!(other.ask("/urgent mine"), "ACK 1 9", "each client has its own allowance");
    // In one send, too, the excess messages alone are demoted.
    other.send("/9 x\n/9 x\n/9 x\n/9 x\n");
    let mut replies = other.lines(4);
    replies.sort();
    let is_lowered: Vec<_> = replies.iter().map(|reply| reply.ends_with(" lowered")).collect();
    assert_eq!(is_lowered, [false, false, true, true], "{replies:?}");
    assert_eq!(server.stats()["lowered"], 4);
}

// ---- Places -------------------------------------------------------------------------------------------------

/// Takes all places; the clients that connect first are idle longest.
fn take_all_places(server: &Server) -> Vec<Client> {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("/ping"), "OK 1");
    }
    clients
}

/// Waits until all clients have been idle for the grace period.
fn wait_for_grace(grace_ms: u64) {
    let start = Instant::now();
    eventually("the grace period is over", || start.elapsed() > Duration::from_millis(grace_ms));
}

#[test]
fn longest_idle_client_is_evicted_but_no_subscriber_or_waiting_client() {
    allow_many_connections();
    let (server, held) = HeldConsumer::start(&["--idle-grace", "0.3"]);
    let mut clients = take_all_places(&server);
    assert_eq!(clients[0].ask("/join"), "OK 2");
    clients[1].send("this waits\n");
    eventually("the message is admitted", || clients[4].stats()["admitted"] == 1);
    // So the first two have been silent longest.
    for client in &mut clients[2..] {
        assert!(client.ask("/ping").starts_with("OK "));
    }
    wait_for_grace(300);
    // Two at once: each gets a place of its own.
    let mut new_clients = [server.connect(), server.connect()];
    // Each is closed at once: the server would wait for it, and the new ones would wait, too.
    clients.drain(2..4).for_each(|mut evicted| assert_eq!(evicted.rest(), ["ERR 0 idle"]));
    let results = new_clients.each_mut().map(try_to_be_served);
    assert_eq!(results, [Ok(()), Ok(())]);
    assert_eq!(clients[3].ask("/ping"), "OK 3", "no more clients are evicted than new ones come");
    assert_eq!(clients[0].ask("/ping"), "OK 3");
    let stats = new_clients[0].stats();
    assert_eq!((stats["closed-gave-way"], stats["closed-idle"], stats["clients-turned-away"]), (2, 0, 0));
    held.release();
    assert_eq!(clients[1].line(), "ACK 2 1");
}

#[test]
fn new_clients_evict_only_idle_ones() {
    allow_many_connections();
    let server = Server::start(&["--idle-grace", "0.5"]);
    let mut clients = take_all_places(&server);
    wait_for_grace(500);
    for client in &mut clients[1..] {
        assert_eq!(client.ask("/ping"), "OK 2");
    }
    let mut new_clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    // Reading it through closes the evicted client at once: the server would wait for a slow one.
    assert_eq!(clients[0].rest(), ["ERR 0 idle"]);
    clients.swap_remove(0);
    let results: Vec<_> = new_clients.iter_mut().map(try_to_be_served).collect();
    let full = results.iter().filter(|result| **result == rejected_with(FULL)).count();
    let ok = results.iter().filter(|result| result.is_ok()).count();
    // On a slow machine other clients may have been idle for long enough before all new ones have come.
    assert!(ok >= 1 && ok + full == 5, "{results:?}");
    assert_eq!(new_clients.swap_remove(0).stats()["closed-gave-way"], ok as u64);
}

#[test]
fn without_a_grace_period_a_full_server_evicts_no_client() {
    allow_many_connections();
    let server = Server::start(&["--idle-grace", "off"]);
    let mut clients = take_all_places(&server);
    assert_eq!(try_to_be_served(&mut server.connect()), rejected_with(FULL));
    assert_eq!(clients[0].stats()["closed-full"], 1);
}

// ---- Time ----------------------------------------------------------------------------------------------

/// Sends single bytes of one line, until the server closes the connection.
fn drip(client: &mut Client) -> Vec<String> {
    let mut stream = client.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    client.rest()
}

#[test]
fn unfinished_line_times_out() {
    let server = Server::start(&["--line-timeout", "0.3"]);
    for before in ["", "hello\n", "\r\n/urg"] {
        let (mut client, start) = (server.connect(), Instant::now());
        client.send(before);
        let lines = drip(&mut client);
        assert_eq!(
            lines.last().map(String::as_str),
            Some("ERR 0 line-timeout end each line with LF"),
            "{before:?}: {lines:?}"
        );
        assert_eq!(lines.len(), 1 + usize::from(before == "hello\n"), "the line before it is answered");
        assert!(start.elapsed() >= Duration::from_millis(300));
    }
    let mut client = server.connect();
    client.send("x".repeat(LINE_BYTES_MAX + 2));
    assert_eq!(
        drip(&mut client),
        ["ERR 0 line-timeout end each line with LF"],
        "a line that is too long times out, too"
    );
    assert_eq!(server.stats()["closed-line-timeout"], 4);
}

#[test]
fn each_key_extends_the_line_time_out_and_typed_erasures_apply() {
    let server = Server::start(&["--line-timeout", "6"]);
    let (mut watcher, mut typist) = (server.connect(), server.connect());
    assert_eq!(watcher.ask("/join"), "OK 1");
    // All keys together take longer than the line time-out.
    for key in ["s", "m", "k", "\x08", "o", "k", "\u{e9}", "\x7f", "e", "\r\n"] {
        typist.send(key);
        std::thread::sleep(Duration::from_millis(700));
    }
    assert_eq!(typist.line(), "ACK 1 1");
    assert!(watcher.line().ends_with(" smoke"));
    // This also holds for a line that is too long: it gets its reply.
    let mut verbose = server.connect();
    verbose.send("x".repeat(LINE_BYTES_MAX + 2));
    for key in ["y"; 10] {
        std::thread::sleep(Duration::from_millis(700));
        verbose.send(key);
    }
    assert_eq!(verbose.ask(""), too_long(1));
    // If a program sends whole lines, these bytes stay in the text.
    let mut program = server.connect();
    assert_eq!(program.ask("a\x08b\x7f"), "ACK 1 2");
    assert!(watcher.line().ends_with(" a\\x08b\\x7f"));
}

#[test]
fn pauses_between_lines_do_not_time_out() {
    let server = Server::start(&["--line-timeout", "0.2"]);
    let mut client = server.connect();
    for n in 1..=4 {
        // Longer than the line time-out, but no line is begun.
        std::thread::sleep(Duration::from_millis(250));
        client.send("/pi");
        assert_eq!(client.ask("ng"), format!("OK {n}"));
    }
}

#[test]
fn line_time_out_does_not_run_while_the_server_does_not_read() {
    let (server, held) = HeldConsumer::start(&["--line-timeout", "0.2"]);
    let mut client = server.connect();
    client.send("text\n".repeat(IN_FLIGHT + 1) + "and the beginning");
    let sent = "text\n".len() as u64 * (IN_FLIGHT as u64 + 1) + "and the beginning".len() as u64;
    server.wait_for_stats("everything is received", |stats| stats["bytes-in"] >= sent);
    // Longer than the line time-out.
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(server.stats()["closed-line-timeout"], 0);
    held.release();
    let replies = client.rest();
    assert_eq!(replies.len(), IN_FLIGHT + 2);
    assert!(replies[..=IN_FLIGHT].iter().all(|reply| reply.starts_with("ACK ")), "{replies:?}");
    assert_eq!(
        replies[IN_FLIGHT + 1],
        "ERR 0 line-timeout end each line with LF",
        "now the time-out applies"
    );
}

#[test]
fn line_time_out_does_not_run_while_the_rate_delays_lines() {
    let server = Server::start(&["--line-timeout", "0.2", "--rate", "2"]);
    let mut client = server.connect();
    client.send("/ping\n".repeat(4) + "/pi");
    assert_eq!(client.lines(4), ["OK 1", "OK 2", "OK 3", "OK 4"]);
    assert_eq!(client.rest(), ["ERR 0 line-timeout end each line with LF"]);
}

#[test]
fn keepalive_probes_silent_clients() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask("/ping"), "OK 1");
    let port = |address: SocketAddr| format!("{:04X}", address.port());
    let (server_port, client_port) = (port(server.address), port(client.stream.local_addr().unwrap()));
    let is_ours = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&server_port))
            && words.next().is_some_and(|remote| remote.ends_with(&client_port))
    };
    // Timer 2 is the keepalive timer; the time is in hundredths of a second.
    eventually("the keepalive timer runs, and no other", || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let socket = sockets.lines().find(is_ours).expect("the kernel has the connection");
        let (timer, left) = socket.split_whitespace().nth(5).unwrap().split_once(':').unwrap();
        let left_s = u32::from_str_radix(left, 16).unwrap() / 100;
        assert!(left_s <= KEEPALIVE_IDLE_S, "{socket}");
        timer == "02" && left_s + 10 > KEEPALIVE_IDLE_S
    });
}
