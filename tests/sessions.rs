//! Sessions of a hub that the test drives step by step: what happens only if two events coincide that no client can
//! time.

mod models;

use firstline::auth::Tokens;
use firstline::auth::authenticator::Authenticator;
use firstline::clock;
use firstline::hub::Hub;
use firstline::hub::dispatch::consumer::Consumer;
use firstline::limits::AUTHENTICATION_MS_MAX;
use firstline::options::Options;
use models::promises::Witness;
use models::world::{Came, Client, Kit, Parts};
use nix::sys::epoll::EpollTimeout;
use std::sync::Mutex;

/// There is one consumer in a process: the tests take it one after the other.
static KIT: Mutex<Option<Kit>> = Mutex::new(None);

/// The least that a socket can hold, in bytes: the kernel makes it a few replies to `/help`.
const LITTLE: usize = 1;

/// Lets one client talk to a hub with one worker, and then leave. Checks everything that the client was promised.
fn with_client(adjust: impl FnOnce(&mut Hub), act: impl FnOnce(&mut Parts, &mut Client)) -> Client {
    let mut free = KIT.lock().unwrap_or_else(|error| error.into_inner());
    let kit = free.take().unwrap_or_else(|| Kit::new(Consumer::new(None, None), None));
    let mut parts = Parts::new(kit, &Options { workers: 1, ..Options::default() }, adjust);
    let mut client = Client::connect(parts.hub, 1, LITTLE).expect("a place is free");
    act(&mut parts, &mut client);
    while client.read(usize::MAX) != Came::End {
        settle(&mut parts);
    }
    settle(&mut parts);
    client.talk.check(&Witness::nobody());
    *free = Some(parts.end());
    client
}

/// Runs the worker until it has nothing more to do now.
fn settle(parts: &mut Parts) {
    while parts.workers[0].round(EpollTimeout::ZERO) {}
}

/// Runs the worker until that time, in nanoseconds: it does what is due meanwhile.
fn wait_until(time_ns: u64, parts: &mut Parts) {
    while clock::now_ns() < time_ns {
        let left_ms = (time_ns.saturating_sub(clock::now_ns())).div_ceil(1_000_000);
        parts.workers[0].round(EpollTimeout::try_from(left_ms as i32).expect("it is not negative"));
    }
}

#[test]
fn client_that_does_not_read_gets_one_farewell() {
    const WRITE_TIMEOUT_NS: u64 = 200_000_000;
    let client = with_client(
        |hub| hub.settings.write_timeout_ns = Some(WRITE_TIMEOUT_NS),
        |parts, client| {
            client.send(&[&b"/help\n".repeat(8)[..], b"/quit\n"].concat());
            settle(parts);
            assert!(
                parts.hub.outboxes[firstline::conn_id::ConnId::FIRST].lock().sending.stalled_ns().is_some(),
                "the goodbye is not sent yet"
            );
            wait_until(clock::now_ns() + 2 * WRITE_TIMEOUT_NS, parts);
        },
    );
    assert_eq!(client.talk.last_words(), Some("BYE quit".to_string()));
}

#[test]
fn login_timeout_refuses_the_listing_under_way() {
    let file = b"somebody 0123456789abcdef 9 join";
    let client = with_client(
        |hub| {
            let mut tokens = Tokens::new();
            tokens.read(file).expect("there is no mistake in it");
            hub.authenticator = Some(Authenticator::new(&mut tokens));
        },
        |parts, client| {
            let arrived_ns = clock::now_ns();
            client.send(&b"/help\n".repeat(40));
            settle(parts);
            wait_until(arrived_ns + AUTHENTICATION_MS_MAX * 1_000_000, parts);
            // It reads again, after the time to show a token is over.
            while client.read(usize::MAX) != Came::Nothing {}
        },
    );
    assert_eq!(client.talk.last_words(), Some("ERR 0 not-authenticated".to_string()));
    assert!(client.talk.was_refused("not-authenticated"), "for the listing that was under way");
}
