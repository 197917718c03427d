//! The priority of a message: 0 to 9.

use core::fmt;

/// The priority of a message, 0 to 9; 9 is the most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// The number of priorities.
    pub const COUNT: usize = 10;
    /// The least urgent priority.
    pub const MIN: Self = Self(0);
    /// The priority of `/low`.
    pub const LOW: Self = Self(1);
    /// The priority of a plain line.
    pub const NORMAL: Self = Self(4);
    /// The priority of `/high`.
    pub const HIGH: Self = Self(7);
    /// The priority of `/urgent`, the most urgent one.
    pub const URGENT: Self = Self(9);

    /// The priority with that number, if there is one.
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The priority that the byte names, if it is a decimal digit.
    pub const fn from_digit(digit: u8) -> Option<Self> {
        if digit.is_ascii_digit() { Some(Self(digit - b'0')) } else { None }
    }

    /// The number, 0 to 9.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The index into a table of [`Priority::COUNT`] entries.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number as a digit.
    pub const fn digit(self) -> u8 {
        b'0' + self.0
    }

    /// All priorities, the most urgent first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).rev().map(Self)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_name_priorities() {
        for byte in 0..=u8::MAX {
            let priority = Priority::from_digit(byte);
            assert_eq!(priority.is_some(), byte.is_ascii_digit());
            assert!(priority.is_none_or(|p| p.digit() == byte && Priority::new(p.number()) == Some(p)));
        }
        assert_eq!(Priority::new(10), None);
    }

    #[test]
    fn all_starts_with_the_most_urgent() {
        let all: Vec<_> = Priority::all().collect();
        assert_eq!(all.len(), Priority::COUNT);
        assert_eq!(all[0], Priority::URGENT);
        assert!(all.is_sorted_by(|a, b| a > b));
    }
}
