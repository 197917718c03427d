//! The bounds of the measurements, each with its reason.

use std::time::Duration;

/// The most clients of a measurement: more threads than most boards have processors, and half of the places of the
/// usual board.
pub const CLIENTS_MAX: usize = 32;

/// The clients that flood while urgent lines are sent.
pub const FLOODING_MAX: usize = 16;

/// The niceness of a thread that loads the server while another measures: the highest.
pub const NICENESS: i32 = 19;

/// The bytes of each text: those of a reading with its name.
pub const TEXT_BYTES: usize = 64;

/// How long a connection may take.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The longest line of an answer to a greeting, in bytes. What sends more is no firstline server.
pub const ANSWER_LINE_BYTES_MAX: usize = 1024;

/// If nothing arrives for this time, the server hangs or the network is down.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long to wait until earlier clients have left.
pub const LEAVING_MAX: Duration = Duration::from_secs(2);

/// The pause between two surveys while clients leave.
pub const LEAVING_PAUSE: Duration = Duration::from_millis(100);

/// The pause after the ACK of an urgent line, before the next one.
pub const URGENT_PAUSE: Duration = Duration::from_millis(2);

/// The bytes of one receive.
pub const RECEIVE_BYTES: usize = 64 * 1024;

/// The largest file of figures that is read, in bytes: many times what is written.
pub const SAVED_BYTES_MAX: u64 = 64 * 1024;
