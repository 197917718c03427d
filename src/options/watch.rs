//! The arguments of `firstline watch`.

use super::arguments::{Argument, Known, path, priority, switch, value};
use super::names::WATCH_WORD;
use super::usage::Usage;
use super::values;
use crate::client::limits::{TIMEOUT_MS_MAX, TIMEOUT_MS_MIN};
use crate::limits::PORT_DEFAULT;
use crate::protocol::Priority;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The options except --help.
pub(super) const NAMES: [&str; 7] = ["min", "since", "state", "json", "count", "timeout", "token-file"];

/// The command that prints the help.
const HELP: &str = "firstline watch --help";

const KNOWN: Known = Known { names: &NAMES, letters: &[], help: HELP };

/// What `firstline watch` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// The servers, as given: the client parses them.
    pub servers: String,
    /// The least priority.
    pub min: Priority,
    /// Where to begin, if the state has no positions.
    pub since: Since,
    /// The file that records the position up to which messages were printed; `None`: the position is not recorded.
    pub state: Option<PathBuf>,
    /// Whether to print JSON.
    pub json: bool,
    /// After how many messages to end; `None`: after no number of messages.
    pub count: Option<u64>,
    /// How long to wait for a message before the command ends; `None`: without a limit.
    pub timeout: Option<Duration>,
    /// The file with the token; `None`: the command shows no token.
    pub token_file: Option<PathBuf>,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// With the oldest message in the journal.
    All,
    /// After the message with that ID.
    Id(u64),
    /// With new messages only.
    Last,
}

/// Reads the arguments that follow `watch`; `None`: one of them is `--help`.
///
/// # Errors
/// The first error, in one line.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Option<WatchOptions>, Usage> {
    let mut host: Option<OsString> = None;
    let mut options = WatchOptions {
        servers: String::new(),
        min: Priority::MIN,
        since: Since::Last,
        state: None,
        json: false,
        count: None,
        timeout: None,
        token_file: None,
    };
    while let Some(argument) = KNOWN.next(&mut parser)? {
        match argument {
            Argument::Help => return Ok(None),
            Argument::Option(name) => set(&mut options, name, &mut parser)?,
            Argument::Word(value) if host.is_none() => host = Some(value),
            Argument::Word(value) => {
                return Err(Usage::given(&value, "a second HOST; give several as HOST,HOST"));
            }
        }
    }
    let Some(host) = host else {
        return Err(Usage::given(WATCH_WORD.as_ref(), format_args!("takes HOST; see {HELP}")));
    };
    options.servers = host.to_str().ok_or_else(|| Usage::given(&host, "takes a host in ASCII"))?.to_string();
    Ok(Some(options))
}

fn set(options: &mut WatchOptions, name: &str, parser: &mut lexopt::Parser) -> Result<(), Usage> {
    match name {
        "min" => options.min = value(name, parser, priority)?,
        "since" => options.since = value(name, parser, since)?,
        "state" => options.state = Some(value(name, parser, |text| path(text, "file"))?),
        "json" => options.json = switch(name, parser, true)?,
        "count" => options.count = Some(value(name, parser, count)?),
        "timeout" => {
            options.timeout =
                value(name, parser, |text| values::seconds_or_off(text, TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX))?
        }
        "token-file" => options.token_file = Some(value(name, parser, |text| path(text, "file"))?),
        _ => unreachable!("--{name} is among NAMES, and nothing sets it"),
    }
    Ok(())
}

fn since(text: &str) -> Result<Since, String> {
    match text {
        "all" => Ok(Since::All),
        "last" => Ok(Since::Last),
        _ => values::digits(text)
            .map(Since::Id)
            .ok_or_else(|| "takes the ID of a message, all, or last".to_string()),
    }
}

fn count(text: &str) -> Result<u64, String> {
    let count = values::digits(text).filter(|count| *count > 0);
    count.ok_or_else(|| "takes a number of messages, 1 or more; without it there is no end".to_string())
}

/// The help of `firstline watch`. Each line ends with LF.
pub fn help() -> String {
    format!(
        "\
Usage: firstline watch [OPTION]... HOST[:PORT]

Prints the messages that the server processes, as they come: MSG ID pP FROM
TEXT, escaped as in the protocol. When the connection is lost it connects
again, and continues after the last message, if the server keeps a journal. Each
message is printed once and in order, or reported as missing:
  - LOST K   K messages are gone from the journal; with --min, of any priority
  - LOST ?   an unknown number: the server keeps no journal, or another one than
             before, which is then printed from its beginning
Standard error says why.

HOST is a name, an IPv4 or an IPv6 address: raspberrypi, 10.0.0.7:{PORT_DEFAULT}, ::1,
[::1]:{PORT_DEFAULT}, fe80::1%eth0. Of HOST,HOST the first that answers is used; of each
it is known how far it was printed.

  --min P            only messages of priority P, 0 to 9, or higher
  --since ID         begin after that message; all: with the oldest that is
                     left; last: with what comes from now on [last]
  --state F          keep in the file F how far it has printed, and begin there
                     next time, whatever --since says. F is written at the end,
                     and once a second at most. After kill -9 or a loss of
                     power what was printed in the last second is printed
                     again. Nothing else may use F, F.lock and F.new
  --json             one JSON object a line: id, priority, from, text. Where the
                     text is not UTF-8, text_base64 has its bytes, and text has
                     U+FFFD in their places. {{\"lost\":K}} and {{\"lost\":null}} too
  --count N          end after N messages
  --timeout S        end when no message came for S seconds; off: never [off]
  --token-file F     show the server the token in F, a file that only its owner
                     can read
  -h, --help         print this

Exit status:
  0      --count messages were printed, or nobody reads the output any more
  1      the server will not let it watch
  2      a wrong option, or a token file or state that cannot be used
  3      --timeout is over
  4      the output, or the state at the end, cannot be written
  128+N  signal N ended it: Ctrl-C, SIGTERM or SIGHUP. What has come is printed
         before that, for up to 1 s
"
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Page};
    use super::*;

    fn read(args: &[&str]) -> Result<Action, String> {
        let args = [WATCH_WORD].iter().chain(args).map(OsString::from);
        let env = [("FIRSTLINE_NONSENSE".into(), "is not looked at".into())];
        super::super::parse(args, env.into_iter()).map_err(|usage| usage.to_string())
    }

    fn of(host: &str) -> WatchOptions {
        WatchOptions {
            servers: host.to_string(),
            min: Priority::MIN,
            since: Since::Last,
            state: None,
            json: false,
            count: None,
            timeout: None,
            token_file: None,
        }
    }

    #[test]
    fn every_option_is_parsed() {
        let seconds = |seconds: u64| Some(Duration::from_secs(seconds));
        for (args, options) in [
            (&["pi"][..], of("pi")),
            (&["--min", "7", "pi"], WatchOptions { min: Priority::HIGH, ..of("pi") }),
            (&["pi", "--since", "all"], WatchOptions { since: Since::All, ..of("pi") }),
            (&["pi", "--since=17"], WatchOptions { since: Since::Id(17), ..of("pi") }),
            (&["pi", "--since=all", "--since", "last"], of("pi")),
            (
                &["pi", "--state", "/s", "--json"],
                WatchOptions { state: Some("/s".into()), json: true, ..of("pi") },
            ),
            (
                &["pi", "--count", "1", "--timeout=5"],
                WatchOptions { count: Some(1), timeout: seconds(5), ..of("pi") },
            ),
            (&["pi", "--timeout=off"], of("pi")),
            (&["a,b", "--token-file", "t"], WatchOptions { token_file: Some("t".into()), ..of("a,b") }),
        ] {
            assert_eq!(read(args), Ok(Action::Watch(options)), "{args:?}");
        }
        for args in [&["--help"][..], &["pi", "-h", "nonsense"]] {
            assert_eq!(read(args), Ok(Action::Print(Page::WatchHelp)));
        }
    }

    #[test]
    fn every_error_says_what_is_allowed() {
        for (args, line) in [
            (&[][..], "watch: takes HOST; see firstline watch --help"),
            (&["a", "b"], "b: a second HOST; give several as HOST,HOST"),
            (&["pi", "--min", "10"], "--min 10: takes a priority, 0 to 9, where 9 is the most urgent"),
            (&["pi", "--since", "now"], "--since now: takes the ID of a message, all, or last"),
            (&["pi", "--since"], "--since without a value: takes the ID of a message, all, or last"),
            (&["pi", "--since=-1"], "--since -1: takes the ID of a message, all, or last"),
            (
                &["pi", "--count=0"],
                "--count 0: takes a number of messages, 1 or more; without it there is no end",
            ),
            (&["pi", "--json=yes"], "--json yes: takes no value"),
            (&["pi", "--stat", "f"], "--stat: no such option; did you mean --state?"),
            (&["pi", "-n", "3"], "-n: no such option; see firstline watch --help"),
            (
                &["pi", "--state", "--json"],
                "--state --json: takes the path of a file; write ./-NAME for a path that begins with -",
            ),
            (
                &["pi", "--timeout", "0"],
                "--timeout 0: takes seconds from 0.1 to 86400, with up to 3 decimals, or off; zero does not mean off",
            ),
        ] {
            assert_eq!(read(args), Err(line.to_string()), "{args:?}");
        }
    }
}
