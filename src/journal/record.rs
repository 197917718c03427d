//! A record: one message in the journal. Numbers are little-endian.
//!
//! | offset | bytes | |
//! | ---: | ---: | --- |
//! | 0 | 4 | the checksum: CRC-32 (IEEE) of the segment's salt, 8 bytes, and of the record from offset 4 on, without the padding |
//! | 4 | 4 | the segment's tag |
//! | 8 | 8 | the ID |
//! | 16 | 8 | the time of processing, in milliseconds since 1970 by the board's clock, right or wrong |
//! | 24 | 2 | the length of the record without the padding |
//! | 26 | 1 | the priority |
//! | 27 | 1 | the length of FROM |
//! | 28 | | FROM, then the text as the client sent it |
//! | | 0 to 7 | zeroes, up to the next multiple of 8 |
//!
//! Salt and tag are random numbers of the segment, which no client knows. So a reader cannot mistake a record of an
//! earlier segment in the same file for one of this segment, nor a text that somebody crafted to look like a record.
//!
//! Bytes only: no I/O. Nothing here panics, whatever the bytes are.

use super::number::number;
use super::segment::SegmentKey;
use crate::limits::{FROM_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, TEXT_BYTES};
use crate::protocol::Priority;

/// The offset of each record is a multiple of this.
pub const ALIGNMENT: usize = 8;

/// A message in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The ID, unique in the whole server.
    pub id: u64,
    /// The time of processing, in milliseconds since 1970.
    pub time_ms: u64,
    /// The priority.
    pub priority: Priority,
    /// The sender: a nick, or else ADDRESS:PORT.
    pub from: &'a [u8],
    /// The text.
    pub text: &'a [u8],
}

/// Why there is no record at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The bytes do not have the segment's tag: they are empty, belong to an earlier segment, or are damaged there.
    Untagged,
    /// The bytes have the tag, and are damaged; or only the tag is damaged.
    Corrupt,
    /// The bytes have the tag, but the record is longer than they are.
    Cut,
}

impl<'a> Record<'a> {
    /// The bytes that it takes with its padding.
    pub fn bytes(&self) -> usize {
        padded(RECORD_HEADER_BYTES + self.from.len() + self.text.len())
    }

    /// Writes the record with its padding to the beginning of `out`, and returns how many bytes it wrote. Returns
    /// `None` if `out` is too short, or if FROM or the text is longer than a record allows.
    pub fn write(&self, key: &SegmentKey, out: &mut [u8]) -> Option<usize> {
        if self.from.len() > FROM_BYTES_MAX || self.text.len() > TEXT_BYTES {
            return None;
        }
        let length = RECORD_HEADER_BYTES + self.from.len() + self.text.len();
        let out = out.get_mut(..padded(length))?;
        out[4..8].copy_from_slice(&key.tag.to_le_bytes());
        out[8..16].copy_from_slice(&self.id.to_le_bytes());
        out[16..24].copy_from_slice(&self.time_ms.to_le_bytes());
        out[24..26].copy_from_slice(&(length as u16).to_le_bytes());
        out[26] = self.priority.number();
        out[27] = self.from.len() as u8;
        let (from, text) = out[RECORD_HEADER_BYTES..].split_at_mut(self.from.len());
        from.copy_from_slice(self.from);
        text[..self.text.len()].copy_from_slice(self.text);
        text[self.text.len()..].fill(0);
        let checksum = key.checksum(&out[8..length]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
        Some(out.len())
    }

    /// The record at the beginning of `bytes`, and how many bytes it takes with its padding.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read(key: &SegmentKey, bytes: &'a [u8]) -> Result<(Self, usize), Absence> {
        let length = Self::check(key, bytes)?;
        Self::fields(bytes).map(|record| (record, length)).ok_or(Absence::Corrupt)
    }

    /// Checks that `bytes` begins with a record, and returns how many bytes it takes with its padding.
    ///
    /// # Errors
    /// Why there is none.
    pub fn check(key: &SegmentKey, bytes: &[u8]) -> Result<usize, Absence> {
        match (is_tagged(key, bytes), Self::check_untagged(key, bytes)) {
            (true, checked) => checked,
            // This was a record. If it is the last one of the segment, nothing else shows that it is lost.
            (false, Ok(_)) => Err(Absence::Corrupt),
            (false, Err(_)) => Err(Absence::Untagged),
        }
    }

    /// As [`check`](Self::check), but without checking the tag.
    fn check_untagged(key: &SegmentKey, bytes: &[u8]) -> Result<usize, Absence> {
        let header = bytes.first_chunk::<RECORD_HEADER_BYTES>().ok_or(Absence::Cut)?;
        let length = usize::from(u16::from_le_bytes([header[24], header[25]]));
        if !(RECORD_HEADER_BYTES..=RECORD_BYTES_MAX).contains(&length) {
            return Err(Absence::Corrupt);
        }
        let record = bytes.get(..padded(length)).ok_or(Absence::Cut)?;
        let is_whole = u64::from(key.checksum(&record[8..length])) == number(&record[..4]);
        if is_whole && Record::fields(record).is_some() { Ok(record.len()) } else { Err(Absence::Corrupt) }
    }

    /// The record at the beginning of bytes that passed [`check`](Self::check). Returns `None` only for bytes that did
    /// not pass it.
    pub fn fields(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
        let length = usize::from(u16::from_le_bytes([header[24], header[25]]));
        let (from, text) = bytes.get(RECORD_HEADER_BYTES..length)?.split_at_checked(header[27].into())?;
        let priority = Priority::new(header[26])?;
        let (id, time_ms) = (number(&header[8..16]), number(&header[16..24]));
        Some(Self { id, time_ms, priority, from, text })
    }
}

/// Whether the bytes have the segment's tag where a record has it.
pub fn is_tagged(key: &SegmentKey, bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(&key.tag.to_le_bytes())
}

/// The length of a record with its padding.
const fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

const _: () = {
    assert!(RECORD_BYTES_MAX <= u16::MAX as usize, "a record's length is 16 bits");
    assert!(FROM_BYTES_MAX <= u8::MAX as usize, "the length of FROM is 8 bits");
};

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SegmentKey = SegmentKey { tag: 0x1234_5678, salt: 0x0102_0304_0506_0708 };

    fn record() -> Record<'static> {
        Record {
            id: 7,
            time_ms: 1_700_000_000_000,
            priority: Priority::URGENT,
            from: b"alice",
            text: b"smoke",
        }
    }

    fn written(record: &Record<'_>) -> Vec<u8> {
        let mut bytes = vec![0xff; RECORD_BYTES_MAX + ALIGNMENT];
        let length = record.write(&KEY, &mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn layout_is_as_documented() {
        let bytes = written(&record());
        assert_eq!(bytes.len(), 40);
        assert_eq!(bytes[4..8], [0x78, 0x56, 0x34, 0x12]);
        assert_eq!(bytes[8..16], [7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..24], 1_700_000_000_000_u64.to_le_bytes());
        assert_eq!(bytes[24..28], [38, 0, 9, 5]);
        assert_eq!(&bytes[28..], b"alicesmoke\0\0");
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&KEY.salt.to_le_bytes());
        hasher.update(&bytes[4..38]);
        assert_eq!(bytes[..4], hasher.finalize().to_le_bytes());
    }

    #[test]
    fn record_survives_round_trip() {
        for (from, text) in
            [(&b""[..], &b""[..]), (b"a", b"b"), (&[b'f'; FROM_BYTES_MAX], &[0xff; TEXT_BYTES])]
        {
            let record = Record { from, text, ..record() };
            let bytes = written(&record);
            assert_eq!(bytes.len(), record.bytes());
            assert_eq!(Record::read(&KEY, &bytes), Ok((record, bytes.len())));
        }
    }

    #[test]
    fn record_too_long_for_the_format_or_the_buffer_is_not_written() {
        let mut bytes = [0; 2 * RECORD_BYTES_MAX];
        let long = Record { text: &[0; TEXT_BYTES + 1], ..record() };
        assert_eq!(long.write(&KEY, &mut bytes), None);
        let long = Record { from: &[0; FROM_BYTES_MAX + 1], ..record() };
        assert_eq!(long.write(&KEY, &mut bytes), None);
        assert_eq!(record().write(&KEY, &mut bytes[..39]), None);
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let bytes = written(&record());
        for bit in 0..8 * 38 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::read(&KEY, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_is_detected() {
        let bytes = written(&record());
        for length in 0..bytes.len() {
            let expected = if length < 8 { Absence::Untagged } else { Absence::Cut };
            assert_eq!(Record::read(&KEY, &bytes[..length]), Err(expected), "{length}");
        }
    }

    #[test]
    fn record_of_another_segment_is_not_valid() {
        let bytes = written(&record());
        let other = SegmentKey { tag: 1, ..KEY };
        assert_eq!(Record::read(&other, &bytes), Err(Absence::Untagged));
        let other = SegmentKey { salt: 1, ..KEY };
        assert_eq!(Record::read(&other, &bytes), Err(Absence::Corrupt));
    }
}
