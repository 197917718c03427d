//! What the server says about itself: what it keeps, who else uses it, and what it refused.

use super::limits::{LEAVING_MAX, LEAVING_PAUSE};
use super::load::{ask, connect, converse, refusal};
use super::protocol::{Lines, Protocol as _};
use super::trouble::Trouble;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

/// The longest answer to `/stats`, in bytes: several times what a server says.
const STATS_BYTES_MAX: usize = 64 * 1024;

/// The server's counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey(BTreeMap<String, u64>);

impl Survey {
    /// Asks the server.
    ///
    /// # Errors
    /// It cannot be reached, or is no firstline server.
    pub fn of(address: SocketAddr, lines: &Lines) -> Result<Self, Trouble> {
        let stream = connect(address, &lines.greet_sender())?;
        Self::parse(&converse(stream, b"/stats\n/quit\n", STATS_BYTES_MAX)?)
    }

    /// Asks the server over a connection that stays open.
    fn over(stream: &mut TcpStream) -> Result<Self, Trouble> {
        // The last line of an answer begins so.
        let is_last = |line: &str| line.starts_with("OK ") || line.starts_with("ERR ");
        let is_whole = |said: &str| said.ends_with('\n') && said.lines().next_back().is_some_and(is_last);
        Self::parse(&ask(stream, b"/stats\n", STATS_BYTES_MAX, is_whole)?)
    }

    /// Asks the server, once no more than `others` clients are connected besides this one, or [`LEAVING_MAX`] is over.
    ///
    /// # Errors
    /// As for [`of`](Self::of), and the server has no place for this client.
    pub fn when_left(address: SocketAddr, lines: &Lines, others: u64) -> Result<Self, Trouble> {
        let until = Instant::now() + LEAVING_MAX;
        loop {
            let survey = Self::of(address, lines);
            let waits = match &survey {
                Ok(survey) => survey.others() > others,
                // It may be full of clients that are leaving.
                Err(Trouble::Closed(line)) => line.starts_with("ERR 0 "),
                Err(_) => false,
            };
            if !waits || Instant::now() >= until {
                return survey;
            }
            thread::sleep(LEAVING_PAUSE);
        }
    }

    fn parse(said: &str) -> Result<Self, Trouble> {
        let stat = |line: &str| {
            let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
            Some((name.to_string(), value.parse().ok()?))
        };
        let stats: BTreeMap<_, _> = said.lines().filter_map(stat).collect();
        if stats.contains_key("processed") {
            return Ok(Self(stats));
        }
        Err(refusal(said.lines().next().unwrap_or_default().as_bytes()))
    }

    /// A counter, if the server has it.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// How many clients are connected besides the one that asked.
    pub fn others(&self) -> u64 {
        self.get("clients").unwrap_or(1).saturating_sub(1)
    }

    /// Whether it keeps a journal.
    pub fn keeps_journal(&self) -> bool {
        self.0.contains_key("journal-id")
    }

    /// Whether messages go to handlers.
    pub fn has_handlers(&self) -> bool {
        self.0.contains_key("handlers")
    }

    /// Refuses a server that a flood would harm: it would fill the journal, wake the handlers, and delay others.
    ///
    /// # Errors
    /// The reason not to flood it.
    pub fn refuse_if_in_use(&self) -> Result<(), Trouble> {
        let others = self.others();
        let reason = if self.keeps_journal() {
            "it keeps a journal".to_string()
        } else if self.has_handlers() {
            "its messages go to handlers".to_string()
        } else if others == 1 {
            "another client is connected to it".to_string()
        } else if others > 1 {
            format!("{others} other clients are connected to it")
        } else {
            return Ok(());
        };
        Err(Trouble::InUse(reason))
    }

    /// Whether it refused, lowered or lost messages since `before`: then the figures would not be what they say.
    ///
    /// # Errors
    /// What it did, how often, and of refusals the most frequent reason.
    pub fn refuse_refusals(&self, before: &Self) -> Result<(), Trouble> {
        let since = |name: &str| self.get(name).unwrap_or(0).saturating_sub(before.get(name).unwrap_or(0));
        let refused = self.0.keys().filter_map(|name| Some((since(name), name.strip_prefix("refused-")?)));
        if let Some((count @ 1.., reason)) = refused.max() {
            return Err(Trouble::Refused(count, reason.to_string()));
        }
        match (since("lowered"), since("msgs-lost")) {
            (0, 0) => Ok(()),
            (0, lost) => Err(Trouble::Lost(lost)),
            (lowered, _) => Err(Trouble::Lowered(lowered)),
        }
    }
}

/// How many connections the server accepts from here, at most `wanted`, while `others` other clients stay connected.
/// Connects until the server refuses one although no client was leaving before: the server then counted no more clients
/// than these. Tries for up to [`LEAVING_MAX`].
///
/// # Errors
/// It cannot be reached, or has no room at all.
pub fn room(address: SocketAddr, lines: &Lines, wanted: usize, others: u64) -> Result<usize, Trouble> {
    let (until, mut held, mut was_left) = (Instant::now() + LEAVING_MAX, Vec::new(), false);
    while held.len() < wanted {
        match connect(address, &lines.greet_sender()) {
            Ok(stream) => {
                held.push(stream);
                was_left = false;
            }
            Err(Trouble::Closed(_)) if !held.is_empty() && (was_left || Instant::now() >= until) => break,
            Err(trouble @ Trouble::Closed(_)) => {
                let clients = Survey::over(held.last_mut().ok_or(trouble)?)?.others() + 1;
                was_left = clients <= held.len() as u64 + others;
                if !was_left {
                    thread::sleep(LEAVING_PAUSE);
                }
            }
            Err(trouble) => return Err(trouble),
        }
    }
    let room = held.len();
    // They end in order, so that their places are free when the first measurement begins.
    for stream in held {
        converse(stream, b"/quit\n", STATS_BYTES_MAX)?;
    }
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    fn survey(said: &str) -> Survey {
        Survey::parse(said).unwrap()
    }

    fn why(said: &str) -> Option<String> {
        survey(said).refuse_if_in_use().err().map(|trouble| trouble.to_string())
    }

    #[test]
    fn server_in_use_is_refused_with_what_uses_it() {
        let idle = "STAT clients 1\nSTAT processed 0\nOK 2\n";
        assert_eq!(why(idle), None);
        for (more, part) in [
            ("STAT journal-id 17\n", "keeps a journal"),
            ("STAT handlers 0\n", "go to handlers"),
            ("STAT clients 2\n", "another client is"),
            ("STAT clients 4\n", "3 other clients are"),
        ] {
            let told = why(&(idle.to_string() + more)).unwrap();
            assert!(told.contains(part) && told.contains("--force"), "{told}");
        }
    }

    #[test]
    fn what_is_no_server_is_told_with_its_first_line() {
        for said in ["HTTP/1.1 400 Bad Request\r\n", "STAT clients 1\n"] {
            assert!(matches!(Survey::parse(said), Err(Trouble::Foreign(_))), "{said}");
        }
        let unknown = Survey::parse("ERR 2 not-authenticated say /auth TOKEN first\nBYE quit\n");
        assert!(matches!(unknown, Err(Trouble::Closed(_))), "{unknown:?}");
    }

    fn before_text() -> &'static str {
        "STAT processed 0\nSTAT refused-too-long 5\n"
    }

    #[test]
    fn refused_lines_are_told_with_the_reason_of_most() {
        let before = survey(before_text());
        let after = survey("STAT processed 9\nSTAT refused-too-long 5\nSTAT refused-journal-failed 7\n");
        assert!(before.refuse_refusals(&before).is_ok());
        let told = after.refuse_refusals(&before).unwrap_err().to_string();
        assert_eq!(told, "it refused 7 lines: journal-failed");
        for (more, part) in
            [("STAT lowered 3\n", "it lowered 3 urgent lines"), ("STAT msgs-lost 1\n", "lost 1 message ")]
        {
            let after = survey(&(before_text().to_string() + more));
            let told = after.refuse_refusals(&before).unwrap_err().to_string();
            assert!(told.contains(part), "{told}");
        }
    }

    /// A server with two places. A leaving client has one of them until the first `/stats`, or until the first client
    /// is turned away.
    fn server_with_a_leaving_client(leaves_early: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (taken, leaving) = (&AtomicU64::new(0), &AtomicU64::new(1));
            let serve = |stream: TcpStream| {
                if taken.load(SeqCst) + leaving.load(SeqCst) == 2 {
                    leaving.fetch_and(u64::from(!leaves_early), SeqCst);
                    return writeln!(&stream, "ERR 0 full");
                }
                taken.fetch_add(1, SeqCst);
                for line in BufReader::new(&stream).lines() {
                    match line?.as_str() {
                        "/ping" => writeln!(&stream, "OK 1")?,
                        "/stats" => {
                            let clients = taken.load(SeqCst) + leaving.swap(0, SeqCst);
                            writeln!(&stream, "STAT clients {clients}\nSTAT processed 0\nOK 2")?;
                        }
                        _ => break,
                    }
                }
                Ok(())
            };
            thread::scope(|scope| {
                listener.incoming().for_each(|stream| drop(scope.spawn(|| serve(stream.unwrap()))));
            });
        });
        address
    }

    #[test]
    fn place_of_a_client_that_is_leaving_counts() {
        let lines = Lines::new(None);
        for leaves_early in [false, true] {
            assert_eq!(room(server_with_a_leaving_client(leaves_early), &lines, 9, 0).unwrap(), 2);
            assert_eq!(room(server_with_a_leaving_client(leaves_early), &lines, 2, 0).unwrap(), 2);
        }
    }
}
