//! `firstline bench`: measures how fast a server acknowledges, how long an urgent line takes while others flood it, and
//! how fast messages reach clients that joined. This process is not the server, so it may allocate. Its memory is
//! bounded: a histogram for each measurement, and the messages in flight.
//!
//! | file | owns |
//! | --- | --- |
//! | [`limits`] | the bounds |
//! | `target` | the server to measure |
//! | `own` | a server that is started for the measurement |
//! | `survey` | what the server says about itself, and reasons not to flood it |
//! | [`protocol`] | what the load generator has to know of a protocol |
//! | [`load`] | the load generator |
//! | [`urgent`] | the time of an urgent line in a flood |
//! | [`trouble`] | why a measurement ended early |
//! | `work` | the measurements |
//! | `figures` | the figures of all rounds |
//! | `saved` | figures in a file |
//! | [`machine`] | the machine that this runs on |
//! | `report` | tables and plots as text |
//!
//! [`protocol`], [`load`] and [`machine`] also serve `tests/bench`, which measures other servers.

mod figures;
pub mod limits;
pub mod load;
pub mod machine;
mod own;
pub mod protocol;
mod report;
mod saved;
mod survey;
mod target;
pub mod trouble;
pub mod urgent;
mod work;

use crate::options::BenchOptions;
use crate::process_io::failure::Failure;
use crate::process_io::standard_error::say;
use figures::Figures;
use protocol::Lines;
use saved::Saved;
use std::io::Write as _;
use survey::Survey;
use target::Target;
use trouble::Trouble;
use work::{Bench, Work};

/// The names of the measurements, for `--only`.
pub fn work_names() -> [&'static str; Work::ALL.len()] {
    Work::ALL.map(Work::name)
}

/// Measures, and prints the report.
///
/// # Errors
/// Nothing can be measured, or the server went away.
pub fn run(options: &BenchOptions) -> Result<(), Failure> {
    let before = options.compare.as_deref().map(Saved::read).transpose()?;
    let mut target = Target::of(options)?;
    let lines = Lines::new(target.token());
    let survey = target.survey(&lines).map_err(|trouble| target.failure(&trouble))?;
    let bench = prepare(options, &target, &survey, &lines).map_err(|trouble| target.failure(&trouble))?;
    let figures = measure(options, &bench).map_err(|trouble| target.failure(&trouble))?;
    // Before the file is written: if that fails, the figures are not lost.
    let report = report::text(options, &target, &bench, &figures, before.as_ref());
    std::io::stdout().write_all(report.as_bytes())?;
    let Some(path) = &options.save else { return Ok(()) };
    Saved::of(report::circumstances(options, &target, &bench), &figures).write(path)
}

/// Refuses a server that is in use, and finds out how many clients it takes.
fn prepare<'a>(
    options: &BenchOptions,
    target: &Target,
    survey: &Survey,
    lines: &'a Lines,
) -> Result<Bench<'a>, Trouble> {
    if !options.force && !target.is_own() {
        survey.refuse_if_in_use()?;
    }
    Bench::new(target.address(), lines, survey, options.duration)
}

/// The measurements alternate, so that other load of the machine affects all of them.
fn measure(options: &BenchOptions, bench: &Bench<'_>) -> Result<Vec<Figures>, Trouble> {
    let wanted = Work::ALL.into_iter().filter(|work| options.is_wanted(work.name()));
    let mut figures: Vec<Figures> = wanted.map(Figures::new).collect();
    for round in 1..=options.rounds {
        say("firstline", format_args!("round {round} of {}", options.rounds));
        for measured in &mut figures {
            measured.add(&bench.run(measured.work)?);
        }
    }
    Ok(figures)
}
