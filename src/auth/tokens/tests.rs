use super::*;
use proptest::prelude::*;

const A: &str = "aaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbb";

fn read(file: &str) -> Result<std::vec::Vec<Entry>, Mistake> {
    let mut tokens = Box::new(Tokens::new());
    tokens.read(file.as_bytes()).map(|()| tokens.entries.iter().cloned().collect())
}

fn of(name: &str, token: &str, priority_max: u8, may_join: bool) -> Entry {
    Entry {
        name: String::try_from(name).unwrap(),
        token: Token::new(token.as_bytes()).unwrap(),
        rights: Rights { priority_max: Priority::new(priority_max).unwrap(), may_join, may_handle: false },
    }
}

#[test]
fn spaces_blank_lines_and_comments_are_ignored() {
    let (alice, meter) = (of("alice", A, 9, true), of("meter", B, 0, false));
    for file in [
        format!("alice {A} 9 join\nmeter {B} 0 no-join\n"),
        format!("alice {A} 9 join\nmeter {B} 0 no-join"),
        format!("\u{feff}alice {A} 9 join\r\nmeter {B} 0 no-join\r\n"),
        format!("\n# all\n\n  alice\t{A}   9 \t join  \r\n\t\r\n#\nmeter {B} 0 no-join # in the cellar\n"),
        format!("alice {A} 9 join #\nmeter {B} 0 no-join #no more\n  # alice {A} 9 join"),
    ] {
        assert_eq!(read(&file), Ok([alice.clone(), meter.clone()].to_vec()), "{file}");
    }
    let mut valve = of("valve", A, 0, false);
    valve.rights.may_handle = true;
    for line in [format!("valve {A} 0 no-join handle"), format!("valve {A} 0 no-join\thandle # turns\n")] {
        assert_eq!(read(&line), Ok(vec![valve.clone()]), "{line}");
    }
    let signs = "#!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    assert_eq!(read(&format!("x {signs} 4 join")), Ok(vec![of("x", signs, 4, true)]));
}

#[test]
fn mistakes_are_reported_with_their_line() {
    let long = "x".repeat(TOKEN_BYTES_MAX);
    let good = |token: &str| format!("bob {token} 4 join");
    assert!(read(&good(&long)).is_ok() && read(&good(&long[..TOKEN_BYTES_MIN])).is_ok());
    for (line, what) in [
        ("bob".to_string(), What::Words),
        (format!("bob {B}"), What::Words),
        (format!("bob {B} 4"), What::Words),
        (format!("bob {B} 4 join handle join"), What::Words),
        (format!("bob {B} 4 handle"), What::Join),
        (format!("bob {B} 4 join join"), What::Handle),
        (format!("bob {B} 4 join Handle"), What::Handle),
        (format!("bob {B} 4 # join"), What::Join),
        (format!("bob# {B} 4 join"), What::Name),
        (format!("bob.b {B} 4 join"), What::Name),
        (format!("abcdefghijklmnopq {B} 4 join"), What::Name),
        (format!("\u{feff}bob {B} 4 join"), What::Name),
        (good(&long[..TOKEN_BYTES_MIN - 1]), What::Token),
        (good(&format!("{long}x")), What::Token),
        (good("bbbbbbbbbbbbbbbbü"), What::Token),
        (good("bbbbbbbbbbbbbbbb\0"), What::Token),
        (good("bbbbbbbbbbbbbbbb\x7f"), What::Token),
        (format!("bob {B} 10 join"), What::Priority),
        (format!("bob {B} p4 join"), What::Priority),
        (format!("bob {B} 4 yes"), What::Join),
        (format!("bob {B} 4 Join"), What::Join),
        (format!("alice {B} 4 join"), What::NameTwice),
        (format!("bob {A} 4 join"), What::TokenTwice),
    ] {
        let file = format!("# first\nalice {A} 9 join\n\n{line}\nbob nonsense\n");
        assert_eq!(read(&file), Err(Mistake { line: Some(4), what }), "{line}");
        let said = Mistake { line: Some(4), what }.to_string();
        assert!(said.starts_with("line 4: ") && !said.contains("bbbb"), "{said}");
    }
    for nobody in ["", "\n", "# nobody\n", " \t \r\n"] {
        assert_eq!(read(nobody), Err(Mistake { line: None, what: What::Nobody }));
    }
}

#[test]
fn number_of_names_has_a_bound() {
    let line = |number: usize| format!("{number} token-of-that-one-{number} 4 join\n");
    let mut file: std::string::String = (0..TOKENS_MAX).map(line).collect();
    let mut tokens = Box::new(Tokens::new());
    tokens.read(file.as_bytes()).unwrap();
    assert_eq!(tokens.len(), TOKENS_MAX);
    for number in 0..TOKENS_MAX {
        let token = Token::new(format!("token-of-that-one-{number}").as_bytes()).unwrap();
        assert_eq!(tokens.find(&token).unwrap().name.as_str(), number.to_string());
    }
    file += &line(TOKENS_MAX);
    assert_eq!(
        tokens.read(file.as_bytes()),
        Err(Mistake { line: Some(TOKENS_MAX + 1), what: What::TooMany })
    );
}

#[test]
fn only_the_whole_token_matches() {
    let mut tokens = Box::new(Tokens::new());
    let longer = format!("{A}a");
    tokens.read(format!("alice {A} 9 join\nbob {longer} 9 join\ncarol {B} 9 join").as_bytes()).unwrap();
    let find =
        |text: &str| tokens.find(&Token::new(text.as_bytes()).unwrap()).map(|entry| entry.name.as_str());
    assert_eq!(find(A), Some("alice"));
    assert_eq!(find(&longer), Some("bob"));
    assert_eq!(find(B), Some("carol"));
    assert_eq!(find(&format!("{longer}a")), None);
    assert_eq!(find("baaaaaaaaaaaaaaa"), None);
    assert_eq!(find("aaaaaaaaaaaaaaab"), None);
}

#[test]
fn entries_are_equal_only_if_all_fields_are() {
    let mut tokens = Box::new(Tokens::new());
    tokens.read(format!("alice {A} 7 join").as_bytes()).unwrap();
    assert!(tokens.has(&of("alice", A, 7, true)));
    for other in [
        of("alicf", A, 7, true),
        of("alice", B, 7, true),
        of("alice", A, 6, true),
        of("alice", A, 7, false),
        Entry {
            rights: Rights { may_handle: true, ..of("alice", A, 7, true).rights },
            ..of("alice", A, 7, true)
        },
    ] {
        assert!(!tokens.has(&other), "{other:?}");
    }
}

#[test]
fn token_is_not_in_debug_output() {
    let entry = of("alice", A, 7, true);
    assert!(!format!("{entry:?} {:?}", entry.token).contains("aaa"));
}

/// Bytes that resemble a file.
fn nearly_a_file() -> impl Strategy<Value = std::vec::Vec<u8>> {
    let word = prop_oneof![
        Just(A.as_bytes().to_vec()),
        Just(B.as_bytes().to_vec()),
        Just(b"alice".to_vec()),
        Just(b"join".to_vec()),
        Just(b"no-join".to_vec()),
        Just(b"handle".to_vec()),
        Just(b"#".to_vec()),
        "[0-9]".prop_map(std::string::String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let gap =
        prop_oneof![Just(b" ".to_vec()), Just(b"\t ".to_vec()), Just(b"\n".to_vec()), Just(b"\r\n".to_vec())];
    prop::collection::vec((word, gap), 0..40)
        .prop_map(|words| words.into_iter().flat_map(|(word, gap)| [word, gap].concat()).collect())
}

/// A name and a token.
type Line = (std::vec::Vec<u8>, std::vec::Vec<u8>);

/// A simple, slow reader of a file: its entries, or else the number of the first line with a mistake.
fn model(file: &[u8]) -> Result<std::vec::Vec<Line>, usize> {
    let mut entries = std::vec::Vec::<Line>::new();
    for (index, line) in file.split(|byte| *byte == b'\n').enumerate() {
        let mut words: std::vec::Vec<&[u8]> =
            line.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty()).collect();
        let comment = (0..words.len()).find(|&place| (place == 0 || place >= 4) && words[place][0] == b'#');
        words.truncate(comment.unwrap_or(words.len()));
        if words.is_empty() {
            continue;
        }
        let is_name = |word: &[u8]| {
            word.len() <= 16 && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
        };
        let is_token =
            |word: &[u8]| (16..=64).contains(&word.len()) && word.iter().all(|byte| (33..127).contains(byte));
        let is_good = (words.len() == 4 || words.len() == 5 && words[4] == b"handle")
            && is_name(words[0])
            && is_token(words[1])
            && words[2].len() == 1
            && words[2][0].is_ascii_digit()
            && [&b"join"[..], b"no-join"].contains(&words[3])
            && entries.iter().all(|(name, token)| name != words[0] && token != words[1]);
        if !is_good {
            return Err(index + 1);
        }
        entries.push((words[0].to_vec(), words[1].to_vec()));
    }
    if entries.is_empty() { Err(0) } else { Ok(entries) }
}

proptest! {
    #[test]
    fn any_bytes_are_read_as_the_model_reads_them(
        file in prop_oneof![nearly_a_file(), prop::collection::vec(any::<u8>(), 0..300)],
    ) {
        let mut tokens = Box::new(Tokens::new());
        let read = tokens.read(&file).map_err(|mistake| mistake.line.unwrap_or(0));
        let expected = model(&file);
        prop_assert_eq!(read, expected.as_ref().map(|_| ()).map_err(|line| *line));
        for (name, token) in expected.unwrap_or_default() {
            let found = tokens.find(&Token::new(&token).unwrap()).map(|entry| entry.name.as_bytes());
            prop_assert_eq!(found, Some(&name[..]));
        }
    }
}
