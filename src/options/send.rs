//! The arguments of `firstline send`.

use super::arguments::{Argument, Known, path, priority, switch, value};
use super::names::SEND_WORD;
use super::usage::Usage;
use super::values;
use crate::client::limits::{TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX, TIMEOUT_MS_MIN};
use crate::limits::PORT_DEFAULT;
use crate::protocol::Priority;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// The options except --help.
pub(super) const NAMES: [&str; 9] =
    ["priority", "urgent", "high", "low", "token-file", "timeout", "retry", "spool", "flush"];

/// The command that prints the help.
const HELP: &str = "firstline send --help";

const KNOWN: Known = Known { names: &NAMES, letters: &[('p', "priority")], help: HELP };

const TIMEOUT_DEFAULT: Duration = Duration::from_millis(TIMEOUT_MS_DEFAULT);

/// What `firstline send` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// The servers, as given: the client parses them.
    pub servers: String,
    /// The priority of the messages.
    pub priority: Priority,
    /// The file with the token; `None`: the command shows no token.
    pub token_file: Option<PathBuf>,
    /// How long the command tries without an answer before it gives up; `None`: it never gives up.
    pub timeout: Option<Duration>,
    /// Whether to send a message again if its outcome is unknown.
    pub repeats_unknown: bool,
    /// The directory for messages that cannot be sent; `None`: such messages are not kept.
    pub spool: Option<PathBuf>,
    /// What to send.
    pub content: Content,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One message, as given.
    Text(Vec<u8>),
    /// Each line of standard input.
    Lines,
    /// Only what the spool contains.
    Kept,
    /// No text is given: send each line of standard input. It is an error if standard input is a terminal or has no
    /// lines.
    Unsaid,
}

/// The arguments so far.
struct Given {
    host: Option<OsString>,
    words: Vec<OsString>,
    priority: Priority,
    token_file: Option<PathBuf>,
    timeout: Option<Duration>,
    repeats_unknown: bool,
    spool: Option<PathBuf>,
    is_flush: bool,
}

/// Reads the arguments that follow `send`; `None`: one of them is `--help`.
///
/// # Errors
/// The first error, in one line.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Option<SendOptions>, Usage> {
    let mut given = Given {
        host: None,
        words: Vec::new(),
        priority: Priority::NORMAL,
        token_file: None,
        timeout: Some(TIMEOUT_DEFAULT),
        repeats_unknown: false,
        spool: None,
        is_flush: false,
    };
    while let Some(argument) = KNOWN.next(&mut parser)? {
        match argument {
            Argument::Help => return Ok(None),
            Argument::Option(name) => given.set(name, &mut parser)?,
            Argument::Word(word) => given.take_word(word),
        }
    }
    given.options().map(Some)
}

impl Given {
    /// The first word is the host; the others are the text.
    fn take_word(&mut self, word: OsString) {
        match self.host {
            None => self.host = Some(word),
            Some(_) => self.words.push(word),
        }
    }

    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), Usage> {
        match name {
            "priority" => self.priority = value(name, parser, priority)?,
            "token-file" => self.token_file = Some(value(name, parser, |text| path(text, "file"))?),
            "spool" => self.spool = Some(value(name, parser, |text| path(text, "directory"))?),
            "flush" => self.is_flush = switch(name, parser, true)?,
            "timeout" => {
                self.timeout = value(name, parser, |text| {
                    values::seconds_or_off(text, TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX)
                })?;
            }
            "urgent" => self.priority = switch(name, parser, Priority::URGENT)?,
            "high" => self.priority = switch(name, parser, Priority::HIGH)?,
            "low" => self.priority = switch(name, parser, Priority::LOW)?,
            "retry" => self.repeats_unknown = switch(name, parser, true)?,
            _ => unreachable!("--{name} is among NAMES, and nothing sets it"),
        }
        Ok(())
    }

    fn options(self) -> Result<SendOptions, Usage> {
        let Some(host) = self.host else {
            let advice = format!("takes HOST and TEXT; see {HELP}");
            return Err(Usage::given(SEND_WORD.as_ref(), advice));
        };
        let servers = host.to_str().ok_or_else(|| Usage::given(&host, "takes a host in ASCII"))?.to_string();
        Ok(SendOptions {
            servers,
            priority: self.priority,
            token_file: self.token_file,
            timeout: self.timeout,
            repeats_unknown: self.repeats_unknown,
            content: match content(&self.words)? {
                Content::Unsaid if self.is_flush && self.spool.is_some() => Content::Kept,
                _ if self.is_flush => {
                    let advice = "goes with --spool DIR and without TEXT";
                    return Err(Usage::given("--flush".as_ref(), advice));
                }
                content => content,
            },
            spool: self.spool,
        })
    }
}

fn content(words: &[OsString]) -> Result<Content, Usage> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    match words[..] {
        [] => Ok(Content::Unsaid),
        [b"-"] => Ok(Content::Lines),
        _ => {
            let text = words.join(&b' ');
            let refused = |reason| Err(Usage::given(OsStr::from_bytes(&text), reason));
            if text.is_empty() {
                refused("TEXT is empty; give some, or - for the lines of standard input")
            } else if text.contains(&b'\n') {
                refused(
                    "TEXT has a line break, and a message is one line; send lines by standard input, with -",
                )
            } else {
                Ok(Content::Text(text))
            }
        }
    }
}

/// The help of `firstline send`. Each line ends with LF.
pub fn help() -> String {
    format!(
        "\
Usage: firstline send [OPTION]... HOST[:PORT] TEXT...
       firstline send [OPTION]... HOST[:PORT] -
       firstline send [OPTION]... --spool DIR --flush HOST[:PORT]

Sends one message, TEXT with spaces between its words, or with - each line of
standard input that is not empty; so too without TEXT, unless that is a terminal
or has no lines. TEXT is sent as it is, also if it begins with /. Prints the ID
of each message when it is acknowledged, and what a handler answered: ID = TEXT.

HOST is a name, an IPv4 or an IPv6 address: raspberrypi, 10.0.0.7:{PORT_DEFAULT}, ::1,
[::1]:{PORT_DEFAULT}, fe80::1%eth0. Of HOST,HOST the first that answers is used.

  -p, --priority N   0 to 9; 9 is the most urgent [4]
  --urgent --high --low   priority 9, 7, 1
  --token-file F     show the server the token in F, a file that only its owner
                     can read
  --timeout S        give up when nothing was answered for S seconds; off: never
                     [{timeout}]
  --retry            send messages again that became unknown. If the server had
                     them already, they are there twice: standard error says how
                     many may be
  --spool DIR        keep what is not sent in DIR, 10000 messages at most. They
                     are on the disk before this ends. Each call sends what DIR
                     holds, the most urgent first. If a call is killed while it
                     sends one of them, that one is unknown, and sent again only
                     by --retry. If DIR cannot be used, this sends without it
  --flush            only send what DIR holds, and tell what is unknown in it
  -h, --help         print this
Put -- before TEXT that begins with -.

A message can fail in three ways, each told with its line on standard error:
  - refused: the server will not take it, or gives no right; not tried again
  - not sent: no attempt succeeded before --timeout, or no handler took it;
    sending it later doubles nothing
  - unknown: sent, and the connection was lost before the answer
When the time is over, or without a right, the rest of the input is not read;
with --spool, when the time is over, it is read and kept, and the server tried
again until the input ends.
On Ctrl-C or SIGTERM it waits up to 1 s for the answers to what was sent, and
tells what was not acknowledged; the second one ends it at once.

Exit status; of several the least certain, which is in the order 3, 4, 1:
  0      all messages were acknowledged, or with --spool kept
  1      some were refused
  2      a wrong option, a token file that cannot be used, or no message
  3      some are unknown
  4      some were not sent, or the receipts were not written
  128+N  signal N ended it before the end of its input, and nothing failed
",
        timeout = TIMEOUT_DEFAULT.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Page};
    use super::*;

    fn read(args: &[&str]) -> Result<Action, String> {
        let args = [SEND_WORD].iter().chain(args).map(OsString::from);
        let env = [("FIRSTLINE_NONSENSE".into(), "is not looked at".into())];
        super::super::parse(args, env.into_iter()).map_err(|usage| usage.to_string())
    }

    fn of(host: &str, content: Content) -> SendOptions {
        SendOptions {
            servers: host.to_string(),
            priority: Priority::NORMAL,
            token_file: None,
            timeout: Some(TIMEOUT_DEFAULT),
            repeats_unknown: false,
            spool: None,
            content,
        }
    }

    fn text(text: &str) -> Content {
        Content::Text(text.into())
    }

    #[test]
    fn every_option_is_parsed() {
        let smoke = of("pi", text("smoke in the workshop"));
        let urgent = SendOptions { priority: Priority::URGENT, ..smoke.clone() };
        let seconds = |seconds: u64| Some(Duration::from_millis(seconds * 1_000));
        for (args, options) in [
            (&["pi", "smoke", "in", "the workshop"][..], smoke.clone()),
            (&["--urgent", "pi", "smoke in the workshop"], urgent.clone()),
            (&["pi", "smoke", "in", "--urgent", "the", "workshop"], urgent.clone()),
            (&["-p9", "pi", "smoke in the workshop"], urgent.clone()),
            (&["-p", "3", "--priority=9", "pi", "smoke in the workshop"], urgent),
            (&["--low", "pi", "-"], SendOptions { priority: Priority::LOW, ..of("pi", Content::Lines) }),
            (&["--high", "pi"], SendOptions { priority: Priority::HIGH, ..of("pi", Content::Unsaid) }),
            (&["pi", "a", "-"], of("pi", text("a -"))),
            (&["pi", "--", "-5 C"], of("pi", text("-5 C"))),
            (&["pi", "/urgent"], of("pi", text("/urgent"))),
            (&["pi", "-", "--timeout", "off"], SendOptions { timeout: None, ..of("pi", Content::Lines) }),
            (
                &["pi", "--flush", "--spool=d"],
                SendOptions { spool: Some("d".into()), ..of("pi", Content::Kept) },
            ),
            (&["pi", "x", "--timeout=5"], SendOptions { timeout: seconds(5), ..of("pi", text("x")) }),
            (
                &["pi", "x", "--retry", "--token-file", "/t"],
                SendOptions { repeats_unknown: true, token_file: Some("/t".into()), ..of("pi", text("x")) },
            ),
        ] {
            assert_eq!(read(args), Ok(Action::Send(options)), "{args:?}");
        }
        for args in [&["--help"][..], &["pi", "-h", "nonsense"]] {
            assert_eq!(read(args), Ok(Action::Print(Page::SendHelp)));
        }
    }

    #[test]
    fn every_error_says_what_is_allowed() {
        for (args, line) in [
            (&[][..], "send: takes HOST and TEXT; see firstline send --help"),
            (&["pi", "x", "-p", "10"], "--priority 10: takes a priority, 0 to 9, where 9 is the most urgent"),
            (&["-p"], "--priority without a value: takes a priority, 0 to 9, where 9 is the most urgent"),
            (&["--urgnet", "pi"], "--urgnet: no such option; did you mean --urgent?"),
            (&["--token", "pi"], "--token: no such option; did you mean --token-file?"),
            (&["pi", "-5"], "-5: no such option; see firstline send --help"),
            (&["pi", "--retry=yes", "x"], "--retry yes: takes no value"),
            (&["pi", ""], "\"\": TEXT is empty; give some, or - for the lines of standard input"),
            (
                &["pi", "a\nb"],
                "\"a\\nb\": TEXT has a line break, and a message is one line; send lines by standard input, with -",
            ),
            (
                &["pi", "--timeout", "0"],
                "--timeout 0: takes seconds from 0.1 to 86400, with up to 3 decimals, or off; zero does not mean off",
            ),
            (&["pi", "--flush"], "--flush: goes with --spool DIR and without TEXT"),
            (&["pi", "--flush", "--spool", "d", "x"], "--flush: goes with --spool DIR and without TEXT"),
            (
                &["pi", "--token-file", "--retry"],
                "--token-file --retry: takes the path of a file; write ./-NAME for a path that begins with -",
            ),
        ] {
            assert_eq!(read(args), Err(line.to_string()), "{args:?}");
        }
    }
}
