//! The program: from the arguments to the exit code.

use firstline::bench_command;
use firstline::handle_command;
use firstline::hub::shutdown::Outcome;
use firstline::hub::startup;
use firstline::journal_command::{self, Verdict};
use firstline::logger::Filter;
use firstline::options::{
    self, Action, BenchOptions, HandleOptions, JournalOptions, Options, Page, SendOptions, Usage,
    WatchOptions,
};
use firstline::process_io::standard_error::say;
use firstline::send_command;
use firstline::watch_command;
use firstline::{budget, companion};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

#[cfg(feature = "alloc-guard")]
#[global_allocator]
static ALLOCATOR: firstline::alloc_guard::Guard = firstline::alloc_guard::Guard;

/// The server or a companion could not start.
const NOT_STARTED: u8 = 1;
/// A journal cannot be read, or is damaged.
const NOT_SOUND: u8 = 1;
/// An option or a variable is wrong.
const USAGE: u8 = 2;
/// The drain time-out passed before everything was processed.
const LEFT_OVER: u8 = 3;
/// A second signal ended the server: this plus the signal's number, as in shells.
const INTERRUPTED: u8 = 128;

/// Runs the program.
pub fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1), std::env::vars_os()) {
        Ok(Action::Serve(options)) => serve(&options),
        Ok(Action::Journal(options)) => journal(&options),
        Ok(Action::Send(options)) => send(&options),
        Ok(Action::Watch(options)) => watch(&options),
        Ok(Action::Handle(options)) => handle(&options),
        Ok(Action::Bench(options)) => bench(&options),
        Ok(Action::Companion(name, args)) => fail(NOT_STARTED, companion::run(name, &args)),
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

fn send(options: &SendOptions) -> ExitCode {
    match send_command::run(options) {
        Ok(verdict) => ExitCode::from(verdict.code()),
        Err(failure) => fail(failure.code(), failure),
    }
}

fn watch(options: &WatchOptions) -> ExitCode {
    match watch_command::run(options) {
        Ok(verdict) => ExitCode::from(verdict.code()),
        Err(failure) => fail(failure.code(), failure),
    }
}

fn handle(options: &HandleOptions) -> ExitCode {
    match handle_command::run(options) {
        Ok(verdict) => ExitCode::from(verdict.code()),
        Err(failure) => fail(failure.code(), failure),
    }
}

fn bench(options: &BenchOptions) -> ExitCode {
    match bench_command::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(failure.code(), failure),
    }
}

fn show(page: Page) -> ExitCode {
    let text = match page {
        Page::Help => options::help(),
        Page::JournalHelp => options::journal_help(),
        Page::SendHelp => options::send_help(),
        Page::WatchHelp => options::watch_help(),
        Page::HandleHelp => options::handle_help(),
        Page::BenchHelp => options::bench_help(),
        Page::Version => options::version() + "\n",
        Page::Sizes => budget::table(),
    };
    // An error means that the reader has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(code: u8, reason: impl Display) -> ExitCode {
    say("firstline", reason);
    ExitCode::from(code)
}
