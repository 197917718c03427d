//! The inbound direction: commands from the broker to the hub. The bridge acknowledges a command to the broker once it
//! has an outcome from the hub; the hub's answer goes to the command's response topic.
//!
//! The broker keeps commands while the bridge is away. If a connection breaks before the acknowledgement, the broker
//! sends the command again. The bridge remembers a command until it has passed the PUBACK to the connection, and does
//! not send it to the hub a second time until then. A command reaches the hub twice if the bridge is restarted, if the
//! connection to the hub is lost before the answer, or if the one to the broker is lost before the PUBACK arrives.

use super::counters::CommandCounters;
use super::destination::Destination;
use super::exchange::{BrokerEvent, Cause, Delivery, End, Publication, Rejection};
use super::flapping::Flapping;
use super::incoming::{Arrived, Incoming, Outcome};
use super::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, DENIAL_PAUSE_MS, SHORT_MS, TRANSIENT_PAUSE_MS};
use super::link::Link;
use super::report::{Series, Throttle, say};
use super::stop::{Stop, Woken};
use super::topic::is_response_topic;
use crate::client::backoff::Backoff;
use crate::client::shown::shown;
use crate::client::{Repeats, Sender, Servers, Settings, Token};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Where commands come from, and where they go.
pub struct Subscription {
    /// The topics.
    pub topic: String,
    /// The hub.
    pub hub: Servers,
    /// The token for the hub.
    pub token: Option<Token>,
}

/// An answer on its way.
struct Answer {
    packet_id: u16,
    topic: String,
    /// When the broker must have acknowledged it.
    by: Instant,
}

/// The inbound direction.
pub struct Commands {
    destination: Destination,
    topic: String,
    sender: Sender<u64>,
    incoming: Incoming,
    counters: Arc<CommandCounters>,
    stop: Stop,
    link: Option<Link>,
    /// When the subscription was confirmed.
    subscribed: Option<Instant>,
    /// The answer that the broker has not acknowledged.
    answer: Option<Answer>,
    /// Whether the connection ends at the next PINGRESP: then the broker has all acknowledgements.
    is_leaving: bool,
    has_been_subscribed: bool,
    flapping: Flapping,
    retry_at: Instant,
    backoff: Backoff,
    troubles: Throttle,
    hub_troubles: Throttle,
    refusals: Series,
}

impl Commands {
    /// Nothing is connected yet.
    pub fn new(
        destination: Destination,
        subscription: Subscription,
        counters: Arc<CommandCounters>,
        stop: Stop,
    ) -> Self {
        let Subscription { topic, hub, token } = subscription;
        // If a connection to the hub is lost, this repeats only messages without an answer, as the broker does with
        // commands. If a handler may have processed a command, the hub's answer counts: otherwise a command that
        // crashes its handlers would come back to them without end.
        // If the server does not accept the token, commands wait as if the server were away: the auth file of the server
        // may get the token, or the bridge may have it after a restart.
        let denial_pause = Some(Duration::from_millis(DENIAL_PAUSE_MS));
        let settings = Settings { token, timeout: None, repeats: Repeats::Unanswered, denial_pause };
        Self {
            destination,
            topic,
            sender: Sender::new(hub, settings),
            incoming: Incoming::default(),
            counters,
            stop,
            link: None,
            subscribed: None,
            answer: None,
            is_leaving: false,
            has_been_subscribed: false,
            flapping: Flapping::default(),
            retry_at: Instant::now(),
            backoff: Backoff::between(BACKOFF_MS_MIN, BACKOFF_MS_MAX),
            troubles: Throttle::default(),
            hub_troubles: Throttle::default(),
            refusals: Series::default(),
        }
    }

    /// Runs until the process is requested to end.
    pub fn run(mut self) {
        loop {
            let now = Instant::now();
            self.serve_broker(now);
            self.serve_hub();
            self.answer_all(now);
            self.refusals.flush(now);
            if let Some(link) = &mut self.link {
                link.flush();
            }
            let retry = self.link.is_none().then_some(self.retry_at);
            let answer = self.answer.as_ref().map(|answer| answer.by);
            let due = [retry, self.link.as_ref().and_then(Link::due), self.sender.due(), answer]
                .into_iter()
                .flatten()
                .min();
            let files: Vec<_> = self
                .link
                .as_ref()
                .and_then(Link::interest)
                .into_iter()
                .chain(self.sender.interest())
                .collect();
            if self.stop.wait(&files, due) == Woken::Stop {
                break;
            }
        }
        self.finish();
        self.refusals.end();
        say(format_args!(
            "ended; {} commands are not acknowledged, and the broker sends them again after the next start",
            self.incoming.unacknowledged()
        ));
    }

    /// Acknowledges and answers what is done, without waiting, and disconnects.
    fn finish(&mut self) {
        let now = Instant::now();
        while self.subscribed.is_some()
            && let Some(outcome) = self.incoming.next_outcome()
        {
            self.answer(outcome, now);
        }
        if let Some(link) = &mut self.link {
            link.session.leave(now);
            link.flush();
        }
    }

    // ---- The broker ----------------------------------------------------------------------------------------

    fn serve_broker(&mut self, now: Instant) {
        if self.link.is_none() && now >= self.retry_at {
            self.connect(now);
        }
        if let Some(link) = &mut self.link {
            link.pump(now);
        }
        while let Some(event) = self.link.as_mut().and_then(Link::next_event) {
            self.on_event(event, now);
        }
    }

    fn connect(&mut self, now: Instant) {
        match Link::open(&self.destination, now) {
            Ok(link) => self.link = Some(link),
            Err(reason) => self.lose(&reason),
        }
    }

    fn on_event(&mut self, event: BrokerEvent, now: Instant) {
        match event {
            BrokerEvent::Connected { session_present, .. } => {
                if !session_present {
                    self.incoming.forget();
                }
                let subscribed = self.link.as_mut().map(|link| link.session.subscribe(&self.topic, now));
                if let Some(Err(reason)) = subscribed {
                    self.lose(&reason);
                }
            }
            BrokerEvent::Subscribed => {
                self.subscribed = Some(now);
                let is_news = self.troubles.clear() || !self.has_been_subscribed;
                self.has_been_subscribed = true;
                if is_news {
                    say(format_args!("{}: commands come from {}", self.destination.broker, self.topic));
                }
            }
            BrokerEvent::Delivery(delivery) => self.on_delivery(delivery, now),
            BrokerEvent::Closed(End { reason, cause }) => {
                self.lose(&reason);
                if cause == Cause::ClientIdInUse {
                    self.retry_at = now + Duration::from_millis(TRANSIENT_PAUSE_MS);
                }
            }
            BrokerEvent::Acknowledged(packet_id) => {
                self.answer.take_if(|answer| answer.packet_id == packet_id);
            }
            BrokerEvent::Rejected(packet_id, Rejection { reason, .. }) => {
                self.answer.take_if(|answer| answer.packet_id == packet_id);
                let why = "the bridge must be permitted to publish to the response topic";
                self.refusals.say(format!("the broker refused an answer: {reason}; {why}"), now);
            }
            // If an answer was sent meanwhile, the connection ends after that.
            BrokerEvent::Alive if std::mem::take(&mut self.is_leaving) && self.answer.is_none() => {
                if let Some(mut link) = self.link.take() {
                    link.session.leave(now);
                    link.flush();
                }
                self.end_connection();
                self.retry_at = now;
            }
            BrokerEvent::Alive => {}
        }
    }

    fn on_delivery(&mut self, delivery: Delivery, now: Instant) {
        let topic = delivery.topic.clone();
        match self.incoming.take(delivery) {
            Arrived::Command(number, message) => self.sender.push(number, message),
            Arrived::Known | Arrived::Postponed => {}
            Arrived::Dropped => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                let line =
                    format!("a command from {} was dropped: too many wait for the server", shown(&topic));
                self.refusals.say(line, now);
            }
        }
    }

    /// Handles the end of the connection. The broker sends unacknowledged commands again.
    fn lose(&mut self, reason: &str) {
        let was_closed = self.link.take().is_some_and(|link| link.was_closed_cleanly);
        let mut reason = reason.to_string();
        if let Some(subscribed) = self.subscribed.take() {
            if subscribed.elapsed() >= Duration::from_millis(SHORT_MS) {
                self.backoff.reset();
            }
            self.flapping.ended(subscribed.elapsed(), was_closed);
            reason = self.flapping.explain(&reason);
        }
        if let Some(Answer { topic, .. }) = &self.answer {
            let line = format!("{}: an answer may not have arrived there: {reason}", shown(topic));
            self.refusals.say(line, Instant::now());
        }
        self.end_connection();
        self.troubles.say(format_args!("{}: {reason}; it is tried again", self.destination.broker));
        self.retry_at = Instant::now() + self.backoff.pause();
    }

    // ---- The hub -------------------------------------------------------------------------------------------

    fn serve_hub(&mut self) {
        self.sender.advance();
        while let Some((number, outcome)) = self.sender.take_outcome() {
            self.incoming.settle(number, &outcome);
        }
        match self.sender.trouble() {
            Some(trouble) => {
                self.hub_troubles.say(format_args!("the server takes no commands: {trouble}; they wait"))
            }
            None => {
                self.hub_troubles.clear();
            }
        }
    }

    // ---- The outcomes --------------------------------------------------------------------------------------

    /// Acknowledges the commands that are done, and answers them. The acknowledgement goes before the answer, and
    /// everything else waits until the broker has acknowledged the answer: a broker that closes the connection because of
    /// an answer then has all acknowledgements, and repeats no command that is done.
    fn answer_all(&mut self, now: Instant) {
        if self.answer.as_ref().is_some_and(|answer| now >= answer.by) {
            let seconds = self.timeout().as_secs_f64();
            return self.lose(&format!("the broker has not acknowledged an answer for {seconds} s"));
        }
        while self.subscribed.is_some() && self.answer.is_none() {
            let Some(outcome) = self.incoming.next_outcome() else { break };
            self.answer(outcome, now);
        }
        if let Some(link) = &mut self.link
            && self.answer.is_none()
            && !self.is_leaving
            && self.incoming.needs_new_connection()
        {
            self.is_leaving = link.session.ping(now);
        }
    }

    fn answer(&mut self, outcome: Outcome, now: Instant) {
        let Outcome { topic: command, packet_id, is_refused, text, response_topic, correlation } = outcome;
        let counter = if is_refused { &self.counters.refused } else { &self.counters.done };
        counter.fetch_add(1, Ordering::Relaxed);
        if is_refused {
            let line = format!("a command from {} was answered with {}", shown(&command), shown(&text));
            self.refusals.say(line, now);
        }
        let by = now + self.timeout();
        let Some(link) = &mut self.link else { return };
        if let Some(packet_id) = packet_id {
            link.session.acknowledge(packet_id, is_refused, now);
        }
        let Some(topic) = response_topic else { return };
        let payload = text.clone().into_bytes();
        let publication = Publication { topic: topic.clone(), payload, properties: Vec::new(), correlation };
        let sent = is_response_topic(&topic).then(|| link.session.publish(&publication, now).ok()).flatten();
        match sent {
            Some(packet_id) => self.answer = Some(Answer { packet_id, topic, by }),
            None => {
                let (topic, text) = (shown(&topic), shown(&text));
                self.refusals
                    .say(format!("{topic}: the answer to a command cannot be sent there: {text}"), now);
            }
        }
    }

    fn timeout(&self) -> Duration {
        self.destination.introduction.answer_timeout
    }

    /// Forgets the connection. The broker sends unacknowledged commands again on the next one.
    fn end_connection(&mut self) {
        (self.subscribed, self.answer, self.is_leaving) = (None, None, false);
        self.incoming.disconnect();
    }
}
