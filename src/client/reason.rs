//! What a server's reason means for this client. Only this file knows the meaning of the reasons.

/// What the reason of a `NAK` or an `ERR` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This client has no right.
    NoRight,
    /// The server does not know the command, or its arguments.
    NotUnderstood,
    /// A later attempt may succeed.
    Later,
    /// No handler took the message within the server's `--handle-wait`.
    NotBegun,
    /// A handler has processed the message, or may have.
    Unknown,
    /// Any other reason, perhaps of a newer server.
    Other,
}

impl Meaning {
    /// The meaning of a reason.
    pub fn of(reason: &str) -> Self {
        match reason {
            "not-authenticated" | "wrong-token" | "not-permitted" | "not-allowed" => Self::NoRight,
            "unknown-command" | "bad-argument" => Self::NotUnderstood,
            "no-handler" => Self::NotBegun,
            "shutting-down" | "journal-failed" | "print-failed" => Self::Later,
            "handler-timeout" | "handler-lost" | "handler-unrecorded" => Self::Unknown,
            _ => Self::Other,
        }
    }

    /// Whether a repetition of the same command cannot succeed.
    pub fn is_permanent(self) -> bool {
        matches!(self, Self::NoRight | Self::NotUnderstood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rights_and_syntax_are_permanent() {
        for reason in ["not-authenticated", "wrong-token", "not-permitted", "not-allowed", "bad-argument"] {
            assert!(Meaning::of(reason).is_permanent(), "{reason}");
        }
        for reason in ["shutting-down", "handler-lost", "full", "idle", "newer-reason"] {
            assert!(!Meaning::of(reason).is_permanent(), "{reason}");
        }
    }
}
