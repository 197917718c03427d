//! Numbers for people: a count with its noun in singular or plural, and a size with a suffix.

use core::fmt::{self, Display};

/// A count and its noun; the plural of the noun ends in `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted(pub u64, pub &'static str);

impl Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = *self;
        let ending = if count == 1 { "" } else { "s" };
        write!(f, "{count} {noun}{ending}")
    }
}

/// The suffixes of sizes, the largest first, and how many bytes each stands for.
pub const SIZE_SUFFIXES: [(&str, u64); 3] = [("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)];

/// A number of bytes as options take it. It has the largest suffix that keeps the number whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        match SIZE_SUFFIXES.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
            Some((suffix, unit)) => write!(f, "{}{suffix}", bytes / unit),
            None => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_zero_is_plural() {
        let counted = [0, 1, 2, u64::MAX].map(|count| std::format!("{}", Counted(count, "byte")));
        assert_eq!(counted, ["0 bytes", "1 byte", "2 bytes", "18446744073709551615 bytes"]);
    }

    #[test]
    fn sizes_have_the_largest_suffix_that_keeps_them_whole() {
        let sizes = [0, 1, 1_024, 1_536, 1 << 20, 3 << 30].map(|bytes| std::format!("{}", Size(bytes)));
        assert_eq!(sizes, ["0", "1", "1k", "1536", "1M", "3G"]);
    }
}
