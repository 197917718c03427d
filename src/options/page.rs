//! The options that print something instead of running the server.

/// A text that the program can print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `--help`: [`help`](super::help()).
    Help,
    /// `journal --help`: [`journal_help`](super::journal_help()).
    JournalHelp,
    /// `send --help`: [`send_help`](super::send_help).
    SendHelp,
    /// `watch --help`: [`watch_help`](super::watch_help).
    WatchHelp,
    /// `handle --help`: [`handle_help`](super::handle_help).
    HandleHelp,
    /// `bench --help`: [`bench_help`](super::bench_help).
    BenchHelp,
    /// `--version`: [`version`](super::version).
    Version,
    /// `--sizes`: the memory budget, [`crate::budget`].
    Sizes,
}

/// An option that prints something.
pub(super) struct PageOption {
    /// Its name without the dashes.
    pub name: &'static str,
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// What it does, for `--help`.
    pub help: &'static str,
    /// What it prints.
    pub page: Page,
}

/// All options that print something.
pub(super) const PAGES: [PageOption; 3] = [
    PageOption {
        name: "sizes",
        short: None,
        help: "print the memory budget, line by line",
        page: Page::Sizes,
    },
    PageOption {
        name: "version",
        short: Some('V'),
        help: "print the version and the board it is for",
        page: Page::Version,
    },
    PageOption { name: "help", short: Some('h'), help: "print this", page: Page::Help },
];
