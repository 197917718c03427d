//! Logs that cannot be written: standard error that is full, blocked, broken or closed, and a log file whose
//! disk is full or whose directory is gone.

use crate::scene::Scene;
use crate::support::directory::take_away;
use crate::support::eventually;
use crate::support::hosts::enter_new_network;
use crate::support::mounted::Mounted;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// How many clients come and go; each is logged.
const CLIENTS_IN_SEQUENCE: usize = 1_000;

/// Makes the server log much: clients connect, send and leave.
fn come_and_go(scene: &Scene, round: &str) {
    for number in 0..CLIENTS_IN_SEQUENCE {
        let mut client = scene.speaker(&format!("comer-{round}-{number}"));
        client.say_and_await_replies(1).unwrap();
        client.end_sending();
        client.finish().unwrap();
    }
}

/// Runs a server with a standard error that nobody can read, and with everything else intact.
fn serve_without_log(name: &str, change: impl FnOnce(Command) -> Command) {
    enter_new_network();
    let scene = Scene::start_without_log(name, change);
    let bystander = scene.bystander();
    come_and_go(&scene, "only");
    bystander.assert_prompt();
    scene.end();
}

#[test]
fn full_standard_error_is_harmless() {
    serve_without_log("stderr-full", |mut command| {
        command.stderr(File::create("/dev/full").unwrap());
        command
    });
}

#[test]
fn broken_standard_error_is_harmless() {
    serve_without_log("stderr-broken", |mut command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stderr(writer);
        command
    });
}

#[test]
fn blocked_standard_error_delays_no_client() {
    let (reader, writer) = std::io::pipe().unwrap();
    serve_without_log("stderr-stuck", |mut command| {
        command.stderr(writer);
        command
    });
    drop(reader);
}

#[test]
fn closed_standard_error_is_harmless() {
    serve_without_log("stderr-closed", |inner| {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 2>&-", "sh"]).arg(inner.get_program()).args(inner.get_args());
        command
    });
}

/// A server that logs to that file.
fn start_with_log_file(name: &str, log: &Path) -> Scene {
    enter_new_network();
    Scene::start_without_log(name, |mut command| {
        command.stderr(Stdio::null()).args(["--log-size", "64k", "--log-file"]).arg(log);
        command
    })
}

fn has(log: &Path, what: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains(what))
}

#[test]
fn log_file_on_a_full_disk_reports_lost_records_and_delays_no_client() {
    let disk = Mounted::tmpfs("log", 256);
    let log = disk.0.join("log");
    let scene = start_with_log_file("log-full", &log);
    let bystander = scene.bystander();
    eventually("the server logs", || has(&log, "listening on"));
    disk.fill();
    come_and_go(&scene, "full");
    assert!(scene.stat("log-records-lost") > 0, "the disk was not full");
    disk.free();
    eventually("the loss is logged", || {
        scene.stat("uptime-s");
        has(&log, "log records lost: No space left on device")
    });
    bystander.assert_prompt();
    scene.end();
}

#[test]
fn log_file_is_recreated_with_its_directory() {
    let directory = std::env::temp_dir().join(format!("firstline-faults-{}-gone", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let log = directory.join("log");
    let scene = start_with_log_file("log-gone", &log);
    let bystander = scene.bystander();
    eventually("the server logs", || has(&log, "listening on"));
    take_away(&directory);
    // More than the size of the file: the server would have to begin a new one.
    come_and_go(&scene, "gone");
    scene.server.signal("HUP");
    come_and_go(&scene, "hung-up");
    std::fs::create_dir_all(&directory).unwrap();
    eventually("the server logs again", || {
        scene.stat("uptime-s");
        has(&log, "disconnected")
    });
    bystander.assert_prompt();
    scene.end();
    std::fs::remove_dir_all(&directory).unwrap();
}
