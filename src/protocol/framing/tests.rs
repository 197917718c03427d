use super::*;
use crate::limits::RECEIVE_BYTES;

/// The size of the smallest buffer.
const SMALLEST: usize = ENDED_LINE_BYTES_MAX;

/// An owned frame.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Line(Vec<u8>),
    TooLong,
}

fn line(bytes: impl AsRef<[u8]>) -> Seen {
    Seen::Line(bytes.as_ref().to_vec())
}

fn take_all<const N: usize>(framer: &mut Framer<'_, N>) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(frame) = framer.next() {
        seen.push(match frame {
            Frame::Line(bytes) => line(bytes),
            Frame::TooLong => Seen::TooLong,
        });
    }
    seen
}

/// Passes the bytes to the framer in as many receives as needed, and takes the lines.
fn receive<const N: usize>(framer: &mut Framer<'_, N>, mut bytes: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let free = framer.free();
        let (now, later) = bytes.split_at(bytes.len().min(free.len()));
        free[..now.len()].copy_from_slice(now);
        framer.commit(now.len());
        seen.extend(take_all(framer));
        bytes = later;
    }
    seen
}

fn end<const N: usize>(framer: &mut Framer<'_, N>) -> Vec<Seen> {
    framer.end();
    take_all(framer)
}

#[test]
fn lines_end_with_lf_and_lose_one_cr() {
    let mut buffer = [0; SMALLEST];
    let mut framer = Framer::new(&mut buffer);
    assert_eq!(receive(&mut framer, b"one\ntwo\r\n\n\r\n"), [line("one"), line("two"), line(""), line("")]);
    assert_eq!(receive(&mut framer, b"a\rb\r\r\n\0\xff\n"), [line("a\rb\r"), line(b"\0\xff")]);
    assert_eq!(end(&mut framer), []);
}

#[test]
fn last_line_needs_no_lf_and_is_returned_once() {
    let mut buffer = [0; SMALLEST];
    let table: &[(&[u8], &[Seen])] =
        &[(b"", &[]), (b"hi", &[line("hi")]), (b"hi\r", &[line("hi")]), (b"\r", &[line("")])];
    for (last, expected) in table {
        let mut framer = Framer::new(&mut buffer);
        assert_eq!(receive(&mut framer, last), []);
        assert_eq!(end(&mut framer), *expected);
        assert_eq!(end(&mut framer), []);
    }
}

#[test]
fn waiting_lines_are_returned_after_the_end() {
    let mut buffer = [0; SMALLEST];
    let mut framer = Framer::new(&mut buffer);
    framer.free()[..8].copy_from_slice(b"one\ntwo\n");
    framer.commit(8);
    assert_eq!(end(&mut framer), [line("one"), line("two")]);
}

#[test]
fn nothing_is_received_after_the_end() {
    let mut buffer = [b'x'; SMALLEST];
    let mut framer = Framer::new(&mut buffer);
    framer.end();
    assert!(framer.free().is_empty());
    framer.commit(1);
    assert_eq!(take_all(&mut framer), []);
}

#[test]
fn longest_line_and_one_byte_more() {
    let mut buffer = [0; SMALLEST];
    let longest = vec![b'x'; LINE_BYTES_MAX];
    let longer = vec![b'x'; LINE_BYTES_MAX + 1];
    for ending in ["\n", "\r\n", "\r", ""] {
        let mut framer = Framer::new(&mut buffer);
        let mut seen = receive(&mut framer, &[&longest[..], ending.as_bytes()].concat());
        seen.extend(end(&mut framer));
        assert_eq!(seen, [line(&longest)], "{ending:?}");

        framer.reset();
        let mut seen = receive(&mut framer, &[&longer[..], ending.as_bytes()].concat());
        seen.extend(end(&mut framer));
        assert_eq!(seen, [Seen::TooLong], "{ending:?}");
    }
}

#[test]
fn line_that_is_too_long_is_returned_once_at_its_lf() {
    let mut buffer = [0; RECEIVE_BYTES];
    let mut framer = Framer::new(&mut buffer);
    for _ in 0..100 {
        assert_eq!(receive(&mut framer, &[b'x'; RECEIVE_BYTES]), []);
    }
    assert_eq!(receive(&mut framer, b"tail\nnext\n"), [Seen::TooLong, line("next")]);
    assert_eq!(end(&mut framer), []);
}

#[test]
fn each_byte_is_searched_once() {
    let mut buffer = [0; RECEIVE_BYTES];
    let mut framer = Framer::new(&mut buffer);
    for received in 1..=LINE_BYTES_MAX {
        assert_eq!(receive(&mut framer, b"x"), []);
        assert_eq!((framer.start, framer.scanned, framer.end), (0, received, received));
    }
}

#[test]
fn unfinished_line_moves_only_if_the_longest_line_would_not_fit() {
    let mut buffer = [0; SMALLEST + 10];
    let mut framer = Framer::new(&mut buffer);
    receive(&mut framer, b"123456789\nab");
    assert_eq!((framer.free().len(), framer.start), (SMALLEST - 2, 10));
    receive(&mut framer, b"\nab");
    assert_eq!((framer.free().len(), framer.start), (SMALLEST + 8, 0));
}

#[test]
fn begun_line_is_known_until_its_end() {
    let mut buffer = [0; SMALLEST];
    let mut framer = Framer::new(&mut buffer);
    assert!(!framer.is_within_line());
    for part in ["x".to_string(), "\r".to_string(), "x".repeat(LINE_BYTES_MAX), "y".to_string()] {
        receive(&mut framer, part.as_bytes());
        assert!(framer.is_within_line());
    }
    assert_eq!(receive(&mut framer, b"\n"), [Seen::TooLong]);
    assert!(!framer.is_within_line());
    let free = framer.free();
    free[..3].copy_from_slice(b"a\nb");
    framer.commit(3);
    assert!(framer.has_next() && !framer.is_within_line(), "a whole line waits");
    assert_eq!(take_all(&mut framer), [line("a")]);
    assert!(framer.is_within_line());
}

#[test]
fn skipped_bytes_are_no_part_of_the_line() {
    let mut buffer = [0; SMALLEST];
    let mut framer = Framer::new(&mut buffer);
    receive(&mut framer, b"abc");
    assert_eq!(framer.pending(), b"abc");
    framer.skip(2);
    assert_eq!(framer.pending(), b"c");
    assert_eq!(receive(&mut framer, b"d\n"), [line("cd")]);
    receive(&mut framer, b"ab");
    framer.skip(9);
    assert_eq!(receive(&mut framer, b"\n"), [line("")]);
    receive(&mut framer, &[b'x'; LINE_BYTES_MAX + 2]);
    assert_eq!(framer.pending(), b"", "a line that is too long has no pending bytes");
}

#[test]
fn erasing_keys_remove_the_character_before_in_the_same_line() {
    let table: [(&[&str], &[&str]); 8] = [
        (&["smk\x08oke\n"], &["smoke"]),
        (&["s", "m", "k", "\x7f", "\x08", "moke\r\n"], &["smoke"]),
        (&["caf\u{e9}", "\x08", "e\n"], &["cafe"]),
        (&["\x08\x08a\n"], &["a"]),
        (&["ab\x08\x08\x08\x08\x08c\n"], &["c"]),
        (&["one\n", "\x08two\n"], &["one", "two"]),
        (&["one\n\x7f\x7ftwo\n"], &["one", "two"]),
        (&["", "\n"], &[""]),
    ];
    for (parts, expected) in table {
        let mut buffer = [0; SMALLEST];
        let (mut framer, mut seen) = (Framer::new(&mut buffer), Vec::new());
        for part in parts {
            framer.free()[..part.len()].copy_from_slice(part.as_bytes());
            framer.commit(part.len());
            framer.erase(part.len());
            seen.extend(take_all(&mut framer));
        }
        assert_eq!(seen, expected.iter().map(line).collect::<Vec<_>>(), "{parts:?}");
        assert!(!framer.is_within_line());
    }
    let mut buffer = [0; SMALLEST];
    let mut framer = Framer::new(&mut buffer);
    receive(&mut framer, &[b'x'; LINE_BYTES_MAX + 2]);
    framer.free()[0] = 0x08;
    framer.commit(1);
    framer.erase(1);
    assert_eq!(receive(&mut framer, b"\n"), [Seen::TooLong], "dropped bytes do not come back");
}

#[test]
fn whole_buffer_is_free_when_nothing_is_left() {
    let mut buffer = [0; RECEIVE_BYTES];
    let mut framer = Framer::new(&mut buffer);
    receive(&mut framer, b"hi\n");
    assert_eq!(framer.free().len(), RECEIVE_BYTES);
}

#[test]
fn reset_leaves_no_bytes_of_the_former_client() {
    let mut buffer = [0; RECEIVE_BYTES];
    let mut framer = Framer::new(&mut buffer);
    receive(&mut framer, &[b'x'; 2 * LINE_BYTES_MAX]);
    receive(&mut framer, b"\nsecret");
    framer.end();
    framer.reset();
    assert_eq!(framer.free(), [0; RECEIVE_BYTES]);
    assert_eq!(receive(&mut framer, b"hi\n"), [line("hi")]);
}

#[test]
fn count_beyond_the_free_part_counts_as_all_of_it() {
    let mut buffer = [b'\n'; SMALLEST];
    let mut framer = Framer::new(&mut buffer);
    framer.commit(usize::MAX);
    assert_eq!(take_all(&mut framer).len(), SMALLEST);
}
