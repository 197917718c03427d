//! Logs that nobody can have: standard error that is full, stuck, broken or closed, and a log file whose disk is full or whose
//! directory is gone.

use crate::common::eventually;
use crate::common::mounted::Mounted;
use crate::hosts::be_alone;
use crate::scene::Scene;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// So many come and go, each with its records in the log.
const COMERS: usize = 1_000;

/// Has much to log: people who come, speak and go.
fn come_and_go(scene: &Scene, round: &str) {
    for number in 0..COMERS {
        let mut comer = scene.speaker(&format!("comer-{round}-{number}"));
        comer.say_and_settle(1).unwrap();
        comer.end_sending();
        comer.finish().unwrap();
    }
}

/// Runs a server with a standard error that nobody can read, and with everything else as it should be.
fn serve_unheard(name: &str, change: impl FnOnce(Command) -> Command) {
    be_alone();
    let scene = Scene::start_unheard(name, change);
    let bystander = scene.bystander();
    come_and_go(&scene, "only");
    bystander.noticed_nothing();
    scene.end();
}

#[test]
fn standard_error_that_is_full_is_no_matter() {
    serve_unheard("stderr-full", |mut command| {
        command.stderr(File::create("/dev/full").unwrap());
        command
    });
}

#[test]
fn standard_error_that_nobody_holds_any_more_is_no_matter() {
    serve_unheard("stderr-broken", |mut command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stderr(writer);
        command
    });
}

#[test]
fn standard_error_that_nobody_reads_keeps_nobody_waiting() {
    let (reader, writer) = std::io::pipe().unwrap();
    serve_unheard("stderr-stuck", |mut command| {
        command.stderr(writer);
        command
    });
    drop(reader);
}

#[test]
fn standard_error_that_was_closed_before_it_began_is_no_matter() {
    serve_unheard("stderr-closed", |inner| {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&-", "sh"]).arg(inner.get_program()).args(inner.get_args());
        command
    });
}

/// A server that logs to that file.
fn start_with_log_file(name: &str, log: &Path) -> Scene {
    be_alone();
    Scene::start_unheard(name, |mut command| {
        command.stderr(Stdio::null()).args(["--log-size", "64k", "--log-file"]).arg(log);
        command
    })
}

fn has(log: &Path, what: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains(what))
}

#[test]
fn a_log_file_on_a_full_disk_loses_records_which_is_told_and_nobody_waits() {
    let disk = Mounted::tmpfs("log", 256);
    let log = disk.0.join("log");
    let scene = start_with_log_file("log-full", &log);
    let bystander = scene.bystander();
    eventually("it logs", || has(&log, "listening on"));
    disk.fill();
    come_and_go(&scene, "full");
    assert!(scene.stat("log-records-lost") > 0, "the disk was not full");
    disk.free();
    eventually("the loss is told", || {
        scene.stat("uptime-s");
        has(&log, "log records lost: No space left on device")
    });
    bystander.noticed_nothing();
    scene.end();
}

#[test]
fn a_log_file_whose_directory_is_gone_comes_back_with_it() {
    let directory = std::env::temp_dir().join(format!("firstline-faults-{}-gone", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let log = directory.join("log");
    let scene = start_with_log_file("log-gone", &log);
    let bystander = scene.bystander();
    eventually("it logs", || has(&log, "listening on"));
    std::fs::remove_dir_all(&directory).unwrap();
    // More than the file may grow to: it would have to begin a new one.
    come_and_go(&scene, "gone");
    scene.server.signal("HUP");
    come_and_go(&scene, "hung-up");
    std::fs::create_dir_all(&directory).unwrap();
    eventually("it logs again", || {
        scene.stat("uptime-s");
        has(&log, "disconnected")
    });
    bystander.noticed_nothing();
    scene.end();
    std::fs::remove_dir_all(&directory).unwrap();
}
