//! The one writer: it gives each event its place, keeps it in the ring and hands it to the shards that have a receiver.

use std::time::Instant;

use crate::event::{Event, Position};

/// The writing end of the hub. Not `Clone`: one writer, hence one order.
#[derive(Debug)]
pub struct Publisher {}

impl Publisher {
    /// Resolves when every shard has room for another event, so that an overloaded worker slows the source and loses nothing.
    pub async fn ready(&self) {}

    /// Publishes `event` at `position`, which must be greater than every position before it.
    ///
    /// `received` is when the source handed the message over. Never blocks, never waits for a browser.
    pub fn publish(&mut self, position: Position, received: Instant, event: Event) {
        let _ = (position, received, event);
    }

    /// Says to every subscriber, live and resuming, that events just before `position` may be missing.
    pub fn interrupted(&mut self, position: Position, reason: &'static str) {
        let _ = (position, reason);
    }
}
