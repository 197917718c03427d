//! The command line and the environment: whatever they contain, they yield options within their bounds, or one
//! line that says what is wrong.

#![no_main]

use firstline::limits;
use firstline::options::{self, Action, Options};
use libfuzzer_sys::fuzz_target;
use model::is_harmless;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

#[path = "../model/harness/protocol.rs"]
mod model;

/// The longest error line: arguments are cut in it, and the longest list of allowed values is shorter.
const LINE_BYTES_MAX: usize = 1_000;

/// Each argument ends with a zero, as in `/proc/PID/cmdline`; variables follow an empty argument, as in
/// `/proc/PID/environ`.
fn parse(program: &[u8]) -> Result<Action, options::Usage> {
    let mut words = program.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let args: Vec<OsString> = words.by_ref().take_while(|word| !word.is_empty()).collect();
    let env = words.filter_map(|word| {
        let word = word.into_vec();
        let equals = word.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (word[..equals].to_vec(), word[equals + 1..].to_vec());
        Some((OsString::from_vec(name), OsString::from_vec(value)))
    });
    options::parse(args.into_iter(), env)
}

fn check(options: &Options) {
    let within = |time: Duration, least: u64, most: u64| {
        assert!((Duration::from_millis(least)..=Duration::from_millis(most)).contains(&time));
    };
    assert!(options.listen.len() <= limits::LISTENERS_MAX);
    assert!((1..=limits::CLIENTS).contains(&options.workers));
    assert!((limits::JOURNAL_BYTES_MIN..=limits::JOURNAL_BYTES_MAX).contains(&options.journal_size));
    assert!((limits::LOG_FILE_BYTES_MIN..=limits::LOG_FILE_BYTES_MAX).contains(&options.log_size));
    assert!(options.realtime.is_none_or(|priority| (1..=limits::REALTIME_PRIORITY_MAX).contains(&priority)));
    within(options.sync_interval, limits::SYNC_INTERVAL_MS_MIN, limits::SYNC_INTERVAL_MS_MAX);
    within(options.drain_timeout, limits::TIMEOUT_MS_MIN, limits::DRAIN_TIMEOUT_MS_MAX);
    options.aging.inspect(|time| within(*time, 1, limits::AGING_MS_MAX));
    options.idle_timeout.inspect(|time| within(*time, limits::TIMEOUT_MS_MIN, limits::IDLE_TIMEOUT_MS_MAX));
    options.write_timeout.inspect(|time| within(*time, limits::TIMEOUT_MS_MIN, limits::WRITE_TIMEOUT_MS_MAX));
}

fuzz_target!(|program: &[u8]| {
    let parsed = parse(program);
    match &parsed {
        Ok(Action::Serve(options)) => check(options),
        Ok(_) => {}
        Err(usage) => {
            let line = usage.to_string();
            assert!(!line.is_empty() && line.len() <= LINE_BYTES_MAX, "{line:?}");
            assert!(line.chars().all(is_harmless), "{line:?}");
        }
    }
    assert_eq!(parse(program), parsed, "the result is reproducible");
});
