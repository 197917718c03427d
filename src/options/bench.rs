//! The arguments of `firstline bench`.

use super::arguments::{Argument, Known, path, switch, value};
use super::usage::Usage;
use super::values;
use crate::bench_command::work_names;
use crate::limits::{CLIENTS, PORT_DEFAULT};
use std::path::PathBuf;
use std::time::Duration;

/// The options except --help.
pub(super) const NAMES: [&str; 8] =
    ["seconds", "rounds", "only", "save", "compare", "workers", "token-file", "force"];

/// The command that prints the help.
const HELP: &str = "firstline bench --help";

const KNOWN: Known = Known { names: &NAMES, letters: &[], help: HELP };

/// `--seconds`, unless set, in milliseconds: long enough for a percentile of the urgent lines.
const SECONDS_MS_DEFAULT: u64 = 1_000;
const SECONDS_MS_MIN: u64 = 100;
const SECONDS_MS_MAX: u64 = 60_000;

/// `--rounds`, unless set: enough for a median and a range.
const ROUNDS_DEFAULT: u64 = 5;
const ROUNDS_MAX: u64 = 100;

/// What `firstline bench` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchOptions {
    /// The server, as given; `None`: one is started.
    pub server: Option<String>,
    /// How long each measurement of a round takes.
    pub duration: Duration,
    /// How many rounds.
    pub rounds: u64,
    /// The measurements by their names; empty: all.
    pub only: Vec<String>,
    /// Where the figures are written.
    pub save: Option<PathBuf>,
    /// The figures of an earlier run.
    pub compare: Option<PathBuf>,
    /// `--workers` of the server that is started.
    pub workers: Option<usize>,
    /// The file with the token; `None`: the command shows no token.
    pub token_file: Option<PathBuf>,
    /// Whether a server that is in use is measured, too.
    pub force: bool,
}

impl BenchOptions {
    /// Whether the measurement of that name is wanted.
    pub fn is_wanted(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }
}

/// Reads the arguments that follow `bench`; `None`: one of them is `--help`.
///
/// # Errors
/// The first error, in one line.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Option<BenchOptions>, Usage> {
    let mut options = BenchOptions {
        server: None,
        duration: Duration::from_millis(SECONDS_MS_DEFAULT),
        rounds: ROUNDS_DEFAULT,
        only: Vec::new(),
        save: None,
        compare: None,
        workers: None,
        token_file: None,
        force: false,
    };
    while let Some(argument) = KNOWN.next(&mut parser)? {
        match argument {
            Argument::Help => return Ok(None),
            Argument::Option(name) => set(&mut options, name, &mut parser)?,
            Argument::Word(value) if options.server.is_none() => {
                let host = value.to_str().ok_or_else(|| Usage::given(&value, "takes a host in ASCII"))?;
                options.server = Some(host.to_string());
            }
            Argument::Word(value) => return Err(Usage::given(&value, "a second HOST; it takes one")),
        }
    }
    if options.workers.is_some() && options.server.is_some() {
        let allowed = "is for the server that is started without HOST; give one of them";
        return Err(Usage::given("--workers".as_ref(), allowed));
    }
    let of_host = [("--force", options.force), ("--token-file", options.token_file.is_some())];
    if let Some((name, _)) = of_host.into_iter().find(|(_, is_given)| *is_given && options.server.is_none()) {
        return Err(Usage::given(name.as_ref(), format_args!("takes HOST; see {HELP}")));
    }
    Ok(Some(options))
}

fn set(options: &mut BenchOptions, name: &str, parser: &mut lexopt::Parser) -> Result<(), Usage> {
    match name {
        "seconds" => {
            options.duration =
                value(name, parser, |text| values::seconds(text, SECONDS_MS_MIN..=SECONDS_MS_MAX))?;
        }
        "rounds" => options.rounds = value(name, parser, rounds)?,
        "only" => options.only = value(name, parser, only)?,
        "save" => options.save = Some(value(name, parser, |text| path(text, "file"))?),
        "compare" => options.compare = Some(value(name, parser, |text| path(text, "file"))?),
        "workers" => options.workers = Some(value(name, parser, |text| values::count(text, 1..=CLIENTS))?),
        "token-file" => options.token_file = Some(value(name, parser, |text| path(text, "file"))?),
        "force" => options.force = switch(name, parser, true)?,
        _ => unreachable!("--{name} is among NAMES, and nothing sets it"),
    }
    Ok(())
}

fn rounds(text: &str) -> Result<u64, String> {
    let rounds = values::digits(text).filter(|rounds| (1..=ROUNDS_MAX).contains(rounds));
    rounds.ok_or_else(|| format!("takes a number from 1 to {ROUNDS_MAX}"))
}

fn only(text: &str) -> Result<Vec<String>, String> {
    let known = work_names();
    let names: Vec<String> = text.split(',').map(str::to_string).collect();
    match names.iter().all(|name| known.contains(&name.as_str())) {
        true => Ok(names),
        false => Err(format!("takes some of {}", known.join(","))),
    }
}

/// The help of `firstline bench`. Each line ends with LF.
pub fn help() -> String {
    format!(
        "\
Usage: firstline bench [OPTION]... [HOST[:PORT]]

Measures a server, and prints a table: the median, lowest and highest of the
rounds, and of all rounds together the times from a message to its ACK. Without
HOST it starts a server of its own on this machine, and ends it afterwards; then
both share the processors.

  1x1      1 client with 1 message in flight: the round trip
  32x1     32 clients with 1 message in flight each
  32x32    32 clients with 32 messages in flight each
  urgent   an urgent line 2 ms after the ACK of the one before, while 16 clients
           flood with 32 each
  fan-out  1 sender with 16 messages in flight, to 32 clients that joined

If the server takes fewer clients from this machine (see its --per-address),
there is one fewer than it takes. HOST is a name, an IPv4 or an IPv6 address:
raspberrypi, 10.0.0.7:{PORT_DEFAULT}, [::1]:{PORT_DEFAULT}. A server that keeps a journal, has
handlers or other clients is refused, because it would be flooded.

  --seconds S        how long a measurement takes in each round, 0.1 to 60 [1]
  --rounds N         the rounds, 1 to 100; measurements alternate [5]
  --only M,M         only these measurements [all]
  --save F           write the medians to the file F
  --compare F        print each median divided by the one in F
  --workers N        start the server with --workers N; only without HOST
  --token-file F     show HOST the token in F, a file that only its owner can
                     read
  --force            flood HOST although it is in use
  -h, --help         print this

Exit status: 0 measured; 2 a wrong option or file; 4 the server cannot be
reached or is in use, refused messages or went away, or a file cannot be written
"
    )
}

#[cfg(test)]
mod tests {
    use super::super::names::BENCH_WORD;
    use super::super::{Action, Page};
    use super::*;
    use std::ffi::OsString;

    fn read(args: &[&str]) -> Result<Action, String> {
        let args = [BENCH_WORD].iter().chain(args).map(OsString::from);
        let env = [("FIRSTLINE_NONSENSE".into(), "is not looked at".into())];
        super::super::parse(args, env.into_iter()).map_err(|usage| usage.to_string())
    }

    fn usual() -> BenchOptions {
        BenchOptions {
            server: None,
            duration: Duration::from_secs(1),
            rounds: 5,
            only: Vec::new(),
            save: None,
            compare: None,
            workers: None,
            token_file: None,
            force: false,
        }
    }

    #[test]
    fn arguments_are_read() {
        let of_host = || BenchOptions { server: Some("pi".to_string()), ..usual() };
        let cases = [
            (&[][..], usual()),
            (&["pi", "--force"], BenchOptions { force: true, ..of_host() }),
            (&["--workers=1"], BenchOptions { workers: Some(1), ..usual() }),
            (
                &["pi", "--seconds", "0.5", "--rounds", "3"],
                BenchOptions { duration: Duration::from_millis(500), rounds: 3, ..of_host() },
            ),
            (
                &["--only", "1x1,urgent", "--save", "/a", "--compare", "/b", "pi", "--token-file=/t"],
                BenchOptions {
                    only: vec!["1x1".to_string(), "urgent".to_string()],
                    save: Some("/a".into()),
                    compare: Some("/b".into()),
                    token_file: Some("/t".into()),
                    ..of_host()
                },
            ),
        ];
        for (args, expected) in cases {
            assert_eq!(read(args), Ok(Action::Bench(expected)), "{args:?}");
        }
        assert_eq!(read(&["pi", "--help"]), Ok(Action::Print(Page::BenchHelp)));
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_is_allowed() {
        for (args, part) in [
            (&["a", "b"][..], "a second HOST"),
            (&["--seconds", "0"], "takes seconds from 0.1 to 60"),
            (&["--rounds", "0"], "from 1 to 100"),
            (&["--only", "1x1,flood"], "takes some of 1x1,32x1,32x32,urgent,fan-out"),
            (&["--workers", "0"], "takes a whole number from 1 to"),
            (&["--workers", "1", "pi"], "started without HOST"),
            (&["--force"], "takes HOST"),
            (&["--token-file", "/t"], "takes HOST"),
            (&["--round", "3"], "--rounds"),
            (&["--save"], "takes the path of a file"),
        ] {
            let said = read(args).unwrap_err();
            assert!(said.contains(part), "{args:?}: {said}");
        }
    }

    #[test]
    fn help_fits_in_80_columns() {
        assert!(help().lines().all(|line| line.len() <= 80), "{}", help());
    }
}
