//! A set of the sessions of one worker, by their index among them.

use crate::limits::CLIENT_WORDS;
use core::iter;

/// A set of the sessions of one worker, by their index among them.
#[derive(Clone, Copy)]
pub struct SessionSet {
    words: [u32; CLIENT_WORDS],
}

impl SessionSet {
    /// The empty set.
    pub const EMPTY: Self = Self { words: [0; CLIENT_WORDS] };

    /// Adds a session.
    pub fn insert(&mut self, session: usize) {
        self.words[session / 32] |= 1 << (session % 32);
    }

    /// Removes a session; true: it was in the set.
    pub fn remove(&mut self, session: usize) -> bool {
        let (word, bit) = (&mut self.words[session / 32], 1 << (session % 32));
        let was_in = *word & bit != 0;
        *word &= !bit;
        was_in
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The set with the sessions of another.
    pub fn with(mut self, others: &Self) -> Self {
        self.words.iter_mut().zip(others.words).for_each(|(word, others)| *word |= others);
        self
    }

    /// The set without the sessions of another.
    pub fn without(mut self, others: &Self) -> Self {
        self.words.iter_mut().zip(others.words).for_each(|(word, others)| *word &= !others);
        self
    }

    /// The sessions, in increasing order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let sessions_of = |(word, bits)| {
            iter::successors(Some(bits), |bits: &u32| Some(bits & bits.wrapping_sub(1)))
                .take_while(|bits| *bits != 0)
                .map(move |bits| word * 32 + bits.trailing_zeros() as usize)
        };
        self.words.into_iter().enumerate().flat_map(sessions_of)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::limits::CLIENTS;

    fn set(sessions: impl IntoIterator<Item = usize>) -> SessionSet {
        let mut set = SessionSet::EMPTY;
        sessions.into_iter().for_each(|session| set.insert(session));
        set
    }

    fn sessions(set: SessionSet) -> Vec<usize> {
        set.iter().collect()
    }

    #[test]
    fn set_has_what_was_inserted_and_not_removed() {
        assert!(SessionSet::EMPTY.is_empty());
        let mut all = set((0..CLIENTS).rev());
        assert_eq!(sessions(all), (0..CLIENTS).collect::<Vec<_>>());
        assert!(all.remove(CLIENTS - 1), "it was in the set");
        assert!(!all.remove(CLIENTS - 1), "it was no longer in the set");
        assert_eq!(sessions(all), (0..CLIENTS - 1).collect::<Vec<_>>());
        assert!(!all.is_empty());
    }

    #[test]
    fn union_has_both_and_difference_only_the_others() {
        let (even, all) = (set((0..CLIENTS).step_by(2)), set(0..CLIENTS));
        let odd = set((1..CLIENTS).step_by(2));
        assert_eq!(sessions(even.with(&odd)), sessions(all));
        assert_eq!(sessions(all.without(&even)), (1..CLIENTS).step_by(2).collect::<Vec<_>>());
        assert!(even.without(&all).is_empty());
    }
}
