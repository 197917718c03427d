//! Names that are not in the table of options.

/// If this is the first argument, the others belong to `firstline journal`.
pub(super) const JOURNAL_WORD: &str = "journal";

/// If this is the first argument, the others belong to `firstline send`.
pub(super) const SEND_WORD: &str = "send";

/// If this is the first argument, the others belong to `firstline watch`.
pub(super) const WATCH_WORD: &str = "watch";

/// If this is the first argument, the others belong to `firstline handle`.
pub(super) const HANDLE_WORD: &str = "handle";

/// If this is the first argument, the others belong to `firstline bench`.
pub(super) const BENCH_WORD: &str = "bench";

/// The companion programs. If one of these names is the first argument, the program `firstline-NAME` gets the others.
/// Each companion is a separate package, and reads the variables `FIRSTLINE_NAME_...` itself.
pub(super) const COMPANIONS: [&str; 2] = ["web", "bridge"];

/// The beginning of the names of this program's environment variables.
pub(super) const PREFIX: &str = "FIRSTLINE_";

/// The variable that chooses the board at build time. It may still be set when the server runs, which ignores it.
pub(super) const BOARD_VARIABLE: &str = "FIRSTLINE_BOARD";

/// The beginning of the names of the test harness's variables, which are not settings.
pub(super) const TEST_PREFIX: &str = "FIRSTLINE_TEST_";
