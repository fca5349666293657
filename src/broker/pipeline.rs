//! What happens to each message of any source: mapped, published, and what cannot be sent counted and logged; no connection here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::throttle::Throttle;
use crate::event::{EventId, Mark, Message, Position};
use crate::hub::Publisher;
use crate::routing::MappingTable;
use crate::telemetry::amqp;

/// Time between two log lines about messages that were not sent.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of a routing key in a log line.
const LOGGED_KEY_BYTES: usize = 120;

/// What a source feeds, one message after the other in its order.
///
/// `offset` is the source's own and grows with each call of `accept` and `interrupted`.
pub trait Intake: Send {
    /// Resolves when the next message may come. Cancel-safe.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    /// Takes a message that the source handed over at `received`. The message counts as dealt with when this returns.
    fn accept(&mut self, offset: u64, received: Instant, message: &Message);

    /// Messages before `offset` may have been missed.
    fn interrupted(&mut self, offset: u64, reason: &'static str);
}

/// From a message to the hub: the mappings, and the one publisher.
#[derive(Debug)]
pub struct Pipeline {
    table: Arc<MappingTable>,
    publisher: Publisher,
    mark: Mark,
    max_message_bytes: u64,
    log: Throttle,
}

impl Pipeline {
    /// A pipeline into a history whose events all have `mark`.
    #[must_use]
    pub fn new(table: Arc<MappingTable>, publisher: Publisher, mark: Mark, max_message_bytes: ByteSize) -> Self {
        let log = Throttle::new(LOG_INTERVAL);
        Self { table, publisher, mark, max_message_bytes: max_message_bytes.as_u64(), log }
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

    fn accept(&mut self, offset: u64, received: Instant, message: &Message) {
        amqp::delivered();
        if message.body.len() as u64 > self.max_message_bytes {
            return self.reject(received, message, None, "too_large");
        }
        let mapped = self.table.map(message);
        // A message has fewer events than there are mappings times audiences, far below 2^16.
        for (part, event) in (0..=u16::MAX).zip(mapped.events) {
            let id = EventId { mark: self.mark, position: Position { offset, part } };
            self.publisher.publish(id, received, event);
        }
        for reject in mapped.rejects {
            self.reject(received, message, reject.mapping, reject.reason.as_str());
        }
        if mapped.renamed > 0 {
            amqp::renamed(mapped.renamed as u64);
        }
    }

    fn interrupted(&mut self, offset: u64, reason: &'static str) {
        let id = EventId { mark: self.mark, position: Position::at(offset) };
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
    use crate::hub::{self, HistoryConfig, StreamConfig};
    use crate::routing::MappingConfig;
    use bytes::Bytes;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// The metrics after `messages` went through a pipeline for bodies of at most 10 bytes.
    fn metrics_after(messages: &[(&str, usize)]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let everything = MappingConfig { routing_key: "a.#".into(), everyone: true, ..MappingConfig::default() };
            let table = MappingTable::compile(&[everything], "app-").expect("a sound mapping");
            let (publisher, _, _) =
                hub::open(&HistoryConfig::default(), &StreamConfig::default(), EventId::default(), 1);
            let mut pipeline = Pipeline::new(Arc::new(table), publisher, Mark(1), ByteSize::b(10));
            for (offset, (routing_key, size)) in (1..).zip(messages) {
                let body = Bytes::from(vec![b'x'; *size]);
                let message = Message { routing_key: (*routing_key).into(), body, ..Message::default() };
                pipeline.accept(offset, Instant::now(), &message);
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
