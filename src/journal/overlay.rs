//! A disk that does not change its files: it keeps all writes in memory, and reads return them in place of the files'
//! bytes. So a writer can recover a journal in memory as it would at a start.

use super::disk::{Disk, Source};
use super::error::Error;
use super::read_only::ReadOnly;
use nix::errno::Errno;

/// The files of a journal, and the writes over them. It keeps each write, so it is meant for the few pages of a
/// recovery.
pub struct Overlay<'a> {
    files: &'a ReadOnly,
    writes: Vec<Write>,
}

/// Bytes that were written to a segment.
struct Write {
    segment: usize,
    offset: u32,
    bytes: Vec<u8>,
}

impl<'a> Overlay<'a> {
    /// An overlay of these files. If parts of them are lost, it already contains the traces that a start leaves.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(files: &'a ReadOnly) -> Result<Self, Error> {
        let losses = files.losses()?.into_iter().enumerate();
        let traces = losses.filter_map(|(segment, loss)| Some((segment, loss?.trace(files.segment_bytes()))));
        let writes = traces
            .map(|(segment, (offset, bytes))| Write { segment, offset, bytes: bytes.to_vec() })
            .collect();
        Ok(Self { files, writes })
    }
}

impl Source for Overlay<'_> {
    fn read(&self, segment: usize, offset: u32, bytes: &mut [u8]) -> Result<(), Errno> {
        self.files.read(segment, offset, bytes)?;
        let start = offset as usize;
        for write in self.writes.iter().filter(|write| write.segment == segment) {
            let written = write.offset as usize;
            let from = written.max(start);
            let to = (written + write.bytes.len()).min(start + bytes.len());
            if from < to {
                bytes[from - start..to - start].copy_from_slice(&write.bytes[from - written..to - written]);
            }
        }
        Ok(())
    }
}

impl Disk for Overlay<'_> {
    fn write(&mut self, segment: usize, offset: u32, bytes: &[u8]) -> Result<(), Errno> {
        self.writes.push(Write { segment, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&mut self, _: usize) -> Result<(), Errno> {
        Ok(())
    }

    fn sync_and_evict(&mut self, _: usize) -> Result<(), Errno> {
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::file_state::MISSING;
    use crate::journal::files::Files;
    use crate::journal::names::NAMES;
    use crate::journal::writer::{Buffers, Writer};

    const SEGMENT_BYTES: u32 = 128 * 1024;

    #[test]
    fn reads_show_the_last_write_and_the_files_do_not_change() {
        let path = std::env::temp_dir().join(format!("firstline-overlay-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let mut buffers = Box::new(Buffers::new());
        let files = Files::open(&path, SEGMENT_BYTES).unwrap();
        Writer::open(files, SEGMENT_BYTES, &mut buffers).unwrap().0.close().unwrap();
        std::fs::remove_file(path.join(NAMES[5])).unwrap();
        let before = std::fs::read(path.join(NAMES[0])).unwrap();
        let files = ReadOnly::open(&path).unwrap();
        let mut overlay = Overlay::new(&files).unwrap();
        overlay.write(0, 10, &[1; 10]).unwrap();
        overlay.write(0, 15, &[2; 10]).unwrap();
        overlay.write(1, 0, &[3; 40]).unwrap();
        let mut expected = before.clone();
        expected[10..15].fill(1);
        expected[15..25].fill(2);
        for (start, end) in [(0, 40), (12, 18), (0, 10), (25, 40), (20, 21), (9, 26)] {
            let mut bytes = vec![0; end - start];
            overlay.read(0, start as u32, &mut bytes).unwrap();
            assert_eq!(bytes, expected[start..end], "{start} to {end}");
        }
        let mut bytes = [0; MISSING.len()];
        overlay.read(5, 0, &mut bytes).unwrap();
        assert_eq!(bytes, MISSING, "a file that is missing may have been the newest");
        assert_eq!(std::fs::read(path.join(NAMES[0])).unwrap(), before);
        assert!(!path.join(NAMES[5]).exists());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
