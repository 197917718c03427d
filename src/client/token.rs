//! The token of a client, from a file that only its owner can read. No log and no error text contains it.

use super::limits::TOKEN_FILE_BYTES_MAX;
use crate::auth::file::{self, open_private};
use crate::limits::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN};
use crate::protocol::command;
use crate::protocol::foreign::BYTE_ORDER_MARK;
use nix::errno::Errno;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A token in the valid syntax.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why no token can be read from a file, in one line with the file's path. The line shows no content of the file.
#[derive(Debug)]
pub struct BadTokenFile {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Unopened(file::Error),
    Unread(io::Error),
    NoToken,
}

impl fmt::Display for BadTokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            Reason::Unopened(error) => error.fmt(f),
            Reason::Unread(error) => f.write_str(&super::shown::described(error)),
            Reason::NoToken => write!(
                f,
                "it must hold one token and nothing else: {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable ASCII \
                 characters"
            ),
        }
    }
}

impl std::error::Error for BadTokenFile {}

impl Token {
    /// Reads the token from a file, without the blanks and line ends around it.
    ///
    /// # Errors
    /// The file cannot be read, users other than its owner have access to it, or it does not contain exactly one
    /// token.
    pub fn read(path: &Path) -> Result<Self, BadTokenFile> {
        let bad = |reason| BadTokenFile { path: path.to_path_buf(), reason };
        let system_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| bad(Reason::Unopened(file::Error::System(Errno::EINVAL))))?;
        let file = open_private(&system_path).map_err(|error| bad(Reason::Unopened(error)))?;
        let mut bytes = Vec::with_capacity(TOKEN_FILE_BYTES_MAX + 1);
        let limit = TOKEN_FILE_BYTES_MAX as u64 + 1;
        File::from(file).take(limit).read_to_end(&mut bytes).map_err(|error| bad(Reason::Unread(error)))?;
        if bytes.len() > TOKEN_FILE_BYTES_MAX {
            return Err(bad(Reason::NoToken));
        }
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        Self::new(text.trim_ascii()).ok_or_else(|| bad(Reason::NoToken))
    }

    /// The token with that text, if its syntax is valid.
    pub fn new(token: &[u8]) -> Option<Self> {
        command::token(token).map(|token| Self(token.to_vec()))
    }

    /// The `/auth` line with the token and the LF.
    pub fn line(&self) -> Vec<u8> {
        [b"/auth ", &self.0[..], b"\n"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    struct Place(PathBuf);

    impl Place {
        fn new(text: &str, mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!(
                "firstline-token-{}-{mode:o}-{}",
                std::process::id(),
                text.len()
            ));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn only_a_private_file_with_one_token_is_accepted() {
        let token = "a".repeat(TOKEN_BYTES_MIN);
        let read =
            |text: &str, mode| Token::read(&Place::new(text, mode).0).map_err(|error| error.to_string());
        assert_eq!(read(&format!(" {token}\r\n"), 0o600), Ok(Token(token.clone().into())));
        assert_eq!(read(&format!("\u{feff}{token}\r\n"), 0o600), Ok(Token(token.clone().into())));
        assert!(read(&token, 0o644).unwrap_err().contains("chmod 600"));
        for text in ["", "short", &format!("{token} {token}"), &"a".repeat(TOKEN_FILE_BYTES_MAX + 1)] {
            let error = read(text, 0o600).unwrap_err();
            assert!(error.contains("one token") && !error.contains("aaaa"), "{error}");
        }
        assert!(
            Token::read(Path::new("/nonexistent/token")).unwrap_err().to_string().contains("No such file")
        );
    }

    #[test]
    fn debug_output_hides_the_token() {
        assert_eq!(format!("{:?}", Token(b"secret".to_vec())), "Token");
    }
}
