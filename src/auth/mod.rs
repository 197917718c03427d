//! Who may do what, where tokens are asked for: the file of `--auth-file`, and what wrong tokens cost.
//!
//! - [`tokens`]: names, their tokens and rights; what the file says.
//! - [`file`]: the file itself: that nobody else can read it, and into which memory it is read.
//! - [`backoff`]: how long an address waits that tries wrong tokens.
//!
//! It knows no clients and no sockets: see [`crate::hub::authenticator`]. Nothing here allocates after the start.

pub mod backoff;
pub mod file;
pub mod tokens;

pub use backoff::LoginBackoff;
pub use file::AuthFile;
pub use tokens::{Entry, Rights, Token, Tokens};
