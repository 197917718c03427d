//! The known name that a misspelt one comes nearest to: for options, commands and modules, without allocation.

use crate::limits::NAME_BYTES_MAX;

/// How many letters may be wrong, and no more than half of them: with more, a guess is no help.
pub const EDITS_MAX: usize = 2;

/// The nearest of the known names, if one is near. A name longer than [`NAME_BYTES_MAX`] is not compared.
pub fn nearest<'a>(name: &[u8], known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .filter(|candidate| {
            candidate.len() <= NAME_BYTES_MAX && candidate.len().abs_diff(name.len()) <= EDITS_MAX
        })
        .map(|candidate| (edits(name, candidate.as_bytes()), candidate))
        .filter(|(edits, candidate)| *edits <= EDITS_MAX.min(candidate.len() / 2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The bytes to insert, delete or replace to make one of the other, row by row of the table of Wagner and
/// Fischer, "The String-to-String Correction Problem", JACM 21 (1974).
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: [usize; NAME_BYTES_MAX + 1] = core::array::from_fn(|column| column);
    for (above, byte) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for column in 0..to.len() {
            let replaced = diagonal + usize::from(*byte != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in
            [("", "", 0), ("", "abc", 3), ("aging", "agin", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edits(from.as_bytes(), to.as_bytes()), count);
            assert_eq!(edits(to.as_bytes(), from.as_bytes()), count);
        }
        let longest = [b'x'; NAME_BYTES_MAX];
        assert_eq!(edits(b"y", &longest), NAME_BYTES_MAX);
    }

    #[test]
    fn only_the_near_are_named() {
        let known = ["aging", "print", "listen", "low"];
        let nearest = |name: &str| nearest(name.as_bytes(), known.into_iter());
        assert_eq!(nearest("agign"), Some("aging"));
        assert_eq!(nearest("prints"), Some("print"));
        assert_eq!(nearest("lo"), Some("low"));
        assert_eq!(nearest("port"), None);
        assert_eq!(nearest("foo"), None, "one letter of three is right");
        assert_eq!(nearest(&"listen".repeat(100_000)), None);
    }
}
