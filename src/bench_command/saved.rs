//! Figures in a file, for a comparison with a later run: one line that says what was measured and how, and one for each
//! measurement, with its name and its median.

use super::figures::Figures;
use super::limits::SAVED_BYTES_MAX;
use super::work::Work;
use crate::client::shown::described;
use crate::process_io::failure::Failure;
use crate::process_io::regular_file::open_regular;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// The first line of a file.
const HEADING: &str = "firstline bench 2";

/// The medians of a run, and how they were measured.
#[derive(Debug, PartialEq)]
pub struct Saved {
    /// What was measured and how, in one line.
    pub circumstances: String,
    medians: BTreeMap<String, f64>,
}

impl Saved {
    /// Those of this run.
    pub fn of(circumstances: String, figures: &[Figures]) -> Self {
        let medians = figures.iter().map(|of| (of.work.name().to_string(), of.median())).collect();
        Self { circumstances, medians }
    }

    /// The median of a measurement, if the run had it.
    pub fn median(&self, work: Work) -> Option<f64> {
        self.medians.get(work.name()).copied()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of `--save`.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let unread = |error: io::Error| {
            Failure::usage(format_args!("--compare {}: {}", path.display(), described(&error)))
        };
        let mut text = String::new();
        open_regular(path)
            .and_then(|file| file.take(SAVED_BYTES_MAX).read_to_string(&mut text))
            .map_err(unread)?;
        Self::parse(&text).ok_or_else(|| {
            Failure::usage(format_args!(
                "--compare {}: it is no file of firstline bench --save",
                path.display()
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|line| *line == HEADING)?;
        // It is printed, and control characters would change the terminal.
        let circumstances = lines.next().filter(|line| !line.contains(char::is_control))?.to_string();
        let entry = |line: &str| {
            let (name, median) = line.split_once(' ')?;
            let median = median.parse().ok().filter(|median: &f64| median.is_finite() && *median > 0.0)?;
            Some((name.to_string(), median))
        };
        let medians = lines.map(entry).collect::<Option<_>>()?;
        Some(Self { circumstances, medians })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        fs::write(path, self.text()).map_err(|error| Failure::system_of_path("--save", path, &error))
    }

    fn text(&self) -> String {
        let mut text = format!("{HEADING}\n{}\n", self.circumstances);
        for (name, median) in &self.medians {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name} {median}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let medians = [("1x1".to_string(), 12_600.5), ("urgent".to_string(), 0.25)].into();
        let saved = Saved { circumstances: "10.0.0.7:7878, 32 clients".to_string(), medians };
        assert_eq!(Saved::parse(&saved.text()), Some(saved));
    }

    #[test]
    fn other_files_are_refused() {
        for text in [
            "",
            "root:x:0:0\n",
            "firstline bench 1\n1x1 1\n",
            "firstline bench 2\n",
            "firstline bench 2\npi\n1x1 NaN\n",
            "firstline bench 2\n\u{1b}[31m\n1x1 1\n",
        ] {
            assert_eq!(Saved::parse(text), None, "{text}");
        }
        let none = Saved { circumstances: "pi".to_string(), medians: BTreeMap::new() };
        assert_eq!(Saved::parse("firstline bench 2\npi\n"), Some(none));
    }
}
