//! Secrets in files: passwords and private keys.

use super::limits::{PEM_BYTES_MAX, SECRET_BYTES_MAX};
use crate::auth::file::open_private;
use crate::client::shown::described;
use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A user and a password. They are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Vec<u8>,
}

/// Reads a file that only its owner can read, of at most that many bytes.
///
/// # Errors
/// Why not, in one line with the path.
pub fn read_private(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let shown = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let system_path =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| shown(&"no file has that path"))?;
    let file = open_private(&system_path).map_err(|error| shown(&error))?;
    let mut bytes = Vec::new();
    let read = File::from(file).take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|error| shown(&described(&error)))?;
    if bytes.len() as u64 > bytes_max {
        Err(shown(&format!("it has more than {bytes_max} bytes")))
    } else {
        Ok(bytes)
    }
}

/// Reads a private key.
///
/// # Errors
/// Why not, in one line with the path.
pub fn read_key(path: &Path) -> Result<Vec<u8>, String> {
    read_private(path, PEM_BYTES_MAX)
}

impl Login {
    /// Reads a password from a file with one line, or a user and a password from a file with two. `user` is the user in
    /// the broker's address.
    ///
    /// # Errors
    /// Why not, in one line with the path. It shows nothing of the file's content.
    pub fn read(path: &Path, user: Option<&str>) -> Result<Self, String> {
        let bytes = read_private(path, SECRET_BYTES_MAX as u64)?;
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').map(without_cr).collect();
        let lines = match lines[..] {
            [ref lines @ .., b""] => lines,
            ref lines => lines,
        };
        let refused = |reason: &str| Err(format!("{}: {reason}", path.display()));
        match (lines, user) {
            ([password], Some(user)) if !password.is_empty() => {
                Ok(Self { user: user.to_string(), password: password.to_vec() })
            }
            ([_], None) => refused(
                "it holds a password and no user; write mqtt://USER@HOST, or the user into a line before it",
            ),
            ([_, _], Some(_)) => refused("it names a user, and so does --to; name one"),
            ([user, password], None) if !user.is_empty() && !password.is_empty() => {
                match str::from_utf8(user) {
                    Ok(user) => Ok(Self { user: user.to_string(), password: password.to_vec() }),
                    Err(_) => refused("the user in its first line is not UTF-8"),
                }
            }
            _ => refused(
                "it must hold one line with the password, or the user in one line and the password in the next",
            ),
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, remove_file, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    fn read(text: &[u8], mode: u32, user: Option<&str>) -> Result<(String, Vec<u8>), String> {
        let name = format!("firstline-login-{}-{:x}-{mode:o}", std::process::id(), crc32fast::hash(text));
        let path = std::env::temp_dir().join(name);
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let login = Login::read(&path, user);
        remove_file(&path).unwrap();
        login.map(|login| (login.user, login.password))
    }

    #[test]
    fn user_and_password_come_from_where_they_stand() {
        let login = |user: &str| Ok((user.to_string(), b"se cret".to_vec()));
        assert_eq!(read(b"se cret", 0o600, Some("me")), login("me"));
        assert_eq!(read(b"se cret\r\n", 0o600, Some("me")), login("me"));
        assert_eq!(read(b"you\nse cret\n", 0o600, None), login("you"));
        for (text, user) in [
            (&b""[..], Some("me")),
            (b"\n", Some("me")),
            (b"secret", None),
            (b"you\nsecret", Some("me")),
            (b"\nsecret", None),
            (b"a\nsecret\nc", None),
            (b"\xff\nsecret", None),
        ] {
            let error = read(text, 0o600, user).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(read(b"secret", 0o644, Some("me")).unwrap_err().contains("chmod 600"));
        assert!(read(&[b'x'; SECRET_BYTES_MAX + 1], 0o600, Some("me")).is_err());
    }
}
