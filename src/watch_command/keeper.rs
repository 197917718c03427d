//! Decides when to write the state: at most once a second, at the end, and at once when the journal is another one.

use super::state_file::StateFile;
use crate::client::shown::described;
use crate::client::{Position, Positions};
use std::time::{Duration, Instant};

/// The pause between two writes. Each write costs a sync. If the process is killed, or the machine loses power, the
/// next call prints the messages since the last write again. When the journal is another one, the position is written
/// at once. Otherwise, after a kill, the next call would miss messages of the first journal, or print another journal
/// again from its beginning.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the positions up to which journals are printed.
#[derive(Debug)]
pub struct Keeper {
    /// `None`: no state is kept.
    file: Option<StateFile>,
    printed: Positions,
    /// When to write the file; `None`: it is up to date.
    due: Option<Instant>,
    /// When the last attempt to write it ended.
    tried: Instant,
    /// Whether the current failure to write it was reported.
    has_complained: bool,
}

impl Keeper {
    /// A keeper of that file, which holds the positions `printed`.
    pub fn new(file: Option<StateFile>, printed: Positions) -> Self {
        Self { file, printed, due: None, tried: Instant::now(), has_complained: false }
    }

    /// Records that everything up to that position is printed.
    pub fn confirm(&mut self, position: Position) {
        let last = self.printed.list().first().copied();
        if last != Some(position) {
            let is_first = last.is_none_or(|last| last.journal != position.journal);
            let pause = if is_first { Duration::ZERO } else { PAUSE };
            self.printed.set(position);
            let due = self.due.into_iter().chain([self.tried + pause]).min();
            self.due = due.filter(|_| self.file.is_some());
        }
    }

    /// When to save next.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Saves if that is due. Returns why it failed, but only for the first of several failures in a row.
    pub fn save_if_due(&mut self, now: Instant) -> Option<String> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let told = self.save().filter(|_| !self.has_complained);
        self.has_complained |= told.is_some();
        told
    }

    /// Saves if the file is not up to date. Returns why it failed, if it did.
    pub fn finish(mut self) -> Option<String> {
        self.due.and_then(|_| self.save())
    }

    fn save(&mut self) -> Option<String> {
        let file = self.file.as_ref()?;
        let saved = file.save(&self.printed);
        // Measured after the write, so that a slow disk also gets its pause.
        self.tried = Instant::now();
        match saved {
            Ok(()) => {
                (self.due, self.has_complained) = (None, false);
                None
            }
            Err(error) => {
                self.due = Some(self.tried + PAUSE);
                Some(format!(
                    "--state {}: {}; messages that are printed now may be printed again",
                    file.path().display(),
                    described(&error)
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn state_is_written_at_most_once_a_second_and_at_the_end() {
        let path = std::env::temp_dir().join(format!("firstline-keeper-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let (file, positions) = StateFile::open(&path).unwrap();
        let mut keeper = Keeper::new(Some(file), positions);
        let position = |id| Position { journal: Some(7), id };
        let held = || fs::read_to_string(&path).unwrap();
        assert_eq!(keeper.due(), None);
        keeper.confirm(position(0));
        assert_eq!(keeper.due(), Some(keeper.tried), "the first one is written at once");
        assert_eq!(keeper.save_if_due(keeper.tried), None);
        assert!(held().contains("journal 7 is read to 0\n"));
        keeper.confirm(position(1));
        let due = keeper.due().unwrap();
        keeper.confirm(position(2));
        assert_eq!((keeper.due(), due - keeper.tried), (Some(due), PAUSE));
        assert_eq!(keeper.save_if_due(due - Duration::from_millis(1)), None);
        assert!(held().contains("journal 7 is read to 0\n"));
        assert_eq!(keeper.save_if_due(due), None);
        assert!(held().contains("journal 7 is read to 2\n"));
        keeper.confirm(position(2));
        assert_eq!(keeper.due(), None, "nothing has changed");
        keeper.confirm(position(3));
        assert_eq!(keeper.finish(), None);
        assert!(held().contains("journal 7 is read to 3\n"));
        for ending in ["", ".lock"] {
            fs::remove_file(format!("{}{ending}", path.display())).unwrap();
        }
    }

    #[test]
    fn keeper_without_file_is_never_due() {
        let mut keeper = Keeper::new(None, Positions::default());
        keeper.confirm(Position { journal: None, id: 1 });
        assert_eq!((keeper.due(), keeper.finish()), (None, None));
    }
}
