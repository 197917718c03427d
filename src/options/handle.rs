//! The arguments of `firstline handle`.

use super::arguments::{Argument, Known, path, priority, switch, value};
use super::names::HANDLE_WORD;
use super::usage::{self, Usage};
use super::values;
use crate::client::limits::{TIMEOUT_MS_MAX, TIMEOUT_MS_MIN};
use crate::limits::PORT_DEFAULT;
use crate::protocol::Priority;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The options except --help.
pub(super) const NAMES: [&str; 5] = ["min", "count", "each", "timeout", "token-file"];

/// The command that prints the help.
const HELP: &str = "firstline handle --help";

const KNOWN: Known = Known { names: &NAMES, letters: &[], help: HELP };

/// How long PROGRAM may take for a task by default: the time that a server allows at first.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The highest number of tasks at once. Each takes a process, and no board in `targets/boards` gives a handler more
/// tasks.
const COUNT_MAX: usize = 16;

/// The arguments of `firstline handle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleOptions {
    /// The servers, as given: the client parses them.
    pub servers: String,
    /// The least priority.
    pub min: Priority,
    /// How many tasks to process at once.
    pub count: usize,
    /// The file with the token; `None`: the command shows no token.
    pub token_file: Option<PathBuf>,
    /// Whether each task gets a process of its own.
    pub is_each: bool,
    /// How long the program may take for a task; `None`: as long as the server permits.
    pub timeout: Option<Duration>,
    /// The program and its arguments: at least one element.
    pub program: Vec<OsString>,
}

/// Reads the arguments that follow `handle`; `None`: one of them is `--help`.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Option<HandleOptions>, Usage> {
    let mut host: Option<OsString> = None;
    let mut options = HandleOptions {
        servers: String::new(),
        min: Priority::MIN,
        count: 1,
        token_file: None,
        is_each: false,
        timeout: Some(TIMEOUT_DEFAULT),
        program: Vec::new(),
    };
    while let Some(argument) = KNOWN.next(&mut parser)? {
        match argument {
            Argument::Help => return Ok(None),
            Argument::Option(name) => set(&mut options, name, &mut parser)?,
            Argument::Word(value) if host.is_none() => host = Some(value),
            Argument::Word(value) => {
                options.program.push(value);
                options.program.extend(parser.raw_args().map_err(usage::unexpected)?);
            }
        }
    }
    let lacking = |what: &str| Usage::given(HANDLE_WORD.as_ref(), format_args!("takes {what}; see {HELP}"));
    let host = host.ok_or_else(|| lacking("HOST and -- PROGRAM"))?;
    if options.program.first().is_none_or(|program| program.is_empty()) {
        return Err(lacking("-- PROGRAM after HOST"));
    }
    options.servers = host.to_str().ok_or_else(|| Usage::given(&host, "takes a host in ASCII"))?.to_string();
    Ok(Some(options))
}

fn set(options: &mut HandleOptions, name: &str, parser: &mut lexopt::Parser) -> Result<(), Usage> {
    match name {
        "min" => options.min = value(name, parser, priority)?,
        "count" => options.count = value(name, parser, |text| values::count(text, 1..=COUNT_MAX))?,
        "each" => options.is_each = switch(name, parser, true)?,
        "timeout" => {
            options.timeout =
                value(name, parser, |text| values::seconds_or_off(text, TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX))?;
        }
        "token-file" => options.token_file = Some(value(name, parser, |text| path(text, "file"))?),
        _ => unreachable!("--{name} is among NAMES, and nothing sets it"),
    }
    Ok(())
}

/// The help of `firstline handle`. Each line ends with LF.
pub fn help() -> String {
    format!(
        "\
Usage: firstline handle [OPTION]... HOST[:PORT] -- PROGRAM [ARG]...

Processes messages of a server that was started with --handle: gives each to
PROGRAM, the most urgent first, and tells the sender what PROGRAM answers. Runs
until a signal ends it. When the connection is lost it connects again.

Without --each, PROGRAM runs all the time. It writes READY 1 when it can take
tasks, and then reads a line TASK K pP FROM TEXT for each, escaped as the
protocol has it. Before the next one comes it answers with one line:
  ok [TEXT]     done; the sender gets ACK, with TEXT
  no [TEXT]     not done, and will not be; the sender gets NAK, with TEXT
  later [TEXT]  not now: the server gives the task again in a second or later
Other lines are ignored. An answer without a task ends PROGRAM. Whenever PROGRAM
ends, it is started again after 0.1 s to 30 s. Its standard error is passed on.

HOST is a name, an IPv4 or an IPv6 address: raspberrypi, 10.0.0.7:{PORT_DEFAULT}, ::1,
[::1]:{PORT_DEFAULT}, fe80::1%eth0. Of HOST,HOST the first that answers is used.

  --each             run PROGRAM once for each task. It reads the text, not
                     escaped, from standard input; FIRSTLINE_PRIORITY and
                     FIRSTLINE_FROM have the rest. Its exit status is the
                     answer: 0 ok, 75 later, any other no. The last line of its
                     output is TEXT
  --min P            only messages of priority P, 0 to 9, or higher
  --count N          handle N tasks at once, each with a PROGRAM of its own [1]
  --timeout S        end PROGRAM, with all processes of its process group, when
                     it takes S seconds for a task: SIGTERM, and SIGKILL 2 s
                     later. off: only when the server's --handle-limit is over.
                     The server is asked for more time as needed [{timeout}]
  --token-file F     show the server the token in F, a file that only its owner
                     can read
  -h, --help         print this

If PROGRAM ends or is ended before it answers, nobody knows how much of the task
was done: the sender gets NAK handler-lost, or NAK handler-timeout if the
server's --handle-limit is over first. The sender gets the same if the
connection is lost; PROGRAM may then use the rest of its time (with --timeout
off: of the time that the server gave last), and standard error says what it
answers.
On Ctrl-C or SIGTERM no more tasks are taken, and those that run have 10 s to
finish. A second signal ends them at once.

Exit status:
  0      a signal ended it, and no task was left half done
  1      the server will not give it tasks
  2      a wrong option, or a token file that cannot be used
  3      a signal ended it, and a task may be half done
  4      PROGRAM cannot be started
  128+N  signal N, the second one, ended it at once
",
        timeout = TIMEOUT_DEFAULT.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Page};
    use super::*;

    fn read(args: &[&str]) -> Result<Action, String> {
        let args = [HANDLE_WORD].iter().chain(args).map(OsString::from);
        let env = [("FIRSTLINE_NONSENSE".into(), "is not looked at".into())];
        super::super::parse(args, env.into_iter()).map_err(|usage| usage.to_string())
    }

    fn of(program: &[&str]) -> HandleOptions {
        HandleOptions {
            servers: "pi".to_string(),
            min: Priority::MIN,
            count: 1,
            token_file: None,
            is_each: false,
            timeout: Some(TIMEOUT_DEFAULT),
            program: program.iter().map(OsString::from).collect(),
        }
    }

    #[test]
    fn options_end_where_the_program_begins() {
        for (args, options) in [
            (&["pi", "--", "valve"][..], of(&["valve"])),
            (&["pi", "valve", "--min", "3", "--", "x"], of(&["valve", "--min", "3", "--", "x"])),
            (&["pi", "--", "valve", "--help"], of(&["valve", "--help"])),
            (&["--min", "7", "pi", "--", "v"], HandleOptions { min: Priority::HIGH, ..of(&["v"]) }),
            (
                &["pi", "--count=2", "--each", "--", "v"],
                HandleOptions { count: 2, is_each: true, ..of(&["v"]) },
            ),
            (&["pi", "--timeout", "off", "--", "v"], HandleOptions { timeout: None, ..of(&["v"]) }),
            (
                &["pi", "--timeout=0.5", "--token-file", "t", "--", "v"],
                HandleOptions {
                    timeout: Some(Duration::from_millis(500)),
                    token_file: Some("t".into()),
                    ..of(&["v"])
                },
            ),
        ] {
            assert_eq!(read(args), Ok(Action::Handle(options)), "{args:?}");
        }
        for args in [&["--help"][..], &["pi", "-h", "nonsense"]] {
            assert_eq!(read(args), Ok(Action::Print(Page::HandleHelp)));
        }
    }

    #[test]
    fn every_refusal_says_what_is_allowed() {
        for (args, line) in [
            (&[][..], "handle: takes HOST and -- PROGRAM; see firstline handle --help"),
            (&["pi"], "handle: takes -- PROGRAM after HOST; see firstline handle --help"),
            (&["pi", "--", ""], "handle: takes -- PROGRAM after HOST; see firstline handle --help"),
            (&["--min=x", "pi"], "--min x: takes a priority, 0 to 9, where 9 is the most urgent"),
            (
                &["pi", "--count=0", "--", "v"],
                "--count 0: takes a whole number from 1 to 16; zero does not mean unlimited",
            ),
            (&["pi", "--each=yes", "--", "v"], "--each yes: takes no value"),
            (&["pi", "--tiemout=1", "--", "v"], "--tiemout: no such option; did you mean --timeout?"),
            (&["pi", "-x", "v"], "-x: no such option; see firstline handle --help"),
            (
                &["pi", "--timeout=0", "--", "v"],
                "--timeout 0: takes seconds from 0.1 to 86400, with up to 3 decimals, or off; zero does not mean off",
            ),
        ] {
            assert_eq!(read(args), Err(line.to_string()), "{args:?}");
        }
    }
}
