//! The reasons for which the server refuses a message.

/// Why the server refuses a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nak {
    /// The text or the line is too long.
    TooLong,
    /// The text is empty.
    Empty,
    /// The server shuts down, and takes no more messages.
    ShuttingDown,
    /// The message could not be printed, as `--print` promises.
    PrintFailed,
    /// The message could not be written to the journal, as `--journal` promises.
    JournalFailed,
    /// The sender has to show a token first.
    NotAuthenticated,
    /// A handler refused it: it was not done.
    HandlerRefused,
    /// No handler took it in time: it was not begun.
    NoHandler,
    /// Its handler did not finish in time: it may have been done.
    HandlerTimeout,
    /// The connection of its handler ended: it may have been done.
    HandlerLost,
    /// A handler has done it, and then it could not be printed or written to the journal.
    HandlerUnrecorded,
}

impl Nak {
    /// All reasons, by their [`index`](Self::index).
    pub const ALL: [Self; 11] = [
        Self::TooLong,
        Self::Empty,
        Self::ShuttingDown,
        Self::PrintFailed,
        Self::JournalFailed,
        Self::NotAuthenticated,
        Self::HandlerRefused,
        Self::NoHandler,
        Self::HandlerTimeout,
        Self::HandlerLost,
        Self::HandlerUnrecorded,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The index into a table of [`Nak::COUNT`] entries.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word for the reason in the reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Empty => "empty",
            Self::ShuttingDown => "shutting-down",
            Self::PrintFailed => "print-failed",
            Self::JournalFailed => "journal-failed",
            Self::NotAuthenticated => "not-authenticated",
            Self::HandlerRefused => "handler-refused",
            Self::NoHandler => "no-handler",
            Self::HandlerTimeout => "handler-timeout",
            Self::HandlerLost => "handler-lost",
            Self::HandlerUnrecorded => "handler-unrecorded",
        }
    }
}
