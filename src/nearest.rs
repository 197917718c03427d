//! Finds the known name that is nearest to a misspelt one: for options, commands and modules, without allocation.

use crate::limits::NAME_BYTES_MAX;

/// How many letters may be wrong, but at most half of the name: with more, a guess is no help.
pub const EDITS_MAX: usize = 2;

/// How many letters a name must have to count as the beginning of a known one.
const PREFIX_BYTES_MIN: usize = 3;

/// The nearest of the known names. It has at most [`EDITS_MAX`] wrong letters; a known name longer than
/// [`NAME_BYTES_MAX`] is not compared letter by letter. If there is none, it is the first known name that begins with
/// the given one, or else the longest one that the given one continues with a dash or an underscore.
pub fn nearest<'a>(name: &[u8], known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let is_beginning_of =
        |candidate: &&str| name.len() >= PREFIX_BYTES_MIN && candidate.as_bytes().starts_with(name);
    let continues = |candidate: &&str| {
        name.strip_prefix(candidate.as_bytes()).is_some_and(|rest| matches!(rest, [b'-' | b'_', ..]))
    };
    nearest_by_edits(name, known.clone())
        .or_else(|| known.clone().find(is_beginning_of))
        .or_else(|| known.filter(continues).max_by_key(|candidate| candidate.len()))
}

fn nearest_by_edits<'a>(name: &[u8], known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .filter(|candidate| {
            candidate.len() <= NAME_BYTES_MAX && candidate.len().abs_diff(name.len()) <= EDITS_MAX
        })
        .map(|candidate| (edits(name, candidate.as_bytes()), candidate))
        .filter(|(edits, candidate)| *edits <= EDITS_MAX.min(candidate.len() / 2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of edits that turn one name into the other. An edit inserts, deletes or replaces a byte, or swaps two
/// neighbours. The function fills a table row by row: Wagner and Fischer, "The String-to-String Correction Problem",
/// JACM 21 (1974). That a swap is one edit is from Damerau, "A Technique for Computer Detection and Correction of
/// Spelling Errors", CACM 7 (1964): no other mistake is as common in typing.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let first: [usize; NAME_BYTES_MAX + 1] = core::array::from_fn(|column| column);
    let (mut second_above, mut above) = (first, first);
    for (line, byte) in from.iter().enumerate() {
        let mut row = [line + 1; NAME_BYTES_MAX + 1];
        for column in 0..to.len() {
            let replaced = above[column] + usize::from(*byte != to[column]);
            row[column + 1] = replaced.min(above[column + 1] + 1).min(row[column] + 1);
            if line > 0 && column > 0 && *byte == to[column - 1] && from[line - 1] == to[column] {
                row[column + 1] = row[column + 1].min(second_above[column - 1] + 1);
            }
        }
        (second_above, above) = (above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("aging", "agin", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("abcd", "badc", 2),
        ] {
            assert_eq!(edits(from.as_bytes(), to.as_bytes()), count);
            assert_eq!(edits(to.as_bytes(), from.as_bytes()), count);
        }
        let longest = [b'x'; NAME_BYTES_MAX];
        assert_eq!(edits(b"y", &longest), NAME_BYTES_MAX);
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["aging", "print", "listen", "low"];
        let nearest = |name: &str| nearest(name.as_bytes(), known.into_iter());
        assert_eq!(nearest("agign"), Some("aging"));
        assert_eq!(nearest("prints"), Some("print"));
        assert_eq!(nearest("lo"), Some("low"));
        assert_eq!(nearest("port"), None);
        assert_eq!(nearest("foo"), None, "one letter of three is right");
        assert_eq!(nearest(&"listen".repeat(100_000)), None);
    }

    #[test]
    fn beginnings_and_continuations_of_names_are_near() {
        let known = ["idle-grace", "idle-timeout", "journal", "journal-size", "log"];
        let nearest = |name: &str| nearest(name.as_bytes(), known.into_iter());
        assert_eq!(nearest("idle"), Some("idle-grace"), "the first");
        assert_eq!(nearest("idle-t"), Some("idle-timeout"));
        assert_eq!(nearest("journal-directory"), Some("journal"));
        assert_eq!(nearest("journal-size-max"), Some("journal-size"), "the longest");
        assert_eq!(nearest("logarithm"), None);
        assert_eq!(nearest("id"), None, "two letters may be anything");
    }
}
