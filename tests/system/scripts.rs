//! Every script for users prints its usage, and refuses an unknown option.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The longest usage: as many lines as a terminal has.
const USAGE_LINES_MAX: usize = 24;

/// The directories of the scripts; scripts in other directories are not for users.
const DIRECTORIES: [&str; 11] = [
    "targets",
    "deploy",
    "tests",
    "tests/bench",
    "tests/fuzz",
    "tests/model",
    "tests/soak",
    "tests/stages",
    "tests/system",
    "tests/system/debian",
    "tests/web",
];

/// A stand-in for a program with other options.
const STAND_IN: &str = "recording_engine";

/// The executable files of these directories. If python3 is missing, scripts in Python are left out; the stage `units`
/// then names tests/bench/bridge, the only one.
fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = DIRECTORIES.into_iter().flat_map(|name| fs::read_dir(root.join(name)).unwrap());
    let mut scripts: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
        .filter(|path| name(path) != STAND_IN && (!is_python(path) || has_python()))
        .collect();
    scripts.sort();
    scripts
}

fn is_python(script: &Path) -> bool {
    fs::read_to_string(script).unwrap().starts_with("#!/usr/bin/env python3\n")
}

fn has_python() -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|directory| directory.join("python3").exists())
}

/// Runs a script from another directory, as a user with the script in the `PATH` does.
fn run(script: &Path, argument: &str) -> Output {
    Command::new(script)
        .arg(argument)
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", script.display()))
}

fn name(script: &Path) -> &str {
    script.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_script_prints_its_usage_for_help() {
    for option in ["--help", "-h"] {
        for script in scripts() {
            let output = run(&script, option);
            let usage = String::from_utf8(output.stdout).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} {option}: {}: {said}", script.display(), output.status);
            assert_eq!(said, "", "{} {option}", script.display());
            let is_called = |line: &str| line.starts_with("  ") && line.contains(name(&script));
            assert!(
                usage.lines().any(is_called),
                "{} {option} does not show a call:\n{usage}",
                script.display()
            );
            assert!(usage.lines().count() <= USAGE_LINES_MAX, "{} {option}:\n{usage}", script.display());
        }
    }
}

#[test]
fn every_script_refuses_an_unknown_option_in_one_line() {
    for script in scripts() {
        let output = run(&script, "--no-such-option");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{}: {said}", script.display());
        assert_eq!(said.lines().count(), 1, "{}: {said}", script.display());
        assert!(said.contains(name(&script)), "{}: {said}", script.display());
        assert!(output.stdout.is_empty(), "{}", script.display());
    }
}

#[test]
fn tests_refuse_a_compiler_that_is_too_old_in_one_line() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("old-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let compiler = directory.join("rustc");
    fs::write(&compiler, "#!/bin/sh\necho 'rustc 1.9.0 (of long ago)'\n").unwrap();
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run");
    let output = Command::new(script).env("PATH", path).current_dir("/").output().unwrap();
    fs::remove_dir_all(directory).unwrap();
    let expected = concat!(
        "tests/run: takes Rust ",
        env!("CARGO_PKG_RUST_VERSION"),
        " or later, and finds 1.9.0; run: sudo apt-get install cargo-web\n"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn all_scripts_are_found() {
    let scripts = scripts();
    let names: Vec<_> = scripts.iter().map(|script| name(script)).collect();
    for known in
        ["build", "package", "release", "cross-check", "emulate", "install", "install-here", "soak", "units"]
    {
        assert!(names.contains(&known), "{known} is not among {names:?}");
    }
}
