//! Proves that the allocator of `alloc-guard` ends the process: this program runs itself again, arms the guard,
//! and allocates. Without that proof a suite that passes under the guard would prove nothing.

use firstline::alloc_guard::{self, Guard};
use std::process::{Command, ExitCode};

#[global_allocator]
static ALLOCATOR: Guard = Guard;

/// The variable that tells a child what to do.
const VICTIM: &str = "FIRSTLINE_TEST_GUARD";

fn main() -> ExitCode {
    match std::env::var(VICTIM).as_deref() {
        Ok("allocates") => {
            alloc_guard::arm();
            // black_box keeps the compiler from removing the box.
            std::hint::black_box(Box::new(17));
            ExitCode::SUCCESS
        }
        Ok("does not") => {
            let before = std::hint::black_box(Box::new(17));
            alloc_guard::arm();
            // Freeing is allowed: it takes no memory.
            drop(before);
            ExitCode::SUCCESS
        }
        _ => prove(),
    }
}

/// Runs both children, and reports the results as a test runner does.
fn prove() -> ExitCode {
    let run = |what: &str| {
        let program = std::env::current_exe().expect("this program has a path");
        Command::new(program).env(VICTIM, what).output().expect("this program can be started")
    };
    let (bad, good) = (run("allocates"), run("does not"));
    let is_reported = String::from_utf8_lossy(&bad.stderr).contains("memory was allocated after \"ready\"");
    let results = [!bad.status.success() && is_reported, good.status.success()];
    let passed = results.iter().filter(|passed| **passed).count();
    println!("alloc_guard: {passed} passed, {} failed", results.len() - passed);
    if passed == results.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
