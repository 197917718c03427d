//! The known name that a misspelt one comes nearest to.

/// How many letters may be wrong: with more, a guess is no help.
const EDITS_MAX: usize = 2;

/// The nearest of the known names, if one is near.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= EDITS_MAX)
        .map(|candidate| (edits(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(edits, _)| *edits <= EDITS_MAX)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The bytes to insert, delete or replace to make one of the other, row by row of the table of Wagner and
/// Fischer, "The String-to-String Correction Problem", JACM 21 (1974).
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
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
    }

    #[test]
    fn only_the_near_are_named() {
        let known = ["aging", "print", "listen"];
        assert_eq!(nearest("agign", known.into_iter()), Some("aging"));
        assert_eq!(nearest("prints", known.into_iter()), Some("print"));
        assert_eq!(nearest("port", known.into_iter()), None);
        assert_eq!(nearest(&"listen".repeat(100_000), known.into_iter()), None);
    }
}
