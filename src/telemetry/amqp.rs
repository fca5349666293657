//! The metrics of the broker side, a function for each thing that happens.

use metrics::{counter, gauge};

/// The source handed over a message, whatever becomes of it.
pub fn delivered() {
    counter!("amqp_deliveries_total").increment(1);
}

/// A message, or one mapping's part of it, was not sent on. `reason` is one of a fixed set.
pub fn unmapped(reason: &'static str) {
    counter!("amqp_unmapped_total", "reason" => reason).increment(1);
}

/// So many events had a reserved name and got the prefix.
pub fn renamed(events: u64) {
    counter!("amqp_renamed_events_total").increment(events);
}

/// Whether messages are being consumed.
pub fn connected(connected: bool) {
    gauge!("amqp_connected").set(f64::from(u8::from(connected)));
}

/// Consuming goes on after an outage.
pub fn reconnected() {
    counter!("amqp_reconnects_total").increment(1);
}
