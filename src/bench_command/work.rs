//! The measurements.

use super::limits::{CLIENTS_MAX, FLOODING_MAX, TEXT_BYTES};
use super::load::{self, Load};
use super::protocol::Lines;
use super::survey::{Survey, room};
use super::trouble::Trouble;
use super::urgent;
use crate::histogram::Histogram;
use std::net::SocketAddr;
use std::time::Duration;

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One client with one message in flight: the round trip.
    Single,
    /// Many clients with one message in flight each.
    Many,
    /// Many clients with many messages in flight each: what the server can do at most.
    Flood,
    /// An urgent line while others flood.
    Urgent,
    /// One sender to many clients that joined.
    FanOut,
}

/// What one round of a measurement gave.
#[derive(Debug)]
pub struct Round {
    /// Messages, or deliveries, a second.
    pub per_second: f64,
    /// The times to the ACK, for [`Work::Urgent`] those of the urgent lines; empty: only the rate was measured.
    pub latency: Histogram,
}

impl Work {
    /// All, in the order in which they run.
    pub const ALL: [Self; 5] = [Self::Single, Self::Many, Self::Flood, Self::Urgent, Self::FanOut];

    /// Its name, for `--only` and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "1x1",
            Self::Many => "32x1",
            Self::Flood => "32x32",
            Self::Urgent => "urgent",
            Self::FanOut => "fan-out",
        }
    }
}

/// A server, and the settings of its measurements.
pub struct Bench<'a> {
    address: SocketAddr,
    lines: &'a Lines,
    duration: Duration,
    /// How many clients there may be at once.
    clients: usize,
    /// How many clients of others there are.
    others: u64,
}

impl<'a> Bench<'a> {
    /// Finds out how many clients the server takes from here.
    ///
    /// # Errors
    /// It cannot be reached, or takes too few.
    pub fn new(
        address: SocketAddr,
        lines: &'a Lines,
        survey: &Survey,
        duration: Duration,
    ) -> Result<Self, Trouble> {
        // A survey, or the sender of urgent lines, is one more.
        let room = room(address, lines, CLIENTS_MAX + 1, survey.others())?;
        if room < 3 {
            return Err(Trouble::NoRoom(room));
        }
        Ok(Self { address, lines, duration, clients: room - 1, others: survey.others() })
    }

    /// How many clients the measurement has: fewer than usual if the server takes fewer.
    pub fn clients(&self, work: Work) -> usize {
        match work {
            Work::Single => 1,
            Work::Urgent => self.clients.min(FLOODING_MAX),
            Work::Many | Work::Flood | Work::FanOut => self.clients,
        }
    }

    /// What it measures, in words.
    pub fn title(&self, work: Work) -> String {
        let clients = self.clients(work);
        match work {
            Work::Single => "1 client, 1 in flight".to_string(),
            Work::Many => format!("{clients} clients, 1 in flight each"),
            Work::Flood => format!("{clients} clients, 32 in flight each"),
            Work::Urgent => format!("urgent line, {clients} x 32 flooding"),
            Work::FanOut => format!("deliveries, 1 sender to {clients}"),
        }
    }

    /// Measures once.
    ///
    /// # Errors
    /// The server goes away, answers nothing, or refuses lines.
    pub fn run(&self, work: Work) -> Result<Round, Trouble> {
        let survey = || Survey::when_left(self.address, self.lines, self.others);
        let before = survey()?;
        let round = self.measure(work)?;
        survey()?.refuse_refusals(&before)?;
        // A flood at the highest niceness may get no reply in a short time on a busy machine.
        let is_nothing = match work {
            Work::Urgent => round.latency.count() == 0,
            _ => round.per_second == 0.0,
        };
        if is_nothing {
            return Err(Trouble::Nothing);
        }
        Ok(round)
    }

    fn measure(&self, work: Work) -> Result<Round, Trouble> {
        let load = |in_flight| Load {
            connections: self.clients(work),
            in_flight,
            text_bytes: TEXT_BYTES,
            duration: self.duration,
        };
        let acknowledged = |in_flight| load::acknowledge(self.address, self.lines, load(in_flight));
        let outcome = match work {
            Work::Single | Work::Many => acknowledged(1)?,
            Work::Flood => acknowledged(32)?,
            Work::FanOut => load::fan_out(self.address, self.lines, load(16))?,
            Work::Urgent => {
                let (latency, flood) = urgent::under_flood(self.address, self.lines, load(32))?;
                return Ok(Round { per_second: flood.per_second(), latency });
            }
        };
        Ok(Round { per_second: outcome.per_second(), latency: outcome.latency })
    }
}
