//! Who may do what, where tokens are asked for: the file of `--auth-file`, and what wrong tokens cost.
//!
//! - [`tokens`]: names, their tokens and rights; what the file says.
//! - [`file`]: the file itself: that nobody else can read it, and into which memory it is read.
//! - [`backoff`]: how long an address that tries wrong tokens has to wait.
//! - [`authenticator`]: checks tokens for all workers.
//!
//! It knows no sockets, and of a client only its number and address. Nothing here allocates after the start.

pub mod authenticator;
pub mod backoff;
pub mod file;
pub mod tokens;

pub use backoff::LoginBackoff;
pub use file::AuthFile;
pub use tokens::{Entry, Rights, Token, Tokens};
