use super::*;
use crate::limits::{
    FROM_BYTES_MAX, HANDLER_TEXT_BYTES, MSG_BYTES_MAX, TASK_BYTES_MAX, TEXT_BYTES, TEXT_REPLY_BYTES_MAX,
};

const REFUSALS: [Refusal; 14] = [
    Refusal::UnknownCommand("try /help; //TEXT sends /TEXT"),
    Refusal::BadArgument("MIN is one digit, 0 to 9"),
    Refusal::NickTaken,
    Refusal::NoJournal,
    Refusal::JournalFailed,
    Refusal::AheadOfHistory(u64::MAX),
    Refusal::ShuttingDown,
    Refusal::NotAuthenticated,
    Refusal::WrongToken,
    Refusal::NoAuth,
    Refusal::NotPermitted("your token says your name"),
    Refusal::NoHandling,
    Refusal::HandlersFull,
    Refusal::NotYours,
];

/// A closing reply, in as much room as an outbox reserves.
fn closing(write: impl FnOnce(&mut VecView<u8>)) -> Vec<u8, REPLY_BYTES_MAX> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

#[test]
fn closing_replies_follow_the_protocol() {
    assert_eq!(closing(|out| acks(out, 3..4, 17, false)), b"ACK 3 17\n");
    assert_eq!(closing(|out| acks(out, 3..4, 17, true)), b"ACK 3 17 lowered\n");
    assert_eq!(closing(|out| acks(out, 3..3, 17, false)), b"");
    assert_eq!(closing(|out| acks(out, 98..101, 9, false)), b"ACK 98 9\nACK 99 10\nACK 100 11\n");
    assert_eq!(closing(|out| ok(out, 0)), b"OK 0\n");
    assert_eq!(closing(|out| ok_with(out, 7, "alice")), b"OK 7 alice\n");
    let naks = Nak::ALL.map(|reason| closing(|out| nak(out, 5, reason)));
    let expected: [&[u8]; Nak::COUNT] = [
        b"NAK 5 too-long\n",
        b"NAK 5 empty\n",
        b"NAK 5 shutting-down\n",
        b"NAK 5 print-failed\n",
        b"NAK 5 journal-failed\n",
        b"NAK 5 not-authenticated\n",
        b"NAK 5 handler-refused\n",
        b"NAK 5 no-handler\n",
        b"NAK 5 handler-timeout\n",
        b"NAK 5 handler-lost\n",
        b"NAK 5 handler-unrecorded\n",
    ];
    assert_eq!(naks, expected);
    let errs = REFUSALS.map(|reason| closing(|out| err(out, 5, reason)));
    let expected: [&[u8]; REFUSALS.len()] = [
        b"ERR 5 unknown-command try /help; //TEXT sends /TEXT\n",
        b"ERR 5 bad-argument MIN is one digit, 0 to 9\n",
        b"ERR 5 nick-taken try another\n",
        b"ERR 5 no-journal start the server with --journal\n",
        b"ERR 5 journal-failed see the server's log\n",
        b"ERR 5 ahead-of-history 18446744073709551615\n",
        b"ERR 5 shutting-down try again later\n",
        b"ERR 5 not-authenticated say /auth TOKEN first\n",
        b"ERR 5 wrong-token nobody has that one\n",
        b"ERR 5 no-auth this server asks for no token\n",
        b"ERR 5 not-permitted your token says your name\n",
        b"ERR 5 no-handling start the server with --handle\n",
        b"ERR 5 handlers-full there are as many handlers as may be\n",
        b"ERR 5 not-yours you have no such task any more\n",
    ];
    assert_eq!(errs, expected);
}

#[test]
fn longest_numbers_fit() {
    let number = u64::MAX.to_string();
    for (is_lowered, remark) in [(false, ""), (true, " lowered")] {
        let longest = closing(|out| acks(out, u64::MAX - 1..u64::MAX, u64::MAX, is_lowered));
        assert_eq!(longest, format!("ACK {} {number}{remark}\n", u64::MAX - 1).as_bytes());
    }
    assert_eq!(closing(|out| ok(out, u64::MAX)), format!("OK {number}\n").as_bytes());
    for reason in Nak::ALL {
        let [short, longest] = [5, u64::MAX].map(|n| closing(|out| nak(out, n, reason)));
        let short = str::from_utf8(&short).unwrap();
        assert_eq!(longest, short.replacen('5', &number, 1).as_bytes());
    }
    for reason in REFUSALS {
        let behind = match reason {
            Refusal::AheadOfHistory(newest) => newest.to_string(),
            _ => reason.advice().to_string(),
        };
        let expected = format!("ERR {number} {} {behind}\n", reason.as_str());
        assert_eq!(closing(|out| err(out, u64::MAX, reason)), expected.as_bytes());
    }
    let from = "f".repeat(FROM_BYTES_MAX);
    let expected = format!("WHO {from} p9 {number}\n");
    assert_eq!(who(&from, Some(Priority::URGENT), u64::MAX), expected.as_bytes());
    assert_eq!(lost(u64::MAX), format!("LOST {number}\n").as_bytes());
}

#[test]
fn handlers_text_follows_the_reply_and_is_cut_to_the_room() {
    let text = HandlerText::new(b"the valve\nis shut");
    let with_room = |bytes_max| {
        let mut out: Vec<u8, TEXT_REPLY_BYTES_MAX> = Vec::new();
        ack_with(&mut out, 3, 17, true, &text, bytes_max);
        std::string::String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(with_room(TEXT_REPLY_BYTES_MAX), "ACK 3 17 lowered = the valve\\x0ais shut\n");
    assert_eq!(with_room(33), "ACK 3 17 lowered = the valve\\...\n");
    let plain = closing(|out| ack_with(out, 3, 17, false, &HandlerText::NONE, REPLY_BYTES_MAX));
    assert_eq!(plain, b"ACK 3 17\n");
    let refused = HandlerText::new(b"no");
    let nak = closing(|out| nak_with(out, 5, Nak::HandlerRefused, &refused, REPLY_BYTES_MAX));
    assert_eq!(nak, b"NAK 5 handler-refused = no\n");
    let longest = HandlerText::new(&[0xff; HANDLER_TEXT_BYTES]);
    for bytes_max in [REPLY_BYTES_MAX, TEXT_REPLY_BYTES_MAX] {
        let mut out: Vec<u8, TEXT_REPLY_BYTES_MAX> = Vec::new();
        ack_with(&mut out, u64::MAX, u64::MAX, true, &longest, bytes_max);
        assert!(out.len() <= bytes_max && out.ends_with(b"\n"));
        assert_eq!(out.windows(4).any(|part| part == CUT_MARK.as_bytes()), bytes_max == REPLY_BYTES_MAX);
    }
}

#[test]
fn tasks_are_escaped_and_the_longest_one_fits_exactly() {
    let mut out: Vec<u8, TASK_BYTES_MAX> = Vec::new();
    task(&mut out, 7, Priority::URGENT, 30_000, "alice", b"shut it\x07").unwrap();
    assert_eq!(out, b"TASK 7 p9 30000 alice shut it\\x07\n");
    out.clear();
    let from = "f".repeat(FROM_BYTES_MAX);
    task(&mut out, u64::MAX, Priority::URGENT, u64::MAX, &from, &[0xff; TEXT_BYTES]).unwrap();
    assert!(out.is_full());
}

#[test]
fn acks_increment_over_every_change_of_digits() {
    for (n, id) in [(1, 1), (7, 94), (95, 999_990), (9_999_999_990, 5), (u64::MAX - 30, u64::MAX - 30)] {
        for (are_lowered, remark) in [(false, ""), (true, " lowered")] {
            let mut out: Vec<u8, { 30 * REPLY_BYTES_MAX }> = Vec::new();
            acks(&mut out, n..n + 25, id, are_lowered);
            let ack = |more| format!("ACK {} {}{remark}\n", n + more, id + more);
            assert_eq!(out, (0..25).map(ack).collect::<String>().as_bytes());
        }
    }
}

#[test]
fn naks_are_indexed_as_listed() {
    for (index, reason) in Nak::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), index);
    }
}

#[test]
fn lines_of_listings_follow_the_protocol() {
    assert_eq!(who("alice", Some(Priority::NORMAL), 12), b"WHO alice p4 12\n");
    assert_eq!(who("[::1]:9", None, 0), b"WHO [::1]:9 - 0\n");
    assert_eq!(stat("clients", 7), b"STAT clients 7\n");
    assert_eq!(help("/ping  answered at once"), b"HELP /ping  answered at once\n");
    assert_eq!(lost(40), b"LOST 40\n");
}

#[test]
fn line_that_does_not_fit_is_cut_and_still_ends() {
    for over in 0..3 {
        let fitting = ANSWER_LINE_BYTES_MAX - "HELP \n".len();
        let expected = format!("HELP {}\n", "x".repeat(fitting));
        assert_eq!(help(&"x".repeat(fitting + over)), expected.as_bytes());
    }
    assert_eq!(stat(&"x".repeat(1000), 1).last(), Some(&b'\n'));
}

#[test]
fn farewells_follow_the_protocol() {
    use Farewell::*;
    let lines = [Full, NotAllowed, Idle, TooSlow, Quit, ShuttingDown].map(Farewell::line);
    let not_allowed = "ERR 0 not-allowed --allow does not let your address in\n";
    let full = "ERR 0 full all seats are taken; try again later\n";
    let errs = [full, not_allowed, "ERR 0 idle\n", "ERR 0 too-slow\n"];
    assert_eq!(lines[..4], errs);
    assert_eq!(lines[4..], ["BYE quit\n", "BYE shutting-down\n"]);
    let lines = [WrongToken, NotAuthenticated, TokenWithdrawn].map(Farewell::line);
    let not_authenticated = "ERR 0 not-authenticated say /auth TOKEN first\n";
    assert_eq!(lines, ["ERR 0 wrong-token\n", not_authenticated, "ERR 0 token-withdrawn\n"]);
    let lines = [AddressFull, LineTimeout].map(Farewell::line);
    let address_full =
        "ERR 0 address-full close another connection of your address, or raise --per-address\n";
    assert_eq!(lines, [address_full, "ERR 0 line-timeout end each line with LF\n"]);
}

#[test]
fn farewells_are_indexed_as_listed_and_one_line_each() {
    for (index, farewell) in Farewell::ALL.into_iter().enumerate() {
        assert_eq!(farewell.index(), index);
        let (line, word) = (farewell.line(), farewell.as_str());
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        assert!(line.contains(word) || farewell == Farewell::GaveWay, "{line} {word}");
        // The reply to `/quit` precedes it, and both fit the room of one line.
        assert!("OK \n".len() + NUMBER_BYTES_MAX + line.len() <= ANSWER_LINE_BYTES_MAX);
    }
}

#[test]
fn messages_are_appended_and_escaped() {
    let mut batch: Vec<u8, 100> = Vec::new();
    let first = msg(&mut batch, 17, Priority::URGENT, "alice", b"smoke in the workshop").unwrap();
    let second = msg(&mut batch, 18, Priority::MIN, "10.0.0.7:5050", b"\x1b[2J\\").unwrap();
    assert_eq!(batch[first], *b"MSG 17 p9 alice smoke in the workshop\n");
    assert_eq!(batch[second], *b"MSG 18 p0 10.0.0.7:5050 \\x1b[2J\\\\\n");
}

#[test]
fn longest_message_fits_exactly() {
    let mut batch: Vec<u8, MSG_BYTES_MAX> = Vec::new();
    let from = "f".repeat(FROM_BYTES_MAX);
    let range = msg(&mut batch, u64::MAX, Priority::URGENT, &from, &[0xff; TEXT_BYTES]);
    assert_eq!(range, Ok(0..MSG_BYTES_MAX));
}

#[test]
fn full_batch_does_not_change() {
    const LINE: &[u8] = b"MSG 1 p4 a b\n";
    let mut batch: Vec<u8, { 2 * LINE.len() - 1 }> = Vec::new();
    assert_eq!(msg(&mut batch, 1, Priority::NORMAL, "a", b"b"), Ok(0..LINE.len()));
    assert_eq!(msg(&mut batch, 1, Priority::NORMAL, "a", b"b"), Err(BatchFull));
    assert_eq!(batch, LINE);
}
