//! The position up to which each server's journal was read, and where to continue. Knows no connection and no file.

use super::limits::JOURNALS_MAX;
use std::fmt;

/// A place in the history of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The journal's identity; `None`: the server keeps no journal.
    pub journal: Option<u64>,
    /// Everything up to this ID was read or reported as lost. Without a journal, it has no meaning.
    pub id: u64,
}

/// The position in each journal, for [`JOURNALS_MAX`] journals at most. When a further one comes, the journal that was
/// read longest ago is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// The most recently read journal is first.
    list: Vec<Position>,
}

/// Where to begin if no journal was read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// With the oldest message that the server still has.
    All,
    /// After the message with that ID.
    Id(u64),
    /// With new messages only.
    #[default]
    Last,
}

/// Where to continue with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// After the message with this ID; `None`: with new messages only, because the server keeps no journal.
    pub since: Option<u64>,
    /// Why reading does not begin where it ended before, or where the caller asked.
    pub gap: Option<Gap>,
}

/// Why reading does not begin where it ended before, or where the caller asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The server keeps no journal, so earlier messages are unknown.
    NoJournal,
    /// The server's journal is not among those that were read.
    OtherJournal,
    /// The server's newest message is older than the last message that was read.
    OlderHistory {
        /// The ID of that message.
        read: u64,
        /// The ID of the server's newest.
        newest: u64,
    },
    /// Reading should begin after a message that the server does not have yet.
    Ahead {
        /// Its ID.
        asked: u64,
        /// The ID of the server's newest.
        newest: u64,
    },
}

impl Gap {
    /// Whether an unknown number of messages may be missing.
    pub fn is_loss(&self) -> bool {
        !matches!(self, Self::Ahead { .. })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJournal => f.write_str("the server keeps no journal: what came before is lost"),
            Self::OtherJournal => f.write_str(
                "the server has another journal than before: this one is printed from its beginning, and what was not \
                 printed of the other is lost",
            ),
            Self::OlderHistory { read, newest } => write!(
                f,
                "the server's history ends at message {newest}, and message {read} was there before: it may be an \
                 older copy; only new messages follow"
            ),
            Self::Ahead { asked, newest } => {
                write!(
                    f,
                    "message {asked} is ahead of the server's history, whose newest is {newest}; only new messages follow"
                )
            }
        }
    }
}

impl Positions {
    /// All positions; the most recently read journal is first.
    pub fn list(&self) -> &[Position] {
        &self.list
    }

    /// The position in that journal; `None`: no position of it is known.
    pub fn of(&self, journal: Option<u64>) -> Option<u64> {
        self.list.iter().find(|position| position.journal == journal).map(|position| position.id)
    }

    /// Sets the position of a journal, which becomes the most recently read one.
    pub fn set(&mut self, position: Position) {
        if let Some(first) = self.list.first_mut().filter(|first| first.journal == position.journal) {
            *first = position;
            return;
        }
        self.list.retain(|other| other.journal != position.journal);
        self.list.truncate(JOURNALS_MAX - 1);
        self.list.insert(0, position);
    }

    /// Where to continue with a server that has that journal, whose newest message is `newest`.
    pub fn start(&self, journal: Option<u64>, newest: u64, since: Since) -> Start {
        let is_first = self.list.is_empty();
        if journal.is_none() {
            let is_new = is_first && since == Since::Last;
            return Start { since: None, gap: (!is_new).then_some(Gap::NoJournal) };
        }
        let (since, gap) = match self.of(journal) {
            Some(read) if read > newest => (newest, Some(Gap::OlderHistory { read, newest })),
            Some(read) => (read, None),
            None if !is_first => (0, Some(Gap::OtherJournal)),
            None => match since {
                Since::All => (0, None),
                Since::Id(asked) if asked > newest => (newest, Some(Gap::Ahead { asked, newest })),
                Since::Id(asked) => (asked, None),
                Since::Last => (newest, None),
            },
        };
        Start { since: Some(since), gap }
    }
}

#[cfg(test)]
impl Positions {
    /// The positions of these journals, the most recently read first.
    pub(crate) fn of_journals(list: &[(Option<u64>, u64)]) -> Self {
        let mut positions = Self::default();
        for &(journal, id) in list.iter().rev() {
            positions.set(Position { journal, id });
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_journal_is_read_from_requested_position() {
        let none = Positions::default();
        let start = |since| none.start(Some(7), 20, since);
        assert_eq!(start(Since::All), Start { since: Some(0), gap: None });
        assert_eq!(start(Since::Last), Start { since: Some(20), gap: None });
        assert_eq!(start(Since::Id(20)), Start { since: Some(20), gap: None });
        let ahead = Gap::Ahead { asked: 21, newest: 20 };
        assert_eq!(start(Since::Id(21)), Start { since: Some(20), gap: Some(ahead) });
        assert!(!ahead.is_loss());
    }

    #[test]
    fn known_journal_continues_at_its_position_whatever_is_requested() {
        let known = Positions::of_journals(&[(Some(7), 12), (Some(8), 3), (None, 0)]);
        for since in [Since::All, Since::Last, Since::Id(1)] {
            assert_eq!(known.start(Some(8), 20, since), Start { since: Some(3), gap: None });
            let gap = Some(Gap::OtherJournal);
            assert_eq!(known.start(Some(9), 20, since), Start { since: Some(0), gap });
            let gap = Some(Gap::OlderHistory { read: 12, newest: 11 });
            assert_eq!(known.start(Some(7), 11, since), Start { since: Some(11), gap });
        }
    }

    #[test]
    fn without_a_journal_only_a_first_read_of_new_messages_has_no_gap() {
        let start = |positions: &Positions, since| positions.start(None, 0, since);
        let lost = Start { since: None, gap: Some(Gap::NoJournal) };
        assert_eq!(start(&Positions::default(), Since::Last), Start { since: None, gap: None });
        assert_eq!(start(&Positions::default(), Since::All), lost);
        assert_eq!(start(&Positions::of_journals(&[(Some(7), 12)]), Since::Last), lost);
        assert_eq!(start(&Positions::of_journals(&[(None, 0)]), Since::Last), lost);
    }

    #[test]
    fn journals_read_last_are_kept() {
        let mut known = Positions::of_journals(&[(Some(1), 1), (Some(2), 2)]);
        known.set(Position { journal: Some(2), id: 5 });
        assert_eq!(known, Positions::of_journals(&[(Some(2), 5), (Some(1), 1)]));
        for journal in 3..3 + JOURNALS_MAX as u64 - 1 {
            known.set(Position { journal: Some(journal), id: 9 });
        }
        assert_eq!((known.of(Some(1)), known.of(Some(2)), known.list().len()), (None, Some(5), JOURNALS_MAX));
    }
}
