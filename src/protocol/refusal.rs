//! The reasons for which the server refuses a command.

/// Why the server refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such command. The text is advice: what the client may have meant.
    UnknownCommand(&'static str),
    /// The argument is missing, malformed or not allowed. The text says what is allowed.
    BadArgument(&'static str),
    /// A connected client has that nick.
    NickTaken,
    /// The server has no journal.
    NoJournal,
    /// The journal cannot be read.
    JournalFailed,
    /// The position is ahead of the history. The number is the ID of the newest message, or 0.
    AheadOfHistory(u64),
    /// The server shuts down, and takes no more commands.
    ShuttingDown,
    /// The client has to show a token first.
    NotAuthenticated,
    /// The token is wrong.
    WrongToken,
    /// The server needs no tokens.
    NoAuth,
    /// The client's token does not give the right to that. The text is the reason.
    NotPermitted(&'static str),
    /// The server gives no tasks to handlers.
    NoHandling,
    /// There are too many handlers already.
    HandlersFull,
    /// The client has no such task.
    NotYours,
}

impl Refusal {
    /// The word for the reason in the reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCommand(_) => "unknown-command",
            Self::BadArgument(_) => "bad-argument",
            Self::NickTaken => "nick-taken",
            Self::NoJournal => "no-journal",
            Self::JournalFailed => "journal-failed",
            Self::AheadOfHistory(_) => "ahead-of-history",
            Self::ShuttingDown => "shutting-down",
            Self::NotAuthenticated => "not-authenticated",
            Self::WrongToken => "wrong-token",
            Self::NoAuth => "no-auth",
            Self::NotPermitted(_) => "not-permitted",
            Self::NoHandling => "no-handling",
            Self::HandlersFull => "handlers-full",
            Self::NotYours => "not-yours",
        }
    }

    /// A few words after the reason: what the client can do. For [`Refusal::AheadOfHistory`] the reply has only the
    /// number.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UnknownCommand(advice) | Self::BadArgument(advice) => advice,
            Self::NickTaken => "try another",
            Self::NoJournal => "start the server with --journal",
            Self::JournalFailed => "see the server's log",
            Self::AheadOfHistory(_) => "",
            Self::ShuttingDown => "try again later",
            Self::NotAuthenticated => "say /auth TOKEN first",
            Self::WrongToken => "nobody has that one",
            Self::NoAuth => "this server asks for no token",
            Self::NotPermitted(reason) => reason,
            Self::NoHandling => "start the server with --handle",
            Self::HandlersFull => "there are as many handlers as may be",
            Self::NotYours => "you have no such task any more",
        }
    }
}
