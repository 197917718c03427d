//! The file of `--auth-file`. The server accepts it only if other users have no access to it, and reads it into static
//! memory. Reading it again does not allocate.

use super::tokens::{Mistake, Tokens};
use crate::limits::AUTH_FILE_BYTES_MAX;
use core::fmt;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc::{S_IFMT, S_IFREG};
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::{geteuid, read};
use static_cell::ConstStaticCell;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The buffer for the file. It is one byte larger than the file may be, to detect a file that is too long.
pub type Buffer = [u8; AUTH_FILE_BYTES_MAX + 1];

static BUFFER: ConstStaticCell<Buffer> = ConstStaticCell::new([0; AUTH_FILE_BYTES_MAX + 1]);
static TOKENS: ConstStaticCell<Tokens> = ConstStaticCell::new(Tokens::new());

/// The mode bits that must not be set, because they give other users access.
const FOR_OTHERS: u32 = 0o077;

/// The mode bit that is permitted if the file belongs to root and root's group. systemd sets it on credentials: there
/// it is the mask of an access control list, which names the user that may read them.
const FOR_ROOT_GROUP: u32 = 0o040;

/// Why the file is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// A system call failed.
    System(Errno),
    /// The path names a directory, a pipe or the like.
    NoFile,
    /// Users other than its owner have access to the file.
    Exposed,
    /// The file belongs to this user, which is neither root nor the user of this process.
    Foreign(u32),
    /// The file has more than [`AUTH_FILE_BYTES_MAX`] bytes.
    TooLong,
    /// The file has a mistake.
    Mistake(Mistake),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(Errno::EACCES) => {
                write!(f, "user {0} may not read it; give it to that user with chown {0}", geteuid())
            }
            Self::System(Errno::ENOENT) => {
                f.write_str("No such file or directory; make it, or give its path")
            }
            Self::System(errno) => f.write_str(errno.desc()),
            Self::NoFile => f.write_str("it is not a file; give the path of one"),
            Self::Exposed => f.write_str("others can read it, or write to it; chmod 600 helps"),
            Self::Foreign(user) => {
                write!(f, "it belongs to user {user}; chown it to root or to user {}", geteuid())
            }
            Self::TooLong => write!(f, "it has more than {AUTH_FILE_BYTES_MAX} bytes; shorten its comments"),
            Self::Mistake(mistake) => mistake.fmt(f),
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// The file, and the tokens that it had when it was last read.
pub struct AuthFile {
    path: PathBuf,
    /// The path for system calls.
    system_path: CString,
    buffer: &'static mut Buffer,
    tokens: &'static mut Tokens,
}

impl AuthFile {
    /// Creates the value without reading the file. Call this at startup: it allocates.
    ///
    /// # Errors
    /// The path contains a NUL byte.
    ///
    /// # Panics
    /// When called twice: there is only one buffer.
    pub fn new(path: &Path) -> Result<Self, Error> {
        let system_path =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::System(Errno::EINVAL))?;
        Ok(Self { path: path.to_owned(), system_path, buffer: BUFFER.take(), tokens: TOKENS.take() })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, and returns its tokens. The caller may take them out.
    ///
    /// # Errors
    /// Why the file is refused.
    pub fn load(&mut self) -> Result<&mut Tokens, Error> {
        let len = read_into(self.buffer, &self.system_path)?;
        self.tokens.read(&self.buffer[..len]).map_err(Error::Mistake)?;
        Ok(self.tokens)
    }
}

/// Reads the whole file, if [`open_private`] accepts it, and returns its length.
fn read_into(buffer: &mut Buffer, path: &CString) -> Result<usize, Error> {
    let file = open_private(path)?;
    let len = fill(buffer, &file)?;
    if len > AUTH_FILE_BYTES_MAX { Err(Error::TooLong) } else { Ok(len) }
}

/// Opens a file for reading if root or the user of this process owns it and no other user has access. The exception is
/// a user in the file's access control list: see [`FOR_ROOT_GROUP`].
///
/// # Errors
/// Why the file is not accepted.
pub(crate) fn open_private(path: &CString) -> Result<OwnedFd, Error> {
    // Non-blocking, because opening a pipe without a writer would block.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = open(path.as_c_str(), flags, Mode::empty())?;
    check(&fstat(&file)?)?;
    Ok(file)
}

/// Checks that it is a regular file, that root or the user of this process owns it, and that no other user has access.
fn check(stat: &FileStat) -> Result<(), Error> {
    if stat.st_mode & S_IFMT != S_IFREG {
        return Err(Error::NoFile);
    }
    if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        return Err(Error::Foreign(stat.st_uid));
    }
    let tolerated = if (stat.st_uid, stat.st_gid) == (0, 0) { FOR_ROOT_GROUP } else { 0 };
    if stat.st_mode & FOR_OTHERS & !tolerated != 0 { Err(Error::Exposed) } else { Ok(()) }
}

/// Reads until the file ends or the buffer is full.
fn fill(buffer: &mut Buffer, file: &OwnedFd) -> Result<usize, Errno> {
    let mut len = 0;
    while len < buffer.len() {
        match read(file, &mut buffer[len..]) {
            Ok(0) => break,
            Ok(bytes) => len += bytes,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tokens::What;
    use nix::unistd::{Gid, Uid, chown, mkfifo};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const LINE: &str = "alice aaaaaaaaaaaaaaaa 9 join\n";

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("firstline-auth-{}-{name}", std::process::id()));
            let _ = fs::remove_file(&path);
            Self(path)
        }

        fn write(&self, text: &str, mode: u32) {
            fs::write(&self.0, text).unwrap();
            fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn read(&self) -> Result<String, Error> {
            let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
            let mut buffer = Box::new([0; AUTH_FILE_BYTES_MAX + 1]);
            let len = read_into(&mut buffer, &path)?;
            Ok(String::from_utf8(buffer[..len].to_vec()).unwrap())
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn file_is_read_only_if_nobody_else_can_read_it() {
        let place = Place::new("mode");
        place.write(LINE, 0o600);
        let group =
            fs::metadata(&place.0).map(|metadata| std::os::unix::fs::MetadataExt::gid(&metadata)).unwrap();
        for (mode, is_taken) in [
            (0o600, true),
            (0o400, true),
            (0o700, true),
            (0o604, false),
            (0o602, false),
            (0o601, false),
            (0o660, false),
            (0o650, false),
            (0o644, false),
            // Accepted only if the file belongs to root and root's group.
            (0o640, geteuid().is_root() && group == 0),
        ] {
            fs::set_permissions(&place.0, fs::Permissions::from_mode(mode)).unwrap();
            let expected = if is_taken { Ok(LINE.to_string()) } else { Err(Error::Exposed) };
            assert_eq!(place.read(), expected, "{mode:o}");
        }
    }

    #[test]
    fn owner_must_be_root_or_this_user() {
        let stat = |user: u32, group: u32, mode: u32| {
            let file = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
            let mut stat = fstat(&file).unwrap();
            (stat.st_uid, stat.st_gid, stat.st_mode) = (user, group, S_IFREG | mode);
            stat
        };
        let (me, other) = (geteuid().as_raw(), geteuid().as_raw() + 1);
        assert_eq!(check(&stat(me, 5, 0o600)), Ok(()));
        assert_eq!(check(&stat(0, 0, 0o600)), Ok(()));
        assert_eq!(check(&stat(0, 0, 0o440)), Ok(()), "as systemd passes credentials");
        assert_eq!(check(&stat(0, 5, 0o440)), Err(Error::Exposed));
        assert_eq!(check(&stat(0, 0, 0o444)), Err(Error::Exposed));
        assert_eq!(check(&stat(0, 0, 0o460)), Err(Error::Exposed));
        assert_eq!(check(&stat(other, 0, 0o600)), Err(Error::Foreign(other)));
    }

    #[test]
    fn file_of_another_user_is_refused() {
        let place = Place::new("owner");
        place.write(LINE, 0o600);
        if !geteuid().is_root() {
            // Only root can change the owner of a file. The test above covers the other users.
            return;
        }
        chown(&place.0, Some(Uid::from_raw(4711)), Some(Gid::from_raw(4711))).unwrap();
        assert_eq!(place.read(), Err(Error::Foreign(4711)));
    }

    #[test]
    fn pipes_directories_and_long_files_are_refused() {
        let place = Place::new("kind");
        assert_eq!(place.read(), Err(Error::System(Errno::ENOENT)));
        mkfifo(&place.0, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        assert_eq!(place.read(), Err(Error::NoFile), "and a pipe does not block");
        fs::remove_file(&place.0).unwrap();
        fs::create_dir(&place.0).unwrap();
        assert_eq!(place.read(), Err(Error::NoFile));
        fs::remove_dir(&place.0).unwrap();
        let longest = "#".repeat(AUTH_FILE_BYTES_MAX);
        place.write(&longest, 0o600);
        assert!(place.read() == Ok(longest.clone()));
        place.write(&(longest + "#"), 0o600);
        assert_eq!(place.read(), Err(Error::TooLong));
    }

    #[test]
    fn each_error_is_one_line() {
        let mistake = Error::Mistake(Mistake { line: Some(3), what: What::Join });
        for (error, part) in [
            (Error::System(Errno::EACCES), "may not read it; give it to that user with chown "),
            (Error::System(Errno::ENOENT), "No such file or directory; make it"),
            (Error::NoFile, "not a file; give the path of one"),
            (Error::Exposed, "chmod 600"),
            (Error::Foreign(4711), "belongs to user 4711; chown it to root"),
            (Error::TooLong, "; shorten its comments"),
            (mistake, "line 3: the word after the priority is join or no-join"),
        ] {
            let said = error.to_string();
            assert!(said.contains(part) && !said.contains('\n'), "{said}");
        }
    }
}
