//! Messages of the power tests.

use crate::journal::record::Record;
use crate::journal::simulated::Random;
use crate::limits::{FROM_BYTES_MAX, TEXT_BYTES};
use crate::protocol::Priority;

/// A message whose fields all follow from its serial number, which is also its time. So a test can check every
/// message that it reads.
pub(super) struct Message {
    pub(super) serial: u64,
    pub(super) priority: Priority,
    pub(super) from: Vec<u8>,
    pub(super) text: Vec<u8>,
}

impl Message {
    pub(super) fn new(serial: u64) -> Self {
        let mut random = Random(serial);
        let priority = Priority::new(random.below(Priority::COUNT) as u8).unwrap();
        // Eight bytes at a time, because each check makes the messages again. Byte by byte, that took a fifth of the
        // test's time.
        let mut bytes = |count: usize| -> Vec<u8> {
            let mut bytes = Vec::with_capacity(count + 8);
            while bytes.len() < count {
                bytes.extend_from_slice(&random.next().to_le_bytes());
            }
            bytes.truncate(count);
            bytes
        };
        let length = match serial % 8 {
            0 => 0,
            1 => TEXT_BYTES,
            _ => usize::from(bytes(1)[0]) * TEXT_BYTES / 255,
        };
        let from = bytes(serial as usize % (FROM_BYTES_MAX + 1));
        Self { serial, priority, from, text: bytes(length) }
    }

    pub(super) fn record(&self, id: u64) -> Record<'_> {
        Record { id, time_ms: self.serial, priority: self.priority, from: &self.from, text: &self.text }
    }
}
