//! Authentication and rights: the file of `--auth-file`, and the back-off after wrong tokens.
//!
//! - [`tokens`]: names, their tokens and rights; the format of the file.
//! - [`mod@file`]: reads the file into static memory, unless other users have access to it.
//! - [`backoff`]: how long an address that tries wrong tokens has to wait.
//! - [`authenticator`]: checks tokens for all workers.
//!
//! This module knows no sockets. Of a client it knows only the connection's ID and the address. Nothing here allocates
//! after the start.

pub mod authenticator;
pub mod backoff;
pub mod file;
pub mod tokens;

pub use backoff::LoginBackoff;
pub use file::AuthFile;
pub use tokens::{Entry, Rights, Token, Tokens};
