//! Arguments in, exit code out.

use firstline::budget;
use firstline::hub::shutdown::Outcome;
use firstline::hub::startup;
use firstline::journal_command::{self, Verdict};
use firstline::logger::Filter;
use firstline::options::{self, Action, JournalOptions, Options, Page, Usage};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

#[cfg(feature = "alloc-guard")]
#[global_allocator]
static ALLOCATOR: firstline::alloc_guard::Guard = firstline::alloc_guard::Guard;

/// It could not start.
const NOT_STARTED: u8 = 1;
/// A journal cannot be read, or something in it is damaged.
const NOT_SOUND: u8 = 1;
/// It was called in a wrong way.
const USAGE: u8 = 2;
/// The drain time-out was over before everything was processed.
const LEFT_OVER: u8 = 3;
/// A second signal ended it: that plus the signal's number, as shells have it.
const INTERRUPTED: u8 = 128;

/// What the process does.
pub fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1), std::env::vars_os()) {
        Ok(Action::Serve(options)) => serve(&options),
        Ok(Action::Journal(options)) => journal(&options),
        Ok(Action::Print(page)) => show(page),
        Err(usage) => fail(USAGE, usage),
    }
}

fn serve(options: &Options) -> ExitCode {
    let filter = match Filter::parse(&options.log_level) {
        Ok(filter) => filter,
        Err(error) => return fail(USAGE, Usage::option("log-level", options.log_level.as_ref(), error)),
    };
    match startup::run(options, filter) {
        Ok(Outcome::Drained) => ExitCode::SUCCESS,
        Ok(Outcome::LeftOver(_)) => ExitCode::from(LEFT_OVER),
        Ok(Outcome::Interrupted(signal)) => ExitCode::from(INTERRUPTED + signal as u8),
        Err(error) => fail(NOT_STARTED, error),
    }
}

fn journal(options: &JournalOptions) -> ExitCode {
    match journal_command::run(options) {
        Ok(Verdict::Sound) => ExitCode::SUCCESS,
        Ok(Verdict::Damaged) => ExitCode::from(NOT_SOUND),
        Err(error) => fail(NOT_SOUND, error),
    }
}

fn show(page: Page) -> ExitCode {
    let text = match page {
        Page::Help => options::help(),
        Page::JournalHelp => options::journal_help(),
        Page::Version => options::version() + "\n",
        Page::Sizes => budget::table(),
    };
    // Nobody may want to read all of it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(code: u8, reason: impl Display) -> ExitCode {
    eprintln!("firstline: {reason}");
    ExitCode::from(code)
}
