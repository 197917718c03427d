//! The build script: turns the board file that `FIRSTLINE_BOARD` names into constants for `src/limits.rs`, and finds
//! the modules that log, for `--log-level`.
//!
//! An unknown board, or a missing, unknown or ill-typed key, ends the build with one line that says what is allowed.

use std::{collections::BTreeSet, env, fs, path::Path, process::exit};

use toml::{
    Spanned,
    de::{DeInteger, DeTable},
};

/// The board that is built when `FIRSTLINE_BOARD` is not set.
const BOARD_DEFAULT: &str = "pi";

/// The keys of a board file that only the script `targets/build` reads.
const KEYS_OF_SCRIPT: [&str; 2] = ["triple", "cpu"];

/// Every other key, and the documentation of its constant.
const KEYS: [(&str, &str); 12] = [
    ("clients", "Connections at once."),
    ("in_flight", "Messages of one client that may be admitted and not yet answered."),
    ("text_bytes", "The longest text of a message, in bytes."),
    ("batch", "Messages that the consumer picks at a time."),
    ("workers", "Worker threads, unless `--workers` says otherwise."),
    ("receive_bytes", "The receive buffer of one client, in bytes."),
    ("outbox_bytes", "The outbox of one client, in bytes."),
    ("worker_stack_bytes", "The stack of one worker thread, in bytes."),
    ("log_records", "Log records that may wait to be written."),
    ("handlers", "Handlers at once: clients that process tasks."),
    ("handler_tasks", "Tasks that one handler may have at once."),
    (
        "handler_text_bytes",
        "The longest text with which a handler answers a sender, in bytes before it is escaped.",
    ),
];

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap();
    let source = Path::new(&directory).join("src");
    println!("cargo::rerun-if-changed={}", source.display());
    let mut modules = BTreeSet::new();
    find_modules_that_log(&source, &[], &mut modules);
    let modules = Vec::from_iter(modules);
    write(
        "log_modules.rs",
        &format!("/// The modules that log.\npub const MODULES: &[&str] = &{modules:?};\n"),
    );
    // The code uses `cfg(loom)`, as other crates do.
    for model in ["loom", "shuttle"] {
        if env::var_os(format!("CARGO_FEATURE_{}", model.to_uppercase())).is_some() {
            println!("cargo::rustc-cfg={model}");
        }
    }
    let boards = Path::new(&directory).join("targets/boards");
    println!("cargo::rerun-if-env-changed=FIRSTLINE_BOARD");
    println!("cargo::rerun-if-changed={}", boards.display());
    let board = env::var("FIRSTLINE_BOARD").unwrap_or_else(|_| BOARD_DEFAULT.to_string());
    match constants(&boards, &board) {
        Ok(code) => write("board.rs", &code),
        Err(reason) => {
            println!("cargo::error={reason}");
            exit(1);
        }
    }
}

/// Writes a file that the crate includes.
fn write(name: &str, code: &str) {
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join(name), code).unwrap();
}

/// Finds the modules that call a macro of the crate `log`, and the modules that contain them. `directory` is that of
/// the module `path`.
fn find_modules_that_log(directory: &Path, path: &[&str], modules: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_stem().unwrap().to_str().unwrap();
        let path = if name == "mod" { path.to_vec() } else { [path, &[name]].concat() };
        if entry.is_dir() {
            find_modules_that_log(&entry, &path, modules);
        } else if entry.extension().is_some_and(|extension| extension == "rs") && logs(&entry) {
            modules.extend((1..=path.len()).map(|depth| path[..depth].join("::")));
        }
    }
}

/// Whether a file of Rust has a call of such a macro outside of comments.
fn logs(file: &Path) -> bool {
    let code = fs::read_to_string(file).unwrap();
    let calls = ["log", "error", "warn", "info", "debug", "trace"].map(|level| format!("log::{level}!("));
    let mut lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.any(|line| calls.iter().any(|call| line.contains(call)))
}

/// The Rust source of the constants of one board.
fn constants(boards: &Path, board: &str) -> Result<String, String> {
    let known = known_boards(boards);
    if !known.iter().any(|name| name == board) {
        return Err(format!("FIRSTLINE_BOARD={board}: no such board; there are: {}", known.join(", ")));
    }
    let file = format!("targets/boards/{board}.toml");
    let text =
        fs::read_to_string(boards.join(format!("{board}.toml"))).map_err(|e| format!("{file}: {e}"))?;
    let table = DeTable::parse(&text).map_err(|e| format!("{file}: {e}"))?.into_inner();
    if let Some(key) = table.keys().map(Spanned::get_ref).find(|key| !is_known(key)) {
        let keys: Vec<_> = KEYS.iter().map(|(key, _)| *key).chain(KEYS_OF_SCRIPT).collect();
        return Err(format!("{file}: unknown key {key}; the keys are: {}", keys.join(", ")));
    }
    let mut code = format!("/// The board this was built for.\npub const BOARD: &str = {board:?};\n");
    for (key, purpose) in KEYS {
        let value = table.get(key).ok_or_else(|| format!("{file}: the key {key} is missing"))?;
        let value = value.get_ref().as_integer().and_then(above_zero);
        let value = value.ok_or_else(|| format!("{file}: {key} must be a whole number above zero"))?;
        code += &format!("/// {purpose}\npub const {}: usize = {value};\n", key.to_uppercase());
    }
    Ok(code)
}

fn above_zero(value: &DeInteger) -> Option<u64> {
    u64::from_str_radix(value.as_str(), value.radix()).ok().filter(|value| *value > 0)
}

fn is_known(key: &str) -> bool {
    KEYS.iter().any(|(known, _)| *known == key) || KEYS_OF_SCRIPT.contains(&key)
}

/// The names of all board files, sorted.
fn known_boards(boards: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(boards)
        .map(|files| files.flatten().map(|file| file.path()).collect::<Vec<_>>())
        .unwrap_or_default()
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}
