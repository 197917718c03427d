//! A wrong board file ends the build, with a line that says what is valid.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A copy of the crate in cargo's directory for tests, which one run uses at a time.
struct Copy {
    source: PathBuf,
    /// Cargo's own target directory: the dependencies are built there already.
    target: PathBuf,
    _lock: File,
}

impl Copy {
    fn new() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boards");
        fs::create_dir_all(&directory).unwrap();
        let lock = File::create(directory.join("lock")).unwrap();
        lock.lock().unwrap();
        let source = directory.join("source");
        let _ = fs::remove_dir_all(&source);
        copy_tree(Path::new(env!("CARGO_MANIFEST_DIR")), &source);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_path_buf();
        Self { source, target, _lock: lock }
    }

    /// Writes a board file: the changed file of the default board.
    fn write_board(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let boards = self.source.join("targets/boards");
        let pi = fs::read_to_string(boards.join("pi.toml")).unwrap();
        fs::write(boards.join(name).with_extension("toml"), change(&pi)).unwrap();
    }

    /// What cargo says when it builds for that board, which must fail.
    fn failure(&self, board: &str) -> String {
        let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--lib", "--offline", "--locked", "--target-dir"])
            .arg(&self.target)
            .current_dir(&self.source)
            .env("FIRSTLINE_BOARD", board)
            .output()
            .expect("cargo is installed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "board {board} is built: {said}");
        said
    }
}

/// Copies everything except `target` and `.git`.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == OsStr::new("target") || name == OsStr::new(".git") {
            continue;
        }
        if path.is_dir() {
            copy_tree(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn wrong_board_file_ends_the_build_with_the_valid_keys() {
    let copy = Copy::new();
    copy.write_board("unknown", |pi| format!("{pi}\ncolour = 3\n"));
    copy.write_board("missing", |pi| pi.replace("batch", "# batch"));
    copy.write_board("ill-typed", |pi| pi.replace("clients = ", "clients = 0.5 # "));
    copy.write_board("zero", |pi| pi.replace("in_flight = ", "in_flight = 0 # "));
    let keys =
        "clients, in_flight, text_bytes, batch, workers, receive_bytes, outbox_bytes, worker_stack_bytes";
    for (board, line) in [
        ("nonsense", "FIRSTLINE_BOARD=nonsense: no such board; there are: ".to_string()),
        ("unknown", format!("targets/boards/unknown.toml: unknown key colour; the keys are: {keys}")),
        ("missing", "targets/boards/missing.toml: the key batch is missing".to_string()),
        ("ill-typed", "targets/boards/ill-typed.toml: clients must be a whole number above zero".to_string()),
        ("zero", "targets/boards/zero.toml: in_flight must be a whole number above zero".to_string()),
    ] {
        let said = copy.failure(board);
        assert!(said.contains(&line), "{board}: {said}");
        if board == "nonsense" {
            let boards = said.split("there are: ").nth(1).unwrap();
            assert!(["gateway", "pi", "pi-zero"].iter().all(|known| boards.contains(known)), "{said}");
        }
    }
}
