//! The file with the positions in journals. Each save writes and syncs a new file, and renames it over the old one. So
//! after a crash or a loss of power, the file is complete, and either the old one or the new one.

use crate::client::shown::described;
use crate::client::{Position, Positions};
use crate::process_io::failure::Failure;
use crate::process_io::file_lock::{FileLock, try_lock};
use crate::process_io::regular_file::open_regular;
use std::ffi::OsString;
use std::fmt::{self, Display, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The first line: the program, and the version of the format.
const HEAD: &str = "firstline watch, state 1";

/// The text of the other lines.
const JOURNAL: &str = "journal ";
const READ_TO: &str = " is read to ";
/// The line for a server without a journal.
const NO_JOURNAL: &str = "a server without a journal";
const CHECKSUM: &str = "checksum ";

/// An upper bound of the file's length, in bytes: longer than the longest state.
const BYTES_MAX: u64 = 16 * 1024;

const MODE: u32 = 0o600;

/// The state file. A lock keeps other processes from writing it while this value lives.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// The path of the new file, before its rename.
    new: PathBuf,
    directory: File,
    _lock: FileLock,
}

/// Why a file cannot be used, in one line that begins with its path.
#[derive(Debug)]
pub struct StateError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    System(io::Error),
    /// Another process uses it.
    InUse,
    /// Its content is not a state, or is damaged.
    NoState,
}

impl Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            Reason::System(error) => f.write_str(&described(error)),
            Reason::InUse => f.write_str("another firstline watch uses it; give each its own"),
            Reason::NoState => f.write_str(
                "it is no state of firstline watch, or it is damaged; remove it, and choose where to begin with --since",
            ),
        }
    }
}

impl std::error::Error for StateError {}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::usage(format_args!("--state {error}"))
    }
}

impl StateFile {
    /// Opens the file at that path, and returns its positions. The file need not exist. This also writes the file once,
    /// so that a failure to write shows at startup.
    ///
    /// # Errors
    /// It is not a regular file, its content is not a state or is damaged, another process uses it, or an I/O error.
    pub fn open(path: &Path) -> Result<(Self, Positions), StateError> {
        let bad = |reason| StateError { path: path.to_path_buf(), reason };
        // So `save` replaces the target of a symbolic link and not the link, and all links to a file share its lock.
        let target = fs::canonicalize(path);
        let path = target.as_deref().unwrap_or(path);
        let system = |error| bad(Reason::System(error));
        let positions = match read(path) {
            Ok(text) => parse(&text).ok_or_else(|| bad(Reason::NoState))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Positions::default(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(bad(Reason::NoState)),
            Err(error) => return Err(system(error)),
        };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(system)?;
        let lock = try_lock(&beside(path, ".lock")).map_err(system)?.ok_or_else(|| bad(Reason::InUse))?;
        let file = Self { path: path.to_path_buf(), new: beside(path, ".new"), directory, _lock: lock };
        // Another process may have held the lock, and written the file, since the first read.
        let positions = read(path).ok().and_then(|text| parse(&text)).unwrap_or(positions);
        file.save(&positions).map_err(system)?;
        Ok((file, positions))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the state. After this returns, it survives a loss of power.
    ///
    /// # Errors
    /// An I/O error. The file then contains the old state, or the new one if only the last sync failed.
    pub fn save(&self, positions: &Positions) -> io::Result<()> {
        let written = self.write(positions).and_then(|()| fs::rename(&self.new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&self.new);
        }
        written.and_then(|()| self.directory.sync_all())
    }

    fn write(&self, positions: &Positions) -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&self.new)?;
        file.write_all(format(positions).as_bytes())?;
        file.sync_all()
    }
}

/// The path with `ending` appended.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn format(positions: &Positions) -> String {
    let mut text = format!("{HEAD}\n");
    for Position { journal, id } in positions.list() {
        // Writing to a String does not fail.
        let _ = match journal {
            Some(journal) => writeln!(text, "{JOURNAL}{journal}{READ_TO}{id}"),
            None => writeln!(text, "{NO_JOURNAL}"),
        };
    }
    let checksum = crc32fast::hash(text.as_bytes());
    format!("{text}{CHECKSUM}{checksum:08x}\n")
}

/// Parses a state into its positions; `None`: the text is not a state, or is damaged.
fn parse(text: &str) -> Option<Positions> {
    let (body, checksum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let body = format!("{body}\n");
    if checksum != format!("{CHECKSUM}{:08x}", crc32fast::hash(body.as_bytes())) {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != HEAD {
        return None;
    }
    let mut positions = Positions::default();
    // The file lists the most recently read journal first, and `set` puts each position before the others.
    for line in lines.rev() {
        positions.set(position(line)?);
    }
    Some(positions)
}

fn position(line: &str) -> Option<Position> {
    if line == NO_JOURNAL {
        return Some(Position { journal: None, id: 0 });
    }
    let (journal, id) = line.strip_prefix(JOURNAL)?.split_once(READ_TO)?;
    Some(Position { journal: Some(journal.parse().ok()?), id: id.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::limits::JOURNALS_MAX;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("firstline-state-{}-{count}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn state(&self) -> PathBuf {
            self.0.join("state")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn saved_positions_are_read_back_in_order() {
        let place = Place::new();
        let (file, found) = StateFile::open(&place.state()).unwrap();
        assert_eq!(found, Positions::default());
        let saved = Positions::of_journals(&[(Some(u64::MAX), 12), (None, 0), (Some(1), u64::MAX)]);
        file.save(&saved).unwrap();
        drop(file);
        assert_eq!(StateFile::open(&place.state()).unwrap().1, saved);
        assert_eq!(fs::metadata(place.state()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!place.0.join("state.new").exists());
    }

    #[test]
    fn symbolic_link_stays_and_a_special_file_is_told() {
        let place = Place::new();
        let link = place.0.join("link");
        std::os::unix::fs::symlink(place.state(), &link).unwrap();
        fs::write(place.state(), format(&Positions::default())).unwrap();
        let (file, _) = StateFile::open(&link).unwrap();
        let saved = Positions::of_journals(&[(Some(7), 12)]);
        file.save(&saved).unwrap();
        assert!(StateFile::open(&place.state()).is_err(), "both paths have one lock");
        drop(file);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(StateFile::open(&place.state()).unwrap().1, saved);
        let pipe = place.0.join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [place.0.as_path(), &pipe, Path::new("/dev/null")] {
            let told = StateFile::open(path).unwrap_err().to_string();
            assert!(told.ends_with(": it is not a regular file"), "{told}");
        }
    }

    #[test]
    fn longest_state_can_be_read() {
        let list: Vec<_> = (0..JOURNALS_MAX as u64).map(|at| (Some(u64::MAX - at), u64::MAX)).collect();
        let text = format(&Positions::of_journals(&list));
        assert!((text.len() as u64) < BYTES_MAX);
        assert_eq!(parse(&text), Some(Positions::of_journals(&list)));
    }

    #[test]
    fn damage_anywhere_is_reported_and_other_files_stay() {
        let place = Place::new();
        let text = format(&Positions::of_journals(&[(Some(7), 12), (None, 0)]));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(String::from_utf8(bytes).ok().and_then(|text| parse(&text)), None, "byte {at}");
            assert_eq!(parse(&text[..at]), None, "cut at {at}");
        }
        for held in [&b""[..], b"nothing of ours\n", b"\xff\xfe"] {
            fs::write(place.state(), held).unwrap();
            let error = StateFile::open(&place.state()).unwrap_err().to_string();
            assert!(error.contains("remove it"), "{error}");
            assert_eq!(fs::read(place.state()).unwrap(), held);
        }
    }

    #[test]
    fn state_has_one_writer_and_needs_its_directory() {
        let place = Place::new();
        let first = StateFile::open(&place.state()).unwrap();
        assert!(StateFile::open(&place.state()).unwrap_err().to_string().contains("another firstline"));
        drop(first);
        StateFile::open(&place.state()).unwrap();
        let nowhere = StateFile::open(&place.0.join("nowhere/state")).unwrap_err().to_string();
        assert!(nowhere.ends_with("No such file or directory"), "{nowhere}");
    }
}
