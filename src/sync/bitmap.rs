//! A set of small numbers that threads share without a lock.

use super::atomic::{AtomicU32, Ordering};

/// A set of the numbers below `32 * WORDS`.
pub struct Bitmap<const WORDS: usize> {
    words: [AtomicU32; WORDS],
}

#[cfg(not(loom))]
impl<const WORDS: usize> Default for Bitmap<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORDS: usize> Bitmap<WORDS> {
    /// The empty set.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { words: [const { AtomicU32::new(0) }; WORDS] }
    }

    /// The empty set.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { words: core::array::from_fn(|_| AtomicU32::new(0)) }
    }

    /// Adds a number; true: it was not in the set. The thread that removes it sees everything that the caller wrote
    /// before.
    pub fn insert(&self, number: usize) -> bool {
        let bit = 1 << (number % 32);
        self.words[number / 32].fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Removes a number; true: it was in the set.
    pub fn remove(&self, number: usize) -> bool {
        let bit = 1 << (number % 32);
        self.words[number / 32].fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Whether a number is in the set.
    pub fn contains(&self, number: usize) -> bool {
        self.words[number / 32].load(Ordering::Acquire) & (1 << (number % 32)) != 0
    }

    /// Removes all numbers from `first` to before `end`, and calls `each` with each of them, in increasing order.
    pub fn drain(&self, first: usize, end: usize, mut each: impl FnMut(usize)) {
        for word in first / 32..end.div_ceil(32) {
            let mask = mask_below(end, word) & !mask_below(first, word);
            if self.words[word].load(Ordering::Relaxed) & mask != 0 {
                each_bit(self.words[word].fetch_and(!mask, Ordering::AcqRel) & mask, word, &mut each);
            }
        }
    }

    /// Calls `each` with each number in the set, in increasing order.
    pub fn for_each(&self, mut each: impl FnMut(usize)) {
        for (word, bits) in self.words.iter().enumerate() {
            each_bit(bits.load(Ordering::Acquire), word, &mut each);
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| word.load(Ordering::Acquire) == 0)
    }
}

/// The bits of a word that stand for numbers below `end`.
fn mask_below(end: usize, word: usize) -> u32 {
    match end.saturating_sub(word * 32) {
        bits @ 0..32 => (1 << bits) - 1,
        _ => u32::MAX,
    }
}

fn each_bit(mut bits: u32, word: usize, each: &mut impl FnMut(usize)) {
    while bits != 0 {
        each(word * 32 + bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn all(bitmap: &Bitmap<3>) -> Vec<usize> {
        let mut all = Vec::new();
        bitmap.for_each(|number| all.push(number));
        all
    }

    #[test]
    fn keeps_what_was_put_in_until_it_is_taken_out() {
        let bitmap = Bitmap::<3>::new();
        assert!(bitmap.is_empty());
        for number in [0, 31, 32, 63, 64, 95] {
            assert!(bitmap.insert(number));
            assert!(!bitmap.insert(number));
            assert!(bitmap.contains(number) && !bitmap.contains(number ^ 2));
        }
        assert_eq!(all(&bitmap), [0, 31, 32, 63, 64, 95]);
        assert!(bitmap.remove(32));
        assert!(!bitmap.remove(32));
        assert_eq!(all(&bitmap), [0, 31, 63, 64, 95]);
    }

    #[test]
    fn drain_takes_its_range_and_nothing_else() {
        for first in 0..96 {
            for end in first..=96 {
                let bitmap = Bitmap::<3>::new();
                (0..96).for_each(|number| assert!(bitmap.insert(number)));
                let mut drained = Vec::new();
                bitmap.drain(first, end, |number| drained.push(number));
                assert_eq!(drained, (first..end).collect::<Vec<_>>());
                assert_eq!(all(&bitmap), (0..first).chain(end..96).collect::<Vec<_>>());
            }
        }
    }
}
