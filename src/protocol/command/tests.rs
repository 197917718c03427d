use super::*;
use crate::limits::LINE_BYTES_MAX;

fn of(number: u8, text: &str) -> Request<'_> {
    Request::Message { priority: Priority::new(number).unwrap(), text: text.as_bytes() }
}

fn check(table: &[(&str, Request<'_>)]) {
    for (line, expected) in table {
        assert_eq!(parse(line.as_bytes()), *expected, "{line:?}");
    }
}

#[test]
fn plain_lines_and_words_of_priority_are_messages() {
    check(&[
        ("", Request::Blank),
        ("hi", of(4, "hi")),
        (" ", of(4, " ")),
        ("  two spaces ", of(4, "  two spaces ")),
        ("a /urgent b", of(4, "a /urgent b")),
        (" /urgent b", of(4, " /urgent b")),
        ("//", of(4, "/")),
        ("//ping", of(4, "/ping")),
        ("///", of(4, "//")),
        ("// x", of(4, "/ x")),
        ("/urgent smoke", of(9, "smoke")),
        ("/urgent  smoke ", of(9, " smoke ")),
        ("/urgent \t ", Request::Nak(Nak::Empty)),
        ("/5\t", Request::Nak(Nak::Empty)),
        ("/urgent\tsmoke", of(9, "smoke")),
        ("/urgent\t smoke\t", of(9, " smoke\t")),
        ("/Urgent smoke", of(9, "smoke")),
        ("/URGENT Smoke", of(9, "Smoke")),
        ("/LoW x", of(1, "x")),
        ("/9\tx", of(9, "x")),
        ("\t", of(4, "\t")),
        ("/high /ping", of(7, "/ping")),
        ("/low x", of(1, "x")),
        ("/0 x", of(0, "x")),
        ("/9 x", of(9, "x")),
        ("/urgent", Request::Nak(Nak::Empty)),
        ("/urgent ", Request::Nak(Nak::Empty)),
        ("/5", Request::Nak(Nak::Empty)),
    ]);
}

#[test]
fn every_digit_is_a_priority() {
    for priority in Priority::all() {
        let line = [b'/', priority.digit(), b' ', b'x'];
        assert_eq!(parse(&line), Request::Message { priority, text: b"x" });
    }
}

#[test]
fn longest_text_is_valid_after_any_word() {
    let plain = "x".repeat(TEXT_BYTES);
    let slash = plain.replacen('x', "/", 1);
    let words = ["", "/urgent ", "/high ", "/low ", "/0 "].map(|word| (word, &plain));
    for (before, text) in words.into_iter().chain([("/", &slash)]) {
        let line = format!("{before}{text}");
        let is_whole =
            matches!(parse(line.as_bytes()), Request::Message { text: t, .. } if t == text.as_bytes());
        assert!(is_whole, "{before:?}");
        assert!(line.len() <= LINE_BYTES_MAX, "{before:?}");
        assert_eq!(parse(format!("{line}x").as_bytes()), Request::Nak(Nak::TooLong), "{before:?}");
    }
    assert_eq!(Request::from(Frame::TooLong), Request::Nak(Nak::TooLong));
}

#[test]
fn commands_are_parsed_in_any_case_and_with_blanks_around_arguments() {
    let join = |min| Request::Command(Command::Join { min, since: None });
    let join_since = |min, id| Request::Command(Command::Join { min, since: Some(id) });
    let nick = |name| Request::Command(Command::Nick(name));
    let auth = |token: &'static str| Request::Command(Command::Auth(token.as_bytes()));
    let last = |count| Request::Command(Command::Last(NonZeroU64::new(count).unwrap()));
    let since = |id| Request::Command(Command::Since(id));
    check(&[
        ("/JOIN", join(Priority::MIN)),
        ("/Join\t7 \tsince\t18", join_since(Priority::HIGH, 18)),
        ("/join 5 SINCE 0", join_since(Priority::new(5).unwrap(), 0)),
        ("/JOIN Since 18", join_since(Priority::MIN, 18)),
        ("/nick\tAlice\t", nick("Alice")),
        ("/Auth\t!234567890ABCDE~ ", auth("!234567890ABCDE~")),
        ("/join", join(Priority::MIN)),
        ("/join   ", join(Priority::MIN)),
        ("/join 7", join(Priority::HIGH)),
        ("/join  9 ", join(Priority::URGENT)),
        ("/join since 0", join_since(Priority::MIN, 0)),
        ("/join 7 since 18", join_since(Priority::HIGH, 18)),
        ("/join 7  since  18 ", join_since(Priority::HIGH, 18)),
        ("/leave", Request::Command(Command::Leave)),
        ("/auth !234567890abcde~", auth("!234567890abcde~")),
        ("/auth   /234567890abcdef  ", auth("/234567890abcdef")),
        ("/nick alice", nick("alice")),
        ("/nick  A-b_9  ", nick("A-b_9")),
        ("/nick 0123456789abcdef", nick("0123456789abcdef")),
        ("/who", Request::Command(Command::Who)),
        ("/stats", Request::Command(Command::Stats { is_full: false })),
        ("/stats  Full ", Request::Command(Command::Stats { is_full: true })),
        ("/last 1", last(1)),
        ("/last  0018446744073709551615 ", last(u64::MAX)),
        ("/since 0", since(0)),
        ("/since 18446744073709551615", since(u64::MAX)),
        ("/ping", Request::Command(Command::Ping)),
        ("/ping  ", Request::Command(Command::Ping)),
        ("/help", Request::Command(Command::Help)),
        ("/quit", Request::Command(Command::Quit)),
    ]);
}

#[test]
fn refusals_of_arguments_say_what_is_allowed() {
    check(&[
        ("/join 10", Request::Refused(BAD_MIN)),
        ("/join x", Request::Refused(BAD_MIN)),
        ("/join 5 6", Request::Refused(BAD_MIN)),
        ("/join 55 since 6", Request::Refused(BAD_MIN)),
        ("/join 5 since", Request::Refused(BAD_SINCE)),
        ("/join since", Request::Refused(BAD_SINCE)),
        ("/join 5 SINCE x", Request::Refused(BAD_SINCE)),
        ("/join 7since5", Request::Refused(BAD_MIN)),
        ("/join since -1", Request::Refused(BAD_SINCE)),
        ("/join 5 since 6 7", Request::Refused(BAD_SINCE)),
        ("/auth", Request::Refused(BAD_TOKEN)),
        ("/auth 1234567890abcde", Request::Refused(BAD_TOKEN)),
        ("/auth 12345678 90abcdef", Request::Refused(BAD_TOKEN)),
        ("/auth 1234567890abcdefü", Request::Refused(BAD_TOKEN)),
        ("/auth 1234567890abcdef\x7f", Request::Refused(BAD_TOKEN)),
        ("/nick", Request::Refused(BAD_NAME)),
        ("/nick ", Request::Refused(BAD_NAME)),
        ("/nick a b", Request::Refused(BAD_NAME)),
        ("/nick 0123456789abcdefg", Request::Refused(BAD_NAME)),
        ("/nick grün", Request::Refused(BAD_NAME)),
        ("/nick a:1", Request::Refused(BAD_NAME)),
        ("/nick a\tb", Request::Refused(BAD_NAME)),
        ("/last", Request::Refused(BAD_COUNT)),
        ("/last 0", Request::Refused(BAD_COUNT)),
        ("/last -1", Request::Refused(BAD_COUNT)),
        ("/last +1", Request::Refused(BAD_COUNT)),
        ("/last 1.5", Request::Refused(BAD_COUNT)),
        ("/since", Request::Refused(BAD_ID)),
        ("/since 18446744073709551616", Request::Refused(BAD_ID)),
        ("/since 0x10", Request::Refused(BAD_ID)),
        ("/leave now", Request::Refused(NO_ARGUMENT)),
        ("/who is", Request::Refused(NO_ARGUMENT)),
        ("/stats all", Request::Refused(BAD_DETAIL)),
        ("/ping 1", Request::Refused(NO_ARGUMENT)),
        ("/help ping", Request::Refused(NO_ARGUMENT)),
        ("/quit  x", Request::Refused(NO_ARGUMENT)),
    ]);
}

#[test]
fn unknown_words_are_refused() {
    let long = format!("/urgent{}", "t".repeat(LINE_BYTES_MAX));
    for line in ["/", "/ ", "/ x", "/\tx", "/10 x", "/-1 x", "/é", "/foo", "/x", "/temperature 21", &long] {
        assert_eq!(parse(line.as_bytes()), Request::Refused(UNKNOWN), "{line:?}");
    }
    assert_eq!(parse(b"/\xff\0 x"), Request::Refused(UNKNOWN));
}

#[test]
fn words_that_resemble_a_command_are_refused_with_its_name() {
    for (line, advice) in [
        ("/urgnt smoke", "did you mean /urgent?"),
        ("/urgentx", "did you mean /urgent?"),
        ("/URGANT x", "did you mean /urgent?"),
        ("/jion 5", "did you mean /join?"),
        ("/pin", "did you mean /ping?"),
        ("/stat", "did you mean /stats?"),
        ("/lo x", "did you mean /low?"),
        ("/exit", "did you mean /quit?"),
        ("/lwo x", "did you mean /low?"),
        ("/nope/path", "try /help; //TEXT sends /TEXT"),
    ] {
        let refusal = Request::Refused(Refusal::UnknownCommand(advice));
        assert_eq!(parse(line.as_bytes()), refusal, "{line:?}");
    }
}

fn is_unknown(word: &str) -> bool {
    matches!(parse(word.as_bytes()), Request::Refused(Refusal::UnknownCommand(_)))
}

#[test]
fn help_names_every_command() {
    for line in HELP {
        let word = line.split(' ').next().unwrap();
        assert!(!is_unknown(word), "{line}");
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        let letters = word.trim_start_matches('/');
        let is_letters = letters.len() > 1 && letters.bytes().all(|byte| byte.is_ascii_lowercase());
        assert_eq!(is_letters, KNOWN.iter().any(|(known, _)| *known == letters), "{line}");
    }
    assert!(KNOWN.iter().all(|(known, _)| !is_unknown(&format!("/{known}"))));
}
