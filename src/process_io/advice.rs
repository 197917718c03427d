//! What the user of a command can do about a server's reason.

/// The advice for that reason, to write behind it; empty: there is none.
pub fn advice(reason: &str) -> &'static str {
    if reason.contains("not-authenticated") { "; give a token by --token-file" } else { "" }
}
