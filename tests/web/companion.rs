//! `firstline web` runs `firstline-web` from beside it.

use crate::support::copy_program;
use crate::support::directory::Directory;
use std::fs;
use std::process::Command;

#[test]
fn companion_gets_the_arguments_and_its_absence_is_one_clear_line() {
    let directory = Directory::new("web-companion");
    fs::create_dir_all(&directory.0).unwrap();
    let hub = directory.0.join("firstline");
    copy_program(env!("CARGO_BIN_EXE_firstline"), &hub);
    let run = || Command::new(&hub).args(["web", "--version"]).output().unwrap();
    let missing = run();
    let error = String::from_utf8(missing.stderr).unwrap();
    assert_eq!((missing.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("the package firstline-web has it"), "{error}");
    copy_program(env!("CARGO_BIN_EXE_firstline-web"), directory.0.join("firstline-web"));
    let found = run();
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        concat!("firstline-web ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
