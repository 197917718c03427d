//! The options of `firstline journal`.

use super::arguments::{Argument, Known, priority, switch, value};
use super::names::JOURNAL_WORD;
use super::usage::Usage;
use super::values;
use crate::limits;
use crate::protocol::Priority;
use std::ffi::OsString;
use std::path::PathBuf;

/// The options except --help.
pub(super) const NAMES: [&str; 7] = ["since", "last", "min", "follow", "json", "check", "resize"];

/// The command that prints the help.
const HELP: &str = "firstline journal --help";

const KNOWN: Known = Known { names: &NAMES, letters: &[], help: HELP };

/// What `firstline journal` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// The directory of the journal.
    pub directory: PathBuf,
    /// What to do with it.
    pub task: JournalTask,
}

/// What to do with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalTask {
    /// Print its messages.
    Print(Printing),
    /// Check it for damage.
    Check,
    /// Copy it to a journal of this size, in bytes.
    Resize(u64),
}

/// Which messages to print, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Printing {
    /// Print only messages after this ID; `None`: all messages.
    pub since: Option<u64>,
    /// Print only this many of the last messages; `None`: all of them.
    pub last: Option<u64>,
    /// Print only messages of this priority and above; `None`: all of them.
    pub min: Option<Priority>,
    /// Whether to continue with new messages.
    pub follow: bool,
    /// Whether to print JSON.
    pub json: bool,
}

/// The arguments so far.
#[derive(Default)]
struct Given {
    directory: Option<OsString>,
    printing: Printing,
    check: bool,
    resize: Option<u64>,
}

/// Reads the arguments that follow `journal`; `None`: one of them is `--help`.
///
/// # Errors
/// The first error, in one line.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Option<JournalOptions>, Usage> {
    let mut given = Given::default();
    while let Some(argument) = KNOWN.next(&mut parser)? {
        match argument {
            Argument::Help => return Ok(None),
            Argument::Option(name) => given.set(name, &mut parser)?,
            Argument::Word(word) => given.set_directory(word)?,
        }
    }
    given.options().map(Some)
}

fn number(text: &str, of: &str) -> Result<u64, String> {
    values::digits(text).ok_or_else(|| format!("takes {of}, a whole number"))
}

impl Given {
    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), Usage> {
        match name {
            "since" => {
                self.printing.since = Some(value(name, parser, |text| number(text, "the ID of a message"))?);
            }
            "last" => {
                self.printing.last = Some(value(name, parser, |text| number(text, "a number of messages"))?);
            }
            "min" => self.printing.min = Some(value(name, parser, priority)?),
            "follow" => self.printing.follow = switch(name, parser, true)?,
            "json" => self.printing.json = switch(name, parser, true)?,
            "check" => self.check = switch(name, parser, true)?,
            "resize" => {
                let allowed = limits::JOURNAL_BYTES_MIN..=limits::JOURNAL_BYTES_MAX;
                self.resize = Some(value(name, parser, |text| values::bytes(text, allowed))?);
            }
            _ => unreachable!("--{name} is among NAMES, and nothing sets it"),
        }
        Ok(())
    }

    fn set_directory(&mut self, value: OsString) -> Result<(), Usage> {
        if value.is_empty() {
            return Err(Usage::given(&value, "no directory; give that of a journal"));
        }
        if self.directory.is_some() {
            let advice = "a second directory; give one only, and put -- before each option";
            return Err(Usage::given(&value, advice));
        }
        self.directory = Some(value);
        Ok(())
    }

    fn options(self) -> Result<JournalOptions, Usage> {
        let Some(directory) = self.directory else {
            return Err(Usage::given(
                JOURNAL_WORD.as_ref(),
                format_args!("takes the directory of a journal; see {HELP}"),
            ));
        };
        let prints = self.printing != Printing::default();
        let alone = |name: &str| {
            let advice = "takes the directory and no other option; leave the others out";
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Option<JournalOptions>, String> {
        let parser = lexopt::Parser::from_args(args.iter().map(OsString::from));
        parse(parser).map_err(|usage| usage.to_string())
    }

    fn printing(printing: Printing) -> Result<Option<JournalOptions>, String> {
        let task = JournalTask::Print(printing);
        Ok(Some(JournalOptions { directory: "d".into(), task }))
    }

    #[test]
    fn every_option_is_parsed() {
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
        assert_eq!(read(&["--check", "--", "-d"]), Ok(Some(check)));
        for args in [&["--help"][..], &["d", "-h", "nonsense"]] {
            assert_eq!(read(args), Ok(None));
        }
    }

    /// Wrong arguments, and the error message.
    const ERRORS: [(&[&str], &str); 30] = [
        (&[], "journal: takes the directory of a journal; see firstline journal --help"),
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
        (&["d", "--min"], "--min without a value: takes a priority, 0 to 9, where 9 is the most urgent"),
        (&["d", "--min", "10"], "--min 10: takes a priority, 0 to 9, where 9 is the most urgent"),
        (&["d", "--min", "urgent"], "--min urgent: takes a priority, 0 to 9, where 9 is the most urgent"),
        (
            &["d", "--check", "--last=1"],
            "--check: takes the directory and no other option; leave the others out",
        ),
        (
            &["d", "--resize=1M", "--min=1"],
            "--resize: takes the directory and no other option; leave the others out",
        ),
        (&["d", "-x"], "-x: no such option; see firstline journal --help"),
        (&["d", "--json=yes"], "--json yes: takes no value"),
        (&["d", "--check=1"], "--check 1: takes no value"),
        (
            &["d", "--check", "--json"],
            "--check: takes the directory and no other option; leave the others out",
        ),
    ];

    #[test]
    fn every_error_says_what_is_allowed() {
        for (args, line) in ERRORS {
            assert_eq!(read(args), Err(line.to_string()));
        }
    }
}
