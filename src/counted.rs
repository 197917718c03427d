//! A number with its noun, in the singular where there is one: for people.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_none_is_plural() {
        let counted = [0, 1, 2, u64::MAX].map(|count| std::format!("{}", Counted(count, "byte")));
        assert_eq!(counted, ["0 bytes", "1 byte", "2 bytes", "18446744073709551615 bytes"]);
    }
}
