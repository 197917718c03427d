//! `firstline send` with the lines of a file: how fast they are acknowledged.

use crate::server::firstline;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many lines the file has.
const LINES: usize = 100_000;

/// Lines acknowledged in a second, from the start of the command to its end.
pub fn per_second(address: SocketAddr, text_bytes: usize) -> f64 {
    let path = std::env::temp_dir().join(format!("firstline-bench-{}-lines", std::process::id()));
    fs::write(&path, format!("{}\n", "x".repeat(text_bytes)).repeat(LINES)).expect("a temporary file");
    let mut command = Command::new(firstline());
    command.args(["send", &address.to_string(), "-"]).stdin(File::open(&path).unwrap()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status();
    let elapsed = begin.elapsed();
    let _ = fs::remove_file(&path);
    assert!(status.is_ok_and(|status| status.success()), "every line is acknowledged");
    LINES as f64 / elapsed.as_secs_f64()
}
