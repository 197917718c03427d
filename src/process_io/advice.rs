//! What the user of a command can do about a server's reason.

/// The advice to append to that reason; empty if there is none.
pub fn advice(reason: &str) -> &'static str {
    if reason.contains("not-authenticated") { "; give a token by --token-file" } else { "" }
}
