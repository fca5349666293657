//! The one writer: it gives each event its place, keeps it in the ring and hands it to the shards that have a receiver.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::core::{Core, Tail};
use super::ring::{Entry, Ring};
use crate::event::{Audience, Event, EventId, EventName};
use crate::sse::{self, Frame};
use crate::telemetry::{
    self,
    stream::{SentCounter, SentCounters},
};

/// The reason given to streams whose history is over.
const HISTORY_CHANGED: &str = "history_changed";

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

    /// Says where the history stands: everything after `id` will come. Before that, streams wait.
    ///
    /// Said again it begins another history: what was kept is dropped, and every subscriber is told of the gap.
    pub fn starts_after(&mut self, id: EventId, received: Instant) {
        let mut shared = self.core.lock();
        let before = shared.head;
        let anew = shared.tail != Tail::NotBegun;
        shared.head = id;
        shared.ring = Ring::new(shared.ring.limit(), id);
        shared.live_from = None;
        shared.epoch += u32::from(anew);
        drop(shared);
        if anew {
            let frame = gap(&before.to_string(), id, HISTORY_CHANGED);
            let sent = self.sent.of(&EventName::new("gap"));
            self.hand_out(id, vec![Audience::Everyone], frame, received, sent);
        }
    }

    /// Says that what comes from now on is new: streams begin, and those that are ahead of the head wait no longer.
    pub fn current(&mut self, now: Instant) {
        let mut shared = self.core.lock();
        shared.tail = Tail::Current(now);
        shared.live_from.get_or_insert(now);
        drop(shared);
        for inbox in &self.core.inboxes {
            inbox.nudge();
        }
    }

    /// Says that for now nothing comes.
    pub fn away(&mut self) {
        let mut shared = self.core.lock();
        if shared.tail != Tail::NotBegun {
            shared.tail = Tail::Away;
        }
    }

    /// Whether the delivery that `id` belongs to is known to be one of this history.
    #[must_use]
    pub fn holds(&self, id: EventId) -> bool {
        self.core.lock().ring.holds_delivery(id)
    }

    /// Moves the head to a delivery that has no event, so that positions which are told to quiet streams go on.
    pub fn pass(&mut self, id: EventId, received: Instant) {
        if id.position > self.core.lock().head.position {
            self.hand_out(id, Vec::new(), Frame::last(), received, SentCounter::unnamed());
        }
    }

    /// Publishes `event` as `id`, whose position must be after every one before it.
    ///
    /// `received` is when the source handed the message over. Never blocks, never waits for a browser.
    pub fn publish(&mut self, id: EventId, received: Instant, event: Event) {
        let sent = self.sent.of(&event.name);
        let frame = sse::event(id, &event.name, &event.data);
        telemetry::stream::event_published(event.data.len());
        self.hand_out(id, event.audiences, frame, received, sent);
    }

    /// Says to every subscriber, live and resuming, that events just before `id` may be missing.
    ///
    /// The position of `id` must be after every one before it: the announcement takes a place of its own.
    pub fn interrupted(&mut self, id: EventId, received: Instant, reason: &'static str) {
        let head = self.core.lock().head;
        let frame = gap(&head.to_string(), id, reason);
        let sent = self.sent.of(&EventName::new("gap"));
        self.hand_out(id, vec![Audience::Everyone], frame, received, sent);
    }

    fn hand_out(&self, id: EventId, audiences: Vec<Audience>, frame: Frame, received: Instant, sent: SentCounter) {
        let mut shared = self.core.lock();
        debug_assert!(id.position >= shared.head.position, "positions grow");
        let entry = Arc::new(Entry { id, frame, audiences, epoch: shared.epoch, received, sent });
        shared.head = id;
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
