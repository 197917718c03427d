//! The auth file, compared with a plain model: whatever it contains, it yields names with their tokens and
//! rights, or one line that names the first wrong line.

#![no_main]

use firstline::auth::{Token, Tokens};
use firstline::limits::{NICK_BYTES_MAX, TOKENS_MAX};
use libfuzzer_sys::fuzz_target;
use model::{is_harmless, is_token};

#[path = "../model/harness/protocol.rs"]
mod model;

/// A line of the file: the name, its token, the highest priority, and whether it may join and handle.
type Entry<'a> = (&'a str, &'a str, u8, bool, bool);

/// The entries of a file, or the number of its first wrong line; 0 if there is no entry.
fn entries_of(file: &[u8]) -> Result<Vec<Entry<'_>>, usize> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        let mut words: Vec<&[u8]> =
            line.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty()).collect();
        if words.first().is_none_or(|word| word[0] == b'#') {
            continue;
        }
        if let Some(comment) = (4..words.len()).find(|place| words[*place][0] == b'#') {
            words.truncate(comment);
        }
        let entry = entry_of(&words).ok_or(number)?;
        let is_new = entries.iter().all(|other| other.0 != entry.0 && other.1 != entry.1);
        if !is_new || entries.len() == TOKENS_MAX {
            return Err(number);
        }
        entries.push(entry);
    }
    if entries.is_empty() { Err(0) } else { Ok(entries) }
}

fn entry_of<'a>(words: &[&'a [u8]]) -> Option<Entry<'a>> {
    let words: Vec<&str> = words.iter().map(|word| str::from_utf8(word)).collect::<Result<_, _>>().ok()?;
    let (words, may_handle) = match words[..] {
        [.., "handle"] if words.len() == 5 => (&words[..4], true),
        _ => (&words[..], false),
    };
    let [name, token, priority, join] = words[..] else { return None };
    let is_name = name.len() <= NICK_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let priority = (0..10).find(|number| u8::to_string(number) == priority)?;
    let may_join = match join {
        "join" => true,
        "no-join" => false,
        _ => return None,
    };
    (is_name && is_token(token)).then_some((name, token, priority, may_join, may_handle))
}

fuzz_target!(|file: &[u8]| {
    let mut tokens = Box::new(Tokens::new());
    match (tokens.read(file), entries_of(file)) {
        (Ok(()), Ok(entries)) => {
            assert_eq!(tokens.len(), entries.len());
            for (name, text, priority, may_join, may_handle) in entries {
                let entry = tokens
                    .find(&Token::new(text.as_bytes()).expect("the token is valid"))
                    .expect("the token is known");
                let rights =
                    (entry.rights.priority_max.number(), entry.rights.may_join, entry.rights.may_handle);
                assert_eq!((entry.name.as_str(), rights), (name, (priority, may_join, may_handle)));
                assert!(tokens.has(entry));
                // A name may equal a token, if the owner of the file chose so.
                let tells_token = format!("{entry:?}").replace(name, "").contains(text);
                assert!(!tells_token, "a token would be logged");
            }
        }
        (Err(mistake), Err(line)) => {
            assert_eq!(mistake.line.unwrap_or(0), line);
            let message = mistake.to_string();
            assert!(message.chars().all(is_harmless) && message.len() < 200, "{message:?}");
        }
        (read, model) => panic!("{read:?} for {model:?}"),
    }
});
