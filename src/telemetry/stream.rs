//! Metrics of event streams, from publishing to the socket.

use std::time::Duration;

use ::metrics::{Counter, counter, gauge, histogram};
use hashbrown::HashMap;

use crate::event::EventName;

/// Event names that get a label of their own in `sse_events_sent_total`; the rest are counted as `other`.
const MAX_EVENT_TYPES: usize = 100;

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
#[derive(Debug, Default)]
pub struct SentCounters {
    by_name: HashMap<EventName, SentCounter>,
}

impl SentCounters {
    pub fn of(&mut self, name: &EventName) -> SentCounter {
        if let Some(counter) = self.by_name.get(name) {
            return counter.clone();
        }
        if self.by_name.len() >= MAX_EVENT_TYPES {
            return SentCounter(counter!("sse_events_sent_total", "event_type" => "other"));
        }
        let counter = SentCounter(counter!("sse_events_sent_total", "event_type" => name.as_str().to_owned()));
        self.by_name.insert(name.clone(), counter.clone());
        counter
    }
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

/// A stream was cut off since its socket took nothing for too long.
pub fn stuck() {
    counter!("sse_connection_errors_total", "error_type" => "write_timeout").increment(1);
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

/// Accepting a connection failed, for instance since the process has too many open files.
pub fn accept_failed() {
    counter!("sse_connection_errors_total", "error_type" => "accept").increment(1);
}

pub fn auth_failed(reason: &'static str) {
    counter!("auth_failures_total", "reason" => reason).increment(1);
}
