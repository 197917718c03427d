//! Lines and their meaning, compared with a plain model: however the stream of bytes is split, the lines are
//! the same, and each asks for what the protocol says.

#![no_main]

use firstline::limits::{LINE_BYTES_MAX, RECEIVE_BYTES};
use firstline::protocol::command::parse;
use libfuzzer_sys::fuzz_target;
use model::{ReceiveStep, SMALLEST, frames_are_the_lines, lines_of, request_of, without_advice};
use program::Program;

#[path = "../model/harness/protocol.rs"]
mod model;
mod program;

/// How much one receive brings, and how many lines are taken then.
fn step(program: &mut Program<'_>) -> ReceiveStep {
    let bytes = match program.byte() {
        byte @ 0..0xf0 => usize::from(byte) + 1,
        byte @ 0xf0..0xf8 => LINE_BYTES_MAX - 3 + usize::from(byte & 7),
        _ => RECEIVE_BYTES,
    };
    let lines = match program.byte() {
        0xff => usize::MAX,
        byte => byte.into(),
    };
    (bytes, lines)
}

fuzz_target!(|program: &[u8]| {
    let mut program = Program(program);
    let steps: Vec<ReceiveStep> = (0..=program.byte() & 7).map(|_| step(&mut program)).collect();
    let before = program.text();
    let stream = program.text();
    frames_are_the_lines::<SMALLEST>(&before, &stream, &steps);
    frames_are_the_lines::<{ SMALLEST + 1 }>(&before, &stream, &steps);
    frames_are_the_lines::<RECEIVE_BYTES>(&before, &stream, &steps);
    for line in lines_of(&stream).iter().flatten() {
        assert_eq!(without_advice(parse(line)), request_of(line));
    }
});
