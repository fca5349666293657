//! What happens to each message of any source: mapped, published, and what cannot be sent counted and logged; no connection here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::dedupe::Recent;
use crate::event::{Event, EventId, Message};
use crate::hub::Publisher;
use crate::routing::{Mapped, Mappings};
use crate::telemetry::amqp;
use crate::telemetry::{DeliverySpan, Throttle};

/// Time between two log lines about messages that were not sent.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Why a whole message is not sent on.
const TOO_LARGE: &str = "too_large";
const DUPLICATE: &str = "duplicate";
/// Bytes of a routing key in a log line.
const LOGGED_KEY_BYTES: usize = 120;

/// What a source feeds, one message after the other in its order.
///
/// Ids are the source's own, of whole deliveries (part 0); their positions grow with each call of `accept` and
/// `interrupted`, except that the two may follow each other with the same id.
pub trait Intake: Send {
    /// Everything after `id` will come. Said again, another history begins, and what was known of the old one is over.
    fn starts_after(&mut self, id: EventId);

    /// What comes from now on is new.
    fn current(&mut self);

    /// Nothing comes for now.
    fn away(&mut self);

    /// Whether `id` is known to be one of the present history.
    fn knows(&self, id: EventId) -> bool;

    /// Resolves when the next message may come. Cancel-safe.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    /// Takes a message that the source handed over at `received`. The message counts as dealt with when this returns.
    fn accept(&mut self, id: EventId, received: Instant, message: &Message);

    /// Takes a delivery that is no message of the application.
    fn pass(&mut self, id: EventId, received: Instant);

    /// Messages before `id` may have been missed.
    fn interrupted(&mut self, id: EventId, reason: &'static str);
}

/// What becomes of a message, the same at every replica and whenever it is read. A clone has no memory of messages yet.
#[derive(Debug)]
pub(super) struct Sieve {
    table: Mappings,
    max_message_bytes: u64,
    recent: Recent,
    /// The routing key of messages that no event is made of; none when empty.
    withheld: Arc<str>,
}

impl Clone for Sieve {
    fn clone(&self) -> Self {
        let Self { table, max_message_bytes, recent, withheld } = self;
        let (table, withheld) = (table.clone(), Arc::clone(withheld));
        Self { table, max_message_bytes: *max_message_bytes, recent: recent.emptied(), withheld }
    }
}

impl Sieve {
    pub(super) fn new(table: Mappings, max_message_bytes: ByteSize, remembered: usize) -> Self {
        let (max_message_bytes, recent) = (max_message_bytes.as_u64(), Recent::new(remembered));
        Self { table, max_message_bytes, recent, withheld: Arc::from("") }
    }

    pub(super) fn withholding(self, routing_key: &str) -> Self {
        Self { withheld: Arc::from(routing_key), ..self }
    }

    /// The events of `message`; the error is the reason why a whole message is not sent on.
    fn sift(&mut self, message: &Message) -> Result<Mapped, &'static str> {
        // Orders may name users, and are nobody's events whatever the mappings say.
        if !self.withheld.is_empty() && *self.withheld == *message.routing_key {
            return Ok(Mapped::default());
        }
        if message.body.len() as u64 > self.max_message_bytes {
            return Err(TOO_LARGE);
        }
        if self.recent.has_seen(message) {
            return Err(DUPLICATE);
        }
        Ok(self.table.table().map(message))
    }

    /// As `sift`, for a message whose faults were told when it came first.
    pub(super) fn events(&mut self, message: &Message) -> Vec<Event> {
        self.sift(message).map(|mapped| mapped.events).unwrap_or_default()
    }
}

/// From a message to the hub: the mappings, and the one publisher.
#[derive(Debug)]
pub struct Pipeline {
    sieve: Sieve,
    publisher: Publisher,
    log: Throttle,
    /// Whether what comes is new, and not read once more from a history.
    is_current: bool,
}

impl Pipeline {
    /// `remembered` is the number of message ids by which duplicates are known; 0 for none.
    #[must_use]
    pub fn new(table: Mappings, publisher: Publisher, max_message_bytes: ByteSize, remembered: usize) -> Self {
        let (sieve, log) = (Sieve::new(table, max_message_bytes, remembered), Throttle::new(LOG_INTERVAL));
        Self { sieve, publisher, log, is_current: false }
    }

    /// Makes no event of messages with this routing key.
    #[must_use]
    pub fn withholding(self, routing_key: &str) -> Self {
        Self { sieve: self.sieve.withholding(routing_key), ..self }
    }

    /// Publishes the events of a message, and says how many they were, or why there were none.
    fn pass_on(&mut self, id: EventId, received: Instant, message: &Message) -> Result<usize, &'static str> {
        let mapped = match self.sieve.sift(message) {
            Ok(mapped) => mapped,
            Err(reason) => {
                self.publisher.pass(id, received);
                self.reject(received, message, None, reason);
                return Err(reason);
            }
        };
        if mapped.events.is_empty() {
            self.publisher.pass(id, received);
        }
        let events = mapped.events.len();
        for (id, event) in id.parts().zip(mapped.events) {
            self.publisher.publish(id, received, event);
        }
        let reason = mapped.rejects.first().map(|reject| reject.reason.as_str());
        for reject in mapped.rejects {
            self.reject(received, message, reject.mapping, reject.reason.as_str());
        }
        if mapped.renamed > 0 {
            amqp::renamed(mapped.renamed as u64);
        }
        match reason {
            Some(reason) if events == 0 => Err(reason),
            _ => Ok(events),
        }
    }

    fn reject(&mut self, now: Instant, message: &Message, mapping: Option<usize>, reason: &'static str) {
        amqp::unmapped(reason);
        if let Some(suppressed) = self.log.admit(now) {
            let routing_key = excerpt(&message.routing_key, LOGGED_KEY_BYTES);
            tracing::warn!(routing_key, mapping, reason, suppressed, "a message was not sent on");
        }
    }
}

impl Intake for Pipeline {
    fn ready(&self) -> impl Future<Output = ()> + Send {
        self.publisher.ready()
    }

    fn starts_after(&mut self, id: EventId) {
        self.is_current = false;
        self.publisher.starts_after(id, Instant::now());
    }

    fn current(&mut self) {
        self.is_current = true;
        self.publisher.current(Instant::now());
    }

    fn away(&mut self) {
        self.publisher.away();
    }

    fn knows(&self, id: EventId) -> bool {
        self.publisher.holds(id)
    }

    fn accept(&mut self, id: EventId, received: Instant, message: &Message) {
        amqp::delivered();
        let span = if self.is_current { DeliverySpan::start(message) } else { DeliverySpan::NONE };
        let outcome = self.pass_on(id, received, message);
        span.end(|| self.sieve.table.table().pattern_of(&message.routing_key).map(str::to_owned), outcome);
    }

    fn pass(&mut self, id: EventId, received: Instant) {
        self.publisher.pass(id, received);
    }

    fn interrupted(&mut self, id: EventId, reason: &'static str) {
        self.publisher.interrupted(id, Instant::now(), reason);
    }
}

/// `text` on one line without control characters, cut to about `limit` bytes.
pub(super) fn excerpt(text: &str, limit: usize) -> String {
    let mut written = String::new();
    for character in text.chars() {
        if written.len() >= limit {
            written.push('…');
            break;
        }
        written.extend(character.escape_debug());
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Mark, Position};
    use crate::hub::{self, HistoryConfig, StreamConfig};
    use crate::routing::{MappingConfig, MappingTable};
    use bytes::Bytes;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// The metrics after `messages` went through a pipeline for bodies of at most 10 bytes.
    fn metrics_after(messages: &[(&str, usize)]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let everything = MappingConfig { routing_key: "a.#".into(), everyone: true, ..MappingConfig::default() };
            let table = MappingTable::compile(&[everything], "app-").expect("a sound mapping");
            let (publisher, _, _) = hub::open(&HistoryConfig::default(), &StreamConfig::default(), None, 1);
            let mut pipeline = Pipeline::new(Mappings::new(table), publisher, ByteSize::b(10), 0);
            for (offset, (routing_key, size)) in (1..).zip(messages) {
                let body = Bytes::from(vec![b'x'; *size]);
                let message = Message { routing_key: (*routing_key).into(), body, ..Message::default() };
                let id = EventId { mark: Mark(1), position: Position::before(offset) };
                pipeline.accept(id, Instant::now(), &message);
            }
        });
        recorder.handle().render()
    }

    #[test]
    fn what_is_not_sent_on_is_counted_by_reason() {
        let metrics = metrics_after(&[("a", 10), ("a", 11), ("unmapped", 1), ("a", 0)]);
        for line in [
            "amqp_deliveries_total 4",
            "amqp_unmapped_total{reason=\"too_large\"} 1",
            "amqp_unmapped_total{reason=\"no_mapping\"} 1",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
    }

    #[test]
    fn an_excerpt_is_one_bounded_line() {
        assert_eq!(excerpt("user.42.greeted", 120), "user.42.greeted");
        assert_eq!(excerpt("a\r\nb\u{1b}[31m", 120), "a\\r\\nb\\u{1b}[31m");
        assert_eq!(excerpt(&"x".repeat(500), 10), "xxxxxxxxxx…");
        assert!(excerpt(&"\u{7f}".repeat(500), 10).len() < 24);
    }
}
