//! The output of `--help` and `--version`.

use super::page::{PAGES, PageOption};
use super::table::{Setting, settings};
use crate::limits::BOARD;

/// The column in which the description of an option begins.
const TEXT_COLUMN: usize = 23;

/// The part of the help that follows the options.
const REST: &str = "
Each option has a variable, used if the option is not given; empty is not set:
--sync-interval is FIRSTLINE_SYNC_INTERVAL. But --log-level is FIRSTLINE_LOG.
S is seconds, such as 0.5. Most N, MS, S can be off; zero is refused. Examples:
  printf '/urgent smoke in the workshop\\n' | nc -N raspberrypi 9090
  nc raspberrypi 9090         then /join shows what others send; /help the rest

Exit status: 0 all was answered; 1 could not start; 2 wrong option or variable;
3 --drain-timeout was over, and the rest was refused; 128+N by signal N.
";

/// The help. It fits one screen. Each line ends with LF.
pub fn help() -> String {
    let mut text = format!("{}: lines from nc, the urgent ones first\n\n", version());
    text += "Usage: firstline [OPTION]...\n";
    text += "       firstline journal|send|watch|handle|bench|web|bridge ...  see WORD --help\n";
    text.extend(settings().iter().map(setting_line));
    text.extend(PAGES.iter().map(page_line));
    text + REST
}

/// The version and the board, without LF.
pub fn version() -> String {
    format!("firstline {} (board {BOARD})", env!("CARGO_PKG_VERSION"))
}

fn setting_line(setting: &Setting) -> String {
    let name = match setting.value_name {
        Some(value) => format!("--{} {value}", setting.name),
        None => format!("--{}", setting.name),
    };
    line(&name, &format!("{} [{}]", setting.help, (setting.default)()))
}

fn page_line(page: &PageOption) -> String {
    let short = page.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
    line(&format!("{short}--{}", page.name), page.help)
}

fn line(name: &str, text: &str) -> String {
    format!("  {name:width$} {text}\n", width = TEXT_COLUMN - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_option_and_its_default() {
        let help = help();
        for setting in settings() {
            let line = help.lines().find(|line| line.contains(&format!("  --{} ", setting.name))).unwrap();
            assert!(line.ends_with(&format!(" [{}]", (setting.default)())), "{line}");
        }
        for page in &PAGES {
            assert!(help.contains(&format!("--{} ", page.name)), "{}", page.name);
        }
    }

    #[test]
    fn help_fits_on_a_screen() {
        let help = help();
        assert!(help.lines().count() <= 44, "{help}");
        for line in help.lines() {
            assert!(line.len() <= 80, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn version_names_the_board() {
        assert!(version().starts_with("firstline "));
        assert!(version().ends_with(&format!(" (board {BOARD})")));
    }
}
