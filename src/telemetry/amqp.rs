//! The metrics of the broker side, a function for each thing that happens.

use metrics::{counter, gauge};

/// What a link brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Events,
    Orders,
}

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

/// Whether messages are being consumed, or orders.
pub fn connected(link: Link, connected: bool) {
    let gauge = match link {
        Link::Events => gauge!("amqp_connected"),
        Link::Orders => gauge!("control_connected"),
    };
    gauge.set(f64::from(u8::from(connected)));
}

/// Consuming goes on after an outage.
pub fn reconnected(link: Link) {
    if link == Link::Events {
        counter!("amqp_reconnects_total").increment(1);
    }
}

/// An order came from the application. `outcome` is one of a fixed set.
pub fn ordered(outcome: &'static str) {
    counter!("control_orders_total", "outcome" => outcome).increment(1);
}
