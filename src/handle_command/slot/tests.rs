//! The time-outs of a slot, at times that the test chooses. Its programs are real.

use super::*;
use crate::handle_command::limits::RESTART_MS_MIN;
use crate::handle_command::task::TaskKey;
use crate::protocol::Priority;
use std::io::{PipeReader, Read as _, pipe};

/// A slot whose program is that shell script, and its log.
struct Bench {
    slot: Slot,
    log: Log,
    reader: PipeReader,
}

impl Bench {
    fn new(script: &str, timeout: Option<Duration>) -> Self {
        let program = Program::new(["sh", "-c", script].map(Into::into).into());
        let (reader, writer) = pipe().unwrap();
        let slot = Slot::new(program, Manner { is_each: false, timeout });
        Self { slot, log: Log::new(&writer).unwrap(), reader }
    }

    /// Advances at that time until `is_done`, and returns the answers.
    fn advance_until(&mut self, now: Instant, is_done: impl Fn(&Slot) -> bool) -> Vec<Answer> {
        let mut answers = Vec::new();
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            answers.extend(self.slot.advance(now, &mut self.log).unwrap().map(|(_, answer)| answer));
            if is_done(&self.slot) {
                return answers;
            }
            assert!(Instant::now() < limit, "{:?}", self.slot);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What was logged.
    fn logged(mut self) -> String {
        while !self.log.is_written() {
            self.log.write();
        }
        drop(self.log);
        let mut logged = String::new();
        self.reader.read_to_string(&mut logged).unwrap();
        logged
    }
}

fn task(now: Instant) -> Task {
    Task {
        key: TaskKey { connection: 1, number: 1 },
        priority: Priority::new(4).unwrap(),
        from: "alice".to_string(),
        text: "shut".to_string(),
        time: Some(crate::handle_command::task::ServerTime::new(Duration::from_secs(600), now)),
    }
}

#[test]
fn program_that_does_not_write_ready_in_its_time_is_started_again() {
    let begin = Instant::now();
    let mut bench = Bench::new("exec sleep 60", None);
    bench.advance_until(begin, |slot| !slot.is_empty());
    assert_eq!(bench.slot.due(), Some(begin + START));
    let just_before = begin + START - Duration::from_nanos(1);
    bench.advance_until(just_before, |_| true);
    assert!(!bench.slot.is_ending() && !bench.slot.is_free());
    // It is ended, and started again after a pause.
    bench.advance_until(begin + START, Slot::is_empty);
    let restart = bench.slot.due().unwrap();
    assert!(restart > begin + START && restart <= begin + START + Duration::from_millis(RESTART_MS_MIN));
    bench.advance_until(restart, |slot| !slot.is_empty());
    assert_eq!(bench.slot.due(), Some(restart + START));
    assert_eq!(
        bench.logged(),
        "firstline: PROGRAM is started again: it does not write READY 1 (or is it for --each?)\n"
    );
}

#[test]
fn program_that_is_over_its_time_out_gets_two_signals_and_the_outcome_is_unknown() {
    let timeout = Duration::from_secs(5);
    let mut bench = Bench::new("trap '' TERM; echo READY 1; while :; do sleep 60; done", Some(timeout));
    let begin = Instant::now();
    bench.advance_until(begin, Slot::is_free);
    bench.slot.give(task(begin), begin);
    assert_eq!(bench.slot.due(), Some(begin + timeout));
    bench.advance_until(begin + timeout, Slot::is_ending);
    assert_eq!(bench.slot.due(), Some(begin + timeout + TERM_GRACE));
    let answers = bench.advance_until(begin + timeout + TERM_GRACE, Slot::is_empty);
    assert!(matches!(answers[..], [Answer::Unknown(_)]), "{answers:?}");
    assert_eq!(bench.logged(), "firstline: task 1: PROGRAM is ended: --timeout is over\n");
}
