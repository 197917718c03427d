//! The fuzzer's input, read from its start as a small program. Zeros follow its end.
#![allow(dead_code, reason = "each target uses its part")]

/// The rest of the program.
pub struct Program<'a>(pub &'a [u8]);

impl Program<'_> {
    /// Whether nothing is left of it.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// `count` bytes, or all that are left.
    pub fn bytes(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A small number, or one of the largest.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            byte @ 0xf0.. => u64::MAX - u64::from(byte & 15),
            byte => byte.into(),
        }
    }

    /// Bytes to send, up to 0xfe or the end of the program. 0xff, a count and a byte stand for a run of that
    /// byte, so that a few bytes make lines that are too long; 0xff and 0xff stand for 0xff itself.
    pub fn text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while !self.is_over() {
            match self.byte() {
                0xfe => break,
                0xff => match (self.byte(), self.byte()) {
                    (0xff, next) => text.extend([0xff, next]),
                    (count, byte) => text.resize(text.len() + 9 * usize::from(count), byte),
                },
                byte => text.push(byte),
            }
        }
        text
    }
}
