//! The manual pages and the completions for shells: they name the options that `--help` names, no more and no less.
//!
//! The stage `pages` reads them by mandoc, zsh and fish.

use firstline::options;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process;

/// A command and its help.
type Command = (&'static str, fn() -> String);

const COMMANDS: [Command; 6] = [
    ("", options::help),
    ("journal", options::journal_help),
    ("send", options::send_help),
    ("watch", options::watch_help),
    ("handle", options::handle_help),
    ("bench", options::bench_help),
];

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The long options that stand in a text.
fn options_in(text: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    let name = |rest: &str| rest.split(|letter| !is_of_name(letter)).next().unwrap_or_default().to_string();
    text.split("--").skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

/// The long options that a manual page describes: in the tag of a paragraph. Elsewhere it may name those of the server.
fn described_in(page: &str) -> BTreeSet<String> {
    let tags = page.lines().zip(page.lines().skip(1)).filter(|(line, _)| *line == ".TP");
    tags.flat_map(|(_, tag)| options_in(tag)).collect()
}

/// The long options of a command, as its help lists them: at the beginning of a line, before a value or the text.
fn options_of(help: &str) -> BTreeSet<String> {
    let listed = |line: &str| {
        line.split_whitespace()
            .take_while(|word| word.starts_with('-'))
            .map(|word| format!("{word} "))
            .collect::<String>()
    };
    help.lines().filter(|line| line.starts_with("  -")).flat_map(|line| options_in(&listed(line))).collect()
}

fn help_of(command: &str) -> BTreeSet<String> {
    let (_, help) = COMMANDS.iter().find(|(name, _)| *name == command).unwrap();
    let options = options_of(&help());
    assert!(options.len() >= 6 && options.contains("help"), "{command}: {options:?}");
    options
}

/// What bash would offer for the last of these words.
fn bash(words: &[&str]) -> BTreeSet<String> {
    let script = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        complete -p firstline >/dev/null && _firstline && printf '%s\n' "${COMPREPLY[@]}""#;
    let completions = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/completions/firstline.bash");
    let output = process::Command::new("bash")
        .args(["--norc", "-u", "-c", script, "bash"])
        .arg(completions)
        .arg("firstline")
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{words:?}: {said}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_string)
        .collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| word.to_string()).collect()
}

#[test]
fn each_manual_page_of_a_command_has_its_options() {
    for command in ["send", "watch", "handle", "bench"] {
        let page = file(&format!("deploy/firstline-{command}.1")).replace("\\-", "-");
        assert_eq!(described_in(&page), help_of(command), "{command}");
    }
}

#[test]
fn bash_offers_each_option_of_each_command() {
    for (command, _) in COMMANDS {
        let words = if command.is_empty() { vec!["--"] } else { vec![command, "--"] };
        let offered: BTreeSet<String> = bash(&words).iter().map(|word| word[2..].to_string()).collect();
        assert_eq!(offered, help_of(command), "{command}");
    }
}

#[test]
fn bash_offers_the_values_of_options() {
    assert!(bash(&[""]).is_superset(&set(&["journal", "send", "watch", "web", "bridge", "--listen"])));
    assert_eq!(bash(&["wa"]), set(&["watch"]));
    assert_eq!(bash(&["watch", "--since", ""]), set(&["all", "last"]));
    assert_eq!(bash(&["watch", "--since", "=", "l"]), set(&["last"]));
    assert_eq!(bash(&["watch", "--min", "="]).len(), 10);
    assert_eq!(bash(&["send", "pi", "-p", "9"]), set(&["9"]));
    assert_eq!(bash(&["--sync", "n"]), set(&["none"]));
    assert_eq!(bash(&["watch", "--state", "Cargo.t"]), set(&["Cargo.toml"]));
    assert_eq!(bash(&["journal", "deploy/ex"]), set(&["deploy/examples"]));
    assert_eq!(bash(&["send", "--spool", "Cargo"]), set(&[]), "a file is no directory");
    assert_eq!(bash(&["watch", "--count", ""]), set(&[]));
    assert_eq!(bash(&["handle", "--timeout", ""]), set(&["off"]));
    assert_eq!(bash(&["handle", "pi", "--ea"]), set(&["--each"]));
    assert_eq!(bash(&["watch", "pi", "--js"]), set(&["--json"]));
    assert_eq!(bash(&["bench", "--only", "ur"]), set(&["urgent"]));
}

#[test]
fn bash_completes_the_program_after_the_dashes() {
    assert!(bash(&["handle", "pi", "--", "ba"]).contains("bash"));
    assert_eq!(
        bash(&["handle", "--each", "pi", "--", "./deploy/install-h"]),
        set(&["./deploy/install-here"])
    );
    assert_eq!(bash(&["handle", "pi", "--", "cat", "Cargo.t"]), set(&["Cargo.toml"]));
    assert_eq!(bash(&["handle", "pi", "--", "cat", "--ea"]), set(&[]), "it is no option of handle");
    assert_eq!(bash(&["send", "pi", "--", "--ur"]), set(&[]), "it is TEXT");
}

#[test]
fn zsh_and_fish_know_each_option_of_each_command() {
    let zsh = file("deploy/completions/_firstline");
    let fish = file("deploy/completions/firstline.fish");
    for (command, _) in COMMANDS {
        let branch = if command.is_empty() { "\n*)\n".to_string() } else { format!("\n{command})\n") };
        let branch = zsh.split_once(&branch).unwrap().1.split("\n    ;;").next().unwrap();
        assert_eq!(
            options_in(branch),
            help_of(command).union(&options_in(branch)).cloned().collect(),
            "{command}"
        );
        assert!(options_in(branch).is_subset(&help_of(command)), "{command}");
        let condition =
            if command.is_empty() { "\"$server\"".to_string() } else { format!("\"${command}\"") };
        let of_command = |line: &&str| line.contains(&condition) || line.contains(" -l help ");
        let long = |line: &str| Some(line.split_once(" -l ")?.1.split(' ').next()?.to_string());
        let known: BTreeSet<String> = fish.lines().filter(of_command).filter_map(long).collect();
        assert_eq!(known, help_of(command), "{command}");
    }
}
