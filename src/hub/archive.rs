//! What lies before the ring: how the hub asks for it, and the shape in which it comes. Who reads it, and from where, is the broker's.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::{Audience, Event, EventId};
use crate::sse::{self, Frame};

/// Where the events that are older than the ring can be read.
pub trait Archive: Debug + Send + Sync {
    /// Starts to read; what is found comes through the channel, whose sender waits for a slow reader.
    ///
    /// It goes on until the receiver is dropped. A channel that closes before means that the reading was given up.
    fn read(&self, from: ReadFrom) -> Pieces;
}

/// What an archive has read, through a channel that makes it wait for a slow stream.
pub type Pieces = tokio::sync::mpsc::Receiver<Archived>;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    After(EventId),
    Since(SystemTime),
}

/// A piece of the past, in order.
#[derive(Clone, Debug)]
pub enum Archived {
    /// Everything after this id follows: the first answer when nothing is missing.
    After(EventId),
    /// What was to come next is gone, and everything after `to` follows.
    Gap { reason: &'static str, to: EventId },
    /// The id is none of this history, or the time cannot be found in it; nothing follows.
    Unknown,
    /// There is nothing to read yet; nothing follows.
    Nothing,
    /// The next deliveries; there is at least one.
    Deliveries(Arc<[Past]>),
}

/// A delivery of the past with the events it was mapped to, encoded once for all who replay it.
#[derive(Debug)]
pub struct Past {
    /// The last event, or the delivery's own place when it has none.
    pub(super) end: EventId,
    pub(super) events: Vec<PastEvent>,
}

#[derive(Debug)]
pub(super) struct PastEvent {
    pub(super) id: EventId,
    pub(super) frame: Frame,
    pub(super) audiences: Vec<Audience>,
}

impl Past {
    /// The events of the delivery `id`, numbered as the publisher does.
    #[must_use]
    pub fn new(id: EventId, events: Vec<Event>) -> Self {
        let events: Vec<_> = id
            .parts()
            .zip(events)
            .map(|(id, event)| {
                let frame = sse::event(id, &event.name, &event.data);
                PastEvent { id, frame, audiences: event.audiences }
            })
            .collect();
        Self { end: events.last().map_or(id, |event| event.id), events }
    }

    /// Bytes that its frames take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.events.iter().map(|event| event.frame.size()).sum()
    }

    #[must_use]
    pub const fn end(&self) -> EventId {
        self.end
    }
}
