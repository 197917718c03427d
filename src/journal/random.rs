//! Random numbers from the system.

use super::number::number;
use super::segment::{Identity, SegmentKey};
use nix::errno::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// The key of a new segment, which no client knows.
///
/// # Errors
/// The system's.
pub(super) fn new_segment_key() -> Result<SegmentKey, Errno> {
    let bytes = random::<12>()?;
    Ok(SegmentKey { tag: number(&bytes[..4]) as u32, salt: number(&bytes[4..]) })
}

/// The identity of a new journal.
///
/// # Errors
/// The system's.
pub(super) fn new_identity() -> Result<Identity, Errno> {
    random::<8>().map(|bytes| Identity(u64::from_le_bytes(bytes)))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Errno> {
    let mut bytes = [0; BYTES];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    let filled = filled.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
    if filled == BYTES { Ok(bytes) } else { Err(Errno::EAGAIN) }
}
