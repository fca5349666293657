//! Metrics of event streams, from publishing to the socket.

use std::time::Duration;

use ::metrics::{Counter, counter, gauge, histogram};
use hashbrown::HashMap;

use crate::event::EventName;

/// Event names that get a label of their own in `sse_events_sent_total`; the rest are counted as `other`.
const MAX_EVENT_TYPES: usize = 100;
/// A longer name may be a whole routing key or a user's data, and is counted as `other`.
const MAX_LABEL_BYTES: usize = 64;

/// Counts deliveries of one event name to subscribers.
#[derive(Clone)]
pub struct SentCounter(Counter);

impl SentCounter {
    /// A counter that counts nothing.
    #[must_use]
    pub fn unnamed() -> Self {
        Self(Counter::noop())
    }

    pub fn add(&self, receivers: u64) {
        self.0.increment(receivers);
    }
}

impl std::fmt::Debug for SentCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SentCounter")
    }
}

/// The counters of `sse_events_sent_total`, looked up once a name.
///
/// Names may come from messages, so publishers have a say in them: how many have a label, and what it may hold, is bounded.
#[derive(Debug, Default)]
pub struct SentCounters {
    by_name: HashMap<EventName, SentCounter>,
}

impl SentCounters {
    /// Counters that keep a place for each of `names`, which no names from messages can take.
    #[must_use]
    pub fn with_known<'n>(names: impl IntoIterator<Item = &'n EventName>) -> Self {
        let mut counters = Self::default();
        for name in names {
            // What is asked for is kept.
            let _counter = counters.of(name);
        }
        counters
    }

    pub fn of(&mut self, name: &EventName) -> SentCounter {
        if let Some(counter) = self.by_name.get(name) {
            return counter.clone();
        }
        if self.by_name.len() >= MAX_EVENT_TYPES || !is_label(name.as_str()) {
            return SentCounter(counter!("sse_events_sent_total", "event_type" => "other"));
        }
        let counter = SentCounter(counter!("sse_events_sent_total", "event_type" => name.as_str().to_owned()));
        self.by_name.insert(name.clone(), counter.clone());
        counter
    }
}

/// Whether an event's name is short and plain enough for a metric's label.
fn is_label(name: &str) -> bool {
    name.len() <= MAX_LABEL_BYTES && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:+-".contains(&byte))
}

/// `bytes` of data before encoding.
pub fn event_published(bytes: usize) {
    #[allow(clippy::cast_precision_loss, reason = "a histogram of sizes needs no more precision than a double has")]
    histogram!("sse_event_size_bytes").record(bytes as f64);
}

pub fn gap_announced(reason: &'static str) {
    counter!("sse_gaps_total", "reason" => reason).increment(1);
}

pub fn lagged() {
    counter!("sse_subscribers_lagged_total").increment(1);
}

/// A stream was ended since more came for it than its rate allows: of events, or of bytes.
pub fn too_fast(events: bool) {
    let error_type = if events { "event_rate" } else { "byte_rate" };
    counter!("sse_connection_errors_total", "error_type" => error_type).increment(1);
}

/// A stream was cut off since its socket took nothing for too long.
pub fn stuck() {
    counter!("sse_connection_errors_total", "error_type" => "write_timeout").increment(1);
}

/// So many streams were ended by an order.
pub fn disconnected(streams: usize) {
    counter!("sse_disconnected_total").increment(streams as u64);
}

pub fn replayed(events: usize) {
    counter!("sse_replayed_events_total").increment(events as u64);
}

pub fn opened() {
    gauge!("sse_active_connections").increment(1.0);
}

pub fn closed(open: Duration) {
    histogram!("sse_connection_duration_seconds").record(open);
    gauge!("sse_active_connections").decrement(1.0);
}

/// From the source's hand-over to the socket's; sampled, since every delivery would be too many.
pub fn delivered(after: Duration) {
    histogram!("sse_delivery_latency_seconds").record(after);
}

/// `error_type` is a problem code.
pub fn refused(error_type: &'static str) {
    counter!("sse_connection_errors_total", "error_type" => error_type).increment(1);
}

/// A request could not be read at all, so that nobody knows for what it was.
pub fn unreadable(too_large: bool) {
    if too_large {
        counter!("sse_connection_errors_total", "error_type" => "head_too_large").increment(1);
    } else {
        counter!("sse_connection_errors_total", "error_type" => "head_malformed").increment(1);
    }
}

/// Accepting a connection failed, for instance since the process has too many open files.
pub fn accept_failed() {
    counter!("sse_connection_errors_total", "error_type" => "accept").increment(1);
}

pub fn auth_failed(reason: &'static str) {
    counter!("auth_failures_total", "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// The labels that are there after events with `names` were sent once each.
    fn labels(known: &[&str], names: impl IntoIterator<Item = String>) -> Vec<String> {
        let recorder = PrometheusBuilder::new().build_recorder();
        ::metrics::with_local_recorder(&recorder, || {
            let known: Vec<_> = known.iter().map(|name| EventName::new(name)).collect();
            let mut counters = SentCounters::with_known(&known);
            for name in names {
                counters.of(&EventName::new(&name)).add(1);
            }
        });
        let rendered = recorder.handle().render();
        let samples = rendered.lines().filter_map(|line| line.strip_prefix("sse_events_sent_total{event_type=\""));
        samples.filter_map(|sample| Some(sample.split_once('"')?.0.to_owned())).collect()
    }

    #[test]
    fn only_short_and_plain_names_are_labels() {
        let long = "n".repeat(MAX_LABEL_BYTES);
        let plain = ["order-updated".to_owned(), "photo+base64".into(), "a.b:c_D9".into(), long.clone()];
        let mut found = labels(&[], plain.clone());
        found.sort();
        let mut expected = plain.to_vec();
        expected.sort();
        assert_eq!(found, expected);
        for odd in [format!("{long}n"), "user 42".into(), "ä".into(), "a\"b".into(), "a/b".into(), "a@b.example".into()]
        {
            assert_eq!(labels(&[], [odd]), ["other"]);
        }
    }

    #[test]
    fn names_out_of_messages_take_no_place_that_a_known_name_has() {
        let flood = (0..MAX_EVENT_TYPES * 2).map(|number| format!("n{number}"));
        let found = labels(&["paid"], flood.chain(["paid".to_owned()]));
        assert!(found.contains(&"paid".to_owned()), "{found:?}");
        assert_eq!(found.len(), MAX_EVENT_TYPES + 1, "with `other`");
    }
}
