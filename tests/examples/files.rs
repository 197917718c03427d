//! Rules for all examples.

use crate::{example, text_of};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

/// The most lines of an example.
const LINES: usize = 40;
/// The most columns of a line.
const COLUMNS: usize = 125;

/// The names of all examples, without the README.
fn examples() -> BTreeSet<String> {
    let entries = std::fs::read_dir(example("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "README.md").collect()
}

#[test]
fn each_example_is_short_and_each_script_is_executable() {
    assert!(examples().len() >= 9);
    for name in examples() {
        let text = text_of(&name);
        // Nobody reads a dashboard, and alert rules are a list.
        if name.ends_with(".json") || name.ends_with(".rules.yml") {
            continue;
        }
        assert!(text.lines().count() <= LINES, "{name} has {} lines", text.lines().count());
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= COLUMNS, "{name} has {widest} columns");
        let mode = std::fs::metadata(example(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111 != 0, text.starts_with("#!"), "{name}: executable if it has a #! line");
    }
}

#[test]
fn each_example_is_in_the_readme_and_in_the_package() {
    let readme = text_of("README.md");
    let named =
        readme.lines().filter_map(|line| Some(line.strip_prefix("| [`")?.split_once('`')?.0.to_string()));
    assert_eq!(named.collect::<BTreeSet<_>>(), examples());
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    for name in examples() {
        let mode = if text_of(&name).starts_with("#!") { 755 } else { 644 };
        let asset_of = |package: &str| {
            format!("[\"deploy/examples/{name}\", \"usr/share/doc/{package}/examples/\", \"{mode}\"]")
        };
        let is_in = |package: &&str| manifest.contains(&asset_of(package));
        let packages = ["firstline", "firstline-web", "firstline-bridge"];
        assert!(packages.iter().any(is_in), "{} is missing in Cargo.toml", asset_of("firstline"));
    }
}
