//! Sessions of a hub that the test drives step by step: cases in which two events must coincide, which no
//! client can time.

mod harness;

use firstline::auth::Tokens;
use firstline::auth::authenticator::Authenticator;
use firstline::clock;
use firstline::hub::dispatch::consumer::Consumer;
use firstline::hub::shared::Hub;
use firstline::limits::{AUTHENTICATION_MS_MAX, FLOOD_LINES, FLOOD_MEMORY_MS};
use firstline::options::Options;
use harness::driven_hub::{Client, Parts, ReadResult, Singletons};
use harness::promises::check;
use harness::witness::Witness;
use nix::sys::epoll::EpollTimeout;
use std::sync::Mutex;

/// A process has one consumer: the tests use it one after the other.
static SINGLETONS: Mutex<Option<Singletons>> = Mutex::new(None);

/// The smallest buffer of a socket, in bytes: the kernel raises it to a few replies to `/help`.
const SMALL_BUFFER: usize = 1;

/// Connects one client to a hub with one worker, runs `act`, and lets the client leave. Checks every promise to it.
fn with_client(adjust: impl FnOnce(&mut Hub), act: impl FnOnce(&mut Parts, &mut Client)) -> Client {
    let mut free = SINGLETONS.lock().unwrap_or_else(|error| error.into_inner());
    let singletons = free.take().unwrap_or_else(|| Singletons::new(Consumer::new(None, None), None));
    let mut parts = Parts::new(singletons, &Options { workers: 1, ..Options::default() }, adjust);
    let mut client = Client::connect(parts.hub, 1, SMALL_BUFFER).expect("a place is free");
    act(&mut parts, &mut client);
    while client.read(usize::MAX) != ReadResult::End {
        run_worker(&mut parts);
    }
    run_worker(&mut parts);
    check(&client.transcript, &Witness::nobody());
    *free = Some(parts.end());
    client
}

/// Runs the worker until it has nothing to do.
fn run_worker(parts: &mut Parts) {
    while parts.workers[0].round(EpollTimeout::ZERO) {}
}

/// Runs the worker until that time, in nanoseconds; it does what becomes due meanwhile.
fn wait_until(time_ns: u64, parts: &mut Parts) {
    while clock::now_ns() < time_ns {
        let left_ms = (time_ns.saturating_sub(clock::now_ns())).div_ceil(1_000_000);
        parts.workers[0]
            .round(EpollTimeout::try_from(left_ms as i32).expect("the time left is not negative"));
    }
}

#[test]
fn client_that_does_not_read_gets_one_farewell() {
    const WRITE_TIMEOUT_NS: u64 = 200_000_000;
    let client = with_client(
        |hub| hub.settings.write_timeout_ns = Some(WRITE_TIMEOUT_NS),
        |parts, client| {
            client.send(&[&b"/help\n".repeat(8)[..], b"/quit\n"].concat());
            run_worker(parts);
            assert!(
                parts.hub.outboxes[firstline::conn_id::ConnId::FIRST].lock().sending.stalled_ns().is_some(),
                "the goodbye is not sent yet"
            );
            wait_until(clock::now_ns() + 2 * WRITE_TIMEOUT_NS, parts);
        },
    );
    assert_eq!(client.transcript.last_words(), Some("BYE quit".to_string()));
}

#[test]
fn login_timeout_refuses_the_listing_under_way() {
    let file = b"somebody 0123456789abcdef 9 join";
    let client = with_client(
        |hub| {
            let mut tokens = Tokens::new();
            tokens.read(file).expect("the file is valid");
            hub.authenticator = Some(Authenticator::new(&mut tokens));
        },
        |parts, client| {
            let arrived_ns = clock::now_ns();
            client.send(&b"/help\n".repeat(40));
            run_worker(parts);
            wait_until(arrived_ns + AUTHENTICATION_MS_MAX * 1_000_000, parts);
            // The client reads again after the time to authenticate is over.
            while client.read(usize::MAX) != ReadResult::Nothing {}
        },
    );
    assert_eq!(client.transcript.last_words(), Some("ERR 0 not-authenticated".to_string()));
    assert!(client.transcript.was_refused("not-authenticated"), "the listing in progress is refused");
}

// ---- Clients that flood --------------------------------------------------------------------------------

/// Lets two clients of one worker send at the same time, twice, and returns which of the second pair of messages got
/// the lower ID: whether it was that of the second client. `between` may replace the second client.
fn second_client_is_first(
    flood: &[u8],
    message: &[u8],
    of_other: &[u8],
    between: impl Fn(&mut Parts, Client) -> Client,
) -> bool {
    let mut is_first = None;
    with_client(
        |_| (),
        |parts, client| {
            for attempt in 0..ATTEMPTS {
                let start_ns = clock::now_ns();
                let mut other = Client::connect(parts.hub, 2 + attempt, 1 << 16).expect("a place is free");
                client.send(flood);
                other.send(of_other);
                run_worker(parts);
                other = between(parts, other);
                client.send(message);
                other.send(b"quiet\n");
                run_worker(parts);
                let took_ns = clock::now_ns() - start_ns;
                let [of_client, of_other] = [&mut *client, &mut other].map(last_id);
                leave(parts, other);
                // After that time the worker may have forgotten the flood.
                if took_ns < FLOOD_MEMORY_MS * 1_000_000 {
                    is_first = Some(of_other < of_client);
                    break;
                }
            }
            client.end_sending();
        },
    );
    is_first.expect("the machine does that little within the time")
}

/// How often a step is tried that may take longer than a worker remembers.
const ATTEMPTS: u32 = 1_000;

/// The ID of the last message that was acknowledged.
fn last_id(client: &mut Client) -> u64 {
    while client.read(usize::MAX) != ReadResult::Nothing {}
    client.transcript.ids().last().expect("a message was acknowledged")
}

fn leave(parts: &mut Parts, mut client: Client) {
    client.end_sending();
    while client.read(usize::MAX) != ReadResult::End {
        run_worker(parts);
    }
    run_worker(parts);
}

#[test]
fn line_of_a_client_comes_before_those_of_clients_that_flood() {
    let stay = |_: &mut Parts, other| other;
    let (flood, bulk) = (b"a\n".repeat(FLOOD_LINES), b"b\n".repeat(FLOOD_LINES));
    assert!(second_client_is_first(&flood, &bulk, b"/ping\n", stay));
    let few = b"a\n".repeat(FLOOD_LINES - 1);
    assert!(!second_client_is_first(&few, b"b\n", b"/ping\n", stay), "a client that does not flood is first");
}

#[test]
fn client_floods_whatever_its_lines_are() {
    let stay = |_: &mut Parts, other| other;
    for flood in
        [&b"\n".repeat(FLOOD_LINES), &b"/ping\n".repeat(FLOOD_LINES), &b"/urgent\n".repeat(FLOOD_LINES)]
    {
        assert!(second_client_is_first(flood, b"b\n", b"/ping\n", stay), "{flood:?}");
    }
    let urgent = b"/urgent a\n".repeat(FLOOD_LINES);
    assert!(!second_client_is_first(&urgent, b"b\n", b"/ping\n", stay), "urgent messages are no flood");
}

#[test]
fn next_client_of_a_place_has_not_flooded() {
    let flood = b"a\n".repeat(FLOOD_LINES);
    let replace = |parts: &mut Parts, other| {
        leave(parts, other);
        let next = Client::connect(parts.hub, 2 + ATTEMPTS, 1 << 16).expect("a place is free");
        run_worker(parts);
        next
    };
    assert!(second_client_is_first(&flood, b"b\n", &flood, replace));
}
