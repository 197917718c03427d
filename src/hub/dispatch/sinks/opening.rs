//! The error if the journal cannot be opened at the start, and the log lines about the journal after it was opened.

use crate::counted::{Counted, Size};
use crate::journal::error::Error as JournalError;
use crate::journal::recovery::Recovery;
use crate::journal::segment::Identity;
use core::fmt;
use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// Why the server cannot write to the journal at the start.
#[derive(Debug)]
pub struct Error {
    /// The journal's directory.
    pub directory: PathBuf,
    /// The cause.
    pub error: JournalError,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        write!(f, "--journal {directory}: {}", self.error)?;
        match self.error {
            JournalError::InUse(_) => f.write_str("; stop it first, or give another directory"),
            JournalError::System(_, Errno::ENOENT) if !self.directory.exists() => {
                let above = self.directory.parent().unwrap_or(Path::new("/")).display();
                write!(f, "; make the one above it: mkdir -p {above}")
            }
            JournalError::System(_, errno) => f.write_str(advice(errno)),
            JournalError::OtherSize { is, asked } => write!(
                f,
                "; start it with --journal-size {}, give another directory, or carry it over: firstline journal {directory} \
                 --resize {}",
                Size(is),
                Size(asked)
            ),
            _ => Ok(()),
        }
    }
}

/// Advice for an error of the system. It follows the description of that error.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EROFS => "; mount its disk for writing, or give another directory",
        Errno::EACCES | Errno::EPERM => "; let the server's user write there, or give another directory",
        Errno::ENOENT => "; give another directory",
        Errno::ENOTDIR | Errno::EEXIST => "; give the path of a directory",
        _ => "",
    }
}

/// Logs how many bytes are missing at the ends of the journal's files.
pub fn log_short_files(directory: &Path, bytes: u64) {
    if bytes > 0 {
        log::warn!(
            "journal {}: its files are short of {}; the messages that were there are lost",
            directory.display(),
            Counted(bytes, "byte")
        );
    }
}

/// Logs the result of the recovery.
pub fn log_recovery(directory: &Path, recovery: &Recovery, identity: Identity) {
    let directory = directory.display();
    match recovery.is_new() {
        true => log::info!("journal {directory}: it is new; its identity is {identity}"),
        false => log::info!(
            "journal {directory}: goes on with message {}; its identity is {identity}",
            recovery.next_id
        ),
    }
    if recovery.unreadable_segments > 0 {
        log::warn!(
            "journal {directory}: cannot read {}: damaged, another journal's, or a copy; firstline journal --check tells which",
            Counted(recovery.unreadable_segments, "file")
        );
    }
    if recovery.lost_segments > 0 {
        log::warn!("journal {directory}: the newest messages may be lost with their files");
    }
    if recovery.skipped > 0 {
        log::warn!(
            "journal {directory}: IDs {} to {} are skipped: they may have been given to messages that are not on the disk",
            recovery.next_id - recovery.skipped,
            recovery.next_id - 1
        );
    }
    if recovery.damaged_bytes > 0 {
        log::warn!(
            "journal {directory}: damage among its last messages: what was in {} is lost; firstline journal --check tells where",
            Counted(u64::from(recovery.damaged_bytes), "byte")
        );
    }
    if recovery.torn_bytes > 0 {
        log::warn!(
            "journal {directory}: its end is torn, as after a power cut: the messages in the last {} are lost; the bytes stay where \
             they are",
            Counted(u64::from(recovery.torn_bytes), "byte")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        for (errno, advice) in [
            (Errno::EROFS, "Read-only file system; mount its disk for writing, or give another directory"),
            (
                Errno::EACCES,
                "Permission denied; let the server's user write there, or give another directory",
            ),
            (Errno::ENOENT, "No such file or directory; make the one above it: mkdir -p /mnt"),
            (Errno::ENOTDIR, "Not a directory; give the path of a directory"),
            (Errno::EIO, "I/O error"),
        ] {
            let error = JournalError::System("the directory cannot be made", errno);
            let said = Error { directory: "/mnt/journal".into(), error }.to_string();
            assert_eq!(said, format!("--journal /mnt/journal: the directory cannot be made: {advice}"));
        }
        let error = JournalError::OtherSize { is: 2 << 20, asked: 1 << 20 };
        let said = Error { directory: "/mnt/journal".into(), error }.to_string();
        assert_eq!(
            said,
            "--journal /mnt/journal: it was made with --journal-size 2M, not 1M; start it with --journal-size 2M, give another \
             directory, or carry it over: firstline journal /mnt/journal --resize 1M"
        );
    }
}
