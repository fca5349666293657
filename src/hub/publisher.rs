//! The one writer: it gives each event its place, keeps it in the ring and hands it to the shards that have a receiver.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::core::Core;
use super::ring::Entry;
use crate::event::{Audience, Event, EventId, EventName};
use crate::sse::{self, Frame};
use crate::telemetry::{self, stream::SentCounters};

/// The writing end of the hub. Not `Clone`: one writer, hence one order.
#[derive(Debug)]
pub struct Publisher {
    core: Arc<Core>,
    sent: SentCounters,
}

impl Publisher {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, sent: SentCounters::with_known([&EventName::new("gap")]) }
    }

    /// Has each of `names` counted under its own name, whatever other names messages bring.
    #[must_use]
    pub fn counting<'n>(mut self, names: impl IntoIterator<Item = &'n EventName>) -> Self {
        for name in names {
            // What is asked for is kept.
            let _kept = self.sent.of(name);
        }
        self
    }

    /// Resolves when every shard has room for another event, so that an overloaded worker slows the source and loses nothing.
    pub async fn ready(&self) {
        for inbox in &self.core.inboxes {
            inbox.room().await;
        }
    }

    /// Publishes `event` as `id`, whose position must be after every one before it.
    ///
    /// `received` is when the source handed the message over. Never blocks, never waits for a browser.
    pub fn publish(&mut self, id: EventId, received: Instant, event: Event) {
        let sent = self.sent.of(&event.name);
        let frame = sse::event(id, &event.name, &event.data);
        telemetry::stream::event_published(event.data.len());
        self.hand_out(Entry { id, frame, audiences: event.audiences, received, sent });
    }

    /// Says to every subscriber, live and resuming, that events just before `id` may be missing.
    ///
    /// The position of `id` must be after every one before it: the announcement takes a place of its own.
    pub fn interrupted(&mut self, id: EventId, received: Instant, reason: &'static str) {
        let head = self.core.lock().head;
        let frame = gap(&head.to_string(), id, reason);
        let sent = self.sent.of(&EventName::new("gap"));
        self.hand_out(Entry { id, frame, audiences: vec![Audience::Everyone], received, sent });
    }

    fn hand_out(&self, entry: Entry) {
        let entry = Arc::new(entry);
        let mut shared = self.core.lock();
        debug_assert!(entry.position() > shared.head.position, "positions grow");
        shared.head = entry.id;
        shared.ring.push(Arc::clone(&entry));
        let receiving = shared.shards_of(&entry.audiences);
        // Within the lock, so that a shard that sees this head has the event in its inbox.
        for (index, inbox) in self.core.inboxes.iter().enumerate() {
            if receiving & 1 << index != 0 {
                inbox.push(Arc::clone(&entry));
            }
        }
    }
}

/// The `gap` event: what lies after `from` up to `to` was or may have been missed.
pub(super) fn gap(from: &str, to: EventId, reason: &'static str) -> Frame {
    telemetry::stream::gap_announced(reason);
    let data = json!({ "reason": reason, "from": from, "to": to.to_string() }).to_string();
    sse::event(to, &EventName::new("gap"), data.as_bytes())
}
