//! A client of the server: for `firstline send`, `firstline watch`, and for programs. Knows nothing of [`crate::hub`]
//! and [`crate::journal`].
//!
//! It connects to the first server of a list that answers, shows its token if it has one, and sends messages, with as
//! many in flight as the server takes. It matches each reply to its message by the line number, reconnects when the
//! connection is lost, and reports the outcome of each message. It runs in the caller's thread, with non-blocking
//! sockets and without a busy loop; only the lookup of a name has a thread of its own. Memory is bounded by [`limits`].
//!
//! | file | owns |
//! | --- | --- |
//! | [`address`], [`lookup`] | the addresses of servers: the syntax, and the system's resolver program |
//! | [`token`] | the token, from a file that only its owner can read |
//! | [`message`] | a message as a line |
//! | [`reply`] | the parser of the server's lines |
//! | [`reason`] | the meaning of each reason that a server gives |
//! | [`connection`] | one connection: lines out, replies in |
//! | [`connecting`] | a socket that connects to one address |
//! | [`link`] | finds a server that answers, and keeps a connection to it |
//! | [`in_flight`] | lines without a reply yet |
//! | [`backoff`], [`deadline`] | pauses between attempts, and the time-out |
//! | [`wait`] | the wait for a descriptor or a time |
//! | [`outcome`] | the outcomes of a message |
//! | [`sender`] | sends messages, with the files above |
//! | [`positions`] | how far journals are read, and where to continue |
//! | [`watcher`] | receives messages, with the files above |
//! | [`shown`] | text of servers and errors, made safe for a terminal |
//!
//! # Sending
//!
//! This example sends one message at a time:
//!
//! ```
//! use firstline::client::{Message, Outcome, Sender, Settings};
//! use firstline::protocol::Priority;
//! # use std::io::{BufRead, BufReader, Write};
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! # let server = listener.local_addr().unwrap().to_string();
//! # let thread = std::thread::spawn(move || {
//! #     let mut stream = listener.accept().unwrap().0;
//! #     let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
//! #     assert_eq!(lines.next().unwrap().unwrap(), "/ping");
//! #     stream.write_all(b"OK 1\n").unwrap();
//! #     assert_eq!(lines.next().unwrap().unwrap(), "/9 smoke in the workshop");
//! #     stream.write_all(b"ACK 2 17\n").unwrap();
//! # });
//!
//! // Such as "raspberrypi", "[::1]:9090", or "pi.local,10.0.0.7": the first that answers is used.
//! let servers = server.parse().expect("the names of servers");
//! let mut sender = Sender::new(servers, Settings::default());
//! let message = Message::new(Priority::URGENT, "smoke in the workshop").expect("one line, and not too long");
//! match sender.send(message) {
//!     Outcome::Acknowledged(receipt) => assert_eq!(receipt.id, 17),
//!     Outcome::Refused(refusal) => panic!("do not send it again: {refusal}"),
//!     Outcome::Unknown(reason) => panic!("it may be there: {reason}"),
//!     Outcome::NotSent(reason) => panic!("send it again later: {reason}"),
//! }
//! # thread.join().unwrap();
//! ```
//!
//! To send many at once, call [`Sender::push`] for each, then [`Sender::wait`] and [`Sender::take_outcome`]. A program
//! with a loop of its own polls for [`Sender::interest`] and calls [`Sender::advance`].
//!
//! # Watching
//!
//! This example prints urgent messages until one is from alice. After a lost connection, it continues after the last
//! message. To continue after a restart of the program too, save each [`Event::position`], and begin with the saved
//! ones in [`Interest::positions`].
//!
//! ```
//! use firstline::client::{Interest, Watcher, What};
//! use firstline::protocol::Priority;
//! # use std::io::{BufRead, BufReader, Write};
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! # let server = listener.local_addr().unwrap().to_string();
//! # let thread = std::thread::spawn(move || {
//! #     let mut stream = listener.accept().unwrap().0;
//! #     let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
//! #     for (line, answer) in [
//! #         ("/ping", "OK 1\n"),
//! #         ("/stats", "STAT uptime-s 1\nOK 2\n"),
//! #         ("/join 7", "OK 3\nMSG 16 p7 bob water in the cellar\nMSG 17 p9 alice smoke in the workshop\n"),
//! #     ] {
//! #         assert_eq!(lines.next().unwrap().unwrap(), line);
//! #         stream.write_all(answer.as_bytes()).unwrap();
//! #     }
//! # });
//!
//! let servers = server.parse().expect("the names of servers");
//! let interest = Interest { min: Priority::HIGH, ..Interest::default() };
//! let mut watcher = Watcher::new(servers, None, interest);
//! let smoke = 'watching: loop {
//!     watcher.wait(None);
//!     if let Some(reason) = watcher.denial() {
//!         panic!("the server gives no right: {reason}");
//!     }
//!     while let Some(event) = watcher.take_event() {
//!         match event.what {
//!             What::Message { from, text, .. } if from == "alice" => break 'watching text,
//!             What::Message { id, from, text, .. } => println!("{id} {from}: {text}"),
//!             What::Lost(count) => println!("{count} messages are missing here"),
//!             What::Begin(Some(gap)) => println!("{gap}"),
//!             What::Begin(None) | What::CaughtUp => {}
//!         }
//!     }
//! };
//! assert_eq!(smoke, "smoke in the workshop");
//! # thread.join().unwrap();
//! ```

pub mod address;
pub mod backoff;
pub mod connecting;
pub mod connection;
pub mod deadline;
pub mod in_flight;
pub mod limits;
pub mod link;
pub mod lookup;
pub mod message;
pub mod outcome;
#[cfg(test)]
mod peer;
pub mod positions;
pub mod reason;
pub mod reply;
pub mod sender;
pub mod shown;
pub mod token;
pub mod wait;
pub mod watcher;

pub use address::{BadServers, Servers};
pub use message::{Message, Unsendable};
pub use outcome::{Outcome, Receipt, Refusal};
pub use positions::{Gap, Position, Positions, Since};
pub use reply::Reply;
pub use sender::{Repeats, Sender, Settings};
pub use token::{BadTokenFile, Token};
pub use watcher::{Event, Interest, Watcher, What};
