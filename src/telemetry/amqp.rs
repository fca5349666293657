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

/// Whether there is a connection on which presence is published.
pub fn presence_connected(connected: bool) {
    gauge!("amqp_presence_connected").set(f64::from(u8::from(connected)));
}

/// Users of whom something is still to be said.
pub fn presence_waiting(users: usize) {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    gauge!("amqp_presence_waiting").set(users as f64);
}

/// The broker has taken a message that a user is online or offline.
pub fn presence_published(state: &'static str) {
    counter!("amqp_presence_published_total", "state" => state).increment(1);
}
