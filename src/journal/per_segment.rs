//! Arrays with an element for each segment.

use super::error::Error;
use crate::limits::JOURNAL_SEGMENTS;

/// Makes an array with the results of `make` for each segment.
///
/// # Errors
/// The first one of `make`.
pub(super) fn try_per_segment<T>(
    mut make: impl FnMut(usize) -> Result<T, Error>,
) -> Result<[T; JOURNAL_SEGMENTS], Error> {
    let mut made = heapless::Vec::<T, JOURNAL_SEGMENTS>::new();
    for segment in 0..JOURNAL_SEGMENTS {
        // The vector has room for all segments.
        let _ = made.push(make(segment)?);
    }
    made.into_array().map_err(|_| Error::NoJournal)
}
