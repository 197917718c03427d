use super::*;
use crate::client::limits::BACKOFF_MS_MIN;
use crate::client::peer::Peer;
use crate::protocol::Priority;
use std::net::TcpListener;
use std::thread::{JoinHandle, spawn};

/// A sender, and the thread that runs its server.
fn against(
    settings: Settings,
    server: impl FnOnce(TcpListener) + Send + 'static,
) -> (Sender<u32>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Sender::new(address.into(), settings), spawn(move || server(listener)))
}

fn settings(timeout_ms: u64, repeats_unknown: bool) -> Settings {
    let repeats = if repeats_unknown { Repeats::All } else { Repeats::Nothing };
    Settings { timeout: Some(Duration::from_millis(timeout_ms)), repeats, ..Settings::default() }
}

/// Pushes messages and returns all outcomes, in the order of their tags.
fn send(sender: &mut Sender<u32>, texts: &[&str]) -> Vec<Outcome> {
    for (tag, text) in texts.iter().enumerate() {
        sender.push(tag as u32, Message::new(Priority::NORMAL, *text).unwrap());
    }
    let mut outcomes = Vec::new();
    while !sender.is_empty() {
        sender.wait(None);
        outcomes.extend(std::iter::from_fn(|| sender.take_outcome()));
    }
    outcomes.sort_by_key(|(tag, _)| *tag);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn acknowledged(id: u64, may_be_doubled: bool) -> Outcome {
    Outcome::Acknowledged(Receipt { id, is_lowered: false, text: None, may_be_doubled })
}

const LONG_MS: u64 = 60_000;

#[test]
fn replies_in_any_order_settle_their_messages() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 3].map(|()| peer.line()), ["a", "//b", "c"]);
        peer.say("ACK 4 7\nNAK 3 too-long\nMSG 6 p4 bob hello\nACK 2 8\n");
    });
    let outcomes = send(&mut sender, &["a", "/b", "c"]);
    let refused = Outcome::Refused(Refusal::Message("too-long".to_string()));
    assert_eq!(outcomes, [acknowledged(8, false), refused, acknowledged(7, false)]);
    server.join().unwrap();
}

#[test]
fn messages_without_reply_are_unknown_when_the_connection_is_lost() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        peer.say("ACK 2 1\n");
    });
    let outcomes = send(&mut sender, &["a", "b"]);
    assert_eq!(outcomes[0], acknowledged(1, false));
    assert!(matches!(&outcomes[1], Outcome::Unknown(_)), "{outcomes:?}");
    server.join().unwrap();
}

#[test]
fn unknown_messages_are_repeated_on_request_in_order() {
    let (mut sender, server) = against(settings(LONG_MS, true), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 3].map(|()| peer.line()), ["a", "b", "c"]);
        peer.say("ACK 3 1\n");
        drop(peer);
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "c"]);
        peer.say("ACK 2 2\nNAK 3 empty\n");
    });
    let outcomes = send(&mut sender, &["a", "b", "c"]);
    assert_eq!(outcomes[..2], [acknowledged(2, true), acknowledged(1, false)]);
    assert!(matches!(&outcomes[2], Outcome::Unknown(reason) if reason.contains("empty")), "{outcomes:?}");
    server.join().unwrap();
}

#[test]
fn orderly_end_and_failing_journal_leave_nothing_unknown() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        peer.say("NAK 2 journal-failed\n");
        assert_eq!(peer.line(), "a");
        peer.say("NAK 4 shutting-down\nBYE shutting-down\n");
        drop(peer);
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        peer.say("ERR 0 idle\n");
        drop(peer);
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        peer.say("ACK 2 1\nACK 3 2\n");
    });
    assert_eq!(send(&mut sender, &["a", "b"]), [acknowledged(1, false), acknowledged(2, false)]);
    server.join().unwrap();
}

#[test]
fn time_out_makes_sent_messages_unknown_and_others_not_sent() {
    let (mut sender, server) = against(settings(300, false), |listener| {
        let mut peer = Peer::greet(&listener);
        while !peer.line().is_empty() {}
    });
    let texts = vec!["a"; IN_FLIGHT + 1];
    let outcomes = send(&mut sender, &texts);
    assert!(outcomes[..IN_FLIGHT].iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))));
    assert!(matches!(&outcomes[IN_FLIGHT], Outcome::NotSent(_)), "{:?}", outcomes[IN_FLIGHT]);
    server.join().unwrap();
}

#[test]
fn peer_without_a_good_greeting_gets_no_message() {
    for said in ["", "SSH-2.0-OpenSSH_9.2\r\n", "ERR 0 full all seats are taken; try again later\n"] {
        let (mut sender, server) = against(settings(300, true), move |listener| {
            let mut peer = Peer::accept(&listener);
            peer.say(said);
            assert_eq!(peer.line(), "/ping");
            assert_eq!(peer.line(), "");
        });
        let outcomes = send(&mut sender, &["a"]);
        assert!(matches!(&outcomes[..], [Outcome::NotSent(_)]), "{outcomes:?}");
        server.join().unwrap();
    }
}

#[test]
fn denied_client_does_not_try_again() {
    for said in
        ["ERR 1 not-authenticated say /auth TOKEN first\n", "ERR 0 not-allowed no\n", "ERR 1 wrong-token x\n"]
    {
        let (mut sender, server) = against(settings(LONG_MS, true), move |listener| {
            Peer::accept(&listener).say(said);
        });
        let outcomes = send(&mut sender, &["a", "b"]);
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(Refusal::Client(_)))),
            "{outcomes:?}"
        );
        server.join().unwrap();
    }
}

#[test]
fn token_is_shown_first_and_a_server_without_tokens_is_used() {
    for answer in ["OK 1 alice\n", "ERR 1 no-auth this server asks for no token\n"] {
        let token = Token::new(b"0123456789abcdef");
        let settings = Settings { token, ..settings(LONG_MS, false) };
        let (mut sender, server) = against(settings, move |listener| {
            let mut peer = Peer::accept(&listener);
            assert_eq!(peer.line(), "/auth 0123456789abcdef");
            peer.say(answer);
            assert_eq!(peer.line(), "a");
            peer.say("ACK 2 1\n");
        });
        assert_eq!(send(&mut sender, &["a"]), [acknowledged(1, false)]);
        server.join().unwrap();
    }
}

#[test]
fn silent_connection_is_probed_before_a_message() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "a");
        peer.say("ACK 2 1\n");
        assert_eq!(peer.line(), "/ping");
        drop(peer);
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "b");
        peer.say("ACK 2 2\n");
    });
    assert_eq!(send(&mut sender, &["a"]), [acknowledged(1, false)]);
    sender.heard -= PROBE;
    assert_eq!(send(&mut sender, &["b"]), [acknowledged(2, false)]);
    server.join().unwrap();
}

#[test]
fn reply_to_an_unknown_line_ends_the_connection() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "a");
        peer.say("ACK 3 1\n");
        assert_eq!(peer.line(), "");
    });
    let outcomes = send(&mut sender, &["a"]);
    assert!(matches!(&outcomes[..], [Outcome::Unknown(reason)] if reason.contains("line 3")), "{outcomes:?}");
    server.join().unwrap();
}

#[test]
fn first_server_that_answers_is_used() {
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = format!("{refuses},localhost:{}", listener.local_addr().unwrap().port());
    let mut sender = Sender::new(servers.parse().unwrap(), settings(LONG_MS, false));
    let server = spawn(move || {
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "a");
        peer.say("ACK 2 1\n");
    });
    assert_eq!(send(&mut sender, &["a"]), [acknowledged(1, false)]);
    server.join().unwrap();
}

#[test]
fn withdraw_reports_unsent_messages_and_abort_the_rest() {
    let (mut sender, server) = against(settings(LONG_MS, true), |listener| {
        let mut peer = Peer::greet(&listener);
        while !peer.line().is_empty() {}
    });
    for tag in 0..=IN_FLIGHT as u32 {
        sender.push(tag, Message::new(Priority::NORMAL, "a").unwrap());
    }
    while sender.queue.len() > 1 {
        sender.wait(Some(Instant::now() + Duration::from_millis(1)));
    }
    sender.withdraw("interrupted");
    let last = (IN_FLIGHT as u32, Outcome::NotSent("interrupted".to_string()));
    assert_eq!(sender.take_outcome(), Some(last));
    sender.abort("interrupted");
    for tag in 0..IN_FLIGHT as u32 {
        assert_eq!(sender.take_outcome(), Some((tag, Outcome::Unknown("interrupted".to_string()))));
    }
    assert!(sender.is_empty());
    server.join().unwrap();
}

#[test]
fn denial_refuses_queued_messages_too() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "a");
        peer.say(&(2..IN_FLIGHT + 2).map(|n| format!("NAK {n} not-authenticated\n")).collect::<String>());
    });
    let texts = vec!["a"; IN_FLIGHT + 1];
    let outcomes = send(&mut sender, &texts);
    let is_denial = |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::Client(_)));
    assert!(outcomes.iter().all(is_denial), "{outcomes:?}");
    server.join().unwrap();
}

#[test]
fn messages_wait_for_the_right_to_send_if_the_caller_says_so() {
    let settings = Settings { denial_pause: Some(Duration::from_millis(1)), ..settings(LONG_MS, false) };
    let (mut sender, server) = against(settings, |listener| {
        Peer::accept(&listener).say("ERR 1 wrong-token\n");
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        peer.say("NAK 2 not-authenticated\nNAK 3 not-authenticated\n");
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        peer.say("ACK 2 1\nACK 3 2\n");
    });
    assert_eq!(send(&mut sender, &["a", "b"]), [acknowledged(1, false), acknowledged(2, false)]);
    server.join().unwrap();
}

#[test]
fn next_server_is_tried_if_one_denies_and_messages_wait() {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [first, second, third] = [0, 1, 2].map(|index: usize| listeners[index].local_addr().unwrap());
    let settings = Settings { denial_pause: Some(Duration::from_secs(3_600)), ..settings(LONG_MS, false) };
    let mut sender = Sender::new(format!("{first},{second},{third}").parse().unwrap(), settings);
    let server = spawn(move || {
        Peer::accept(&listeners[0]).say("ERR 0 not-allowed\n");
        let mut peer = Peer::greet(&listeners[1]);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        // The denial of one message is no reason to leave the reply to another one.
        peer.say("NAK 2 not-permitted\n");
        peer.say("ACK 3 1\n");
        let mut peer = Peer::greet(&listeners[2]);
        assert_eq!(peer.line(), "a");
        peer.say("ACK 2 1\n");
    });
    assert_eq!(send(&mut sender, &["a", "b"]), [acknowledged(1, false), acknowledged(1, false)]);
    server.join().unwrap();
}

#[test]
fn lost_handler_is_an_outcome_where_only_lost_connections_are_repeated() {
    let settings = Settings { repeats: Repeats::Unanswered, ..settings(LONG_MS, false) };
    let (mut sender, server) = against(settings, |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!([(); 2].map(|()| peer.line()), ["a", "b"]);
        peer.say("NAK 2 handler-lost\n");
        drop(peer);
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "b", "its connection was lost");
        peer.say("ACK 2 1\n");
    });
    let lost = Outcome::Unknown("handler-lost".to_string());
    assert_eq!(send(&mut sender, &["a", "b"]), [lost, acknowledged(1, true)]);
    server.join().unwrap();
}

#[test]
fn first_server_is_used_though_the_sender_advanced_before_there_was_a_message() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let servers = listeners.each_ref().map(|listener| listener.local_addr().unwrap().to_string()).join(",");
    let mut sender = Sender::new(servers.parse().unwrap(), settings(LONG_MS, false));
    sender.advance();
    let [first, second] = listeners;
    let server = spawn(move || {
        let mut peer = Peer::greet(&first);
        assert_eq!(peer.line(), "a");
        peer.say("ACK 2 1\n");
        // The server closes an idle client, and the next message goes to the same server again.
        peer.say("ERR 0 idle\n");
        drop(peer);
        let mut peer = Peer::greet(&first);
        assert_eq!(peer.line(), "b");
        peer.say("ACK 2 2\n");
    });
    assert_eq!(send(&mut sender, &["a"]), [acknowledged(1, false)]);
    while sender.link.is_up() {
        wait(sender.interest(), None);
        sender.advance();
    }
    sender.advance();
    assert_eq!(send(&mut sender, &["b"]), [acknowledged(2, false)]);
    server.join().unwrap();
    second.set_nonblocking(true).unwrap();
    assert!(second.accept().is_err(), "nobody connects to the second one");
}

#[test]
fn message_that_a_handler_has_lost_is_repeated_after_a_pause() {
    const REPEATS: u64 = 3;
    let (mut sender, server) = against(settings(LONG_MS, true), |listener| {
        let mut peer = Peer::greet(&listener);
        for line in 2..2 + REPEATS {
            assert_eq!(peer.line(), "a");
            peer.say(&format!("NAK {line} handler-lost\n"));
        }
        assert_eq!(peer.line(), "a");
        peer.say(&format!("ACK {} 1\n", 2 + REPEATS));
    });
    let start = Instant::now();
    assert_eq!(send(&mut sender, &["a"]), [acknowledged(1, true)]);
    server.join().unwrap();
    let pauses = Duration::from_millis(REPEATS * BACKOFF_MS_MIN / 2);
    assert!(start.elapsed() >= pauses, "{:?}", start.elapsed());
}

#[test]
fn refusals_of_one_cause_are_one_pause() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        (0..IN_FLIGHT).for_each(|_| assert_eq!(peer.line(), "a"));
        peer.say(&(2..IN_FLIGHT + 2).map(|n| format!("NAK {n} journal-failed\n")).collect::<String>());
        // Until the sender closes the connection.
        while !peer.line().is_empty() {}
    });
    for tag in 0..IN_FLIGHT {
        sender.push(tag as u32, Message::new(Priority::NORMAL, "a").unwrap());
    }
    while sender.held_until.is_none() {
        sender.wait(Some(Instant::now() + Duration::from_millis(10)));
    }
    assert!(sender.held_until <= Some(Instant::now() + Duration::from_millis(BACKOFF_MS_MIN)));
    drop(sender);
    server.join().unwrap();
}

#[test]
fn pause_of_a_message_wakes_nobody_while_the_server_is_away() {
    let (mut sender, server) = against(settings(LONG_MS, false), |listener| {
        let mut peer = Peer::greet(&listener);
        assert_eq!(peer.line(), "a");
        peer.say("NAK 2 journal-failed\n");
    });
    sender.push(0, Message::new(Priority::NORMAL, "a").unwrap());
    sender.advance();
    while sender.held_until.is_none() || sender.link.is_up() {
        wait(sender.interest(), sender.due());
        sender.advance();
    }
    server.join().unwrap();
    let held_until = sender.held_until.unwrap();
    while Instant::now() <= held_until + Duration::from_millis(1) {
        sender.advance();
        assert!(sender.due().is_some_and(|due| due != held_until), "it does nothing then");
        wait(sender.interest(), Some(held_until + Duration::from_millis(2)));
    }
}
