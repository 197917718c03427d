//! The arguments of `firstline journal`.

use super::usage::{self, Usage};
use super::{Action, JOURNAL_WORD as WORD, Page, values};
use crate::limits;
use crate::protocol::Priority;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The options, but for --help.
const NAMES: [&str; 7] = ["since", "last", "min", "follow", "json", "check", "resize"];

/// Where to look for help.
const HELP: &str = "firstline journal --help";

/// What `firstline journal` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Where the journal is.
    pub directory: PathBuf,
    /// What to do with it.
    pub task: JournalTask,
}

/// What can be done with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalTask {
    /// To print its messages.
    Print(Printing),
    /// To verify it.
    Check,
    /// To carry it over to files that take so many bytes in all.
    Resize(u64),
}

/// Which messages to print, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Printing {
    /// Those behind that ID; none: all of them.
    pub since: Option<u64>,
    /// The last so many of them; none: all of them.
    pub last: Option<u64>,
    /// Those of that priority and above; none: all of them.
    pub min: Option<Priority>,
    /// And what comes later too.
    pub follow: bool,
    /// As JSON.
    pub json: bool,
}

/// What was given so far.
#[derive(Default)]
struct Given {
    directory: Option<OsString>,
    printing: Printing,
    check: bool,
    resize: Option<u64>,
}

/// Reads what stands behind the word.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Action, Usage> {
    let mut given = Given::default();
    while let Some(argument) = parser.next().map_err(usage::unexpected)? {
        let (name, switch) = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                return Ok(Action::Print(Page::JournalHelp));
            }
            lexopt::Arg::Long("since") => {
                let allowed = "takes the ID of a message, a whole number";
                given.printing.since = Some(value("since", &mut parser, allowed, values::digits)?);
                continue;
            }
            lexopt::Arg::Long("last") => {
                let allowed = "takes a number of messages, a whole number";
                given.printing.last = Some(value("last", &mut parser, allowed, values::digits)?);
                continue;
            }
            lexopt::Arg::Long("min") => {
                given.printing.min = Some(value("min", &mut parser, "takes a priority, 0 to 9", priority)?);
                continue;
            }
            lexopt::Arg::Long("resize") => {
                given.resize = Some(resize(&mut parser)?);
                continue;
            }
            lexopt::Arg::Long("follow") => ("follow", &mut given.printing.follow),
            lexopt::Arg::Long("json") => ("json", &mut given.printing.json),
            lexopt::Arg::Long("check") => ("check", &mut given.check),
            lexopt::Arg::Long(name) => return Err(unknown(&format!("--{name}"))),
            lexopt::Arg::Short(letter) => return Err(unknown(&usage::after_one_dash(letter, &mut parser))),
            lexopt::Arg::Value(value) => {
                given.set_directory(value)?;
                continue;
            }
        };
        *switch = true;
        if let Some(value) = parser.optional_value() {
            return Err(Usage::option(name, &value, "takes no value"));
        }
    }
    given.options().map(Action::Journal)
}

fn unknown(given: &str) -> Usage {
    usage::unknown_among(given, NAMES.into_iter().chain(["help"]), HELP)
}

/// The value of the option whose name was just read.
fn value<T>(
    name: &str,
    parser: &mut lexopt::Parser,
    allowed: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, Usage> {
    let Ok(value) = parser.value() else { return Err(usage::missing(name, allowed.to_string())) };
    value.to_str().and_then(read).ok_or_else(|| Usage::option(name, &value, allowed))
}

fn priority(text: &str) -> Option<Priority> {
    match text.as_bytes() {
        [digit] => Priority::from_digit(*digit),
        _ => None,
    }
}

fn resize(parser: &mut lexopt::Parser) -> Result<u64, Usage> {
    let given = parser.value().ok();
    let text = given.as_deref().and_then(OsStr::to_str).unwrap_or_default();
    let bytes = values::bytes(text, limits::JOURNAL_BYTES_MIN..=limits::JOURNAL_BYTES_MAX);
    bytes.map_err(|allowed| match &given {
        Some(value) => Usage::option("resize", value, allowed),
        None => usage::missing("resize", allowed),
    })
}

impl Given {
    fn set_directory(&mut self, value: OsString) -> Result<(), Usage> {
        match &self.directory {
            _ if value.is_empty() => {
                return Err(Usage::given(&value, "no directory; give that of a journal"));
            }
            None => self.directory = Some(value),
            Some(_) => {
                return Err(Usage::given(
                    &value,
                    "a second directory; give one only, and put -- before each option",
                ));
            }
        }
        Ok(())
    }

    fn options(self) -> Result<JournalOptions, Usage> {
        let Some(directory) = self.directory else {
            return Err(Usage::given(
                WORD.as_ref(),
                format_args!("takes the directory of a journal; see {HELP}"),
            ));
        };
        let prints = self.printing != Printing::default();
        let alone = |name: &str| {
            let advice = "goes with the directory alone, and with no other option; leave those out";
            Usage::given(name.as_ref(), advice)
        };
        let task = match (self.check, self.resize) {
            (true, _) if prints || self.resize.is_some() => return Err(alone("--check")),
            (_, Some(_)) if prints => return Err(alone("--resize")),
            (true, _) => JournalTask::Check,
            (false, Some(bytes)) => JournalTask::Resize(bytes),
            (false, None) => JournalTask::Print(self.printing),
        };
        Ok(JournalOptions { directory: directory.into(), task })
    }
}

/// The help of `firstline journal`, each line with its LF.
pub fn help() -> String {
    "\
Usage: firstline journal DIR [--since ID] [--last N] [--min P] [--follow]
                         [--json]
       firstline journal DIR --check
       firstline journal DIR --resize BYTES

Prints the messages in the journal DIR, the oldest first, while a server may
write to it: TIME MSG ID pP FROM TEXT, with the time in UTC by the board's clock
when the message was processed, and the rest as clients are sent it.
  - LOST K         K messages are not in the journal: newer ones took their
                   place, or it is damaged, which standard error tells
  - WITHDRAWN ID   the disk failed, so the server refused the messages from ID
                   on that were just printed; others get these IDs, and follow

  --since ID    only the messages after the one with this ID; if no message has
                it yet, standard error says so, and only new ones are printed
  --last N      only the last N of the chosen messages; N has no upper limit.
                With --follow, then the new ones
  --min P       only messages of priority P, 0 to 9, or higher: with --last the
                last N of those. LOST counts messages of any priority
  --follow      then print new messages as they come, also after a --resize.
                It ends on Ctrl-C, when its output is closed, or when another
                journal takes the place of this one (exit status 1)
  --json        one JSON object a line: id, time, time_ms, priority, from, text.
                Where the text is not UTF-8, text_base64 has its bytes, and text
                has U+FFFD in their places. {\"lost\":K} and {\"withdrawn\":ID} too
  --check       verify all records; print what each file holds, and the
                identity: a number that tells this journal from all others
  --resize BYTES  carry the history over to another --journal-size, 1M to 8G,
                while no server writes to it. A new journal is written beside
                the old one, which takes that much room meanwhile, and replaces
                it when it is whole. In a smaller one the newest are kept.
                Standard error tells what is damaged and left out. Without room
                for the new one nothing changes
  -h, --help    print this

Exit status:
  0      all is well
  1      something is damaged or left out, or there is no journal
  2      a wrong option
"
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Action, String> {
        let args = [WORD].iter().chain(args).map(OsString::from);
        let env = [("FIRSTLINE_NONSENSE".into(), "is not looked at".into())];
        super::super::parse(args, env.into_iter()).map_err(|usage| usage.to_string())
    }

    fn printing(printing: Printing) -> Result<Action, String> {
        let task = JournalTask::Print(printing);
        Ok(Action::Journal(JournalOptions { directory: "d".into(), task }))
    }

    #[test]
    fn what_is_asked_for() {
        let none = Printing::default();
        assert_eq!(read(&["d"]), printing(none));
        assert_eq!(read(&["--since", "7", "d"]), printing(Printing { since: Some(7), ..none }));
        assert_eq!(
            read(&["d", "--since=0", "--follow", "--json"]),
            printing(Printing { since: Some(0), follow: true, json: true, ..none })
        );
        assert_eq!(
            read(&["d", "--last", "10", "--min=7"]),
            printing(Printing { last: Some(10), min: Some(Priority::HIGH), ..none })
        );
        let most = "18446744073709551615";
        assert_eq!(
            read(&["d", "--last", most, "--min", "0"]),
            printing(Printing { last: Some(u64::MAX), min: Some(Priority::MIN), ..none })
        );
        assert_eq!(read(&["d", "--last=0"]), printing(Printing { last: Some(0), ..none }));
        let check = JournalOptions { directory: "-d".into(), task: JournalTask::Check };
        assert_eq!(read(&["--check", "--", "-d"]), Ok(Action::Journal(check)));
        for args in [&["--help"][..], &["d", "-h", "nonsense"]] {
            assert_eq!(read(args), Ok(Action::Print(Page::JournalHelp)));
        }
    }

    #[test]
    fn every_refusal_says_what_is_allowed() {
        for (args, line) in [
            (&[][..], "journal: takes the directory of a journal; see firstline journal --help"),
            (&["d", "e"], "e: a second directory; give one only, and put -- before each option"),
            (&["d", "--since"], "--since without a value: takes the ID of a message, a whole number"),
            (&["d", "--since="], "--since \"\": takes the ID of a message, a whole number"),
            (&["d", "-last", "3"], "-last: no such option; did you mean --last?"),
            (&["d", "-since=3"], "-since: no such option; did you mean --since?"),
            (&["d", "-last3"], "-last3: no such option; did you mean --last?"),
            (&[""], "\"\": no directory; give that of a journal"),
            (
                &["d", "--resize", "2MB"],
                "--resize 2MB: takes bytes from 1M to 8G, where k, M and G are 1024, 1024k and 1024M; write 2M",
            ),
            (
                &["d", "--resize", "3GiB"],
                "--resize 3GiB: takes bytes from 1M to 8G, where k, M and G are 1024, 1024k and 1024M; write 3G",
            ),
            (
                &["d", "--resize", "2m"],
                "--resize 2m: takes bytes from 1M to 8G, where k, M and G are 1024, 1024k and 1024M; write 2M",
            ),
            (
                &["d", "--resize", "9g"],
                "--resize 9g: takes bytes from 1M to 8G, where k, M and G are 1024, 1024k and 1024M",
            ),
            (&["d", "--since", "-1"], "--since -1: takes the ID of a message, a whole number"),
            (&["d", "--folow"], "--folow: no such option; did you mean --follow?"),
            (&["d", "--listen"], "--listen: no such option; see firstline journal --help"),
            (&["d", "--las"], "--las: no such option; did you mean --last?"),
            (&["d", "--minn=7"], "--minn: no such option; did you mean --min?"),
            (&["d", "--hlep"], "--hlep: no such option; did you mean --help?"),
            (&["d", "--last"], "--last without a value: takes a number of messages, a whole number"),
            (&["d", "--last", "ten"], "--last ten: takes a number of messages, a whole number"),
            (&["d", "--last=-1"], "--last -1: takes a number of messages, a whole number"),
            (&["d", "--min"], "--min without a value: takes a priority, 0 to 9"),
            (&["d", "--min", "10"], "--min 10: takes a priority, 0 to 9"),
            (&["d", "--min", "urgent"], "--min urgent: takes a priority, 0 to 9"),
            (
                &["d", "--check", "--last=1"],
                "--check: goes with the directory alone, and with no other option; leave those out",
            ),
            (
                &["d", "--resize=1M", "--min=1"],
                "--resize: goes with the directory alone, and with no other option; leave those out",
            ),
            (&["d", "-x"], "-x: no such option; see firstline journal --help"),
            (&["d", "--json=yes"], "--json yes: takes no value"),
            (&["d", "--check=1"], "--check 1: takes no value"),
            (
                &["d", "--check", "--json"],
                "--check: goes with the directory alone, and with no other option; leave those out",
            ),
        ] {
            assert_eq!(read(args), Err(line.to_string()));
        }
    }

    #[test]
    fn the_help_names_every_option_and_fits_a_terminal() {
        let help = help();
        for name in NAMES {
            assert!(help.contains(&format!("\n  --{name} ")), "{name}");
        }
        assert!(help.lines().all(|line| line.len() <= 80 && line.trim_end() == line), "{help}");
    }
}
