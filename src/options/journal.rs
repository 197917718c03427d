//! The arguments of `firstline journal`.

use super::usage::{self, Usage};
use super::{Action, Page, values};
use crate::limits;
use std::ffi::OsString;
use std::path::PathBuf;

/// The word that all this stands behind.
pub(super) const WORD: &str = "journal";

/// The options, but for --help.
const NAMES: [&str; 5] = ["since", "follow", "json", "check", "resize"];

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
    Print {
        /// Those with that ID and higher ones; none: all of them.
        since: Option<u64>,
        /// And what comes later too.
        follow: bool,
        /// As JSON.
        json: bool,
    },
    /// To verify it.
    Check,
    /// To carry it over to files that take so many bytes in all.
    Resize(u64),
}

/// What was given so far.
#[derive(Default)]
struct Given {
    directory: Option<OsString>,
    since: Option<u64>,
    follow: bool,
    json: bool,
    check: bool,
    resize: Option<u64>,
}

/// Reads what stands behind the word.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Action, Usage> {
    let mut given = Given::default();
    while let Some(argument) = parser.next().map_err(usage::unexpected)? {
        let switch = match argument {
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                return Ok(Action::Print(Page::JournalHelp));
            }
            lexopt::Arg::Long("since") => {
                given.since = Some(since(parser.value().unwrap_or_default())?);
                continue;
            }
            lexopt::Arg::Long("resize") => {
                given.resize = Some(resize(parser.value().unwrap_or_default())?);
                continue;
            }
            lexopt::Arg::Long("follow") => &mut given.follow,
            lexopt::Arg::Long("json") => &mut given.json,
            lexopt::Arg::Long("check") => &mut given.check,
            lexopt::Arg::Long(name) => return Err(unknown(&format!("--{name}"))),
            lexopt::Arg::Short(letter) => return Err(unknown(&format!("-{letter}"))),
            lexopt::Arg::Value(value) => {
                given.set_directory(value)?;
                continue;
            }
        };
        *switch = true;
        if let Some(value) = parser.optional_value() {
            return Err(Usage::given(&value, "the option before it takes no value"));
        }
    }
    given.options().map(Action::Journal)
}

fn unknown(given: &str) -> Usage {
    usage::unknown_among(given, NAMES.into_iter(), HELP)
}

fn since(value: OsString) -> Result<u64, Usage> {
    let id = value.to_str().filter(|text| !text.is_empty()).and_then(values::digits);
    id.ok_or_else(|| Usage::option("since", &value, "takes the ID of a message, a whole number"))
}

fn resize(value: OsString) -> Result<u64, Usage> {
    let bytes = values::bytes(
        value.to_str().unwrap_or_default(),
        limits::JOURNAL_BYTES_MIN..=limits::JOURNAL_BYTES_MAX,
    );
    bytes.map_err(|allowed| Usage::option("resize", &value, allowed))
}

impl Given {
    fn set_directory(&mut self, value: OsString) -> Result<(), Usage> {
        match &self.directory {
            None => self.directory = Some(value),
            Some(_) => return Err(Usage::given(&value, "one directory is read, and this is a second one")),
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
        let prints = self.follow || self.json || self.since.is_some();
        let task = match (self.check, self.resize) {
            (true, _) if prints || self.resize.is_some() => {
                return Err(Usage::given("--check".as_ref(), "takes no other option than the directory"));
            }
            (_, Some(_)) if prints => {
                return Err(Usage::given("--resize".as_ref(), "takes no other option than the directory"));
            }
            (true, _) => JournalTask::Check,
            (false, Some(bytes)) => JournalTask::Resize(bytes),
            (false, None) => JournalTask::Print { since: self.since, follow: self.follow, json: self.json },
        };
        Ok(JournalOptions { directory: directory.into(), task })
    }
}

/// The help of `firstline journal`, each line with its LF.
pub fn help() -> String {
    "\
Usage: firstline journal DIR [--since ID] [--follow] [--json]
       firstline journal DIR --check
       firstline journal DIR --resize BYTES

Prints the messages in the journal DIR, the oldest first, while a server may
write to it: TIME MSG ID pP FROM TEXT, with the time in UTC by the board's clock
when the message was processed, and the rest as clients are sent it.
  - LOST K         K messages are not in the journal: they went to make room,
                   or their place is damaged, which standard error tells
  - WITHDRAWN ID   those from ID on that were just printed were refused after
                   all, for the disk failed; others have these IDs, and follow

  --since ID    only the messages after the one with this ID; standard error
                tells if the history has not come to it, and what is new comes
  --follow      go on with what comes, until told to end or nobody reads it
  --json        one JSON object a line: id, time, time_ms, priority, from, text.
                Where the text is not UTF-8, text_base64 has its bytes, and text
                has U+FFFD in their places. {\"lost\":K} and {\"withdrawn\":ID} too
  --check       verify all that was written, and tell what is there, and the
                identity: a number that tells this journal from all others
  --resize BYTES  carry the history over to another --journal-size, 1M to 8G,
                while no server writes to it. A new journal is written beside
                the old one, which takes that much room meanwhile, and replaces
                it when it is whole. In a smaller one the newest are kept
  -h, --help    print this

Exit status:
  0      all is well
  1      something is damaged, or there is no journal
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

    fn printing(since: Option<u64>, follow: bool, json: bool) -> Result<Action, String> {
        let task = JournalTask::Print { since, follow, json };
        Ok(Action::Journal(JournalOptions { directory: "d".into(), task }))
    }

    #[test]
    fn what_is_asked_for() {
        assert_eq!(read(&["d"]), printing(None, false, false));
        assert_eq!(read(&["--since", "7", "d"]), printing(Some(7), false, false));
        assert_eq!(read(&["d", "--since=0", "--follow", "--json"]), printing(Some(0), true, true));
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
            (&["d", "e"], "e: one directory is read, and this is a second one"),
            (&["d", "--since"], "--since \"\": takes the ID of a message, a whole number"),
            (&["d", "--since", "-1"], "--since -1: takes the ID of a message, a whole number"),
            (&["d", "--folow"], "--folow: no such option; did you mean --follow?"),
            (&["d", "--listen"], "--listen: no such option; see firstline journal --help"),
            (&["d", "-x"], "-x: no such option; see firstline journal --help"),
            (&["d", "--json=yes"], "yes: the option before it takes no value"),
            (&["d", "--check", "--json"], "--check: takes no other option than the directory"),
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
